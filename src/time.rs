//! Times of events. The kernel stamps them with `CLOCK_BOOTTIME`, which goes on during
//! suspend and which nobody can set; people want the wall clock.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::time::{ClockId, clock_gettime};

const NS_PER_S: i128 = 1_000_000_000;

fn clock_ns(clock: ClockId) -> i128 {
    // Cannot fail: both clocks exist since Linux 2.6.39, and the address is ours.
    clock_gettime(clock).map_or(0, |t| i128::from(t.tv_sec()) * NS_PER_S + i128::from(t.tv_nsec()))
}

/// `CLOCK_BOOTTIME` now, in nanoseconds: the time base of every event.
pub fn boot_now_ns() -> u64 {
    u64::try_from(clock_ns(ClockId::CLOCK_BOOTTIME)).unwrap_or(0)
}

/// Turns event times into wall-clock times.
///
/// The distance between the two clocks is taken anew for each batch of events
/// ([`WallClock::update`]), so a step of the wall clock shows in the next event.
#[derive(Clone, Debug)]
pub struct WallClock {
    /// Wall clock minus boot clock, in nanoseconds.
    offset_ns: i128,
    zone: TimeZone,
}

impl Default for WallClock {
    fn default() -> Self {
        let mut clock = Self { offset_ns: 0, zone: TimeZone::system() };
        clock.update();
        clock
    }
}

impl WallClock {
    /// Measures the distance between the clocks.
    pub fn update(&mut self) {
        // The boot clock is read before and after: half the difference is the error.
        let before = clock_ns(ClockId::CLOCK_BOOTTIME);
        let wall = clock_ns(ClockId::CLOCK_REALTIME);
        let after = clock_ns(ClockId::CLOCK_BOOTTIME);
        self.offset_ns = wall - (before + after) / 2;
    }

    /// The wall-clock time of `boot_ns`, an event's `CLOCK_BOOTTIME` in nanoseconds.
    pub fn at(&self, boot_ns: u64) -> Timestamp {
        let ns = i128::from(boot_ns) + self.offset_ns;
        Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// `HH:MM:SS` in the local time zone.
    pub fn local_time(&self, boot_ns: u64) -> String {
        let zoned = self.at(boot_ns).to_zoned(self.zone.clone());
        zoned.strftime("%H:%M:%S").to_string()
    }

    /// RFC 3339 in UTC with nanoseconds: `2026-01-31T12:00:00.000000001Z`.
    pub fn rfc3339(&self, boot_ns: u64) -> String {
        format!("{:.9}", self.at(boot_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(offset_ns: i128) -> WallClock {
        WallClock { offset_ns, zone: TimeZone::UTC }
    }

    #[test]
    fn event_times_become_wall_time() {
        let clock = clock(1_800_000_000 * NS_PER_S);
        assert_eq!(clock.rfc3339(1), "2027-01-15T08:00:00.000000001Z");
        assert_eq!(clock.local_time(61 * NS_PER_S as u64), "08:01:01");
    }

    #[test]
    fn impossible_times_do_not_panic() {
        assert_eq!(
            clock(i128::from(i64::MAX) * NS_PER_S).rfc3339(u64::MAX),
            "1970-01-01T00:00:00.000000000Z"
        );
    }

    #[test]
    fn now_is_now() {
        let shown = WallClock::default().at(boot_now_ns());
        let off = Timestamp::now().as_millisecond() - shown.as_millisecond();
        assert!(off.abs() < 1000, "{off} ms");
    }
}
