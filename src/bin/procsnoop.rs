//! Shows the lives of processes, with the status that wait() gives.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags};

use snoop_tools::engine::attach::leave_out;
use snoop_tools::engine::backend::{Backend, Job};
use snoop_tools::engine::cli::{CommonArgs, JsonForm};
use snoop_tools::engine::command;
use snoop_tools::engine::errand::Errand;
use snoop_tools::engine::manual::Manual;
use snoop_tools::engine::progress::counted;
use snoop_tools::engine::replay::Replay;
use snoop_tools::engine::session::Session;
use snoop_tools::engine::tool::{self, Loaded, Open, Refused, Tool};
use snoop_tools::host::kernel::tracepoints_are_preemptible;
use snoop_tools::host::pidns;
use snoop_tools::output::redact;
use snoop_tools::output::row::{FieldDoc, docs};
use snoop_tools::output::table::count;
use snoop_tools::output::time::boot_now_ns;
use snoop_tools::skel::bootstrap::BootstrapSkelBuilder;
use snoop_tools::skel::{
    process_command, process_config, process_counters, process_flag, task_id, told_state,
};
use snoop_tools::tools::execsnoop::{self, Exec, redacted};
use snoop_tools::tools::live::View;
use snoop_tools::tools::procsnoop::Record;
use snoop_tools::tools::procsnoop::args::{self, Args, DEFAULT_MAX_ARGS};
use snoop_tools::tools::procsnoop::config::config;
use snoop_tools::tools::procsnoop::diff;
use snoop_tools::tools::procsnoop::elders::{self, AskedFor};
use snoop_tools::tools::procsnoop::fields;
use snoop_tools::tools::procsnoop::held::{self, Ended, Held};
use snoop_tools::tools::procsnoop::history::History;
use snoop_tools::tools::procsnoop::live;
use snoop_tools::tools::procsnoop::lives::Lives;
use snoop_tools::tools::procsnoop::older;
use snoop_tools::tools::procsnoop::pictures::Pictures;
use snoop_tools::tools::procsnoop::replay;
use snoop_tools::tools::procsnoop::row::What;
use snoop_tools::tools::procsnoop::running::Running;
use snoop_tools::tools::procsnoop::show::Show;
use snoop_tools::tools::procsnoop::usage::Usage;

fn main() -> ExitCode {
    tool::main::<Procsnoop>()
}

/// The programs on ends: the main one, and then its stand-ins in order.
const EXITS_BTF: [&str; 3] = ["exit_btf", "exit_btf_2", "exit_btf_3"];
const EXITS_RAW: [&str; 3] = ["exit_raw", "exit_raw_2", "exit_raw_3"];

struct Procsnoop {
    args: Args,
    show: Show,
    config: process_config,
    lives: Lives,
    held: Held,
    history: Option<History>,
    live: Option<View>,
    pictures: Pictures,
    /// Older processes that the programs have no room to remember
    not_remembered: u64,
}

impl Tool for Procsnoop {
    const NAME: &'static str = "procsnoop";
    const MANUAL: Manual = Manual { fields: Some(|| docs(fields::FIELDS)), ..args::MANUAL };
    type Args = Args;
    type Builder = BootstrapSkelBuilder;
    /// The final account of a process
    const COMPLETES: bool = true;

    /// Executions have those of execsnoop.
    fn keys() -> Vec<FieldDoc> {
        [docs(fields::FIELDS), docs(execsnoop::fields::FIELDS)].concat()
    }

    fn new(mut args: Args) -> Result<Self, Refused> {
        let view = fields::view(&args)?;
        args.usage |= fields::needs_usage(&view);
        execsnoop::fields::add_needs(&view, &mut args.place);
        if args.place.is_any() && config(&args, false).execs == 0 && !args.live {
            let message = "--cwd and --env show executions, which these flags leave out";
            return Err(message.to_owned().into());
        }
        if !args.diff.is_empty() && args.common.json == Some(JsonForm::Otlp) {
            let message =
                "--diff cannot be used with --json=otlp: a comparison is no event of a machine";
            return Err(message.to_owned().into());
        }
        let pictures = Pictures::new(&args)?;
        let drawn = pictures.is_any();
        if drawn && args.common.quiet && args.common.max_events.is_some() {
            let message =
                "--max-events cannot be used with --quiet and a picture, which counts no event";
            return Err(message.to_owned().into());
        }
        if drawn && args.common.filter.is_some() {
            let message =
                "--filter chooses rows, not what is drawn: --tree, --comm and the like do";
            return Err(message.to_owned().into());
        }
        let text_default = if args.common.json.is_some() { usize::MAX } else { DEFAULT_MAX_ARGS };
        let config = config(&args, drawn || args.live);
        let live = args.live.then(|| View::of(Self::NAME, &args.common, true)).transpose()?;
        Ok(Self {
            show: Show::new(&args, view, args.max_args.unwrap_or(text_default)),
            config,
            lives: Lives::default(),
            held: Held::new(config.reaped != 0),
            history: drawn.then(History::default),
            live,
            pictures,
            not_remembered: 0,
            args,
        })
    }

    fn common(&self) -> &CommonArgs {
        &self.args.common
    }

    fn instead(&self) -> Option<Result<u8>> {
        (!self.args.diff.is_empty()).then(|| diff::run(&self.args))
    }

    fn is_done(&self) -> bool {
        self.live.as_ref().is_some_and(View::is_done)
    }

    fn reads_keys(&self) -> bool {
        self.live.as_ref().is_some_and(View::wakes_on_keys)
    }

    fn looks_at_processes(&self) -> bool {
        self.live.is_some()
    }

    fn replay(self) -> Result<Box<dyn Replay>, Refused> {
        if let Some(view) = self.live {
            return Ok(Box::new(live::Lives::new(self.args, view)));
        }
        Ok(Box::new(replay::Lives::new(self.args, self.show, self.config, self.pictures)))
    }

    fn backends(&self) -> Vec<Backend> {
        // A skipped run is not necessarily a lost event: most exits are thread exits, and a filter
        // might have dropped it. A process exit is lost only if every program was skipped, so the
        // last program's count is the upper bound.
        let is_filtered = self.args.common.filters();
        let adds = |[program, other]: [&'static str; 2], what| Job::adds(program, what).or(other);
        let backend = |name, exits: [&'static str; 3], others: [[&'static str; 2]; 4]| {
            let [born, exec, signal, reaped] = others;
            let stand_ins = if tracepoints_are_preemptible() { 2 } else { 0 };
            let births = match self.config.forks {
                0 => "command lines of processes that execute nothing",
                _ => "births",
            };
            let execs = match self.config.execs {
                0 => "command lines",
                _ => "executions, and the command lines at ends",
            };
            let mut jobs = vec![
                adds(born, births).broad_if(is_filtered),
                adds(exec, execs).with_map("exec_scratch").broad_if(is_filtered),
            ];
            jobs.extend(exits.into_iter().take(1 + stand_ins).map(|exit| Job::main(exit).broad()));
            let killer = "who sent the signal that ended a process";
            jobs.push(adds(signal, killer).with_map("killers"));
            if self.looks_back() && !pidns::is_initial() {
                jobs.push(Job::adds("older", "older processes and their commands").by_tool());
            }
            if self.config.reaped != 0 {
                jobs.push(adds(reaped, "what a process used on its way out"));
            }
            Backend::new(name, jobs)
        };
        let others = [
            ["born_btf", "born_raw"],
            ["exec_btf", "exec_raw"],
            ["signal_btf", "signal_raw"],
            ["reaped_btf", "reaped_raw"],
        ];
        let swapped = others.map(|[program, other]| [other, program]);
        vec![backend("tp_btf", EXITS_BTF, others), backend("raw_tp", EXITS_RAW, swapped)]
    }

    fn uncounted(&self) -> Vec<&'static str> {
        let mut names = vec!["reaped_btf", "reaped_raw", "signal_btf", "signal_raw"];
        if tracepoints_are_preemptible() {
            // The last program counts; for ends of threads the first one does.
            for [first, second, _] in [EXITS_BTF, EXITS_RAW] {
                names.push(second);
                if !self.args.threads {
                    names.push(first);
                }
            }
        }
        if self.config.forks == 0 {
            names.extend(["born_btf", "born_raw"]);
        }
        if self.config.execs == 0 {
            names.extend(["exec_btf", "exec_raw"]);
        }
        names
    }

    fn errand(&self) -> Option<Errand> {
        self.looks_back().then_some(elders::errand)
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        let data = open.maps.rodata_process_data.as_mut().context("no .rodata.process")?;
        let process_config { min_duration_ns, signals, codes, execs, forks, .. } = self.config;
        let process_config { threads, kernel_threads, reaped, drawn, page_kib, .. } = self.config;
        let config = &mut data.process_config;
        (config.min_duration_ns, config.signals, config.codes) = (min_duration_ns, signals, codes);
        (config.execs, config.forks, config.threads) = (execs, forks, threads);
        (config.kernel_threads, config.reaped, config.drawn) = (kernel_threads, reaped, drawn);
        config.page_kib = page_kib;
        let place = &self.args.place;
        if !place.cwd {
            leave_out(&mut open.maps.exec_cwd).context("leave out exec_cwd")?;
        }
        let data = open.maps.rodata_exec_data.as_mut().context("no .rodata.exec")?;
        data.exec_config.cwd = place.cwd.into();
        data.exec_config.env = place.env.is_some().into();
        Ok(())
    }

    fn start(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if self.looks_back() {
            self.add_older_ones(object, session)?;
        }
        match &mut self.live {
            Some(view) => view.begin(session)?,
            None => session.heading(self.show.view.columns()),
        }
        session.out.flush()?; // may wait for its reader, and must not delay the command
        let released_ns = let_go(object)?;
        session.command_began_ns = released_ns;
        if let Some(history) = &mut self.history {
            history.began_ns = released_ns.unwrap_or(session.started_ns);
        }
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        let decoded = Record::decode(record)?;
        let decode = |record| Exec::decode(record).context("a record that ends too early");
        let exec = matches!(decoded, Record::Exec).then(|| decode(record)).transpose()?;
        let redacted = exec.as_ref().and_then(|exec| redacted::record(exec, redact::policy()));
        let (record, exec) = match redacted.as_deref() {
            None => (record, exec),
            Some(record) => (record, Some(decode(record)?)),
        };
        if let Some(history) = &mut self.history {
            history.see(&decoded, exec.as_ref());
        }
        if let Some(view) = &mut self.live {
            let id = task_id::of(record)?;
            let context = session.contexts.of(&id, session.errands.as_mut());
            live::see(&mut view.model, &decoded, exec.as_ref(), session.cgroups.path(&id));
            context.iter().for_each(|context| view.model.told(context));
            view.change();
            return Ok(());
        }
        match &decoded {
            Record::Exec => {
                if let Some(exec) = &exec {
                    let is_whole = exec.cut(usize::MAX).is_none();
                    session.contexts.executed(&exec.event.id, exec.args, is_whole);
                    self.lives.exec(exec);
                }
                if self.config.execs != 0 {
                    self.held.push(held::Row::Other(record.to_vec()));
                }
            }
            Record::Fork(event) => {
                self.lives.fork(event);
                if event.process.is(process_flag::PROCESS_SHOWN) {
                    self.held.push(held::Row::Other(record.to_vec()));
                }
            }
            Record::ThreadExit(_) => self.held.push(held::Row::Other(record.to_vec())),
            Record::Exit(event) => {
                let life = self.lives.exit(&event.process);
                let row = Ended { event: *event, life, usage: Usage::new(&event.usage) };
                let is_shown = event.process.is(process_flag::PROCESS_SHOWN);
                self.held.end(row, is_shown, Instant::now());
            }
            Record::Reaped(event) => self.held.reaped(event),
        }
        self.show_ready(false, session)
    }

    fn progress(&self, _: &Session) -> Option<String> {
        let history = self.history.as_ref().filter(|_| self.args.common.quiet)?;
        Some(counted(history.processes().len() as u64, "life", "lives"))
    }

    fn next_tick(&self) -> Option<Duration> {
        let view = self.live.as_ref().map(View::next_tick);
        view.or_else(|| self.held.next_tick(Instant::now()))
    }

    fn is_waiting(&self) -> bool {
        self.held.is_waiting()
    }

    fn tick(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if let Some(view) = &mut self.live {
            return view.tick(boot_now_ns(), session);
        }
        self.show_ready(false, session)
    }

    fn finish(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if let Some(view) = &mut self.live {
            view.finish(session);
        }
        self.show_ready(true, session)?;
        let counters = counters(object)?;
        if let Some(history) = &mut self.history {
            history.lost = counters.context_lost + session.missed();
        }
        let drawn = self.draw(session);
        let left_out = counters.told_full + self.not_remembered;
        if left_out > 0 {
            let processes = match left_out {
                1 => "1 process was".to_owned(),
                number => format!("{number} processes were"),
            };
            let lack = "too many live at once, so each event had to pass the filters";
            session.note(format!("{processes} not followed to the end: {lack}"));
        }
        if counters.context_lost > 0 {
            let records = count(counters.context_lost, "helper record");
            let lack = "some rows may lack their command line or final usage";
            session.note(format!("dropped {records}: {lack}"));
        }
        drawn
    }
}

/// Tells the programs that the command is released now: its life before that does not count.
/// `None`: there is no command.
fn let_go(object: &Loaded<Procsnoop>) -> Result<Option<u64>> {
    let Some(pid) = command::waiting() else { return Ok(None) };
    let command = process_command { released_ns: boot_now_ns(), pid, pad: 0 };
    // SAFETY: plain integers without padding.
    let bytes = unsafe { plain::as_bytes(&command) };
    let map = &object.maps.data_command;
    map.update(&0u32.to_ne_bytes(), bytes, MapFlags::ANY).context("set .data.command")?;
    Ok(Some(command.released_ns))
}

/// What the programs have counted.
fn counters(object: &Loaded<Procsnoop>) -> Result<process_counters> {
    let data = object.maps.data_process_data.as_ref().context("no .data.process")?;
    Ok(data.process_counters)
}

impl Procsnoop {
    /// Whether processes older than the tool matter: our own COMMAND and its descendants are seen
    /// from the beginning.
    fn looks_back(&self) -> bool {
        self.args.common.command.is_empty() || !self.args.common.tree.is_empty()
    }

    /// Adds the processes that are older than the tool.
    fn add_older_ones(&mut self, object: &Loaded<Self>, session: &mut Session) -> Result<()> {
        let ids = older::ids(object)?;
        let common = &self.args.common;
        // For pictures of a recording.
        let is_told = common.json.is_some() && self.args.fork && !common.quiet;
        let timestamp = session.clock.rfc3339(session.started_ns);
        let mut asked_for = AskedFor::new(&self.args);
        for elder in elders::all(ids.as_ref(), session.errands.as_mut()) {
            asked_for.see(&elder);
            if is_told {
                session.out.object(&Running::new(&elder, &timestamp))?;
            }
            if let Some(history) = &mut self.history {
                history.older(&elder);
            }
            if let Some(view) = &mut self.live {
                live::older(&mut view.model, &elder);
            }
            self.lives.older(elder);
        }
        if let Some(view) = &mut self.live {
            view.model.connect();
        }
        let state = match &mut self.history {
            Some(history) => {
                history.draw_older(&asked_for.drawn());
                told_state::TOLD_BY_ROW
            }
            None => told_state::TOLD_MATCHES,
        };
        if self.args.common.filters_that_change() {
            self.not_remembered = older::remember(object, &asked_for.chosen(), state)?;
        }
        Ok(())
    }

    /// Shows all rows that need not wait any more.
    fn show_ready(&mut self, all: bool, session: &mut Session) -> Result<()> {
        while !session.is_full() {
            match self.held.pop(all, Instant::now()) {
                None => break,
                Some(held::Row::Ended(ended, is_final)) => {
                    let what = What::Exit(&ended, is_final);
                    self.show.row(ended.event.process.id, what, session);
                }
                Some(held::Row::Other(record)) => self.show_other(&record, session)?,
            }
            session.shown()?;
        }
        Ok(())
    }

    fn show_other(&self, record: &[u8], session: &mut Session) -> Result<()> {
        match Record::decode(record)? {
            Record::Exec => {
                let exec = Exec::decode(record).context("a record that ends too early")?;
                self.show.exec(&exec, session);
            }
            Record::Fork(event) => {
                self.show.row(event.process.id, What::Fork(&event.process), session);
            }
            Record::ThreadExit(event) => {
                self.show.row(event.process.id, What::ThreadExit(&event), session);
            }
            Record::Exit(_) | Record::Reaped(_) => {} // never held in this form
        }
        Ok(())
    }

    /// Draws the pictures at the end.
    fn draw(&mut self, session: &mut Session) -> Result<()> {
        match &mut self.history {
            Some(history) => self.pictures.finish(history, self.args.common.quiet, session),
            None => Ok(()),
        }
    }
}
