//! All processes of a run, for the pictures that are drawn at its end.

use std::collections::HashMap;

use super::elders::{Elder, Older};
use super::past::line;
pub use super::past::{End, Past};
use super::status::Status;
use super::usage::Usage;
use super::words::{Word, Words};
use super::{Birth, Identity, Record};
use crate::host::proc::{first_ns, ticks};
use crate::skel::{process_event, process_exit_event};
use crate::tools::execsnoop::{Args, Exec};

/// The most processes to remember; about 200 MiB.
pub const MAX_PROCESSES: usize = 400_000;

/// A process that is older than the tool and has no event yet.
#[derive(Debug)]
struct Unseen {
    ppid: u32,
    born_ticks: u64,
    comm: Vec<u8>,
    command: String,
    words: Box<[Word]>,
}

/// The processes of a run.
#[derive(Debug, Default)]
pub struct History {
    /// The beginning of the picture
    pub began_ns: u64,
    /// The end of the picture, for processes that still live
    pub until_ns: u64,
    all: Vec<Past>,
    living: HashMap<u32, usize>,
    /// Index, by identity, of the ended processes whose final account may still come
    ended: HashMap<Identity, usize>,
    /// By id, the older processes that become part of the history with an event of their own or of
    /// a descendant
    unseen: HashMap<u32, Unseen>,
    /// The number of processes beyond [`MAX_PROCESSES`]
    pub forgotten: u64,
    /// How many records were lost, or may have been: lives may be missing, or parts of them
    pub lost: u64,
    /// The words of all command lines
    words: Words,
}

impl History {
    /// Adds a process that was already running. Call [`History::draw_older`] once all are added, to
    /// decide which are drawn.
    pub fn older(&mut self, elder: &Elder) {
        let unseen = Unseen {
            ppid: elder.ppid,
            born_ticks: elder.born_ticks,
            comm: elder.comm.clone(),
            command: line(Args::new(&elder.cmdline)),
            words: self.words.add(Args::new(&elder.cmdline)),
        };
        self.unseen.insert(elder.pid, unseen);
    }

    /// Decides which older processes are drawn.
    pub fn draw_older(&mut self, which: &Older) {
        let mut drawn = match which {
            Older::Ancestors => return,
            Older::These(pids) => pids.clone(),
        };
        drawn.sort_unstable();
        self.unseen.retain(|pid, _| drawn.binary_search(pid).is_ok());
        drawn.into_iter().for_each(|pid| self.adopt(pid));
    }

    /// Takes in one record. `exec`: the same, if it is an execution.
    pub fn see(&mut self, record: &Record, exec: Option<&Exec<'_>>) {
        match record {
            Record::Exec => {
                if let Some(exec) = exec {
                    self.exec(exec);
                }
            }
            Record::Fork(event) => self.fork(&event.process),
            Record::Exit(event) => self.exit(event),
            Record::ThreadExit(_) => {}
            Record::Reaped(event) => {
                let usage = Usage::new(&event.usage);
                let index = self.ended.remove(&event.process.identity());
                let past = index.and_then(|index| self.all.get_mut(index));
                if let Some(end) = past.and_then(|past| past.end.as_mut()) {
                    end.usage = usage;
                }
            }
        }
    }

    /// The processes in the order of their births, as far as known; parents before children.
    pub fn processes(&self) -> &[Past] {
        &self.all
    }

    /// The bytes of a word of a command line.
    pub fn word(&self, word: Word) -> &[u8] {
        self.words.text(word)
    }

    /// The children of each process, and the processes without a parent, in the order of their
    /// births.
    pub fn children(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let mut children = vec![Vec::new(); self.all.len()];
        let mut roots = Vec::new();
        for (index, past) in self.all.iter().enumerate() {
            match past.parent.and_then(|parent| children.get_mut(parent)) {
                Some(siblings) => siblings.push(index),
                None => roots.push(index),
            }
        }
        // Older processes may have been added later.
        let birth = |&index: &usize| self.all.get(index).map(|past| past.start_ns);
        children.iter_mut().for_each(|siblings| siblings.sort_by_key(birth));
        roots.sort_by_key(birth);
        (children, roots)
    }

    /// The first and last moment of a process's bar; without an end, up to the end of the picture.
    pub fn drawn(&self, past: &Past, until_ns: u64) -> (u64, u64) {
        let start = past.start_ns.max(self.began_ns);
        (start, past.end.map_or(until_ns, |end| end.time_ns).max(start))
    }

    /// First and last moment of the picture.
    pub fn span(&self) -> Option<(u64, u64)> {
        let seen = |past: &Past| past.exec_ns.unwrap_or(past.start_ns).max(self.until_ns);
        let spans = self.all.iter().map(|past| self.drawn(past, seen(past)));
        let (starts, ends): (Vec<u64>, Vec<u64>) = spans.unzip();
        Some((starts.into_iter().min()?, ends.into_iter().max()?))
    }

    fn find(&mut self, identity: Identity) -> Option<usize> {
        let index = *self.living.get(&identity.pid)?;
        let past = self.all.get_mut(index).filter(|past| past.is(identity))?;
        (past.start_ns, past.is_rough) = (identity.start_ns, false);
        Some(index)
    }

    /// Finds a process; adopts an older one that had no event so far.
    fn find_or_adopt(&mut self, identity: Identity) -> Option<usize> {
        if let Some(index) = self.find(identity) {
            return Some(index);
        }
        let unseen = self.unseen.get(&identity.pid)?;
        if !Birth::Ticks(unseen.born_ticks).is(identity.start_ns) {
            return None;
        }
        self.adopt(identity.pid);
        self.find(identity)
    }

    /// Adds an older process, after its ancestors.
    fn adopt(&mut self, pid: u32) {
        let mut line = Vec::new();
        let mut above = pid;
        while let Some(unseen) = self.unseen.remove(&above) {
            line.push((above, unseen));
            above = line.last().map_or(0, |(_, unseen)| unseen.ppid);
        }
        // The parent of the uppermost one may be known already, unless its id has been reused.
        let born = line.last().map_or(0, |(_, unseen)| unseen.born_ticks);
        let is_older =
            |index: &usize| self.all.get(*index).is_some_and(|past| ticks(past.start_ns) <= born);
        let mut parent = self.living.get(&above).copied().filter(is_older);
        for (pid, unseen) in line.into_iter().rev() {
            let past = Past {
                pid,
                parent,
                comm: unseen.comm,
                command: unseen.command,
                words: unseen.words,
                start_ns: first_ns(unseen.born_ticks),
                is_rough: true,
                ..Past::default()
            };
            parent = self.push(past);
        }
    }

    fn push(&mut self, past: Past) -> Option<usize> {
        if self.all.len() >= MAX_PROCESSES {
            self.forgotten += 1;
            return None;
        }
        let index = self.all.len();
        self.living.insert(past.pid, index);
        self.all.push(past);
        Some(index)
    }

    fn add(&mut self, identity: Identity, parent: Option<Identity>, comm: &[u8]) -> Option<usize> {
        if let Some(index) = self.find_or_adopt(identity) {
            return Some(index);
        }
        let parent = parent.and_then(|parent| self.find_or_adopt(parent));
        self.push(Past {
            pid: identity.pid,
            parent,
            comm: comm.to_vec(),
            start_ns: identity.start_ns,
            ..Past::default()
        })
    }

    fn fork(&mut self, event: &process_event) {
        let comm = crate::skel::task_id::from(event.id);
        let index = self.add(event.identity(), Some(event.parent()), comm.comm());
        if let Some(past) = index.and_then(|index| self.all.get_mut(index)) {
            past.is_born = true;
        }
    }

    fn exec(&mut self, exec: &Exec<'_>) {
        let id = &exec.event.id;
        let identity = Identity { pid: id.pid, start_ns: id.start_ns };
        let index = self.add(identity, None, id.comm());
        let Some(past) = index.and_then(|index| self.all.get_mut(index)) else { return };
        past.comm = id.comm().to_vec();
        let words = self.words.add(exec.args());
        past.execute(id.time_ns, line(exec.args()), words);
    }

    fn exit(&mut self, event: &process_exit_event) {
        let id = crate::skel::task_id::from(event.process.id);
        let identity = event.process.identity();
        let index = self.add(identity, Some(event.process.parent()), id.comm());
        let waiter = self.find(event.process.parent());
        self.living.remove(&identity.pid);
        let Some(past) = index.and_then(|index| self.all.get_mut(index)) else { return };
        past.comm = id.comm().to_vec();
        past.waiter = waiter;
        past.end = Some(End {
            time_ns: id.time_ns,
            lived_ns: event.duration_ns(),
            status: Status::from_wait(event.status),
            usage: Usage::new(&event.usage),
        });
        if let Some(index) = index {
            self.ended.insert(identity, index);
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::skel::{process_birth_event, process_kind, task_id};
    use crate::tools::execsnoop::testing::{edit, record};

    /// A birth as most are.
    pub(crate) fn birth(process: process_event) -> Record {
        let maker = process.parent();
        Record::Fork(process_birth_event {
            process,
            maker_pid: maker.pid,
            maker_start_ns: maker.start_ns,
            ..Default::default()
        })
    }

    /// (pid, parent's pid, birth, end, status, CPU time)
    pub(crate) type Life = (u32, u32, u64, u64, i32, u64);

    /// A history made of these lives.
    pub(crate) fn history(lives: &[Life]) -> History {
        family(lives, &[])
    }

    /// The same, with those that have another parent at their end: (pid, parent's pid).
    pub(crate) fn family(lives: &[Life], adopted: &[(u32, u32)]) -> History {
        let mut history = History::default();
        records(lives, adopted).iter().for_each(|record| history.see(record, None));
        history
    }

    /// The same, with the record of one birth lost.
    pub(crate) fn without_birth(lives: &[Life], pid: u32) -> History {
        let is_lost =
            |record: &&Record| matches!(record, Record::Fork(event) if event.process.id.pid == pid);
        let mut history = History::default();
        let records = records(lives, &[]);
        let kept = records.iter().filter(|record| !is_lost(record));
        kept.for_each(|record| history.see(record, None));
        history
    }

    /// A history of processes without relatives, one after the other, that execute these commands:
    /// words between spaces.
    pub(crate) fn commands(lines: &[&str]) -> History {
        let mut history = History::default();
        for (pid, line) in (1..).zip(lines) {
            let args: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            execute(&mut history, (pid, u64::from(pid) * 100), u64::from(pid) * 100 + 10, &args);
        }
        history
    }

    /// The process executes a command.
    pub(crate) fn execute(
        history: &mut History,
        (pid, start_ns): (u32, u64),
        time_ns: u64,
        args: &[&[u8]],
    ) {
        let mut record = record("/bin/x", args);
        edit(&mut record, |event| {
            event.id = task_id { pid, start_ns, time_ns, ..event.id };
        });
        history.see(&Record::Exec, Exec::decode(&record).as_ref());
    }

    fn records(lives: &[Life], adopted: &[(u32, u32)]) -> Vec<Record> {
        let start_of = |pid| lives.iter().find(|life| life.0 == pid).map_or(0, |life| life.2);
        let mut events = Vec::new();
        for &(pid, ppid, start_ns, end_ns, status, cpu_ns) in lives {
            let mut event = process_exit_event { status, ..process_exit_event::default() };
            event.process.kind = process_kind::PROCESS_EXIT;
            event.process.id.pid = pid;
            event.process.id.ppid = ppid;
            event.process.id.start_ns = start_ns;
            event.begin_ns = start_ns;
            event.process.id.parent_start_ns = start_of(ppid);
            event.process.id.time_ns = end_ns;
            event.process.id.comm[..2].copy_from_slice(b"sh");
            event.usage.runtime_ns = cpu_ns;
            events.push((start_ns, birth(event.process)));
            if let Some(&(_, other)) = adopted.iter().find(|(orphan, _)| *orphan == pid) {
                event.process.id.ppid = other;
                event.process.id.parent_start_ns = start_of(other);
            }
            events.push((end_ns, Record::Exit(event)));
        }
        events.sort_by_key(|(time_ns, _)| *time_ns);
        events.into_iter().map(|(_, record)| record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::birth;
    use super::*;
    use crate::skel::process_reaped_event;

    #[test]
    fn families() {
        let mut history = testing::history(&[
            (1, 0, 100, 900, 0, 50),
            (2, 1, 200, 300, 256, 10),
            (3, 1, 250, 400, 9, 10),
            (4, 3, 260, 350, 0, 10),
        ]);
        let (children, roots) = history.children();
        assert_eq!(roots, [0]);
        assert_eq!(children, [vec![1, 2], vec![], vec![3], vec![]]);
        assert_eq!(history.span(), Some((100, 900)));
        assert_eq!(history.all[0].cpu_share(), Some(50.0 / 800.0));

        let mut reaped = process_reaped_event::default();
        reaped.process.id.pid = 1;
        reaped.process.id.start_ns = 100;
        reaped.usage.runtime_ns = 80;
        history.see(&Record::Reaped(reaped), None);
        assert_eq!(history.all[0].end.map(|end| end.cpu_ns()), Some(80));
    }

    #[test]
    fn what_was_before_is_not_drawn() {
        let mut history = testing::history(&[(1, 0, 100, 900, 0, 50)]);
        history.began_ns = 500;
        assert_eq!(history.span(), Some((500, 900)));
    }

    fn elder(pid: u32, ppid: u32, born_ticks: u64, cmdline: &[u8]) -> Elder {
        let cmdline = cmdline.to_vec();
        Elder { pid, ppid, born_ticks, comm: b"sh".to_vec(), cmdline, ..Elder::default() }
    }

    fn event(pid: u32, start_ns: u64, parent: (u32, u64)) -> process_event {
        let mut event = process_event::default();
        event.id.parent_start_ns = parent.1;
        (event.id.pid, event.id.ppid, event.id.start_ns) = (pid, parent.0, start_ns);
        event.id.comm[..2].copy_from_slice(b"sh");
        event
    }

    fn end(pid: u32, start_ns: u64, parent: (u32, u64)) -> Record {
        let mut end =
            process_exit_event { process: event(pid, start_ns, parent), ..Default::default() };
        end.process.id.time_ns = start_ns + 9;
        Record::Exit(end)
    }

    fn family(history: &History) -> Vec<(String, Option<usize>)> {
        history.processes().iter().map(|past| (past.label(), past.parent)).collect()
    }

    const TICK: u64 = crate::host::proc::NS_PER_TICK;

    #[test]
    fn older_ones_are_parents_with_their_commands() {
        let mut history = History { began_ns: 100 * TICK, ..History::default() };
        // As /proc lists them: in any order.
        history.older(&elder(8, 7, 40, b"sleep\x005\0"));
        history.older(&elder(7, 1, 30, b"sh\0-c\0work\0"));
        history.older(&elder(1, 0, 0, b"init\0"));
        history.draw_older(&Older::These(vec![8, 7]));
        let sh = (7, 30 * TICK + 5);
        history.see(&birth(event(9, 200 * TICK, sh)), None);
        // A new process has the id of an older one, whose end was lost.
        history.see(&birth(event(8, 300 * TICK, sh)), None);
        let label = |text: &str, parent| (text.to_owned(), parent);
        let expected = [
            label("sh -c work", None),
            label("sleep 5", Some(0)),
            label("sh", Some(0)),
            label("sh", Some(0)),
        ];
        assert_eq!(family(&history), expected);
        history.see(&end(7, sh.1, (1, 0)), None);
        let root = &history.processes()[0];
        assert_eq!((root.start_ns, root.end.is_some()), (sh.1, true), "the same one, exactly");
        assert_eq!(history.processes().len(), 4);
    }

    #[test]
    fn ancestors_of_what_is_seen() {
        let mut history = History { began_ns: 100 * TICK, ..History::default() };
        history.older(&elder(1, 0, 0, b"init\0"));
        history.older(&elder(7, 1, 30, b"sh\0"));
        history.older(&elder(8, 1, 40, b"idle\0"));
        history.draw_older(&Older::Ancestors);
        assert!(family(&history).is_empty());
        history.see(&end(20, 200 * TICK, (0, 0)), None);
        history.see(&birth(event(9, 300 * TICK, (7, 30 * TICK))), None);
        // Not its child: the id belonged to another process.
        history.see(&birth(event(10, 400 * TICK, (8, 45 * TICK))), None);
        let label = |text: &str, parent| (text.to_owned(), parent);
        let expected = [
            label("sh", None),
            label("init", None),
            label("sh", Some(1)),
            label("sh", Some(2)),
            label("sh", None),
        ];
        assert_eq!(family(&history), expected);
        assert_eq!(history.children().1, [1, 0, 4], "the oldest first");
    }

    #[test]
    fn what_lives_is_drawn_to_the_end() {
        let mut history =
            History { began_ns: 100 * TICK, until_ns: 150 * TICK, ..History::default() };
        history.older(&elder(7, 1, 30, b"sleep\0"));
        history.draw_older(&Older::These(vec![7]));
        assert_eq!(history.span(), Some((100 * TICK, 150 * TICK)));
    }

    #[test]
    fn an_id_that_is_used_again_is_another_process() {
        let history = testing::history(&[(7, 0, 100, 200, 0, 0), (7, 0, 300, 400, 0, 0)]);
        assert_eq!(history.processes().len(), 2);
    }
}
