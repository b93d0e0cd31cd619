//! Names by address, for as long as they are valid.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most addresses to keep: with the longest names about 30 MiB.
const MAX_ADDRESSES: usize = 65_536;

/// A time to live of 0 means "for this one use": the connect that follows the answer, which may be
/// a second attempt, after the first address did not answer.
const MIN_TTL: Duration = Duration::from_secs(10);

/// The longest time to keep an answer, whatever its time to live.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The answers, bounded in time and space.
pub(super) struct Cache {
    capacity: usize,
    names: HashMap<IpAddr, Entry>,
    /// All addresses, by expiry
    by_end: BTreeSet<(Instant, IpAddr)>,
    /// All addresses, by the time they were last learnt
    by_age: BTreeMap<u64, IpAddr>,
    /// Counts the answers: the key in `by_age`
    clock: u64,
}

struct Entry {
    name: Arc<str>,
    end: Instant,
    learnt: u64,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self::with_capacity(MAX_ADDRESSES)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            names: HashMap::new(),
            by_end: BTreeSet::new(),
            by_age: BTreeMap::new(),
            clock: 0,
        }
    }

    /// `address` was the answer to a question for `name`, `ttl` seconds from `now` on.
    pub(super) fn learn(&mut self, address: IpAddr, name: &Arc<str>, ttl: u32, now: Instant) {
        let address = address.to_canonical();
        let ttl = Duration::from_secs(ttl.into()).clamp(MIN_TTL, MAX_TTL);
        let Some(mut end) = now.checked_add(ttl) else { return };
        if let Some(old) = self.forget(address) {
            // A server with a cached answer gives the time left. An earlier answer of another
            // server for the same name is still valid.
            if old.name == *name {
                end = end.max(old.end);
            }
        } else if self.names.len() >= self.capacity {
            self.make_room(now);
        }
        self.clock += 1;
        self.by_end.insert((end, address));
        self.by_age.insert(self.clock, address);
        let entry = Entry { name: Arc::clone(name), end, learnt: self.clock };
        self.names.insert(address, entry);
    }

    /// The last name with `address` in its answer, if the answer had not expired `at` that instant.
    pub(super) fn name(&self, address: IpAddr, at: Instant) -> Option<&str> {
        let entry = self.names.get(&address.to_canonical())?;
        (at <= entry.end).then_some(&*entry.name)
    }

    fn forget(&mut self, address: IpAddr) -> Option<Entry> {
        let entry = self.names.remove(&address)?;
        self.by_end.remove(&(entry.end, address));
        self.by_age.remove(&entry.learnt);
        Some(entry)
    }

    /// Drops the address that expired first; if none has expired, the oldest.
    fn make_room(&mut self, now: Instant) {
        let expired = self.by_end.first().filter(|(end, _)| *end < now).map(|(_, a)| *a);
        let oldest = || self.by_age.first_key_value().map(|(_, a)| *a);
        if let Some(address) = expired.or_else(oldest) {
            self.forget(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_is_good_for_its_time() {
        let now = Instant::now();
        let mut cache = Cache::new();
        for (ttl, good_for) in
            [(0, MIN_TTL), (60, seconds(60)), (86_400, MAX_TTL), (u32::MAX, MAX_TTL)]
        {
            cache.learn(address(ttl), &"name".into(), ttl, now);
            assert_eq!(cache.name(address(ttl), now + good_for), Some("name"));
            assert_eq!(cache.name(address(ttl), now + good_for + seconds(1)), None);
        }
        assert_eq!(cache.name(address(7), now), None);
    }

    #[test]
    fn an_event_that_is_read_late_has_its_name_too() {
        let now = Instant::now();
        let mut cache = Cache::new();
        cache.learn(address(1), &"name".into(), 60, now + seconds(2));
        assert_eq!(cache.name(address(1), now), Some("name"));
    }

    #[test]
    fn the_last_question_wins() {
        let now = Instant::now();
        let mut cache = Cache::new();
        cache.learn(address(1), &"long".into(), 3600, now);
        cache.learn(address(1), &"short".into(), 60, now);
        assert_eq!(cache.name(address(1), now), Some("short"));
        assert_eq!(cache.name(address(1), now + seconds(61)), None);
        // The same name: the later end.
        cache.learn(address(2), &"same".into(), 3600, now);
        cache.learn(address(2), &"same".into(), 60, now);
        assert_eq!(cache.name(address(2), now + seconds(61)), Some("same"));
    }

    #[test]
    fn mapped_addresses_are_those_that_they_map() {
        let now = Instant::now();
        let mut cache = Cache::new();
        cache.learn("::ffff:192.0.2.1".parse().unwrap(), &"name".into(), 60, now);
        assert_eq!(cache.name("192.0.2.1".parse().unwrap(), now), Some("name"));
        assert_eq!(cache.name("::ffff:192.0.2.1".parse().unwrap(), now), Some("name"));
    }

    #[test]
    fn the_expired_go_first_and_then_the_oldest() {
        let now = Instant::now();
        let mut cache = Cache::with_capacity(3);
        cache.learn(address(1), &"a".into(), 3600, now);
        cache.learn(address(2), &"b".into(), 30, now);
        cache.learn(address(3), &"c".into(), 60, now);
        // 2 and 3 have expired; 2 did so first.
        let later = now + seconds(120);
        cache.learn(address(4), &"d".into(), 3600, later);
        assert_eq!(cache.name(address(2), now), None);
        assert_eq!(cache.name(address(3), now), Some("c"));
        cache.learn(address(5), &"e".into(), 3600, later);
        // None has expired. 1 is learnt again, so 4 is the oldest.
        cache.learn(address(1), &"a".into(), 10, later);
        cache.learn(address(6), &"f".into(), 3600, later);
        let known: Vec<_> = (1..=6).filter(|&n| cache.name(address(n), now).is_some()).collect();
        assert_eq!(known, [1, 5, 6]);
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_keeps_its_books(
            learnt in proptest::collection::vec((0u32..20, 0u8..4, 0u32..100, 0u64..50), 0..200),
        ) {
            let mut now = Instant::now();
            let mut cache = Cache::with_capacity(8);
            for (number, name, ttl, pause) in learnt {
                now += seconds(pause);
                cache.learn(address(number), &name.to_string().into(), ttl, now);
                let known = cache.name(address(number), now).map(str::to_owned);
                prop_assert_eq!(known, Some(name.to_string()));
                prop_assert!(cache.names.len() <= 8);
                prop_assert_eq!(cache.by_end.len(), cache.names.len());
                prop_assert_eq!(cache.by_age.len(), cache.names.len());
            }
        }
    }
}
