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

/// The same for recorded events, whose times are the clock.
#[derive(Clone, Copy, Debug)]
pub struct RecordedInterval {
    period_ns: u64,
    next_ns: u64,
    /// Summaries without an event between them
    empty: u32,
}

/// The most summaries in a row of a time without events: hours, of seconds. A file may name any time.
const MOST_EMPTY: u32 = 100_000;

impl RecordedInterval {
    /// Begins at `began_ns`.
    pub fn new(period: Duration, began_ns: u64) -> Self {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { period_ns, next_ns: began_ns.saturating_add(period_ns), empty: 0 }
    }

    /// The time of a summary that is due before an event at `now_ns`: call again until there is
    /// none.
    pub fn due(&mut self, now_ns: u64) -> Option<u64> {
        if now_ns < self.next_ns {
            self.empty = 0;
            return None;
        }
        self.empty += 1;
        let due = self.next_ns;
        let missed = if self.empty < MOST_EMPTY { 0 } else { (now_ns - due) / self.period_ns };
        self.next_ns = due.saturating_add(self.period_ns.saturating_mul(missed + 1));
        if self.next_ns == u64::MAX && now_ns == u64::MAX { None } else { Some(due) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_intervals_follow_each_other() {
        let mut interval = RecordedInterval::new(Duration::from_nanos(10), 5);
        assert_eq!(interval.due(14), None);
        assert_eq!(
            [interval.due(36), interval.due(36), interval.due(36)],
            [Some(15), Some(25), Some(35)]
        );
        assert_eq!(interval.due(36), None);
        let due = std::iter::from_fn(|| interval.due(u64::MAX - 1)).count();
        assert!((1..200_000).contains(&due), "{due}");
        let mut last = RecordedInterval::new(Duration::from_nanos(1), u64::MAX - 1);
        assert!(std::iter::from_fn(|| last.due(u64::MAX)).count() < 200_000);
    }

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
