//! One run of a tool: what it shows, and the accounting for every event.
//!
//! shown + lost == happened: gaps are noted where they are in the stream, totals at the end.

use std::ffi::OsString;

use anyhow::{Context, Result};
use libbpf_rs::skel::Skel;
use serde::Serialize;

use crate::engine::attach::Attached;
use crate::engine::cli::CommonArgs;
use crate::engine::errand::Errands;
use crate::engine::recorded::{Ending, Start};
use crate::host::cgroup::CgroupPaths;
use crate::output::escape::{one_line, push_cell};
use crate::output::json::{BytesList, EventName, SCHEMA};
use crate::output::redact;
use crate::output::row::{Common, Slot, View};
use crate::output::status;
use crate::output::table::{Column, Flow, Output, count};
use crate::output::time::{WallClock, boot_now_ns};
use crate::skel::task_id;

/// What a tool needs while it runs.
pub struct Session {
    /// Stdout
    pub out: Output,
    /// Turns event times into wall-clock times
    pub clock: WallClock,
    /// Names of cgroups
    pub cgroups: CgroupPaths,
    /// Reads what other processes chose, for a tool that does so
    pub errands: Option<Errands>,
    /// When tracing began, `CLOCK_BOOTTIME` in nanoseconds
    pub started_ns: u64,
    /// What TIME(s) counts from: tracing is on, and COMMAND begins
    counted_from_ns: u64,
    /// Replaces "N events" in the final line, for runs that print no event rows ("12 processes")
    pub instead_of_events: Option<String>,
    /// `--quiet`: rows are counted, and not shown
    pub is_quiet: bool,
    /// The status of COMMAND, once it has ended
    pub(crate) exit_status: Option<u8>,
    /// When COMMAND began, on the boot clock, if the tool knows it exactly
    pub command_began_ns: Option<u64>,
    /// See [`Session::end_ns`]
    ended_ns: Option<u64>,
    /// To be said at the end, behind the totals
    notes: Vec<String>,
    name: &'static str,
    max_events: u64,
    shown: u64,
    lost: u64,
    missed: u64,
}

/// The first JSON line.
#[derive(Serialize)]
struct StartRecord<H> {
    timestamp: String,
    event: EventName,
    schema: u32,
    tool: &'static str,
    version: &'static str,
    #[serde(flatten)]
    how: H,
    kernel: String,
    host: HostName,
}

/// How a tool traces.
#[derive(Serialize)]
struct BackendRecord<'a> {
    backend: &'static str,
    /// Better backends that the kernel refused
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends_refused: Vec<RefusedRecord>,
    /// Parts that the user asked for and that cannot be shown
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_shown: Vec<NotShownRecord>,
    buffer: &'static str,
    /// The time of the record on the clock of events
    boot_ns: u64,
    /// Long names of the given flags
    flags: &'a [String],
    /// COMMAND
    #[serde(flatten)]
    command: BytesList<'a>,
}

#[derive(Serialize)]
struct RefusedRecord {
    name: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct NotShownRecord {
    what: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct HostName {
    name: String,
}

/// A gap, at its place.
#[derive(Serialize)]
struct LostRecord {
    timestamp: String,
    event: EventName,
    count: u64,
}

/// The last JSON line.
#[derive(Serialize)]
struct EndRecord<'a> {
    timestamp: String,
    event: EventName,
    events: u64,
    lost: u64,
    /// Runs of our programs that the kernel skipped: each may be a missing event
    #[serde(skip_serializing_if = "is_zero")]
    unseen: u64,
    /// The status of COMMAND, if it has ended
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_began_boot_ns: Option<u64>,
    /// What is said on stderr besides
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One line on stderr: `TOOL: message`, escaped. A closed stderr is not a reason to stop.
pub fn say(tool: &str, message: &str) {
    status::say(&format!("{tool}: {}", one_line(message)));
}

impl Session {
    /// A session that begins now.
    pub fn new(name: &'static str, args: &CommonArgs) -> Self {
        let mut session = Self::begin(name, args.json, args.max_events);
        session.out = Output::with_color(args.json, args.color.into());
        session.out.fit_terminal(args.wide);
        session.clock.set_form(args.time_form());
        session.is_quiet = args.quiet;
        session
    }

    /// A session that begins now, with the values of `--json` and `--max-events`.
    pub(crate) fn begin(name: &'static str, json: bool, max_events: Option<u64>) -> Self {
        let now = boot_now_ns();
        Self {
            out: Output::new(json),
            clock: WallClock::default(),
            cgroups: CgroupPaths::new(),
            errands: None,
            started_ns: now,
            counted_from_ns: now,
            instead_of_events: None,
            is_quiet: false,
            exit_status: None,
            command_began_ns: None,
            ended_ns: None,
            notes: Vec::new(),
            name,
            max_events: max_events.unwrap_or(u64::MAX),
            shown: 0,
            lost: 0,
            missed: 0,
        }
    }

    /// A session over recorded events, which begins as `start` says.
    pub(crate) fn over(name: &'static str, args: &CommonArgs, start: &Start) -> Self {
        let mut session = Self::new(name, args);
        session.clock.fix(start.offset_ns());
        session.started_ns = start.began_ns();
        session.counted_from_ns = start.began_ns();
        session
    }

    /// Appends the start record, if the output is JSON.
    pub(crate) fn start<S>(
        &mut self,
        attached: &Attached<S>,
        flags: &[String],
        command: &[OsString],
    ) -> Result<()> {
        if !self.out.json {
            return Ok(());
        }
        let refused = attached.refused.iter().map(|refusal| RefusedRecord {
            name: refusal.backend,
            reason: refusal.refused.to_string(),
        });
        let not_shown = attached.not_shown.iter();
        let words: Vec<_> = command.iter().map(|word| word.as_encoded_bytes()).collect();
        let words = redact::policy().words(&words);
        let words = words.iter().map(|word| &**word);
        self.start_record(&BackendRecord {
            backend: attached.backend,
            backends_refused: refused.collect(),
            not_shown: not_shown
                .map(|lack| NotShownRecord { what: lack.what, reason: lack.reason.clone() })
                .collect(),
            buffer: attached.channel.transport().name(),
            boot_ns: self.started_ns,
            flags,
            command: BytesList { keys: ("command", "command_base64"), values: words.collect() },
        })
    }

    /// Appends the start record, with the members of `how`.
    pub(crate) fn start_record(&mut self, how: &impl Serialize) -> Result<()> {
        let uname = nix::sys::utsname::uname().context("uname")?;
        self.out.object(&StartRecord {
            timestamp: self.clock.rfc3339(self.started_ns),
            event: EventName { name: "trace.start" },
            schema: SCHEMA,
            tool: self.name,
            version: env!("CARGO_PKG_VERSION"),
            how,
            kernel: uname.release().to_string_lossy().into_owned(),
            host: HostName { name: uname.nodename().to_string_lossy().into_owned() },
        })
    }

    /// Appends the heading of the rows.
    pub fn heading(&mut self, columns: &[Column]) {
        if !self.is_quiet {
            self.out.heading(columns);
        }
    }

    /// Appends the row of an event of this name, which begins with `id`.
    pub fn row<F, E>(&mut self, view: &View<F>, id: &task_id, event: &'static str, row: &E)
    where
        F: Copy + Fn(&E, &mut Slot<'_, '_>),
    {
        if self.is_quiet {
            return;
        }
        let json = self.out.json;
        let since_ns = self.since_ns(id.time_ns);
        let local_time;
        let time = if json {
            self.clock.stamp(id.time_ns)
        } else if view.shows("TIME") {
            local_time = self.local_time_ms(id.time_ns);
            &local_time
        } else {
            ""
        };
        let common = Common {
            id,
            event,
            time,
            since_ns,
            cgroup: if json || view.shows_cgroup() { self.cgroups.path(id) } else { None },
        };
        view.row(&mut self.out, &common, row);
    }

    /// `HH:MM:SS` in the local time zone.
    pub fn local_time(&mut self, boot_ns: u64) -> String {
        self.find_zone();
        self.clock.local_time(boot_ns)
    }

    /// `HH:MM:SS.` and milliseconds in the local time zone.
    pub fn local_time_ms(&mut self, boot_ns: u64) -> String {
        self.find_zone();
        self.clock.local_time_ms(boot_ns)
    }

    /// `HH:MM:SS.` and microseconds in the local time zone.
    pub fn local_time_us(&mut self, boot_ns: u64) -> String {
        self.find_zone();
        self.clock.local_time_us(boot_ns)
    }

    fn find_zone(&mut self) {
        if let Err(value) = self.clock.find_zone() {
            let mut shown = String::new();
            push_cell(&mut shown, value.as_bytes());
            self.say(&format!("TZ={shown} is no time zone: times are UTC"));
        }
    }

    /// TIME(s) counts from now on.
    pub(crate) fn count_time_from_now(&mut self) {
        self.counted_from_ns = boot_now_ns();
    }

    /// The time of an event since tracing was on, and COMMAND began.
    pub fn since_ns(&self, time_ns: u64) -> u64 {
        time_ns.saturating_sub(self.counted_from_ns)
    }

    /// Rows so far, or what is counted instead of rows.
    pub fn events(&self) -> u64 {
        self.shown
    }

    /// Events that have been lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Notes how many events are lost, or may be, now that tracing is over: [`Session::missed`].
    pub(crate) fn note_missed<S: Skel<'static>>(&mut self, attached: &Attached<S>) -> Result<()> {
        let skipped = attached.skipped();
        let lost = attached.counters()?.lost.max(self.lost);
        self.missed = lost + skipped.events + skipped.perhaps_events;
        Ok(())
    }

    /// The same of a recording.
    pub(crate) fn note_missed_as(&mut self, ending: Option<&Ending>) {
        let (lost, unseen) = ending.map_or((0, 0), |ending| (ending.lost, ending.unseen));
        self.missed = lost.max(self.lost) + unseen;
    }

    /// At the end, how many events are lost, or may be.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Counts one row, and writes if much has been collected.
    pub fn shown(&mut self) -> Result<()> {
        self.shown += 1;
        self.out.end_row();
        self.out.flush_if_full()
    }

    /// Whether `--max-events` is reached.
    pub fn is_full(&self) -> bool {
        self.shown >= self.max_events
    }

    /// Whether showing more is useless.
    pub(crate) fn is_over(&self) -> bool {
        self.is_full() || self.out.flow() == Flow::Closed
    }

    /// Notes that `total` events have been lost so far, and reports the new ones at this place.
    pub(crate) fn note_lost(&mut self, total: u64, at_ns: u64) -> Result<()> {
        let new = total.saturating_sub(self.lost);
        if new == 0 {
            return Ok(());
        }
        self.lost = total;
        if self.out.json {
            return self.out.object(&LostRecord {
                timestamp: self.clock.rfc3339(at_ns),
                event: EventName { name: "events.lost" },
                count: new,
            });
        }
        self.out.flush()?; // what came before goes first
        status::say(&format!("-- lost {} --", count(new, "event")));
        Ok(())
    }

    /// The totals: on stderr, or as the last JSON line.
    pub(crate) fn account<S: Skel<'static>>(&mut self, attached: &Attached<S>) -> Result<()> {
        let now = self.end_ns();
        let counters = attached.counters()?;
        let skipped = attached.skipped();
        self.note_lost(counters.lost + skipped.events, now)?;
        self.notes.extend(self.unanswered());
        if counters.tree_full > 0 {
            let missed = count(counters.tree_full, "descendant");
            self.note(format!("{missed} not followed: too many live at once"));
        }
        self.end(now, skipped.perhaps_events)?;
        self.say_notes(skipped.perhaps_events);
        Ok(())
    }

    /// The totals of recorded events. `ending`: how the run ended, if that is known.
    pub(crate) fn account_as(&mut self, ending: Option<&Ending>) -> Result<()> {
        // Of the recording, not of the run.
        let own = std::mem::take(&mut self.notes);
        let unknown = Ending::default();
        let (now, ending) = (ending.map(|ending| ending.time_ns), ending.unwrap_or(&unknown));
        self.lost = self.lost.max(ending.lost);
        self.notes.clone_from(&ending.notes);
        (self.exit_status, self.command_began_ns) = (ending.exit_status, ending.command_began_ns);
        self.end_in(now, ending.unseen)?;
        self.notes.extend(own);
        self.say_notes(ending.unseen);
        Ok(())
    }

    /// When the run ended, on the clock of events: the time of the first call.
    pub fn end_ns(&mut self) -> u64 {
        *self.ended_ns.get_or_insert_with(boot_now_ns)
    }

    /// Makes it end at this time.
    pub(crate) fn end_at(&mut self, ns: u64) {
        self.ended_ns = Some(ns);
    }

    /// Says this at the end, behind the totals; in JSON it is in the last record, too.
    pub fn note(&mut self, message: String) {
        self.notes.push(message);
    }

    /// What there is to say behind the totals, on stderr. `unseen`: runs that the kernel skipped.
    fn say_notes(&self, unseen: u64) {
        if self.out.flow() == Flow::Closed {
            return; // quietly
        }
        if unseen > 0 {
            let events = count(unseen, "event");
            self.say(&format!("up to {events} may be missing: the kernel skipped a BPF program"));
        }
        self.notes.iter().for_each(|note| self.say(note));
    }

    /// Rows say so too; this line is for those who read only the end.
    pub(crate) fn say_what_was_not_answered(&self) {
        self.unanswered().iter().for_each(|note| self.say(note));
    }

    fn unanswered(&self) -> Option<String> {
        let unanswered = self.errands.as_ref().map_or(0, Errands::unanswered);
        let requests = count(unanswered, "time");
        let note = || format!("{requests}, a process or its files could not be read in time");
        (unanswered > 0).then(note)
    }

    /// Writes the totals as of `now`, and everything collected before.
    pub(crate) fn end(&mut self, now: u64, unseen: u64) -> Result<()> {
        self.end_in(Some(now), unseen)
    }

    /// The same; without a time there is no last record.
    fn end_in(&mut self, now: Option<u64>, unseen: u64) -> Result<()> {
        self.out.flush()?; // to know what could be written
        self.count_unwritten();
        if let Some(now) = now.filter(|_| self.out.json) {
            self.out.object(&EndRecord {
                timestamp: self.clock.rfc3339(now),
                event: EventName { name: "trace.end" },
                events: self.shown,
                lost: self.lost,
                unseen,
                exit_status: self.exit_status,
                command_began_boot_ns: self.command_began_ns,
                notes: &self.notes,
            })?;
        }
        self.out.flush()?;
        match self.out.flow() {
            Flow::Closed => {}
            Flow::Open if self.out.json => {}
            Flow::Open => {
                let what = self.instead_of_events.take();
                let what = what.unwrap_or_else(|| count(self.shown, "event"));
                self.say(&format!("{what}, {} lost", self.lost));
            }
            Flow::Stuck => {
                let what = count(self.shown, "event");
                self.say(&format!("{what}, {} lost: nobody reads stdout", self.lost));
            }
        }
        Ok(())
    }

    /// Rows that nobody read are lost, not shown.
    fn count_unwritten(&mut self) {
        let unwritten = self.out.take_unwritten();
        self.shown -= unwritten;
        self.lost += unwritten;
    }

    /// Notes that `more` events have been lost, at this place.
    pub(crate) fn note_more_lost(&mut self, more: u64, at_ns: u64) -> Result<()> {
        self.note_lost(self.lost.saturating_add(more), at_ns)
    }

    fn say(&self, message: &str) {
        say(self.name, message);
    }
}
