//! All processes of a run, for the pictures that are drawn at its end.

use std::collections::HashMap;

use super::status::Status;
use super::{Identity, Record};
use crate::escape::{Quote, push_shell_word};
use crate::exec::Exec;
use crate::skel::{process_event, process_exit_event};

/// Processes remembered at the most; about 100 MiB.
const MOST: usize = 400_000;

/// Characters of a command line that are kept.
const MOST_CHARS: usize = 200;

/// One process, as far as it was seen. Times are `CLOCK_BOOTTIME` in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Its id
    pub pid: u32,
    /// Index of its parent, if that was seen too
    pub parent: Option<usize>,
    /// Its name
    pub comm: Vec<u8>,
    /// Beginning of its last command line, safe to show; empty: it executed nothing
    pub command: String,
    /// Birth
    pub start_ns: u64,
    /// Its last execution
    pub exec_ns: Option<u64>,
    /// When and how it ended
    pub end: Option<End>,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When
    pub time_ns: u64,
    /// How
    pub status: Status,
    /// CPU time that it has used, nanoseconds
    pub cpu_ns: u64,
}

impl Past {
    /// What to call it: its command line, or its name.
    pub fn label(&self) -> String {
        if !self.command.is_empty() {
            return self.command.clone();
        }
        let mut name = String::new();
        crate::escape::push_cell(&mut name, &self.comm);
        name
    }

    /// The same without the folders of the program.
    pub fn short_label(&self) -> String {
        let label = self.label();
        let end = label.find(' ').unwrap_or(label.len());
        let folders = label.get(..end).and_then(|word| word.rfind('/'));
        match folders {
            // Quoted words stay as they are.
            Some(at) if label.starts_with(['/', '.']) => label.get(at + 1..).map(str::to_owned),
            _ => None,
        }
        .unwrap_or(label)
    }

    /// Share of one CPU that it used while it lived.
    pub fn cpu_share(&self) -> Option<f64> {
        let end = self.end?;
        let lived = end.time_ns.saturating_sub(self.start_ns);
        (lived > 0).then(|| end.cpu_ns as f64 / lived as f64)
    }
}

/// The processes of a run.
#[derive(Debug, Default)]
pub struct History {
    /// What was before that moment is not drawn
    pub began_ns: u64,
    all: Vec<Past>,
    living: HashMap<u32, usize>,
    /// Index by identity of those whose final account may still come
    ended: HashMap<Identity, usize>,
    /// How many more there were than are remembered
    pub forgotten: u64,
}

impl History {
    /// Takes in one record. `exec`: the same, if it is an execution.
    pub fn see(&mut self, record: &Record, exec: Option<&Exec<'_>>) {
        match record {
            Record::Exec => {
                if let Some(exec) = exec {
                    self.exec(exec);
                }
            }
            Record::Fork(event) => self.fork(event),
            Record::Exit(event) => self.exit(event),
            Record::ThreadExit(_) => {}
            Record::Reaped(event) => {
                let cpu_ns = super::usage::Usage::new(&event.usage).cpu_ns();
                let index = self.ended.remove(&event.process.identity());
                let past = index.and_then(|index| self.all.get_mut(index));
                if let Some(end) = past.and_then(|past| past.end.as_mut()) {
                    end.cpu_ns = cpu_ns;
                }
            }
        }
    }

    /// The processes in the order of their births, as far as that was seen; parents before
    /// children.
    pub fn processes(&self) -> &[Past] {
        &self.all
    }

    /// Children of each process, and at last those without a parent.
    pub fn children(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let mut children = vec![Vec::new(); self.all.len()];
        let mut roots = Vec::new();
        for (index, past) in self.all.iter().enumerate() {
            match past.parent.and_then(|parent| children.get_mut(parent)) {
                Some(siblings) => siblings.push(index),
                None => roots.push(index),
            }
        }
        (children, roots)
    }

    /// From when to when a process is drawn; one that has not ended, to the end of the picture.
    pub fn drawn(&self, past: &Past, until_ns: u64) -> (u64, u64) {
        let start = past.start_ns.max(self.began_ns);
        (start, past.end.map_or(until_ns, |end| end.time_ns).max(start))
    }

    /// First and last moment of the picture.
    pub fn span(&self) -> Option<(u64, u64)> {
        let seen = |past: &Past| past.exec_ns.unwrap_or(past.start_ns);
        let spans = self.all.iter().map(|past| self.drawn(past, seen(past)));
        let (starts, ends): (Vec<u64>, Vec<u64>) = spans.unzip();
        Some((starts.into_iter().min()?, ends.into_iter().max()?))
    }

    fn find(&self, identity: Identity) -> Option<usize> {
        let index = *self.living.get(&identity.pid)?;
        self.all.get(index).filter(|past| past.start_ns == identity.start_ns).map(|_| index)
    }

    fn add(&mut self, identity: Identity, parent: Option<Identity>, comm: &[u8]) -> Option<usize> {
        if let Some(index) = self.find(identity) {
            return Some(index);
        }
        if self.all.len() >= MOST {
            self.forgotten += 1;
            return None;
        }
        let index = self.all.len();
        self.all.push(Past {
            pid: identity.pid,
            parent: parent.and_then(|parent| self.find(parent)),
            comm: comm.to_vec(),
            start_ns: identity.start_ns,
            ..Past::default()
        });
        self.living.insert(identity.pid, index);
        Some(index)
    }

    fn fork(&mut self, event: &process_event) {
        let comm = crate::skel::task_id::from(event.id);
        self.add(event.identity(), Some(event.parent()), comm.comm());
    }

    fn exec(&mut self, exec: &Exec<'_>) {
        let id = &exec.event.id;
        let identity = Identity { pid: id.pid, start_ns: id.start_ns };
        let index = self.add(identity, None, id.comm());
        let Some(past) = index.and_then(|index| self.all.get_mut(index)) else { return };
        past.comm = id.comm().to_vec();
        past.exec_ns = Some(id.time_ns);
        past.command = command(exec);
    }

    fn exit(&mut self, event: &process_exit_event) {
        let id = crate::skel::task_id::from(event.process.id);
        let identity = event.process.identity();
        let index = self.add(identity, Some(event.process.parent()), id.comm());
        self.living.remove(&identity.pid);
        let Some(past) = index.and_then(|index| self.all.get_mut(index)) else { return };
        past.comm = id.comm().to_vec();
        past.end = Some(End {
            time_ns: id.time_ns,
            status: Status::from_wait(event.status),
            cpu_ns: super::usage::Usage::new(&event.usage).cpu_ns(),
        });
        if let Some(index) = index {
            self.ended.insert(identity, index);
        }
    }
}

fn command(exec: &Exec<'_>) -> String {
    let mut line = String::new();
    for (index, arg) in exec.args().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        // No more of a long one than could be shown.
        let arg = arg.get(..MOST_CHARS).unwrap_or(arg);
        push_shell_word(&mut line, arg, index == 0, Quote::WhereNeeded);
        if line.chars().count() > MOST_CHARS {
            line = line.chars().take(MOST_CHARS).collect();
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::skel::process_kind;

    /// A history made of (pid, parent's pid, birth, end, status, CPU time).
    pub(crate) fn history(lives: &[(u32, u32, u64, u64, i32, u64)]) -> History {
        let start_of = |pid| lives.iter().find(|life| life.0 == pid).map_or(0, |life| life.2);
        let mut events = Vec::new();
        for &(pid, ppid, start_ns, end_ns, status, cpu_ns) in lives {
            let mut event = process_exit_event { status, ..process_exit_event::default() };
            event.process.kind = process_kind::PROCESS_EXIT;
            event.process.id.pid = pid;
            event.process.id.ppid = ppid;
            event.process.id.start_ns = start_ns;
            event.process.parent_start_ns = start_of(ppid);
            event.process.id.time_ns = end_ns;
            event.process.id.comm[..2].copy_from_slice(b"sh");
            event.usage.runtime_ns = cpu_ns;
            events.push((start_ns, Record::Fork(event.process)));
            events.push((end_ns, Record::Exit(event)));
        }
        events.sort_by_key(|(time_ns, _)| *time_ns);
        let mut history = History::default();
        for (_, record) in &events {
            history.see(record, None);
        }
        history
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(history.all[0].end.map(|end| end.cpu_ns), Some(80));
    }

    #[test]
    fn labels_without_folders() {
        for (command, short) in [
            ("/usr/bin/cc -c /a/b.c", "cc -c /a/b.c"),
            ("./x", "x"),
            ("make all", "make all"),
            ("'/a b/c' d", "'/a b/c' d"),
            ("/", ""),
        ] {
            let past = Past { command: command.to_owned(), ..Past::default() };
            assert_eq!(past.short_label(), short, "{command}");
        }
        assert_eq!(Past { comm: b"a b".to_vec(), ..Past::default() }.short_label(), r"a\040b");
    }

    #[test]
    fn what_was_before_is_not_drawn() {
        let mut history = testing::history(&[(1, 0, 100, 900, 0, 50)]);
        history.began_ns = 500;
        assert_eq!(history.span(), Some((500, 900)));
    }

    #[test]
    fn an_id_that_is_used_again_is_another_process() {
        let history = testing::history(&[(7, 0, 100, 200, 0, 0), (7, 0, 300, 400, 0, 0)]);
        assert_eq!(history.processes().len(), 2);
    }
}
