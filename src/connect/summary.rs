//! Attempts counted, instead of shown one by one: `--count` by process and destination,
//! `--summary` by destination with latencies.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram as Quantiles;

use super::{Connect, Endpoint};
use crate::summary::Histogram;

/// Different destinations, or pairs of a process and a destination, that are told apart;
/// the rest is counted together. (A scan of ports must not take all memory.)
const MAX_KEYS: usize = 16 * 1024;

/// Destinations with latencies, each of which may need 13 KB.
const MAX_DESTINATIONS: usize = 4 * 1024;

/// What was counted for one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All attempts
    pub attempts: u64,
    /// Those without a connection, by result, such as `ECONNREFUSED` or `ABORTED`
    pub failures: BTreeMap<Cow<'static, str>, u64>,
}

impl Tally {
    fn add(&mut self, connect: &Connect) {
        self.attempts += 1;
        if connect.has_failed() {
            *self.failures.entry(connect.result()).or_default() += 1;
        }
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// `ECONNREFUSED 3, ETIMEDOUT 1`: the most frequent first.
    pub fn failures_text(&self) -> String {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, count)| Reverse(**count));
        let words = failures.iter().map(|(name, count)| format!("{name} {count}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// A process at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Process id
    pub pid: u32,
    /// Its birth, which tells it from others with that id
    start_ns: u64,
    /// Its name
    pub comm: Vec<u8>,
    /// Where it connects to
    pub peer: Endpoint,
}

/// `--count`.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    callers: HashMap<Caller, Tally>,
    /// What found no room of its own
    pub others: Tally,
}

impl Counts {
    /// Counts one attempt.
    pub fn add(&mut self, connect: &Connect) {
        let caller = Caller {
            pid: connect.id.pid,
            start_ns: connect.id.start_ns,
            comm: connect.id.comm().to_vec(),
            peer: connect.peer(),
        };
        let is_full = self.callers.len() >= MAX_KEYS;
        match self.callers.get_mut(&caller) {
            Some(tally) => tally.add(connect),
            None if is_full => self.others.add(connect),
            None => self.callers.entry(caller).or_default().add(connect),
        }
    }

    /// The most frequent first.
    pub fn sorted(&self) -> Vec<(&Caller, &Tally)> {
        let mut all: Vec<_> = self.callers.iter().collect();
        all.sort_by_key(|(caller, tally)| (Reverse(tally.attempts), caller.pid, caller.peer));
        all
    }
}

/// What was seen of one destination.
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

    fn add(&mut self, connect: &Connect) {
        self.tally.add(connect);
        if let (true, Some(ns)) = (connect.is_established(), connect.duration_ns()) {
            // It grows with its values: an error would be one beyond 2^63 microseconds.
            let _ = self.latencies.record((ns / 1000).max(1));
        }
    }

    /// Of the connections that were made; `None` if there were none.
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
    /// Counts one attempt.
    pub fn add(&mut self, connect: &Connect) {
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
            Some(destination) => destination.add(connect),
            None => self.others.add(connect),
        }
    }

    /// The most frequent destinations first.
    pub fn sorted(&self) -> Vec<(&Endpoint, &Destination)> {
        let mut all: Vec<_> = self.destinations.iter().collect();
        all.sort_by_key(|(peer, destination)| (Reverse(destination.tally.attempts), **peer));
        all
    }
}

/// A duration of whole microseconds as people say it: `12 us`, `1.5 ms`, `2 s`.
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
    use crate::connect::testing::{attempt, endpoint};
    use crate::skel::connect_outcome;

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
        counts.add(&attempt(one, |_| {}));
        counts.add(&refused(two));
        counts.add(&attempt(two, |_| {}));
        counts.add(&attempt(two, |event| event.id.start_ns = 5));
        let seen: Vec<_> = counts
            .sorted()
            .iter()
            .map(|(caller, tally)| (caller.peer, tally.attempts, tally.failed()))
            .collect();
        assert_eq!(seen, [(two, 2, 1), (one, 1, 0), (two, 1, 0)]);
        assert_eq!(counts.others, Tally::default());
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten() {
        let mut counts = Counts::default();
        let mut summary = Summary::default();
        for port in 0..=u16::MAX {
            counts.add(&refused(endpoint("10.0.0.1", port)));
            summary.add(&refused(endpoint("10.0.0.1", port)));
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
            summary.add(&attempt(peer, |event| event.duration_ns = ms * 1_000_000));
        }
        summary.add(&refused(peer));
        let (_, destination) = summary.sorted()[0];
        assert_eq!(destination.tally.attempts, 101);
        assert_eq!(destination.tally.failures_text(), "ECONNREFUSED 1");
        let percentiles = destination.percentiles().unwrap();
        for (ns, ms) in percentiles.into_iter().zip([50, 90, 99]) {
            let off = (ns as f64 / 1e6 - f64::from(ms)).abs() / f64::from(ms);
            assert!(off <= 0.01, "{percentiles:?}");
        }
        assert_eq!(summary.latencies.buckets().iter().map(|b| b.count).sum::<u64>(), 100);
        let mut only_failed = Summary::default();
        only_failed.add(&refused(peer));
        assert_eq!(only_failed.sorted()[0].1.percentiles(), None);
    }

    #[test]
    fn what_is_pending_has_no_latency_yet() {
        let mut summary = Summary::default();
        summary.add(&attempt(endpoint("::1", 80), |event| {
            event.outcome = connect_outcome::CONNECT_PENDING;
        }));
        assert_eq!((summary.total.attempts, summary.total.failed()), (1, 0));
        assert_eq!(summary.latencies.buckets(), []);
        assert_eq!(summary.sorted()[0].1.percentiles(), None);
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
