//! Time for something that others can make last: one part of all time in the long run, and no more
//! than so much at once.

use std::time::{Duration, Instant};

/// What may be spent. It grows while time passes.
#[derive(Debug)]
pub struct Allowance {
    part: u32,
    most: Duration,
    left: Duration,
    at: Instant,
}

impl Allowance {
    /// One of `part` parts of the time from `now` on, and `most` at the start and at once.
    pub fn new(part: u32, most: Duration, now: Instant) -> Self {
        Self { part, most, left: most, at: now }
    }

    /// What may be spent at this time; the caller takes off what it spends.
    pub fn left(&mut self, now: Instant) -> &mut Duration {
        let grown = now.saturating_duration_since(self.at) / self.part;
        (self.left, self.at) = ((self.left + grown).min(self.most), now);
        &mut self.left
    }

    /// So much was spent.
    pub fn spend(&mut self, spent: Duration) {
        self.left = self.left.saturating_sub(spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_a_part_of_the_time() {
        let (part, most) = (4, Duration::from_millis(100));
        let begin = Instant::now();
        let mut allowance = Allowance::new(part, most, begin);
        let later = begin + Duration::from_secs(100);
        assert_eq!(*allowance.left(later), most, "it does not add up for ever");
        allowance.spend(most);
        let step = Duration::from_millis(8);
        for number in 1..=4 {
            allowance.left(later + step * number);
        }
        assert_eq!(*allowance.left(later + step * 4), step * 4 / part);
    }
}
