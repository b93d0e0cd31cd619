//! Rows of procsnoop's table.

use super::args::Args;
use super::status::Status;
use super::usage::Usage;
use crate::engine::session::Session;
use crate::output::table::{Column, FAILURE, NOTE};
use crate::output::time::Seconds;
use crate::skel::task_id;

/// Which columns there are.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    since_start: bool,
    uid: bool,
    usage: bool,
}

const USAGE_COLUMNS: usize = 8;

/// The cells of a row that differ by kind; `None` is a dash.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    /// The process, and the time of the event
    pub id: &'a task_id,
    /// Its kind
    pub event: &'static str,
    /// Since the birth
    pub duration_ns: Option<u64>,
    /// Since the last execution
    pub since_exec_ns: Option<u64>,
    /// How it ended
    pub status: Option<Status>,
    /// What it used
    pub usage: Option<&'a Usage>,
    /// The command line, escaped
    pub command: String,
    /// The notes behind the command line
    pub notes: Vec<String>,
}

impl<'a> Cells<'a> {
    /// A row with nothing more.
    pub fn new(id: &'a task_id, event: &'static str) -> Self {
        Self {
            id,
            event,
            duration_ns: None,
            since_exec_ns: None,
            status: None,
            usage: None,
            command: String::new(),
            notes: Vec::new(),
        }
    }
}

impl Table {
    /// The columns that `args` ask for.
    pub fn new(args: &Args) -> Self {
        Self {
            columns: columns(args),
            since_start: args.common.timestamp,
            uid: args.print_uid,
            usage: args.usage,
        }
    }

    /// For the heading.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Appends a row.
    pub fn row(&self, cells: Cells<'_>, session: &mut Session) {
        let id = cells.id;
        let mut tail = cells.command;
        if !cells.notes.is_empty() {
            let space = if tail.is_empty() { "" } else { "  " };
            let notes = format!("{space}# {}", cells.notes.join(", "));
            tail += &if session.out.color { format!("{NOTE}{notes}{NOTE:#}") } else { notes };
        }
        let time = session.clock.local_time(id.time_ns);
        let since = id.time_ns.saturating_sub(session.started_ns);
        // A row without a command line ends with the last cell, without a trailing space.
        let columns = match self.columns.split_last() {
            Some((_, others)) if tail.is_empty() => others,
            _ => &self.columns,
        };
        let mut line = session.out.line(columns);
        line.text(&time);
        if self.since_start {
            line.value(Seconds(since));
        }
        line.text(cells.event);
        if self.uid {
            line.value(id.uid);
        }
        line.name(id.comm()).value(id.pid).value(id.ppid);
        for duration in [cells.duration_ns, cells.since_exec_ns] {
            match duration {
                Some(ns) => line.value(Seconds(ns)),
                None => line.text("-"),
            };
        }
        match cells.status {
            None => line.text("-"),
            Some(status) if status.is_failure() => line.styled(&status.to_string(), FAILURE),
            Some(status) => line.value(status),
        };
        if self.usage {
            match cells.usage {
                None => (0..USAGE_COLUMNS).for_each(|_| {
                    line.text("-");
                }),
                Some(usage) => {
                    line.value(Seconds(usage.user_ns)).value(Seconds(usage.system_ns));
                    line.value(usage.max_rss_bytes / 1024).value(usage.major_faults);
                    line.value(usage.voluntary_switches).value(usage.involuntary_switches);
                    line.value(usage.read_bytes / 1024).value(usage.written_bytes / 1024);
                }
            }
        }
        line.text(&tail);
    }
}

fn columns(args: &Args) -> Vec<Column> {
    let mut columns = vec![Column::left("TIME", 8)];
    if args.common.timestamp {
        columns.push(Column::left("TIME(s)", 8));
    }
    columns.push(Column::left("EVENT", 6));
    if args.print_uid {
        columns.push(Column::left("UID", 6));
    }
    columns.extend([
        Column::left("COMM", 16),
        Column::left("PID", 7),
        Column::left("PPID", 7),
        Column::right("DURATION", 9),
        Column::right("SINCE-EXEC", 10),
        Column::left("STATUS", 12),
    ]);
    if args.usage {
        columns.extend([
            Column::right("USER", 8),
            Column::right("SYSTEM", 8),
            Column::right("RSS(KiB)", 9),
            Column::right("MAJFLT", 6),
            Column::right("VCSW", 6),
            Column::right("ICSW", 6),
            Column::right("READ(KiB)", 9),
            Column::right("WRITE(KiB)", 10),
        ]);
    }
    columns.push(Column::left("ARGS", 0));
    columns
}
