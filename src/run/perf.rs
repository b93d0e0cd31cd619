//! The reader of any perf buffer: with the time and the CPU of each record, which the kernel
//! stamps, in the order of the times, and with what was lost.

use std::cell::RefCell;
use std::ffi::c_void;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::MapCore;
use nix::errno::Errno;

use crate::channel::ring::page_size;
use crate::time::boot_now_ns;

/// Bytes for each CPU.
const BYTES: u64 = 1024 * 1024;

/// A record may take this long from its time stamp into the buffer, and still gets its place
/// in the order: younger ones wait.
const SETTLE: Duration = Duration::from_millis(5);

/// What a buffer holds, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `CLOCK_BOOTTIME` in nanoseconds
    pub time_ns: u64,
    /// On which it was sent
    pub cpu: u32,
    /// What
    pub content: Content,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An event, with up to 7 bytes behind it that are no part of it
    Event(Vec<u8>),
    /// So many events found no room
    Lost(u64),
}

/// A perf buffer opened for reading.
pub struct Perf {
    buffer: NonNull<libbpf_sys::perf_buffer>,
    /// Whether the kernel counts what was lost (Linux 6.0). Older ones only tell of it with the
    /// next record that finds room.
    counts: bool,
    /// Losses that have been handed over
    told: u64,
    /// Its address is libbpf's: it must not move.
    records: Box<RefCell<Vec<Record>>>,
}

impl Perf {
    /// Opens the buffer of a loaded map.
    pub fn open(map: &impl MapCore) -> Result<Self> {
        let records: Box<RefCell<Vec<Record>>> = Box::default();
        let mut attr = libbpf_sys::perf_event_attr {
            type_: libbpf_sys::PERF_TYPE_SOFTWARE,
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            config: u64::from(libbpf_sys::PERF_COUNT_SW_BPF_OUTPUT),
            sample_type: u64::from(libbpf_sys::PERF_SAMPLE_TIME | libbpf_sys::PERF_SAMPLE_RAW),
            clockid: libc::CLOCK_BOOTTIME,
            ..Default::default()
        };
        attr.__bindgen_anon_1.sample_period = 1;
        attr.__bindgen_anon_2.wakeup_events = 1;
        attr.set_use_clockid(1);
        for read_format in [u64::from(libbpf_sys::PERF_FORMAT_LOST), 0] {
            attr.read_format = read_format;
            if let Ok(buffer) = new_buffer(map, &mut attr, &records) {
                return Ok(Self { buffer, counts: read_format != 0, told: 0, records });
            }
        }
        let error = Errno::last();
        Err(error).context("open a perf buffer")
    }

    /// Becomes readable at a wakeup.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the buffer is open.
        let fd = unsafe { libbpf_sys::perf_buffer__epoll_fd(self.buffer.as_ptr()) };
        // SAFETY: the descriptor lives as long as the buffer that is borrowed here.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// Takes out what is there, in the order of time. `last`: nothing more will come, so
    /// nothing is held back. Whether there was anything.
    pub fn drain(&mut self, last: bool) -> Result<(Vec<Record>, bool)> {
        let settled = if last { u64::MAX } else { boot_now_ns() - SETTLE.as_nanos() as u64 };
        // SAFETY: the buffer is open; the callback borrows the records only while this runs.
        let result = unsafe { libbpf_sys::perf_buffer__consume(self.buffer.as_ptr()) };
        Errno::result(result).context("read a perf buffer")?;
        let lost = if last && self.counts { self.lost() } else { 0 };
        let mut records = self.records.borrow_mut();
        self.told += records.iter().map(Record::lost).sum::<u64>();
        records.sort_by_key(|record| record.time_ns);
        let busy = !records.is_empty();
        let ready = records.partition_point(|record| record.time_ns <= settled);
        let mut ready: Vec<_> = records.drain(..ready).collect();
        if let Some(untold) = lost.checked_sub(self.told).filter(|&untold| untold > 0) {
            self.told = lost;
            let content = Content::Lost(untold);
            ready.push(Record { time_ns: boot_now_ns(), cpu: 0, content });
        }
        Ok((ready, busy))
    }

    /// What the kernel counted, on all CPUs.
    fn lost(&self) -> u64 {
        // SAFETY: the buffer is open.
        let buffers = unsafe { libbpf_sys::perf_buffer__buffer_cnt(self.buffer.as_ptr()) };
        let mut all = 0;
        for index in 0..buffers {
            // SAFETY: as above.
            let fd = unsafe { libbpf_sys::perf_buffer__buffer_fd(self.buffer.as_ptr(), index) };
            // u64 value; u64 lost;
            let mut values = [0u64; 2];
            // SAFETY: the kernel writes at most as many bytes as our array has.
            let len = unsafe { libc::read(fd, values.as_mut_ptr().cast(), size_of_val(&values)) };
            let [_, lost] = values;
            if usize::try_from(len) == Ok(size_of_val(&values)) {
                all += lost;
            }
        }
        all
    }
}

impl Record {
    fn lost(&self) -> u64 {
        match self.content {
            Content::Lost(count) => count,
            Content::Event(_) => 0,
        }
    }
}

fn new_buffer(
    map: &impl MapCore,
    attr: &mut libbpf_sys::perf_event_attr,
    records: &RefCell<Vec<Record>>,
) -> Result<NonNull<libbpf_sys::perf_buffer>, Errno> {
    let pages = BYTES / page_size();
    // SAFETY: libbpf reads `attr` until it returns, and hands `records`, which live longer
    // than the buffer, to the callback.
    let buffer = unsafe {
        libbpf_sys::perf_buffer__new_raw(
            map.as_fd().as_raw_fd(),
            pages as libbpf_sys::size_t,
            &raw mut *attr,
            Some(on_record),
            (&raw const *records).cast_mut().cast(),
            std::ptr::null(),
        )
    };
    NonNull::new(buffer).ok_or_else(Errno::last)
}

impl Drop for Perf {
    fn drop(&mut self) {
        // SAFETY: our own buffer, which nobody uses any more.
        unsafe { libbpf_sys::perf_buffer__free(self.buffer.as_ptr()) };
    }
}

/// libbpf calls it for each record of the buffer. It must not panic.
unsafe extern "C" fn on_record(
    records: *mut c_void,
    cpu: i32,
    event: *mut libbpf_sys::perf_event_header,
) -> libbpf_sys::bpf_perf_event_ret {
    // SAFETY: what `Perf::open` handed over.
    let records = unsafe { &*records.cast::<RefCell<Vec<Record>>>() };
    // SAFETY: libbpf hands over a whole record, which begins with its header.
    let header = unsafe { *event };
    // SAFETY: as above; `size` counts the header too.
    let bytes = unsafe { std::slice::from_raw_parts(event.cast::<u8>(), header.size.into()) };
    let record = parse(header.type_, bytes.get(size_of_val(&header)..).unwrap_or_default());
    if let (Some((time_ns, content)), Ok(mut records)) = (record, records.try_borrow_mut()) {
        let time_ns = time_ns.unwrap_or_else(boot_now_ns);
        records.push(Record { time_ns, cpu: cpu.unsigned_abs(), content });
    }
    libbpf_sys::LIBBPF_PERF_EVENT_CONT
}

/// The record behind its header: its time if it has one, and what it is.
fn parse(kind: u32, bytes: &[u8]) -> Option<(Option<u64>, Content)> {
    let number = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    match kind {
        // u64 time; u32 size; char data[size];
        libbpf_sys::PERF_RECORD_SAMPLE => {
            let size = u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?) as usize;
            let data = bytes.get(12..)?.get(..size)?;
            Some((number(0), Content::Event(data.to_vec())))
        }
        // u64 id; u64 lost;
        libbpf_sys::PERF_RECORD_LOST => Some((None, Content::Lost(number(8)?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_kernel() {
        let mut sample = 5u64.to_ne_bytes().to_vec();
        sample.extend(4u32.to_ne_bytes());
        sample.extend(*b"abcd");
        let parsed = parse(libbpf_sys::PERF_RECORD_SAMPLE, &sample);
        assert_eq!(parsed, Some((Some(5), Content::Event(b"abcd".to_vec()))));
        // Shorter than it says.
        assert_eq!(parse(libbpf_sys::PERF_RECORD_SAMPLE, &sample[..15]), None);
        let mut lost = 1u64.to_ne_bytes().to_vec();
        lost.extend(7u64.to_ne_bytes());
        let parsed = parse(libbpf_sys::PERF_RECORD_LOST, &lost);
        assert_eq!(parsed, Some((None, Content::Lost(7))));
        assert_eq!(parse(libbpf_sys::PERF_RECORD_LOST, &[]), None);
        assert_eq!(parse(99, &sample), None);
    }
}
