//! The interval of `--summary`.

use std::time::{Duration, Instant};

/// When the next summary is due.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    period: Duration,
    next: Instant,
}

impl Interval {
    /// Begins now.
    pub fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period }
    }

    /// Whether a summary is due; if so, the next one is a period later.
    pub fn is_due(&mut self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        // After a long stop one summary replaces all the missed ones.
        let period = self.period.as_nanos().max(1);
        let into_period = now.duration_since(self.next).as_nanos() % period;
        self.next = now + self.period - Duration::from_nanos(into_period as u64);
        true
    }

    /// How long until then.
    pub fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Due every `period` from a fixed moment on.
    fn interval(period: Duration) -> (Interval, Instant) {
        let start = Instant::now();
        (Interval { period, next: start + period }, start)
    }

    #[test]
    fn intervals_follow_each_other() {
        let second = Duration::from_secs(1);
        let (mut interval, start) = interval(second);
        assert!(!interval.is_due_at(start));
        assert!(interval.is_due_at(start + second));
        assert!(!interval.is_due_at(start + second), "once");
        assert_eq!(interval.next, start + 2 * second);
    }

    #[test]
    fn one_summary_makes_up_for_all_that_a_long_stop_missed() {
        let (mut interval, start) = interval(Duration::from_secs(25));
        // The second of the missed ones was due 10 seconds ago.
        assert!(interval.is_due_at(start + Duration::from_secs(60)));
        assert_eq!(interval.next, start + Duration::from_secs(75));
    }

    #[test]
    fn a_day_of_nanoseconds_is_not_counted_one_by_one() {
        let (mut interval, start) = interval(Duration::from_nanos(1));
        let day = start + Duration::from_secs(86_400);
        assert!(interval.is_due_at(day));
        assert_eq!(interval.next, day + Duration::from_nanos(1));
    }
}
