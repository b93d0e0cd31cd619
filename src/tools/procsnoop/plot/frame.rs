//! What is around the bars: the heading, the legend, the times.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::outcome::Outcome;
use super::xml::{number, text};
use super::{CHAR, LEFT, Picture, TOP, WIDE};
use crate::tools::procsnoop::history::{End, History};
use crate::tools::procsnoop::labels::cut;

/// Pixels from the left of text that stands at no time.
pub(super) const MARGIN: f64 = 8.0;

/// The most characters of the title.
const MOST_TITLE: usize = 300;

/// Pixels beside the title: for what the script puts there.
const BESIDE_TITLE: u32 = 250;

/// Shorter runs say nothing about the load: a little of the CPU time of COMMAND is from the moment
/// before its release.
const BUSY_NS: f64 = 1e8;

/// Times for the narrowest window; the script draws more where there is room.
const TIMES: f64 = 5.0;

/// The part of the width behind which a time has no room.
const LAST_TIME: f64 = 92.0;

pub(super) fn write(out: &mut dyn Write, picture: &Picture<'_>) -> io::Result<()> {
    let title = text(&cut(picture.title.to_owned(), MOST_TITLE));
    writeln!(
        out,
        "<text class=\"h\" x=\"{MARGIN}\" y=\"20\" data-f=\"{BESIDE_TITLE}\">{title}</text>"
    )?;
    let sums = sums(picture.history, picture.span());
    writeln!(out, "<text x=\"{MARGIN}\" y=\"38\">{sums}</text>")?;
    writeln!(
        out,
        "<g transform=\"translate(-8 0)\"><text class=\"o e\" x=\"100%\" y=\"42\"></text></g>"
    )?;
    legend(out, picture)?;
    times(out, picture)
}

/// How many processes, and what they used.
pub(super) fn sums(history: &History, span: f64) -> String {
    let all = history.processes();
    // Part of an older process's CPU time is from before the picture.
    let is_within = |end: &End| end.time_ns.saturating_sub(end.lived_ns) >= history.began_ns;
    let ends = all.iter().filter_map(|past| past.end).filter(is_within);
    let cpu: u64 = ends.map(|end| end.cpu_ns()).sum();
    let processes = if all.len() == 1 { "process" } else { "processes" };
    let (seconds, cpu_seconds) = (span / 1e9, cpu as f64 / 1e9);
    let mut sums =
        format!("{} {processes}, {seconds:.3} s, {cpu_seconds:.3} s of CPU time", all.len());
    if span >= BUSY_NS {
        let _ = write!(sums, ", {:.2} CPUs busy on average", cpu as f64 / span);
    }
    sums
}

/// One mark with its words.
struct Entry {
    mark: String,
    words: String,
}

fn legend(out: &mut dyn Write, picture: &Picture<'_>) -> io::Result<()> {
    let all = picture.history.processes();
    let square = |class: &str, inner: &str| {
        format!("<g class=\"{class}\"><rect width=\"12\" height=\"12\"/>{inner}</g>")
    };
    let ends = Outcome::ALL.map(|(outcome, words)| {
        let count = all.iter().filter(|past| Outcome::of(past) == outcome).count();
        Entry { mark: square(outcome.class(), ""), words: format!("{words}: {count}") }
    });
    let dark = "<rect class=\"c\" y=\"6\" width=\"12\" height=\"6\"/>";
    let mut marks = vec![Entry { mark: square("ok", dark), words: "share of a CPU".to_owned() }];
    let gathered = picture.bars.all.iter().filter(|bar| bar.processes.len() > 1);
    let gathered: usize = gathered.map(|bar| bar.processes.len()).sum();
    if gathered > 0 {
        let words = format!("several short ones: {gathered}");
        marks.push(Entry { mark: square("ok m", ""), words });
    }
    if picture.path.is_some() {
        let strip = "<rect class=\"k\" y=\"5\" width=\"12\" height=\"3\"/>";
        let words = "critical path".to_owned();
        marks.push(Entry { mark: strip.to_owned(), words });
    }
    line(out, &ends, 46.0)?;
    line(out, &marks, 62.0)
}

/// A line of the legend.
fn line(out: &mut dyn Write, entries: &[Entry], top: f64) -> io::Result<()> {
    let mut left = MARGIN;
    for Entry { mark, words } in entries {
        writeln!(
            out,
            "<g transform=\"translate({left:.0} {top})\">{mark}\
             <text x=\"16\" y=\"10\">{words}</text></g>"
        )?;
        left += 28.0 + words.len() as f64 * CHAR;
    }
    Ok(())
}

/// Nanoseconds from line to line: round ones, at most `most` of them.
fn step(span: f64, most: f64) -> f64 {
    let mut step = 1.0;
    for factor in [2.0, 2.5, 2.0].iter().cycle() {
        if span / step <= most {
            break;
        }
        step *= factor;
    }
    step
}

fn times(out: &mut dyn Write, picture: &Picture<'_>) -> io::Result<()> {
    let (span, height) = (picture.span(), picture.bottom());
    let step = step(span, TIMES);
    let digits = (9.0 - step.log10()).ceil().clamp(0.0, 9.0) as usize;
    writeln!(
        out,
        "<g class=\"x\" data-seconds=\"{}\" data-y=\"{:.0}\" data-height=\"{height:.0}\">",
        span / 1e9,
        TOP - 6.0
    )?;
    let mut at = 0.0;
    while at <= span {
        let x = LEFT + at / span * WIDE;
        let place = number(x);
        write!(
            out,
            "<line class=\"g\" x1=\"{place}%\" x2=\"{place}%\" y1=\"{:.0}\" y2=\"{height:.0}\"/>",
            TOP - 6.0
        )?;
        if x < LAST_TIME {
            write!(
                out,
                "<text class=\"s\" x=\"{place}%\" y=\"{:.0}\">{:.digits$} s</text>",
                TOP - 6.0,
                at / 1e9
            )?;
        }
        at += step;
    }
    writeln!(out, "</g>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::procsnoop::history::testing::history;

    #[test]
    fn sums_of_what_is_in_the_picture() {
        let one = history(&[(1, 0, 5, 900, 0, 1000)]);
        assert_eq!(sums(&one, 9e5), "1 process, 0.001 s, 0.000 s of CPU time");
        let s = 1_000_000_000;
        let mut two = history(&[(1, 0, s, 9 * s, 0, 4 * s), (2, 1, 7 * s, 8 * s, 0, s)]);
        let all = "2 processes, 8.000 s, 5.000 s of CPU time, 0.62 CPUs busy on average";
        assert_eq!(sums(&two, 8e9), all);
        two.began_ns = 5 * s; // the first one is older
        let new = "2 processes, 4.000 s, 1.000 s of CPU time, 0.25 CPUs busy on average";
        assert_eq!(sums(&two, 4e9), new);
    }

    #[test]
    fn round_times() {
        for (span, expected) in [(1.0, 1.0), (7e9, 2e9), (9.9e8, 2e8), (12e9, 5e9)] {
            assert!((step(span, 5.0) - expected).abs() < 1e-3, "{span}: {}", step(span, 5.0));
        }
    }
}
