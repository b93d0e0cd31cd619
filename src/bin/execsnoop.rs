//! Shows every program execution, with the arguments that really ran.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use snoop_tools::engine::attach::leave_out;
use snoop_tools::engine::backend::{Backend, Job, refused_by_seccomp};
use snoop_tools::engine::cli::CommonArgs;
use snoop_tools::engine::errand::Errand;
use snoop_tools::engine::manual::Manual;
use snoop_tools::engine::replay::Replay;
use snoop_tools::engine::session::Session;
use snoop_tools::engine::tool::{self, Loaded, Open, Refused, Tool};
use snoop_tools::output::escape::Quote;
use snoop_tools::output::redact;
use snoop_tools::output::row::{View as RowView, docs};
use snoop_tools::output::time::boot_now_ns;
use snoop_tools::skel::execve::ExecveSkelBuilder;
use snoop_tools::tools::execsnoop::Exec;
use snoop_tools::tools::execsnoop::args::{self, Args, DEFAULT_MAX_ARGS};
use snoop_tools::tools::execsnoop::compilation::{self, Database};
use snoop_tools::tools::execsnoop::environment::Variables;
use snoop_tools::tools::execsnoop::errand::{self, Found};
use snoop_tools::tools::execsnoop::fields::{self, Put, Row};
use snoop_tools::tools::execsnoop::live;
use snoop_tools::tools::execsnoop::redacted;
use snoop_tools::tools::execsnoop::replay::Executions;
use snoop_tools::tools::execsnoop::search::{Fate, Searched, Searches, Step};
use snoop_tools::tools::execsnoop::shell;
use snoop_tools::tools::live::View;

fn main() -> ExitCode {
    tool::main::<Execsnoop>()
}

/// Failures that only some backends see.
const FAILURES_32: &str = "failed executions by 32-bit programs";

struct Execsnoop {
    args: Args,
    view: RowView<Put>,
    max_args: usize,
    variables: Variables,
    database: Option<Database>,
    searches: Searches,
    live: Option<View>,
}

impl Tool for Execsnoop {
    const NAME: &'static str = "execsnoop";
    const MANUAL: Manual = Manual { fields: Some(|| docs(fields::FIELDS)), ..args::MANUAL };
    type Args = Args;
    type Builder = ExecveSkelBuilder;

    fn new(mut args: Args) -> Result<Self, Refused> {
        let view = fields::view(&args)?;
        fields::add_needs(&view, &mut args.place);
        let variables = args.place.variables(!args.common.command.is_empty());
        if args.shell {
            args.place = shell::NEEDS;
            args.common.wide = true;
        }
        args.place.cwd |= args.compile_commands.is_some();
        let database = args.compile_commands.as_deref().map(Database::new).transpose();
        let text_default = if args.common.json.is_some() { usize::MAX } else { DEFAULT_MAX_ARGS };
        Ok(Self {
            view,
            variables,
            database: database.map_err(Refused::Work)?,
            max_args: args.max_args.unwrap_or(text_default),
            searches: Searches::default(),
            live: args.live.then(|| View::of(Self::NAME, &args.common, false)).transpose()?,
            args,
        })
    }

    fn common(&self) -> &CommonArgs {
        &self.args.common
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
            return Ok(Box::new(live::Executions::new(self.args, view)?));
        }
        Ok(Box::new(Executions::new(self.args, self.view, self.max_args, self.database)?))
    }

    fn backends(&self) -> Vec<Backend> {
        let done_btf = || Job::main("exec_done_btf");
        let done_raw = || Job::main("exec_done_raw");
        let plain = [Backend::new("tp_btf", [done_btf()]), Backend::new("raw_tp", [done_raw()])];
        if !self.args.failed {
            return plain.into();
        }
        // Successes come from the same place each time; only failures tax others.
        let done = || done_btf().or("exec_done_raw");
        let compat = |program| Job::adds(program, FAILURES_32).if_there();
        let fexit = [
            done(),
            Job::main("fexit_execve"),
            Job::main("fexit_execveat"),
            compat("fexit_compat_execve"),
            compat("fexit_compat_execveat"),
        ];
        let fexit = fexit.into_iter().chain(refused_by_seccomp());
        let mut backends = vec![
            Backend::new("fexit", fexit),
            Backend::new("tracepoint", [done(), Job::main("tp_execve"), Job::main("tp_execveat")])
                .without_32_bit(FAILURES_32),
            Backend::new("raw_tp", [done_raw(), Job::main("raw_sys_exit").broad()]),
        ];
        backends.extend(plain.map(|backend| backend.without("failed executions")));
        backends
    }

    fn errand(&self) -> Option<Errand> {
        self.args.failed.then_some(errand::errand)
    }

    fn configure(&self, open: &mut Open<Self>) -> Result<()> {
        // Without failures, only the program of the first slot runs: enum exec_slot in exec.bpf.h.
        if !self.args.failed {
            open.maps.exec_scratch.set_max_entries(1).context("size exec_scratch")?;
            open.maps.perf_records.set_max_entries(1).context("size perf_records")?;
        }
        if !self.args.place.cwd {
            leave_out(&mut open.maps.exec_cwd).context("leave out exec_cwd")?;
        } else if !self.args.failed {
            open.maps.exec_cwd.set_max_entries(1).context("size exec_cwd")?;
        }
        let data = open.maps.rodata_exec_data.as_mut().context("no .rodata.exec")?;
        data.exec_config.cwd = self.args.place.cwd.into();
        data.exec_config.env = self.args.place.env.is_some().into();
        Ok(())
    }

    fn start(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        match &mut self.live {
            Some(view) => view.begin(session)?,
            None if self.args.shell => {}
            None => session.heading(self.view.columns()),
        }
        Ok(())
    }

    fn event(&mut self, record: &[u8], session: &mut Session) -> Result<()> {
        let exec = Exec::decode(record).context("a record that ends too early")?;
        if exec.errno().is_none() {
            session.contexts.executed(&exec.event.id, exec.args, exec.cut(usize::MAX).is_none());
        }
        // What cannot be read now may match later.
        let is_open = exec.args_unreadable();
        if !is_open && !self.args.matches(&exec) {
            return Ok(());
        }
        let errands = session.errands.as_mut();
        let found = errands.map(|errands| errand::look_up(errands, record, &exec));
        let found = found.unwrap_or_default();
        let completed = found.record.as_deref();
        let (record, exec) = match completed {
            None => (record, exec),
            Some(record) => (record, Exec::decode(record).context("a record that ends too early")?),
        };
        if (is_open || completed.is_some()) && !self.args.matches(&exec) {
            return Ok(());
        }
        let redacted = redacted::record(&exec, redact::policy());
        let (record, exec) = match redacted.as_deref() {
            None => (record, exec),
            Some(record) => (record, Exec::decode(record).context("a record that ends too early")?),
        };
        if !self.args.failed || self.args.all {
            return self.show(&exec, &found, &Searched::default(), session);
        }
        let is_missing = found.interpreter.is_none() && !found.is_missing;
        let verdict = self.searches.see(record, &exec, is_missing);
        self.show_in_vain(&verdict.in_vain, session)?;
        match verdict.event {
            Fate::Held => Ok(()),
            Fate::Show => self.show(&exec, &found, &Searched::default(), session),
            Fate::Found(steps) => {
                self.show(&exec, &Found::default(), &Searched::before(&steps), session)
            }
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        let view = self.live.as_ref().map(View::next_tick);
        self.searches.next_tick().into_iter().chain(view).min()
    }

    fn tick(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        self.show_given_up(false, session)?;
        match &mut self.live {
            Some(view) => view.tick(boot_now_ns(), session),
            None => Ok(()),
        }
    }

    fn finish(&mut self, _: &Loaded<Self>, session: &mut Session) -> Result<()> {
        if let Some(view) = &mut self.live {
            view.finish(session);
        }
        self.show_given_up(true, session)?;
        compilation::finish(self.database.as_ref(), session)
    }
}

impl Execsnoop {
    /// Searches that nothing can complete any more, or `all` that are left.
    fn show_given_up(&mut self, all: bool, session: &mut Session) -> Result<()> {
        for steps in self.searches.given_up(all) {
            self.show_in_vain(&steps, session)?;
        }
        Ok(())
    }

    /// A search that found nothing gives one row too: the last miss.
    fn show_in_vain(&mut self, steps: &[Step], session: &mut Session) -> Result<()> {
        let Some((last, searched)) = Searched::in_vain(steps) else { return Ok(()) };
        let exec = Exec::decode(last).context("a record that ends too early")?;
        self.show(&exec, &Found::default(), &searched, session)
    }

    fn show(
        &mut self,
        exec: &Exec<'_>,
        found: &Found,
        searched: &Searched,
        session: &mut Session,
    ) -> Result<()> {
        if session.is_full() {
            return Ok(());
        }
        if let Some(database) = &mut self.database {
            database.see(exec);
        }
        if let Some(view) = &mut self.live {
            let context = session.contexts.of(&exec.event.id, session.errands.as_mut());
            let cgroup = session.cgroups.path(&exec.event.id);
            live::see(&mut view.model, exec, found.interpreter.as_ref(), cgroup);
            context.iter().for_each(|context| view.model.told(context));
            view.change();
            return Ok(());
        }
        if self.args.shell {
            return shell::show(exec, session);
        }
        let row = Row {
            exec,
            interpreter: found.interpreter.as_ref(),
            is_unseen: found.is_missing,
            searched,
            max_args: self.max_args,
            quote: if self.args.quote { Quote::Always } else { Quote::WhereNeeded },
            has_exe_column: self.view.shows("EXE"),
            variables: &self.variables,
            shows_env: self.args.place.env.is_some() && !self.view.shows("ENV"),
        };
        let whole = Row { max_args: self.args.max_args.unwrap_or(usize::MAX), ..row };
        session.judge(&self.view, &exec.event.id, row.event_name(), &whole);
        session.judged_row(&self.view, &exec.event.id, row.event_name(), &row);
        session.shown()
    }
}
