//! Rows of single calls, those of the kernel's records as those of recordings.

use anyhow::Result;

use super::Call;
use super::json::{Context, Lines};
use super::text::{self, Table};
use crate::engine::session::Session;
use crate::engine::stack::{self, Folded, Stack};

/// Writes rows, or counts stacks instead.
pub struct Rows {
    /// The columns of text
    pub table: Table,
    /// How often each stack was seen, with `--folded`
    pub folded: Folded,
    folds: bool,
    lines: Lines,
}

impl Rows {
    /// With these columns. `folds`: `--folded`.
    pub fn new(table: Table, folds: bool) -> Self {
        let lines = Lines::new(|title| table.shows(title));
        Self { table, folded: Folded::default(), folds, lines }
    }

    /// One row. `wx`: what `--wx` says of the call.
    #[inline]
    pub fn show(
        &mut self,
        call: &Call<'_>,
        wx: &[String],
        stacks: Option<&Stack>,
        session: &mut Session,
    ) -> Result<()> {
        let id = &call.id;
        if self.folds {
            if let Some(stacks) = stacks {
                self.folded.add(id.comm(), stacks, 1);
            }
            return session.shown();
        }
        if session.is_quiet {
            return session.shown();
        }
        let told = session.contexts.of(id, session.errands.as_mut());
        if session.out.json {
            let context = Context {
                epoch: session.clock.epoch(),
                timestamp: session.clock.stamp(id.time_ns),
                cgroup: session.cgroups.path(id),
                told: told.as_ref(),
                wx,
                stacks,
            };
            session.out.json_lines(|out| self.lines.push(out, call, &context));
        } else {
            let shows = |title| self.table.shows(title);
            let since_ns = session.since_ns(id.time_ns);
            let time =
                if shows("TIME") { session.local_time_ms(id.time_ns) } else { String::new() };
            let context = text::Context {
                time: &time,
                cgroup: if shows("CGROUP") { session.cgroups.path(id) } else { None },
                since_ns,
                told: told.as_ref(),
                wx,
                color: session.out.color,
            };
            self.table.row(&mut session.out.line(&self.table.columns), call, &context);
            if let Some(stacks) = stacks {
                session.out.raw(stack::text(stacks))?;
            }
        }
        session.shown()
    }
}
