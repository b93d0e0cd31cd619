//! `execsnoop --live`: executions for the full-screen view, of now or recorded. This tool sees no
//! ends: what executed nothing for a minute leaves.

use anyhow::Result;

use super::Exec;
use super::args::Args;
use super::interpreter::Interpreter;
use super::recorded::read;
use super::text::interpreter_note;
use crate::engine::replay::{Filter, Recorded, Recording, Replay, Trouble, refuse_tree};
use crate::engine::session::Session;
use crate::engine::tool::Refused;
use crate::tools::live::{Model, Place, View, Who};

/// Takes in one execution, or a failed one, with the interpreter that made it fail.
pub fn see(
    model: &mut Model,
    exec: &Exec<'_>,
    interpreter: Option<&Interpreter>,
    cgroup: Option<&[u8]>,
) {
    let who = Who::of(&exec.event.id, cgroup);
    match exec.errno_name() {
        None => model.executed(&who, exec.args, exec.path, place(exec)),
        Some(error) => {
            let why = interpreter.map(interpreter_note).unwrap_or_default();
            model.failed(&who, exec.args, &exec.filename(), &error, why);
        }
    }
}

/// Where an execution happened.
pub fn place<'a>(exec: &Exec<'a>) -> Place<'a> {
    let env = exec.has_env().then_some(exec.env);
    Place { cwd: exec.cwd, env, env_cut: exec.env_cut().is_some() }
}

/// The view of a recording.
pub struct Executions {
    view: View,
    args: Args,
    filter: Filter,
}

impl Executions {
    /// With this view, by these flags.
    pub fn new(args: Args, view: View) -> Result<Self, Refused> {
        refuse_tree(&args.common)?;
        Ok(Self { filter: Filter::new(&args.common), args, view })
    }
}

impl Replay for Executions {
    fn begin(&mut self, _: &Recording<'_>, _: &mut Session) -> Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        if !["process.exec", "process.exec_failed"].contains(&event.name) {
            return Err(Trouble::Unknown);
        }
        let told = read(event)?;
        let exec = told.exec()?;
        let is_wanted = exec.errno().is_none() || self.args.failed;
        if is_wanted && self.filter.passes(event) && self.args.matches(&exec) {
            let model = &mut self.view.model;
            see(model, &exec, told.interpreter.as_ref(), event.cgroup);
            let context = session.contexts.of(event.id, None);
            context.iter().for_each(|context| model.told(context));
        }
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        self.view.show_recorded(session)
    }
}
