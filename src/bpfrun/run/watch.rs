//! From attached to ended: reads and shows the events of the programs.

use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use crate::bpfrun::run::attach::Attachments;
use crate::bpfrun::run::contents::Contents;
use crate::bpfrun::run::formats::Formats;
use crate::bpfrun::run::iterate;
use crate::bpfrun::run::printk::{Printk, Said};
use crate::bpfrun::run::reason::Reason;
use crate::bpfrun::run::row::{Origin, Rows};
use crate::bpfrun::run::source::{Event, Received, Sources};
use crate::engine::channel::BusyTicks;
use crate::engine::command::Command;
use crate::engine::pulse::Pulse;
use crate::engine::session::{Session, say};
use crate::engine::stop::StopSignal;
use crate::output::table::{Flow, count};
use crate::output::time::boot_now_ns;

/// A line of an iterator is cut here.
const LINE: usize = 1024 * 1024;

/// What runs.
pub struct Watch {
    /// The output and the counts
    pub session: Session,
    /// Makes the rows
    pub rows: Rows,
    /// The sources of events
    pub sources: Sources,
    /// The source of messages, if programs send any
    pub printk: Option<Printk>,
    /// Formats of the messages to show; `None`: all
    pub formats: Option<Formats>,
    /// With `--maps`
    pub contents: Option<Contents>,
    /// Signals that end the run
    pub(crate) stop: StopSignal,
    /// What is done at intervals
    pub(crate) pulse: Pulse,
    /// The command whose end ends the run
    pub command: Option<Command>,
    /// With `--duration`
    pub deadline: Option<Instant>,
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// SIGINT, SIGTERM, SIGHUP
    Signal,
    /// Anything else
    Done,
}

impl Watch {
    /// Reads iterators to their end.
    pub fn iterate(&mut self, attachments: &mut Attachments) -> Result<Option<Ended>> {
        for (program, link) in std::mem::take(&mut attachments.iterators) {
            let mut rest = Vec::new();
            let mut outcome = Ok(());
            let mut ended = None;
            let result = iterate::read(&link, &mut |piece| {
                rest.extend_from_slice(piece);
                outcome = self.written(&program, &mut rest, false);
                ended = self.is_over();
                if outcome.is_err() || ended.is_some() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            outcome?;
            if let Err(error) = result {
                say("bpfrun", &format!("{program}: {error:#}"));
            }
            if ended.is_none() {
                self.written(&program, &mut rest, true)?;
            }
            self.session.out.flush()?;
            if ended.is_some() {
                return Ok(ended);
            }
        }
        Ok(None)
    }

    /// Shows an iterator's output, and takes it out of `rest`: pieces of its type, or lines.
    fn written(&mut self, program: &str, rest: &mut Vec<u8>, last: bool) -> Result<()> {
        if let Some(element) = self.rows.element_bytes(program, rest) {
            let whole = rest.len() / element * element;
            for piece in rest.get(..whole).unwrap_or_default().chunks(element) {
                if !self.session.is_over() {
                    self.rows.element(program, piece, &mut self.session)?;
                }
            }
            rest.drain(..whole);
            return Ok(());
        }
        let end = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let end = if last || (end == 0 && rest.len() > LINE) { rest.len() } else { end };
        let text = rest.get(..end).unwrap_or_default();
        let origin =
            Origin { time_ns: boot_now_ns(), map: "iter", cpu: None, program: Some(program) };
        for line in text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n') {
            if !text.is_empty() && !self.session.is_over() {
                self.rows.written(origin, line, &mut self.session)?;
            }
        }
        rest.drain(..end);
        Ok(())
    }

    /// Shows events until something ends the run.
    pub fn read(&mut self) -> Result<Ended> {
        let mut busy_ticks = BusyTicks::default();
        loop {
            let busy = self.drain(false)?;
            if let Some(contents) = &mut self.contents {
                contents.tick(&mut self.rows.stacks, &mut self.session)?;
            }
            self.session.out.flush()?;
            if self.stop.take_reopen() {
                self.session.reopen()?;
            }
            self.session.tend()?;
            // A lost record is an event of its own here.
            self.pulse.beat(&mut self.session, &|| Ok(0))?;
            if let Some(ended) = self.is_over() {
                return Ok(ended);
            }
            let mut timeout = if busy { busy_ticks.take() } else { self.sources.idle_tick() };
            if let Some(deadline) = self.deadline {
                match deadline.checked_duration_since(Instant::now()) {
                    None | Some(Duration::ZERO) => return Ok(Ended::Done),
                    Some(left) => timeout = timeout.min(left),
                }
            }
            let contents = self.contents.as_ref().and_then(Contents::left);
            let ticks = [contents, self.pulse.left(), self.session.next_upkeep()];
            timeout = ticks.into_iter().flatten().fold(timeout, Duration::min);
            self.wait(timeout)?;
        }
    }

    fn is_over(&mut self) -> Option<Ended> {
        if self.stop.is_requested() {
            return Some(Ended::Signal);
        }
        if self.session.is_over() {
            return Some(Ended::Done);
        }
        let ended = self.command.as_mut().is_some_and(|command| command.try_status().is_some());
        ended.then_some(Ended::Done)
    }

    /// Shows the waiting events. Returns whether there were any.
    fn drain(&mut self, last: bool) -> Result<bool> {
        let Self { session, rows, sources, printk, formats, .. } = self;
        session.clock.update();
        rows.update_clocks();
        let mut outcome = Ok(());
        let mut busy = sources.drain(last, &mut |event| {
            if session.is_over() {
                return ControlFlow::Break(());
            }
            outcome = show(event, rows, session);
            if outcome.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        outcome?;
        if let Some(printk) = printk {
            let mut outcome = Ok(());
            busy |= printk.read(&mut |said| {
                if outcome.is_ok() && !session.is_over() {
                    outcome = match said {
                        Said::Message(message)
                            if formats.as_ref().is_some_and(|own| !own.fit(&message.text)) =>
                        {
                            Ok(()) // another object's
                        }
                        Said::Message(message) => rows.message(&message, session),
                        Said::Lost(count) => session.note_more_lost(count, boot_now_ns()),
                    };
                }
            })?;
            outcome?;
        }
        Ok(busy)
    }

    /// Sleeps until something is to be done, at most for `timeout`.
    fn wait(&mut self, timeout: Duration) -> Result<()> {
        let millis = u16::try_from(timeout.as_millis() + 1).unwrap_or(u16::MAX);
        let mut fds = vec![
            PollFd::new(self.session.out.poll_fd(), PollFlags::empty()),
            PollFd::new(self.stop.eventfd.as_fd(), PollFlags::POLLIN),
        ];
        let command = self.command.as_ref().and_then(Command::poll_fd);
        let printk = self.printk.as_ref().and_then(Printk::poll_fd);
        let reopen = self.stop.reopen_fd();
        let more = self.sources.poll_fds().chain(command).chain(printk).chain(reopen);
        fds.extend(more.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno).context("poll"),
        }
        let stdout = fds.first().and_then(PollFd::revents);
        if stdout.is_some_and(|events| events.contains(PollFlags::POLLERR)) {
            self.session.out.close();
        }
        Ok(())
    }

    /// After detaching: shows the unread events, the contents of maps, the totals.
    pub fn finish(&mut self, unseen: u64) -> Result<()> {
        // All records so far; then, for a moment, the records that programs are just sending, and
        // those behind them. (Other programs may go on to send through a pinned map.)
        self.drain(true)?;
        let until = Instant::now() + Duration::from_millis(100);
        while !self.session.is_over() && Instant::now() < until {
            if !self.drain(true)? && self.sources.are_empty() {
                break;
            }
        }
        if let Some(contents) = &mut self.contents {
            contents.last(&mut self.rows.stacks, &mut self.session)?;
        }
        let folded = self.rows.stacks.as_ref().and_then(|stacks| stacks.folded.as_ref());
        if let Some(folded) = folded {
            self.session.out.raw(folded.lines())?;
        }
        let now = boot_now_ns();
        if self.session.out.json {
            for (map, times) in self.sources.full() {
                self.session.out.object(&json!({
                    "timestamp": self.session.clock.rfc3339(now),
                    "event": { "name": "bpf.full" },
                    "bpf": { "map": map },
                    "times": times,
                }))?;
            }
        }
        self.session.end(now, unseen)?;
        self.session.say_what_was_not_answered();
        if !self.session.out.json && self.session.out.flow() == Flow::Open {
            for (map, times) in self.sources.full() {
                let often = count(times, "time");
                let words = format!("was full {often}: its programs may have lost events");
                say("bpfrun", &Reason::new(format!("{map} {words}")).what);
            }
        }
        Ok(())
    }
}

fn show(event: Event<'_>, rows: &mut Rows, session: &mut Session) -> Result<()> {
    let Event { map, time_ns, cpu, content } = event;
    match content {
        Received::Record(data) => {
            rows.event(Origin { time_ns, map, cpu, program: None }, data, session)
        }
        Received::Lost(count) => session.note_more_lost(count, time_ns),
    }
}
