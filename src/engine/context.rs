//! What `--login` and `--ancestors` tell of each event: from the kernel's records of it, which come
//! just before the event, to the row.
//!
//! A record is joined with its event by thread and time. What an event lacks is said in its row;
//! no event gets what belongs to another one.

mod commands;
mod errand;
mod names;
mod parts;
pub mod place;

use crate::engine::cli::CommonArgs;
use crate::engine::errand::Errands;
use crate::host::context::{Context, Login};
use crate::output::redact::policy;
use crate::output::row::{ANCESTORS, LOGIN};
use crate::skel::{snoop_context, task_id};

use commands::Commands;
pub use errand::errand;
use names::Names;
use parts::Parts;
use place::Place;

/// What the flags ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `--login`
    pub login: bool,
    /// `--ancestors`: at most so many
    pub ancestors: Option<u32>,
}

impl Wanted {
    /// By these flags.
    pub fn new(args: &CommonArgs) -> Self {
        Self { login: args.login, ancestors: args.ancestors }
    }

    /// Refuses columns that would be empty, in one line.
    ///
    /// # Errors
    ///
    /// `--columns` names one of a flag that is not given.
    pub fn check(args: &CommonArgs) -> Result<(), String> {
        let flags =
            [(LOGIN, "login", args.login), (ANCESTORS, "ancestors", args.ancestors.is_some())];
        for (column, flag, is_given) in flags {
            if !is_given && args.columns.iter().any(|name| name.eq_ignore_ascii_case(column)) {
                return Err(format!("the column {flag} needs --{flag}"));
            }
        }
        Ok(())
    }

    /// Whether there is anything.
    pub fn is_any(self) -> bool {
        self.login || self.ancestors.is_some()
    }

    /// For the programs.
    pub(super) fn bits(self) -> snoop_context {
        let login = if self.login { snoop_context::CONTEXT_LOGIN.0 } else { 0 };
        let ancestors =
            if self.ancestors.is_some() { snoop_context::CONTEXT_ANCESTORS.0 } else { 0 };
        snoop_context(login | ancestors)
    }
}

/// The context of the events to come.
#[derive(Debug, Default)]
pub struct Contexts {
    wanted: Wanted,
    /// Whether rows are JSON, or judged by it: that has command lines, too
    json: bool,
    parts: Parts,
    names: Names,
    commands: Commands,
    /// The answer to the next question: see [`Contexts::give`]
    given: Option<Context>,
    is_recorded: bool,
    missing: u64,
}

impl Contexts {
    /// Of a run with these flags.
    pub fn new(args: &CommonArgs) -> Self {
        Self {
            wanted: Wanted::new(args),
            json: args.json.is_some() || args.filter.is_some(),
            ..Self::default()
        }
    }

    /// Whether any is asked for.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted.is_any()
    }

    /// Takes in a record, if it is one of these, and not an event.
    #[inline]
    pub fn take(&mut self, record: &[u8]) -> bool {
        self.is_wanted() && self.parts.take(record)
    }

    /// The next row's context is this one: it was recorded.
    pub fn give(&mut self, context: Context) {
        (self.given, self.is_recorded) = (Some(context), true);
    }

    /// An event of this thread at this time has the context that was sent at another time, such as
    /// when it began.
    pub fn was_sent_at(&mut self, sent_ns: u64, id: &task_id) {
        if self.is_wanted() && sent_ns != id.time_ns {
            self.parts.rename((id.tid, sent_ns), (id.tid, id.time_ns));
        }
    }

    /// The command line of a process that has just begun another program; before its row. `args`:
    /// each with its NUL.
    pub fn executed(&mut self, id: &task_id, args: &[u8], is_whole: bool) {
        if self.json && self.wanted.ancestors.is_some() && is_whole {
            if let Some(exec_id) = self.parts.exec_id((id.tid, id.time_ns)) {
                self.commands.executed((id.pid, id.start_ns, exec_id), args);
            }
        }
    }

    /// The context of an event, once.
    pub fn of(&mut self, id: &task_id, errands: Option<&mut Errands>) -> Option<Context> {
        if !self.is_wanted() {
            return None;
        }
        if self.is_recorded {
            let mut context = self.given.take().unwrap_or_default();
            if let (Some(most), Some(ancestors)) = (self.wanted.ancestors, &mut context.ancestors) {
                ancestors.cut(most);
            }
            redact_commands(&mut context);
            return Some(context);
        }
        let mut context = self.parts.remove((id.tid, id.time_ns), self.wanted);
        self.missing += u64::from(context.is_missing);
        if let Some(errands) = errands {
            if let Some(login) = &mut context.login {
                self.name(login, id, errands);
            }
            if let (true, Some(ancestors)) = (self.json, &mut context.ancestors) {
                ancestors.chain.iter_mut().for_each(|one| self.commands.find(one, errands));
            }
        }
        redact_commands(&mut context);
        Some(context)
    }

    /// Events without a context.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    fn name(&mut self, login: &mut Login, id: &task_id, errands: &mut Errands) {
        let names = &mut login.names;
        names.login_user = login.user.and_then(|uid| self.names.user(uid, errands));
        if self.json {
            names.user = self.names.user(id.euid, errands);
            names.real_user = self.names.user(id.uid, errands);
            names.group = self.names.group(login.effective_group, errands);
            names.real_group = self.names.group(login.group, errands);
        }
    }
}

/// Where the process with this id and birth runs now, without secrets. `None`: it has ended, or
/// nobody answered in time.
pub fn place_of(errands: &mut Errands, pid: u32, start_ns: u64) -> Option<Place> {
    let answer = errands.ask_context(&errand::Question::Place(pid, start_ns).encode())?;
    let place = Place::decode(&answer)?;
    Some(place.without_secrets(policy()))
}

/// `--redact`: command lines of processes above hold secrets as others do.
fn redact_commands(context: &mut Context) {
    let Some(ancestors) = context.ancestors.as_mut().filter(|_| policy().is_on()) else { return };
    for one in &mut ancestors.chain {
        let redacted = one.args.as_deref().map(|args| policy().args(args).bytes.into_owned());
        one.args = redacted.map(Into::into);
    }
}
