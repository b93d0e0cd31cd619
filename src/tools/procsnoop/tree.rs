//! `--tree-view`: the processes of a run as a tree of text.

use std::fmt::Write as _;

use super::history::{History, Past};
use crate::output::table::Column;
use crate::output::time::Seconds;

/// Deeper levels are not indented further.
const MOST_LEVELS: usize = 24;

/// The columns before the tree itself.
const COLUMNS: [Column; 3] =
    [Column::right("DURATION", 9), Column::right("CPU", 9), Column::left("STATUS", 12)];

/// Appends the tree: one line for each process.
pub fn draw(out: &mut String, history: &History) {
    let [duration, cpu, status] = COLUMNS.map(|column| column.title);
    line(out, duration, cpu, status, "PROCESS");
    let (children, roots) = history.children();
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
        row(out, past, &prefix);
        let below = children.get(index).map(Vec::as_slice).unwrap_or_default();
        let last = below.last().copied();
        todo.extend(below.iter().rev().map(|&child| (child, level + 1, Some(child) == last)));
    }
    if history.forgotten > 0 {
        let _ = writeln!(out, "and {} more", history.forgotten);
    }
}

fn row(out: &mut String, past: &Past, prefix: &str) {
    let process = format!("{prefix}{}", past.label());
    match past.end {
        None => line(out, "-", "-", "running", &process),
        Some(end) => {
            let duration = Seconds(end.lived_ns).to_string();
            let cpu = Seconds(end.cpu_ns).to_string();
            line(out, &duration, &cpu, &end.status.to_string(), &process);
        }
    }
}

fn line(out: &mut String, duration: &str, cpu: &str, status: &str, process: &str) {
    let [a, b, c] = COLUMNS.map(|column| column.width);
    let _ = writeln!(out, "{duration:>a$} {cpu:>b$} {status:c$} {process}");
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
            (5, 3, 4 * s + 1, 4 * s + 2, 0, 0),
        ]);
        let mut drawn = String::new();
        draw(&mut drawn, &history);
        let expected = " DURATION       CPU STATUS       PROCESS
    8.000     0.500 0            sh
    1.000     0.000 1            ├ sh
    0.000     0.000 0            │ └ sh
    1.000     0.000 SIGKILL      └ sh
    0.000     0.000 0              └ sh
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
