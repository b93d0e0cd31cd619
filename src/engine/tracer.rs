//! A tracer with one kind of event and one row for each: its struct in C, its fields, its flags.
//! Everything else is the same for all such tracers, and is in this file. CONTRIBUTING.md has a
//! lesson.

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};
use libbpf_rs::skel::SkelBuilder;

use crate::engine::attach::Builder;
use crate::engine::backend::Backend;
use crate::engine::cli::CommonArgs;
use crate::engine::manual::{Demo, Manual};
use crate::engine::recorded::{Line, Reading};
use crate::engine::replay::{Filter, Recorded, Recording, Replay, Trouble, refuse_tree};
use crate::engine::session::Session;
use crate::engine::tool::{self, Loaded, Open, Refused, Tool};
use crate::output::row::{Field, FieldOf, Slot, View, docs};
use crate::skel::{Event, task_id};

/// The imports of such a tracer's file.
pub mod prelude {
    pub use anyhow::{Context, Result};
    pub use clap::Args;

    pub use super::{Object, OfRecording, Tracer};
    pub use crate::engine::backend::{Backend, Job, on_tracepoint};
    pub use crate::engine::manual::Manual;
    pub use crate::engine::tracer;
    pub use crate::host::{errno, signal};
    pub use crate::output::row::{Field, FieldOf};
}

/// The object of a tracer, opened and not yet loaded.
pub type Object<T> = <<T as Tracer>::Builder as SkelBuilder<'static>>::Output;

/// A tracer with one kind of event.
pub trait Tracer: 'static {
    /// The command, and `TOOL` in `TOOL: message`
    const NAME: &'static str;
    /// `event.name` in JSON
    const EVENT: &'static str;
    /// A shell command that causes such an event: for the tests, and for people who try the tool
    const DEMO: &'static str;
    /// The manual beyond flags and fields
    const MANUAL: Manual;
    /// The event's own fields: columns behind PID and COMM, and keys of JSON
    const FIELDS: &'static [FieldOf<Self::Event>];
    /// The tracer's own flags; their comment is the first sentence of `--help`
    type Args: Args;
    /// Its skeleton
    type Builder: Builder;
    /// The event, as the C source defines it
    type Event: Event;

    /// How recorded lines become events again, for `--from`; none: the tracer does not read them.
    const RECORDED: Option<OfRecording<Self>> = None;

    /// Ways into the kernel, best first.
    fn backends(args: &Self::Args) -> Vec<Backend>;

    /// Sets constants of the programs before loading, for filters in the kernel.
    fn configure(_args: &Self::Args, _object: &mut Object<Self>) -> Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// Runs a tracer, from its command line to its exit status.
pub fn main<T: Tracer>() -> ExitCode {
    tool::main::<OneRow<T>>()
}

/// The flags of a tracer: its own, and the common ones.
struct Flags<T: Tracer> {
    own: T::Args,
    common: CommonArgs,
}

impl<T: Tracer> CommandFactory for Flags<T> {
    fn command() -> Command {
        let command = T::Args::augment_args(Command::new(T::NAME));
        let about = command.get_about().cloned().unwrap_or_default();
        with_common_flags(command).about(about).version(env!("CARGO_PKG_VERSION"))
    }

    fn command_for_update() -> Command {
        Self::command()
    }
}

impl<T: Tracer> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let own = T::Args::from_arg_matches(matches)?;
        Ok(Self { own, common: CommonArgs::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Tracer> Parser for Flags<T> {}

/// The tool that shows each record as a row.
struct OneRow<T: Tracer> {
    flags: Flags<T>,
    view: View<Put<T>>,
}

/// The common columns, and the tracer's own fields.
fn all_fields<T: Tracer>() -> Vec<FieldOf<T::Event>> {
    let first = [
        Field::TIME,
        Field::SINCE,
        Field::UID,
        Field::LOGIN,
        Field::CONTAINER,
        Field::UNIT,
        Field::PID,
        Field::COMM,
    ];
    first.into_iter().chain(T::FIELDS.iter().copied()).chain([Field::ANCESTORS]).collect()
}

/// Writes a field of a tracer's event.
type Put<T> = fn(&<T as Tracer>::Event, &mut Slot<'_, '_>);

/// The columns and members of its rows. The time is a usual column here: such events are rare.
///
/// # Errors
///
/// A chosen column that does not exist, in one line.
pub fn view<T: Tracer>(common: &CommonArgs) -> Result<View<Put<T>>, String> {
    View::choose(&all_fields::<T>(), &common.columns, |column| {
        let by_flag = common.by_flag(column);
        by_flag.filter(|asked| *asked || column.title != "TIME")
    })
}

/// The command with the flags of a tracer and the common ones. Of a letter that is both, the
/// tracer's own meaning counts.
fn with_common_flags(own: Command) -> Command {
    let letters: Vec<_> = own.get_arguments().filter_map(clap::Arg::get_short).collect();
    let all = CommonArgs::augment_args(Command::new("common"));
    let both = all
        .get_arguments()
        .filter(|arg| arg.get_short().is_some_and(|letter| letters.contains(&letter)));
    let both: Vec<_> = both.map(|arg| arg.get_id().clone()).collect();
    both.into_iter().fold(CommonArgs::augment_args(own), |command, id| {
        command.mut_arg(id, |arg| arg.short(None))
    })
}

impl<T: Tracer> Tool for OneRow<T> {
    const NAME: &'static str = T::NAME;
    const MANUAL: Manual = Manual {
        fields: Some(|| docs(&all_fields::<T>())),
        demo: Demo { event: T::EVENT, command: T::DEMO, ..Demo::NONE },
        ..T::MANUAL
    };
    type Args = Flags<T>;
    type Builder = T::Builder;

    fn new(flags: Flags<T>) -> Result<Self, Refused> {
        Ok(Self { view: view::<T>(&flags.common)?, flags })
    }

    fn common(&self) -> &CommonArgs {
        &self.flags.common
    }

    fn replay(self) -> Result<Box<dyn Replay>, Refused> {
        refuse_tree(&self.flags.common)?;
        let unread = || Refused::Usage(format!("--from: {} does not read recordings", T::NAME));
        let recorded = T::RECORDED.ok_or_else(unread)?;
        let filter = Filter::new(&self.flags.common);
        Ok(Box::new(Rows::<T> { flags: self.flags, view: self.view, filter, recorded }))
    }

    fn backends(&self) -> Vec<Backend> {
        T::backends(&self.flags.own)
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        T::configure(&self.flags.own, open)
    }

    fn start(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        session.heading(self.view.columns());
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        let (id, event) = T::Event::decode(record)?;
        session.row(&self.view, &id, T::EVENT, &event);
        session.shown()
    }
}

/// How recorded lines become a tracer's events again.
pub struct OfRecording<T: Tracer + ?Sized> {
    /// The event of a line: of the members that the event's own fields write. Common members are
    /// read already. The error: the tracer never wrote such a line, in words
    pub event: fn(&Line, &task_id) -> Reading<T::Event>,
    /// Whether the programs would have sent this event, by the tracer's own flags
    pub is_shown: fn(&T::Args, &T::Event) -> bool,
}

/// The same rows, from recorded events.
struct Rows<T: Tracer> {
    flags: Flags<T>,
    view: View<Put<T>>,
    filter: Filter,
    recorded: OfRecording<T>,
}

impl<T: Tracer> Replay for Rows<T> {
    fn takes_more(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &Recording<'_>, session: &mut Session) -> Result<()> {
        session.heading(self.view.columns());
        Ok(())
    }

    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        if event.name != T::EVENT {
            return Err(Trouble::Unknown);
        }
        let own = (self.recorded.event)(event.line, event.id)?;
        if self.filter.passes(event) && (self.recorded.is_shown)(&self.flags.own, &own) {
            session.row(&self.view, event.id, T::EVENT, &own);
            session.shown()?;
        }
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        self.filter.note().into_iter().for_each(|note| session.note(note));
        Ok(())
    }
}
