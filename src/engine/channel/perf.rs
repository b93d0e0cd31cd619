//! The reader of a BPF perf buffer, which restores the order of events: a buffer for each CPU does
//! not keep it.

use std::mem::offset_of;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use libbpf_rs::MapCore;
use nix::errno::Errno;

use super::SETTLE;
use super::perf_buffer::{PerfBuffer, Sink, attributes};
use super::ring::round_size;
use crate::output::time::boot_now_ns;
use crate::skel::task_id;

/// Default size for all CPUs together, and its limits for each: a program that sends at full speed
/// is most often on one of them.
const DEFAULT_BYTES: u64 = 64 * 1024 * 1024;
const DEFAULT_LIMITS: (u64, u64) = (2 * 1024 * 1024, 8 * 1024 * 1024);

/// The least that is tried if the default size is refused.
const SMALLEST_BYTES: u64 = 64 * 1024;

/// Default size for each CPU.
fn default_bytes() -> u64 {
    let cpus = libbpf_rs::num_possible_cpus().unwrap_or(1).max(1) as u64;
    (DEFAULT_BYTES / cpus).clamp(DEFAULT_LIMITS.0, DEFAULT_LIMITS.1)
}

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

impl Sink for Batch {
    fn take(&mut self, _: u32, kind: u32, bytes: &[u8]) {
        // The programs count records that find no room (event_lost()), because the kernel tells
        // them; counting the kernel's notice too would count them twice.
        if kind != libbpf_sys::PERF_RECORD_SAMPLE {
            return;
        }
        // u32 size; char data[size];
        let Some((size, data)) = bytes.split_first_chunk() else { return };
        if let Some(record) = data.get(..u32::from_ne_bytes(*size) as usize) {
            self.push(record);
        }
    }
}

/// A perf buffer opened for reading.
pub struct Perf(PerfBuffer<Batch>);

impl Perf {
    pub(super) fn open(map: &impl MapCore, bytes: Option<u64>) -> Result<Self, Errno> {
        let open = |bytes| {
            let attr = attributes(libbpf_sys::PERF_SAMPLE_RAW);
            PerfBuffer::open(map, round_size(bytes), attr, Batch::default()).map(Self)
        };
        if let Some(bytes) = bytes {
            return open(bytes);
        }
        let mut bytes = default_bytes();
        loop {
            match open(bytes) {
                // Users other than root have little memory for this (ulimit -l).
                Err(Errno::EPERM) if bytes > SMALLEST_BYTES => bytes /= 2,
                outcome => return outcome,
            }
        }
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.0.poll_fd()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.sink().records.is_empty()
    }

    pub(super) fn drain(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool> {
        let settled = if last { u64::MAX } else { boot_now_ns() - SETTLE.as_nanos() as u64 };
        self.0.consume().context("read the perf buffer")?;
        let mut batch = self.0.sink();
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
