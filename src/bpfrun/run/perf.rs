//! The reader of any perf buffer: with the kernel's time and CPU of each record, in the order of
//! the times, and with the losses.

use std::cell::RefCell;
use std::ffi::c_void;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::MapCore;
use nix::errno::Errno;

use crate::engine::channel::ring::page_size;
use crate::output::time::boot_now_ns;

/// Bytes for each CPU.
const BYTES: u64 = 1024 * 1024;

/// A record may take this long from its time stamp to the buffer and still get its place in the
/// order: younger records wait.
const SETTLE: Duration = Duration::from_millis(5);

/// One entry of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `CLOCK_BOOTTIME` in nanoseconds
    pub time_ns: u64,
    /// The sender's CPU
    pub cpu: u32,
    /// What
    pub content: Content,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An event, with up to 7 bytes of padding behind it
    Event(Vec<u8>),
    /// So many events found no room
    Lost(u64),
}

/// A perf buffer opened for reading.
pub struct Perf {
    buffer: NonNull<libbpf_sys::perf_buffer>,
    /// Whether the kernel counts losses (Linux 6.0). Older kernels report them only with the next
    /// record that finds room.
    counts: bool,
    /// libbpf holds its address: it must not move.
    pending: Box<RefCell<Pending>>,
}

/// Records read and not handed over yet, and the losses reported so far.
#[derive(Default)]
struct Pending {
    records: Vec<Record>,
    told: u64,
}

impl Perf {
    /// Opens the buffer of a loaded map.
    pub fn open(map: &impl MapCore) -> Result<Self> {
        let pending: Box<RefCell<Pending>> = Box::default();
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
            if let Ok(buffer) = new_buffer(map, &mut attr, &pending) {
                return Ok(Self { buffer, counts: read_format != 0, pending });
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

    /// Takes out the records, in the order of time. `last`: nothing more will come, so nothing is
    /// held back. Returns whether there was anything.
    pub fn drain(&mut self, last: bool) -> Result<(Vec<Record>, bool)> {
        let settled = if last { u64::MAX } else { boot_now_ns() - SETTLE.as_nanos() as u64 };
        // SAFETY: the buffer is open; the callback borrows what is pending only while this runs.
        let result = unsafe { libbpf_sys::perf_buffer__consume(self.buffer.as_ptr()) };
        Errno::result(result).context("read a perf buffer")?;
        // Read after the records, so that the count includes their losses.
        let counted = if last && self.counts { self.lost() } else { None };
        let mut pending = self.pending.borrow_mut();
        let busy = !pending.records.is_empty();
        Ok((pending.take(settled, counted), busy))
    }

    /// The kernel's count of losses, on all CPUs. `None` if it cannot be read.
    fn lost(&self) -> Option<u64> {
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
            if usize::try_from(len) != Ok(size_of_val(&values)) {
                return None;
            }
            all += lost;
        }
        Some(all)
    }
}

impl Pending {
    /// Takes out the records up to `settled`, in the order of time. `counted`: all losses since the
    /// buffer was opened; losses that no record has reported come at the end.
    fn take(&mut self, settled: u64, counted: Option<u64>) -> Vec<Record> {
        self.records.sort_by_key(|record| record.time_ns);
        let ready = self.records.partition_point(|record| record.time_ns <= settled);
        let mut ready: Vec<_> = self.records.drain(..ready).collect();
        // Only for records that are handed over: the ones held back come here once more.
        for record in &mut ready {
            if let Content::Lost(count) = &mut record.content {
                // The kernel's own record may come after its count has been reported.
                if let Some(counted) = counted {
                    *count = (*count).min(counted.saturating_sub(self.told));
                }
                self.told += *count;
            }
        }
        ready.retain(|record| record.content != Content::Lost(0));
        let untold = counted.unwrap_or(0).saturating_sub(self.told);
        if untold > 0 {
            self.told += untold;
            let content = Content::Lost(untold);
            ready.push(Record { time_ns: boot_now_ns(), cpu: 0, content });
        }
        ready
    }
}

fn new_buffer(
    map: &impl MapCore,
    attr: &mut libbpf_sys::perf_event_attr,
    pending: &RefCell<Pending>,
) -> Result<NonNull<libbpf_sys::perf_buffer>, Errno> {
    let pages = BYTES / page_size();
    // SAFETY: libbpf reads `attr` until it returns, and hands `pending`, which lives longer
    // than the buffer, to the callback.
    let buffer = unsafe {
        libbpf_sys::perf_buffer__new_raw(
            map.as_fd().as_raw_fd(),
            pages as libbpf_sys::size_t,
            &raw mut *attr,
            Some(on_record),
            (&raw const *pending).cast_mut().cast(),
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

/// libbpf calls this for each record of the buffer. It must not panic.
unsafe extern "C" fn on_record(
    pending: *mut c_void,
    cpu: i32,
    event: *mut libbpf_sys::perf_event_header,
) -> libbpf_sys::bpf_perf_event_ret {
    // SAFETY: the pointer from `Perf::open`.
    let pending = unsafe { &*pending.cast::<RefCell<Pending>>() };
    // SAFETY: libbpf hands over a whole record, which begins with its header.
    let header = unsafe { *event };
    // SAFETY: as above; `size` counts the header too.
    let bytes = unsafe { std::slice::from_raw_parts(event.cast::<u8>(), header.size.into()) };
    let record = parse(header.type_, bytes.get(size_of_val(&header)..).unwrap_or_default());
    if let (Some((time_ns, content)), Ok(mut pending)) = (record, pending.try_borrow_mut()) {
        let time_ns = time_ns.unwrap_or_else(boot_now_ns);
        pending.records.push(Record { time_ns, cpu: cpu.unsigned_abs(), content });
    }
    libbpf_sys::LIBBPF_PERF_EVENT_CONT
}

/// Parses a record behind its header: its time, if any, and its content.
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

    fn record(time_ns: u64, content: Content) -> Record {
        Record { time_ns, cpu: 1, content }
    }

    fn lost(records: &[Record]) -> u64 {
        let count = |record: &Record| match record.content {
            Content::Lost(count) => count,
            Content::Event(_) => 0,
        };
        records.iter().map(count).sum()
    }

    #[test]
    fn a_loss_that_is_held_back_is_told_once() {
        let mut pending = Pending::default();
        pending.records.push(record(10, Content::Lost(100)));
        // Too young, three times.
        for settled in [7, 8, 9] {
            assert_eq!(pending.take(settled, None), []);
        }
        pending.records.push(record(9, Content::Event(b"e".to_vec())));
        let told = pending.take(10, None);
        assert_eq!(told.iter().map(|record| record.time_ns).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(lost(&told), 100);
        // The kernel counted 30 more, which no record reports.
        assert_eq!(lost(&pending.take(u64::MAX, Some(130))), 30);
        assert_eq!(pending.take(u64::MAX, Some(130)), []);
    }

    #[test]
    fn a_loss_that_was_counted_before_its_record_came_is_told_once() {
        let mut pending = Pending::default();
        assert_eq!(lost(&pending.take(u64::MAX, Some(5))), 5);
        pending.records.push(record(1, Content::Lost(5)));
        assert_eq!(pending.take(u64::MAX, Some(5)), []);
        pending.records.push(record(2, Content::Lost(3)));
        assert_eq!(lost(&pending.take(u64::MAX, Some(10))), 5);
    }

    #[test]
    fn records_of_the_kernel() {
        let mut sample = 5u64.to_ne_bytes().to_vec();
        sample.extend(4u32.to_ne_bytes());
        sample.extend(*b"abcd");
        let parsed = parse(libbpf_sys::PERF_RECORD_SAMPLE, &sample);
        assert_eq!(parsed, Some((Some(5), Content::Event(b"abcd".to_vec()))));
        // Shorter than its size says.
        assert_eq!(parse(libbpf_sys::PERF_RECORD_SAMPLE, &sample[..15]), None);
        let mut lost = 1u64.to_ne_bytes().to_vec();
        lost.extend(7u64.to_ne_bytes());
        let parsed = parse(libbpf_sys::PERF_RECORD_LOST, &lost);
        assert_eq!(parsed, Some((None, Content::Lost(7))));
        assert_eq!(parse(libbpf_sys::PERF_RECORD_LOST, &[]), None);
        assert_eq!(parse(99, &sample), None);
    }
}
