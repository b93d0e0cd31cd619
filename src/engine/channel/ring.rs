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

use anyhow::{Result, bail};
use libbpf_rs::MapCore;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::host::memory::page_size;

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

/// How far a batch of reading has come, in positions of the stream.
pub(super) struct Batch {
    begin: u64,
    position: u64,
    /// The kernel may write up to here
    released: u64,
    /// The records end here, at the last look
    end: u64,
    /// Enough for one batch
    enough: u64,
}

/// What comes next in a ring.
pub(super) enum Next {
    /// A record of so many bytes
    Record(usize),
    /// Nothing that could be read yet
    Nothing,
}

/// The bytes that a record of `len` bytes takes in the ring.
fn whole(len: usize) -> u64 {
    (HEADER + len).next_multiple_of(8) as u64
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
    /// The position of this reader. The one in shared memory is for the kernel: another process
    /// that has the map may write there, and we never read it again.
    position: u64,
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
        let (position, wrapped) = (0, Vec::new());
        let mut ring = Self { fd, consumer, producer, page, size, position, most_used: 0, wrapped };
        if !size.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        ring.position = ring.begin();
        Ok(ring)
    }

    /// Where to begin: at the first record that nobody has read yet, or behind all if that place
    /// cannot be.
    fn begin(&self) -> u64 {
        let end = self.producer().load(Ordering::Acquire);
        let begin = self.consumer().load(Ordering::Relaxed);
        let is_possible = begin % 8 == 0 && begin <= end && end - begin <= self.size as u64;
        if is_possible { begin } else { end }
    }

    pub(crate) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The position of this reader, for the kernel.
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
        self.position = position;
        self.consumer().store(position, Ordering::Release);
        // The kernel had no room for more than that until now, however early the reader looked.
        let used = self.producer().load(Ordering::Acquire).saturating_sub(released);
        self.most_used = self.most_used.max(used);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position >= self.producer().load(Ordering::Acquire)
    }

    /// Hands over the records; whether there were any.
    ///
    /// # Errors
    ///
    /// Those of [`Ring::next`].
    pub(crate) fn drain(&mut self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool> {
        let mut batch = self.begin_batch();
        while let Next::Record(len) = self.next(&mut batch)? {
            if self.take(&mut batch, len, each).is_break() {
                break;
            }
        }
        Ok(self.end_batch(&batch))
    }

    /// Begins to read records: at most a buffer's worth, because the caller has output to flush
    /// and signals to see.
    pub(super) fn begin_batch(&self) -> Batch {
        let begin = self.position;
        let enough = begin + self.size as u64;
        Batch { begin, position: begin, released: begin, end: begin, enough }
    }

    /// The next record that was not discarded.
    ///
    /// # Errors
    ///
    /// Another process has moved our position, so that the kernel wrote over records that were not
    /// read. Nobody knows how many.
    pub(super) fn next(&mut self, batch: &mut Batch) -> Result<Next> {
        loop {
            if batch.position >= batch.end {
                batch.end = self.producer().load(Ordering::Acquire);
                if batch.position >= batch.end || batch.position >= batch.enough {
                    return Ok(Next::Nothing);
                }
            }
            let header = self.header_at(batch.position).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return Ok(Next::Nothing); // reserved and not yet submitted
            }
            let len = (header & !(BUSY | DISCARD)) as usize;
            let left = batch.end - batch.position;
            if whole(len) > left || left > self.size as u64 {
                self.position = batch.end;
                self.release(batch.released, batch.end);
                bail!("another process writes to the ring buffer of our events");
            }
            if header & DISCARD == 0 {
                return Ok(Next::Record(len));
            }
            self.advance(batch, len);
        }
    }

    /// Hands over the record of `len` bytes that [`Ring::next`] has found.
    pub(super) fn take(
        &mut self,
        batch: &mut Batch,
        len: usize,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let keep_on = self.with_record(batch.position, len, each);
        self.advance(batch, len);
        keep_on
    }

    /// Goes past a record, and gives its place back if that is much by now.
    fn advance(&mut self, batch: &mut Batch, len: usize) {
        batch.position += whole(len);
        let enough_to_release = RELEASE_BYTES.min(self.size as u64 / 4);
        if batch.position - batch.released >= enough_to_release {
            self.release(batch.released, batch.position);
            batch.released = batch.position;
        }
    }

    /// Ends reading for now; whether anything was read.
    pub(super) fn end_batch(&mut self, batch: &Batch) -> bool {
        self.release(batch.released, batch.position);
        batch.position > batch.begin
    }

    /// The first eight bytes of the record that [`Ring::next`] has found, as a number; 0 if it has
    /// fewer.
    pub(super) fn first_number(&mut self, batch: &Batch) -> u64 {
        let len = self.header_at(batch.position).load(Ordering::Relaxed) as usize;
        if len < size_of::<u64>() {
            return 0;
        }
        // SAFETY: records begin at multiples of 8, as the size is one: these bytes lie together,
        // and the kernel leaves them alone until the consumer position has passed the record.
        unsafe { self.data(batch.position + HEADER as u64).cast::<u64>().read() }
    }

    /// The address of the byte at `position` of the stream.
    fn data(&self, position: u64) -> *const u8 {
        let offset = (position as usize) & (self.size - 1);
        // SAFETY: `page + offset` is below `page + size`, the length of the mapping.
        unsafe { self.producer.start.as_ptr().cast::<u8>().add(self.page + offset) }
    }

    fn header_at(&self, position: u64) -> &AtomicU32 {
        // SAFETY: positions are multiples of 8, and so is the size: no header wraps around the end.
        // The kernel writes the length atomically.
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
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    const SIZE: u64 = 4096;

    /// Memory that looks like a map: the consumer's page, the producer's, and the data.
    struct Memory(File);

    impl Memory {
        fn new() -> Self {
            let file = File::from(memfd_create(c"ring", MFdFlags::empty()).unwrap());
            file.set_len(2 * page_size() + SIZE).unwrap();
            Self(file)
        }

        fn ring(&self) -> Ring {
            Ring::over(self.0.try_clone().unwrap().into(), SIZE as u32).unwrap()
        }

        fn set(&self, offset: u64, value: u64) {
            self.0.write_all_at(&value.to_ne_bytes(), offset).unwrap();
        }

        fn set_consumer(&self, position: u64) {
            self.set(0, position);
        }

        fn set_producer(&self, position: u64) {
            self.set(page_size(), position);
        }

        /// A record of `len` bytes, each of which is `byte`.
        fn put(&self, position: u64, len: u32, byte: u8) {
            let place = |at: u64| 2 * page_size() + at % SIZE;
            self.set(place(position), u64::from(len));
            for at in 0..u64::from(len) {
                self.0.write_all_at(&[byte], place(position + HEADER as u64 + at)).unwrap();
            }
        }
    }

    fn read(ring: &mut Ring) -> Result<Vec<(usize, u8)>> {
        let mut records = Vec::new();
        ring.drain(&mut |record| {
            assert!(record.iter().all(|byte| *byte == record[0]), "{record:?}");
            records.push((record.len(), record[0]));
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }

    #[test]
    fn records_are_read_once_also_around_the_end() {
        let memory = Memory::new();
        memory.set_consumer(4064);
        memory.set_producer(4064);
        let mut ring = memory.ring();
        assert!(ring.is_empty() && read(&mut ring).unwrap().is_empty());
        memory.put(4064, 100, 7);
        memory.put(4176, 8, 8);
        memory.set_producer(4192);
        assert_eq!(read(&mut ring).unwrap(), [(100, 7), (8, 8)]);
        assert!(ring.is_empty());
        assert_eq!(ring.consumer().load(Ordering::Relaxed), 4192);
    }

    #[test]
    fn a_position_that_others_write_is_not_believed() {
        let memory = Memory::new();
        memory.put(0, 8, 1);
        memory.set_producer(16);
        for wrong in [1, 4095, 24, u64::MAX, u64::MAX - 7] {
            memory.set_consumer(wrong);
            let mut ring = memory.ring();
            assert!(ring.is_empty(), "{wrong}");
            assert!(read(&mut ring).unwrap().is_empty(), "{wrong}");
        }
        memory.set_consumer(0);
        let mut ring = memory.ring();
        memory.set_consumer(u64::MAX);
        assert_eq!(read(&mut ring).unwrap(), [(8, 1)]);
        memory.put(16, 8, 2);
        memory.set_producer(32);
        memory.set_consumer(4093);
        assert_eq!(read(&mut ring).unwrap(), [(8, 2)]);
    }

    #[test]
    fn records_that_were_written_over_are_an_error() {
        let memory = Memory::new();
        let mut ring = memory.ring();
        memory.put(0, 100, 1);
        memory.set(2 * page_size(), 4000);
        memory.set_producer(112);
        assert!(read(&mut ring).is_err(), "longer than what was sent");
        assert!(ring.is_empty());
        memory.set_producer(112 + SIZE + 8);
        assert!(read(&mut ring).is_err(), "more than there is room for");
    }

    #[test]
    fn sizes_are_powers_of_two_of_whole_pages() {
        assert_eq!(round_size(0), 4096);
        assert_eq!(round_size(4097), 8192);
        assert_eq!(round_size(4 << 20), 4 << 20);
        assert_eq!(round_size(u64::MAX), 1 << 30);
    }
}
