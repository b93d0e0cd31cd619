//! Rows of a table or of JSON, from events of either kind: of now, and recorded.

use super::args::Args;
use super::fields;
use super::row::{Row, What};
use crate::engine::session::Session;
use crate::output::escape::Quote;
use crate::output::row::View;
use crate::output::table::Column;
use crate::skel::task_id;
use crate::tools::execsnoop::environment::Variables;
use crate::tools::execsnoop::search::Searched;
use crate::tools::execsnoop::{self, Exec};

/// The form of the rows.
#[derive(Debug)]
pub struct Show {
    /// Of the table, and of ends and births in JSON
    pub view: View<fields::Put>,
    /// Of executions in JSON
    execs: View<execsnoop::fields::Put>,
    max_args: usize,
    /// The same in JSON, and so for `--filter`
    max_args_in_json: usize,
    quote: Quote,
    shows_usage: bool,
    /// Which variables to show; `None`: the programs do not send any
    variables: Option<Variables>,
}

impl Show {
    /// By these flags.
    pub fn new(args: &Args, view: View<fields::Put>, max_args: usize) -> Self {
        let shows = |column: &mut Column| args.common.by_flag(column).unwrap_or(false);
        let of_command = !args.common.command.is_empty();
        let fields = execsnoop::fields::FIELDS.iter().copied();
        Self {
            view,
            execs: View::new(fields, shows),
            max_args,
            max_args_in_json: args.max_args.unwrap_or(usize::MAX),
            quote: if args.quote { Quote::Always } else { Quote::WhereNeeded },
            shows_usage: args.usage,
            variables: args.place.env.is_some().then(|| args.place.variables(of_command)),
        }
    }

    /// An execution.
    pub fn exec(&self, exec: &Exec<'_>, session: &mut Session) {
        let id = &exec.event.id;
        let row = execsnoop::fields::Row {
            exec,
            interpreter: None,
            is_unseen: false,
            searched: &Searched::default(),
            max_args: self.max_args_in_json,
            quote: Quote::WhereNeeded,
            has_exe_column: false,
            variables: self.variables.as_ref().unwrap_or(&Variables::All),
            shows_env: false,
        };
        session.judge(&self.execs, id, row.event_name(), &row);
        match session.out.json {
            true => session.judged_row(&self.execs, id, row.event_name(), &row),
            false => {
                let (what, &Self { max_args, quote, shows_usage, .. }) = (What::Exec(exec), self);
                let variables = self.variables.as_ref();
                let row = Row { id, what, max_args, quote, shows_usage, variables };
                session.judged_row(&self.view, id, what.name(), &row);
            }
        }
    }

    /// Anything else.
    pub fn row(&self, id: impl Into<task_id>, what: What<'_>, session: &mut Session) {
        let id = id.into();
        let &Self { max_args, quote, shows_usage, ref variables, .. } = self;
        let variables = variables.as_ref();
        let row = Row { id: &id, what, max_args, quote, shows_usage, variables };
        let whole = Row { max_args: self.max_args_in_json, ..row };
        session.judge(&self.view, &id, what.name(), &whole);
        session.judged_row(&self.view, &id, what.name(), &row);
    }
}
