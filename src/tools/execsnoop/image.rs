//! The program of a process that may be gone: its constant strings are in its file.
//!
//! A page that the process never touched has the contents of the file. That it was not in memory
//! proves as much only for memory that cannot be written: written pages may have been swapped out.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use object::elf::{FileHeader32, FileHeader64, PF_W, PF_X, PT_LOAD};
use object::endian::Endianness;
use object::read::elf::{FileHeader, ProgramHeader};

use super::Exec;
use super::interpreter::is_ours;

/// The part of the file with the program headers, which linkers put first.
const HEAD: usize = 64 * 1024;

/// The longest string that is read.
const MOST_BYTES: u64 = 128 * 1024;

/// A file whose segments lie where the process had them.
pub(super) struct Image {
    file: File,
    segments: Vec<Segment>,
}

/// A part of the file, and its place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    address: u64,
    offset: u64,
    len: u64,
    flags: u32,
}

impl Image {
    /// The caller's program, if its file is still the same.
    pub(super) fn of(exec: &Exec<'_>) -> Option<Self> {
        if exec.image.is_empty() || !is_ours(exec.event.mnt_ns) {
            return None;
        }
        let root = File::open("/").ok()?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(exec.image));
        let file = File::from(openat2(&root, path, how).ok()?);
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.ino() != exec.event.image_inode {
            return None;
        }
        let mut head = vec![0; HEAD.min(usize::try_from(metadata.len()).unwrap_or(HEAD))];
        file.read_exact_at(&mut head, 0).ok()?;
        let mut segments = segments::<FileHeader64<Endianness>>(&head)
            .or_else(|| segments::<FileHeader32<Endianness>>(&head))?;
        // As the kernel computes mm->start_code.
        let code = segments.iter().filter(|segment| segment.flags & PF_X != 0);
        let first = code.map(|segment| segment.address).min()?;
        let shift = exec.event.image_start.wrapping_sub(first);
        for segment in &mut segments {
            segment.address = segment.address.wrapping_add(shift);
        }
        Some(Self { file, segments })
    }

    /// Appends the string at `address` with its NUL.
    pub(super) fn read_string(&self, address: u64, to: &mut Vec<u8>) -> Option<()> {
        let holds = |segment: &&Segment| {
            let into = address.checked_sub(segment.address);
            into.is_some_and(|into| into < segment.len) && segment.flags & PF_W == 0
        };
        let segment = self.segments.iter().find(holds)?;
        let into = address - segment.address;
        let most = (segment.len - into).min(MOST_BYTES);
        let mut bytes = vec![0; most as usize];
        self.file.read_exact_at(&mut bytes, segment.offset.checked_add(into)?).ok()?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        to.extend_from_slice(bytes.get(..=end)?);
        Some(())
    }
}

fn segments<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<Vec<Segment>> {
    let header = H::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let loads = header.program_headers(endian, head).ok()?.iter();
    let loads = loads.filter(|segment| segment.p_type(endian) == PT_LOAD);
    Some(
        loads
            .map(|segment| Segment {
                address: segment.p_vaddr(endian).into(),
                offset: segment.p_offset(endian).into(),
                len: segment.p_filesz(endian).into(),
                flags: segment.p_flags(endian),
            })
            .collect(),
    )
}
