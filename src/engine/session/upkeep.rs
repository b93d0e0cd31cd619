//! What a run needs besides its events: the beginning and the end of each file, and how it stands.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use super::Session;
use super::records::{
    Boot, Dropped, EndRecord, Host, OutputRecord, Part, StartRecord, StatusRecord, TracerRecord,
    Usage,
};
use crate::engine::limit::Counts;
use crate::engine::measures::Standing;
use crate::host::machine;
use crate::host::usage::Used;
use crate::output::file::{Look, OutputFile};
use crate::output::json::{self, EventName, SCHEMA};
use crate::output::metrics::Text;
use crate::output::table::{Flow, count};
use crate::output::time::boot_now_ns;

impl Session {
    /// Appends the start record, with the members of `how`.
    pub(crate) fn start_record(&mut self, how: &impl Serialize) -> Result<()> {
        if let Value::Object(how) = serde_json::to_value(how).context("write JSON")? {
            self.how = how;
        }
        let line = self.start_line(self.started_ns)?;
        self.out.json_line(&line)
    }

    /// The start record of a file that begins now.
    fn start_line(&self, now: u64) -> Result<Vec<u8>> {
        let uname = nix::sys::utsname::uname().context("uname")?;
        let of_machine = || uname.nodename().to_string_lossy().into_owned();
        let part = Part { sequence: self.sequence, began_boot_ns: self.started_ns };
        let record = StartRecord {
            timestamp: self.clock.rfc3339(now),
            event: EventName { name: "trace.start" },
            schema: SCHEMA,
            tool: self.name,
            version: env!("CARGO_PKG_VERSION"),
            how: &self.how,
            kernel: uname.release().to_string_lossy().into_owned(),
            host: Host {
                name: self.host_name.clone().unwrap_or_else(of_machine),
                id: machine::id(),
                arch: machine::ARCH,
                boot: machine::boot_id().map(|id| Boot { id }),
            },
            trace: self.out.file().is_some().then_some(part),
        };
        line(&record)
    }

    /// Sees to the file of `--output`: whether it is to be rotated, or to begin again, and what there
    /// is to say about it.
    pub(crate) fn tend(&mut self) -> Result<()> {
        let Some(file) = self.out.file_mut() else { return Ok(()) };
        match file.look() {
            Look::Same => {}
            Look::Emptied => self.begin_file()?,
            Look::Full => {
                let last = self.last_line()?;
                if self.out.file_mut().is_some_and(|file| file.rotate(&last)) {
                    self.begin_file()?;
                }
            }
            Look::Removed => {
                let name = self.out.file().map(OutputFile::name).unwrap_or_default();
                self.say(&format!("{name} was removed: another one begins"));
                self.go_on_in_new_file()?;
            }
        }
        self.report_unwritten()?;
        self.say_notices();
        Ok(())
    }

    /// Opens the file of `--output` again, if its name is another file's by now.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        if self.out.file().is_some_and(OutputFile::is_moved) {
            self.go_on_in_new_file()?;
        }
        self.say_notices();
        Ok(())
    }

    fn go_on_in_new_file(&mut self) -> Result<()> {
        let last = self.last_line()?;
        if self.out.file_mut().is_some_and(|file| file.reopen(&last)) {
            self.begin_file()?;
        }
        Ok(())
    }

    /// Writes what each file begins with.
    fn begin_file(&mut self) -> Result<()> {
        self.sequence += 1;
        let now = boot_now_ns();
        self.clock.update();
        let opening = match self.out.json {
            true => {
                if let Some(boot_ns) = self.how.get_mut("boot_ns") {
                    *boot_ns = now.into();
                }
                let line = self.start_line(now)?;
                self.out.encoded(line)
            }
            false => self.out.last_heading().to_owned(),
        };
        self.out.begin_file(&opening)
    }

    /// What a file ends with that another one continues.
    fn last_line(&mut self) -> Result<Vec<u8>> {
        if !self.out.json {
            return Ok(Vec::new());
        }
        let part = Part { sequence: self.sequence, began_boot_ns: self.started_ns };
        let line = line(&self.standing("trace.continued", boot_now_ns(), Some(part), None))?;
        Ok(self.out.encoded(line))
    }

    fn standing(
        &self,
        event: &'static str,
        now: u64,
        trace: Option<Part>,
        usage: Option<Usage>,
    ) -> StatusRecord<'_> {
        StatusRecord {
            timestamp: self.clock.rfc3339(now),
            event: EventName { name: event },
            events: self.shown,
            lost: self.lost,
            filtered: self.filtered(),
            dropped: Dropped::new(self.dropped(), self.limits.loudest()),
            trace,
            usage,
        }
    }

    /// Rows that the file had no room for are lost: reported once there is room again.
    fn report_unwritten(&mut self) -> Result<()> {
        self.unreported += self.count_unwritten();
        let is_failing = self.out.file().is_some_and(|file| file.failure().is_some());
        if self.unreported > 0 && !is_failing {
            let lost = std::mem::take(&mut self.unreported);
            self.report_lost(lost, boot_now_ns())?;
        }
        Ok(())
    }

    /// What there is to say about the file.
    pub(crate) fn say_notices(&mut self) {
        let notices = self.out.file_mut().map(OutputFile::take_notices);
        notices.into_iter().flatten().for_each(|notice| self.say(&notice));
    }

    /// When [`Session::tend`] or a flush has something to do.
    pub(crate) fn next_upkeep(&self) -> Option<Duration> {
        self.out.file().and_then(|file| file.left(Instant::now()))
    }

    /// Rows that limits have dropped.
    pub fn dropped(&self) -> Counts {
        self.limits.dropped()
    }

    /// Shows rows of one of 2^`shed` processes only.
    pub(crate) fn shed(&mut self, shed: u32) {
        self.limits.shed(shed);
    }

    /// How the run stands: a line of JSON, or one on stderr. `shed`: what `--max-cpu` leaves out.
    pub(crate) fn status(
        &mut self,
        used: &Used,
        cpu_share: f64,
        shed: Option<String>,
    ) -> Result<()> {
        let now = boot_now_ns();
        let uptime_ns = now.saturating_sub(self.started_ns);
        if !self.out.json {
            let line = self.standing_in_words();
            let (percent, memory) = (cpu_share * 100.0, used.memory_bytes >> 20);
            self.say(&format!("{line}; {percent:.1} % of a CPU, {memory} MiB"));
            return Ok(());
        }
        let output = self.out.file().map(|file| {
            let (bytes, waiting) = file.bytes();
            OutputRecord { bytes, waiting_bytes: waiting as u64, failure: file.failure() }
        });
        let tracer = TracerRecord { cpu_ns: used.cpu_ns, memory_bytes: used.memory_bytes, shed };
        let usage = Usage { uptime_ns, tracer, output };
        let line = line(&self.standing("trace.status", now, None, Some(usage)))?;
        self.out.json_line(&line)
    }

    /// What `--metrics` has to say.
    pub(crate) fn metrics(&self, used: Used) -> Option<Text> {
        let output = self.out.file().map(|file| (file.bytes().1, file.failure().is_some()));
        let began_s = self.clock.since_1970(self.started_ns).as_secs_f64();
        let standing = Standing { lost: self.lost, dropped: self.dropped(), used, began_s, output };
        self.measures.as_ref().map(|measures| measures.text(self.name, &standing))
    }

    /// `12 events, 0 lost, 3 dropped`
    pub(crate) fn standing_in_words(&self) -> String {
        let events = count(self.shown, "event");
        format!(
            "{events}, {} lost{}{}",
            self.lost,
            self.filtered_in_words(),
            self.dropped_in_words()
        )
    }

    /// `, 3 dropped`, or nothing.
    fn dropped_in_words(&self) -> String {
        match self.dropped().all() {
            0 => String::new(),
            dropped => format!(", {dropped} dropped"),
        }
    }

    /// Writes the totals as of `now`, and everything collected before.
    pub(crate) fn end(&mut self, now: u64, unseen: u64) -> Result<()> {
        self.end_in(Some(now), unseen)
    }

    /// The same; without a time there is no last record.
    pub(super) fn end_in(&mut self, now: Option<u64>, unseen: u64) -> Result<()> {
        self.out.flush()?; // to know what could be written
        self.tend()?;
        self.count_unwritten();
        if let Some(now) = now.filter(|_| self.out.json) {
            let dropped = Dropped::new(self.dropped(), self.limits.loudest());
            let line = line(&EndRecord {
                timestamp: self.clock.rfc3339(now),
                event: EventName { name: "trace.end" },
                events: self.shown,
                lost: self.lost,
                filtered: self.filtered(),
                unseen,
                dropped,
                exit_status: self.exit_status,
                command_began_boot_ns: self.command_began_ns,
                notes: &self.notes,
            })?;
            self.out.json_line(&line)?;
        }
        let written = self.out.close_all();
        let failed = written.is_err();
        self.count_unwritten();
        self.say_notices();
        self.say_totals(failed);
        written
    }

    fn say_totals(&mut self, failed: bool) {
        let rest = format!("{}{}", self.filtered_in_words(), self.dropped_in_words());
        match self.out.flow() {
            Flow::Closed => {}
            Flow::Open if self.out.json && !failed => {}
            Flow::Open => {
                let what = self.instead_of_events.take();
                let what = what.unwrap_or_else(|| count(self.shown, "event"));
                self.say(&format!("{what}, {} lost{rest}", self.lost));
            }
            Flow::Stuck => {
                let what = count(self.shown, "event");
                self.say(&format!("{what}, {} lost{rest}: nobody reads stdout", self.lost));
            }
        }
    }

    /// Rows that nobody read, or that the file had no room for, are lost, not shown. Returns how many
    /// there are since the last call.
    fn count_unwritten(&mut self) -> u64 {
        let unwritten = self.out.take_unwritten();
        self.shown -= unwritten;
        self.lost += unwritten;
        unwritten
    }
}

/// A record as a line.
fn line(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    json::write(&mut line, record).context("write JSON")?;
    line.push(b'\n');
    Ok(line)
}
