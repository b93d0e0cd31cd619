//! An event that becomes a row, and its values.

use super::Killer;
use super::held::Ended;
use super::lives::Command;
use super::status::Status;
use super::usage::Usage;
use crate::output::escape::Quote;
use crate::skel::{exec_flag, process_event, process_exit_event, process_flag, task_id};
use crate::tools::execsnoop::environment::Variables;
use crate::tools::execsnoop::{Cut, Exec};

/// One event, and how much of it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The process and its thread, and the time of the event
    pub id: &'a task_id,
    /// What happened
    pub what: What<'a>,
    /// Most arguments to show
    pub max_args: usize,
    /// When to quote arguments
    pub quote: Quote,
    /// `--usage`
    pub shows_usage: bool,
    /// The variables that stand in front of the command line of an execution
    pub variables: Option<&'a Variables>,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// The process executed a program
    Exec(&'a Exec<'a>),
    /// The process was born
    Fork(&'a process_event),
    /// A thread ended, and the process goes on
    ThreadExit(&'a process_exit_event),
    /// The process ended; whether its account is final
    Exit(&'a Ended, bool),
}

impl What<'_> {
    /// `event.name` in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exec(_) => "process.exec",
            Self::Fork(_) => "process.fork",
            Self::ThreadExit(_) => "thread.exit",
            Self::Exit(..) => "process.exit",
        }
    }

    /// EVENT in the table.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Exec(_) => "EXEC",
            Self::Fork(_) => "FORK",
            Self::ThreadExit(_) => "THREAD",
            Self::Exit(..) => "EXIT",
        }
    }
}

impl<'a> Row<'a> {
    pub(super) fn exec(&self) -> Option<&'a Exec<'a>> {
        if let What::Exec(exec) = self.what { Some(exec) } else { None }
    }

    pub(super) fn ended(&self) -> Option<&'a Ended> {
        if let What::Exit(ended, _) = self.what { Some(ended) } else { None }
    }

    pub(super) fn ended_thread(&self) -> Option<&'a process_exit_event> {
        if let What::ThreadExit(event) = self.what { Some(event) } else { None }
    }

    /// The process itself; `None` for an execution.
    pub(super) fn process(&self) -> Option<&'a process_event> {
        match self.what {
            What::Exec(_) => None,
            What::Fork(process) => Some(process),
            What::ThreadExit(event) => Some(&event.process),
            What::Exit(ended, _) => Some(&ended.event.process),
        }
    }

    pub(super) fn status(&self) -> Option<Status> {
        self.ended().map(|ended| Status::from_wait(ended.event.status))
    }

    pub(super) fn thread_status(&self) -> Option<Status> {
        self.ended_thread().map(|event| Status::from_wait(event.status))
    }

    pub(super) fn killer(&self) -> Option<Killer<'a>> {
        self.ended().and_then(|ended| ended.event.killer())
    }

    pub(super) fn is(&self, flag: process_flag) -> bool {
        self.ended().is_some_and(|ended| ended.event.process.is(flag))
    }

    pub(super) fn since_exec_ns(&self) -> Option<u64> {
        let exec_ns = self.ended()?.life.as_ref()?.exec_ns?;
        Some(self.id.time_ns.saturating_sub(exec_ns))
    }

    pub(super) fn command(&self) -> Option<&'a Command> {
        self.ended()?.life.as_ref()?.command.as_deref()
    }

    pub(super) fn path(&self) -> Option<&'a [u8]> {
        self.command().map(|command| command.path.as_slice()).filter(|path| !path.is_empty())
    }

    pub(super) fn path_is(&self, flag: exec_flag) -> bool {
        let has_flag = |command: &Command| command.path_flags.0 & flag.0 != 0;
        self.path().is_some() && self.command().is_some_and(has_flag)
    }

    pub(super) fn cut(&self) -> Option<Cut> {
        self.command().and_then(|command| command.cut(self.max_args))
    }

    /// One number of the account.
    pub(super) fn used(&self, number: impl Fn(&Usage) -> u64) -> Option<u64> {
        self.ended().map(|ended| number(&ended.usage))
    }
}
