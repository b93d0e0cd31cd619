//! The interpreter on account of which a file that exists was not executed: the program after `#!`,
//! or the loader of an ELF file. The kernel returns the same errors for it as for the file.
//!
//! The files are read right after the event, in the process's own view of the file system; if the
//! process is gone, in the parent's view or ours if they are the same. So the answer is for that
//! moment.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use object::elf::{FileHeader32, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{FileHeader, ProgramHeader};

use super::Exec;
use crate::host::chosen;
use crate::skel::exec_flag;

/// The part of a file that is read: enough for `#!` and for the program headers, which linkers put
/// first.
const HEAD: u64 = 64 * 1024;

/// `BINPRM_BUF_SIZE`: the part of a script that the kernel looks at.
const SCRIPT_HEAD: usize = 256;

/// Interpreters of interpreters: the kernel follows five.
const DEPTH: usize = 5;

/// An interpreter that kept a program from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// As the file names it
    pub path: Vec<u8>,
    /// Its fault
    pub fault: Fault,
}

/// The fault of an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not exist
    Missing,
    /// It is a folder, a device or the like
    NoFile,
    /// Nobody, or not this user, may execute it
    NoPermission,
    /// Its file system is mounted with noexec
    NoexecMount,
    /// It is no program that the kernel knows
    UnknownFormat,
    /// It is the sixth in a row
    TooDeep,
}

impl Fault {
    /// All.
    pub(super) const ALL: [Self; 6] = [
        Self::Missing,
        Self::NoFile,
        Self::NoPermission,
        Self::NoexecMount,
        Self::UnknownFormat,
        Self::TooDeep,
    ];
}

impl Fault {
    /// That with these words.
    pub(super) fn of_words(words: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.words() == words)
    }

    /// In words, for all but [`Fault::Missing`].
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NoFile => "not a file",
            Self::NoPermission => "not executable",
            Self::NoexecMount => "on a file system without execution",
            Self::UnknownFormat => "of unknown format",
            Self::TooDeep => "after five others",
        }
    }
}

/// Whether an interpreter may have made this execution fail.
pub fn is_suspect(exec: &Exec<'_>) -> bool {
    exec.errno().is_some_and(may_be_interpreters) && !exec.is(exec_flag::EXEC_FILENAME_FAULT)
}

/// The interpreter that made this execution fail, if the file itself is in order. This may take for
/// ever: the process chose the files.
pub fn culprit(exec: &Exec<'_>) -> Option<Interpreter> {
    let errno = exec.errno().filter(|_| is_suspect(exec))?;
    let (event, id) = (&exec.event, &exec.event.id);
    let mut views = vec![id.pid];
    // A descriptor of execveat() exists only in the process.
    if event.dirfd == libc::AT_FDCWD {
        views.push(id.ppid);
        if exec.filename.starts_with(b"/") && is_ours(event.mnt_ns) {
            views.push(std::process::id());
        }
    }
    views
        .iter()
        .find_map(|&pid| View::of(pid, event.dirfd, id.euid)?.culprit(&exec.filename(), errno))
}

/// Errors that files and their interpreters share.
fn may_be_interpreters(errno: Errno) -> bool {
    is_lookup_error(errno) || matches!(errno, Errno::EACCES | Errno::ENOEXEC | Errno::ELIBBAD)
}

/// Errors of open().
fn is_lookup_error(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG)
}

/// Whether this mount namespace is our own.
pub(super) fn is_ours(mnt_ns: u32) -> bool {
    std::fs::metadata("/proc/self/ns/mnt").is_ok_and(|ns| ns.ino() as u32 == mnt_ns)
}

/// The file system as a process sees it.
struct View {
    root: File,
    /// The current directory, where relative names of interpreters begin
    cwd: File,
    /// Where the name of the file begins: the same, or a descriptor of execveat()
    start: Option<File>,
    euid: u32,
}

impl View {
    fn of(pid: u32, dirfd: i32, euid: u32) -> Option<Self> {
        let open = |name: &str| {
            let path = OFlag::O_PATH.bits();
            File::options().read(true).custom_flags(path).open(format!("/proc/{pid}/{name}")).ok()
        };
        let start = match dirfd {
            libc::AT_FDCWD => None,
            _ => Some(open(&format!("fd/{dirfd}"))?),
        };
        Some(Self { root: open("root")?, cwd: open("cwd")?, start, euid })
    }

    /// Finds a file as the process would, below its root. It may be anything: it is not opened.
    fn find(&self, start: &File, path: &[u8]) -> Result<File, Errno> {
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
        let (dir, how) = if path.starts_with(b"/") {
            (&self.root, how.resolve(ResolveFlag::RESOLVE_IN_ROOT))
        } else {
            (start, how)
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        openat2(dir.as_fd(), path, how).map(File::from)
    }

    fn culprit(&self, filename: &[u8], errno: Errno) -> Option<Interpreter> {
        let mut file = self.find(self.start.as_ref().unwrap_or(&self.cwd), filename).ok()?;
        if errno == Errno::EACCES && self.refusal(&file).is_some() {
            return None;
        }
        let mut head = read_head(&file)?;
        for depth in 0..=DEPTH {
            let path = interpreter(&head)?;
            let found = |fault| Some(Interpreter { path: path.clone(), fault });
            file = match self.find(&self.cwd, &path) {
                Err(error) if error == errno && is_lookup_error(errno) => {
                    return found(Fault::Missing);
                }
                Err(_) => return None,
                Ok(file) => file,
            };
            if errno == Errno::EACCES {
                if let Some(fault) = self.refusal(&file) {
                    return found(fault);
                }
            }
            let is_loader = is_elf(&head);
            head = read_head(&file)?;
            if is_loader || !(is_elf(&head) || interpreter(&head).is_some()) {
                let is_unknown = matches!(errno, Errno::ENOEXEC | Errno::ELIBBAD) && !is_elf(&head);
                return if is_unknown { found(Fault::UnknownFormat) } else { None };
            }
            if depth == DEPTH && errno == Errno::ELOOP {
                return found(Fault::TooDeep);
            }
        }
        None
    }

    /// Why the kernel surely does not execute this file. (An access list or a security module may
    /// refuse it too.)
    fn refusal(&self, file: &File) -> Option<Fault> {
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() {
            return Some(Fault::NoFile);
        }
        if fstatvfs(file).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_NOEXEC)) {
            return Some(Fault::NoexecMount);
        }
        // A capability makes up for a missing permission, but not if nobody has one.
        let needed = match (self.euid, metadata.uid()) {
            (0, _) => 0o111,
            (user, owner) if user == owner => 0o100,
            _ => 0o011,
        };
        (metadata.mode() & needed == 0).then_some(Fault::NoPermission)
    }
}

/// The beginning of a regular file. Nothing else is opened: reading might block or have effects.
fn read_head(file: &File) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let (again, _) = chosen::open(file).ok()?;
    again.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

/// The interpreter named at the beginning of a file.
fn interpreter(head: &[u8]) -> Option<Vec<u8>> {
    if let Some(line) = head.strip_prefix(b"#!") {
        // Like the kernel's load_script(): one line, blanks around the first word, which must end
        // in the part that the kernel looks at.
        let seen = line.get(..SCRIPT_HEAD - 2).unwrap_or(line);
        let line = seen.split(|&b| b == b'\n').next()?;
        let line = line.trim_ascii_start();
        let end = line.iter().position(|b| b" \t\0".contains(b)).unwrap_or(line.len());
        let is_cut = end == line.len() && seen.ends_with(line) && seen.len() == SCRIPT_HEAD - 2;
        return Some(line.get(..end)?.to_vec()).filter(|word| !word.is_empty() && !is_cut);
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
        let view = View::of(std::process::id(), libc::AT_FDCWD, 0).unwrap();
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::ENOEXEC, Errno::ELIBBAD, Errno::ELOOP] {
            assert_eq!(view.culprit(b"/proc/self/exe", errno), None);
        }
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
