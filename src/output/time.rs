//! Times of events. The kernel stamps them with `CLOCK_BOOTTIME`, which goes on during suspend and
//! which nobody can set; people want the wall clock.

mod distance;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::time::{ClockId, clock_gettime};

use crate::host::timens;
use crate::output::digits::nine_digits;

const NS_PER_S: i128 = 1_000_000_000;

/// Nanoseconds, displayed as seconds with three digits behind the point.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0 / 1_000_000;
        f.pad(&format!("{}.{:03}", millis / 1000, millis % 1000))
    }
}

/// Nanoseconds, displayed as milliseconds with three digits behind the point.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub u64);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0 / 1000;
        f.pad(&format!("{}.{:03}", micros / 1000, micros % 1000))
    }
}

fn clock_ns(clock: ClockId) -> i128 {
    // Cannot fail: the clocks exist since Linux 2.6.39, and the address is ours.
    clock_gettime(clock).map_or(0, |t| i128::from(t.tv_sec()) * NS_PER_S + i128::from(t.tv_nsec()))
}

/// The kernel's `CLOCK_BOOTTIME`, which our time namespace may have an offset to.
fn boot_ns() -> i128 {
    clock_ns(ClockId::CLOCK_BOOTTIME) - i128::from(timens::offsets().boot_ns)
}

/// The kernel's `CLOCK_BOOTTIME` now, in nanoseconds: the time base of every event.
pub fn boot_now_ns() -> u64 {
    u64::try_from(boot_ns()).unwrap_or(0)
}

/// The kernel's `CLOCK_MONOTONIC` now, in nanoseconds: the boot clock less the time of suspend.
pub fn monotonic_now_ns() -> u64 {
    let ns = clock_ns(ClockId::CLOCK_MONOTONIC) - i128::from(timens::offsets().monotonic_ns);
    u64::try_from(ns).unwrap_or(0)
}

/// Where the distance between the clocks is not known exactly, a smaller change is none. So the
/// times of a run's events lie exactly as far from each other as the events.
const STEP_NS: i128 = 100_000;

/// Turns event times into wall-clock times.
///
/// The distance between the two clocks is measured for each batch of events
/// ([`WallClock::update`]), so a step of the wall clock shows in the next event.
#[derive(Clone, Debug)]
pub struct WallClock {
    /// Wall clock minus boot clock, in nanoseconds.
    offset_ns: i128,
    /// That of the beginning
    epoch: Epoch,
    /// It is not measured: see [`WallClock::fix`]
    is_fixed: bool,
    /// Found when the first local time is shown, which may be never
    zone: Option<TimeZone>,
    form: TimeForm,
    second: ShownSecond,
}

/// The distance between the clocks when a run began. A time of birth is made with this one, even if
/// the wall clock is set later: so it is the same in all rows of the run, and with that of
/// `trace.start` anybody can make it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    offset_ns: i128,
}

impl Epoch {
    /// RFC 3339 in UTC with nanoseconds.
    pub fn rfc3339(self, boot_ns: u64) -> String {
        let ns = i128::from(boot_ns) + self.offset_ns;
        format!("{:.9}", Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

/// How times are shown in text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeForm {
    /// In UTC, with a Z, instead of the local time zone
    pub utc: bool,
    /// With the date in front
    pub date: bool,
}

impl TimeForm {
    /// Columns of a time to the millisecond, such as `12:00:00.000`.
    pub const fn width(self) -> usize {
        12 + if self.date { "2026-01-31T".len() } else { 0 } + if self.utc { 1 } else { 0 }
    }
}

/// The second that was shown last: see [`WallClock::stamp`].
#[derive(Clone, Debug)]
struct ShownSecond {
    /// Its beginning on the boot clock; `None`: no second yet
    began_ns: Option<u64>,
    /// The [`WallClock::offset_ns`] of that time
    offset_ns: i128,
    text: [u8; STAMP_LEN],
}

/// `2026-01-31T12:00:00.000000001Z`
const STAMP_LEN: usize = 30;
/// The place of the nanoseconds.
const STAMP_NANOS: std::ops::Range<usize> = 20..29;

impl Default for WallClock {
    fn default() -> Self {
        let second = ShownSecond { began_ns: None, offset_ns: 0, text: [0; STAMP_LEN] };
        let form = TimeForm::default();
        let epoch = Epoch::default();
        let mut clock = Self { offset_ns: 0, epoch, is_fixed: false, zone: None, form, second };
        clock.update();
        clock.epoch = Epoch { offset_ns: clock.offset_ns };
        clock
    }
}

impl WallClock {
    /// Measures the distance between the clocks.
    pub fn update(&mut self) {
        if self.is_fixed {
            return;
        }
        if let Some(distance) = distance::measure() {
            let change = (distance.ns - self.offset_ns).abs();
            if distance.is_exact || change >= STEP_NS {
                self.offset_ns = distance.ns;
            }
        }
    }

    /// For times of birth.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// From now on, the distance is this one: that of the machine and the time of a recording.
    pub fn fix(&mut self, offset_ns: i128) {
        (self.offset_ns, self.is_fixed) = (offset_ns, true);
        self.epoch = Epoch { offset_ns };
    }

    /// The wall-clock time of `boot_ns`, an event's `CLOCK_BOOTTIME` in nanoseconds.
    pub fn at(&self, boot_ns: u64) -> Timestamp {
        let ns = i128::from(boot_ns) + self.offset_ns;
        Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The same as a duration.
    pub fn since_1970(&self, boot_ns: u64) -> Duration {
        let ns = u64::try_from(i128::from(boot_ns) + self.offset_ns);
        Duration::from_nanos(ns.unwrap_or(0))
    }

    /// From now on, local times have this form.
    pub fn set_form(&mut self, form: TimeForm) {
        self.form = form;
        if form.utc {
            self.zone = Some(TimeZone::UTC);
        }
    }

    /// `HH:MM:SS` in the local time zone; see [`WallClock::find_zone`].
    pub fn local_time(&self, boot_ns: u64) -> String {
        self.local(boot_ns, "%H:%M:%S")
    }

    /// `HH:MM:SS.` and milliseconds in the local time zone; see [`WallClock::find_zone`].
    pub fn local_time_ms(&self, boot_ns: u64) -> String {
        self.local(boot_ns, "%H:%M:%S%.3f")
    }

    /// `HH:MM:SS.` and microseconds in the local time zone; see [`WallClock::find_zone`].
    pub fn local_time_us(&self, boot_ns: u64) -> String {
        self.local(boot_ns, "%H:%M:%S%.6f")
    }

    fn local(&self, boot_ns: u64, format: &str) -> String {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let date = if self.form.date { "%Y-%m-%dT" } else { "" };
        let utc = if self.form.utc { "Z" } else { "" };
        self.at(boot_ns).to_zoned(zone).strftime(&format!("{date}{format}{utc}")).to_string()
    }

    /// Looks for the local time zone, before the first local time is shown.
    ///
    /// # Errors
    ///
    /// The value of the environment variable TZ names no time zone: times are UTC.
    pub fn find_zone(&mut self) -> Result<(), String> {
        if self.zone.is_some() {
            return Ok(());
        }
        let zone = zone();
        self.zone = Some(zone.clone().unwrap_or(TimeZone::UTC));
        zone.map(|_| ())
    }

    /// RFC 3339 in UTC with nanoseconds: `2026-01-31T12:00:00.000000001Z`.
    pub fn rfc3339(&self, boot_ns: u64) -> String {
        format!("{:.9}", self.at(boot_ns))
    }

    /// The same as [`WallClock::rfc3339`], for events that come by the million: within a second
    /// only the nanoseconds change.
    pub fn stamp(&mut self, boot_ns: u64) -> &str {
        let since = |began: u64| boot_ns.checked_sub(began).filter(|&ns| ns < NS_PER_S as u64);
        let is_same = self.second.offset_ns == self.offset_ns;
        match self.second.began_ns.filter(|_| is_same).and_then(since) {
            Some(nanos) => {
                if let Some(digits) = self.second.text.get_mut(STAMP_NANOS) {
                    digits.copy_from_slice(&nine_digits(nanos as u32));
                }
            }
            None => self.show_second(boot_ns),
        }
        std::str::from_utf8(&self.second.text).unwrap_or_default()
    }

    /// Formats the second of `boot_ns`, for [`WallClock::stamp`].
    fn show_second(&mut self, boot_ns: u64) {
        let at = self.at(boot_ns);
        self.second.began_ns = None;
        let Ok(text) = self.rfc3339(boot_ns).as_bytes().try_into() else { return };
        self.second.text = text;
        // They are negative before 1970.
        let nanos = u64::try_from(at.subsec_nanosecond()).ok();
        let is_exact = at.as_nanosecond() == i128::from(boot_ns) + self.offset_ns;
        let began = nanos.and_then(|nanos| boot_ns.checked_sub(nanos));
        self.second.began_ns = began.filter(|_| is_exact);
        self.second.offset_ns = self.offset_ns;
    }
}

/// The time zone as date(1) finds it: of the environment variable TZ, else of `/etc/localtime`.
/// The error is the value of TZ.
fn zone() -> Result<TimeZone, String> {
    let given = std::env::var_os("TZ");
    match (TimeZone::try_system(), given) {
        (Ok(zone), _) => Ok(zone),
        (Err(_), None) => Ok(TimeZone::UTC), // no /etc/localtime
        (Err(_), Some(given)) => {
            let text = given.to_string_lossy();
            // EST5EDT, without the days of change: the C library takes those of the United States,
            // which are "the" rules of POSIX.
            TimeZone::posix(&format!("{text},M3.2.0,M11.1.0")).map_err(|_| text.into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_the_clocks_changes_by_steps_only() {
        let mut clock = WallClock::default();
        let measured = clock.offset_ns;
        assert_ne!(measured, 0);
        clock.update();
        assert!((clock.offset_ns - measured).abs() < 60_000_000_000, "set meanwhile?");
        let (now, epoch) = (clock.offset_ns, clock.epoch());
        clock.offset_ns -= 3_600_000_000_000;
        clock.update();
        assert!((clock.offset_ns - now).abs() < 60_000_000_000, "a step is followed");
        assert_eq!(clock.epoch(), epoch, "times of birth stay the same");
    }

    #[test]
    fn a_birth_is_a_time_of_the_beginning() {
        let mut clock = WallClock::default();
        clock.fix(1_800_000_000 * NS_PER_S);
        let epoch = clock.epoch();
        clock.offset_ns += NS_PER_S; // set
        assert_eq!(epoch.rfc3339(1), "2027-01-15T08:00:00.000000001Z");
        assert_eq!(clock.epoch(), epoch);
        assert_eq!(epoch.rfc3339(u64::MAX), "2611-08-06T07:34:33.709551615Z");
    }

    fn clock(offset_ns: i128) -> WallClock {
        WallClock { offset_ns, zone: Some(TimeZone::UTC), ..WallClock::default() }
    }

    #[test]
    fn event_times_become_wall_time() {
        let clock = clock(1_800_000_000 * NS_PER_S);
        assert_eq!(clock.rfc3339(1), "2027-01-15T08:00:00.000000001Z");
        assert_eq!(clock.local_time(61 * NS_PER_S as u64), "08:01:01");
    }

    #[test]
    fn times_in_text_have_the_form_that_was_asked_for() {
        let at = 61_002_999_999;
        for (utc, date, shown) in [
            (false, false, "08:01:01.002"),
            (true, false, "08:01:01.002Z"),
            (false, true, "2027-01-15T08:01:01.002"),
            (true, true, "2027-01-15T08:01:01.002Z"),
        ] {
            let (mut clock, form) = (clock(1_800_000_000 * NS_PER_S), TimeForm { utc, date });
            clock.set_form(form);
            assert_eq!(clock.local_time_ms(at), shown);
            assert_eq!(form.width(), shown.len());
        }
        let mut abroad = WallClock { zone: None, ..clock(0) };
        abroad.set_form(TimeForm { utc: true, date: false });
        assert_eq!(abroad.zone, Some(TimeZone::UTC), "whatever TZ says");
    }

    #[test]
    fn impossible_times_do_not_panic() {
        assert_eq!(
            clock(i128::from(i64::MAX) * NS_PER_S).rfc3339(u64::MAX),
            "1970-01-01T00:00:00.000000000Z"
        );
    }

    #[test]
    fn stamps_are_the_same_only_faster() {
        let mut clock = clock(1_800_000_000 * NS_PER_S);
        for at in [0, 1, 999_999_999, 1_000_000_000, 1, 86_400 * NS_PER_S as u64 + 5, u64::MAX] {
            let slow = clock.rfc3339(at);
            assert_eq!(clock.stamp(at), slow);
        }
        clock.offset_ns = -1_000_000_000_000; // before 1970
        for at in [0, 1, 500_000_000] {
            let slow = clock.rfc3339(at);
            assert_eq!(clock.stamp(at), slow);
        }
    }

    #[test]
    fn seconds_and_milliseconds_have_three_digits() {
        assert_eq!(Seconds(0).to_string(), "0.000");
        assert_eq!(format!("{:8}|", Seconds(61_009_999_999)), "61.009  |");
        assert_eq!(Millis(1_234_567).to_string(), "1.234");
    }

    #[test]
    fn now_is_now() {
        let shown = WallClock::default().at(boot_now_ns());
        let off = Timestamp::now().as_millisecond() - shown.as_millisecond();
        assert!(off.abs() < 1000, "{off} ms");
    }
}
