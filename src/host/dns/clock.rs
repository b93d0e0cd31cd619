//! From the time that a packet was received at, by the wall clock, to the boot clock of events.

use nix::time::{ClockId, clock_gettime};

/// Two readings of the clocks that are further apart are tried again.
const MAX_APART_NS: u64 = 20_000;

const TRIES: usize = 5;

const NS_PER_S: i128 = 1_000_000_000;

/// The distance between the clocks, and the time in which the waiting packets came in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// Wall clock minus boot clock
    offset_ns: i128,
    /// Whatever waits was received after this time
    since_ns: u64,
    /// When the clocks were read
    read_ns: u64,
}

impl Clock {
    /// Measures the distance. `boot_ns` reads `CLOCK_BOOTTIME`.
    pub(super) fn read(&mut self, boot_ns: fn() -> u64) {
        let mut best_apart = u64::MAX;
        for _ in 0..TRIES {
            let (before, wall, after) = (boot_ns(), wall_ns(), boot_ns());
            let apart = after.saturating_sub(before);
            if apart < best_apart {
                best_apart = apart;
                self.offset_ns = wall - i128::from(before) - i128::from(apart / 2);
            }
            self.read_ns = after;
            if apart <= MAX_APART_NS {
                break;
            }
        }
    }

    /// No packet waits any more: what comes next has come since the clocks were read.
    pub(super) fn all_read(&mut self) {
        self.since_ns = self.read_ns;
    }

    /// The boot clock's time of a packet that was read at `now_ns`. If somebody has set the wall
    /// clock meanwhile, it is at least a time at which the packet could have come. Without a time of
    /// its own it is the earliest: it came before what its receiver did then.
    pub(super) fn boot_ns(&self, received_ns: Option<i128>, now_ns: u64) -> u64 {
        let (since, now) = (i128::from(self.since_ns), i128::from(now_ns));
        let received = received_ns.map_or(since, |wall| wall - self.offset_ns);
        u64::try_from(received.min(now).max(since)).unwrap_or(now_ns)
    }
}

fn wall_ns() -> i128 {
    // Cannot fail: the clock exists, and the address is ours.
    clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |time| i128::from(time.tv_sec()) * NS_PER_S + i128::from(time.tv_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_have_their_own_time() {
        let mut clock = Clock::default();
        clock.read(|| 1_000_000_000);
        let now = wall_ns();
        // The readings are a moment apart; a second is far more.
        let ago = |ns: i128| clock.boot_ns(Some(now - ns), 1_000_000_000);
        assert!(ago(500_000_000).abs_diff(500_000_000) < 400_000_000);
        assert_eq!(ago(-5_000_000_000), 1_000_000_000, "nothing comes from the future");
        clock.all_read();
        assert_eq!(clock.boot_ns(None, 3_000_000_000), 1_000_000_000);
    }

    #[test]
    fn a_clock_that_was_set_makes_no_packet_older_than_the_last_look() {
        let mut clock = Clock::default();
        clock.read(|| 1_000_000_000);
        clock.all_read();
        clock.read(|| 2_000_000_000);
        assert_eq!(
            clock.boot_ns(Some(wall_ns() - 86_400_000_000_000), 2_000_000_000),
            1_000_000_000
        );
    }
}
