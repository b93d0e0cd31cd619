//! ENOENT although the file exists: then the interpreter is missing, either the program after `#!`
//! or the loader of an ELF file. The kernel returns ENOENT for both.
//!
//! The file is read right after the event, in the process's own view of the file system; if the
//! process is gone, in the parent's view or ours if they are the same. So the answer is for that
//! moment.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use object::elf::{FileHeader32, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{FileHeader, ProgramHeader};

use super::Exec;
use crate::skel::exec_flag;

/// The part of a file that is read: enough for `#!` and for the program headers, which linkers put
/// first.
const HEAD: u64 = 64 * 1024;

/// The interpreter that a failed execution lacks, if the file itself exists.
pub fn missing(exec: &Exec<'_>) -> Option<Vec<u8>> {
    if exec.errno() != Some(Errno::ENOENT) || exec.is(exec_flag::EXEC_FILENAME_FAULT) {
        return None;
    }
    let (event, id) = (&exec.event, &exec.event.id);
    let mut views = vec![id.pid];
    // A descriptor of execveat() exists only in the process.
    if event.dirfd == libc::AT_FDCWD {
        views.push(id.ppid);
        if exec.filename.starts_with(b"/") && event.mnt_ns == our_mnt_ns() {
            views.push(std::process::id());
        }
    }
    views.iter().find_map(|&pid| View::of(pid, event.dirfd)?.missing_interpreter(exec.filename))
}

/// Inode of our own mount namespace.
fn our_mnt_ns() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/mnt").map_or(u32::MAX, |ns| ns.ino() as u32)
}

/// The file system as a process sees it.
struct View {
    root: File,
    /// Where relative paths begin
    start: File,
}

impl View {
    fn of(pid: u32, dirfd: i32) -> Option<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}")).ok();
        let start =
            if dirfd == libc::AT_FDCWD { open("cwd") } else { open(&format!("fd/{dirfd}")) };
        Some(Self { root: open("root")?, start: start? })
    }

    /// Opens a file as the process would, below its root.
    fn open(&self, path: &[u8]) -> Option<File> {
        let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK);
        let (dir, how) = if path.starts_with(b"/") {
            (&self.root, how.resolve(ResolveFlag::RESOLVE_IN_ROOT))
        } else {
            (&self.start, how)
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let file = File::from(openat2(dir.as_fd(), path, how).ok()?);
        // A device or a FIFO is not a program, and reading it might have effects.
        file.metadata().ok()?.is_file().then_some(file)
    }

    fn missing_interpreter(&self, filename: &[u8]) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        self.open(filename)?.take(HEAD).read_to_end(&mut head).ok()?;
        let interpreter = interpreter(&head)?;
        self.open(&interpreter).is_none().then_some(interpreter)
    }
}

/// The interpreter named at the beginning of a file.
fn interpreter(head: &[u8]) -> Option<Vec<u8>> {
    if let Some(line) = head.strip_prefix(b"#!") {
        // Like the kernel's load_script(): one line, blanks around the first word.
        let line = line.split(|&b| b == b'\n').next()?;
        let word = line.split(|b| b" \t\0".contains(b)).find(|word| !word.is_empty())?;
        return Some(word.to_vec());
    }
    elf_interpreter::<FileHeader64<Endianness>>(head)
        .or_else(|| elf_interpreter::<FileHeader32<Endianness>>(head))
}

fn elf_interpreter<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<Vec<u8>> {
    let header = H::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let mut segments = header.program_headers(endian, head).ok()?.iter();
    let name = segments.find_map(|segment| segment.interpreter(endian, head).ok().flatten())?;
    Some(name.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn interpreters_of_scripts() {
        for (head, expected) in [
            (&b"#!/bin/sh\n"[..], Some(&b"/bin/sh"[..])),
            (b"#! \t/bin/sh -e\nx", Some(b"/bin/sh")),
            (b"#!/bin/sh", Some(b"/bin/sh")),
            (b"#!/bin/sh\r\n", Some(b"/bin/sh\r")),
            (b"#!\n/bin/sh", None),
            (b"#", None),
            (b"", None),
            (b"echo", None),
        ] {
            assert_eq!(interpreter(head).as_deref(), expected, "{head:?}");
        }
    }

    #[test]
    fn the_loader_of_this_program() {
        let mut head = Vec::new();
        File::open("/proc/self/exe").unwrap().take(HEAD).read_to_end(&mut head).unwrap();
        let loader = interpreter(&head).unwrap();
        assert!(Path::new(std::ffi::OsStr::from_bytes(&loader)).exists());
        let view = View::of(std::process::id(), libc::AT_FDCWD).unwrap();
        assert_eq!(view.missing_interpreter(b"/proc/self/exe"), None);
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(mut head: Vec<u8>, elf: bool) {
            if elf {
                head.splice(0..0, *b"\x7fELF\x02\x01\x01");
            }
            let _ = interpreter(&head);
        }
    }
}
