//! What is known of the processes of the last minute. However many there are, the memory is bounded.

use std::collections::{HashMap, VecDeque};

use crate::host::context::Context;
use crate::output::row::login_text;
use crate::skel::task_id;

/// Number of a life in this run: ids of processes are used again.
pub(super) type Id = u64;

/// How long what has ended is kept.
pub(super) const WINDOW_NS: u64 = 60_000_000_000;

/// The most lives to keep.
const MOST: usize = 30_000;

/// The most bytes of arguments to keep of one.
const MOST_ARGS: usize = 4096;

/// The most bytes of a path to keep.
const MOST_PATH: usize = 1024;

/// The most bytes of an environment to keep.
const MOST_ENV: usize = 4096;

/// Where a program runs, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The working directory
    pub cwd: &'a [u8],
    /// Variables with their NULs
    pub env: Option<&'a [u8]>,
    /// Some variables are missing
    pub env_cut: bool,
}

/// The process of an event.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub pid: u32,
    /// Its birth on the clock of events; 0 if it is not known
    pub start_ns: u64,
    pub ppid: u32,
    /// Its real user; `None` if it is not known
    pub uid: Option<u32>,
    pub comm: &'a [u8],
    pub cgroup: Option<&'a [u8]>,
    /// When it happened
    pub time_ns: u64,
}

impl<'a> Who<'a> {
    /// By the beginning of a record.
    pub fn of(id: &'a task_id, cgroup: Option<&'a [u8]>) -> Self {
        Self {
            pid: id.pid,
            start_ns: id.start_ns,
            ppid: id.ppid,
            uid: Some(id.uid),
            comm: id.comm(),
            cgroup,
            time_ns: id.time_ns,
        }
    }
}

/// One life, or a failed execution.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) pid: u32,
    pub(super) start_ns: u64,
    pub(super) ppid: u32,
    pub(super) parent: Option<Id>,
    pub(super) uid: Option<u32>,
    pub(super) comm: Vec<u8>,
    pub(super) cgroup: Option<Vec<u8>>,
    /// Arguments with their NULs, perhaps cut; empty if they are not known
    pub(super) args: Vec<u8>,
    pub(super) args_cut: bool,
    pub(super) path: Vec<u8>,
    /// The directory in which it began its program; empty if it is not known
    pub(super) cwd: Vec<u8>,
    /// Variables with their NULs, perhaps cut; `None` if they are not known
    pub(super) env: Option<Vec<u8>>,
    pub(super) env_cut: bool,
    /// What `--login` and `--ancestors` told
    pub(super) login: Option<String>,
    pub(super) above: Option<Above>,
    /// The last execution
    pub(super) exec_ns: Option<u64>,
    pub(super) execs: u32,
    /// The last event; 0: none so far
    pub(super) seen_ns: u64,
    pub(super) end: Option<End>,
}

/// The processes above one, at its last event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Above {
    /// Id and name, the parent first
    pub(super) chain: Box<[(u32, [u8; 16])]>,
    /// There are more
    pub(super) more: bool,
}

/// How a life ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub time_ns: u64,
    /// In nanoseconds
    pub lived_ns: Option<u64>,
    pub cpu_ns: Option<u64>,
    pub max_rss_bytes: Option<u64>,
    /// `0`, `SIGKILL`, `ENOENT`
    pub status: String,
    pub has_failed: bool,
    /// Why, as far as is known: the sender of the signal, a missing interpreter
    pub why: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Model {
    lives: HashMap<Id, Life>,
    next: Id,
    /// The one of the last event
    last: Option<Id>,
    /// Those that have not ended, by id of the process
    living: HashMap<u32, Id>,
    /// Those that leave first, with the time that they leave
    leaving: VecDeque<(u64, Id)>,
    /// Ended ones whose final account may come
    ended: HashMap<(u32, u64), Id>,
    /// Events since the beginning
    pub events: u64,
    /// Of them ends, and failures
    pub ends: u64,
    pub failures: u64,
    /// Lives that left before their minute was over, or never came: there were too many
    pub left_early: u64,
    /// Ends are seen; otherwise executions leave after a minute
    pub sees_ends: bool,
}

impl Model {
    /// The life with this number.
    pub(super) fn get(&self, id: Id) -> Option<&Life> {
        self.lives.get(&id)
    }

    /// The one that runs with this id.
    pub(super) fn living(&self, pid: u32) -> Option<&Life> {
        self.living.get(&pid).and_then(|id| self.lives.get(id))
    }

    /// All lives.
    pub(super) fn all(&self) -> impl Iterator<Item = (Id, &Life)> {
        self.lives.iter().map(|(id, life)| (*id, life))
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.lives.len()
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.living.len()
    }

    /// A process that was there before.
    pub fn older(&mut self, who: &Who<'_>, args: &[u8], path: &[u8]) {
        let id = self.find_or_add(who);
        if let Some(life) = id.and_then(|id| self.lives.get_mut(&id)) {
            set_command(life, args, path);
            life.seen_ns = 0;
        }
    }

    /// After all older ones: who is whose parent.
    pub fn connect(&mut self) {
        let living = &self.living;
        for (id, life) in &mut self.lives {
            let parent = living.get(&life.ppid).copied();
            life.parent = parent.filter(|parent| parent != id);
        }
    }

    /// A birth.
    pub fn born(&mut self, who: &Who<'_>) {
        self.events += 1;
        self.find_or_add(who);
    }

    /// An execution. `args`: with their NULs.
    pub fn executed(&mut self, who: &Who<'_>, args: &[u8], path: &[u8], place: Place<'_>) {
        self.events += 1;
        let Some(id) = self.find_or_add(who) else { return };
        let Some(life) = self.lives.get_mut(&id) else { return };
        set_command(life, args, path);
        set_place(life, place);
        life.comm = who.comm.to_vec();
        life.exec_ns = Some(who.time_ns);
        life.execs = life.execs.saturating_add(1);
        if !self.sees_ends {
            self.leaving.push_back((who.time_ns.saturating_add(WINDOW_NS), id));
        }
    }

    /// An execution that failed: a row of its own below the process that tried.
    pub fn failed(&mut self, who: &Who<'_>, args: &[u8], path: &[u8], error: &str, why: String) {
        self.events += 1;
        self.failures += 1;
        let caller = self.find_or_add(who);
        let mut life = Self::life(who);
        set_command(&mut life, args, path);
        life.parent = caller;
        life.end = Some(End {
            time_ns: who.time_ns,
            status: error.to_owned(),
            has_failed: true,
            why,
            ..End::default()
        });
        self.last = self.push(life);
        if let Some(id) = self.last {
            self.leaving.push_back((who.time_ns.saturating_add(WINDOW_NS), id));
        }
    }

    /// An end. `args`, `path`: its command, if it was not seen before.
    pub fn ended(&mut self, who: &Who<'_>, end: End, args: &[u8], path: &[u8]) {
        self.events += 1;
        self.ends += 1;
        self.failures += u64::from(end.has_failed);
        let Some(id) = self.find_or_add(who) else { return };
        self.living.remove(&who.pid);
        let Some(life) = self.lives.get_mut(&id) else { return };
        if life.args.is_empty() {
            set_command(life, args, path);
        }
        life.comm = who.comm.to_vec();
        self.leaving.push_back((end.time_ns.saturating_add(WINDOW_NS), id));
        life.end = Some(end);
        self.ended.insert((who.pid, life.start_ns), id);
    }

    /// The final account of one that has ended.
    pub fn accounted(&mut self, pid: u32, start_ns: u64, cpu_ns: u64) {
        let id = self.ended.remove(&(pid, start_ns));
        let life = id.and_then(|id| self.lives.get_mut(&id));
        if let Some(end) = life.and_then(|life| life.end.as_mut()) {
            end.cpu_ns = Some(cpu_ns);
        }
    }

    /// What `--login` and `--ancestors` tell of the last event.
    pub fn told(&mut self, context: &Context) {
        let Some(life) = self.last.and_then(|id| self.lives.get_mut(&id)) else { return };
        if let Some(login) = &context.login {
            life.login = Some(login_text(login));
        }
        if let Some(ancestors) = &context.ancestors {
            let chain = ancestors.chain.iter().map(|one| (one.pid, one.comm)).collect();
            life.above = Some(Above { chain, more: ancestors.more });
        }
    }

    /// Forgets what ended more than a minute ago.
    pub(super) fn forget(&mut self, now_ns: u64) {
        while self.leaving.front().is_some_and(|(at, _)| *at <= now_ns) {
            self.drop_first();
        }
    }

    /// Drops the one that leaves first; false: there is none.
    fn drop_first(&mut self) -> bool {
        let Some((at, id)) = self.leaving.pop_front() else { return false };
        let Some(life) = self.lives.get(&id) else { return true };
        // It has executed something else meanwhile.
        let goes_on = life.end.is_none()
            && life.exec_ns.is_some_and(|exec| exec.saturating_add(WINDOW_NS) > at);
        if !goes_on {
            self.ended.remove(&(life.pid, life.start_ns));
            if self.living.get(&life.pid) == Some(&id) {
                self.living.remove(&life.pid);
            }
            self.lives.remove(&id);
        }
        true
    }

    fn find_or_add(&mut self, who: &Who<'_>) -> Option<Id> {
        self.last = self.find(who).or_else(|| self.add(who));
        self.last
    }

    fn find(&mut self, who: &Who<'_>) -> Option<Id> {
        if let Some(&id) = self.living.get(&who.pid) {
            if let Some(life) = self.lives.get_mut(&id) {
                // Births that are known to the tick only become exact.
                let is_same = life.seen_ns == 0 || who.start_ns == 0 || life.start_ns == 0;
                if is_same || life.start_ns == who.start_ns {
                    if who.start_ns != 0 {
                        life.start_ns = who.start_ns;
                    }
                    life.seen_ns = who.time_ns;
                    return Some(id);
                }
            }
            // Its end was lost.
            self.leaving.push_front((0, id));
            self.living.remove(&who.pid);
        }
        None
    }

    fn add(&mut self, who: &Who<'_>) -> Option<Id> {
        let mut life = Self::life(who);
        life.parent = self.living.get(&who.ppid).copied();
        let id = self.push(life)?;
        self.living.insert(who.pid, id);
        Some(id)
    }

    fn life(who: &Who<'_>) -> Life {
        Life {
            pid: who.pid,
            start_ns: who.start_ns,
            ppid: who.ppid,
            uid: who.uid,
            comm: who.comm.to_vec(),
            cgroup: who.cgroup.map(<[u8]>::to_vec),
            seen_ns: who.time_ns,
            ..Life::default()
        }
    }

    fn push(&mut self, life: Life) -> Option<Id> {
        while self.lives.len() >= MOST {
            self.left_early += 1;
            if !self.drop_first() {
                return None; // so many run at once
            }
        }
        self.next += 1;
        self.lives.insert(self.next, life);
        Some(self.next)
    }
}

/// The arguments of a block in which each ends with a NUL, but perhaps the last one.
pub(super) fn words(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_empty = block.is_empty();
    let block = block.strip_suffix(b"\0").unwrap_or(block);
    block.split(|byte| *byte == 0).filter(move |_| !is_empty)
}

fn set_command(life: &mut Life, args: &[u8], path: &[u8]) {
    let kept = args.get(..MOST_ARGS).unwrap_or(args);
    life.args = kept.to_vec();
    life.args_cut = kept.len() < args.len();
    life.path = path.get(..MOST_PATH).unwrap_or(path).to_vec();
}

fn set_place(life: &mut Life, place: Place<'_>) {
    life.cwd = place.cwd.get(..MOST_PATH).unwrap_or(place.cwd).to_vec();
    let kept = place.env.map(|env| env.get(..MOST_ENV).unwrap_or(env));
    life.env_cut = place.env_cut || kept.map(<[u8]>::len) < place.env.map(<[u8]>::len);
    life.env = kept.map(<[u8]>::to_vec);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(pid: u32, ppid: u32, time_ns: u64) -> Who<'static> {
        Who { pid, start_ns: u64::from(pid), ppid, uid: None, comm: b"x", cgroup: None, time_ns }
    }

    fn large() -> Place<'static> {
        Place { cwd: b"/", env: Some(&[b'x'; 2 * MOST_ENV]), env_cut: false }
    }

    fn end(time_ns: u64) -> End {
        End { time_ns, status: "0".to_owned(), ..End::default() }
    }

    #[test]
    fn what_ended_is_kept_for_a_minute() {
        let mut model = Model { sees_ends: true, ..Model::default() };
        model.born(&who(7, 1, 5));
        model.executed(&who(7, 1, 6), b"ls\0", b"/bin/ls", Place::default());
        model.ended(&who(7, 1, 10), end(10), b"", b"");
        model.accounted(7, 7, 99);
        model.forget(9 + WINDOW_NS);
        let (_, life) = model.all().next().unwrap();
        assert_eq!((life.execs, life.end.as_ref().unwrap().cpu_ns), (1, Some(99)));
        model.forget(10 + WINDOW_NS);
        assert_eq!((model.len(), model.running(), model.ends), (0, 0, 1));
    }

    #[test]
    fn memory_is_bounded_whatever_happens() {
        let mut model = Model { sees_ends: true, ..Model::default() };
        for number in 0..3 * MOST as u32 {
            model.executed(&who(number, 1, 5), &[b'x'; 2 * MOST_ARGS], b"/x", large());
            if number % 2 == 0 {
                model.ended(&who(number, 1, 6), end(6), b"", b"");
            }
        }
        assert!(model.len() <= MOST && model.left_early > 0);
        assert!(model.leaving.len() <= MOST && model.ended.len() <= MOST);
        assert!(model.all().all(|(_, life)| life.args.len() <= MOST_ARGS && life.args_cut));
        let env_len = |life: &Life| life.env.as_ref().map_or(0, Vec::len);
        assert!(model.all().all(|(_, life)| env_len(life) == MOST_ENV && life.env_cut));
    }

    #[test]
    fn executions_without_ends_leave_too() {
        let mut model = Model::default();
        model.executed(&who(7, 1, 5), b"a\0", b"", Place::default());
        model.executed(&who(7, 1, 5 + WINDOW_NS / 2), b"b\0", b"", Place::default());
        model.failed(&who(8, 7, 6), b"c\0", b"/c", "ENOENT", String::new());
        model.forget(5 + WINDOW_NS);
        assert_eq!(model.running(), 2, "it has executed something since");
        model.forget(5 + 2 * WINDOW_NS);
        assert!(model.all().all(|(_, life)| life.pid == 8), "who only failed may still run");
    }

    #[test]
    fn arguments_of_a_block() {
        let all = |block| words(block).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(all(b""), Vec::<Vec<u8>>::new());
        assert_eq!(all(b"a\0\0"), [b"a".to_vec(), b"".to_vec()]);
        assert_eq!(all(b"\0"), [b"".to_vec()]);
        assert_eq!(all(b"a\0b"), [b"a".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn an_id_that_is_used_again_is_another_life() {
        let mut model = Model { sees_ends: true, ..Model::default() };
        model.born(&who(7, 1, 5));
        model.born(&Who { start_ns: 99, ..who(7, 1, 6) });
        assert_eq!((model.len(), model.running()), (2, 1));
        model.forget(7);
        assert_eq!(model.len(), 1);
    }
}
