//! Several attempts for one purpose. Where a name has several addresses, programs try one after the
//! other, or two at once ("happy eyeballs"), and use the first connection that is made. What became of
//! the others does not matter to them, so it should not count as a failure.
//!
//! An attempt is *superseded* by another one of the same process, to the same name and port but to
//! another address, that was successful: while the attempt went on, or soon after its failure. Without
//! a known name nobody can tell, so nothing is superseded then.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::destination::Host;
use super::{Connect, Endpoint};
use crate::host::dns::Asker;

/// How long after a failure the next address is tried, at most: RFC 8305 has a quarter of a second.
/// A failure is shown this much later, if the name has other addresses.
const GRACE: Duration = Duration::from_millis(500);

/// The most purposes to remember. If there are more, the old ones go.
const MAX_PURPOSES: usize = 4096;

/// Attempts mostly take less than this. (`net.ipv4.tcp_syn_retries` is 6: 127 seconds.)
const OLD_NS: u64 = 130 * 1_000_000_000;

/// What attempts are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Purpose {
    pid: u32,
    start_ns: u64,
    name: Box<str>,
    port: u16,
}

impl Purpose {
    fn of(connect: &Connect, host: &Host) -> Self {
        let Asker { pid, start_ns } = connect.process();
        let port = connect.asked().unwrap_or(connect.peer()).port;
        Self { pid, start_ns, name: host.name.clone(), port }
    }
}

/// A connection that was made.
#[derive(Clone, Copy, Debug)]
struct Success {
    to: Endpoint,
    began_ns: u64,
    ended_ns: u64,
}

impl Success {
    fn of(connect: &Connect) -> Self {
        let to = connect.asked().unwrap_or(connect.peer());
        Self { to, began_ns: connect.began_ns(), ended_ns: connect.id.time_ns }
    }

    fn supersedes(&self, other: &Self) -> bool {
        self.to.address != other.to.address
            && self.ended_ns >= other.began_ns
            && self.began_ns <= other.ended_ns + GRACE.as_nanos() as u64
    }
}

/// An attempt, yet to be shown.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The attempt
    pub connect: Connect,
    /// The name of its destination
    pub host: Option<Host>,
    /// Whether another attempt made up for it
    pub is_superseded: bool,
}

struct Held {
    ready: Ready,
    /// What it waits for, and until when; `None`: nothing
    open: Option<(Purpose, Instant)>,
}

/// The attempts of late. They are shown in their order, so one that waits for a sibling's success
/// keeps the later ones waiting.
#[derive(Default)]
pub struct Siblings {
    /// The last success to each address
    successes: HashMap<Purpose, Vec<Success>>,
    held: VecDeque<Held>,
}

impl Siblings {
    /// Adds an attempt that has ended. `has_several_addresses`: whether its name has others, which
    /// the process may try next. An attempt that is `aside` is not shown.
    pub fn add(
        &mut self,
        connect: &Connect,
        host: Option<Host>,
        has_several_addresses: bool,
        aside: bool,
    ) {
        let purpose = host.as_ref().map(|host| Purpose::of(connect, host));
        let this = Success::of(connect);
        if let Some(purpose) = purpose.as_ref().filter(|_| connect.is_established()) {
            self.succeed(purpose, this);
        }
        if aside {
            return;
        }
        let purpose = purpose.filter(|_| connect.has_failed());
        let successes = purpose.as_ref().and_then(|purpose| self.successes.get(purpose));
        let is_superseded =
            successes.is_some_and(|all| all.iter().any(|success| success.supersedes(&this)));
        let open = purpose
            .filter(|_| has_several_addresses && !is_superseded)
            .map(|purpose| (purpose, Instant::now() + GRACE));
        let ready = Ready { connect: connect.clone(), host, is_superseded };
        self.held.push_back(Held { ready, open });
    }

    fn succeed(&mut self, purpose: &Purpose, success: Success) {
        for held in &mut self.held {
            let is_for_it = held.open.as_ref().is_some_and(|(open, _)| open == purpose);
            if is_for_it && success.supersedes(&Success::of(&held.ready.connect)) {
                held.ready.is_superseded = true;
                held.open = None;
            }
        }
        if self.successes.len() >= MAX_PURPOSES {
            self.forget(success.ended_ns);
        }
        let known = self.successes.entry(purpose.clone()).or_default();
        known.retain(|known| known.to != success.to);
        known.push(success);
    }

    fn forget(&mut self, now_ns: u64) {
        let is_young = |success: &Success| success.ended_ns + OLD_NS > now_ns;
        self.successes.retain(|_, successes| successes.iter().any(is_young));
        if self.successes.len() >= MAX_PURPOSES {
            self.successes.clear();
        }
    }

    /// The next attempt to show, if it has waited long enough, or if this is the `end`.
    pub fn next(&mut self, end: bool) -> Option<Ready> {
        let front = self.held.front()?;
        let is_due = |(_, until): &(Purpose, Instant)| *until <= Instant::now();
        let is_ready = end || front.open.as_ref().is_none_or(is_due);
        is_ready.then(|| self.held.pop_front())?.map(|held| held.ready)
    }

    /// How long the first one still waits.
    pub fn left(&self) -> Option<Duration> {
        let (_, until) = self.held.front()?.open.as_ref()?;
        Some(until.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skel::connect_outcome;
    use crate::tools::tcpconnect::testing::{attempt, endpoint};

    const MS: u64 = 1_000_000;

    fn host(name: &str) -> Option<Host> {
        Some(Host { name: name.into(), age_ns: 0, has_expired: false, by_process: true })
    }

    /// An attempt of process 7 between these times.
    fn from_to(address: &str, from_ms: u64, to_ms: u64, outcome: connect_outcome) -> Connect {
        attempt(endpoint(address, 443), |event| {
            event.id.pid = 7;
            event.id.time_ns = to_ms * MS;
            event.duration_ns = (to_ms - from_ms) * MS;
            event.outcome = outcome;
        })
    }

    const OK: connect_outcome = connect_outcome::CONNECT_ESTABLISHED;
    const ABORTED: connect_outcome = connect_outcome::CONNECT_ABORTED;
    const FAILED: connect_outcome = connect_outcome::CONNECT_FAILED;

    /// Which ones are superseded, of attempts to the same name.
    fn superseded(attempts: &[Connect]) -> Vec<bool> {
        let mut siblings = Siblings::default();
        for connect in attempts {
            siblings.add(connect, host("name"), true, false);
        }
        std::iter::from_fn(|| siblings.next(true)).map(|ready| ready.is_superseded).collect()
    }

    #[test]
    fn the_slower_one_of_two_is_superseded() {
        let both = [from_to("10.0.0.1", 250, 300, OK), from_to("::1", 0, 301, ABORTED)];
        assert_eq!(superseded(&both), [false, true]);
    }

    #[test]
    fn the_next_address_makes_up_for_a_failure() {
        let both = [from_to("::1", 0, 1, FAILED), from_to("10.0.0.1", 2, 90, OK)];
        assert_eq!(superseded(&both), [true, false]);
    }

    #[test]
    fn other_successes_do_not() {
        let failure = from_to("::1", 10_000, 10_001, FAILED);
        let before = from_to("10.0.0.1", 1, 2, OK);
        assert_eq!(superseded(&[before, failure.clone()]), [false, false]);
        let much_later = from_to("10.0.0.1", 11_000, 11_001, OK);
        assert_eq!(superseded(&[failure.clone(), much_later]), [false, false]);
        let same_address = from_to("::1", 10_002, 10_003, OK);
        assert_eq!(superseded(&[failure.clone(), same_address]), [false, false]);
        let mut other_process = from_to("10.0.0.1", 10_002, 10_003, OK);
        other_process.id.pid = 8;
        assert_eq!(superseded(&[failure.clone(), other_process]), [false, false]);
        let mut other_port = from_to("10.0.0.1", 10_002, 10_003, OK);
        other_port.event.peer.port = 80;
        assert_eq!(superseded(&[failure, other_port]), [false, false]);
    }

    #[test]
    fn without_a_name_nothing_is_guessed() {
        let mut siblings = Siblings::default();
        for name in [None, host("name")] {
            siblings.add(&from_to("::1", 0, 1, FAILED), name, true, false);
            siblings.add(&from_to("10.0.0.1", 2, 3, OK), None, true, false);
        }
        while let Some(ready) = siblings.next(true) {
            assert!(!ready.is_superseded, "{ready:?}");
        }
    }

    #[test]
    fn only_what_may_be_superseded_waits() {
        let mut siblings = Siblings::default();
        let failure = from_to("::1", 0, 1, FAILED);
        siblings.add(&failure, host("only one address"), false, false);
        assert!(siblings.next(false).is_some());
        siblings.add(&failure, host("name"), true, false);
        siblings.add(&from_to("10.0.0.9", 2, 3, OK), host("other"), false, false);
        assert!(siblings.next(false).is_none() && siblings.left() > Some(Duration::ZERO));
        // One that is not shown decides.
        siblings.add(&from_to("10.0.0.1", 2, 3, OK), host("name"), true, true);
        let shown: Vec<_> =
            std::iter::from_fn(|| siblings.next(false)).map(|ready| ready.is_superseded).collect();
        assert_eq!(shown, [true, false]);
        assert_eq!(siblings.left(), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut siblings = Siblings::default();
        for number in 0..MAX_PURPOSES as u64 + 10 {
            let success = from_to("10.0.0.1", number, number, OK);
            siblings.add(&success, host(&number.to_string()), false, true);
        }
        assert!(siblings.successes.len() <= MAX_PURPOSES);
    }
}
