//! `--summary` of recorded calls: the sums that the programs count in a live run.

use std::collections::HashMap;

use super::summary::{ENTRIES, FileSum, Length, ProcessSum, Sum, Summary};
use super::{Call, FileId};
use crate::output::histogram::Histogram;
use crate::skel::{mmap_file_sum, mmap_note};

/// The calls of an interval.
#[derive(Debug, Default)]
pub struct Tallies {
    total: Sum,
    processes: HashMap<u32, ProcessSum>,
    other_processes: Sum,
    files: HashMap<FileId, FileSum>,
    other_files: Sum,
    anonymous: Sum,
    sizes: HashMap<u32, Sum>,
}

impl Tallies {
    /// Adds a call of mmap().
    pub fn add(&mut self, call: &Call<'_>) {
        let failed = call.errno().is_some();
        let bytes = if failed { 0 } else { call.event.len };
        let sum = Sum { calls: 1, failed: failed.into(), bytes };
        self.total.add(sum);
        let class = u64::BITS - call.event.len.leading_zeros();
        self.sizes.entry(class).or_default().add(sum);
        let pid = call.id.pid;
        if self.processes.len() < ENTRIES as usize || self.processes.contains_key(&pid) {
            let new = || ProcessSum { sum: Sum::default(), pid, comm: call.id.comm().to_vec() };
            self.processes.entry(pid).or_insert_with(new).sum.add(sum);
        } else {
            self.other_processes.add(sum);
        }
        match call.file_id() {
            None => self.anonymous.add(sum),
            Some(id) if self.files.len() < ENTRIES as usize || self.files.contains_key(&id) => {
                self.files.entry(id).or_insert_with(|| file(call, id)).sum.add(sum);
            }
            Some(_) => self.other_files.add(sum),
        }
    }

    /// The sums, the largest first.
    pub fn summary(self) -> Summary {
        let mut sizes = Histogram::default();
        let mut classes: Vec<_> = self.sizes.into_iter().collect();
        classes.sort_by_key(|(class, _)| *class);
        classes.iter().for_each(|(class, sum)| sizes.add_to_bucket(*class, sum.calls));
        let largest = |sum: &Sum| std::cmp::Reverse((sum.calls, sum.bytes));
        let mut processes: Vec<_> = self.processes.into_values().collect();
        processes.sort_by_key(|row| (largest(&row.sum), row.pid));
        let mut files: Vec<_> = self.files.into_values().collect();
        files.sort_by(|a, b| (largest(&a.sum), &a.path).cmp(&(largest(&b.sum), &b.path)));
        Summary {
            total: self.total,
            processes,
            other_processes: self.other_processes,
            files,
            other_files: self.other_files,
            anonymous: self.anonymous,
            sizes,
            lengths: classes.into_iter().map(|(class, sum)| Length::new(class, sum)).collect(),
        }
    }
}

/// A file without calls. Of a long path only the end is kept, as the programs do.
fn file(call: &Call<'_>, id: FileId) -> FileSum {
    let most = mmap_file_sum::default().path.len();
    let start = call.path.len().saturating_sub(most);
    FileSum {
        sum: Sum::default(),
        id,
        path: call.path.get(start..).unwrap_or_default().to_vec(),
        cut: start > 0 || call.is(mmap_note::MMAP_PATH_CUT),
        deleted: call.is(mmap_note::MMAP_PATH_DELETED),
    }
}
