//! The reader of a BPF perf buffer: libbpf's, plus the order of events, which a buffer
//! for each CPU does not keep.

use std::cell::RefCell;
use std::mem::offset_of;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, PerfBuffer, PerfBufferBuilder};
use nix::errno::Errno;

use crate::output::time::boot_now_ns;
use crate::skel::task_id;

/// Default size for each CPU.
const DEFAULT_BYTES: u64 = 2 * 1024 * 1024;

/// An event may take this long from its time stamp to the buffer and still get its place in the
/// order: younger events wait.
const SETTLE: Duration = Duration::from_millis(5);

/// Records read and not handed over yet: their bytes, and the place of each.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// (event time in ns, start, end)
    records: Vec<(u64, usize, usize)>,
}

impl Batch {
    fn push(&mut self, record: &[u8]) {
        // A task_id leads every event, and the time leads that.
        const { assert!(offset_of!(task_id, time_ns) == 0) };
        let time = record.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.records.push((time, start, self.bytes.len()));
    }
}

/// A perf buffer opened for reading.
pub struct Perf {
    buffer: PerfBuffer<'static>,
    batch: Rc<RefCell<Batch>>,
}

impl Perf {
    pub(super) fn open(map: &impl MapCore, bytes: Option<u64>) -> Result<Self, Errno> {
        let batch = Rc::new(RefCell::new(Batch::default()));
        let sink = Rc::clone(&batch);
        let pages = super::ring::round_size(bytes.unwrap_or(DEFAULT_BYTES)) / 4096;
        let buffer = PerfBufferBuilder::new(map)
            .pages(usize::try_from(pages).map_err(|_| Errno::EOVERFLOW)?)
            .sample_cb(move |_cpu, record: &[u8]| sink.borrow_mut().push(record))
            // The programs count records that find no room (event_lost()), because the kernel tells
            // them; counting the kernel's notice too would count them twice.
            .lost_cb(|_cpu, _count| {})
            .build()
            .map_err(|_| Errno::last())?;
        Ok(Self { buffer, batch })
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor lives as long as the buffer that is borrowed here.
        unsafe { BorrowedFd::borrow_raw(self.buffer.epoll_fd()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.borrow().records.is_empty()
    }

    pub(super) fn drain(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool> {
        let settled = if last { u64::MAX } else { boot_now_ns() - SETTLE.as_nanos() as u64 };
        self.buffer.consume().context("read the perf buffer")?;
        let mut batch = self.batch.borrow_mut();
        let Batch { bytes, records } = &mut *batch;
        records.sort_by_key(|&(time, ..)| time);

        let ready = records.partition_point(|&(time, ..)| time <= settled);
        let busy = !records.is_empty();
        for (_, start, end) in records.drain(..ready) {
            if each(bytes.get(start..end).unwrap_or_default()).is_break() {
                break;
            }
        }
        // Close the gap left by the records that were handed over.
        let mut kept = Vec::new();
        for (_, start, end) in records.iter_mut() {
            let at = kept.len();
            kept.extend_from_slice(bytes.get(*start..*end).unwrap_or_default());
            (*start, *end) = (at, kept.len());
        }
        *bytes = kept;
        Ok(busy)
    }
}
