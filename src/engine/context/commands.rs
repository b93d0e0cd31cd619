//! Command lines of processes, remembered: those of executions that were seen, and those that /proc
//! has.

use std::collections::HashMap;

use super::errand::Question;
use crate::engine::errand::Errands;
use crate::host::context::{Ancestor, Name};
use crate::output::escape::until_nul;

/// A program of a process: id, birth, and the number of its execution.
pub(super) type Program = (u32, u64, u32);

/// The most to remember; if more come, the older half goes.
const MOST: usize = 4096;

/// The longest command line to remember.
const MOST_ARGS: usize = 4096;

/// How often to ask for one that is not told in time.
const TRIES: u8 = 3;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// `None`: nobody knows it
    known: HashMap<Program, Option<Name>>,
    /// Those of before, which go when `known` is full
    older: HashMap<Program, Option<Name>>,
    /// How often each was asked for in vain
    tries: HashMap<Program, u8>,
}

impl Commands {
    /// An execution.
    pub(super) fn executed(&mut self, program: Program, args: &[u8]) {
        let is_short = !args.is_empty() && args.len() <= MOST_ARGS;
        self.remember(program, is_short.then(|| Name::from(args)));
    }

    /// Sets the command line of an ancestor, if it is known.
    pub(super) fn find(&mut self, ancestor: &mut Ancestor, errands: &mut Errands) {
        let &mut Ancestor { pid, start_ns, exec_id, comm, .. } = ancestor;
        let program = (pid, start_ns, exec_id);
        if let Some(args) = self.known.get(&program) {
            ancestor.args.clone_from(args);
            return;
        }
        let args = match self.older.remove(&program) {
            Some(args) => args,
            None => {
                let question = Question::Command(pid, start_ns, until_nul(&comm));
                match errands.ask_context(&question.encode()) {
                    Some(args) => Some(args).filter(|args| !args.is_empty()).map(Name::from),
                    None if self.may_try_again(program) => return,
                    None => None,
                }
            }
        };
        ancestor.args.clone_from(&args);
        self.remember(program, args);
    }

    /// Whether there is another try for this one, which was not told in time.
    fn may_try_again(&mut self, program: Program) -> bool {
        if self.tries.len() >= MOST {
            self.tries.clear();
        }
        let tries = self.tries.entry(program).or_default();
        *tries += 1;
        let may = *tries < TRIES;
        if !may {
            self.tries.remove(&program);
        }
        may
    }

    fn remember(&mut self, program: Program, args: Option<Name>) {
        if self.known.len() >= MOST / 2 {
            self.older = std::mem::take(&mut self.known);
        }
        self.known.insert(program, args);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::errand::Staff;

    #[test]
    fn a_program_is_known_by_its_execution() {
        let mut errands = Errands::start_with(&Staff {
            of_context: Some(super::super::errand::errand),
            ..Staff::default()
        })
        .unwrap();
        let mut commands = Commands::default();
        commands.executed((7, 70, 1), b"sh\0-c\0");
        commands.executed((7, 70, 2), b"ls\0");
        let mut find = |commands: &mut Commands, pid, exec_id| {
            let start_ns = u64::from(pid) * 10;
            let mut one = Ancestor { pid, start_ns, exec_id, ..Ancestor::default() };
            commands.find(&mut one, &mut errands);
            one.args.map(|args| args.to_vec())
        };
        assert_eq!(find(&mut commands, 7, 1).unwrap(), b"sh\0-c\0");
        assert_eq!(find(&mut commands, 7, 2).unwrap(), b"ls\0");
        assert_eq!(find(&mut commands, 7, 3), None, "neither /proc nor we know it");
        for pid in 0..MOST as u32 {
            commands.executed((pid + 100, 0, 0), b"x\0");
        }
        assert!(commands.known.len() + commands.older.len() <= MOST);
        commands.executed((7, 70, 4), &[b'x'; MOST_ARGS + 1]);
        assert_eq!(find(&mut commands, 7, 4), None, "too long to keep");
    }
}
