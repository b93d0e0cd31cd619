//! Rows of single calls, those of the kernel's records as those of recordings.

use anyhow::Result;

use super::Call;
use super::json::{self, Context, Lines};
use super::text::{self, Table};
use crate::engine::session::{Place, Session};
use crate::engine::stack::{self, Folded, Stack};
use crate::output::row::container_name;

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
        let lines = &mut self.lines;
        let passes = session.passes_as(id, |out, timestamp, place| {
            lines.push(out, call, &Context { timestamp, place, wx, stacks });
        });
        if !passes {
            return Ok(());
        }
        if session.has_measures() {
            let error = call.errno_name();
            session.measure(json::event_name(call), error.as_deref(), call.duration_ns());
        }
        if self.folds {
            if let Some(stacks) = stacks {
                self.folded.add(id.comm(), stacks, 1);
            }
            return session.shown();
        }
        if session.is_quiet || !session.admits(id) {
            return session.shown();
        }
        if session.out.json {
            session.json_line(id, |out, timestamp, place| {
                lines.push(out, call, &Context { timestamp, place, wx, stacks });
            });
        } else {
            let shows = |title| self.table.shows(title);
            let color = session.out.color;
            let since_ns = session.since_ns(id.time_ns);
            let time =
                if shows("TIME") { session.local_time_ms(id.time_ns) } else { String::new() };
            let needs_place = ["CGROUP", "UNIT", "CONTAINER"].into_iter().any(shows);
            // Copied, for the few who ask: the row is written while the session is at work.
            let told = session.take_told();
            let (cgroup, container) = match needs_place.then(|| session.place(id)) {
                Some(Place { cgroup, container, .. }) => {
                    let name = container_name(cgroup, container.map(|it| &**it));
                    (cgroup.map(<[u8]>::to_vec), name)
                }
                None => (None, None),
            };
            let context = text::Context {
                time: &time,
                cgroup: cgroup.as_deref(),
                container: container.as_deref(),
                since_ns,
                told: told.as_ref(),
                wx,
                color,
            };
            self.table.row(&mut session.out.line(&self.table.columns), call, &context);
            if let Some(stacks) = stacks {
                session.out.raw(stack::text(stacks))?;
            }
        }
        session.shown()
    }
}
