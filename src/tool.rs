//! What every tool does: parse, attach, read, account, exit. A tool supplies its flags,
//! its skeleton and its rows; the one main loop is here.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::{CommandFactory, Parser};
use libbpf_rs::skel::{Skel, SkelBuilder};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use serde::Serialize;

use crate::attach::{Attached, Backend, Refusal, Setup, attach_first};
use crate::cgroup::CgroupPaths;
use crate::channel::{BUSY_TICK, Channel, IDLE_TICK, Transport};
use crate::cli::CommonArgs;
use crate::command::Command;
use crate::explain::explain;
use crate::filter::Filters;
use crate::json::{EventName, SCHEMA};
use crate::out::{Flow, Output, count};
use crate::skel::task_id;
use crate::time::{WallClock, boot_now_ns};

/// The opened object of a tool, before loading.
pub type Open<T> = <<T as Tool>::Builder as SkelBuilder<'static>>::Output;

/// One command-line tool.
pub trait Tool: Sized {
    /// Its name, as in `NAME: message`
    const NAME: &'static str;
    /// Its flags
    type Args: Parser + CommandFactory;
    /// Its skeleton
    type Builder: SkelBuilder<'static> + Default;

    /// From its flags. The error is a wrong combination of them, in one line.
    fn new(args: Self::Args) -> Result<Self, String>;

    /// The flags that every tool has.
    fn common(&self) -> &CommonArgs;

    /// Ways into the kernel that serve these flags, best first.
    fn backends(&self) -> Vec<Backend>;

    /// Sets the programs' own constants and maps before loading.
    fn configure(&self, open: &mut Open<Self>) -> Result<()>;

    /// Called once attached: the heading.
    fn start(&mut self, session: &mut Session);

    /// Called for each record. Rows go to `session.out`, each with [`Session::shown`].
    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()>;

    /// How long it may take until the next [`Tool::tick`], if there must be one.
    fn next_tick(&self) -> Option<Duration> {
        None
    }

    /// Called after each batch of records; `last` at the end.
    fn tick(&mut self, _last: bool, _session: &mut Session) -> Result<()> {
        Ok(())
    }
}

/// What a tool needs while it runs.
pub struct Session {
    /// Stdout
    pub out: Output,
    /// Turns event times into wall-clock times
    pub clock: WallClock,
    /// Names of cgroups
    pub cgroups: CgroupPaths,
    /// When tracing began, `CLOCK_BOOTTIME` in nanoseconds
    pub started_ns: u64,
    name: &'static str,
    verbose: bool,
    max_events: u64,
    shown: u64,
    lost: u64,
}

impl Session {
    /// Counts one row, and writes if much has been collected.
    pub fn shown(&mut self) -> Result<()> {
        self.shown += 1;
        self.out.flush_if_full()
    }

    /// Whether `--max-events` is reached.
    pub fn is_full(&self) -> bool {
        self.shown >= self.max_events
    }

    /// One line on stderr: `TOOL: message`.
    pub fn say(&self, message: &str) {
        say(self.name, message);
    }

    /// Likewise, but only with `-v`.
    pub fn say_verbose(&self, message: &str) {
        if self.verbose {
            self.say(message);
        }
    }

    /// Notes that `total` events have been lost so far: new ones are shown at this place.
    fn note_lost(&mut self, total: u64, at_ns: u64) -> Result<()> {
        let count = total.saturating_sub(self.lost);
        if count == 0 {
            return Ok(());
        }
        self.lost = total;
        if self.out.json {
            return self.out.object(&LostRecord {
                timestamp: self.clock.rfc3339(at_ns),
                event: EventName { name: "events.lost" },
                count,
            });
        }
        self.out.flush()?; // what came before goes first
        let events = self::count(count, "event");
        let _ = writeln!(std::io::stderr(), "-- lost {events} --");
        Ok(())
    }
}

/// Stderr that has gone is no reason to stop.
fn say(tool: &str, message: &str) {
    let _ = writeln!(std::io::stderr(), "{tool}: {message}");
}

#[derive(Serialize)]
struct StartRecord<'a> {
    timestamp: String,
    event: EventName,
    schema: u32,
    tool: &'a str,
    version: &'a str,
    backend: &'a str,
    /// Better ones that the kernel refused
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends_refused: Vec<RefusedRecord>,
    buffer: &'a str,
    kernel: String,
    host: HostName,
}

#[derive(Serialize)]
struct RefusedRecord {
    name: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct HostName {
    name: String,
}

#[derive(Serialize)]
struct LostRecord {
    timestamp: String,
    event: EventName,
    count: u64,
}

#[derive(Serialize)]
struct EndRecord {
    timestamp: String,
    event: EventName,
    events: u64,
    lost: u64,
    /// Places at which the kernel did not let us look: any may have been an event
    #[serde(skip_serializing_if = "is_zero")]
    unseen: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Runs a tool from its command line to its exit status.
pub fn main<T: Tool>() -> ExitCode {
    let tool = T::new(T::Args::parse()).unwrap_or_else(|message| usage_error::<T>(&message));
    match run(tool) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say(T::NAME, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn usage_error<T: Tool>(message: &str) -> ! {
    T::Args::command().error(clap::error::ErrorKind::ValueValidation, message).exit()
}

/// The backends that `--backend` leaves.
fn choose_backends<T: Tool>(tool: &T) -> Vec<Backend> {
    let mut backends = tool.backends();
    if let Some(forced) = &tool.common().backend {
        let names: Vec<_> = backends.iter().map(|backend| backend.name).collect();
        backends.retain(|backend| backend.name == forced);
        if backends.is_empty() {
            let names = names.join(", ");
            usage_error::<T>(&format!(
                "no backend '{forced}' here: with these flags there are {names}"
            ));
        }
    }
    backends
}

fn run<T: Tool>(mut tool: T) -> Result<u8> {
    let common = tool.common().clone();
    let backends = choose_backends(&tool);
    // First of all: the child is forked while there is one thread and little memory.
    let mut command = match common.command.as_slice() {
        [] => None,
        words => Some(Command::spawn(T::NAME, words)?),
    };
    let mut stop = StopSignal::install()?;

    let transport = Transport::choose(common.buffer);
    let filters = Filters::new(&common, command.as_ref().map(Command::pid))?;
    let setup = Setup {
        filters: &filters,
        transport,
        buffer_bytes: common.buffer_size,
        verbose: common.verbose,
    };
    let verbosely = |message: &str| {
        if common.verbose {
            say(T::NAME, message);
        }
    };
    let mut attached =
        attach_first::<T::Builder, _>(&backends, &setup, |open| tool.configure(open), &verbosely)
            .map_err(|refusals| anyhow!(explain(&refusals, common.backend.is_some())))?;
    verbosely(&format!("backend {}, {} buffer", attached.backend, transport.name()));
    free_unused_memory();

    let mut session = Session {
        out: Output::new(common.json),
        clock: WallClock::default(),
        cgroups: CgroupPaths::new(),
        started_ns: boot_now_ns(),
        name: T::NAME,
        verbose: common.verbose,
        max_events: common.max_events.unwrap_or(u64::MAX),
        shown: 0,
        lost: 0,
    };
    if common.json {
        let start = start_record::<T>(&session, attached.backend, &attached.refused, transport)?;
        session.out.object(&start)?;
    }
    tool.start(&mut session);
    session.out.flush()?;
    if let Some(command) = &mut command {
        command.release()?;
    }

    let deadline = common.duration.map(|duration| Instant::now() + duration);
    let ended = read_events(
        &mut tool,
        &mut session,
        &mut attached.channel,
        &mut stop,
        &mut command,
        deadline,
    )?;

    attached.detach();
    if ended != Ended::Full {
        drain_rest(&mut tool, &mut session, &mut attached.channel)?;
    }
    tool.tick(true, &mut session)?;
    account(&mut session, &attached)?;
    drop(attached);
    match command {
        None => Ok(0),
        Some(command) => Ok(command_status(command, ended)),
    }
}

/// Loading leaves megabytes of free heap behind, above all from the kernel's BTF.
fn free_unused_memory() {
    // SAFETY: gives free memory back to the system; nothing that is in use moves.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// SIGINT, SIGTERM, SIGHUP
    Signal,
    /// `--duration`
    Time,
    /// `--max-events`
    Full,
    /// Nobody reads stdout any more
    Closed,
    /// The command has ended
    Command,
}

fn read_events<T: Tool>(
    tool: &mut T,
    session: &mut Session,
    channel: &mut Channel,
    stop: &mut StopSignal,
    command: &mut Option<Command>,
    deadline: Option<Instant>,
) -> Result<Ended> {
    loop {
        let busy = drain(tool, session, channel, false)?;
        tool.tick(false, session)?;
        session.out.flush()?;
        if session.is_full() {
            return Ok(Ended::Full);
        }
        if session.out.flow() == Flow::Closed {
            return Ok(Ended::Closed);
        }
        if stop.is_requested() {
            return Ok(Ended::Signal);
        }
        if command.as_mut().is_some_and(|command| command.try_status().is_some()) {
            return Ok(Ended::Command);
        }
        let mut timeout = if busy { BUSY_TICK } else { IDLE_TICK };
        if let Some(deadline) = deadline {
            match deadline.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => return Ok(Ended::Time),
                Some(left) => timeout = timeout.min(left),
            }
        }
        timeout = timeout.min(tool.next_tick().unwrap_or(IDLE_TICK));
        wait(session, channel, stop, command.as_ref(), timeout)?;
    }
}

/// Sleeps until something is to be done, at most for `timeout`.
fn wait(
    session: &mut Session,
    channel: &Channel,
    stop: &StopSignal,
    command: Option<&Command>,
    timeout: Duration,
) -> Result<()> {
    // Rounded up, so that the last wait of a deadline does not spin.
    let millis = u16::try_from(timeout.as_millis() + 1).unwrap_or(u16::MAX);
    let mut fds = vec![
        PollFd::new(channel.poll_fd(), PollFlags::POLLIN),
        PollFd::new(stop.eventfd.as_fd(), PollFlags::POLLIN),
        PollFd::new(session.out.poll_fd(), PollFlags::empty()),
    ];
    if let Some(command) = command {
        fds.push(PollFd::new(command.poll_fd(), PollFlags::POLLIN));
    }
    match poll(&mut fds, PollTimeout::from(millis)) {
        Ok(_) => {}
        // A signal, for example SIGCONT after SIGSTOP: no reason to end.
        Err(Errno::EINTR) => return Ok(()),
        Err(errno) => return Err(errno).context("poll"),
    }
    let gone = fds.get(2).and_then(PollFd::revents).is_some_and(|e| e.contains(PollFlags::POLLERR));
    if gone {
        session.out.close();
    }
    Ok(())
}

/// Hands what is in the buffer to the tool; whether more may come soon.
fn drain<T: Tool>(
    tool: &mut T,
    session: &mut Session,
    channel: &mut Channel,
    last: bool,
) -> Result<bool> {
    session.clock.update();
    let mut outcome = Ok(());
    let busy = channel.drain(last, &mut |record| {
        outcome = one_record(tool, session, record);
        let stop = outcome.is_err() || session.is_full() || session.out.flow() == Flow::Closed;
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    outcome.map(|()| busy)
}

fn one_record<T: Tool>(tool: &mut T, session: &mut Session, record: &[u8]) -> Result<()> {
    let mut id = task_id::default();
    plain::copy_from_bytes(&mut id, record)
        .map_err(|_| anyhow!("a record of only {} bytes", record.len()))?;
    session.note_lost(id.lost, id.time_ns)?;
    tool.event(record, session)
}

/// After detaching: programs that were running then may still submit their records.
fn drain_rest<T: Tool>(tool: &mut T, session: &mut Session, channel: &mut Channel) -> Result<()> {
    let until = Instant::now() + Duration::from_millis(100);
    loop {
        drain(tool, session, channel, true)?;
        let done = channel.is_empty() || session.is_full() || session.out.flow() == Flow::Closed;
        if done || Instant::now() > until {
            return Ok(());
        }
    }
}

/// The totals: on stderr, or as the last JSON line.
fn account<S: Skel<'static>>(session: &mut Session, attached: &Attached<S>) -> Result<()> {
    let now = boot_now_ns();
    let counters = attached.counters()?;
    let skipped = attached.skipped();
    session.note_lost(counters.lost + skipped.events, now)?;
    if session.out.json {
        let end = EndRecord {
            timestamp: session.clock.rfc3339(now),
            event: EventName { name: "trace.end" },
            events: session.shown,
            lost: session.lost,
            unseen: skipped.perhaps_events,
        };
        session.out.object(&end)?;
    }
    session.out.flush()?;
    if session.out.flow() == Flow::Closed {
        return Ok(());
    }
    if !session.out.json {
        session.say(&format!("{}, {} lost", count(session.shown, "event"), session.lost));
    }
    if skipped.perhaps_events > 0 {
        let returns = count(skipped.perhaps_events, "system call");
        session.say(&format!("{returns} could not be looked at: any may have been an event"));
    }
    if counters.tree_full > 0 {
        let missed = counters.tree_full;
        session.say(&format!("{missed} descendants were not followed: too many live at once"));
    }
    Ok(())
}

/// The command's status is ours. A signal to us is passed on; otherwise the command may
/// finish undisturbed, untraced.
fn command_status(mut command: Command, ended: Ended) -> u8 {
    if ended == Ended::Signal {
        command.terminate();
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            if let Some(status) = command.try_status() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        return 128 + 15; // it does not listen to SIGTERM: left behind
    }
    command.status()
}

fn start_record<T: Tool>(
    session: &Session,
    backend: &'static str,
    refused: &[Refusal],
    transport: Transport,
) -> Result<StartRecord<'static>> {
    let uname = nix::sys::utsname::uname().context("uname")?;
    Ok(StartRecord {
        timestamp: session.clock.rfc3339(session.started_ns),
        event: EventName { name: "trace.start" },
        schema: SCHEMA,
        tool: T::NAME,
        version: env!("CARGO_PKG_VERSION"),
        backend,
        backends_refused: refused
            .iter()
            .map(|r| RefusedRecord { name: r.backend, reason: format!("{:#}", r.error) })
            .collect(),
        buffer: transport.name(),
        kernel: uname.release().to_string_lossy().into_owned(),
        host: HostName { name: uname.nodename().to_string_lossy().into_owned() },
    })
}

/// SIGINT, SIGTERM and SIGHUP: a descriptor that wakes the main loop.
struct StopSignal {
    eventfd: Arc<EventFd>,
    requested: bool,
}

impl StopSignal {
    fn install() -> Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let eventfd = Arc::new(EventFd::from_flags(flags).context("eventfd")?);
        let handle = Arc::clone(&eventfd);
        ctrlc::set_handler(move || {
            let _ = handle.write(1); // full only after 2^64 signals
        })
        .context("handle signals")?;
        Ok(Self { eventfd, requested: false })
    }

    fn is_requested(&mut self) -> bool {
        self.requested |= self.eventfd.read().is_ok();
        self.requested
    }
}
