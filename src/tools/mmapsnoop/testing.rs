//! Records for tests and benchmarks, as the BPF programs make them.

use crate::skel::{mmap_event, mmap_extra, mmap_kind, mmap_note, mmap_owner};

fn bytes_of<T: plain::Plain>(value: &T) -> Vec<u8> {
    // SAFETY: plain integers without padding.
    unsafe { plain::as_bytes(value) }.to_vec()
}

/// A short record.
pub fn record(event: mmap_event) -> Vec<u8> {
    bytes_of(&event)
}

/// A record with a file's path.
pub fn with_path(mut event: mmap_event, path: &[u8]) -> Vec<u8> {
    event.notes = mmap_note(event.notes.0 | mmap_note::MMAP_FILE.0);
    event.path_len = path.len() as u16;
    let extra = mmap_extra { inode: 12345, dev: 8 << 20 | 1, ..mmap_extra::default() };
    let mut record = with_extra(event, extra);
    record.extend_from_slice(path);
    record
}

/// A record with more than the fixed part.
pub fn with_extra(mut event: mmap_event, extra: mmap_extra) -> Vec<u8> {
    event.notes = mmap_note(event.notes.0 | mmap_note::MMAP_EXTRA.0);
    let mut record = record(event);
    record.extend_from_slice(&bytes_of(&extra));
    record
}

/// A record of `--wx`; the first owner is the file of the row.
pub fn with_owners(event: mmap_event, owners: &[mmap_owner]) -> Vec<u8> {
    let extra = mmap_extra { owners: owners.len() as u16, ..mmap_extra::default() };
    let mut record = with_extra(event, extra);
    owners.iter().for_each(|owner| record.extend_from_slice(&bytes_of(owner)));
    record
}

/// Any bytes as the fixed part, and any behind it; lengths that often fit.
pub fn any_record(fixed: &[u8], rest: &[u8], path_len: u8) -> Vec<u8> {
    let mut event = mmap_event::default();
    if plain::copy_from_bytes(&mut event, fixed).is_ok() {
        event.kind = mmap_kind(event.kind.0 % 9);
        event.path_len = path_len.into();
    }
    let mut record = record(event);
    let frames = rest.first().map_or(0, |byte| u16::from(byte % 3));
    let extra = mmap_extra {
        vma_start: event.addr,
        vma_end: event.offset,
        vma_flags: event.prot,
        kernel_frames: frames,
        user_frames: frames,
        ..mmap_extra::default()
    };
    record.extend_from_slice(&bytes_of(&extra));
    record.extend_from_slice(rest);
    record
}
