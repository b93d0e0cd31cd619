//! One process in the history of a run, and its label.

use super::status::Status;
use super::usage::Usage;
use super::words::Word;
use super::{Birth, Identity};
use crate::host::proc::ticks;
use crate::output::escape::{Quote, push_shell_word};
use crate::tools::execsnoop::Args;

/// The most characters of a command line to keep.
const MOST_CHARS: usize = 200;

/// One process, as far as it is known. Times are `CLOCK_BOOTTIME` in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Past {
    pub pid: u32,
    /// Index of the parent, if it is known too
    pub parent: Option<usize>,
    /// Index of the parent at the end, if it is known: the only process that could wait for it.
    /// Orphans have another one than at their birth.
    pub waiter: Option<usize>,
    pub comm: Vec<u8>,
    /// Beginning of the last command line, escaped; empty if it executed nothing
    pub command: String,
    /// All of its words; none if it executed nothing, or if there was no room for them
    pub words: Box<[Word]>,
    /// The commands before the last one, as far as they are known: the first [`MOST_EARLIER`]
    pub earlier: Vec<Earlier>,
    /// Birth
    pub start_ns: u64,
    /// The birth is from /proc, rounded to a tick, until an event has the exact time
    pub(super) is_rough: bool,
    /// The record of its birth has come
    pub is_born: bool,
    /// Its last execution
    pub exec_ns: Option<u64>,
    /// The end, if it has ended
    pub end: Option<End>,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When
    pub time_ns: u64,
    /// The lifetime, in nanoseconds: for COMMAND since its release
    pub lived_ns: u64,
    /// How
    pub status: Status,
    /// What it has used
    pub usage: Usage,
}

impl End {
    /// CPU time that it has used, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.usage.cpu_ns()
    }
}

/// The most earlier commands of a process to remember.
pub const MOST_EARLIER: usize = 8;

/// A command that a process ran before it executed another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Beginning of its command line, escaped
    pub command: String,
    /// The end of it: the next execution
    pub until_ns: u64,
}

impl Past {
    /// The label: the command line, or the name.
    pub fn label(&self) -> String {
        if !self.command.is_empty() {
            return self.command.clone();
        }
        let mut name = String::new();
        crate::output::escape::push_cell(&mut name, &self.comm);
        name
    }

    /// The label without the folders of the program.
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

    /// Share of one CPU during the lifetime.
    pub fn cpu_share(&self) -> Option<f64> {
        let end = self.end?;
        (end.lived_ns > 0).then(|| end.cpu_ns() as f64 / end.lived_ns as f64)
    }

    /// Its command becomes another one.
    pub(super) fn execute(&mut self, time_ns: u64, command: String, words: Box<[Word]>) {
        let before = std::mem::replace(&mut self.command, command);
        if !before.is_empty() && self.earlier.len() < MOST_EARLIER {
            self.earlier.push(Earlier { command: before, until_ns: time_ns });
        }
        (self.exec_ns, self.words) = (Some(time_ns), words);
    }

    /// Whether this is that process.
    pub(super) fn is(&self, identity: Identity) -> bool {
        let birth = match self.is_rough {
            true => Birth::Ticks(ticks(self.start_ns)),
            false => Birth::Exact(self.start_ns),
        };
        self.pid == identity.pid && birth.is(identity.start_ns)
    }
}

/// The beginning of a command line.
pub(super) fn line(args: Args<'_>) -> String {
    let mut line = String::new();
    for (index, arg) in args.enumerate() {
        if index > 0 {
            line.push(' ');
        }
        // Only as much of a long argument as could be shown.
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
mod tests {
    use super::*;

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
}
