//! `--from FILE`: the events of a file instead of those of the kernel, through the same rows.
//!
//! No privilege and no BPF is needed. What the file lacks, and what is wrong with it, is said in
//! one line each, and makes the exit status 1.

mod reader;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::engine::cli::CommonArgs;
use crate::engine::file_limit;
use crate::engine::recorded::{Chosen, Ending, Line, Lines, Raw, Reading, Start, context};
use crate::engine::session::{Session, open_output, say};
use crate::host::errno::without_numbers;
use crate::output::escape::{Quote, push_shell_word};
use crate::output::file::OutputFile;
use crate::output::table::{Flow, count};
use crate::skel::task_id;
use reader::Reader;

/// A tool that shows recorded events.
pub trait Replay {
    /// Called for each recording, first of all. The error: it cannot have what the flags ask for.
    fn check(&self, _file: &Recording<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether other recordings of the tool may follow the first one: each event is a row of its
    /// own, whatever came before.
    fn takes_more(&self) -> bool {
        false
    }

    /// Called once: the heading. The error: the file cannot have what the flags ask for.
    fn begin(&mut self, file: &Recording<'_>, session: &mut Session) -> Result<()>;

    /// Called for each line, before [`Replay::event`]. True: it is not an event, and has been seen to.
    fn aside(
        &mut self,
        _name: &str,
        _line: &Line,
        _session: &mut Session,
    ) -> Result<bool, Trouble> {
        Ok(false)
    }

    /// Called for each event. Rows go to `session.out`, each with [`Session::shown`].
    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble>;

    /// Called once, after the last event.
    fn end(&mut self, _session: &mut Session) -> Result<()> {
        Ok(())
    }
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// `event.name`
    pub name: &'a str,
    /// The process, and the time
    pub id: &'a task_id,
    /// The path of its cgroup
    pub cgroup: Option<&'a [u8]>,
    /// The other members
    pub line: &'a Line,
}

/// Why an event has no row.
#[derive(Debug)]
pub enum Trouble {
    /// The tool never wrote such a line, in words
    Line(String),
    /// A kind of event that this version does not know
    Unknown,
    /// The row cannot be written
    Work(anyhow::Error),
}

impl From<String> for Trouble {
    fn from(words: String) -> Self {
        Self::Line(words)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Work(error)
    }
}

/// The file, and how its run began.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// Its first line
    pub start: &'a Start,
    /// Its name, for messages
    pub shown: &'a str,
    /// The tool
    pub tool: &'static str,
}

impl Recording<'_> {
    /// Refuses the file if its tool certainly had none of `flags`, so that it lacks `what`. If
    /// nobody knows, that is said.
    pub fn needs(&self, flags: &[&str], what: &str) -> Result<()> {
        let flag = flags.first().copied().unwrap_or_default();
        if self.start.had_none(flags) {
            let shown = self.shown;
            return Err(anyhow!("{shown} has no {what}: it was recorded without --{flag}"));
        }
        if flags.iter().all(|flag| self.start.had(flag).is_none()) {
            let shown = self.shown;
            say(self.tool, &format!("{shown} is of an older version: {what} may be missing"));
        }
        Ok(())
    }

    /// Refuses the file if its tool certainly had this flag, so that `what` is missing.
    pub fn must_lack(&self, flag: &str, what: &str) -> Result<()> {
        if self.start.had(flag) == Some(true) {
            return Err(anyhow!("{} has no {what}: it was recorded with --{flag}", self.shown));
        }
        Ok(())
    }
}

/// Shows the events of files that follow each other, from the first line to the exit status.
pub(crate) fn run(
    name: &'static str,
    common: &CommonArgs,
    paths: &[PathBuf],
    tool: &mut dyn Replay,
) -> Result<u8> {
    file_limit::ignore().context("signal")?;
    let Read { mut session, ending, end_ns, has_trouble } = read(name, common, paths, tool)?;
    session.end_at(end_ns);
    session.command_began_ns = ending.as_ref().and_then(|ending| ending.command_began_ns);
    session.note_missed_as(ending.as_ref());
    let ended = if session.out.flow() == Flow::Closed { Ok(()) } else { tool.end(&mut session) };
    session.account_as(ending.as_ref())?; // even if the last step failed
    ended?;
    let status = ending.and_then(|ending| ending.exit_status).unwrap_or(0);
    let is_closed = session.out.flow() == Flow::Closed;
    Ok(if has_trouble && !is_closed { 1 } else { status })
}

/// A file whose events have been shown.
pub struct Read {
    session: Session,
    ending: Option<Ending>,
    /// On the clock of events
    end_ns: u64,
    /// Something is wrong with the file, which was said
    pub has_trouble: bool,
}

/// Hands the events of files that follow each other to `tool`.
///
/// # Errors
///
/// The first file cannot be read, or is none of this tool; or a row cannot be written.
pub fn read(
    name: &'static str,
    common: &CommonArgs,
    paths: &[PathBuf],
    tool: &mut dyn Replay,
) -> Result<Read> {
    let file = output(name, common, paths)?;
    let (path, more) = paths.split_first().context("no file")?;
    let shown = shown(path);
    let unreadable = |error: &std::io::Error| {
        anyhow!("cannot read {shown}: {}", without_numbers(&error.to_string()))
    };
    let mut lines = Lines::open(path).map_err(|error| unreadable(&error))?;
    let Some(first) = lines.next_line() else {
        return Err(match lines.failure() {
            Some(error) => unreadable(error),
            None => anyhow!("{shown} is empty"),
        });
    };
    let start = beginning(name, &first).map_err(|why| anyhow!("{shown}: {why}"))?;
    let mut session = Session::over(name, common, file, &start);
    if common.verbose {
        let Start { version, kernel, host, .. } = &start;
        say(name, &format!("recorded by {name} {version} on {host}, Linux {kernel}"));
    }
    start.not_shown.iter().for_each(|lack| say(name, lack));
    let recording = Recording { start: &start, shown: &shown, tool: name };
    if common.login {
        recording.needs(&["login"], "logins")?;
    }
    if common.ancestors.is_some() || !common.ancestor.is_empty() {
        recording.needs(&["ancestors"], "chains of ancestors")?;
    }
    if common.json.is_some() {
        session.out.json_line(&[&start.raw, &b"\n"[..]].concat())?;
    }
    tool.check(&recording)?;
    tool.begin(&recording, &mut session)?;
    let last_ns = common.duration.map(|limit| start.began_ns().saturating_add(as_ns(limit)));
    let mut reader = Reader::new(name, lines, shown.clone(), more, start.clone(), last_ns);
    let is_whole = reader.read(tool, &mut session)?;
    if is_whole {
        reader.judge(&mut session)?;
    }
    let ending = reader.ending(is_whole, &session);
    let end_ns = ending.as_ref().map_or(reader.time_ns, |ending| ending.time_ns);
    let has_trouble = reader.has_trouble();
    Ok(Read { session, ending, end_ns, has_trouble })
}

/// The file of `--output`. Recordings can be read again, so that a full disk is an error.
fn output(name: &str, common: &CommonArgs, paths: &[PathBuf]) -> Result<Option<OutputFile>> {
    let mut output = open_output(name, &common.place, common.json)?;
    if let Some(output) = &mut output {
        output.be_strict();
        for path in paths {
            if std::fs::metadata(path).is_ok_and(|file| output.is(&file)) {
                return Err(anyhow!("--output: {} is read, too", shown(path)));
            }
        }
    }
    Ok(output)
}

/// The first line; it must be that of the same tool.
fn beginning(name: &str, first: &Raw<'_>) -> Reading<Start> {
    let not_ours = |why: String| format!("not a recording of {name}: {why}");
    let line = Line::parse(first.bytes, 0).map_err(not_ours)?;
    let start = Start::read(first.bytes, &line).map_err(not_ours)?;
    match start.tool == name {
        true => Ok(start),
        false => Err(not_ours(format!("it is one of {}", start.tool))),
    }
}

/// A name of a file, for messages.
fn shown(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes == b"-" {
        return "stdin".to_owned();
    }
    let mut text = String::new();
    push_shell_word(&mut text, bytes, false, Quote::WhereNeeded);
    text
}

fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Why nobody knows whether a process is below another one.
pub const NOT_ALL_ANCESTORS: &str = "the processes above were not all recorded";

impl Recorded<'_> {
    /// Whether a process above is one that is asked for. `None`: that was not recorded.
    pub fn is_below(&self, chosen: &Chosen) -> Option<bool> {
        if !chosen.needs_ancestors() {
            return Some(true);
        }
        // A line that nobody wrote was refused before, if this is shown at all.
        chosen.below(context::ancestors(self.line).ok().flatten().as_ref())
    }
}

/// Refuses `--tree`, which needs all births.
pub fn refuse_tree(common: &CommonArgs) -> Result<(), String> {
    if common.tree.is_empty() {
        return Ok(());
    }
    Err("--tree needs the birth of each process: only recordings of procsnoop have them".to_owned())
}

/// The filters of every tool, for one that shows each event by itself.
#[derive(Debug)]
pub struct Filter {
    chosen: Chosen,
    without_cgroup: u64,
    without_ancestors: u64,
}

impl Filter {
    /// By these flags.
    pub fn new(common: &CommonArgs) -> Self {
        Self { chosen: Chosen::new(common), without_cgroup: 0, without_ancestors: 0 }
    }

    /// Whether an event passes.
    pub fn passes(&mut self, event: &Recorded<'_>) -> bool {
        if self.chosen.needs_cgroup() && event.cgroup.is_none() {
            self.without_cgroup += 1;
        }
        self.chosen.all(event.id, event.cgroup) && self.is_below(event)
    }

    /// Whether a process above is one that is asked for.
    fn is_below(&mut self, event: &Recorded<'_>) -> bool {
        let is_below = event.is_below(&self.chosen);
        self.without_ancestors += u64::from(is_below.is_none());
        is_below.unwrap_or(false)
    }

    /// What could not be decided.
    pub fn note(&self) -> Vec<String> {
        let lacks = [
            (self.without_cgroup, "the cgroup was not recorded"),
            (self.without_ancestors, NOT_ALL_ANCESTORS),
        ];
        let lacks = lacks.into_iter().filter(|(events, _)| *events > 0);
        lacks.map(|(events, why)| format!("{} not shown: {why}", count(events, "event"))).collect()
    }
}
