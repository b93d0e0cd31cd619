//! A search along PATH: execvp() tries one folder after another, and each miss is a failed exec. A
//! run of misses for one name is one row together with its success, or by itself. A place that
//! answers "permission denied" has a row of its own, at once; execvp() tries the next place after
//! it, too.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Exec, basename};

/// Misses wait this long for the success that may follow.
const PATIENCE: Duration = Duration::from_millis(200);

/// The most misses to keep, over all processes.
const MOST: usize = 4096;

/// One place of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The record of the failed call
    pub record: Vec<u8>,
    /// The answer was not "no such file": the step has its row already
    pub is_shown: bool,
}

/// The other places of the search that a row stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// The files that were tried
    pub files: Vec<Vec<u8>>,
    /// The search went along PATH
    pub along_path: bool,
}

impl Searched {
    /// The places before the one that has the file.
    pub fn before(steps: &[Step]) -> Self {
        Self { files: files(steps), along_path: is_along_path(steps) }
    }

    /// For a search that found nothing: the record of the last miss, which is the row, and the
    /// other misses. `None`: all steps have been shown.
    pub fn in_vain(steps: &[Step]) -> Option<(&[u8], Self)> {
        let misses: Vec<_> = steps.iter().filter(|step| !step.is_shown).collect();
        let (last, before) = misses.split_last()?;
        // If one place has a row of its own, "nowhere on PATH" is not true.
        let along_path = misses.len() == steps.len() && is_along_path(steps);
        Some((&last.record, Self { files: files(before.iter().copied()), along_path }))
    }
}

/// The files that these steps name.
fn files<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<Vec<u8>> {
    let execs = steps.into_iter().filter_map(|step| Exec::decode(&step.record));
    execs.map(|exec| exec.filename().into_owned()).collect()
}

/// Whether these steps come from execvp(), which puts folders before a name without a slash. A
/// program that tries folders of its own choice mostly gives the whole path as the first argument,
/// too.
fn is_along_path(steps: &[Step]) -> bool {
    let mut execs = steps.iter().filter_map(|step| Exec::decode(&step.record));
    execs.all(|exec| exec.args().next() == Some(basename(&exec.filename())))
}

/// Steps of one thread for one name, in order.
struct Search {
    steps: Vec<Step>,
    last: Instant,
}

impl Search {
    /// Whether `exec` is a further step: the same name and, for another failure, the same arguments
    /// (a script that was found runs with other arguments).
    fn continues_with(&self, exec: &Exec<'_>) -> bool {
        let first = self.steps.first().and_then(|step| Exec::decode(&step.record));
        first.is_some_and(|first| {
            basename(first.filename) == basename(exec.filename)
                && (exec.errno().is_none() || first.args == exec.args)
        })
    }
}

/// All open searches, by thread.
#[derive(Default)]
pub struct Searches {
    by_thread: HashMap<u32, Search>,
    held: usize,
}

/// What to do after [`Searches::see`].
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// A search that found nothing: show it first, in one row
    pub in_vain: Vec<Step>,
    /// The fate of the event itself
    pub event: Fate,
}

/// The fate of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// A miss, on hold
    Held,
    /// Show it
    Show,
    /// Show it: the search with these steps found it
    Found(Vec<Step>),
}

impl Searches {
    /// Looks at the next event. `is_missing`: the file itself is missing, not its interpreter.
    pub fn see(&mut self, record: &[u8], exec: &Exec<'_>, is_missing: bool) -> Verdict {
        let thread = exec.event.caller_tid;
        // After these, execvp() tries the next place.
        let is_shown = exec.errno() == Some(Errno::EACCES);
        let is_miss = match exec.errno() {
            Some(Errno::ENOENT) => is_missing,
            Some(Errno::ENOTDIR) => true,
            _ => false,
        };
        let is_step = is_shown || is_miss;
        let continues = self.by_thread.get(&thread).is_some_and(|s| s.continues_with(exec));

        let mut ended = Vec::new();
        if !(is_step && continues) {
            if let Some(search) = self.by_thread.remove(&thread) {
                self.held -= search.steps.len();
                ended = search.steps;
            }
        }
        if is_step && self.held < MOST {
            let new = || Search { steps: Vec::new(), last: Instant::now() };
            let search = self.by_thread.entry(thread).or_insert_with(new);
            search.last = Instant::now();
            search.steps.push(Step { record: record.to_vec(), is_shown });
            self.held += 1;
            let event = if is_shown { Fate::Show } else { Fate::Held };
            return Verdict { in_vain: ended, event };
        }
        if continues && exec.errno().is_none() {
            return Verdict { in_vain: Vec::new(), event: Fate::Found(ended) };
        }
        Verdict { in_vain: ended, event: Fate::Show }
    }

    /// Searches that have waited long enough, the oldest first; `all`: every search.
    pub fn given_up(&mut self, all: bool) -> Vec<Vec<Step>> {
        let now = Instant::now();
        let mut searches = Vec::new();
        self.by_thread.retain(|_, search| {
            let keep = !all && now.duration_since(search.last) < PATIENCE;
            if !keep {
                searches.push(std::mem::take(&mut search.steps));
            }
            keep
        });
        self.held -= searches.iter().map(Vec::len).sum::<usize>();
        let time = |step: &Step| Exec::decode(&step.record).map(|exec| exec.event.id.time_ns);
        searches.sort_by_key(|steps| steps.last().and_then(time));
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

    fn steps(records: &[Vec<u8>]) -> Vec<Step> {
        records.iter().map(|record| Step { record: record.clone(), is_shown: false }).collect()
    }

    fn show(in_vain: &[Vec<u8>]) -> Verdict {
        Verdict { in_vain: steps(in_vain), event: Fate::Show }
    }

    const HELD: Verdict = Verdict { in_vain: Vec::new(), event: Fate::Held };

    #[test]
    fn misses_before_a_success_are_folded() {
        let mut searches = Searches::default();
        // /b is not a folder.
        let misses = [miss(7, "/a/make"), failure(7, libc::ENOTDIR, "/b/make", &[b"make"])];
        assert_eq!(see(&mut searches, &misses[0]), HELD);
        assert_eq!(see(&mut searches, &miss(8, "/a/make")), HELD);
        assert_eq!(see(&mut searches, &misses[1]), HELD);
        let verdict = see(&mut searches, &success(7, "/c/make"));
        assert_eq!(verdict.event, Fate::Found(steps(&misses)));
        // The other thread's search goes on.
        assert_eq!(searches.given_up(false).len(), 0);
        assert_eq!(searches.given_up(true), [steps(&[miss(8, "/a/make")])]);
        assert_eq!(searches.next_tick(), None);
    }

    #[test]
    fn a_place_that_denies_is_a_step_with_a_row_of_its_own() {
        let mut searches = Searches::default();
        let denied = failure(7, libc::EACCES, "/b/make", &[b"make"]);
        let places = [miss(7, "/a/make"), denied.clone(), miss(7, "/c/make")];
        let mut run = steps(&places);
        run[1].is_shown = true;
        for end in [Some(success(7, "/d/make")), None] {
            assert_eq!(see(&mut searches, &places[0]), HELD);
            assert_eq!(see(&mut searches, &denied), show(&[]), "at once, and the search goes on");
            assert_eq!(see(&mut searches, &places[2]), HELD);
            match end {
                Some(end) => assert_eq!(see(&mut searches, &end).event, Fate::Found(run.clone())),
                None => assert_eq!(searches.given_up(true), [run.clone()]),
            }
        }
        assert_eq!(searches.held, 0);
    }

    #[test]
    fn misses_before_something_else_are_shown() {
        let mut searches = Searches::default();
        assert_eq!(see(&mut searches, &miss(7, "/a/make")), HELD);
        let verdict = see(&mut searches, &success(7, "/bin/true"));
        assert_eq!(verdict, show(&[miss(7, "/a/make")]));

        assert_eq!(see(&mut searches, &miss(7, "/a/make")), HELD);
        let other = failure(7, libc::E2BIG, "/b/make", &[b"make"]);
        assert_eq!(see(&mut searches, &other), show(&[miss(7, "/a/make")]));

        assert_eq!(see(&mut searches, &miss(7, "/a/make")), HELD);
        let next = failure(7, libc::ENOENT, "/a/gcc", &[b"gcc"]);
        let verdict = see(&mut searches, &next);
        let in_vain = steps(&[miss(7, "/a/make")]);
        assert_eq!(verdict, Verdict { in_vain, event: Fate::Held });
        assert_eq!(searches.given_up(true), [steps(&[next])]);
    }

    #[test]
    fn what_execvp_does_is_a_search_along_path() {
        let path = steps(&[miss(7, "/a/make"), miss(7, "/b/make")]);
        let files = [b"/a/make".to_vec(), b"/b/make".to_vec()];
        let all = Searched { files: files.to_vec(), along_path: true };
        assert_eq!(Searched::before(&path), all);
        let but_the_last = Searched { files: files[..1].to_vec(), along_path: true };
        assert_eq!(Searched::in_vain(&path), Some((&path[1].record[..], but_the_last)));

        let own = |path: &str| failure(7, libc::ENOENT, path, &[path.as_bytes()]);
        assert!(!Searched::before(&steps(&[own("/a/b"), own("/c/b")])).along_path);

        // The file exists, but may not be executed.
        let mut denied = path.clone();
        denied[1].is_shown = true;
        assert!(Searched::before(&denied).along_path);
        let nothing_else = Searched::default();
        assert_eq!(Searched::in_vain(&denied), Some((&path[0].record[..], nothing_else)));
        denied[0].is_shown = true;
        assert_eq!(Searched::in_vain(&denied), None);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut searches = Searches::default();
        for thread in 0..MOST as u32 {
            assert_eq!(see(&mut searches, &miss(thread, "/a/x")), HELD);
        }
        assert_eq!(see(&mut searches, &miss(u32::MAX, "/a/x")), show(&[]));
        assert_eq!(searches.given_up(true).len(), MOST);
        assert_eq!(see(&mut searches, &miss(1, "/a/x")), HELD);
    }
}
