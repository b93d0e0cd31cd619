//! One run of a tool: what it shows, and the accounting for every event.
//!
//! shown + lost + dropped == happened: gaps are noted where they are in the stream, totals at the
//! end.

mod records;
mod sieve;
mod upkeep;

use std::ffi::OsString;

use anyhow::Result;
use libbpf_rs::skel::Skel;
use serde_json::{Map, Value};

use crate::engine::attach::Attached;
use crate::engine::cli::{CommonArgs, Delivery, JsonForm};
use crate::engine::containers::Containers;
use crate::engine::context::Contexts;
use crate::engine::errand::Errands;
use crate::engine::limit::Limits;
use crate::engine::measures::Measures;
use crate::engine::recorded::{Ending, Start};
use crate::host::cgroup::CgroupPaths;
use crate::host::context::Context;
use crate::output::color::Color;
use crate::output::escape::{one_line, push_cell};
use crate::output::file::{Content, OutputFile};
use crate::output::json::{BytesList, EventName};
use crate::output::redact;
use crate::output::row::{Common, Slot, View};
use crate::output::status;
use crate::output::table::{Column, Flow, Output, count};
use crate::output::time::{WallClock, boot_now_ns};
use crate::skel::task_id;
use records::{BackendRecord, LostRecord, NotShownRecord, RefusedRecord};
pub use sieve::Place;
use sieve::Sieve;

/// What a tool needs while it runs.
pub struct Session {
    /// Stdout, or the file of `--output`
    pub out: Output,
    /// Turns event times into wall-clock times
    pub clock: WallClock,
    /// Names of cgroups
    pub cgroups: CgroupPaths,
    /// Names of containers
    pub containers: Containers,
    /// Reads what other processes chose, for a tool that does so
    pub errands: Option<Errands>,
    /// What `--login` and `--ancestors` tell of the events to come
    pub contexts: Contexts,
    /// Of the event that was just judged
    told: Option<Context>,
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
    /// `--filter`
    sieve: Option<Sieve>,
    /// Whether the row that [`Session::shown`] counts next was left out
    is_left_out: bool,
    /// See [`Session::end_ns`]
    ended_ns: Option<u64>,
    /// To be said at the end, behind the totals
    notes: Vec<String>,
    name: &'static str,
    max_events: u64,
    shown: u64,
    lost: u64,
    /// Of these, those that the kernel counts
    lost_in_kernel: u64,
    missed: u64,
    /// Which rows are shown
    limits: Limits,
    /// The row that is being counted was dropped
    is_dropped: bool,
    /// The members of the start record that say how, for each further file
    how: Map<String, Value>,
    host_name: Option<String>,
    /// Files of `--output` so far
    sequence: u32,
    /// Rows that the file of `--output` had no room for, which are to be reported
    unreported: u64,
    /// Of `--metrics`
    measures: Option<Measures>,
    /// Events that were left out when they were recorded
    filtered_before: u64,
}

/// One line on stderr: `TOOL: message`, escaped. A closed stderr is not a reason to stop.
pub fn say(tool: &str, message: &str) {
    status::say(&format!("{tool}: {}", one_line(message)));
}

/// Opens the file of `--output`, if it is given: before anything is loaded, so that a refusal costs
/// nothing.
pub(crate) fn open_output(
    tool: &str,
    place: &Delivery,
    json: Option<JsonForm>,
) -> Result<Option<OutputFile>> {
    let Some(path) = &place.output else { return Ok(None) };
    let content = match json {
        None => Content::Text,
        Some(JsonForm::Lines) => Content::Json,
        Some(JsonForm::Otlp) => Content::Otlp,
    };
    let mut file = OutputFile::open(path, content, place.rotate)?;
    file.take_notices().iter().for_each(|notice| say(tool, notice));
    Ok(Some(file))
}

impl Session {
    /// A session that begins now. `file`: that of `--output`.
    pub fn new(name: &'static str, args: &CommonArgs, file: Option<OutputFile>) -> Self {
        let json = args.json.is_some();
        let mut session = Self::begin(name, json, args.max_events);
        session.out = Output::with_color(json, args.color.into());
        if let Some(file) = file {
            session.out = Output::to_file(file, json, args.color.into());
        }
        session.speak(args.json);
        session.limits = Limits::new(&args.budget.rate_limit, args.budget.sample);
        session.host_name = args.place.given_host_name();
        session.measures = args.budget.metrics.as_ref().map(|_| Measures::default());
        session.out.fit_terminal(args.wide);
        session.clock.set_form(args.time_form());
        session.is_quiet = args.quiet;
        session.contexts = Contexts::new(args);
        session.containers = Containers::new(args.names_containers());
        session.sieve = args.filter.clone().map(Sieve::new);
        session
    }

    /// A session that begins now, with the values of these flags.
    pub(crate) fn in_place(
        name: &'static str,
        json: Option<JsonForm>,
        max_events: Option<u64>,
        place: &Delivery,
        file: Option<OutputFile>,
    ) -> Self {
        let mut session = Self::begin(name, json.is_some(), max_events);
        if let Some(file) = file {
            session.out = Output::to_file(file, json.is_some(), Color::Auto);
        }
        session.speak(json);
        session.host_name = place.given_host_name();
        session
    }

    fn speak(&mut self, json: Option<JsonForm>) {
        if json == Some(JsonForm::Otlp) {
            self.out.encode_as_otlp(self.name);
        }
    }

    /// A session that begins now, with the values of `--json` and `--max-events`.
    pub(crate) fn begin(name: &'static str, json: bool, max_events: Option<u64>) -> Self {
        let now = boot_now_ns();
        Self {
            out: Output::new(json),
            clock: WallClock::default(),
            cgroups: CgroupPaths::new(),
            containers: Containers::default(),
            errands: None,
            contexts: Contexts::default(),
            told: None,
            started_ns: now,
            counted_from_ns: now,
            instead_of_events: None,
            is_quiet: false,
            exit_status: None,
            command_began_ns: None,
            sieve: None,
            is_left_out: false,
            ended_ns: None,
            notes: Vec::new(),
            name,
            max_events: max_events.unwrap_or(u64::MAX),
            shown: 0,
            lost: 0,
            lost_in_kernel: 0,
            missed: 0,
            limits: Limits::default(),
            is_dropped: false,
            how: Map::new(),
            host_name: None,
            sequence: 1,
            unreported: 0,
            measures: None,
            filtered_before: 0,
        }
    }

    /// A session over recorded events, which begins as `start` says.
    pub(crate) fn over(
        name: &'static str,
        args: &CommonArgs,
        file: Option<OutputFile>,
        start: &Start,
    ) -> Self {
        let mut session = Self::new(name, args, file);
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

    /// Appends the heading of the rows.
    pub fn heading(&mut self, columns: &[Column]) {
        if !self.is_quiet {
            self.out.heading(columns);
        }
    }

    /// Counts an event for `--metrics`.
    pub fn measure(&mut self, event: &'static str, error: Option<&str>, duration_ns: Option<u64>) {
        if let Some(measures) = &mut self.measures {
            measures.add(event, error, duration_ns);
        }
    }

    /// Whether `--metrics` is on.
    pub fn has_measures(&self) -> bool {
        self.measures.is_some()
    }

    /// Appends the row of an event of this name, which begins with `id`, unless `--filter` leaves it
    /// out: [`Session::shown`] knows.
    pub fn row<F, E>(&mut self, view: &View<F>, id: &task_id, event: &'static str, row: &E)
    where
        F: Copy + Fn(&E, &mut Slot<'_, '_>),
    {
        self.judge(view, id, event, row);
        self.judged_row(view, id, event, row);
    }

    /// The second half of [`Session::row`], for a tool whose tables have other rows than its JSON.
    pub fn judged_row<F, E>(&mut self, view: &View<F>, id: &task_id, event: &'static str, row: &E)
    where
        F: Copy + Fn(&E, &mut Slot<'_, '_>),
    {
        if self.is_left_out {
            return;
        }
        if let Some(measures) = &mut self.measures {
            let common = Common {
                id,
                event,
                time: "",
                since_ns: 0,
                cgroup: None,
                container: None,
                epoch: self.clock.epoch(),
                context: None,
            };
            let mut scratch = Vec::new();
            let (error, duration_ns) = view.measure(&common, row, &mut scratch);
            measures.add(event, error, duration_ns);
        }
        if self.is_quiet || !self.admits(id) {
            return;
        }
        let json = self.out.json;
        if let Some(sieve) = self.sieve.as_ref().filter(|_| json) {
            self.out.json_lines(|out| {
                out.extend_from_slice(&sieve.line);
                out.push(b'\n');
            });
            return;
        }
        let since_ns = self.since_ns(id.time_ns);
        let epoch = self.clock.epoch();
        let local_time;
        let time = if json {
            self.clock.stamp(id.time_ns)
        } else if view.shows("TIME") {
            local_time = self.local_time_ms(id.time_ns);
            &local_time
        } else {
            ""
        };
        let cgroup = if json || view.shows_cgroup() { self.cgroups.path(id) } else { None };
        let container = self.containers.of(cgroup, id.time_ns, self.errands.as_mut());
        let container = container.map(|container| &**container);
        let context = self.told.as_ref();
        let common = Common { id, event, time, since_ns, cgroup, container, epoch, context };
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
        let in_kernel = attached.counters()?.lost.max(self.lost_in_kernel);
        let lost = in_kernel + (self.lost - self.lost_in_kernel);
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

    /// Whether a row about this process is to be shown. If not, [`Session::shown`] counts it as
    /// dropped.
    #[inline]
    pub fn admits(&mut self, id: &task_id) -> bool {
        self.is_dropped = self.limits.are_on() && !self.limits.admit(id);
        !self.is_dropped
    }

    /// Counts one row, if it was neither left out nor dropped, and writes if much has been collected.
    pub fn shown(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_left_out) || std::mem::take(&mut self.is_dropped) {
            return Ok(()); // counted already
        }
        self.shown += 1;
        self.out.end_row();
        if self.out.is_buffer_full() {
            self.out.flush()?;
            self.tend()?;
        }
        Ok(())
    }

    /// Whether `--max-events` is reached.
    pub fn is_full(&self) -> bool {
        self.shown >= self.max_events
    }

    /// Whether showing more is useless.
    pub(crate) fn is_over(&self) -> bool {
        self.is_full() || self.out.flow() == Flow::Closed
    }

    /// Notes that the kernel has lost `total` events so far, and reports the new ones at this place.
    #[inline]
    pub(crate) fn note_lost(&mut self, total: u64, at_ns: u64) -> Result<()> {
        let new = total.saturating_sub(self.lost_in_kernel);
        if new == 0 {
            return Ok(());
        }
        self.lost_in_kernel = total;
        self.lost += new;
        self.report_lost(new, at_ns)
    }

    /// Reports that `new` events have been lost, at this place.
    fn report_lost(&mut self, new: u64, at_ns: u64) -> Result<()> {
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
        self.notes.extend(self.without_context());
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
        self.limits.note_recorded(ending.dropped);
        self.filtered_before = ending.filtered;
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

    fn without_context(&self) -> Option<String> {
        let missing = self.contexts.missing();
        let rows = count(missing, "row");
        let note = || format!("{rows} without all that --login or --ancestors asks for");
        (missing > 0).then(note)
    }

    fn unanswered(&self) -> Option<String> {
        let unanswered = self.errands.as_ref().map_or(0, Errands::unanswered);
        let requests = count(unanswered, "time");
        let note = || format!("{requests}, a process or its files could not be read in time");
        (unanswered > 0).then(note)
    }

    /// Notes that `more` events have been lost, at this place.
    pub(crate) fn note_more_lost(&mut self, more: u64, at_ns: u64) -> Result<()> {
        if more == 0 {
            return Ok(());
        }
        self.lost = self.lost.saturating_add(more);
        self.report_lost(more, at_ns)
    }

    fn say(&self, message: &str) {
        say(self.name, message);
    }
}
