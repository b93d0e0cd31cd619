//! Fewer rows than there are events: `--rate-limit`, `--sample`, `--max-cpu`. What is dropped is
//! counted, so that shown, lost and dropped rows together are all that happened.

use std::collections::HashMap;
use std::str::FromStr;

use serde::Serialize;

use crate::output::escape::until_nul;
use crate::output::json::{Bytes, is_zero};
use crate::skel::task_id;

/// `--rate-limit`: so many rows in so long, all at once if they come so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    rows: u64,
    period_ns: u64,
    key: Key,
}

/// What rows are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    All,
    Comm,
    Pid,
    Uid,
}

/// The most rows of a limit: more than any machine makes.
const MOST_ROWS: u64 = 1_000_000_000;

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let needed =
            || "a limit is a number of rows and a time, such as 100/s or 10/s:comm".to_owned();
        let (rate, key) =
            text.split_once(':').map_or((text, None), |(rate, key)| (rate, Some(key)));
        let key = match key {
            None => Key::All,
            Some("comm") => Key::Comm,
            Some("pid") => Key::Pid,
            Some("uid") => Key::Uid,
            Some(_) => return Err("a limit is for each comm, pid or uid".to_owned()),
        };
        let (rows, unit) = rate.split_once('/').unwrap_or((rate, "s"));
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(needed()),
        };
        let is_number = !rows.is_empty() && rows.bytes().all(|byte| byte.is_ascii_digit());
        let rows = rows.parse().ok().filter(|rows| is_number && (1..=MOST_ROWS).contains(rows));
        let rows = rows.ok_or_else(needed)?;
        Ok(Self { rows, period_ns: seconds * 1_000_000_000, key })
    }
}

/// A bucket of tokens, one for each row. It is kept as the time at which it would be full again,
/// times the number of rows: then nothing is rounded.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: u128,
}

impl Bucket {
    /// Takes a token, if there is one.
    fn take(&mut self, limit: &RateLimit, now_ns: u64) -> bool {
        let (rows, period) = (u128::from(limit.rows), u128::from(limit.period_ns));
        let now = u128::from(now_ns) * rows;
        let full_at = self.full_at.max(now);
        let has_one = full_at + period <= now + period * rows;
        if has_one {
            self.full_at = full_at + period;
        }
        has_one
    }

    fn is_full(&self, limit: &RateLimit, now_ns: u64) -> bool {
        self.full_at <= u128::from(now_ns) * u128::from(limit.rows)
    }
}

/// The value of a [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    All,
    Comm([u8; 16]),
    /// With the time of birth
    Pid(u32, u64),
    Uid(u32),
}

impl Key {
    fn of(self, id: &task_id) -> Of {
        match self {
            Self::All => Of::All,
            Self::Comm => {
                let mut comm = [0; 16];
                let name = until_nul(&id.comm);
                comm.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
                Of::Comm(comm)
            }
            Self::Pid => Of::Pid(id.pid, id.start_ns),
            Self::Uid => Of::Uid(id.uid),
        }
    }
}

/// The most programs, processes or users that are told apart; the others share what one has.
const MOST_KEYS: usize = 4096;

/// One limit at work.
struct Limiter {
    limit: RateLimit,
    buckets: HashMap<Of, Bucket>,
    others: Bucket,
    dropped: HashMap<Of, u64>,
    dropped_others: u64,
    /// Rows do not always come in the order of their times
    now_ns: u64,
    /// The next look for buckets that are not needed, when there are too many
    sweep_ns: u64,
}

impl Limiter {
    fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            buckets: HashMap::new(),
            others: Bucket::default(),
            dropped: HashMap::new(),
            dropped_others: 0,
            now_ns: 0,
            sweep_ns: 0,
        }
    }

    fn admits(&mut self, id: &task_id) -> bool {
        self.now_ns = self.now_ns.max(id.time_ns);
        let (now_ns, limit) = (self.now_ns, self.limit);
        let key = limit.key.of(id);
        if self.buckets.len() >= MOST_KEYS && !self.buckets.contains_key(&key) {
            self.sweep();
        }
        let bucket = match self.buckets.len() < MOST_KEYS {
            true => self.buckets.entry(key).or_default(),
            false => self.buckets.get_mut(&key).unwrap_or(&mut self.others),
        };
        let is_admitted = bucket.take(&limit, now_ns);
        if !is_admitted {
            let is_known = self.dropped.len() < MOST_KEYS || self.dropped.contains_key(&key);
            match is_known {
                true => *self.dropped.entry(key).or_default() += 1,
                false => self.dropped_others += 1,
            }
        }
        is_admitted
    }

    /// Forgets full buckets, which are as good as new ones. At most once a second of events.
    fn sweep(&mut self) {
        if self.now_ns < self.sweep_ns {
            return;
        }
        self.sweep_ns = self.now_ns + 1_000_000_000;
        let (limit, now_ns) = (self.limit, self.now_ns);
        self.buckets.retain(|_, bucket| !bucket.is_full(&limit, now_ns));
    }
}

/// All limits of a run.
#[derive(Default)]
pub struct Limits {
    limiters: Vec<Limiter>,
    sample: Option<u32>,
    /// One of 2 to this power, by `--max-cpu`
    shed: u32,
    dropped: Counts,
}

/// Rows that were dropped, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// By `--rate-limit`
    #[serde(skip_serializing_if = "is_zero")]
    pub rate_limit: u64,
    /// By `--sample`
    #[serde(skip_serializing_if = "is_zero")]
    pub sample: u64,
    /// By `--max-cpu`
    #[serde(skip_serializing_if = "is_zero")]
    pub max_cpu: u64,
    /// By a run whose recording this is
    #[serde(skip_serializing_if = "is_zero")]
    pub recorded: u64,
}

impl Counts {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.rate_limit + self.sample + self.max_cpu + self.recorded
    }
}

/// A program, process or user that made more rows than a limit lets through.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Loud<'a> {
    /// The name of the program
    #[serde(flatten)]
    comm: Bytes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// Its rows that were dropped
    count: u64,
}

/// So many of them are told.
const MOST_LOUD: usize = 10;

impl Limits {
    /// By these flags.
    pub fn new(limits: &[RateLimit], sample: Option<u32>) -> Self {
        let limiters = limits.iter().copied().map(Limiter::new).collect();
        Self { limiters, sample, ..Self::default() }
    }

    /// Whether there is any limit.
    pub fn are_on(&self) -> bool {
        self.sample.is_some() || self.shed > 0 || !self.limiters.is_empty()
    }

    /// Shows only rows of one of 2^`shed` processes, besides.
    pub fn shed(&mut self, shed: u32) {
        self.shed = shed;
    }

    /// Whether the row of an event of this process is shown. If not, it is counted.
    pub fn admit(&mut self, id: &task_id) -> bool {
        if self.sample.is_some() || self.shed > 0 {
            let hash = hash(id);
            if self.sample.is_some_and(|of| hash % u64::from(of) != 0) {
                self.dropped.sample += 1;
                return false;
            }
            // Other bits than those of the remainder.
            if self.shed > 0 && hash.rotate_left(32) >> (64 - self.shed) != 0 {
                self.dropped.max_cpu += 1;
                return false;
            }
        }
        // The first limit that refuses the row counts it; the ones before have counted a token.
        let is_admitted = self.limiters.iter_mut().all(|limiter| limiter.admits(id));
        self.dropped.rate_limit += u64::from(!is_admitted);
        is_admitted
    }

    /// What was dropped so far.
    pub fn dropped(&self) -> Counts {
        self.dropped
    }

    /// A recording lacks so many.
    pub fn note_recorded(&mut self, dropped: u64) {
        self.dropped.recorded = dropped;
    }

    /// Whose rows were dropped most, by limits for each program, process or user.
    pub fn loudest(&self) -> Vec<Loud<'_>> {
        let all = self.limiters.iter().flat_map(|limiter| &limiter.dropped);
        let mut all: Vec<_> = all.filter(|(of, _)| **of != Of::All).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        all.truncate(MOST_LOUD);
        all.into_iter().map(|(of, count)| Loud::new(of, *count)).collect()
    }
}

impl<'a> Loud<'a> {
    fn new(of: &'a Of, count: u64) -> Self {
        let keys = ("comm", "comm_base64");
        let mut loud = Self { comm: Bytes { keys, value: None }, pid: None, uid: None, count };
        match of {
            Of::All => {}
            Of::Comm(comm) => loud.comm.value = Some(until_nul(comm)),
            Of::Pid(pid, _) => loud.pid = Some(*pid),
            Of::Uid(uid) => loud.uid = Some(*uid),
        }
        loud
    }
}

/// A number for a process, the same in each tool: its id and its birth, well mixed (SplitMix64).
fn hash(id: &task_id) -> u64 {
    let mut mixed = id.start_ns ^ u64::from(id.pid).rotate_left(40);
    mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limit(text: &str) -> RateLimit {
        text.parse().unwrap()
    }

    fn id(pid: u32, time_ns: u64) -> task_id {
        let mut comm = [0; 16];
        comm[0] = b'a' + (pid % 26) as u8;
        task_id {
            pid,
            uid: pid % 3,
            start_ns: u64::from(pid) * 1000,
            time_ns,
            comm,
            ..task_id::default()
        }
    }

    #[test]
    fn limits_are_numbers_and_times() {
        assert_eq!(limit("5"), RateLimit { rows: 5, period_ns: SECOND, key: Key::All });
        assert_eq!(limit("5/m:pid"), RateLimit { rows: 5, period_ns: 60 * SECOND, key: Key::Pid });
        assert_eq!(limit("5/h:uid").period_ns, 3600 * SECOND);
        assert_eq!(limit("5:comm").key, Key::Comm);
        for wrong in [
            "",
            "0/s",
            "-1/s",
            "+1/s",
            "1/d",
            "1/",
            "1/s:",
            "1/s:name",
            "x",
            "1000000001/s",
            "1/s:pid:pid",
        ] {
            assert!(wrong.parse::<RateLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_burst_and_then_a_steady_stream() {
        let mut limits = Limits::new(&[limit("3/s")], None);
        let mut shown = |time_ns| limits.admit(&id(1, time_ns));
        assert_eq!([shown(0), shown(0), shown(0), shown(0)], [true, true, true, false]);
        assert_eq!(
            [shown(SECOND / 3), shown(SECOND / 3 + 1), shown(SECOND / 3 + 1)],
            [false, true, false]
        );
        assert!(!shown(0) && shown(10 * SECOND), "time does not go back");
        assert_eq!(limits.dropped().all(), 4);
    }

    #[test]
    fn each_program_has_its_own() {
        let mut limits = Limits::new(&[limit("2/s:comm"), limit("100/s")], None);
        for pid in [0, 26, 52, 1, 1, 1, 1] {
            limits.admit(&id(pid, 5));
        }
        assert_eq!(limits.dropped(), Counts { rate_limit: 3, ..Counts::default() });
        let loudest = serde_json::to_value(limits.loudest()).unwrap();
        assert_eq!(
            loudest,
            serde_json::json!([{"comm": "b", "count": 2}, {"comm": "a", "count": 1}])
        );
    }

    #[test]
    fn any_number_of_keys_takes_bounded_memory() {
        let mut limits = Limits::new(&[limit("1/s:pid")], None);
        let mut shown = 0;
        for pid in 0..100_000 {
            shown += u64::from(limits.admit(&id(pid, 7)));
            shown += u64::from(limits.admit(&id(pid, 7)));
        }
        let limiter = &limits.limiters[0];
        assert!(limiter.buckets.len() <= MOST_KEYS && limiter.dropped.len() <= MOST_KEYS);
        assert_eq!(shown + limits.dropped().all(), 200_000);
        let by_key: u64 = limiter.dropped.values().sum();
        assert_eq!(by_key + limiter.dropped_others, limits.dropped().all());
        assert!(limits.admit(&id(100_000, 9 * SECOND)), "the others are forgotten in time");
        assert!(limits.limiters[0].buckets.len() < 10);
        assert_eq!(limits.loudest().len(), MOST_LOUD);
    }

    #[test]
    fn a_sample_is_of_whole_processes() {
        let mut limits = Limits::new(&[], Some(10));
        let mut other = Limits::new(&[], Some(10));
        let of = |limits: &mut Limits, time| {
            (0..10_000).filter(|pid| limits.admit(&id(*pid, time))).collect()
        };
        let first: Vec<_> = of(&mut limits, 1);
        assert_eq!(first, of(&mut other, 99), "the same at any time, in any tool");
        assert!((900..1100).contains(&first.len()), "{}", first.len());
        assert_eq!(limits.dropped().sample, 10_000 - first.len() as u64);
        other.shed(2);
        let less: Vec<_> = of(&mut other, 1);
        assert!(less.iter().all(|pid| first.contains(pid)));
        assert!((180..320).contains(&less.len()), "{}", less.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// In no stretch of time are there more rows than a full bucket and what comes into it.
        #[test]
        fn no_more_than_the_limit(
            rows in 1u64..50,
            steps in prop::collection::vec(0u64..SECOND / 5, 1..300),
        ) {
            let mut limits = Limits::new(&[limit(&format!("{rows}/s"))], None);
            let (mut now, mut times) = (0, Vec::new());
            for step in &steps {
                now += step;
                if limits.admit(&id(1, now)) {
                    times.push(now);
                }
            }
            for (first, begin) in times.iter().enumerate() {
                for (more, end) in times[first..].iter().enumerate() {
                    let most = rows + (end - begin) * rows / SECOND + 1;
                    prop_assert!((more as u64) < most);
                }
            }
            prop_assert_eq!(times.len() as u64 + limits.dropped().all(), steps.len() as u64);
        }
    }
}
