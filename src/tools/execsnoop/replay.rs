//! `execsnoop --from FILE`

use anyhow::Result;

use super::args::Args;
use super::compilation::{self, Database};
use super::environment::Variables;
use super::fields::{Put, Row};
use super::recorded::read;
use super::search::Searched;
use super::shell;
use crate::engine::replay::{Filter, Recorded, Recording, Replay, Trouble, refuse_tree};
use crate::engine::session::Session;
use crate::engine::tool::Refused;
use crate::output::escape::Quote;
use crate::output::row::View;

/// Shows recorded executions.
pub struct Executions {
    args: Args,
    view: View<Put>,
    max_args: usize,
    variables: Variables,
    database: Option<Database>,
    filter: Filter,
}

impl Executions {
    /// By these flags.
    pub fn new(
        args: Args,
        view: View<Put>,
        max_args: usize,
        database: Option<Database>,
    ) -> Result<Self, Refused> {
        refuse_tree(&args.common)?;
        let (filter, variables) = (Filter::new(&args.common), args.place.variables(false));
        Ok(Self { filter, variables, args, view, max_args, database })
    }
}

impl Replay for Executions {
    fn check(&self, file: &Recording<'_>) -> Result<()> {
        if self.args.failed {
            file.needs(&["failed"], "failed executions")?;
        }
        match (self.args.failed, self.args.all) {
            (true, true) => file.needs(&["all"], "row for each miss of a search")?,
            (true, false) => file.must_lack("all", "row for a whole search")?,
            (false, _) => {}
        }
        if self.args.place.cwd {
            file.needs(&["cwd", "shell", "compile-commands"], "working directories")?;
        }
        if self.args.place.env.is_some() {
            file.needs(&["env"], "environments")?;
        }
        if self.args.line.is_some() {
            file.must_lack("max-args", "whole command line")?;
        }
        Ok(())
    }

    fn takes_more(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &Recording<'_>, session: &mut Session) -> Result<()> {
        if !self.args.shell {
            session.heading(self.view.columns());
        }
        Ok(())
    }

    fn event(&mut self, event: &Recorded<'_>, session: &mut Session) -> Result<(), Trouble> {
        let has_failed = match event.name {
            "process.exec" => false,
            "process.exec_failed" => true,
            _ => return Err(Trouble::Unknown),
        };
        let told = read(event)?;
        let exec = told.exec()?;
        let is_wanted = self.args.failed || !has_failed;
        if !is_wanted || !self.filter.passes(event) || !self.args.matches(&exec) {
            return Ok(());
        }
        if let Some(database) = &mut self.database {
            database.see(&exec);
        }
        if self.args.shell {
            return Ok(shell::show(&exec, session)?);
        }
        let nothing = Searched::default();
        let row = Row {
            exec: &exec,
            interpreter: told.interpreter.as_ref(),
            is_unseen: told.is_unseen,
            // Without failures nobody knows of a search.
            searched: if self.args.failed { &told.searched } else { &nothing },
            max_args: self.max_args,
            quote: if self.args.quote { Quote::Always } else { Quote::WhereNeeded },
            has_exe_column: self.view.shows("EXE"),
            variables: &self.variables,
            shows_env: self.args.place.env.is_some() && !self.view.shows("ENV"),
        };
        let whole = Row { max_args: self.args.max_args.unwrap_or(usize::MAX), ..row };
        session.judge(&self.view, &exec.event.id, row.event_name(), &whole);
        session.judged_row(&self.view, &exec.event.id, row.event_name(), &row);
        session.shown()?;
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        self.filter.note().into_iter().for_each(|note| session.note(note));
        compilation::finish(self.database.as_ref(), session)
    }
}
