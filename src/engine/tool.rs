//! What every tool does: parse, attach, read, account, exit. A tool supplies its flags, its
//! skeleton and its rows; the one main loop is in this file.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::{CommandFactory, Parser};
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::engine::attach::{Attached, Builder, Hooks, Setup, attach_first, is_of_programs};
use crate::engine::backend::Backend;
use crate::engine::channel::{BusyTicks, Channel, IDLE_TICK, Transport};
use crate::engine::cli::{self, CommonArgs};
use crate::engine::command::Command;
use crate::engine::containers;
use crate::engine::context::{self, Wanted};
use crate::engine::errand::{Errand, Errands, MakeErrand, Staff};
use crate::engine::explain::{explain, in_words};
use crate::engine::file_limit;
use crate::engine::filter::Filters;
use crate::engine::generate;
use crate::engine::manual::{Candidate, Given, Manual, Page};
use crate::engine::progress::{Progress, counted};
use crate::engine::pulse::{self, Pulse};
use crate::engine::replay::{self, Replay};
use crate::engine::session::{Session, open_output, say};
use crate::engine::stop::{StopSignal, command_status};
use crate::engine::targets::Targets;
use crate::host::heap::free_unused_memory;
use crate::output::escape::one_line;
use crate::output::row::FieldDoc;
use crate::output::table::Flow;
use crate::output::{redact, status};
use crate::skel::task_id;

/// The opened object of a tool, before loading.
pub type Open<T> = <<T as Tool>::Builder as SkelBuilder<'static>>::Output;

/// The loaded object of a tool, with its maps.
pub type Loaded<T> = <Open<T> as OpenSkel<'static>>::Output;

/// `CGROUP_BORN` of common.h.
const CGROUP_BORN: u32 = u32::MAX;

/// The longest wait at the end: see [`Tool::is_waiting`].
pub const SETTLE: Duration = Duration::from_millis(500);

/// One command-line tool.
pub trait Tool: Sized {
    /// Its name, as in `NAME: message`
    const NAME: &'static str;
    /// What its manual says
    const MANUAL: Manual;
    /// Its flags
    type Args: Parser + CommandFactory;
    /// Its skeleton
    type Builder: Builder;

    /// A tool with these flags.
    fn new(args: Self::Args) -> Result<Self, Refused>;

    /// The flags that every tool has.
    fn common(&self) -> &CommonArgs;

    /// Ways into the kernel that serve these flags, best first.
    fn backends(&self) -> Vec<Backend>;

    /// Reading what other processes chose, which is not for the main loop: see
    /// [`Session::errands`].
    fn errand(&self) -> Option<Errand> {
        None
    }

    /// Sets the programs' own constants and maps before loading.
    fn configure(&self, _open: &mut Open<Self>) -> Result<()> {
        Ok(())
    }

    /// Fills the programs' own maps between loading and attaching.
    fn fill(&self, _object: &Loaded<Self>) -> Result<()> {
        Ok(())
    }

    /// Called once attached: the heading.
    fn start(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()>;

    /// Called for each record. Rows go to `session.out`, each with [`Session::shown`].
    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()>;

    /// What a run that shows no rows has counted so far, for people who wait: `1,204 lives`. `None`:
    /// it shows rows.
    fn progress(&self, _session: &Session) -> Option<String> {
        None
    }

    /// The keys of its JSON.
    fn keys() -> Vec<FieldDoc> {
        Self::MANUAL.fields.map_or_else(Vec::new, |fields| fields())
    }

    /// Values of its own flags, for completions, by the id of the flag.
    fn values(_id: &str) -> Option<Vec<String>> {
        None
    }

    /// The longest time until the next [`Tool::tick`], if the tool needs one.
    fn next_tick(&self) -> Option<Duration> {
        None
    }

    /// Whether its user has had enough, and whether keys wake it: see `--live`.
    fn is_done(&self) -> bool {
        false
    }

    /// Whether it reads keys.
    fn reads_keys(&self) -> bool {
        false
    }

    /// Whether its user may ask where a process runs: see [`context::place_of`].
    fn looks_at_processes(&self) -> bool {
        false
    }

    /// Whether some records complete earlier ones and come a moment later: see
    /// [`Tool::is_waiting`].
    const COMPLETES: bool = false;

    /// Whether such a record is missing: reading then goes on before the end, for at most
    /// [`SETTLE`].
    fn is_waiting(&self) -> bool {
        false
    }

    /// Programs whose recursion misses must not count as losses: they send no events, or another
    /// program takes over for them.
    fn uncounted(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Called after each batch of records.
    fn tick(&mut self, _object: &Loaded<Self>, _session: &mut Session) -> Result<()> {
        Ok(())
    }

    /// Work instead of a run, if the flags ask for such: its exit status.
    fn instead(&self) -> Option<Result<u8>> {
        None
    }

    /// The same tool over recorded events: `--from`.
    fn replay(self) -> Result<Box<dyn Replay>, Refused>;

    /// Called once, after the last record: no program is attached any more.
    fn finish(&mut self, _object: &Loaded<Self>, _session: &mut Session) -> Result<()> {
        Ok(())
    }
}

/// Why a tool does not begin, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A wrong flag, or a wrong combination of flags
    Usage(String),
    /// The flags are right, but something that they name cannot be used
    Work(String),
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}

/// Runs a tool from its command line to its exit status.
pub fn main<T: Tool>() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let page =
        || vec![Page { command: T::Args::command(), manual: T::MANUAL, values: values::<T> }];
    if let Some(status) = generate::answer(&words, page) {
        return status;
    }
    let (args, flags) = cli::parse_tool(&words, &T::MANUAL);
    let tool = T::new(args).and_then(|tool| {
        redact::install(tool.common().redaction());
        check(tool.common())?;
        match unknown_key::<T>(tool.common()) {
            Some(words) => Err(words.into()),
            None => Ok(tool),
        }
    });
    let tool = match tool {
        Ok(tool) => tool,
        Err(Refused::Usage(message)) => usage_error(&message),
        Err(Refused::Work(message)) => {
            say(T::NAME, &message);
            return ExitCode::FAILURE;
        }
    };
    if let Some(file) = &tool.common().budget.healthy {
        let health = pulse::check_health(file);
        return health.map_or_else(
            |why| {
                say(T::NAME, &why);
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let ran = match (tool.instead(), tool.common().from.clone()) {
        (Some(ran), _) => ran,
        (None, files) if files.is_empty() => run(tool, &flags),
        (None, files) => match look_back(tool, &files) {
            Err(Refused::Usage(message)) => usage_error(&message),
            Err(Refused::Work(message)) => Err(anyhow!(message)),
            Ok(ran) => ran,
        },
    };
    match ran {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say(T::NAME, &in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// A key of `--filter` that no event of this tool has.
fn unknown_key<T: Tool>(common: &CommonArgs) -> Option<String> {
    let fields = T::keys();
    common.filter.as_ref().and_then(|expr| expr.unknown_key(&fields))
}

/// What is wrong with the flags of every tool, in one line.
fn check(common: &CommonArgs) -> Result<(), String> {
    Filters::check(common).and_then(|()| Wanted::check(common))
}

/// Values for completions.
fn values<T: Tool>(id: &str, _: &Given<'_>) -> Option<Vec<Candidate>> {
    let names = if id == "backend" { backend_names::<T>() } else { T::values(id)? };
    Some(names.into_iter().map(|name| (name, String::new())).collect())
}

fn backend_names<T: Tool>() -> Vec<String> {
    let with = |flags: &[&str]| {
        let args = T::Args::try_parse_from([T::NAME].iter().chain(flags)).ok()?;
        Some(T::new(args).ok()?.backends())
    };
    let backends = [with(&[]), with(&["--failed"])].into_iter().flatten().flatten();
    let mut names: Vec<_> = backends.map(|backend| backend.name.to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// Ends the process: one line, without a list of flags that would hide it.
fn usage_error(message: &str) -> ! {
    let line = format!("{}\n", one_line(message));
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, line).exit()
}

/// The backends that `--backend` leaves.
fn choose_backends<T: Tool>(tool: &T) -> Vec<Backend> {
    let mut backends = tool.backends();
    if let Some(forced) = &tool.common().backend {
        let mut names: Vec<_> = backends.iter().map(|backend| backend.name).collect();
        names.dedup(); // the same way with other programs
        backends.retain(|backend| backend.name == forced);
        if backends.is_empty() {
            let names = names.join(", ");
            usage_error(&format!("no backend '{forced}' here: with these flags there are {names}"));
        }
    }
    backends
}

/// Shows what was recorded in `files`. The outer error: it does not begin.
fn look_back<T: Tool>(tool: T, files: &[PathBuf]) -> Result<Result<u8>, Refused> {
    let common = tool.common().clone();
    let mut tool = tool.replay()?;
    Ok(replay::run(T::NAME, &common, files, &mut *tool))
}

fn setup<'a>(common: &CommonArgs, transport: Transport, filters: &'a Filters) -> Setup<'a> {
    Setup {
        filters,
        transport,
        buffer_bytes: common.buffer_size,
        rings: common.rings,
        verbose: common.verbose,
    }
}

fn run<T: Tool>(mut tool: T, flags: &[String]) -> Result<u8> {
    let common = tool.common().clone();
    let backends = choose_backends(&tool);
    file_limit::ignore().context("signal")?;
    let file = open_output(T::NAME, &common.place, common.json)?;
    pulse::check(&common.budget)?;
    // First of all, so that the forks happen with one thread and little memory.
    let of_containers =
        || -> MakeErrand { Box::new(containers::errand(common.container_labels.clone())) };
    let asks_context = Wanted::new(&common).is_any() || tool.looks_at_processes();
    let staff = Staff {
        of_tool: tool.errand(),
        of_context: asks_context.then_some(context::errand as Errand),
        of_containers: common.names_containers().then(of_containers),
    };
    let errands = match staff.is_needed() {
        true => Some(Errands::start_with(&staff)?),
        false => None,
    };
    let mut command = match common.command.as_slice() {
        [] => None,
        words => Some(Command::spawn(T::NAME, words, common.run_as.as_ref())?),
    };
    let mut stop = StopSignal::install()?;
    if file.is_some() {
        stop.reopen_on_hangup()?;
    }

    let transport = Transport::choose(common.buffer);
    let mut filters = Filters::new(&common, command.as_ref().map(Command::pid))?;
    let verbosely = |message: &str| {
        if common.verbose {
            say(T::NAME, message);
        }
    };
    let hooks = Hooks {
        configure: &|open| tool.configure(open),
        fill: &|object| tool.fill(object),
        say: &verbosely,
    };
    let mut attached =
        match attach_first::<T::Builder>(&backends, &setup(&common, transport, &filters), &hooks) {
            // Contexts make programs larger, and fill their stack.
            Err(refusals) if is_of_programs(&refusals) && filters.leave_out_context() => {
                attach_first(&backends, &setup(&common, transport, &filters), &hooks)
                    .map(|attached: Attached<_>| attached.without_context(&refusals))
            }
            done => done,
        }
        .map_err(|refusals| anyhow!(explain(&refusals, common.backend.is_some())))?;
    attached.do_not_count(tool.uncounted());
    for lack in &attached.not_shown {
        say(T::NAME, &lack.to_string());
    }
    verbosely(&format!("backend {}, {}", attached.backend, attached.channel.describe()));
    free_unused_memory();

    let mut session = Session::new(T::NAME, &common, file);
    session.out.end_with(Arc::clone(&stop.eventfd));
    session.errands = errands;
    if common.names_containers() {
        session.find_containers();
    }
    session.start(&attached, flags, &common.command)?;
    tool.start(&attached.skeleton, &mut session)?;
    session.out.flush()?;
    session.tend()?;
    session.count_time_from_now();
    let pulse = Pulse::new(T::NAME, &common.place, &common.budget);
    pulse.begin(attached.backend);
    if let Some(command) = &mut command {
        stop.release(command)?;
    }

    let deadline = common.duration.map(|duration| Instant::now() + duration);
    session.out.end_at(deadline);
    if let Some(errands) = &mut session.errands {
        errands.end_with(Arc::clone(&stop.eventfd), deadline);
    }
    let (targets, progress) = (Targets::new(&common), Progress::new(&common));
    let mut until = Until { stop, targets, command, deadline, progress, pulse };
    let ended = read_events(&mut tool, &mut session, &mut attached, &mut until);
    status::erase();
    until.pulse.end();
    let ended = ended?;

    settle(&mut tool, &mut session, &mut attached)?;
    attached.detach();
    if ended != Ended::Full {
        drain_rest(&mut tool, &mut session, &mut attached.channel)?;
    }
    session.exit_status = until.command.as_mut().and_then(Command::try_status);
    session.note_missed(&attached)?;
    let finished = tool.finish(&attached.skeleton, &mut session);
    let accounted = session.account(&attached); // even if the last step failed
    until.pulse.finish(&session);
    accounted?;
    finished?;
    drop(attached);
    let Until { stop, command, .. } = until;
    match command {
        None => Ok(0),
        Some(command) => Ok(command_status(command, ended == Ended::Signal, &stop)),
    }
}

/// What reading goes on until.
struct Until {
    stop: StopSignal,
    targets: Targets,
    command: Option<Command>,
    deadline: Option<Instant>,
    progress: Progress,
    pulse: Pulse,
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
    /// The command, or with it all that is traced, has ended
    Gone,
}

fn read_events<T: Tool>(
    tool: &mut T,
    session: &mut Session,
    attached: &mut Attached<Loaded<T>>,
    until: &mut Until,
) -> Result<Ended> {
    let mut busy_ticks = BusyTicks::default();
    loop {
        let busy = drain(tool, session, &mut attached.channel, false)?;
        tool.tick(&attached.skeleton, session)?;
        session.out.flush()?;
        if until.stop.take_reopen() {
            session.reopen()?;
        }
        session.tend()?;
        let lost = || Ok(attached.counters()?.lost + attached.skipped().events);
        until.pulse.beat(session, &lost)?;
        if session.is_full() {
            return Ok(Ended::Full);
        }
        if session.out.flow() == Flow::Closed {
            return Ok(Ended::Closed);
        }
        if until.stop.is_requested() || tool.is_done() {
            return Ok(Ended::Signal);
        }
        let has_ended = until.command.as_mut().map(|command| command.try_status().is_some());
        if until.targets.are_gone(has_ended, attached.object())? {
            return Ok(Ended::Gone);
        }
        until.progress.update(|| counted_so_far(tool, session));
        let mut timeout = until.targets.tick();
        if busy {
            timeout = busy_ticks.take();
        }
        if let Some(deadline) = until.deadline {
            match deadline.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => return Ok(Ended::Time),
                Some(left) => timeout = timeout.min(left),
            }
        }
        let ticks = [tool.next_tick(), until.pulse.left(), session.next_upkeep()];
        timeout = ticks.into_iter().flatten().fold(timeout.min(IDLE_TICK), Duration::min);
        timeout = timeout.min(attached.channel.idle_tick());
        wait(session, &attached.channel, until, timeout, tool.reads_keys())?;
    }
}

/// For the counter: what there is instead of rows that one sees.
fn counted_so_far<T: Tool>(tool: &T, session: &Session) -> Option<String> {
    let events = session.events();
    let shows_rows = !session.is_quiet && session.out.is_on_terminal();
    match tool.progress(session) {
        None if shows_rows && events > 0 => None,
        None => Some(counted(events, "event", "events")),
        counted => counted,
    }
}

/// Sleeps until something is to be done, at most for `timeout`.
fn wait(
    session: &mut Session,
    channel: &Channel,
    until: &Until,
    timeout: Duration,
    reads_keys: bool,
) -> Result<()> {
    let stdin = std::io::stdin();

    // Rounded up, so that the last wait of a deadline does not spin.
    let millis = u16::try_from(timeout.as_millis() + 1).unwrap_or(u16::MAX);
    let mut fds = vec![
        PollFd::new(channel.poll_fd(), PollFlags::POLLIN),
        PollFd::new(until.stop.eventfd.as_fd(), PollFlags::POLLIN),
        PollFd::new(session.out.poll_fd(), PollFlags::empty()),
    ];
    let ends = until.command.iter().filter_map(Command::poll_fd).chain(until.targets.poll_fds());
    fds.extend(ends.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    fds.extend(until.stop.reopen_fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    if reads_keys {
        fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
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

/// Hands the contents of the buffer to the tool; returns whether more may come soon.
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
        if outcome.is_err() || session.is_over() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    outcome.map(|()| busy)
}

fn one_record<T: Tool>(tool: &mut T, session: &mut Session, record: &[u8]) -> Result<()> {
    if session.contexts.take(record) {
        return Ok(());
    }
    let id = task_id::of(record)?;
    session.note_lost(id.lost, id.time_ns)?;
    if id.pid == 0 && id.tid == CGROUP_BORN {
        session.cgroup_is_born(&id, record.get(size_of::<task_id>()..).unwrap_or_default());
        return Ok(());
    }
    tool.event(record, session)
}

/// Reads on while the tool waits for records that complete earlier ones.
fn settle<T: Tool>(
    tool: &mut T,
    session: &mut Session,
    attached: &mut Attached<Loaded<T>>,
) -> Result<()> {
    let started = Instant::now();
    let mut first = T::COMPLETES;
    while (first || tool.is_waiting()) && !session.is_over() && started.elapsed() < SETTLE {
        // The first wait is long enough to read the events that have just happened: see
        // channel/perf.rs.
        std::thread::sleep(Duration::from_millis(if first { 10 } else { 5 }));
        first = false;
        drain(tool, session, &mut attached.channel, false)?;
        tool.tick(&attached.skeleton, session)?;
        session.out.flush()?;
    }
    Ok(())
}

/// After detaching: reads the rest, and the records that programs still running then submit.
fn drain_rest<T: Tool>(tool: &mut T, session: &mut Session, channel: &mut Channel) -> Result<()> {
    drain(tool, session, channel, true)?;
    let until = Instant::now() + Duration::from_millis(100);
    while !channel.is_empty() && !session.is_over() && Instant::now() < until {
        drain(tool, session, channel, true)?;
    }
    Ok(())
}
