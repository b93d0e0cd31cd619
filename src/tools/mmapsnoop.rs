//! Memory mappings: from a record of `mmap.bpf.c` to its parts.

pub mod args;
pub mod cells;
pub mod fields;
pub mod filters;
pub mod flags;
pub mod hooks;
pub mod json;
pub mod recorded;
pub mod replay;
pub mod rows;
pub mod summary;
pub mod summary_rows;
pub mod tallies;
#[doc(hidden)]
pub mod testing;
pub mod text;
pub mod wx;
pub mod wx_sums;

use std::borrow::Cow;
use std::mem::offset_of;

use crate::host::memory::page_size;
use crate::skel::{
    Event as _, decode, mmap_event, mmap_extra, mmap_kind, mmap_note, mmap_owner, mmap_scratch,
    task_id,
};

/// The most frames in a record: `MMAP_FRAMES` in mmap.h.
pub const FRAMES: usize =
    (offset_of!(mmap_scratch, user_stack) - offset_of!(mmap_scratch, kernel_stack)) / 8;

/// The kernel's last error number; results from there up to -1 are errors.
const MAX_ERRNO: i64 = 4095;

/// One call. Borrows from its record.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who and when
    pub id: task_id,
    /// The fixed part
    pub event: mmap_event,
    /// Members that only some calls have
    pub extra: Option<mmap_extra>,
    /// Resolved path of the file, or the name of a file outside of the tree; empty if there is no
    /// file. With [`mmap_note::MMAP_PATH_CUT`], its first components are missing.
    pub path: &'a [u8],
    /// Return addresses, innermost first
    pub kernel_stack: Frames<'a>,
    /// Return addresses, innermost first
    pub user_stack: Frames<'a>,
    /// With `--wx`: see [`Call::owners`]
    owners: &'a [u8],
}

impl<'a> Call<'a> {
    /// Takes a record apart. `None`: the record is shorter than its lengths say, or of an unknown
    /// kind.
    pub fn decode(record: &'a [u8]) -> Option<Self> {
        let (id, event) = mmap_event::decode(record).ok()?;
        if !(mmap_kind::MMAP_MAP.0..=mmap_kind::MMAP_ATTACH.0).contains(&event.kind.0) {
            return None;
        }
        let mut call = Self {
            id,
            event,
            extra: None,
            path: &[],
            kernel_stack: Frames::default(),
            user_stack: Frames::default(),
            owners: &[],
        };
        if !call.is(mmap_note::MMAP_EXTRA) {
            return Some(call);
        }
        let mut rest = record.get(size_of::<mmap_event>()..)?;
        let extra: mmap_extra = decode(rest).ok()?;
        rest = rest.get(size_of::<mmap_extra>()..)?;
        let mut take = |len: usize| -> Option<&'a [u8]> {
            let (part, behind) = rest.split_at_checked(len)?;
            rest = behind;
            Some(part)
        };
        call.path = take(event.path_len.into())?;
        call.kernel_stack = Frames { bytes: take(usize::from(extra.kernel_frames) * 8)? };
        call.user_stack = Frames { bytes: take(usize::from(extra.user_frames) * 8)? };
        call.owners = take(usize::from(extra.owners) * size_of::<mmap_owner>())?;
        call.extra = Some(extra);
        Some(call)
    }

    /// Whether `note` is set.
    pub fn is(&self, note: mmap_note) -> bool {
        self.event.notes.0 & note.0 != 0
    }

    /// A failure's error number; `None` for a success, or for a refused brk(), which has no error
    /// number.
    pub fn errno(&self) -> Option<i32> {
        let ret = self.event.ret;
        let failed = (-MAX_ERRNO..0).contains(&ret) && self.event.kind != mmap_kind::MMAP_BREAK;
        failed.then_some(-ret as i32)
    }

    /// Name of a failure's error: see [`crate::host::errno::name`].
    pub fn errno_name(&self) -> Option<Cow<'static, str>> {
        self.errno().map(crate::host::errno::name)
    }

    /// Whether brk() left the break where it was. A question for the break, with 0, is not a
    /// refusal.
    pub fn is_refused(&self) -> bool {
        self.event.kind == mmap_kind::MMAP_BREAK
            && self.event.addr != 0
            && self.event.addr != self.event.ret as u64
    }

    /// The address of the memory: the result, for calls that return an address, else the argument.
    /// `None`: the call failed.
    pub fn address(&self) -> Option<u64> {
        match self.event.kind {
            mmap_kind::MMAP_MAP | mmap_kind::MMAP_REMAP | mmap_kind::MMAP_ATTACH => {
                self.errno().is_none().then_some(self.event.ret as u64)
            }
            mmap_kind::MMAP_BREAK => Some(self.event.ret as u64),
            _ => Some(self.event.addr),
        }
    }

    /// The address that the caller asked mmap(), mremap() or shmat() to use, if it differs.
    pub fn hint(&self) -> Option<u64> {
        let hint = match self.event.kind {
            mmap_kind::MMAP_MAP | mmap_kind::MMAP_ATTACH => self.event.addr,
            // The fifth argument means something with MREMAP_FIXED only.
            mmap_kind::MMAP_REMAP if self.event.flags & flags::MREMAP_FIXED != 0 => self.event.prot,
            _ => 0,
        };
        (hint != 0 && self.address() != Some(hint)).then_some(hint)
    }

    /// The length: for mremap() the new one, for shmat() that of the mapping, if known; `None` for
    /// brk().
    pub fn length(&self) -> Option<u64> {
        match self.event.kind {
            mmap_kind::MMAP_REMAP => Some(self.event.offset),
            mmap_kind::MMAP_ATTACH => self.vma().map(|vma| vma.end.saturating_sub(vma.start)),
            mmap_kind::MMAP_BREAK => None,
            _ => Some(self.event.len),
        }
    }

    /// Whether the call maps no file: then the descriptor means nothing.
    pub fn is_anonymous(&self) -> bool {
        self.event.flags & flags::MAP_ANONYMOUS != 0
    }

    /// Device and inode of the file, as `stat()` has them for most file systems.
    pub fn file_id(&self) -> Option<FileId> {
        let extra = self.extra.filter(|_| self.is(mmap_note::MMAP_FILE))?;
        Some(FileId { device: Device(extra.dev), inode: extra.inode })
    }

    /// With `--wx`: what the mappings of the call belong to, and whether it is the file of the row.
    pub fn owners(&self) -> impl Iterator<Item = (mmap_owner, bool)> + use<'a> {
        let shown = self.extra.map_or(usize::MAX, |extra| extra.shown_owner.into());
        let each = self.owners.chunks_exact(size_of::<mmap_owner>()).enumerate();
        each.filter_map(move |(at, bytes)| Some((decode(bytes).ok()?, at == shown)))
    }

    /// With `--wx`: how much of the range of mprotect() was not looked at.
    pub fn unseen_bytes(&self) -> u64 {
        self.extra.map_or(0, |extra| u64::from(extra.unseen_kib) << 10)
    }

    /// The resulting mapping, if it was looked up and found; with `--wx` that of those in the range
    /// which the notes and the file are about.
    pub fn vma(&self) -> Option<Vma> {
        let extra = self.extra.filter(|_| self.is(mmap_note::MMAP_VMA))?;
        Some(Vma { start: extra.vma_start, end: extra.vma_end, flags: extra.vma_flags })
    }

    /// Differences between the resulting mapping and the request.
    pub fn differences(&self) -> impl Iterator<Item = &'static str> + use<> {
        let has_request =
            !matches!(self.event.kind, mmap_kind::MMAP_BREAK | mmap_kind::MMAP_ATTACH);
        let vma = self.vma().filter(|_| has_request);
        let (start, len) = (self.address(), self.length());
        let merged = vma.zip(start.zip(len)).is_some_and(|(vma, (start, len))| {
            let end = start.saturating_add(len).checked_next_multiple_of(page_size());
            vma.start < start || end.is_some_and(|end| vma.end > end)
        });
        let asked =
            if self.event.kind == mmap_kind::MMAP_REMAP { u64::MAX } else { self.event.prot };
        let added = vma.map_or(0, |vma| vma.flags & flags::VM_PROT & !asked);
        let added = |bit| added & bit != 0;
        [
            (merged, "merged"),
            (added(flags::VM_EXEC), "executable unasked"),
            (added(flags::VM_READ) && asked != 0, "readable unasked"),
        ]
        .into_iter()
        .filter_map(|(is, name)| is.then_some(name))
    }

    /// Nanoseconds from entry to exit, where measured.
    pub fn duration_ns(&self) -> Option<u64> {
        self.extra.filter(|_| self.is(mmap_note::MMAP_DURATION)).map(|extra| extra.duration_ns)
    }
}

/// Return addresses of a stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames<'a> {
    bytes: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Each, innermost first.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        let chunks = self.bytes.chunks_exact(8);
        chunks.map(|bytes| bytes.try_into().map_or(0, u64::from_ne_bytes))
    }
}

/// A device number as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device(pub u32);

impl Device {
    /// What kind of device it is
    pub fn major(self) -> u32 {
        self.0 >> 20
    }

    /// Which one of these
    pub fn minor(self) -> u32 {
        self.0 & 0xf_ffff
    }
}

impl std::fmt::Display for Device {
    /// `MAJOR:MINOR`, as in `/proc/PID/maps` but decimal, as `lsblk` shows it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major(), self.minor())
    }
}

/// The identity of a file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Of its file system
    pub device: Device,
    /// Its number there
    pub inode: u64,
}

/// A mapping of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vma {
    /// The first address
    pub start: u64,
    /// The first address behind it
    pub end: u64,
    /// `VM_READ` and so on
    pub flags: u64,
}

impl Vma {
    /// As in `/proc/PID/maps`: `rw-p`.
    pub fn mode(&self) -> [u8; 4] {
        let letter = |bit, yes, no| if self.flags & bit != 0 { yes } else { no };
        [
            letter(flags::VM_READ, b'r', b'-'),
            letter(flags::VM_WRITE, b'w', b'-'),
            letter(flags::VM_EXEC, b'x', b'-'),
            letter(flags::VM_MAYSHARE, b's', b'p'),
        ]
    }
}
