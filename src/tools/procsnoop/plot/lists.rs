//! Below the bars: the longest processes, and the critical path in a line.

use std::io::{self, Write};

use super::Picture;
use super::frame::MARGIN;
use super::xml::text;
use crate::tools::procsnoop::critical::Path;
use crate::tools::procsnoop::history::History;

/// How many of the longest processes are listed.
const LONGEST: usize = 10;

/// Pixels from line to line.
const LINE: f64 = 16.0;

/// Characters of a command.
const MOST_CHARS: usize = 160;

/// Pixels of the columns of numbers: to the right edge of the last one, and to the command.
const COLUMNS: [f64; 3] = [70.0, 140.0, 210.0];
const COMMAND: f64 = 224.0;

/// The processes that took longest by themselves: while no child of theirs lived.
pub(super) fn longest(history: &History, until_ns: u64) -> Vec<usize> {
    let (children, _) = history.children();
    let mut own: Vec<_> = children
        .iter()
        .enumerate()
        .map(|(index, children)| (own_ns(history, until_ns, index, children), index))
        .collect();
    own.sort_by_key(|&(own_ns, index)| (std::cmp::Reverse(own_ns), index));
    own.into_iter().take(LONGEST).map(|(_, index)| index).collect()
}

/// Nanoseconds of a process's life without a child. `children`: in the order of their births.
fn own_ns(history: &History, until_ns: u64, process: usize, children: &[usize]) -> u64 {
    let all = history.processes();
    let drawn = |index: usize| all.get(index).map(|past| history.drawn(past, until_ns));
    let Some((mut at_ns, end_ns)) = drawn(process) else { return 0 };
    let mut own_ns = 0;
    for (from_ns, to_ns) in children.iter().filter_map(|&child| drawn(child)) {
        own_ns += from_ns.min(end_ns).saturating_sub(at_ns);
        at_ns = at_ns.max(to_ns);
    }
    own_ns + end_ns.saturating_sub(at_ns)
}

/// A line: the bar that it is about, cells of numbers, text.
struct Line {
    bar: Option<usize>,
    cells: Vec<String>,
    text: String,
}

/// The lines.
pub(super) struct Lists(Vec<Line>);

impl Lists {
    pub(super) fn new(picture: &Picture<'_>) -> Self {
        let mut lines = Vec::new();
        if let Some(path) = picture.path {
            let plain = |text| Line { bar: None, cells: Vec::new(), text };
            lines.push(plain(path_line(path, picture.history)));
            lines.extend(path.unsure.iter().map(|doubt| plain(format!("unsure: {doubt}"))));
        }
        let all = picture.history.processes();
        let longest = longest(picture.history, picture.last_ns);
        let titles = ["alone", "lived", "CPU"].map(str::to_owned).to_vec();
        let heading = "the longest, by seconds without a child".to_owned();
        lines.push(Line { bar: None, cells: titles, text: heading });
        let (children, _) = picture.history.children();
        for index in longest {
            let (Some(past), Some(children)) = (all.get(index), children.get(index)) else {
                continue;
            };
            let own_ns = own_ns(picture.history, picture.last_ns, index, children);
            let (from_ns, to_ns) = picture.history.drawn(past, picture.last_ns);
            let cpu_ns = past.end.map(|end| end.cpu_ns());
            let seconds = |ns: u64| format!("{:.3}", ns as f64 / 1e9);
            let cpu = cpu_ns.map_or("-".to_owned(), seconds);
            lines.push(Line {
                bar: picture.bars.of.get(index).copied(),
                cells: vec![seconds(own_ns), seconds(to_ns - from_ns), cpu],
                text: format!("{} (pid {})", picture.labels.label(past, MOST_CHARS), past.pid),
            });
        }
        Self(lines)
    }

    /// Pixels.
    pub(super) fn height(&self) -> f64 {
        (self.0.len() + 1) as f64 * LINE
    }

    pub(super) fn write(&self, out: &mut dyn Write, top: f64) -> io::Result<()> {
        for (number, line) in self.0.iter().enumerate() {
            let y = top + (number + 1) as f64 * LINE;
            let bar = line.bar.map_or_else(String::new, |bar| format!(" data-b=\"{bar}\""));
            let class = if line.bar.is_some() { "" } else { " class=\"s\"" };
            write!(out, "<g class=\"t\"{bar}>")?;
            for (cell, right) in line.cells.iter().zip(COLUMNS) {
                let class = if line.bar.is_some() { "e" } else { "e s" };
                write!(out, "<text class=\"{class}\" x=\"{right}\" y=\"{y}\">{cell}</text>")?;
            }
            let left = if line.cells.is_empty() { MARGIN } else { COMMAND };
            writeln!(
                out,
                "<text{class} x=\"{left}\" y=\"{y}\" data-f=\"{:.0}\">{}</text></g>",
                left + MARGIN,
                text(&line.text)
            )?;
        }
        Ok(())
    }
}

/// The critical path in one line.
fn path_line(path: &Path, history: &History) -> String {
    let (cpu_ns, other_ns) = path.sums(history);
    let seconds = |ns: u64| ns as f64 / 1e9;
    format!(
        "critical path: {} of {} processes, {:.3} s = {:.3} on a CPU + {:.3} waiting",
        path.members.len(),
        history.processes().len(),
        seconds(path.total_ns()),
        seconds(cpu_ns),
        seconds(other_ns)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::procsnoop::history::testing::history;

    #[test]
    fn time_without_children() {
        let history = history(&[
            (1, 0, 0, 1000, 0, 0),
            (2, 1, 100, 300, 0, 0),
            (3, 1, 200, 400, 0, 0),
            (4, 1, 250, 350, 0, 0),
            (5, 1, 900, 1200, 0, 0),
        ]);
        let (children, _) = history.children();
        assert_eq!(own_ns(&history, 1200, 0, &children[0]), 100 + 500);
        assert_eq!(longest(&history, 1200)[..3], [0, 4, 1]);
    }
}
