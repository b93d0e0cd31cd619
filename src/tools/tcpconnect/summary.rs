//! Attempts counted, instead of shown one by one: `--count` by process and destination,
//! `--summary` by destination with latencies.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use hdrhistogram::Histogram as Quantiles;

use super::{Connect, Endpoint};
use crate::output::histogram::Histogram;

/// The most destinations, or pairs of a process and a destination, to count separately; the rest is
/// counted together. (A port scan must not take all memory.)
const MAX_KEYS: usize = 16 * 1024;

/// Destinations with latencies, each of which may need 13 KB.
const MAX_DESTINATIONS: usize = 4 * 1024;

/// The counts for one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All attempts
    pub attempts: u64,
    /// Attempts without an answer when tracing ended
    pub pending: u64,
    /// Attempts without a connection, by result, such as `ECONNREFUSED` or `ABORTED`
    pub failures: BTreeMap<Cow<'static, str>, u64>,
}

impl Tally {
    fn add(&mut self, connect: &Connect) {
        self.attempts += 1;
        self.pending += u64::from(connect.is_pending());
        if connect.has_failed() {
            *self.failures.entry(connect.result()).or_default() += 1;
        }
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// `ECONNREFUSED 3, ETIMEDOUT 1, PENDING 2`: the most frequent first, pending ones last.
    pub fn others_text(&self) -> String {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, count)| Reverse(**count));
        let words = failures.iter().map(|(name, count)| format!("{name} {count}"));
        let pending = (self.pending > 0).then(|| format!("PENDING {}", self.pending));
        words.chain(pending).collect::<Vec<_>>().join(", ")
    }
}

/// The counts for a destination, and its last host name. (The cache may forget the name before this
/// is shown.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The counts
    pub tally: Tally,
    /// The name, where it is known
    pub host: Option<Box<str>>,
}

impl Named {
    fn add(&mut self, connect: &Connect, host: Option<&str>) {
        self.tally.add(connect);
        if host.is_some() && host != self.host.as_deref() {
            self.host = host.map(Into::into);
        }
    }
}

/// A process at a destination.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Process id
    pub pid: u32,
    /// The time of birth, which distinguishes it from others with the same id
    start_ns: u64,
    /// Its name when it was first seen there, which is not part of what it is
    pub comm: Vec<u8>,
    /// The destination
    pub peer: Endpoint,
}

impl Caller {
    fn key(&self) -> impl Eq + Hash + use<> {
        (self.pid, self.start_ns, self.peer)
    }
}

impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Caller {}

impl Hash for Caller {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// `--count`.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    callers: HashMap<Caller, Named>,
    /// What found no room of its own
    pub others: Tally,
}

impl Counts {
    /// Counts one attempt, to a host of that name.
    pub fn add(&mut self, connect: &Connect, host: Option<&str>) {
        let caller = Caller {
            pid: connect.id.pid,
            start_ns: connect.id.start_ns,
            comm: connect.id.comm().to_vec(),
            peer: connect.peer(),
        };
        let is_full = self.callers.len() >= MAX_KEYS;
        match self.callers.get_mut(&caller) {
            Some(named) => named.add(connect, host),
            None if is_full => self.others.add(connect),
            None => self.callers.entry(caller).or_default().add(connect, host),
        }
    }

    /// The most frequent first.
    pub fn sorted(&self) -> Vec<(&Caller, &Named)> {
        let mut all: Vec<_> = self.callers.iter().collect();
        let key = |(caller, named): &(&Caller, &Named)| {
            (Reverse(named.tally.attempts), caller.pid, caller.peer)
        };
        all.sort_by_key(key);
        all
    }
}

/// The counts of one destination.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Attempts
    pub named: Named,
    /// Latencies of connections that were made, in microseconds, to 1 %
    latencies: Quantiles<u32>,
}

/// The 50th, 90th and 99th percentile, in nanoseconds.
pub type Percentiles = [u64; 3];

impl Destination {
    fn new() -> Option<Self> {
        let mut latencies = Quantiles::new(2).ok()?;
        latencies.auto(true);
        Some(Self { named: Named::default(), latencies })
    }

    fn add(&mut self, connect: &Connect, host: Option<&str>) {
        self.named.add(connect, host);
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
    destinations: HashMap<Endpoint, Destination>,
    /// What found no room of its own
    pub others: Tally,
    /// All attempts
    pub total: Tally,
    /// Latencies of connections that were made, in microseconds
    pub latencies: Histogram,
}

impl Summary {
    /// Counts one attempt, to a host of that name.
    pub fn add(&mut self, connect: &Connect, host: Option<&str>) {
        self.total.add(connect);
        if let (true, Some(ns)) = (connect.is_established(), connect.duration_ns()) {
            self.latencies.add(ns / 1000);
        }
        let peer = connect.peer();
        let is_full = self.destinations.len() >= MAX_DESTINATIONS;
        if !is_full && !self.destinations.contains_key(&peer) {
            self.destinations.extend(Destination::new().map(|new| (peer, new)));
        }
        match self.destinations.get_mut(&peer) {
            Some(destination) => destination.add(connect, host),
            None => self.others.add(connect),
        }
    }

    /// The most frequent destinations first.
    pub fn sorted(&self) -> Vec<(&Endpoint, &Destination)> {
        let mut all: Vec<_> = self.destinations.iter().collect();
        all.sort_by_key(|(peer, destination)| (Reverse(destination.named.tally.attempts), **peer));
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
    fn counts_by_process_and_destination() {
        let (one, two) = (endpoint("10.0.0.1", 80), endpoint("10.0.0.2", 80));
        let mut counts = Counts::default();
        counts.add(&attempt(one, |_| {}), None);
        counts.add(&refused(two), None);
        counts.add(&attempt(two, |_| {}), None);
        counts.add(&attempt(two, |event| event.id.start_ns = 5), None);
        let seen: Vec<_> = counts
            .sorted()
            .iter()
            .map(|(caller, Named { tally, .. })| (caller.peer, tally.attempts, tally.failed()))
            .collect();
        assert_eq!(seen, [(two, 2, 1), (one, 1, 0), (two, 1, 0)]);
        assert_eq!(counts.others, Tally::default());
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten() {
        let mut counts = Counts::default();
        let mut summary = Summary::default();
        for port in 0..=u16::MAX {
            counts.add(&refused(endpoint("10.0.0.1", port)), None);
            summary.add(&refused(endpoint("10.0.0.1", port)), None);
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
            summary.add(&of_ms, None);
        }
        summary.add(&refused(peer), None);
        let (_, destination) = summary.sorted()[0];
        assert_eq!(destination.named.tally.attempts, 101);
        assert_eq!(destination.named.tally.others_text(), "ECONNREFUSED 1");
        let percentiles = destination.percentiles().unwrap();
        for (ns, ms) in percentiles.into_iter().zip([50, 90, 99]) {
            let off = (ns as f64 / 1e6 - f64::from(ms)).abs() / f64::from(ms);
            assert!(off <= 0.01, "{percentiles:?}");
        }
        assert_eq!(summary.latencies.buckets().iter().map(|b| b.count).sum::<u64>(), 100);
        let mut only_failed = Summary::default();
        only_failed.add(&refused(peer), None);
        assert_eq!(only_failed.sorted()[0].1.percentiles(), None);
    }

    #[test]
    fn what_is_pending_is_no_success_and_has_no_latency_yet() {
        let peer = endpoint("::1", 80);
        let mut summary = Summary::default();
        let pending = attempt(peer, |event| event.outcome = connect_outcome::CONNECT_PENDING);
        summary.add(&pending, None);
        summary.add(&refused(peer), None);
        let total = &summary.total;
        assert_eq!((total.attempts, total.failed(), total.pending), (2, 1, 1));
        assert_eq!(total.others_text(), "ECONNREFUSED 1, PENDING 1");
        assert_eq!(summary.latencies.buckets(), []);
        assert_eq!(summary.sorted()[0].1.percentiles(), None);
    }

    #[test]
    fn names_are_those_at_the_time_of_the_attempt() {
        let peer = endpoint("10.0.0.1", 80);
        let mut counts = Counts::default();
        let mut summary = Summary::default();
        for host in [None, Some("a.example"), Some("b.example"), None] {
            counts.add(&refused(peer), host);
            summary.add(&refused(peer), host);
        }
        assert_eq!(counts.sorted()[0].1.host.as_deref(), Some("b.example"));
        assert_eq!(summary.sorted()[0].1.named.host.as_deref(), Some("b.example"));
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
