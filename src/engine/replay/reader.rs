//! The lines behind the first one, of one file after another.

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::Result;

use super::{Recorded, Recording, Replay, Trouble, shown};
use crate::engine::containers;
use crate::engine::recorded::{Ending, Gap, Line, Lines, Start, context};
use crate::engine::session::{Session, say};
use crate::host::errno::without_numbers;
use crate::output::table::count;

/// The most bad lines that are reported each.
const REPORTED: u64 = 5;

/// The files behind their first line.
pub(super) struct Reader {
    tool: &'static str,
    /// The file that is read, and its name for messages
    lines: Lines,
    name: String,
    /// Files that follow
    more: VecDeque<PathBuf>,
    /// The beginning of the first recording: its clocks are those of all
    first: Start,
    /// The beginning of this recording, or of this part of it
    start: Start,
    /// `--duration`: events of this time come too late
    last_ns: Option<u64>,
    ending: Option<Ending>,
    /// How the recording stands where a file ends that another one continues
    continued: Option<Ending>,
    /// The recordings before this one
    past: Ending,
    /// Lines that the tool did not write
    bad: u64,
    /// Lines of unknown kinds
    unknown: u64,
    /// Something is missing
    is_damaged: bool,
    /// The last event so far
    pub(super) time_ns: u64,
}

impl Reader {
    pub(super) fn new(
        tool: &'static str,
        lines: Lines,
        name: String,
        more: &[PathBuf],
        start: Start,
        last_ns: Option<u64>,
    ) -> Self {
        Self {
            tool,
            lines,
            name,
            more: more.iter().cloned().collect(),
            last_ns,
            ending: None,
            continued: None,
            past: Ending::default(),
            bad: 0,
            unknown: 0,
            is_damaged: false,
            time_ns: start.began_ns(),
            first: start.clone(),
            start,
        }
    }

    /// Whether something is wrong, which was said.
    pub(super) fn has_trouble(&self) -> bool {
        self.is_damaged || self.bad > 0 || self.unknown > 0
    }

    /// Reads all lines; returns false if it ended before the files did.
    pub(super) fn read(&mut self, tool: &mut dyn Replay, session: &mut Session) -> Result<bool> {
        loop {
            if !self.read_file(tool, session)? {
                return Ok(false);
            }
            if !self.open_next(session)? {
                return Ok(true);
            }
        }
    }

    /// Reads the lines of one file; returns false if it ended before the file did.
    fn read_file(&mut self, tool: &mut dyn Replay, session: &mut Session) -> Result<bool> {
        let offset_ns = self.first.offset_ns();
        while let Some(raw) = self.lines.next_line() {
            let (number, is_whole) = (raw.number, raw.is_whole);
            let seen = match raw.is_too_long {
                true => Err(Trouble::Line("too long".to_owned())),
                false => match Line::parse(raw.bytes, offset_ns) {
                    Ok(line) => one(tool, session, raw.bytes, &line, self.last_ns),
                    Err(words) => Err(Trouble::Line(words)),
                },
            };
            match seen {
                Ok(Seen::Event(time_ns)) => self.time_ns = self.time_ns.max(time_ns),
                Ok(Seen::End(ending)) => self.ending = Some(ending),
                Ok(Seen::Continued(standing)) => self.continued = Some(standing),
                Ok(Seen::Begin(start)) => {
                    if !self.begin_next(*start, number, tool, session)? {
                        return Ok(true);
                    }
                }
                Ok(Seen::Late) => return Ok(false),
                Err(Trouble::Line(_)) if !is_whole => {
                    self.is_damaged = true;
                    session.out.flush()?;
                    let words = "its writer was killed, or had no room";
                    self.say(&format!("ends within line {number}: {words}"));
                }
                Err(Trouble::Line(words)) => self.complain(number, &words, session)?,
                Err(Trouble::Unknown) => self.unknown += 1,
                Err(Trouble::Work(error)) => return Err(error),
            }
            if session.is_over() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes on with the next file. False: there is none.
    fn open_next(&mut self, session: &mut Session) -> Result<bool> {
        while let Some(path) = self.more.pop_front() {
            session.out.flush()?;
            self.judge_file();
            self.name = shown(&path);
            match Lines::open(&path) {
                Ok(lines) => {
                    self.lines = lines;
                    return Ok(true);
                }
                Err(error) => {
                    self.is_damaged = true;
                    let error = without_numbers(&error.to_string());
                    self.say(&format!("cannot be read: {error}"));
                }
            }
        }
        Ok(false)
    }

    /// Another recording begins here, or another part of this one. False: it is not shown.
    fn begin_next(
        &mut self,
        start: Start,
        number: u64,
        tool: &mut dyn Replay,
        session: &mut Session,
    ) -> Result<bool> {
        if start.tool == self.tool && start.is_of_run(&self.start) {
            if !start.follows(&self.start) {
                let words = "a part of the recording is missing before this one, or comes later";
                self.complain(number, words, session)?;
            }
            (self.start, self.continued) = (start, None);
            return Ok(true);
        }
        if start.tool != self.tool || !tool.takes_more() {
            let words = "another recording begins here: it is not shown";
            self.complain(number, words, session)?;
            return Ok(false);
        }
        tool.check(&Recording { start: &start, shown: &self.name, tool: self.tool })?;
        match self.ending.take() {
            Some(ending) => {
                self.past.lost += ending.lost;
                self.past.unseen += ending.unseen;
                self.past.dropped += ending.dropped;
                self.past.notes.extend(ending.notes);
            }
            None => {
                let words = "the recording before this one has no end: its writer was killed";
                self.complain(number, words, session)?;
            }
        }
        (self.start, self.continued) = (start, None);
        Ok(true)
    }

    /// Reports a line that the tool did not write.
    fn complain(&mut self, number: u64, words: &str, session: &mut Session) -> Result<()> {
        self.bad += 1;
        if self.bad <= REPORTED {
            session.out.flush()?; // what came before goes first
            self.say_in_line(number, words);
        }
        Ok(())
    }

    /// After the last line: reports what is wrong with the files as a whole.
    pub(super) fn judge(&mut self, session: &mut Session) -> Result<()> {
        session.out.flush()?;
        if self.bad > REPORTED {
            let more = count(self.bad - REPORTED, "more such line");
            self.say(&format!("has {more}"));
        }
        if self.unknown > 0 {
            let lines = count(self.unknown, "line");
            self.say(&format!("has {lines} of kinds that this version does not know"));
        }
        self.judge_file();
        if self.ending.is_none() && !self.is_damaged {
            self.ending = self.continued.take();
            if self.ending.is_some() {
                self.say("is continued by another file");
            } else {
                self.is_damaged = true;
                self.say("has no end: its writer was killed, or is still at work");
            }
        }
        Ok(())
    }

    /// After the last line of a file.
    fn judge_file(&mut self) {
        if let Some(error) = self.lines.failure() {
            self.is_damaged = true;
            let (number, error) = (self.lines.number(), without_numbers(&error.to_string()));
            self.say(&format!("cannot be read beyond line {number}: {error}"));
        }
    }

    /// How the run ended. One that was left early ends there.
    pub(super) fn ending(&self, is_whole: bool, session: &Session) -> Option<Ending> {
        if is_whole {
            let ending = self.ending.clone()?;
            let notes = self.past.notes.iter().cloned().chain(ending.notes).collect();
            return Some(Ending {
                lost: ending.lost.saturating_add(self.past.lost),
                unseen: ending.unseen.saturating_add(self.past.unseen),
                dropped: ending.dropped.saturating_add(self.past.dropped),
                notes,
                ..ending
            });
        }
        let ends = self.last_ns.filter(|_| !session.is_full());
        Some(Ending { time_ns: ends.unwrap_or(self.time_ns), ..Ending::default() })
    }

    fn say(&self, words: &str) {
        say(self.tool, &format!("{} {words}", self.name));
    }

    fn say_in_line(&self, number: u64, words: &str) {
        say(self.tool, &format!("{}:{number}: {words}", self.name));
    }
}

/// What a line was.
enum Seen {
    Event(u64),
    End(Ending),
    /// Another file continues this one
    Continued(Ending),
    /// Another recording begins, or another part of this one
    Begin(Box<Start>),
    /// `--duration` is over
    Late,
}

/// Takes in one line.
fn one(
    tool: &mut dyn Replay,
    session: &mut Session,
    raw: &[u8],
    line: &Line,
    last_ns: Option<u64>,
) -> Result<Seen, Trouble> {
    let is_late = |time_ns: u64| last_ns.is_some_and(|last| time_ns >= last);
    match line.event()? {
        "trace.start" => Ok(Seen::Begin(Box::new(Start::read(raw, line)?))),
        "trace.end" => match Ending::read(line)? {
            ending if is_late(ending.time_ns) => Ok(Seen::Late),
            ending => Ok(Seen::End(ending)),
        },
        "trace.continued" => Ok(Seen::Continued(Ending::read(line)?)),
        "trace.status" => Ok(Seen::Event(0)),
        "events.lost" => {
            let gap = Gap::read(line)?;
            if is_late(gap.time_ns) {
                return Ok(Seen::Late);
            }
            session.note_more_lost(gap.count, gap.time_ns)?;
            Ok(Seen::Event(gap.time_ns))
        }
        name if tool.aside(name, line, session)? => Ok(Seen::Event(0)),
        name => {
            let (id, cgroup) = (line.id()?, line.cgroup()?);
            if is_late(id.time_ns) {
                return Ok(Seen::Late);
            }
            session.cgroups.give(cgroup.clone());
            session.containers.give(containers::recorded(line)?);
            if session.contexts.is_wanted() {
                session.contexts.give(context::read(line)?);
            }
            let event = Recorded { name, id: &id, cgroup: cgroup.as_deref(), line };
            tool.event(&event, session)?;
            Ok(Seen::Event(id.time_ns))
        }
    }
}
