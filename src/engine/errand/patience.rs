//! How long the main loop may wait for helpers.

use std::time::{Duration, Instant};

use crate::engine::allowance::Allowance;

/// The longest wait for one answer. A slow machine may take long where nothing is wrong.
const LONGEST: Duration = Duration::from_secs(1);

/// The waiting that is allowed at the start, and at most at once.
const MOST: Duration = Duration::from_secs(2);

/// One part in so many of the time may be spent waiting, in the long run.
const PART: u32 = 10;

/// An answer that takes so long costs nothing: two switches between processes.
const FREE: Duration = Duration::from_millis(1);

/// Nor does so much work: reading the symbols of a large program is not an attack. Beyond that, it
/// may be.
const FREE_CPU: Duration = Duration::from_millis(100);

/// What is left to be waited. Whoever makes us wait, however often, does not keep us from other
/// events for more than one part in [`PART`].
#[derive(Debug)]
pub(super) struct Patience {
    allowance: Allowance,
    longest: Duration,
}

impl Patience {
    pub(super) fn new(now: Instant) -> Self {
        Self { allowance: Allowance::new(PART, MOST, now), longest: LONGEST }
    }

    /// For tests in which answers come, on a machine that may have much else to do.
    #[cfg(test)]
    pub(super) fn long(now: Instant) -> Self {
        let hour = Duration::from_secs(3600);
        Self { allowance: Allowance::new(PART, hour, now), longest: hour }
    }

    /// The longest that the next request may take. `None`: it may not be made at all.
    pub(super) fn left(&mut self, now: Instant) -> Option<Duration> {
        let left = (*self.allowance.left(now)).min(self.longest);
        // A wait that is too short for anybody would only cost a helper.
        Some(left).filter(|left| *left >= LONGEST / 10)
    }

    /// An answer came after `waited`, for which the helper worked `cpu`.
    pub(super) fn answered(&mut self, waited: Duration, cpu: Duration) {
        let free = FREE + cpu.min(FREE_CPU);
        self.allowance.spend(waited.saturating_sub(free));
    }

    /// No answer came in this time.
    pub(super) fn unanswered(&mut self, waited: Duration) {
        self.allowance.spend(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_costs_a_tenth_at_most() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        let (mut now, mut waited) = (begin, Duration::ZERO);
        for _ in 0..100_000 {
            match patience.left(now) {
                Some(most) => {
                    assert!(most <= LONGEST);
                    patience.unanswered(most);
                    (now, waited) = (now + most, waited + most);
                }
                None => now += Duration::from_millis(1),
            }
        }
        assert!(waited <= MOST + (now - begin) / PART, "{waited:?} of {:?}", now - begin);
        assert!(waited > MOST);
    }

    #[test]
    fn one_that_answers_just_in_time_costs_as_much() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        let slow = Duration::from_millis(950);
        for _ in 0..2 {
            assert_eq!(patience.left(begin), Some(LONGEST));
            patience.answered(slow + FREE, Duration::ZERO);
        }
        assert_eq!(patience.left(begin), Some(MOST - 2 * slow));
        patience.answered(slow, Duration::ZERO);
        assert_eq!(patience.left(begin), None);
    }

    #[test]
    fn work_is_not_waiting() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        let work = Duration::from_millis(90);
        for _ in 0..1000 {
            assert_eq!(patience.left(begin), Some(LONGEST));
            patience.answered(work + FREE, work);
        }
    }
}
