//! `procsnoop --from FILE`

use anyhow::{Result, anyhow};

use super::args::Args;
use super::elders::{AskedFor, Elder};
use super::history::History;
use super::pictures::Pictures;
use super::row::What;
use super::running::Elders;
use super::selection::Selection;
use super::show::Show;
use super::status::Status;
use super::{Record, critical, recorded, running};
use crate::engine::recorded::{Line, Reading};
use crate::engine::replay::{Recorded, Recording, Replay, Trouble};
use crate::engine::session::Session;
use crate::skel::{exec_flag, process_config, process_event, process_exit_event, process_flag};
use crate::tools::execsnoop;

/// Shows recorded lives.
pub struct Lives {
    args: Args,
    show: Show,
    config: process_config,
    selection: Selection,
    history: Option<History>,
    pictures: Pictures,
    elders: Elders,
}

/// Flags that leave out lives, or parts of them.
const NARROWING: [&str; 6] = ["failed", "min-duration", "signal", "exit-code", "quiet", "filter"];

impl Lives {
    /// By these flags.
    pub fn new(args: Args, show: Show, config: process_config, pictures: Pictures) -> Self {
        Self {
            selection: Selection::new(&args.common),
            history: pictures.is_any().then(History::default),
            args,
            show,
            config,
            pictures,
            elders: Elders::default(),
        }
    }

    /// Before the first event: what the older processes are to the filters and the pictures.
    fn begin_lives(&mut self) {
        let Some(elders) = self.elders.begin() else { return };
        let mut asked_for = AskedFor::new(&self.args);
        elders.iter().for_each(|elder| asked_for.see(elder));
        self.selection.older(&asked_for, self.history.is_some());
        if let Some(history) = &mut self.history {
            elders.iter().for_each(|elder| history.older(elder));
            history.draw_older(&asked_for.drawn());
        }
    }

    fn is_hidden(&self, event: &process_event) -> bool {
        event.is(process_flag::PROCESS_KERNEL) && !self.args.kernel_threads
    }

    /// Whether an end passes `-x`, `--signal`, `--exit-code` and `-d`.
    fn is_asked_for(&self, event: &process_exit_event) -> bool {
        let config = &self.config;
        event.duration_ns() >= config.min_duration_ns
            && match Status::from_wait(event.status) {
                Status::Signal { number, .. } => config.signals >> ((number - 1) & 63) & 1 != 0,
                Status::Code(code) => {
                    let word = config.codes.get(usize::from(code >> 6)).copied().unwrap_or(0);
                    word >> (code & 63) & 1 != 0
                }
            }
    }

    fn exec(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        let told = execsnoop::recorded::read(event)?;
        let exec = told.exec()?;
        let has_row = self.config.execs != 0;
        let is_drawn = self.history.is_some();
        if !self.selection.exec(&exec.event.id, event.cgroup, has_row || is_drawn) {
            return Ok(());
        }
        if let Some(history) = &mut self.history {
            history.see(&Record::Exec, Some(&exec));
        }
        if has_row && !exec.is(exec_flag::EXEC_FATAL) {
            self.show.exec(&exec, session);
            session.shown()?;
        }
        Ok(())
    }

    fn birth(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        let birth = recorded::birth(event)?;
        let has_row = self.config.forks != 0;
        let is_drawn = self.history.is_some();
        if self.is_hidden(&birth.process)
            || !self.selection.birth(&birth.process, event.cgroup, has_row || is_drawn)
        {
            return Ok(());
        }
        if let Some(history) = &mut self.history {
            history.see(&Record::Fork(birth), None);
        }
        if has_row {
            self.show.row(*event.id, What::Fork(&birth.process), session);
            session.shown()?;
        }
        Ok(())
    }

    fn thread_exit(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        let exit = recorded::thread_exit(event)?;
        let is_shown = self.config.threads != 0
            && !self.is_hidden(&exit.process)
            && self.is_asked_for(&exit)
            && self.selection.thread_exit(event.id, event.cgroup);
        if is_shown {
            self.show.row(*event.id, What::ThreadExit(&exit), session);
            session.shown()?;
        }
        Ok(())
    }

    fn exit(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        let (ended, is_final) = recorded::exit(event)?;
        let is_told = self.selection.exit(event.id, event.cgroup);
        if self.is_hidden(&ended.event.process) || !is_told {
            return Ok(());
        }
        if let Some(history) = &mut self.history {
            history.see(&Record::Exit(ended.event), None);
        }
        let is_only_drawn = self.args.common.quiet && self.history.is_some();
        if self.is_asked_for(&ended.event) && !is_only_drawn {
            self.show.row(*event.id, What::Exit(&ended, is_final), session);
            session.shown()?;
        }
        Ok(())
    }
}

/// Refuses a file without all births and ends.
pub(super) fn needs_whole_lives(file: &Recording<'_>, what: &str) -> Result<()> {
    if file.start.had("fork") != Some(true) {
        let shown = file.shown;
        return Err(anyhow!("{shown} has no births, which {what}: record with --json --fork"));
    }
    NARROWING.iter().try_for_each(|flag| file.must_lack(flag, "whole lives"))
}

impl Replay for Lives {
    fn begin(&mut self, file: &Recording<'_>, session: &mut Session) -> Result<()> {
        if self.history.is_some() {
            needs_whole_lives(file, "pictures need")?;
        }
        if self.selection.needs_births() {
            needs_whole_lives(file, "a filter by something that changes needs")?;
        }
        let asked = [
            (self.args.fork, "fork", "births"),
            (self.args.threads, "threads", "ends of single threads"),
            (self.args.kernel_threads, "kernel-threads", "kernel threads"),
            (self.args.place.cwd, "cwd", "working directories"),
            (self.args.place.env.is_some(), "env", "environments"),
        ];
        for (is_asked, flag, what) in asked {
            if is_asked {
                file.needs(&[flag], what)?;
            }
        }
        self.pictures.of_recording(file, &self.args)?;
        session.heading(self.show.view.columns());
        Ok(())
    }

    fn aside(&mut self, name: &str, line: &Line, session: &mut Session) -> Result<bool, Trouble> {
        // Found anew, if it is asked for.
        if name == critical::json::NAME {
            return Ok(true);
        }
        if name != running::NAME {
            return Ok(false);
        }
        let elder: Reading<Elder> = running::read(line);
        let elder = elder?;
        if session.out.json && self.args.fork && !self.args.common.quiet {
            let timestamp = session.clock.rfc3339(line.time_ns()?);
            session.out.object(&running::Running::new(&elder, &timestamp))?;
        }
        self.elders.add(elder);
        Ok(true)
    }

    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        self.begin_lives();
        self.selection.look_at(event);
        match event.name {
            "process.exec" => self.exec(event, session),
            "process.fork" => self.birth(event, session),
            "thread.exit" => self.thread_exit(event, session),
            "process.exit" => self.exit(event, session),
            _ => Err(Trouble::Unknown),
        }
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        self.begin_lives();
        self.selection.note().into_iter().for_each(|note| session.note(note));
        let Some(history) = &mut self.history else { return Ok(()) };
        history.lost = session.missed();
        history.began_ns = session.command_began_ns.unwrap_or(session.started_ns);
        self.pictures.finish(history, self.args.common.quiet, session)
    }
}
