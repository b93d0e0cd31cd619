//! `--summary`: the counts of the programs, taken out of their maps.
//!
//! Nothing is lost between two intervals: while one epoch is read and cleared, the programs count
//! in the other one. Before that, the reader waits for all programs that may still count in the
//! first.

use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapImpl};
use nix::errno::Errno;

use super::{Device, FileId};
use crate::output::escape::until_nul;
use crate::output::histogram::Histogram;
use crate::skel::mmap::MmapMaps;
use crate::skel::{
    decode, mmap_file_key, mmap_file_sum, mmap_note, mmap_process_key, mmap_process_sum, mmap_sum,
    mmap_totals,
};

/// Room for processes, and for files, in one interval.
pub const ENTRIES: u32 = 10_240;

/// Calls and bytes of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sum {
    /// Calls, failed ones too
    pub calls: u64,
    /// Of them, those that failed
    pub failed: u64,
    /// Bytes mapped
    #[serde(rename = "mapped_bytes")]
    pub bytes: u64,
}

impl Sum {
    fn of(sum: &mmap_sum) -> Self {
        Self { calls: sum.calls, failed: sum.failed, bytes: sum.bytes }
    }

    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }

    fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            failed: self.failed.saturating_sub(other.failed),
            bytes: self.bytes.wrapping_sub(other.bytes),
        }
    }
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSum {
    /// The calls of the process
    pub sum: Sum,
    pub pid: u32,
    /// The name, at the first call
    pub comm: Vec<u8>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSum {
    /// The calls with this file
    pub sum: Sum,
    /// Which it is
    pub id: FileId,
    /// The path at the first call; only the end of it, if `cut`
    pub path: Vec<u8>,
    /// The beginning of the path is missing
    pub cut: bool,
    /// The file has no name any more
    pub deleted: bool,
}

/// Everything that was counted in one interval.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// All calls
    pub total: Sum,
    /// Processes, those with the most calls first
    pub processes: Vec<ProcessSum>,
    /// Calls of processes that found no room
    pub other_processes: Sum,
    /// Files, those with the most calls first
    pub files: Vec<FileSum>,
    /// Calls with files that found no room
    pub other_files: Sum,
    /// Mappings without a file, and calls with a wrong descriptor
    pub anonymous: Sum,
    /// By length: see [`Histogram`]
    pub sizes: Histogram,
    /// By length, as numbers; classes without a call are left out
    pub lengths: Vec<Length>,
}

/// Calls with a length from `low` up to, but not including, `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Length {
    /// The least length
    pub low: u64,
    /// The least length above it
    pub high: u64,
    /// The calls
    #[serde(flatten)]
    pub sum: Sum,
}

impl Length {
    /// One bucket of a [`Histogram`].
    pub fn new(bucket: u32, sum: Sum) -> Self {
        let bound = |bits: u32| if bits == 0 { 0 } else { 1u64 << (bits - 1) };
        let high = if bucket >= u64::BITS { u64::MAX } else { bound(bucket + 1) };
        Self { low: bound(bucket.min(u64::BITS)), high, sum }
    }
}

/// Reads the maps.
#[derive(Debug, Default)]
pub struct Reader {
    epoch: u32,
}

impl Reader {
    /// The counts since the last time. `last`: nothing is attached any more.
    pub fn take(&mut self, maps: &MmapMaps<'_>, last: bool) -> Result<Summary> {
        let old = self.epoch;
        if !last {
            self.epoch ^= 1;
            let value = self.epoch.to_ne_bytes();
            maps.data_epoch.update(&[0; 4], &value, MapFlags::ANY).context("switch the epoch")?;
        }
        await_programs();
        let mut summary = Summary::default();
        read_totals(&maps.mmap_totals, old, &mut summary)?;
        for (key, value) in take_all(&maps.mmap_processes)? {
            let key: mmap_process_key = decode(&key)?;
            let value: mmap_process_sum = decode(&value)?;
            if key.epoch == old {
                let comm = until_nul(&value.comm).to_vec();
                summary.processes.push(ProcessSum { sum: Sum::of(&value.sum), pid: key.pid, comm });
                delete(&maps.mmap_processes, &key)?;
            }
        }
        for (key, value) in take_all(&maps.mmap_files)? {
            let key: mmap_file_key = decode(&key)?;
            let value: mmap_file_sum = decode(&value)?;
            if key.epoch == old {
                let is = |note: mmap_note| value.notes.0 & note.0 != 0;
                summary.files.push(FileSum {
                    sum: Sum::of(&value.sum),
                    id: FileId { device: Device(key.dev), inode: key.inode },
                    path: value.path.get(..value.path_len as usize).unwrap_or_default().to_vec(),
                    cut: is(mmap_note::MMAP_PATH_CUT),
                    deleted: is(mmap_note::MMAP_PATH_DELETED),
                });
                delete(&maps.mmap_files, &key)?;
            }
        }
        summary.processes.sort_by_key(|row| std::cmp::Reverse((row.sum.calls, row.sum.bytes)));
        summary.files.sort_by_key(|row| std::cmp::Reverse((row.sum.calls, row.sum.bytes)));
        Ok(summary)
    }
}

/// Waits until every program that may have begun in the old epoch has ended.
fn await_programs() {
    const GLOBAL: i32 = 1; // MEMBARRIER_CMD_GLOBAL: the kernel waits for an RCU grace period,
    // SAFETY: has no memory arguments. (which no tracing program spans)
    let done = Errno::result(unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) });
    if done.is_err() {
        // Kernels with nohz_full CPUs refuse membarrier(). A program takes microseconds.
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn read_totals(map: &MapImpl<'_>, epoch: u32, summary: &mut Summary) -> Result<()> {
    let key = epoch.to_ne_bytes();
    let bytes = map.lookup(&key, MapFlags::ANY).context("read the totals")?;
    let totals: mmap_totals = decode(&bytes.context("no totals")?)?;
    let zero = vec![0; size_of::<mmap_totals>()];
    map.update(&key, &zero, MapFlags::ANY).context("clear the totals")?;
    for (class, sum) in (0u32..).zip(&totals.sizes) {
        summary.total.add(Sum::of(sum));
        summary.sizes.add_to_bucket(class, sum.calls);
        if sum.calls > 0 {
            summary.lengths.push(Length::new(class, Sum::of(sum)));
        }
    }
    summary.other_processes = Sum::of(&totals.other_processes);
    summary.other_files = Sum::of(&totals.other_files);
    summary.anonymous = summary.total.minus(Sum::of(&totals.files));
    Ok(())
}

/// All keys with their values.
fn take_all(map: &MapImpl<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut all = Vec::new();
    for key in map.keys() {
        if let Some(value) = map.lookup(&key, MapFlags::ANY).context("read a summary")? {
            all.push((key, value));
        }
    }
    Ok(all)
}

fn delete<K: plain::Plain>(map: &MapImpl<'_>, key: &K) -> Result<()> {
    // SAFETY: plain integers without padding.
    map.delete(unsafe { plain::as_bytes(key) }).context("clear a summary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_buckets_of_the_histogram() {
        for bucket in 0..=64 {
            let mut histogram = Histogram::default();
            histogram.add_to_bucket(bucket, 1);
            let length = Length::new(bucket, Sum::default());
            let drawn = histogram.buckets();
            assert_eq!(drawn.len(), 1);
            assert_eq!((length.low, length.high), (drawn[0].low, drawn[0].high), "{bucket}");
        }
    }
}
