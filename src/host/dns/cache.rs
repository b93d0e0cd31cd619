//! Names by address, with the times at which they were asked for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Asker, Known};

/// The most answers to keep, over all addresses: with the longest names about 30 MiB. A name is kept
/// beyond its time to live, since connection pools and many servers ask only once; the oldest goes.
const MAX_ANSWERS: usize = 65_536;

/// The most answers for one address. Many names may share it, and events may be read late.
const MAX_FOR_ADDRESS: usize = 256;

const NS_PER_S: u64 = 1_000_000_000;

/// A time to live of 0 means "for this one use": the connect that follows the answer, which may be
/// a second attempt, after the first address did not answer.
const MIN_TTL_NS: u64 = 10 * NS_PER_S;

/// The answers, bounded in number.
pub(super) struct Cache {
    capacity: usize,
    /// In the order of time
    answers: HashMap<IpAddr, VecDeque<Run>>,
    /// Addresses of all answers, by the time that the answers were last learnt
    by_age: BTreeMap<u64, IpAddr>,
    /// Counts the answers: the key in `by_age`
    clock: u64,
    names: Names,
}

/// Answers with the same name for the same process, with no other answer in between.
struct Run {
    name: Arc<str>,
    asker: Option<Asker>,
    first_ns: u64,
    last_ns: u64,
    /// The end of the last answer's time to live
    end_ns: u64,
    learnt: u64,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self::with_capacity(MAX_ANSWERS)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            answers: HashMap::new(),
            by_age: BTreeMap::new(),
            clock: 0,
            names: Names { capacity, first: HashMap::new() },
        }
    }

    /// `address` was the answer to a question of `asker` for `name`, `ttl` seconds from `now_ns` on.
    pub(super) fn learn(
        &mut self,
        address: IpAddr,
        name: &Arc<str>,
        ttl: u32,
        asker: Option<Asker>,
        now_ns: u64,
    ) {
        let address = address.to_canonical();
        let ttl_ns = (u64::from(ttl) * NS_PER_S).max(MIN_TTL_NS);
        let end_ns = now_ns.saturating_add(ttl_ns);
        self.clock += 1;
        self.names.note(name, address);
        let runs = self.answers.entry(address).or_default();
        match runs.back_mut() {
            Some(run) if run.name == *name && run.asker == asker => {
                self.by_age.remove(&run.learnt);
                run.last_ns = run.last_ns.max(now_ns);
                // A server with a cached answer gives the time left. An earlier answer of another
                // server for the same name is still valid.
                run.end_ns = run.end_ns.max(end_ns);
                run.learnt = self.clock;
            }
            _ => runs.push_back(Run {
                name: Arc::clone(name),
                asker,
                first_ns: now_ns,
                last_ns: now_ns,
                end_ns,
                learnt: self.clock,
            }),
        }
        let too_many = runs.len() > MAX_FOR_ADDRESS;
        self.by_age.insert(self.clock, address);
        if too_many {
            self.forget_oldest_of(address);
        }
        if self.by_age.len() > self.capacity {
            let oldest = self.by_age.first_key_value().map(|(_, address)| *address);
            oldest.into_iter().for_each(|address| self.forget_oldest_of(address));
        }
    }

    /// The last name before `at_ns` with `address` in its answer: one that `process` asked for, if
    /// there is any.
    pub(super) fn name(&self, address: IpAddr, at_ns: u64, process: Asker) -> Option<Known<'_>> {
        let runs = self.answers.get(&address.to_canonical())?;
        let mut before = runs.iter().rev().filter(|run| run.first_ns <= at_ns);
        let own = before.clone().find(|run| run.asker == Some(process));
        let run = own.or_else(|| before.next())?;
        // Of a run only its ends are known.
        let answered_ns = if run.last_ns <= at_ns { run.last_ns } else { run.first_ns };
        Some(Known {
            name: &run.name,
            age_ns: at_ns.saturating_sub(answered_ns),
            has_expired: at_ns > run.end_ns,
            by_process: own.is_some(),
        })
    }

    /// Whether more than one address is known to be an answer for `name`.
    pub(super) fn has_several_addresses(&self, name: &str) -> bool {
        self.names.first.get(name) == Some(&None)
    }

    /// Drops the oldest answer for this address. (It is the oldest of all, if the one of all is for
    /// this address: the answers for each are in the order in which they were learnt.)
    fn forget_oldest_of(&mut self, address: IpAddr) {
        let Some(runs) = self.answers.get_mut(&address) else { return };
        if let Some(run) = runs.pop_front() {
            self.by_age.remove(&run.learnt);
        }
        if runs.is_empty() {
            self.answers.remove(&address);
        }
    }
}

/// Which names have several addresses. `None`: this one does.
struct Names {
    capacity: usize,
    first: HashMap<Arc<str>, Option<IpAddr>>,
}

impl Names {
    fn note(&mut self, name: &Arc<str>, address: IpAddr) {
        if self.first.len() >= self.capacity {
            self.first.clear(); // they are soon asked for again, or never
        }
        let first = self.first.entry(Arc::clone(name)).or_insert(Some(address));
        if first.is_some_and(|first| first != address) {
            *first = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOBODY: Asker = Asker { pid: 0, start_ns: 0 };
    const ONE: Asker = Asker { pid: 1, start_ns: 1 };
    const TWO: Asker = Asker { pid: 2, start_ns: 1 };

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn name(cache: &Cache, number: u32, at_ns: u64) -> Option<&str> {
        cache.name(address(number), at_ns, NOBODY).map(|known| known.name)
    }

    #[test]
    fn a_name_outlives_its_time_and_says_so() {
        let mut cache = Cache::new();
        for (ttl, good_for) in [(0, MIN_TTL_NS), (60, 60 * NS_PER_S)] {
            cache.learn(address(ttl), &"name".into(), ttl, None, 5);
            let at = |at_ns| cache.name(address(ttl), at_ns, NOBODY).unwrap();
            let good = at(5 + good_for);
            assert_eq!((good.name, good.age_ns, good.has_expired), ("name", good_for, false));
            let old = at(6 + good_for);
            assert_eq!((old.name, old.age_ns, old.has_expired), ("name", good_for + 1, true));
        }
        assert_eq!(name(&cache, 7, u64::MAX), None);
    }

    #[test]
    fn only_what_was_answered_before_counts() {
        let mut cache = Cache::new();
        for (at_ns, name) in [(10, "a"), (20, "b"), (30, "a"), (40, "b")] {
            cache.learn(address(1), &name.into(), 60, None, at_ns);
        }
        let names: Vec<_> = [9, 10, 19, 20, 35, 40].map(|at| name(&cache, 1, at)).into();
        assert_eq!(names, [None, Some("a"), Some("a"), Some("b"), Some("a"), Some("b")]);
    }

    #[test]
    fn what_the_process_itself_asked_for_comes_first() {
        let mut cache = Cache::new();
        cache.learn(address(1), &"one".into(), 60, Some(ONE), 10);
        cache.learn(address(1), &"two".into(), 60, Some(TWO), 20);
        cache.learn(address(1), &"any".into(), 60, None, 30);
        let known = |process, at| {
            let known = cache.name(address(1), at, process).unwrap();
            (known.name, known.by_process)
        };
        assert_eq!(known(ONE, 40), ("one", true));
        assert_eq!(known(TWO, 40), ("two", true));
        assert_eq!(known(TWO, 15), ("one", false), "it has not asked yet");
        assert_eq!(known(NOBODY, 40), ("any", false));
        let younger = Asker { start_ns: 2, ..ONE };
        assert_eq!(known(younger, 40), ("any", false), "another process with that id");
    }

    #[test]
    fn the_same_answer_again_takes_no_room() {
        let mut cache = Cache::with_capacity(2);
        cache.learn(address(2), &"other".into(), 60, None, 1);
        for at_ns in 10..20 {
            cache.learn(address(1), &"name".into(), 60, None, at_ns);
        }
        assert_eq!(name(&cache, 2, 20), Some("other"));
        let known = cache.name(address(1), 25, NOBODY).unwrap();
        assert_eq!(known.age_ns, 6, "since the last answer");
        assert_eq!(cache.name(address(1), 12, NOBODY).unwrap().age_ns, 2, "since the first one");
    }

    #[test]
    fn mapped_addresses_are_those_that_they_map() {
        let mut cache = Cache::new();
        cache.learn("::ffff:192.0.2.1".parse().unwrap(), &"name".into(), 60, None, 1);
        for address in ["192.0.2.1", "::ffff:192.0.2.1"] {
            let known = cache.name(address.parse().unwrap(), 1, NOBODY);
            assert_eq!(known.map(|known| known.name), Some("name"));
        }
    }

    #[test]
    fn names_with_several_addresses() {
        let mut cache = Cache::new();
        cache.learn(address(1), &"one".into(), 60, None, 1);
        cache.learn(address(1), &"one".into(), 60, None, 2);
        cache.learn(address(1), &"two".into(), 60, None, 3);
        cache.learn(address(2), &"two".into(), 60, None, 4);
        let several: Vec<_> = ["one", "two", "three"]
            .into_iter()
            .filter(|n| cache.has_several_addresses(n))
            .collect();
        assert_eq!(several, ["two"]);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut cache = Cache::with_capacity(3);
        for number in 1..=3 {
            cache.learn(address(number), &number.to_string().into(), 60, None, 1);
        }
        cache.learn(address(1), &"1".into(), 60, None, 2); // again: now 2 is the oldest
        cache.learn(address(4), &"4".into(), 60, None, 3);
        let known: Vec<_> = (1..=4).filter(|&n| name(&cache, n, 9).is_some()).collect();
        assert_eq!(known, [1, 3, 4]);
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_keeps_its_books(
            learnt in proptest::collection::vec((0u32..20, 0u8..4, 0u32..3, 0u64..50), 0..200),
        ) {
            let mut now_ns = 0;
            let mut cache = Cache::with_capacity(8);
            for (number, name, pid, pause) in learnt {
                now_ns += pause;
                let asker = (pid > 0).then_some(Asker { pid, start_ns: 0 });
                cache.learn(address(number), &name.to_string().into(), 60, asker, now_ns);
                let known = cache.name(address(number), now_ns, asker.unwrap_or(NOBODY));
                let known = known.map(|known| known.name.to_owned());
                prop_assert_eq!(known, Some(name.to_string()));
                let kept: usize = cache.answers.values().map(VecDeque::len).sum();
                prop_assert!(kept <= 8);
                prop_assert_eq!(cache.by_age.len(), kept);
                prop_assert!(cache.answers.values().all(|runs| !runs.is_empty()));
            }
        }
    }
}
