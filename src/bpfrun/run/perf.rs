//! The reader of any perf buffer: with the kernel's time and CPU of each record, in the order of
//! the times, and with the losses.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::MapCore;

use crate::engine::channel::perf_buffer::{PerfBuffer, Sink, attributes};
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
    buffer: PerfBuffer<Pending>,
    /// Whether the kernel counts losses (Linux 6.0). Older kernels report them only with the next
    /// record that finds room.
    counts: bool,
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
        let mut attr = attributes(libbpf_sys::PERF_SAMPLE_TIME | libbpf_sys::PERF_SAMPLE_RAW);
        attr.clockid = libc::CLOCK_BOOTTIME;
        attr.set_use_clockid(1);
        attr.read_format = u64::from(libbpf_sys::PERF_FORMAT_LOST);
        if let Ok(buffer) = PerfBuffer::open(map, BYTES, attr, Pending::default()) {
            return Ok(Self { buffer, counts: true });
        }
        attr.read_format = 0;
        let buffer = PerfBuffer::open(map, BYTES, attr, Pending::default());
        Ok(Self { buffer: buffer.context("open a perf buffer")?, counts: false })
    }

    /// Becomes readable at a wakeup.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.buffer.poll_fd()
    }

    /// Takes out the records, in the order of time. `last`: nothing more will come, so nothing is
    /// held back. Returns whether there was anything.
    pub fn drain(&mut self, last: bool) -> Result<(Vec<Record>, bool)> {
        let settled = if last { u64::MAX } else { boot_now_ns() - SETTLE.as_nanos() as u64 };
        self.buffer.consume().context("read a perf buffer")?;
        // Read after the records, so that the count includes their losses.
        let counted = if last && self.counts { self.lost() } else { None };
        let mut pending = self.buffer.sink();
        let busy = !pending.records.is_empty();
        Ok((pending.take_settled(settled, counted), busy))
    }

    /// The kernel's count of losses, on all CPUs. `None` if it cannot be read.
    fn lost(&self) -> Option<u64> {
        let mut all = 0;
        for fd in self.buffer.fds() {
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
    fn take_settled(&mut self, settled: u64, counted: Option<u64>) -> Vec<Record> {
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

impl Sink for Pending {
    fn take(&mut self, cpu: u32, kind: u32, bytes: &[u8]) {
        if let Some((time_ns, content)) = parse(kind, bytes) {
            let time_ns = time_ns.unwrap_or_else(boot_now_ns);
            self.records.push(Record { time_ns, cpu, content });
        }
    }
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
            assert_eq!(pending.take_settled(settled, None), []);
        }
        pending.records.push(record(9, Content::Event(b"e".to_vec())));
        let told = pending.take_settled(10, None);
        assert_eq!(told.iter().map(|record| record.time_ns).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(lost(&told), 100);
        // The kernel counted 30 more, which no record reports.
        assert_eq!(lost(&pending.take_settled(u64::MAX, Some(130))), 30);
        assert_eq!(pending.take_settled(u64::MAX, Some(130)), []);
    }

    #[test]
    fn a_loss_that_was_counted_before_its_record_came_is_told_once() {
        let mut pending = Pending::default();
        assert_eq!(lost(&pending.take_settled(u64::MAX, Some(5))), 5);
        pending.records.push(record(1, Content::Lost(5)));
        assert_eq!(pending.take_settled(u64::MAX, Some(5)), []);
        pending.records.push(record(2, Content::Lost(3)));
        assert_eq!(lost(&pending.take_settled(u64::MAX, Some(10))), 5);
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
