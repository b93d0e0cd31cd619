//! `--plot`: the processes of a run over time, as one self-contained SVG file.
//!
//! Each process is a bar, above the bars of its children; many short ones share one. The colour
//! shows the kind of end; the darker part of a bar, from its bottom, the share of a CPU. Times are
//! percents of the width, so that the picture is as wide as its window and text keeps its size.
//!
//! The file is complete without its script, which only adds zoom, search and labels that are cut at
//! a character. Neither script nor style holds anything of a process: both are always the same bytes,
//! so a Content-Security-Policy can name them by their hashes.

mod bars;
mod frame;
mod gather;
mod lists;
mod outcome;
mod path;
mod xml;

use std::io::{self, Write};

use super::critical::Path;
use super::history::History;
use super::labels::Labels;
use gather::Bars;

/// The style, and the script.
pub const STYLE: &str = include_str!("plot/style.css");
pub const SCRIPT: &str = include_str!("plot/script.js");

/// Pixels from lane to lane, of a bar, and above the first lane.
const LANE: f64 = 19.0;
const BAR: f64 = 16.0;
const TOP: f64 = 92.0;

/// Pixels of most characters of the text; wide enough to leave none without room.
const CHAR: f64 = 6.2;

/// Percents of the width: left of the first moment, and from the first to the last one.
const LEFT: f64 = 0.5;
const WIDE: f64 = 99.0;

/// The width where nothing else decides, as in a converter without windows; pixels.
const USUAL_WIDTH: u32 = 1200;

/// What is drawn.
struct Picture<'a> {
    history: &'a History,
    title: &'a str,
    path: Option<&'a Path>,
    labels: Labels<'a>,
    bars: Bars,
    first_ns: u64,
    last_ns: u64,
}

impl<'a> Picture<'a> {
    fn new(history: &'a History, title: &'a str, path: Option<&'a Path>) -> Self {
        let (first_ns, last_ns) = history.span().unwrap_or((0, 1));
        let bars = Bars::new(history, last_ns, &lists::longest(history, last_ns));
        Self { history, title, path, labels: Labels::new(history), bars, first_ns, last_ns }
    }

    /// Nanoseconds of the picture.
    fn span(&self) -> f64 {
        (self.last_ns - self.first_ns).max(1) as f64
    }

    /// The place of a moment, in percent.
    fn x(&self, ns: u64) -> f64 {
        LEFT + ns.saturating_sub(self.first_ns) as f64 / self.span() * WIDE
    }

    /// Pixels above the bars of a lane.
    fn top(&self, lane: usize) -> f64 {
        TOP + lane as f64 * LANE
    }

    /// Pixels above what is below all bars.
    fn bottom(&self) -> f64 {
        self.top(self.bars.lanes.count) + 4.0
    }
}

/// Writes the picture. `title`: what was traced. `path`: its critical path, if it has one.
pub fn write(
    out: &mut dyn Write,
    history: &History,
    title: &str,
    path: Option<&Path>,
) -> io::Result<()> {
    let picture = Picture::new(history, title, path);
    let lists = lists::Lists::new(&picture);
    let height = picture.bottom() + lists.height();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{USUAL_WIDTH}\" height=\"{height:.0}\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"bg\" width=\"100%\" height=\"100%\"/>"
    )?;
    frame::write(out, &picture)?;
    bars::write(out, &picture)?;
    path::write(out, &picture)?;
    lists.write(out, picture.bottom())?;
    writeln!(out, "<script>//<![CDATA[\n{SCRIPT}//]]></script>\n</svg>")
}

#[cfg(test)]
mod tests;
