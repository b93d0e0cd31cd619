//! Rows that wait for the final account of a process, and those behind them.
//!
//! A process still uses time while it ends, above all to give back its memory. The kernel's account
//! is complete when the parent has waited for the process, mostly within a few milliseconds; a row
//! waits at most [`PATIENCE`] for it. Rows keep their order.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Identity;
use super::lives::Life;
use super::usage::Usage;
use crate::engine::tool::SETTLE;
use crate::skel::{process_exit_event, process_reaped_event};

/// The longest wait of a row: not longer than the end of a tool waits.
const PATIENCE: Duration = SETTLE;

/// The most rows that may wait.
const MOST: usize = 50_000;

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its end
    pub event: process_exit_event,
    /// What was known of it
    pub life: Option<Life>,
    /// The usage, as far as is known
    pub usage: Usage,
}

/// A future row.
#[derive(Debug)]
pub enum Row {
    /// An ended process, and whether its account is final
    Ended(Box<Ended>, bool),
    /// Any other record
    Other(Vec<u8>),
}

/// The rows.
#[derive(Debug, Default)]
pub struct Held {
    wait: bool,
    rows: VecDeque<Row>,
    /// Number of the first row: they are counted from 0
    first: u64,
    /// Ends that wait for their final account, with their row, if they have one
    awaited: HashMap<Identity, Option<u64>>,
    /// The same in the order of their ends
    deadlines: VecDeque<(Instant, Identity)>,
}

impl Held {
    /// `wait`: the programs send final accounts.
    pub fn new(wait: bool) -> Self {
        Self { wait, ..Self::default() }
    }

    /// Adds a row that need not wait.
    pub fn push(&mut self, row: Row) {
        self.rows.push_back(row);
    }

    /// Adds the end of a process; without a row if it is not `shown`.
    pub fn end(&mut self, ended: Ended, shown: bool, now: Instant) {
        let identity = ended.event.process.identity();
        let row = shown.then(|| self.first + self.rows.len() as u64);
        if shown {
            self.rows.push_back(Row::Ended(Box::new(ended), false));
        }
        if self.wait {
            self.awaited.insert(identity, row);
            self.deadlines.push_back((now + PATIENCE, identity));
        }
    }

    /// A final account.
    pub fn reaped(&mut self, event: &process_reaped_event) {
        let Some(Some(number)) = self.awaited.remove(&event.process.identity()) else { return };
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(Row::Ended(ended, is_final)) = index.and_then(|i| self.rows.get_mut(i)) {
            ended.usage = Usage::new(&event.usage);
            *is_final = true;
        }
    }

    /// The next row, if it need not wait any more. `all`: nothing more will come.
    pub fn pop(&mut self, all: bool, now: Instant) -> Option<Row> {
        self.give_up(now);
        if let Some(Row::Ended(ended, false)) = self.rows.front() {
            let waits = self.awaited.contains_key(&ended.event.process.identity());
            if waits && !all && self.rows.len() < MOST {
                return None;
            }
        }
        let row = self.rows.pop_front()?;
        self.first += 1;
        Some(row)
    }

    /// Gives up the rows that have waited long enough.
    fn give_up(&mut self, now: Instant) {
        while let Some((deadline, identity)) = self.deadlines.front() {
            let is_settled = !self.awaited.contains_key(identity);
            if !is_settled && *deadline > now {
                return;
            }
            self.awaited.remove(identity);
            self.deadlines.pop_front();
        }
    }

    /// Whether a final account is still missing.
    pub fn is_waiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// How long the first row may still wait.
    pub fn next_tick(&self, now: Instant) -> Option<Duration> {
        let (deadline, _) = self.deadlines.front()?;
        Some(deadline.saturating_duration_since(now).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(pid: u32) -> Ended {
        let mut event = process_exit_event::default();
        event.process.id.pid = pid;
        Ended { event, life: None, usage: Usage::default() }
    }

    fn account(pid: u32) -> process_reaped_event {
        let mut event = process_reaped_event::default();
        event.process.id.pid = pid;
        event.usage.runtime_ns = 7;
        event
    }

    fn next(held: &mut Held, now: Instant) -> Option<(u32, bool)> {
        match held.pop(false, now)? {
            Row::Ended(ended, is_final) => Some((ended.event.process.id.pid, is_final)),
            Row::Other(record) => Some((record.len() as u32, false)),
        }
    }

    #[test]
    fn rows_wait_in_their_order() {
        let (mut held, now) = (Held::new(true), Instant::now());
        held.end(ended(101), true, now);
        held.push(Row::Other(vec![0; 5]));
        held.end(ended(102), true, now);
        held.end(ended(103), false, now);
        assert_eq!(next(&mut held, now), None);
        held.reaped(&account(102));
        held.reaped(&account(999));
        assert_eq!(next(&mut held, now), None, "the first one is still to come");
        held.reaped(&account(101));
        assert_eq!(next(&mut held, now), Some((101, true)));
        assert_eq!(next(&mut held, now), Some((5, false)));
        assert_eq!(next(&mut held, now), Some((102, true)));
        assert_eq!(next(&mut held, now), None);
        assert!(held.is_waiting(), "for the one without a row");
        held.reaped(&account(103));
        assert!(!held.is_waiting());
        held.give_up(now);
        assert_eq!((held.next_tick(now), held.deadlines.len()), (None, 0));
    }

    #[test]
    fn not_for_ever() {
        let (mut held, now) = (Held::new(true), Instant::now());
        held.end(ended(101), true, now);
        assert_eq!(held.next_tick(now), Some(PATIENCE));
        let end = now + PATIENCE;
        assert_eq!(next(&mut held, end - Duration::from_nanos(1)), None);
        assert_eq!(next(&mut held, end), Some((101, false)));
        held.reaped(&account(101));
        assert!(!held.is_waiting());
    }

    #[test]
    fn nor_at_the_end_nor_without_accounts() {
        let (mut held, now) = (Held::new(true), Instant::now());
        held.end(ended(101), true, now);
        assert!(matches!(held.pop(true, now), Some(Row::Ended(_, false))));
        let mut held = Held::new(false);
        held.end(ended(101), true, now);
        assert_eq!(next(&mut held, now), Some((101, false)));
    }
}
