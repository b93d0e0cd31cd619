//! `--tree-view`: the processes of a run as a tree of text.

use std::fmt::Write as _;

use super::columns::line;
use super::history::{History, Past};
use crate::output::table::Column;
use crate::output::time::Seconds;

/// Deeper levels are not indented further.
const MOST_LEVELS: usize = 24;

/// The columns before the tree itself. START counts from the beginning of the picture, TREE-CPU is
/// the CPU time of a process with its descendants.
const COLUMNS: [Column; 6] = [
    Column::left("PID", 7),
    Column::right("START", 9),
    Column::right("DURATION", 9),
    Column::right("CPU", 9),
    Column::right("TREE-CPU", 9),
    Column::left("STATUS", 12),
];

/// Appends the tree: one line for each process.
pub fn draw(out: &mut String, history: &History) {
    line(out, COLUMNS, COLUMNS.map(|column| column.title), "PROCESS");
    let (children, roots) = history.children();
    let first_ns = history.span().map_or(0, |(first, _)| first);
    let sums_ns = cpu_of_trees(history.processes());
    // Not recursive, since a tree may be as deep as there are processes. Each entry: the process,
    // its level, and whether it is the last child.
    let mut todo: Vec<(usize, usize, bool)> = roots.iter().rev().map(|&r| (r, 0, true)).collect();
    let mut open: Vec<bool> = Vec::new(); // by level: whether more follow there
    while let Some((index, level, is_last)) = todo.pop() {
        let Some(past) = history.processes().get(index) else { continue };
        open.truncate(level);
        let mut prefix = String::new();
        for &more in open.iter().skip(1).take(MOST_LEVELS) {
            prefix.push_str(if more { "│ " } else { "  " });
        }
        if level > MOST_LEVELS {
            let _ = write!(prefix, "…{level} "); // a String takes everything
        } else if level > 0 {
            prefix.push_str(if is_last { "└ " } else { "├ " });
        }
        open.push(!is_last);
        let tree_ns = sums_ns.get(index).copied().unwrap_or_default();
        row(out, past, first_ns, tree_ns, &prefix);
        let below = children.get(index).map(Vec::as_slice).unwrap_or_default();
        let last = below.last().copied();
        todo.extend(below.iter().rev().map(|&child| (child, level + 1, Some(child) == last)));
    }
    if history.forgotten > 0 {
        let _ = writeln!(out, "and {} more", history.forgotten);
    }
}

/// Nanoseconds of CPU time of each process with its descendants, as far as they have ended.
fn cpu_of_trees(all: &[Past]) -> Vec<u64> {
    let mut sums: Vec<u64> =
        all.iter().map(|past| past.end.map_or(0, |end| end.cpu_ns())).collect();
    // Children have higher indices than their parents: going backwards, they come first.
    for (index, past) in all.iter().enumerate().rev() {
        let own = sums.get(index).copied().unwrap_or_default();
        if let Some(parent) = past.parent.and_then(|parent| sums.get_mut(parent)) {
            *parent = parent.saturating_add(own);
        }
    }
    sums
}

fn row(out: &mut String, past: &Past, first_ns: u64, tree_ns: u64, prefix: &str) {
    let process = format!("{prefix}{}", past.label());
    let pid = past.pid.to_string();
    // COMMAND begins with its release. What is older began at some time before the picture.
    let begin_ns = past.end.map_or(past.start_ns, |end| end.time_ns.saturating_sub(end.lived_ns));
    let start = begin_ns.checked_sub(first_ns);
    let start = start.map_or("-".to_owned(), |start| Seconds(start).to_string());
    let tree = Seconds(tree_ns).to_string();
    let none = || "-".to_owned();
    let (duration, cpu, status) = match past.end {
        None => (none(), none(), "running".to_owned()),
        Some(end) => (
            Seconds(end.lived_ns).to_string(),
            Seconds(end.cpu_ns()).to_string(),
            end.status.to_string(),
        ),
    };
    line(out, COLUMNS, [&pid, &start, &duration, &cpu, &tree, &status], &process);
}

#[cfg(test)]
mod tests {
    use super::super::history::testing::history;
    use super::*;

    #[test]
    fn a_family() {
        let s = 1_000_000_000;
        let history = history(&[
            (1, 0, s, 9 * s, 0, s / 2),
            (2, 1, 2 * s, 3 * s, 256, 0),
            (4, 2, 2 * s + 1, 2 * s + 2, 0, 0),
            (3, 1, 4 * s, 5 * s, 9, 0),
            (5, 3, 4 * s + 1, 4 * s + 2, 0, s / 4),
        ]);
        let mut drawn = String::new();
        draw(&mut drawn, &history);
        let expected = "PID         START  DURATION       CPU  TREE-CPU STATUS       PROCESS
1           0.000     8.000     0.500     0.750 0            sh
2           1.000     1.000     0.000     0.000 1            ├ sh
4           1.000     0.000     0.000     0.000 0            │ └ sh
3           3.000     1.000     0.000     0.250 SIGKILL      └ sh
5           3.000     0.000     0.250     0.250 0              └ sh
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn as_deep_as_can_be() {
        let lives: Vec<_> =
            (1..=20_000).map(|pid| (pid, pid - 1, u64::from(pid), 99_999, 0, 0)).collect();
        let mut drawn = String::new();
        draw(&mut drawn, &history(&lives));
        assert_eq!(drawn.lines().count(), 20_001);
        assert!(drawn.lines().all(|line| line.chars().count() < 200));
    }
}
