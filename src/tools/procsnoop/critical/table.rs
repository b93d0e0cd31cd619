//! `--critical-path` as text: a line for each process of the path.

use std::fmt::Write as _;

use super::{Member, Path};
use crate::output::table::{Column, count};
use crate::output::time::Seconds;
use crate::tools::procsnoop::columns::line;
use crate::tools::procsnoop::history::{History, Past};
use crate::tools::procsnoop::labels::{Labels, cut};

/// CPU, CHILD and OTHER add up to DURATION, the process's part of the path.
const COLUMNS: [Column; 6] = [
    Column::left("PID", 7),
    Column::right("START", 9),
    Column::right("DURATION", 9),
    Column::right("CPU", 9),
    Column::right("CHILD", 9),
    Column::right("OTHER", 9),
];

/// Deeper levels are not indented further.
const MOST_LEVELS: usize = 24;

/// The most characters of a command.
const MOST_CHARS: usize = 100;

/// The most characters of an earlier command.
const MOST_NOTE: usize = 50;

/// Shorter times and smaller amounts have no note.
const LEAST_BESIDE_NS: u64 = 1_000_000;
const LEAST_READ: u64 = 4096;
const LEAST_SWITCHES: u64 = 10;

/// Appends the path.
pub fn draw(out: &mut String, history: &History, path: &Path) {
    let (cpu_ns, other_ns) = path.sums(history);
    let _ = writeln!(
        out,
        "critical path: {} of {}, {} s = {} CPU + {} other",
        path.members.len(),
        match history.processes().len() {
            1 => "1 process".to_owned(),
            number => format!("{number} processes"),
        },
        Seconds(path.total_ns()),
        Seconds(cpu_ns),
        Seconds(other_ns)
    );
    line(out, COLUMNS, COLUMNS.map(|column| column.title), "PROCESS");
    let labels = Labels::new(history);
    let first_ns = path.steps.first().map_or(0, |step| step.from_ns);
    for member in &path.members {
        let Some(past) = history.processes().get(member.process) else { continue };
        row(out, history, member, past, &labels, first_ns);
    }
}

fn row(
    out: &mut String,
    history: &History,
    member: &Member,
    past: &Past,
    labels: &Labels<'_>,
    first_ns: u64,
) {
    let shares = member.shares(history);
    let seconds = |ns: u64| Seconds(ns).to_string();
    let cells = [
        past.pid.to_string(),
        seconds(member.from_ns.saturating_sub(first_ns)),
        seconds(member.part_ns()),
        shares.cpu_ns.map_or("-".to_owned(), seconds),
        seconds(shares.child_ns),
        seconds(shares.other_ns),
    ];
    let mut process = match member.depth {
        deep if deep > MOST_LEVELS => format!("{}…{deep} ", "  ".repeat(MOST_LEVELS)),
        depth => "  ".repeat(depth),
    };
    process.push_str(&labels.label(past, MOST_CHARS));
    let notes = notes(past, shares.beside_ns);
    if !notes.is_empty() {
        process.push_str("  # ");
        process.push_str(&notes.join(", "));
    }
    line(out, COLUMNS, cells.each_ref().map(String::as_str), &process);
}

fn notes(past: &Past, beside_ns: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if beside_ns >= LEAST_BESIDE_NS {
        notes.push(format!("{} s of CPU beside that", Seconds(beside_ns)));
    }
    let usage = past.end.map(|end| end.usage).unwrap_or_default();
    if usage.read_bytes >= LEAST_READ {
        notes.push(format!("{} KiB read from disks", usage.read_bytes / 1024));
    }
    if usage.major_faults > 0 {
        notes.push(count(usage.major_faults, "major fault"));
    }
    if usage.involuntary_switches >= LEAST_SWITCHES {
        notes.push(format!("{} times put off its CPU", usage.involuntary_switches));
    }
    match past.end {
        None => notes.push("still running".to_owned()),
        Some(end) if end.status.is_failure() => notes.push(format!("status {}", end.status)),
        Some(_) => {}
    }
    let first = past.earlier.first().map(|first| cut(first.command.clone(), MOST_NOTE));
    notes.extend(first.map(|first| format!("began as {first}")));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::procsnoop::history::testing::history;

    #[test]
    fn a_line_for_each_process() {
        let s = 1_000_000_000;
        let history = history(&[
            (1, 0, s, 9 * s, 0, s / 2),
            (2, 1, 2 * s, 5 * s, 256, 4 * s),
            (3, 1, 3 * s, 4 * s, 0, 0),
            (4, 1, 6 * s, 8 * s, 0, s),
        ]);
        let mut drawn = String::new();
        draw(&mut drawn, &history, &Path::new(&history, 0));
        let expected = "critical path: 3 of 4 processes, 8.000 s = 4.500 CPU + 3.500 other
PID         START  DURATION       CPU     CHILD     OTHER PROCESS
1           0.000     8.000     0.500     5.000     2.500 sh
2           1.000     3.000     3.000     0.000     0.000   sh  # 1.000 s of CPU beside that, status 1
4           5.000     2.000     1.000     0.000     1.000   sh
";
        assert_eq!(drawn, expected);
    }
}
