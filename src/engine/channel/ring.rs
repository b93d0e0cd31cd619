//! The reader of a BPF ring buffer.
//!
//! libbpf has one too. This one is here because it maps the data once, not twice (half
//! the resident memory of a tool), because it gives records to Rust code without a C
//! callback in between, which must not panic and cannot stop between two records
//! without losing one, and because it frees space for a batch of records at a time. The
//! layout is the kernel's interface: Documentation/bpf/ringbuf.rst, and the constants
//! `BPF_RINGBUF_*` of `linux/bpf.h`.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::Result;
use libbpf_rs::MapCore;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = libbpf_sys::BPF_RINGBUF_BUSY_BIT;
const DISCARD: u32 = libbpf_sys::BPF_RINGBUF_DISCARD_BIT;
const HEADER: usize = libbpf_sys::BPF_RINGBUF_HDR_SZ as usize;

/// The reader gives bytes back to the kernel after at most this many, or a quarter of the buffer.
const RELEASE_BYTES: u64 = 64 * 1024;

/// The nearest size that the kernel takes: a power of two of whole pages.
pub(super) fn round_size(bytes: u64) -> u64 {
    let page = page_size();
    bytes.clamp(page, 1 << 30).next_power_of_two()
}

/// Bytes of a page of memory.
pub(crate) fn page_size() -> u64 {
    // SAFETY: sysconf() only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// A mapping of part of the ring's memory.
struct Mapping {
    start: NonNull<libc::c_void>,
    len: usize,
}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, prot: ProtFlags, len: usize, offset: usize) -> Result<Self, Errno> {
        let size = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: a fresh mapping, at an address of the kernel's choice.
        let start = unsafe { mmap(None, size, prot, MapFlags::MAP_SHARED, fd, offset) }?;
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and nothing points into it any more.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}

/// A ring buffer opened for reading.
pub struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    size: usize,
    /// Bytes in use when space was last given back, at most since [`Ring::take_most_used`]
    most_used: u64,
    /// Scratch for a record that wraps around the end of the data.
    wrapped: Vec<u8>,
}

impl Ring {
    pub(super) fn open(map: &impl MapCore) -> Result<Self, Errno> {
        let fd = map.as_fd().try_clone_to_owned().map_err(|_| Errno::last())?;
        Self::over(fd, map.max_entries())
    }

    /// Opens the map behind a descriptor, with that many bytes.
    pub(crate) fn over(fd: OwnedFd, bytes: u32) -> Result<Self, Errno> {
        let page = page_size() as usize;
        let size = bytes as usize;
        let consumer_prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let consumer = Mapping::new(fd.as_fd(), consumer_prot, page, 0)?;
        let producer = Mapping::new(fd.as_fd(), ProtFlags::PROT_READ, page + size, page)?;
        Ok(Self { fd, consumer, producer, page, size, most_used: 0, wrapped: Vec::new() })
    }

    pub(crate) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The position of this reader, which alone writes it.
    fn consumer(&self) -> &AtomicU64 {
        // SAFETY: the mapping begins with the consumer position, an aligned unsigned long.
        unsafe { self.consumer.start.cast().as_ref() }
    }

    /// The position of the kernel.
    fn producer(&self) -> &AtomicU64 {
        // SAFETY: the mapping begins with the producer position, an aligned unsigned long.
        unsafe { self.producer.start.cast().as_ref() }
    }

    /// Bytes of data, in use or not.
    pub(crate) fn size(&self) -> u64 {
        self.size as u64
    }

    /// The largest number of bytes in use since the last call: read or unread, and not yet given
    /// back. Never too low, and too high only if programs sent something while space was given
    /// back.
    pub(crate) fn take_most_used(&mut self) -> u64 {
        std::mem::take(&mut self.most_used)
    }

    /// Gives the bytes from `released` to `position` back to the kernel.
    fn release(&mut self, released: u64, position: u64) {
        self.consumer().store(position, Ordering::Release);
        // The kernel had no room for more than that until now, however early the reader looked.
        let used = self.producer().load(Ordering::Acquire).saturating_sub(released);
        self.most_used = self.most_used.max(used);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.consumer().load(Ordering::Relaxed) >= self.producer().load(Ordering::Acquire)
    }

    pub(crate) fn drain(&mut self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> bool {
        let begin = self.consumer().load(Ordering::Relaxed);
        let mut position = begin;
        let mut released = begin;
        let enough_to_release = RELEASE_BYTES.min(self.size as u64 / 4);
        // At most one buffer's worth: the caller has output to flush and signals to see.
        let enough = position + self.size as u64;
        'outer: while position < enough {
            let end = self.producer().load(Ordering::Acquire);
            if position >= end {
                break;
            }
            while position < end {
                let header = self.header_at(position).load(Ordering::Acquire);
                if header & BUSY != 0 {
                    break 'outer; // reserved and not yet submitted
                }
                let len = (header & !(BUSY | DISCARD)) as usize;
                let next = position + (HEADER + len).next_multiple_of(8) as u64;
                let keep_on = if header & DISCARD == 0 {
                    self.with_record(position, len, each)
                } else {
                    ControlFlow::Continue(())
                };
                position = next;
                if position - released >= enough_to_release || keep_on.is_break() {
                    self.release(released, position);
                    released = position;
                }
                if keep_on.is_break() {
                    break 'outer;
                }
            }
        }
        self.release(released, position);
        position > begin
    }

    /// The address of the byte at `position` of the stream.
    fn data(&self, position: u64) -> *const u8 {
        let offset = (position as usize) & (self.size - 1);
        // SAFETY: `page + offset` is below `page + size`, the length of the mapping.
        unsafe { self.producer.start.as_ptr().cast::<u8>().add(self.page + offset) }
    }

    fn header_at(&self, position: u64) -> &AtomicU32 {
        // SAFETY: headers are 8-byte aligned, so none wraps around the end; the kernel
        // writes the length atomically.
        unsafe { &*self.data(position).cast::<AtomicU32>() }
    }

    fn with_record(
        &mut self,
        position: u64,
        len: usize,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let start = self.data(position + HEADER as u64);
        let len = len.min(self.size);
        let until_end = self.size - ((position as usize + HEADER) & (self.size - 1));
        if len <= until_end {
            // SAFETY: the submitted record lies within the data, and the kernel leaves it
            // alone until the consumer position has passed it.
            return each(unsafe { std::slice::from_raw_parts(start, len) });
        }
        // SAFETY: as above, up to the end of the data,
        let head = unsafe { std::slice::from_raw_parts(start, until_end) };
        let rest = self.data(position + (HEADER + until_end) as u64);
        // SAFETY: and from its beginning.
        let tail = unsafe { std::slice::from_raw_parts(rest, len - until_end) };
        self.wrapped.clear();
        self.wrapped.extend_from_slice(head);
        self.wrapped.extend_from_slice(tail);
        each(&self.wrapped)
    }
}

#[cfg(test)]
mod tests {
    use super::round_size;

    #[test]
    fn sizes_are_powers_of_two_of_whole_pages() {
        assert_eq!(round_size(0), 4096);
        assert_eq!(round_size(4097), 8192);
        assert_eq!(round_size(4 << 20), 4 << 20);
        assert_eq!(round_size(u64::MAX), 1 << 30);
    }
}
