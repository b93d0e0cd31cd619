//! `procsnoop --live`: lives for the full-screen view, of now or recorded.

use anyhow::Result;

use super::elders::Elder;
use super::status::Status;
use super::text::killer_note;
use super::usage::Usage;
use super::{Record, recorded, running};
use crate::engine::recorded::Line;
use crate::engine::replay::{Recorded, Recording, Replay, Trouble};
use crate::engine::session::Session;
use crate::host::proc::first_ns;
use crate::skel::process_exit_event;
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
    is_connected: bool,
}

impl Lives {
    /// With this view.
    pub fn new(view: View) -> Self {
        Self { view, is_connected: false }
    }
}

impl Replay for Lives {
    fn begin(&mut self, _: &Recording<'_>, _: &mut Session) -> Result<()> {
        Ok(())
    }

    fn aside(&mut self, name: &str, line: &Line, _: &mut Session) -> Result<bool, Trouble> {
        if name != running::NAME {
            return Ok(false);
        }
        older(&mut self.view.model, &running::read(line)?);
        Ok(true)
    }

    fn event(&mut self, event: &Recorded<'_>, _: &mut Session) -> Result<(), Trouble> {
        let model = &mut self.view.model;
        if !self.is_connected {
            self.is_connected = true;
            model.connect();
        }
        match event.name {
            "process.exec" => {
                let told = execsnoop::recorded::read(event)?;
                see(model, &Record::Exec, Some(&told.exec()?), event.cgroup);
            }
            "process.fork" => {
                see(model, &Record::Fork(recorded::birth(event)?), None, event.cgroup);
            }
            "thread.exit" => {}
            "process.exit" => {
                let (exit, _) = recorded::exit(event)?;
                let command = exit.life.as_ref().and_then(|life| life.command.as_ref());
                let args = command.map(|command| command.args().collect::<Vec<_>>().join(&0));
                let path = command.map(|command| command.path.as_slice());
                let (args, path) = (args.unwrap_or_default(), path.unwrap_or_default());
                ended(model, &exit.event, event.cgroup, &args, path);
            }
            _ => return Err(Trouble::Unknown),
        }
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        self.view.show_recorded(session)
    }
}
