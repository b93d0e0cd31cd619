//! The commands of a recorded run.

use anyhow::Result;

use crate::engine::replay::{Recorded, Recording, Replay, Trouble};
use crate::engine::session::Session;
use crate::tools::execsnoop::basename;
use crate::tools::procsnoop::recorded;
use crate::tools::procsnoop::row::{Row, What};
use crate::tools::procsnoop::status::Status;

use crate::output::escape::Quote;

/// A command line.
pub(super) type Arguments = Vec<Vec<u8>>;

/// A program that was executed, and has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The name of the program, without its folder
    pub(super) program: Vec<u8>,
    pub(super) args: Arguments,
    /// From the birth of the process to its end
    pub(super) duration_ns: u64,
    pub(super) status: Status,
}

/// What a run executed.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// In the order of their ends
    pub(super) all: Vec<Command>,
    /// Beyond [`MOST`]
    pub(super) left_out: u64,
}

/// The most commands of a run: a few hundred MiB.
const MOST: usize = 1_000_000;

/// The most bytes of arguments of all of them.
const MOST_BYTES: usize = 256 << 20;

/// Reads them.
#[derive(Default)]
pub(super) struct Collector {
    commands: Commands,
    bytes: usize,
}

impl Collector {
    pub(super) fn commands(self) -> Commands {
        self.commands
    }
}

impl Replay for Collector {
    fn begin(&mut self, _: &Recording<'_>, _: &mut Session) -> Result<()> {
        Ok(())
    }

    fn aside(
        &mut self,
        name: &str,
        _: &crate::engine::recorded::Line,
        _: &mut Session,
    ) -> Result<bool, Trouble> {
        Ok(name != "process.exit")
    }

    fn event(&mut self, event: &Recorded<'_>, _: &mut Session) -> Result<(), Trouble> {
        let (ended, is_final) = recorded::exit(event)?;
        let what = What::Exit(&ended, is_final);
        let row = Row {
            id: event.id,
            what,
            max_args: usize::MAX,
            quote: Quote::WhereNeeded,
            shows_usage: false,
            variables: None,
        };
        let executed = !event.line.flag("process.without_exec")?;
        let Some(command) = row.command().filter(|_| executed) else { return Ok(()) };
        let args: Vec<_> = command.args().map(<[u8]>::to_vec).collect();
        let first = args.first().map(Vec::as_slice).unwrap_or_default();
        let path = if command.path.is_empty() { first } else { &command.path };
        let bytes: usize = args.iter().map(|arg| arg.len() + size_of::<Vec<u8>>()).sum();
        if self.commands.all.len() >= MOST || self.bytes + bytes > MOST_BYTES {
            self.commands.left_out += 1;
            return Ok(());
        }
        self.bytes += bytes;
        self.commands.all.push(Command {
            program: basename(path).to_vec(),
            args,
            duration_ns: ended.event.duration_ns(),
            status: Status::from_wait(ended.event.status),
        });
        Ok(())
    }
}
