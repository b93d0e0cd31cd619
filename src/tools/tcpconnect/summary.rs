//! Attempts counted, instead of shown one by one: `--count` by process and destination,
//! `--summary` by destination with latencies.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use hdrhistogram::Histogram as Quantiles;

use super::destination::Destination as Key;
use super::{Connect, Endpoint};
use crate::output::histogram::Histogram;

/// The most destinations, or pairs of a process and a destination, to count separately; the rest is
/// counted together. (A port scan must not take all memory.)
const MAX_KEYS: usize = 16 * 1024;

/// Destinations with latencies, each of which may need 13 KB.
const MAX_DESTINATIONS: usize = 4 * 1024;

/// [`Connect::result`] of an attempt that the caller gave up.
const ABORTED: &str = "ABORTED";

/// The counts for one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All attempts
    pub attempts: u64,
    /// Attempts without an answer when tracing ended
    pub pending: u64,
    /// Attempts without a connection, by result, such as `ECONNREFUSED` or `ABORTED`
    pub failures: BTreeMap<Cow<'static, str>, u64>,
    /// Likewise, those that another attempt made up for: these do not count as failures
    pub superseded: BTreeMap<Cow<'static, str>, u64>,
    /// After how long callers gave up, in nanoseconds: the shortest and the longest time, over the
    /// failures that are `ABORTED` by a process that lived on
    pub gave_up_ns: Option<(u64, u64)>,
}

impl Tally {
    fn add(&mut self, connect: &Connect, is_superseded: bool) {
        self.attempts += 1;
        self.pending += u64::from(connect.is_pending());
        if !connect.has_failed() {
            return;
        }
        if is_superseded {
            *self.superseded.entry(connect.result()).or_default() += 1;
            return;
        }
        *self.failures.entry(connect.result()).or_default() += 1;
        if let Some(ns) = connect.gave_up_ns() {
            let (least, most) = self.gave_up_ns.unwrap_or((ns, ns));
            self.gave_up_ns = Some((least.min(ns), most.max(ns)));
        }
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// How many another attempt made up for.
    pub fn superseded(&self) -> u64 {
        self.superseded.values().sum()
    }

    /// The results of the failures, with how often each was: the most frequent first.
    pub fn errors(&self) -> impl Iterator<Item = (&str, u64)> {
        by_frequency(&self.failures)
    }

    /// `ECONNREFUSED 3, ABORTED 1 after 2 s, (ABORTED) 4, PENDING 2`: the most frequent first,
    /// behind them those that do not count as failures, pending ones last.
    pub fn others_text(&self) -> String {
        let failures = self.errors().map(|(name, count)| match self.gave_up_ns {
            Some((least, most)) if name == ABORTED => {
                format!("{name} {count} after {}", span_text(least / 1000, most / 1000))
            }
            _ => format!("{name} {count}"),
        });
        let superseded =
            by_frequency(&self.superseded).map(|(name, count)| format!("({name}) {count}"));
        let pending = (self.pending > 0).then(|| format!("PENDING {}", self.pending));
        failures.chain(superseded).chain(pending).collect::<Vec<_>>().join(", ")
    }
}

fn by_frequency<'a>(
    results: &'a BTreeMap<Cow<'static, str>, u64>,
) -> impl Iterator<Item = (&'a str, u64)> {
    let mut sorted: Vec<_> = results.iter().map(|(name, count)| (&**name, *count)).collect();
    sorted.sort_by_key(|(_, count)| Reverse(*count));
    sorted.into_iter()
}

/// `2 s`, or `1.5 ms to 2 s`.
fn span_text(least_us: u64, most_us: u64) -> String {
    let (least, most) = (micros_text(least_us), micros_text(most_us));
    if least == most { most } else { format!("{least} to {most}") }
}

/// What `--count` counts by, besides the source address and the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// `--source-port`
    pub source_port: bool,
    /// `--per-process`
    pub process: bool,
}

/// Attempts that `--count` counts together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// With `--per-process`
    pub process: Option<Process>,
    /// The local end, if the kernel had chosen one; port 0 without `--source-port`
    pub source: Option<Endpoint>,
    /// The destination
    pub destination: Key,
}

/// A process in totals.
#[derive(Clone, Debug)]
pub struct Process {
    /// Process id
    pub pid: u32,
    /// The time of birth, which distinguishes it from others with the same id
    pub start_ns: u64,
    /// Its name when it was first seen there, which is not part of what it is
    pub comm: Vec<u8>,
}

impl Process {
    fn key(&self) -> (u32, u64) {
        (self.pid, self.start_ns)
    }
}

impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Process {}

impl Hash for Process {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for Process {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Process {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// `--count`.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    by: By,
    groups: HashMap<Group, Tally>,
    /// What found no room of its own
    pub others: Tally,
}

impl Counts {
    /// Nothing yet.
    pub fn new(by: By) -> Self {
        Self { by, ..Self::default() }
    }

    /// What is counted by.
    pub fn by(&self) -> By {
        self.by
    }

    /// Counts one attempt, to a host of that name.
    pub fn add(&mut self, connect: &Connect, host: Option<&str>, is_superseded: bool) {
        let By { source_port, process } = self.by;
        let group = Group {
            process: process.then(|| Process {
                pid: connect.id.pid,
                start_ns: connect.id.start_ns,
                comm: connect.id.comm().to_vec(),
            }),
            source: connect.local().map(|local| match source_port {
                true => local,
                false => Endpoint { port: 0, ..local },
            }),
            destination: Key::new(connect, host),
        };
        let is_full = self.groups.len() >= MAX_KEYS;
        match self.groups.get_mut(&group) {
            Some(tally) => tally.add(connect, is_superseded),
            None if is_full => self.others.add(connect, is_superseded),
            None => self.groups.entry(group).or_default().add(connect, is_superseded),
        }
    }

    /// The most frequent first.
    pub fn sorted(&self) -> Vec<(&Group, &Tally)> {
        let mut all: Vec<_> = self.groups.iter().collect();
        all.sort_by(|(a, left), (b, right)| {
            (Reverse(left.attempts), a).cmp(&(Reverse(right.attempts), b))
        });
        all
    }
}

/// The counts of one destination.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Attempts
    pub tally: Tally,
    /// Latencies of connections that were made, in microseconds, to 1 %
    latencies: Quantiles<u32>,
}

/// The 50th, 90th and 99th percentile, in nanoseconds.
pub type Percentiles = [u64; 3];

impl Destination {
    fn new() -> Option<Self> {
        let mut latencies = Quantiles::new(2).ok()?;
        latencies.auto(true);
        Some(Self { tally: Tally::default(), latencies })
    }

    fn add(&mut self, connect: &Connect, is_superseded: bool) {
        self.tally.add(connect, is_superseded);
        if let (true, Some(ns)) = (connect.is_established(), connect.duration_ns()) {
            // The histogram grows with its values: only a value beyond 2^63 microseconds would be
            // an error.
            let _ = self.latencies.record((ns / 1000).max(1));
        }
    }

    /// The percentiles of established connections; `None` if there are none.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.latencies.value_at_quantile(quantile) * 1000;
        (!self.latencies.is_empty()).then(|| [at(0.5), at(0.9), at(0.99)])
    }
}

/// `--summary`: one interval.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    destinations: HashMap<Key, Destination>,
    /// What found no room of its own
    pub others: Tally,
    /// All attempts
    pub total: Tally,
    /// Latencies of connections that were made, in microseconds
    pub latencies: Histogram,
}

impl Summary {
    /// Counts one attempt, to a host of that name.
    pub fn add(&mut self, connect: &Connect, host: Option<&str>, is_superseded: bool) {
        self.total.add(connect, is_superseded);
        if let (true, Some(ns)) = (connect.is_established(), connect.duration_ns()) {
            self.latencies.add(ns / 1000);
        }
        let key = Key::new(connect, host);
        let is_full = self.destinations.len() >= MAX_DESTINATIONS;
        if !is_full && !self.destinations.contains_key(&key) {
            self.destinations.extend(Destination::new().map(|new| (key.clone(), new)));
        }
        match self.destinations.get_mut(&key) {
            Some(destination) => destination.add(connect, is_superseded),
            None => self.others.add(connect, is_superseded),
        }
    }

    /// The most frequent destinations first.
    pub fn sorted(&self) -> Vec<(&Key, &Destination)> {
        let mut all: Vec<_> = self.destinations.iter().collect();
        all.sort_by(|(a, left), (b, right)| {
            let key = |destination: &Destination| Reverse(destination.tally.attempts);
            (key(left), a).cmp(&(key(right), b))
        });
        all
    }
}

/// A duration of whole microseconds for people: `12 us`, `1.5 ms`, `2 s`.
pub fn micros_text(us: u64) -> String {
    let unit = |value: f64, unit: &str| {
        let text = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
        format!("{} {unit}", text.trim_end_matches(".0"))
    };
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => unit(us as f64 / 1e3, "ms"),
        _ => unit(us as f64 / 1e6, "s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skel::connect_outcome;
    use crate::tools::tcpconnect::testing::{attempt, endpoint};

    fn refused(peer: Endpoint) -> Connect {
        attempt(peer, |event| {
            event.outcome = connect_outcome::CONNECT_FAILED;
            event.error = 111;
        })
    }

    #[test]
    fn counts_by_source_and_destination() {
        let (one, two) = (endpoint("10.0.0.1", 80), endpoint("10.0.0.2", 80));
        let from = |address, port| {
            attempt(one, |event| {
                event.local = crate::tools::tcpconnect::testing::end(endpoint(address, port));
                event.id.pid = port.into();
            })
        };
        let attempts = [from("10.1.0.1", 1), from("10.1.0.1", 2), from("10.1.0.2", 1)];
        for (source_port, process, expected) in
            [(false, false, &[2, 1][..]), (true, false, &[1, 1, 1]), (false, true, &[1, 1, 1])]
        {
            let mut counts = Counts::new(By { source_port, process });
            attempts.iter().for_each(|attempt| counts.add(attempt, None, false));
            let seen: Vec<_> = counts.sorted().iter().map(|(_, tally)| tally.attempts).collect();
            assert_eq!(seen, expected, "{:?}", counts.by());
            let ports = counts.sorted().iter().any(|(group, _)| group.source.unwrap().port != 0);
            assert_eq!(ports, source_port);
        }
        let mut counts = Counts::new(By { process: true, ..By::default() });
        counts.add(&attempt(two, |_| {}), None, false);
        counts.add(&refused(one), None, false);
        counts.add(&attempt(two, |_| {}), None, false);
        let first = counts.sorted()[0].0.destination.peer;
        assert_eq!(first, two, "the most frequent one");
    }

    #[test]
    fn counts_by_process_and_destination() {
        let (one, two) = (endpoint("10.0.0.1", 80), endpoint("10.0.0.2", 80));
        let mut counts = Counts::new(By { process: true, ..By::default() });
        counts.add(&attempt(one, |_| {}), None, false);
        counts.add(&refused(two), None, false);
        counts.add(&attempt(two, |_| {}), None, false);
        counts.add(&attempt(two, |event| event.id.start_ns = 5), None, false);
        let seen: Vec<_> = counts
            .sorted()
            .iter()
            .map(|(group, tally)| (group.destination.peer, tally.attempts, tally.failed()))
            .collect();
        assert_eq!(seen, [(two, 2, 1), (one, 1, 0), (two, 1, 0)]);
        assert_eq!(counts.others, Tally::default());
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten() {
        let mut counts = Counts::default();
        let mut summary = Summary::default();
        for port in 0..=u16::MAX {
            counts.add(&refused(endpoint("10.0.0.1", port)), None, false);
            summary.add(&refused(endpoint("10.0.0.1", port)), None, false);
        }
        assert_eq!(counts.sorted().len(), MAX_KEYS);
        assert_eq!(counts.others.attempts, 65536 - MAX_KEYS as u64);
        assert_eq!(summary.sorted().len(), MAX_DESTINATIONS);
        assert_eq!(summary.others.attempts, 65536 - MAX_DESTINATIONS as u64);
        assert_eq!((summary.total.attempts, summary.total.failed()), (65536, 65536));
    }

    #[test]
    fn percentiles_are_those_of_connections_made() {
        let peer = endpoint("::1", 80);
        let mut summary = Summary::default();
        for ms in 1..=100 {
            let of_ms = attempt(peer, |event| event.duration_ns = ms * 1_000_000);
            summary.add(&of_ms, None, false);
        }
        summary.add(&refused(peer), None, false);
        let (_, destination) = summary.sorted()[0];
        assert_eq!(destination.tally.attempts, 101);
        assert_eq!(destination.tally.others_text(), "ECONNREFUSED 1");
        let percentiles = destination.percentiles().unwrap();
        for (ns, ms) in percentiles.into_iter().zip([50, 90, 99]) {
            let off = (ns as f64 / 1e6 - f64::from(ms)).abs() / f64::from(ms);
            assert!(off <= 0.01, "{percentiles:?}");
        }
        assert_eq!(summary.latencies.buckets().iter().map(|b| b.count).sum::<u64>(), 100);
        let mut only_failed = Summary::default();
        only_failed.add(&refused(peer), None, false);
        assert_eq!(only_failed.sorted()[0].1.percentiles(), None);
    }

    #[test]
    fn what_is_pending_is_no_success_and_has_no_latency_yet() {
        let peer = endpoint("::1", 80);
        let mut summary = Summary::default();
        let pending = attempt(peer, |event| event.outcome = connect_outcome::CONNECT_PENDING);
        summary.add(&pending, None, false);
        summary.add(&refused(peer), None, false);
        let total = &summary.total;
        assert_eq!((total.attempts, total.failed(), total.pending), (2, 1, 1));
        assert_eq!(total.others_text(), "ECONNREFUSED 1, PENDING 1");
        assert_eq!(summary.latencies.buckets(), []);
        assert_eq!(summary.sorted()[0].1.percentiles(), None);
    }

    #[test]
    fn each_name_of_an_address_has_its_own_totals() {
        let peer = endpoint("10.0.0.1", 80);
        let mut counts = Counts::default();
        let mut summary = Summary::default();
        for host in [Some("b.example"), Some("a.example"), None, Some("b.example")] {
            counts.add(&refused(peer), host, false);
            summary.add(&refused(peer), host, false);
        }
        let expected = [(Some("b.example"), 2), (None, 1), (Some("a.example"), 1)];
        let sorted = counts.sorted();
        let seen = sorted.iter().map(|(c, tally)| (c.destination.host.as_deref(), tally.attempts));
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        let sorted = summary.sorted();
        let seen = sorted.iter().map(|(key, d)| (key.host.as_deref(), d.tally.attempts));
        assert_eq!(seen.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn links_and_what_was_asked_for_are_told_apart() {
        let link = |interface| Endpoint { interface, ..endpoint("fe80::1", 80) };
        let mut summary = Summary::default();
        for interface in [1, 2, 2] {
            summary.add(&refused(link(interface)), None, false);
        }
        let asked = |address| {
            attempt(endpoint("10.0.0.1", 80), |event| {
                event.asked = crate::tools::tcpconnect::testing::end(endpoint(address, 80));
            })
        };
        for address in ["10.88.0.1", "10.88.0.2"] {
            summary.add(&asked(address), None, false);
        }
        let attempts: Vec<_> = summary.sorted().iter().map(|(_, d)| d.tally.attempts).collect();
        assert_eq!(attempts, [2, 1, 1, 1]);
    }

    #[test]
    fn what_was_superseded_is_no_failure() {
        let peer = endpoint("::1", 80);
        let given_up = |ms: u64| {
            attempt(peer, |event| {
                event.outcome = connect_outcome::CONNECT_ABORTED;
                event.duration_ns = ms * 1_000_000;
            })
        };
        let mut summary = Summary::default();
        for _ in 0..2 {
            summary.add(&given_up(7), None, true);
        }
        assert_eq!((summary.total.failed(), summary.total.superseded()), (0, 2));
        assert_eq!(summary.total.others_text(), "(ABORTED) 2");
        summary.add(&given_up(2000), None, false);
        summary.add(&given_up(2001), None, false);
        assert_eq!(summary.total.others_text(), "ABORTED 2 after 2 s, (ABORTED) 2");
        summary.add(&given_up(5000), None, false);
        summary.add(&refused(peer), None, false);
        let text = "ABORTED 3 after 2 s to 5 s, ECONNREFUSED 1, (ABORTED) 2";
        assert_eq!(summary.total.others_text(), text);
        assert_eq!(summary.total.gave_up_ns, Some((2_000_000_000, 5_000_000_000)));
    }

    #[test]
    fn micros_as_people_say_them() {
        for (us, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1000, "1 ms"),
            (1024, "1 ms"),
            (1500, "1.5 ms"),
            (16384, "16 ms"),
            (1_048_576, "1 s"),
            (2_500_000, "2.5 s"),
        ] {
            assert_eq!(micros_text(us), text);
        }
    }
}
