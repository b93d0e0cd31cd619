//! The critical path: the chain of processes that decided how long a family took.
//!
//! It is followed from the end of the root backwards. Up to now the root waited for the child whose
//! end came last: what is behind that end is a step of the root's own, and what is before it is
//! decided by that child, in the same way, back to the child's birth. There the root goes on: it
//! bore the child then, so what it waited for before that is the child whose end came last before.
//!
//! A process can only wait for those whose parent it is at their end ([`Past::waiter`]): its own
//! children, less those that live longer than it, and orphans that came to it. At the birth of an
//! orphan the path goes on with the process that bore it.
//!
//! So each moment belongs to one process: the steps follow each other without gaps, and their sum is
//! the time that the root took.

pub mod json;
pub mod table;

use super::history::{History, Past};

/// A stretch of time that one process decided by itself, and not by a child that it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the process
    pub process: usize,
    /// `CLOCK_BOOTTIME` in nanoseconds
    pub from_ns: u64,
    pub until_ns: u64,
}

/// A process on the path. Times are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its index
    pub process: usize,
    /// How many processes of the path are above it
    pub depth: usize,
    /// Its part of the path, with that of the children it waited for
    pub from_ns: u64,
    pub until_ns: u64,
    /// The sum of its children's parts
    pub child_ns: u64,
}

/// What a process on the path spent its part of it on, nanoseconds. All three are the whole part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// On a CPU; `None` if that is not known for just this part of its life
    pub cpu_ns: Option<u64>,
    /// Waiting for children on the path
    pub child_ns: u64,
    /// Anything else: I/O, sleep, locks, pipes, waiting for a CPU; with the CPU time if that is not
    /// known
    pub other_ns: u64,
    /// CPU time beyond that: while a child of the path ran, or of several threads at once
    pub beside_ns: u64,
}

/// The path.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// In their order, without gaps
    pub steps: Vec<Step>,
    /// Each process of the path once, in the order of their parts; parents before children
    pub members: Vec<Member>,
    /// Why it may be another one
    pub unsure: Vec<String>,
}

/// A process whose part is being followed.
struct Frame {
    process: usize,
    depth: usize,
    from_ns: u64,
    until_ns: u64,
    /// Behind this all is decided
    at_ns: u64,
    /// How many of those it could wait for have not been looked at, of the first to end
    left: usize,
    child_ns: u64,
}

impl Frame {
    fn new(process: usize, depth: usize, from_ns: u64, until_ns: u64, left: usize) -> Self {
        Self { process, depth, from_ns, until_ns, at_ns: until_ns, left, child_ns: 0 }
    }
}

/// The process whose time the path explains: the oldest one without a parent. That is COMMAND, or
/// the process of `--tree`.
pub fn root(history: &History) -> Option<usize> {
    history.children().1.first().copied()
}

impl Path {
    /// The path to the end of `root`, or to the end of the picture if it has not ended.
    pub fn new(history: &History, root: usize) -> Self {
        let mut path = Self::default();
        let Some(past) = history.processes().get(root) else { return path };
        let (from_ns, until_ns) = history.drawn(past, history.until_ns);
        path.follow(history, Frame::new(root, 0, from_ns, until_ns, usize::MAX));
        path.steps.reverse();
        path.members.sort_by_key(|member| (member.from_ns, member.depth));
        path.unsure = path.doubts(history, past);
        path
    }

    /// Nanoseconds of the whole path.
    pub fn total_ns(&self) -> u64 {
        let (first, last) = (self.steps.first(), self.steps.last());
        first.zip(last).map_or(0, |(first, last)| last.until_ns - first.from_ns)
    }

    /// Nanoseconds that the path was on a CPU, and the rest of it.
    pub fn sums(&self, history: &History) -> (u64, u64) {
        let shares = self.members.iter().map(|member| member.shares(history));
        shares.fold((0, 0), |(cpu_ns, other_ns), shares| {
            (cpu_ns + shares.cpu_ns.unwrap_or(0), other_ns + shares.other_ns)
        })
    }

    fn follow(&mut self, history: &History, root: Frame) {
        let all = history.processes();
        let waited = waited_for(all);
        let mut taken = vec![false; all.len()];
        let mut stack = vec![root];
        while let Some(frame) = stack.last_mut() {
            let of_it = waited.get(frame.process).map(Vec::as_slice).unwrap_or_default();
            frame.left = frame.left.min(of_it.len());
            match last_ended(all, of_it, frame, &taken) {
                None => {
                    self.step(frame.process, frame.from_ns, frame.at_ns);
                    let Frame { process, depth, from_ns, until_ns, child_ns, .. } = *frame;
                    self.members.push(Member { process, depth, from_ns, until_ns, child_ns });
                    stack.pop();
                }
                Some((line, end_ns)) => {
                    self.step(frame.process, end_ns, frame.at_ns);
                    // From the child up: each one's part ends with the birth of the one before.
                    let (mut until_ns, depth) = (end_ns, frame.depth + 1);
                    let mut below = Vec::new();
                    for process in line {
                        let born_ns = all.get(process).map_or(0, |past| past.start_ns);
                        let from_ns = born_ns.clamp(frame.from_ns, until_ns);
                        below.push(Frame::new(process, depth, from_ns, until_ns, usize::MAX));
                        until_ns = from_ns;
                        taken.get_mut(process).into_iter().for_each(|taken| *taken = true);
                    }
                    frame.child_ns += end_ns - until_ns;
                    frame.at_ns = until_ns;
                    stack.extend(below.into_iter().rev());
                }
            }
        }
    }

    fn step(&mut self, process: usize, from_ns: u64, until_ns: u64) {
        if from_ns < until_ns {
            self.steps.push(Step { process, from_ns, until_ns });
        }
    }

    fn doubts(&self, history: &History, root: &Past) -> Vec<String> {
        let mut doubts = Vec::new();
        if history.lost > 0 {
            let records = crate::output::table::count(history.lost, "record");
            doubts.push(format!("{records} may be missing, and a process of the path with them"));
        }
        if history.forgotten > 0 {
            doubts.push(format!("{} processes are not in it", history.forgotten));
        }
        if root.end.is_none() {
            doubts.push("the end of the first process was not seen".to_owned());
        }
        let all = history.processes();
        let is_unknown = |past: &&Past| {
            past.parent.is_some() && !past.is_born && past.start_ns >= history.began_ns
        };
        let members = self.members.iter().filter_map(|member| all.get(member.process));
        let unknown = members.filter(is_unknown).count();
        if unknown > 0 {
            doubts.push(format!(
                "{} on it came without a word of their birth, and may have another parent",
                if unknown == 1 { "1 process".to_owned() } else { format!("{unknown} processes") }
            ));
        }
        doubts
    }
}

/// The last of those not looked at that ended within what is left of the frame's part, with the
/// line of those that it came from, and when it ended.
fn last_ended(
    all: &[Past],
    of_it: &[usize],
    frame: &mut Frame,
    taken: &[bool],
) -> Option<(Vec<usize>, u64)> {
    while let Some(&child) = of_it.get(frame.left.checked_sub(1)?) {
        frame.left -= 1;
        let end_ns = all.get(child)?.end?.time_ns;
        if end_ns <= frame.from_ns {
            return None; // and so did all the others
        }
        if end_ns > frame.at_ns {
            continue;
        }
        // Lives without any length could come twice.
        let line = line(all, child, frame.process);
        if !line.iter().any(|&process| taken.get(process) == Some(&true)) {
            return Some((line, end_ns));
        }
    }
    None
}

/// By process, those that it could wait for, in the order of their ends; of several that ended at
/// the same time the longest one is last.
fn waited_for(all: &[Past]) -> Vec<Vec<usize>> {
    let mut waited = vec![Vec::new(); all.len()];
    for (index, past) in all.iter().enumerate() {
        let waiter = past.end.and(past.waiter).filter(|&waiter| waiter != index);
        if let Some(of_it) = waiter.and_then(|waiter| waited.get_mut(waiter)) {
            of_it.push(index);
        }
    }
    let key = |&index: &usize| {
        let past = all.get(index);
        let end_ns = past.and_then(|past| past.end).map(|end| end.time_ns);
        (end_ns, std::cmp::Reverse(past.map(|past| past.start_ns)))
    };
    waited.iter_mut().for_each(|of_it| of_it.sort_by_key(key));
    waited
}

/// A process and its parents up to the one that waited for it, which is not in the list. If that is
/// no parent of its line, the process alone.
fn line(all: &[Past], child: usize, waiter: usize) -> Vec<usize> {
    let mut line = vec![child];
    let mut above = all.get(child).and_then(|past| past.parent);
    // (A recording may name parents in a circle.)
    while let Some(process) = above.filter(|&it| it != waiter && line.len() <= all.len()) {
        line.push(process);
        above = all.get(process).and_then(|past| past.parent);
    }
    if above.is_none() {
        line.truncate(1);
    }
    line
}

impl Member {
    /// Nanoseconds of its part.
    pub fn part_ns(&self) -> u64 {
        self.until_ns - self.from_ns
    }

    /// What it spent its part on.
    pub fn shares(&self, history: &History) -> Shares {
        let own_ns = self.part_ns().saturating_sub(self.child_ns);
        let past = history.processes().get(self.process);
        // The account is of the whole life: from COMMAND's release, if it is COMMAND.
        let end = past
            .and_then(|past| past.end)
            .filter(|end| end.time_ns == self.until_ns && end.lived_ns <= self.part_ns());
        let used_ns = end.map(|end| end.cpu_ns());
        let cpu_ns = used_ns.map(|used| used.min(own_ns));
        Shares {
            cpu_ns,
            child_ns: self.child_ns,
            other_ns: own_ns - cpu_ns.unwrap_or(0),
            beside_ns: used_ns.unwrap_or(0) - cpu_ns.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests;
