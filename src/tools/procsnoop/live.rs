//! `procsnoop --live`: lives for the full-screen view, of now or recorded.

use anyhow::Result;

use super::args::Args;
use super::elders::{AskedFor, Elder};
use super::replay::needs_whole_lives;
use super::running::Elders;
use super::selection::Selection;
use super::status::Status;
use super::text::killer_note;
use super::usage::Usage;
use super::{Record, recorded, running};
use crate::engine::recorded::Line;
use crate::engine::replay::{Recorded, Recording, Replay, Trouble};
use crate::engine::session::Session;
use crate::host::proc::first_ns;
use crate::skel::{process_event, process_exit_event, process_flag};
use crate::tools::execsnoop::{self, Exec};
use crate::tools::live::{End, Model, View, Who};

/// A process that was there before. Call [`Model::connect`] after the last one.
pub fn older(model: &mut Model, elder: &Elder) {
    let who = Who {
        pid: elder.pid,
        start_ns: first_ns(elder.born_ticks),
        ppid: elder.ppid,
        uid: None,
        comm: &elder.comm,
        cgroup: None,
        time_ns: 0,
    };
    model.older(&who, &elder.cmdline, &elder.path);
}

/// Takes in one record. `exec`: the same, if it is an execution.
pub fn see(model: &mut Model, record: &Record, exec: Option<&Exec<'_>>, cgroup: Option<&[u8]>) {
    match record {
        Record::Exec => {
            if let Some(exec) = exec {
                let who = Who::of(&exec.event.id, cgroup);
                model.executed(&who, exec.args, exec.path, execsnoop::live::place(exec));
            }
        }
        Record::Fork(event) => model.born(&Who::of(&event.process.id.into(), cgroup)),
        Record::ThreadExit(_) => {}
        Record::Exit(event) => ended(model, event, cgroup, &[], &[]),
        Record::Reaped(event) => {
            let cpu_ns = Usage::new(&event.usage).cpu_ns();
            model.accounted(event.process.id.pid, event.process.id.start_ns, cpu_ns);
        }
    }
}

fn ended(
    model: &mut Model,
    event: &process_exit_event,
    cgroup: Option<&[u8]>,
    args: &[u8],
    path: &[u8],
) {
    let status = Status::from_wait(event.status);
    let usage = Usage::new(&event.usage);
    let end = End {
        time_ns: event.process.id.time_ns,
        lived_ns: Some(event.duration_ns()),
        cpu_ns: Some(usage.cpu_ns()),
        max_rss_bytes: Some(usage.max_rss_bytes),
        status: status.to_string(),
        has_failed: status.is_failure(),
        why: killer_note(event, status).unwrap_or_default(),
    };
    model.ended(&Who::of(&event.process.id.into(), cgroup), end, args, path);
}

/// The view of a recording.
pub struct Lives {
    view: View,
    args: Args,
    selection: Selection,
    elders: Elders,
}

impl Lives {
    /// With this view, by these flags.
    pub fn new(args: Args, view: View) -> Self {
        let selection = Selection::new(&args.common);
        Self { view, args, selection, elders: Elders::default() }
    }

    /// Before the first event: the older processes.
    fn begin_lives(&mut self) {
        let Some(elders) = self.elders.begin() else { return };
        let mut asked_for = AskedFor::new(&self.args);
        for elder in &elders {
            asked_for.see(elder);
            older(&mut self.view.model, elder);
        }
        self.selection.older(&asked_for, true);
        self.view.model.connect();
    }

    fn is_hidden(&self, event: &process_event) -> bool {
        event.is(process_flag::PROCESS_KERNEL) && !self.args.kernel_threads
    }

    /// Takes in an event, if it passes the filters. False: it does not.
    fn see(&mut self, event: &Recorded<'_>) -> Result<bool, Trouble> {
        let cgroup = event.cgroup;
        match event.name {
            "process.exec" => {
                let told = execsnoop::recorded::read(event)?;
                let exec = told.exec()?;
                if !self.selection.exec(&exec.event.id, cgroup, true) {
                    return Ok(false);
                }
                see(&mut self.view.model, &Record::Exec, Some(&exec), cgroup);
            }
            "process.fork" => {
                let birth = recorded::birth(event)?;
                let process = &birth.process;
                if self.is_hidden(process) || !self.selection.birth(process, cgroup, true) {
                    return Ok(false);
                }
                see(&mut self.view.model, &Record::Fork(birth), None, cgroup);
            }
            "thread.exit" => return Ok(false),
            "process.exit" => {
                let (exit, _) = recorded::exit(event)?;
                let passes = self.selection.exit(event.id, cgroup);
                if self.is_hidden(&exit.event.process) || !passes {
                    return Ok(false);
                }
                let command = exit.life.as_ref().and_then(|life| life.command.as_ref());
                let args = command.map(|command| command.args().collect::<Vec<_>>().join(&0));
                let path = command.map(|command| command.path.as_slice());
                let (args, path) = (args.unwrap_or_default(), path.unwrap_or_default());
                ended(&mut self.view.model, &exit.event, cgroup, &args, path);
            }
            _ => return Err(Trouble::Unknown),
        }
        Ok(true)
    }
}

impl Replay for Lives {
    fn begin(&mut self, file: &Recording<'_>, _: &mut Session) -> Result<()> {
        if self.selection.needs_births() {
            needs_whole_lives(file, "a filter by something that changes needs")?;
        }
        let asked = [
            (self.args.place.cwd, "cwd", "working directories"),
            (self.args.place.env.is_some(), "env", "environments"),
        ];
        asked
            .iter()
            .filter(|(is_asked, ..)| *is_asked)
            .try_for_each(|(_, flag, what)| file.needs(&[flag], what))
    }

    fn aside(&mut self, name: &str, line: &Line, _: &mut Session) -> Result<bool, Trouble> {
        if name != running::NAME {
            return Ok(false);
        }
        self.elders.add(running::read(line)?);
        Ok(true)
    }

    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        self.begin_lives();
        self.selection.look_at(event);
        let context = session.contexts.of(event.id, None);
        if self.see(event)? {
            context.iter().for_each(|context| self.view.model.told(context));
        }
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        self.begin_lives();
        self.selection.note().into_iter().for_each(|note| session.note(note));
        self.view.show_recorded(session)
    }
}
