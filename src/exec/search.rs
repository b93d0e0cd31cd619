//! A search along PATH: execvp() tries one folder after another, and each miss is a failed
//! exec. A run of misses for one name is one row together with its success, or by itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Exec, basename};

/// Misses wait this long for the success that may follow.
const PATIENCE: Duration = Duration::from_millis(200);

/// Misses kept at the most, over all processes.
const MOST: usize = 4096;

/// Misses of one thread for one name, in order: their records.
struct Search {
    misses: Vec<Vec<u8>>,
    last: Instant,
}

impl Search {
    /// Whether `exec` is a further step: the same name and, for another miss, the same
    /// arguments (a script that is found runs with others).
    fn continues_with(&self, exec: &Exec<'_>) -> bool {
        let first = self.misses.first().and_then(|record| Exec::decode(record));
        first.is_some_and(|first| {
            basename(first.filename) == basename(exec.filename)
                && (exec.errno().is_none() || first.args == exec.args)
        })
    }
}

/// All searches that go on, by thread.
#[derive(Default)]
pub struct Searches {
    by_thread: HashMap<u32, Search>,
    held: usize,
}

/// What to do after [`Searches::see`].
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Misses that led nowhere: show them first, in one row
    pub in_vain: Vec<Vec<u8>>,
    /// And the event itself
    pub event: Fate,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is a miss, and on hold
    Held,
    /// Show it
    Show,
    /// Show it: the search with these misses was for it
    Found(Vec<Vec<u8>>),
}

impl Searches {
    /// Looks at the next event. `is_miss`: the file is not there.
    pub fn see(&mut self, record: &[u8], exec: &Exec<'_>, is_miss: bool) -> Verdict {
        let thread = exec.event.caller_tid;
        let is_miss = is_miss && exec.errno() == Some(Errno::ENOENT);
        let continues = self.by_thread.get(&thread).is_some_and(|s| s.continues_with(exec));

        let mut ended = Vec::new();
        if !(is_miss && continues) {
            if let Some(search) = self.by_thread.remove(&thread) {
                self.held -= search.misses.len();
                ended = search.misses;
            }
        }
        if is_miss && self.held < MOST {
            let new = || Search { misses: Vec::new(), last: Instant::now() };
            let search = self.by_thread.entry(thread).or_insert_with(new);
            search.last = Instant::now();
            search.misses.push(record.to_vec());
            self.held += 1;
            return Verdict { in_vain: ended, event: Fate::Held };
        }
        if continues && exec.errno().is_none() {
            return Verdict { in_vain: Vec::new(), event: Fate::Found(ended) };
        }
        Verdict { in_vain: ended, event: Fate::Show }
    }

    /// Searches that have waited long enough, the oldest first; `all`: every one.
    pub fn given_up(&mut self, all: bool) -> Vec<Vec<Vec<u8>>> {
        let now = Instant::now();
        let mut searches = Vec::new();
        self.by_thread.retain(|_, search| {
            let keep = !all && now.duration_since(search.last) < PATIENCE;
            if !keep {
                searches.push(std::mem::take(&mut search.misses));
            }
            keep
        });
        self.held -= searches.iter().map(Vec::len).sum::<usize>();
        let time = |record: &Vec<u8>| Exec::decode(record).map(|exec| exec.event.id.time_ns);
        searches.sort_by_key(|misses| misses.last().and_then(time));
        searches
    }

    /// When to ask for [`Searches::given_up`] again.
    pub fn next_tick(&self) -> Option<Duration> {
        (!self.by_thread.is_empty()).then_some(PATIENCE / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{edit, failure, record};
    use super::*;

    fn see(searches: &mut Searches, record: &[u8]) -> Verdict {
        searches.see(record, &Exec::decode(record).unwrap(), true)
    }

    fn miss(thread: u32, filename: &str) -> Vec<u8> {
        failure(thread, libc::ENOENT, filename, &[b"make"])
    }

    fn success(thread: u32, filename: &str) -> Vec<u8> {
        let mut record = record(filename, &[b"/bin/sh", b"make"]);
        edit(&mut record, |event| {
            event.id.pid = thread;
            event.caller_tid = thread;
        });
        record
    }

    fn show(in_vain: Vec<Vec<u8>>) -> Verdict {
        Verdict { in_vain, event: Fate::Show }
    }

    const HELD: Verdict = Verdict { in_vain: Vec::new(), event: Fate::Held };

    #[test]
    fn misses_before_a_success_are_folded() {
        let mut searches = Searches::default();
        let misses = [miss(7, "/a/make"), miss(7, "/b/make")];
        assert_eq!(see(&mut searches, &misses[0]), HELD);
        assert_eq!(see(&mut searches, &miss(8, "/a/make")), HELD);
        assert_eq!(see(&mut searches, &misses[1]), HELD);
        let verdict = see(&mut searches, &success(7, "/c/make"));
        assert_eq!(verdict.event, Fate::Found(misses.to_vec()));
        // The other thread's search goes on.
        assert_eq!(searches.given_up(false).len(), 0);
        assert_eq!(searches.given_up(true), [[miss(8, "/a/make")]]);
        assert_eq!(searches.next_tick(), None);
    }

    #[test]
    fn misses_before_something_else_are_shown() {
        let mut searches = Searches::default();
        assert_eq!(see(&mut searches, &miss(7, "/a/make")), HELD);
        let verdict = see(&mut searches, &success(7, "/bin/true"));
        assert_eq!(verdict, show(vec![miss(7, "/a/make")]));

        assert_eq!(see(&mut searches, &miss(7, "/a/make")), HELD);
        let other = failure(7, libc::EACCES, "/b/make", &[b"make"]);
        assert_eq!(see(&mut searches, &other), show(vec![miss(7, "/a/make")]));

        assert_eq!(see(&mut searches, &miss(7, "/a/make")), HELD);
        let next = failure(7, libc::ENOENT, "/a/gcc", &[b"gcc"]);
        let verdict = see(&mut searches, &next);
        assert_eq!(verdict, Verdict { in_vain: vec![miss(7, "/a/make")], event: Fate::Held });
        assert_eq!(searches.given_up(true), [[next]]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut searches = Searches::default();
        for thread in 0..MOST as u32 {
            assert_eq!(see(&mut searches, &miss(thread, "/a/x")), HELD);
        }
        assert_eq!(see(&mut searches, &miss(u32::MAX, "/a/x")), show(Vec::new()));
        assert_eq!(searches.given_up(true).len(), MOST);
        assert_eq!(see(&mut searches, &miss(1, "/a/x")), HELD);
    }
}
