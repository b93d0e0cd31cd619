//! The critical path: a strip along the bars that decide, and lines from one to the next.

use std::io::{self, Write};

use super::xml::number;
use super::{BAR, Picture};
use crate::tools::procsnoop::critical::Step;

/// Pixels of the strip.
const STRIP: f64 = 3.0;

/// Steps that are shorter than this part of the picture are drawn together, where most of them is.
const INVISIBLE: u64 = 1000;

/// A stretch of the path within one bar.
struct Stretch {
    bar: usize,
    from_ns: u64,
    until_ns: u64,
}

pub(super) fn write(out: &mut dyn Write, picture: &Picture<'_>) -> io::Result<()> {
    let mut above = None;
    writeln!(out, "<g class=\"p\">")?;
    for Stretch { bar, from_ns, until_ns } in stretches(picture) {
        let lane = picture.bars.lanes.of.get(bar).copied().unwrap_or_default();
        let y = picture.top(lane) + BAR - STRIP;
        let (left, right) = (picture.x(from_ns), picture.x(until_ns));
        if let Some(above) = above {
            let (x, from, to) = (number(left), above + STRIP / 2.0, y + STRIP / 2.0);
            write!(out, "<line class=\"k\" x1=\"{x}%\" x2=\"{x}%\" y1=\"{from}\" y2=\"{to}\"/>")?;
        }
        let (x, width) = (number(left), number(right - left));
        writeln!(
            out,
            "<rect class=\"k\" x=\"{x}%\" width=\"{width}%\" y=\"{y}\" height=\"{STRIP}\"/>"
        )?;
        above = Some(y);
    }
    writeln!(out, "</g>")
}

fn stretches(picture: &Picture<'_>) -> Vec<Stretch> {
    let bar = |step: &Step| picture.bars.of.get(step.process).copied();
    let steps = picture.path.map_or(&[][..], |path| &path.steps).iter();
    let steps = steps.filter_map(|step| Some((bar(step)?, step.from_ns, step.until_ns)));
    join(steps, (picture.last_ns - picture.first_ns) / INVISIBLE)
}

/// Makes stretches of steps: their bars, and from when until when.
fn join(steps: impl Iterator<Item = (usize, u64, u64)>, short_ns: u64) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut short = Short::default();
    for (bar, from_ns, until_ns) in steps {
        if until_ns - from_ns < short_ns {
            short.add(bar, from_ns, until_ns);
            if short.until_ns - short.from_ns < short_ns {
                continue;
            }
        }
        short.end(&mut stretches, short_ns);
        if until_ns - from_ns >= short_ns {
            extend(&mut stretches, bar, from_ns, until_ns);
        }
    }
    short.end(&mut stretches, short_ns);
    stretches
}

fn extend(stretches: &mut Vec<Stretch>, bar: usize, from_ns: u64, until_ns: u64) {
    match stretches.last_mut().filter(|last| last.bar == bar) {
        Some(last) => last.until_ns = until_ns,
        None => stretches.push(Stretch { bar, from_ns, until_ns }),
    }
}

/// Short steps that follow each other: how long each bar has the path.
#[derive(Default)]
struct Short {
    from_ns: u64,
    until_ns: u64,
    bars: Vec<(usize, u64)>,
}

impl Short {
    fn add(&mut self, bar: usize, from_ns: u64, until_ns: u64) {
        if self.bars.is_empty() {
            self.from_ns = from_ns;
        }
        self.until_ns = until_ns;
        match self.bars.iter_mut().find(|(known, _)| *known == bar) {
            Some((_, ns)) => *ns += until_ns - from_ns,
            None => self.bars.push((bar, until_ns - from_ns)),
        }
    }

    /// They become a stretch, or the end of the one before if they are too short together.
    fn end(&mut self, stretches: &mut Vec<Stretch>, short_ns: u64) {
        let Some(&(bar, _)) = self.bars.iter().max_by_key(|(_, ns)| *ns) else { return };
        self.bars.clear();
        match stretches.last_mut().filter(|_| self.until_ns - self.from_ns < short_ns) {
            Some(last) => last.until_ns = self.until_ns,
            None => extend(stretches, bar, self.from_ns, self.until_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_steps_are_where_most_of_them_is() {
        let steps = [
            (0, 0, 100),
            (1, 100, 500),
            (0, 500, 502), // too short to be seen
            (2, 502, 600),
            (0, 600, 603), // many short ones, most of them in 3
            (3, 603, 611),
            (0, 611, 614),
            (3, 614, 622),
            (0, 622, 625),
            (3, 625, 633),
            (0, 633, 700),
        ];
        let joined = join(steps.into_iter(), 20);
        let joined: Vec<_> = joined.iter().map(|s| (s.bar, s.from_ns, s.until_ns)).collect();
        let expected = [(0, 0, 100), (1, 100, 502), (2, 502, 600), (3, 600, 633), (0, 633, 700)];
        assert_eq!(joined, expected);
    }
}
