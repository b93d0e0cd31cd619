//! Records of contexts, until their events come.

use std::collections::{HashMap, VecDeque};

use super::Wanted;
use crate::host::context::{Ancestor, Ancestors, Context, Login};
use crate::skel::{context_flag, context_head, context_kind, context_link, context_login, decode};

/// Thread and time of the event.
pub(super) type Key = (u32, u64);

/// `CONTEXT_MARK` of context.h, where events have the number of lost ones.
const MARK: u64 = u64::MAX;

/// The most contexts that wait for their events. A connection waits as long as its peer does not
/// answer; others have no row, as with `--quiet`.
const MOST: usize = 40_000;

#[derive(Debug, Default)]
struct Part {
    login: Option<Login>,
    ancestors: Ancestors,
    /// Of the process itself, once the first record of the chain has come
    exec_id: Option<u32>,
    /// The last record of the chain has come
    is_whole: bool,
    is_broken: bool,
    /// Its place in the order
    number: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    waiting: HashMap<Key, Part>,
    /// The oldest first; some have been taken already
    order: VecDeque<(u64, Key)>,
    next: u64,
}

impl Parts {
    /// Takes in a record; false: it is an event.
    pub(super) fn take(&mut self, record: &[u8]) -> bool {
        let mark = record.get(8..).and_then(|rest| rest.first_chunk());
        if mark.is_none_or(|mark| u64::from_ne_bytes(*mark) != MARK) {
            return false;
        }
        let Ok(head) = decode::<context_head>(record) else { return true };
        let part = self.part((head.tid, head.time_ns));
        match head.kind {
            context_kind::CONTEXT_IS_LOGIN => {
                part.login = decode(record).ok().map(|login: context_login| Login::new(&login));
            }
            context_kind::CONTEXT_IS_LINK => {
                if let Ok(link) = decode(record) {
                    part.add(&link);
                }
            }
            _ => {}
        }
        true
    }

    fn part(&mut self, key: Key) -> &mut Part {
        if !self.waiting.contains_key(&key) {
            self.make_room();
            self.next += 1;
            self.order.push_back((self.next, key));
        }
        let number = self.next;
        self.waiting.entry(key).or_insert_with(|| Part { number, ..Part::default() })
    }

    /// Forgets the oldest ones if there are too many, and the places of those that are gone.
    fn make_room(&mut self) {
        while self.waiting.len() >= MOST || self.order.len() >= 2 * MOST {
            let Some((number, key)) = self.order.pop_front() else { return };
            if self.waiting.get(&key).is_some_and(|part| part.number == number) {
                self.waiting.remove(&key);
            }
        }
        // Mostly the event comes at once, and the front is long gone.
        while let Some((number, key)) = self.order.front() {
            if self.waiting.get(key).is_some_and(|part| part.number == *number) {
                return;
            }
            self.order.pop_front();
        }
    }

    /// What waits for one event waits for another one.
    pub(super) fn rename(&mut self, from: Key, to: Key) {
        if let Some(part) = self.waiting.remove(&from) {
            self.order.push_back((part.number, to));
            self.waiting.insert(to, part);
        }
    }

    /// How many executions led to the program of the event's own process.
    pub(super) fn exec_id(&self, key: Key) -> Option<u32> {
        self.waiting.get(&key).filter(|part| part.is_whole)?.exec_id
    }

    /// The context of an event. What is missing of it is said.
    pub(super) fn remove(&mut self, key: Key, wanted: Wanted) -> Context {
        let part = self.waiting.remove(&key).unwrap_or_default();
        let login = part.login.filter(|_| wanted.login);
        let is_whole = part.is_whole && !part.is_broken;
        let ancestors = (wanted.ancestors.is_some() && is_whole).then_some(part.ancestors);
        let is_missing =
            wanted.login != login.is_some() || wanted.ancestors.is_some() != ancestors.is_some();
        Context { login, ancestors, is_missing }
    }
}

impl Part {
    /// The next one of the chain.
    fn add(&mut self, record: &context_link) {
        let told = usize::from(self.exec_id.is_some()) + self.ancestors.chain.len();
        if record.number as usize != told || self.is_whole {
            self.is_broken = true;
        }
        if record.number == 0 {
            self.exec_id = Some(record.exec_id);
        } else {
            self.ancestors.chain.push(Ancestor::from(record));
        }
        let has = |flag: context_flag| record.flags.0 & flag.0 != 0;
        self.is_whole |= has(context_flag::CONTEXT_LAST);
        self.ancestors.more |= has(context_flag::CONTEXT_MORE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Wanted = Wanted { login: true, ancestors: Some(64) };

    fn bytes<T: plain::Plain>(record: &T) -> Vec<u8> {
        // SAFETY: plain integers without padding.
        unsafe { plain::as_bytes(record) }.to_vec()
    }

    fn head((tid, time_ns): Key, kind: context_kind) -> context_head {
        context_head { time_ns, mark: MARK, tid, kind }
    }

    fn login(key: Key, uid: u32) -> Vec<u8> {
        let head = head(key, context_kind::CONTEXT_IS_LOGIN);
        bytes(&context_login { head, login_uid: uid, ..Default::default() })
    }

    fn link(key: Key, number: u32, pid: u32, flags: u32) -> Vec<u8> {
        let head = head(key, context_kind::CONTEXT_IS_LINK);
        let flags = context_flag(flags);
        bytes(&context_link { head, pid, exec_id: 3, number, flags, ..Default::default() })
    }

    fn pids(context: &Context) -> Vec<u32> {
        let chain = context.ancestors.iter().flat_map(|ancestors| &ancestors.chain);
        chain.map(|one| one.pid).collect()
    }

    #[test]
    fn parts_meet_in_the_context_of_their_event() {
        let mut parts = Parts::default();
        let key = (7, 100);
        // Another thread comes in between.
        for record in [
            login(key, 5),
            login((8, 100), 6),
            link(key, 0, 7, 0),
            link(key, 1, 1, 0),
            link((8, 100), 0, 8, 0),
            link((8, 100), 1, 9, 1),
            link(key, 2, 2, 0),
            link(key, 3, 3, 3),
        ] {
            assert!(parts.take(&record));
        }
        assert_eq!(parts.exec_id(key), Some(3));
        let context = parts.remove(key, BOTH);
        assert_eq!(context.login.as_ref().and_then(|login| login.user), Some(5));
        assert_eq!(pids(&context), [1, 2, 3]);
        assert!(context.ancestors.unwrap().more && !context.is_missing);
        assert_eq!(pids(&parts.remove((8, 100), BOTH)), [9]);
        let again = parts.remove(key, BOTH);
        assert!(again.is_missing && again.login.is_none(), "once");
    }

    #[test]
    fn what_is_missing_is_said_and_never_made_up() {
        let key = (7, 100);
        let of = |records: &[Vec<u8>], wanted| {
            let mut parts = Parts::default();
            records.iter().for_each(|record| assert!(parts.take(record)));
            parts.remove(key, wanted)
        };
        let without_end = [login(key, 5), link(key, 0, 7, 0), link(key, 1, 1, 0)];
        let context = of(&without_end, BOTH);
        assert!(context.is_missing && context.ancestors.is_none() && context.login.is_some());
        let without_beginning = [login(key, 5), link(key, 1, 5, 1)];
        assert!(of(&without_beginning, BOTH).ancestors.is_none());
        let without_one = [login(key, 5), link(key, 0, 7, 0), link(key, 2, 5, 1)];
        assert!(of(&without_one, BOTH).ancestors.is_none());
        let of_the_first_process = of(&[login(key, 5), link(key, 0, 1, 1)], BOTH);
        assert!(!of_the_first_process.is_missing);
        assert_eq!(pids(&of_the_first_process), [0; 0]);
        let other_thread = [login((8, 100), 5), login((7, 101), 5)];
        assert!(of(&other_thread, Wanted { ancestors: None, ..BOTH }).login.is_none());
        let only_login = [login(key, 5)];
        assert!(!of(&only_login, Wanted { ancestors: None, ..BOTH }).is_missing);
    }

    #[test]
    fn events_are_no_parts() {
        let mut parts = Parts::default();
        assert!(!parts.take(&[0; 200]) && !parts.take(&[0xff; 15]));
        assert!(parts.take(&[0xff; 200]), "of an unknown kind");
    }

    #[test]
    fn the_oldest_go_if_there_are_too_many() {
        let mut parts = Parts::default();
        for time in 0..MOST as u64 + 10 {
            parts.take(&login((1, time), 5));
        }
        assert!(parts.waiting.len() <= MOST);
        let only = Wanted { ancestors: None, ..BOTH };
        assert!(parts.remove((1, 0), only).is_missing);
        assert!(!parts.remove((1, MOST as u64 + 9), only).is_missing);
        for time in 0..3 * MOST as u64 {
            parts.take(&login((2, time), 5));
            parts.remove((2, time), only);
        }
        assert!(parts.order.len() <= 2 * MOST);
    }

    #[test]
    fn a_connection_is_told_when_it_ends() {
        let mut parts = Parts::default();
        parts.take(&login((1, 5), 7));
        parts.rename((1, 5), (1, 9));
        let only = Wanted { ancestors: None, ..BOTH };
        assert!(parts.remove((1, 5), only).is_missing);
        assert!(!parts.remove((1, 9), only).is_missing);
    }
}
