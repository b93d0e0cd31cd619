//! `--max-cpu`: what is left out while the tool needs more of a CPU than it may.
//!
//! Detail goes first: what takes time to look up, such as names of functions in stacks. Then rows go,
//! half of the processes at each step. Each step is tried for a second; steps back are slower, so that
//! it does not swing.

use std::time::{Duration, Instant};

/// A step lasts so long.
const STEP: Duration = Duration::from_secs(1);

/// A step back needs so many quiet steps,
const QUIET: u32 = 5;
/// in which it needs less than this part of what it may.
const LITTLE: f64 = 0.4;

/// The most steps: rows of one of 4096 processes.
const MOST: u32 = 13;

/// How much is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shed(u32);

impl Shed {
    /// Whether what takes time to look up is left out.
    pub(crate) fn detail(self) -> bool {
        self.0 > 0
    }

    /// Rows of one of 2 to this power processes are shown.
    pub(crate) fn rows(self) -> u32 {
        self.0.saturating_sub(1)
    }

    /// Whether detail and rows are left out.
    pub(crate) fn kinds(self) -> (bool, bool) {
        (self.detail(), self.rows() > 0)
    }

    /// For people; `None`: nothing is left out.
    pub(crate) fn in_words(self) -> Option<String> {
        match self.0 {
            0 => None,
            1 => Some("what takes time to look up".to_owned()),
            _ => Some(format!(
                "all but rows of one of {} processes, and what takes time to look up",
                1 << self.rows()
            )),
        }
    }
}

/// Measures, and decides.
pub(crate) struct Governor {
    /// CPUs
    most: f64,
    level: u32,
    quiet: u32,
    at: Instant,
    cpu: Duration,
}

impl Governor {
    /// `percent`: of one CPU. `cpu`: what was used up to now.
    pub(crate) fn new(percent: f64, now: Instant, cpu: Duration) -> Self {
        Self { most: percent / 100.0, level: 0, quiet: 0, at: now, cpu }
    }

    /// How long until the next step.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        (self.at + STEP).saturating_duration_since(now)
    }

    pub(crate) fn shed(&self) -> Shed {
        Shed(self.level)
    }

    /// Decides, if it is time. `Some`: something has changed.
    pub(crate) fn step(&mut self, now: Instant, cpu: impl FnOnce() -> Duration) -> Option<Shed> {
        let passed = now.saturating_duration_since(self.at);
        if passed < STEP {
            return None;
        }
        let cpu = cpu();
        let used = cpu.saturating_sub(self.cpu).as_secs_f64() / passed.as_secs_f64();
        (self.at, self.cpu) = (now, cpu);
        let before = self.level;
        if used > self.most {
            self.quiet = 0;
            self.level = (self.level + 1).min(MOST);
        } else if used < self.most * LITTLE && self.level > 0 {
            self.quiet += 1;
            if self.quiet >= QUIET {
                (self.quiet, self.level) = (0, self.level - 1);
            }
        } else {
            self.quiet = 0;
        }
        (self.level != before).then(|| self.shed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_goes_before_rows_and_comes_back_last() {
        let begin = Instant::now();
        let mut governor = Governor::new(10.0, begin, Duration::ZERO);
        let mut cpu = Duration::ZERO;
        let mut second = |number: u32, percent: u64| {
            cpu += Duration::from_millis(percent * 10);
            governor.step(begin + STEP * number, || cpu)
        };
        assert_eq!(second(1, 9), None);
        assert_eq!(second(2, 11), Some(Shed(1)));
        assert!(Shed(1).detail() && Shed(1).rows() == 0);
        assert_eq!(second(3, 11), Some(Shed(2)));
        assert_eq!(Shed(2).rows(), 1);
        assert!((4..12).all(|number| second(number, 6).is_none()), "neither too much nor little");
        let back: Vec<_> = (12..30).filter_map(|number| second(number, 1)).collect();
        assert_eq!(back, [Shed(1), Shed(0)]);
        assert_eq!(Shed(0).in_words(), None);
        let more: Vec<_> = (30..60).filter_map(|number| second(number, 99)).collect();
        assert_eq!(more.len() as u32, MOST, "and no further");
        assert_eq!(governor.step(begin + STEP * 60, || cpu), None, "not yet");
    }
}
