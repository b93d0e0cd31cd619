//! Rows of a table or of JSON, from events of either kind: of now, and recorded.

use super::args::Args;
use super::fields;
use super::row::{Row, What};
use crate::engine::session::Session;
use crate::output::escape::Quote;
use crate::output::row::{Field, View};
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
    quote: Quote,
    shows_usage: bool,
    /// Which variables to show; `None`: the programs do not send any
    variables: Option<Variables>,
}

impl Show {
    /// By these flags.
    pub fn new(args: &Args, view: View<fields::Put>, max_args: usize) -> Self {
        let of_command = !args.common.command.is_empty();
        let fields = execsnoop::fields::FIELDS.iter().copied().chain([Field::START]);
        Self {
            view,
            execs: View::new(fields, |_| false),
            max_args,
            quote: if args.quote { Quote::Always } else { Quote::WhereNeeded },
            shows_usage: args.usage,
            variables: args.place.env.is_some().then(|| args.place.variables(of_command)),
        }
    }

    /// An execution.
    pub fn exec(&self, exec: &Exec<'_>, session: &mut Session) {
        let id = &exec.event.id;
        if !session.out.json {
            return self.row(*id, What::Exec(exec), session);
        }
        let row = execsnoop::fields::Row {
            exec,
            interpreter: None,
            is_unseen: false,
            searched: &Searched::default(),
            max_args: self.max_args,
            quote: Quote::WhereNeeded,
            has_exe_column: false,
            variables: self.variables.as_ref().unwrap_or(&Variables::All),
            shows_env: false,
        };
        session.row(&self.execs, id, row.event_name(), &row);
    }

    /// Anything else, and in a table an execution.
    pub fn row(&self, id: impl Into<task_id>, what: What<'_>, session: &mut Session) {
        let id = id.into();
        let &Self { max_args, quote, shows_usage, ref variables, .. } = self;
        let variables = variables.as_ref();
        let row = Row { id: &id, what, max_args, quote, shows_usage, variables };
        session.row(&self.view, &id, what.name(), &row);
    }
}
