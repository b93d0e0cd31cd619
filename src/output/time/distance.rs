//! The distance of the wall clock from the clock of events, to the nanosecond.
//!
//! The kernel keeps one clock, and adds a constant for each of the others: CLOCK_REALTIME and
//! CLOCK_BOOTTIME go on at the same rate, whatever NTP makes of that. The distance between them
//! changes only when somebody sets the wall clock. So it can be known exactly, and two tools, or two
//! runs, give a process the same time of birth. Two readings of the clocks one after the other would
//! not do: they are some tens of nanoseconds apart.

use std::fs::File;
use std::io::Read as _;
use std::sync::Mutex;

use nix::time::ClockId;

use super::{boot_ns, clock_ns};
use crate::host::timens;

/// How far the wall clock is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Distance {
    /// Wall clock minus the kernel's `CLOCK_BOOTTIME`
    pub(super) ns: i128,
    /// To the nanosecond; else it was measured, to less than a microsecond
    pub(super) is_exact: bool,
}

/// So often the clocks are read if there is an interruption in between.
const TRIES: usize = 8;

/// `None`: each try was interrupted.
pub(super) fn measure() -> Option<Distance> {
    let wall = wall_minus_monotonic()?;
    let asleep = asleep();
    Some(Distance { ns: wall - asleep.ns, is_exact: asleep.is_exact })
}

/// The coarse clocks stand still from one tick of the timer to the next, so that both can be read
/// as of the same tick.
fn wall_minus_monotonic() -> Option<i128> {
    let monotonic = || {
        let ahead = i128::from(timens::offsets().monotonic_ns);
        clock_ns(ClockId::CLOCK_MONOTONIC_COARSE) - ahead
    };
    (0..TRIES).find_map(|_| {
        let before = monotonic();
        let wall = clock_ns(ClockId::CLOCK_REALTIME_COARSE);
        (monotonic() == before).then_some(wall - before)
    })
}

/// How long the machine has slept: `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`, which have no coarse
/// forms. Mostly it has not, which is certain.
fn asleep() -> Distance {
    static KNOWN: Mutex<Option<Distance>> = Mutex::new(None);
    let (least, most) = asleep_between();
    let fits = |ns: i128| least <= ns && ns <= most;
    if fits(0) {
        return Distance { ns: 0, is_exact: true };
    }
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(known) = known.filter(|known| fits(known.ns)) {
        return known;
    }
    let told = told_by_timers().filter(|ns| fits(*ns));
    let measured = Distance { ns: (least + most) / 2, is_exact: false };
    let now = told.map_or(measured, |ns| Distance { ns, is_exact: true });
    *known = Some(now);
    now
}

/// The bounds that readings of the clocks give.
fn asleep_between() -> (i128, i128) {
    let mut bounds = (i128::MIN, i128::MAX);
    for _ in 0..TRIES {
        let before = boot_ns();
        let monotonic = i128::from(super::monotonic_now_ns());
        let after = boot_ns();
        bounds = (bounds.0.max(before - monotonic), bounds.1.min(after - monotonic));
        if bounds.0 <= 0 && 0 <= bounds.1 {
            break;
        }
    }
    bounds
}

/// As much of the file as is read: the clocks of one CPU come behind its timers.
const TIMERS: u64 = 1 << 20;

/// What the kernel's list of timers, which only root can read, says of `CLOCK_BOOTTIME`.
fn told_by_timers() -> Option<i128> {
    let mut text = String::new();
    File::open("/proc/timer_list").ok()?.take(TIMERS).read_to_string(&mut text).ok()?;
    offset_in(&text, BOOT_CLOCK)
}

/// The number of a clock in that list.
const BOOT_CLOCK: &str = " clock 2:";

/// ` clock N:`, and in the lines behind it `  .offset:     N nsecs`
fn offset_in(text: &str, clock: &str) -> Option<i128> {
    let lines = text.lines().skip_while(|line| *line != clock).skip(1);
    let of_clock = lines.take_while(|line| !line.starts_with(" clock "));
    let offset = of_clock.filter_map(|line| line.trim().strip_prefix(".offset:"));
    offset.filter_map(|offset| offset.trim().strip_suffix(" nsecs")?.parse().ok()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_same_each_time() {
        let measured = || measure().filter(|distance| distance.is_exact);
        let Some(first) = measured() else { return };
        let others = (0..1000).filter_map(|_| measured()).filter(|other| *other != first);
        assert_eq!(others.count(), 0, "(or the clock was set just now)");
        let near = clock_ns(ClockId::CLOCK_REALTIME) - boot_ns();
        assert!((first.ns - near).abs() < 50_000_000, "{first:?} {near}");
    }

    #[test]
    fn the_kernel_says_the_same() {
        let Ok(text) = std::fs::read_to_string("/proc/timer_list") else { return };
        let offsets = [" clock 1:", BOOT_CLOCK].map(|clock| offset_in(&text, clock));
        let [Some(wall), Some(boot)] = offsets else { return };
        let Some(distance) = measure().filter(|distance| distance.is_exact) else { return };
        assert_eq!(distance.ns, wall - boot);
    }

    #[test]
    fn a_list_of_timers() {
        let text = "now at 5 nsecs\n\ncpu: 0\n clock 0:\n  .index:      0\n  .offset:     0 nsecs\n\
                    active timers:\n #0: <1>, tick\n clock 1:\n  .offset:     17 nsecs\n clock 2:\n\
                    \x20 .base:       1\n  .offset:     -5 nsecs\n clock 3:\n  .offset:     9 nsecs\n";
        assert_eq!(offset_in(text, " clock 1:"), Some(17));
        assert_eq!(offset_in(text, BOOT_CLOCK), Some(-5));
        assert_eq!(offset_in("", BOOT_CLOCK), None);
        assert_eq!(offset_in(" clock 2:\n clock 3:\n .offset: 1 nsecs", BOOT_CLOCK), None);
    }
}
