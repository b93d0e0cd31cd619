//! `--plot`: the processes of a run over time, as one self-contained SVG file.
//!
//! Each process is a bar, above the bars of its children. Siblings share a lane where they do not
//! overlap, so that thousands of short processes need few lanes. The colour shows the kind of end;
//! the darker part of a bar, from its bottom, the share of a CPU.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::history::{End, History, Past};
use super::status::Status;

const LANE: f64 = 17.0;
const BAR: f64 = 15.0;
const TOP: f64 = 58.0;
const MARGIN: f64 = 8.0;

/// Pixels of a character of the labels, and fewest that are worth to be shown.
const CHAR: f64 = 6.1;
const FEWEST_CHARS: usize = 3;

/// The lane of each process, from 0 at the top.
pub struct Lanes {
    /// By index in the history
    pub of: Vec<usize>,
    /// How many there are
    pub count: usize,
}

/// The space of a process and its descendants.
#[derive(Clone, Copy)]
struct Block {
    /// Lanes below its parent's
    offset: usize,
    lanes: usize,
    start_ns: u64,
    end_ns: u64,
}

/// The most siblings alive at once to search for a gap; further ones go below all of them.
const MOST_LOOKED_THROUGH: usize = 1000;

/// Puts siblings below each other where they overlap in time; returns the number of lanes.
fn stack(blocks: &mut [Block], members: &[usize]) -> usize {
    let mut alive: Vec<Block> = Vec::new();
    let mut deepest = 0;
    // In the order of their births, so that an ended process frees its lane for all later ones.
    let mut members = members.to_vec();
    members.sort_by_key(|&member| blocks.get(member).map(|block| block.start_ns));
    for member in members {
        let Some(block) = blocks.get_mut(member) else { continue };
        alive.retain(|other| other.end_ns > block.start_ns);
        let mut offset = 1;
        if alive.len() > MOST_LOOKED_THROUGH {
            offset = deepest + 1;
        } else {
            alive.sort_by_key(|other| other.offset);
            for other in &alive {
                if offset + block.lanes <= other.offset {
                    break;
                }
                offset = offset.max(other.offset + other.lanes);
            }
        }
        block.offset = offset;
        deepest = deepest.max(offset + block.lanes - 1);
        alive.push(*block);
    }
    deepest
}

impl Lanes {
    /// Gives every process its lane.
    pub fn new(history: &History, until_ns: u64) -> Self {
        let all = history.processes();
        let (children, roots) = history.children();
        let mut blocks: Vec<Block> = all
            .iter()
            .map(|past| {
                let (start_ns, end_ns) = history.drawn(past, until_ns);
                Block { offset: 0, lanes: 1, start_ns, end_ns }
            })
            .collect();
        // Children have higher indices than their parents: going backwards, they come first.
        for index in (0..all.len()).rev() {
            let Some(members) = children.get(index) else { continue };
            let deepest = stack(&mut blocks, members);
            let last = members.iter().filter_map(|&m| blocks.get(m)).map(|b| b.end_ns).max();
            if let Some(block) = blocks.get_mut(index) {
                block.lanes = deepest + 1;
                block.end_ns = block.end_ns.max(last.unwrap_or(0));
            }
        }
        let count = stack(&mut blocks, &roots);
        let mut of: Vec<usize> = Vec::with_capacity(all.len());
        for (past, block) in all.iter().zip(&blocks) {
            let parent = past.parent.and_then(|parent| of.get(parent)).copied();
            // Roots have offsets from 1, without a parent's lane.
            of.push(parent.map_or(block.offset.saturating_sub(1), |lane| lane + block.offset));
        }
        Self { of, count }
    }
}

/// Class of a bar.
fn outcome(past: &Past) -> &'static str {
    match past.end.map(|end| end.status) {
        None => "run",
        Some(Status::Code(0)) => "ok",
        Some(Status::Code(_)) => "bad",
        Some(Status::Signal { .. }) => "sig",
    }
}

const STYLE: &str = "\
svg{font:11px system-ui,sans-serif;background:#fff}text{fill:#111}.l text{pointer-events:none}\
.ok{fill:#b9d7ef}.bad{fill:#f6b26b}.sig{fill:#ee8a8a}.run{fill:#d5d5d5}\
.ok+.c{fill:#5b9bd5}.bad+.c{fill:#d9760f}.sig+.c{fill:#c62828}.run+.c{fill:#999}\
.g{stroke:#e4e4e4}.b:hover rect{stroke:#000;stroke-width:1}";

/// Writes the picture. `title`: what was traced.
pub fn write(out: &mut dyn Write, history: &History, title: &str) -> io::Result<()> {
    let (first, last) = history.span().unwrap_or((0, 1));
    let span = (last - first).max(1) as f64;
    let lanes = Lanes::new(history, last);
    let all = history.processes();
    // Thousands of processes need more width; a browser scrolls.
    let width = (all.len() as f64 * 2.0).clamp(1500.0, 8000.0);
    let height = TOP + lanes.count as f64 * LANE + 2.0 * MARGIN;
    let x = |ns: u64| MARGIN + ns.saturating_sub(first) as f64 / span * (width - 2.0 * MARGIN);

    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\"><style>{STYLE}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    )?;
    legend(out, history, title, span)?;
    grid(out, span, width, height)?;
    writeln!(out, "<g class=\"l\">")?;
    for (past, lane) in all.iter().zip(&lanes.of) {
        let (start_ns, end_ns) = history.drawn(past, last);
        let (left, right) = (x(start_ns), x(end_ns));
        let top = TOP + *lane as f64 * LANE;
        bar(out, past, left, (right - left).max(0.4), top)?;
    }
    writeln!(out, "</g></svg>")
}

/// Shorter runs say nothing about the load: a little of the CPU time of COMMAND is from the moment
/// before its release.
const BUSY_NS: f64 = 1e8;

fn heading(history: &History, title: &str, span: f64) -> String {
    let all = history.processes();
    // Part of an older process's CPU time is from before the picture.
    let is_within = |end: &End| end.time_ns.saturating_sub(end.lived_ns) >= history.began_ns;
    let ends = all.iter().filter_map(|past| past.end).filter(is_within);
    let cpu: u64 = ends.map(|end| end.cpu_ns).sum();
    let processes = if all.len() == 1 { "process" } else { "processes" };
    let (seconds, cpu_seconds) = (span / 1e9, cpu as f64 / 1e9);
    let mut heading = format!(
        "{title}: {} {processes}, {seconds:.3} s, {cpu_seconds:.3} s of CPU time",
        all.len()
    );
    if span >= BUSY_NS {
        let _ = write!(heading, ", {:.2} CPUs busy on average", cpu as f64 / span);
    }
    heading
}

fn legend(out: &mut dyn Write, history: &History, title: &str, span: f64) -> io::Result<()> {
    let all = history.processes();
    let count = |class| all.iter().filter(|past| outcome(past) == class).count();
    let heading = heading(history, title, span);
    writeln!(out, "<text x=\"{MARGIN}\" y=\"16\" font-size=\"13\">{}</text>", xml(&heading))?;
    let mut left = MARGIN;
    for (class, words) in [
        ("ok", "exit code 0"),
        ("bad", "other exit code"),
        ("sig", "signal"),
        ("run", "still there"),
    ] {
        let label = format!("{words}: {}", count(class));
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{left:.0}\" y=\"23\" width=\"12\" height=\"12\"/>\
             <text x=\"{:.0}\" y=\"33\">{label}</text>",
            left + 16.0
        )?;
        left += 34.0 + label.len() as f64 * CHAR;
    }
    writeln!(out, "<text x=\"{left:.0}\" y=\"33\">dark part: share of one CPU</text>")
}

/// Lines at round times.
fn grid(out: &mut dyn Write, span: f64, width: f64, height: f64) -> io::Result<()> {
    let most = width / 120.0;
    let mut step = 1.0;
    for factor in [2.0, 2.5, 2.0].iter().cycle() {
        if span / step <= most {
            break;
        }
        step *= factor;
    }
    let mut at = 0.0;
    while at <= span {
        let x = MARGIN + at / span * (width - 2.0 * MARGIN);
        let digits = if step >= 1e9 {
            0
        } else if step >= 1e6 {
            3
        } else {
            6
        };
        writeln!(
            out,
            "<path class=\"g\" d=\"M{x:.1} 48V{height:.0}\"/>\
             <text x=\"{x:.1}\" y=\"48\">{:.digits$} s</text>",
            at / 1e9
        )?;
        at += step;
    }
    Ok(())
}

fn bar(out: &mut dyn Write, past: &Past, left: f64, width: f64, top: f64) -> io::Result<()> {
    let class = outcome(past);
    let label = past.label();
    let mut tip = format!("{label}\npid {}", past.pid);
    if let Some(end) = past.end {
        let (lived, cpu) = (end.lived_ns as f64 / 1e9, end.cpu_ns as f64 / 1e9);
        let _ = write!(tip, ", {lived:.6} s, CPU {cpu:.6} s, ");
        let _ = match end.status {
            Status::Code(code) => write!(tip, "exit code {code}"),
            signal => write!(tip, "{signal}"),
        };
    }
    write!(
        out,
        "<g class=\"b\"><title>{}</title>\
         <rect class=\"{class}\" x=\"{left:.2}\" y=\"{top:.0}\" width=\"{width:.2}\" height=\"{BAR}\"/>",
        xml(&tip)
    )?;
    let share = past.cpu_share().unwrap_or(0.0).min(1.0);
    if share > 0.02 {
        let high = share * BAR;
        write!(
            out,
            "<rect class=\"c\" x=\"{left:.2}\" y=\"{:.1}\" width=\"{width:.2}\" height=\"{high:.1}\"/>",
            top + BAR - high
        )?;
    }
    let room = ((width - 4.0) / CHAR).max(0.0) as usize;
    if room >= FEWEST_CHARS {
        let label = past.short_label();
        let short: String = match label.chars().count() {
            count if count <= room => label,
            _ => label.chars().take(room - 1).chain(['…']).collect(),
        };
        write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left + 2.0,
            top + 11.5,
            xml(&short)
        )?;
    }
    writeln!(out, "</g>")
}

/// Text for XML.
fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML may not hold these, not even escaped.
            c if c.is_control() && c != '\n' => safe.push('\u{FFFD}'),
            '\u{FFFE}' | '\u{FFFF}' => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::history::testing::history;
    use super::*;

    fn drawn(history: &History) -> String {
        let mut out = Vec::new();
        write(&mut out, history, "a <b> & c").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_bar_for_each_process() {
        let history =
            history(&[(1, 0, 0, 900, 0, 450), (2, 1, 100, 200, 256, 0), (3, 1, 300, 400, 9, 0)]);
        let svg = drawn(&history);
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("a &lt;b&gt; &amp; c: 3 processes"));
        assert_eq!(svg.matches("class=\"c\"").count(), 1, "only one used a CPU");
        for class in ["ok", "bad", "sig"] {
            assert_eq!(svg.matches(&format!("<rect class=\"{class}\"")).count(), 2, "legend, bar");
        }
        let lanes = Lanes::new(&history, 900);
        assert_eq!((lanes.of, lanes.count), (vec![0, 1, 1], 2), "siblings share a lane");
    }

    #[test]
    fn headings() {
        let one = history(&[(1, 0, 5, 900, 0, 1000)]);
        assert_eq!(heading(&one, "true", 9e5), "true: 1 process, 0.001 s, 0.000 s of CPU time");
        let s = 1_000_000_000;
        let mut two = history(&[(1, 0, s, 9 * s, 0, 4 * s), (2, 1, 7 * s, 8 * s, 0, s)]);
        let all = "x: 2 processes, 8.000 s, 5.000 s of CPU time, 0.62 CPUs busy on average";
        assert_eq!(heading(&two, "x", 8e9), all);
        two.began_ns = 5 * s; // the first one is older
        let new = "x: 2 processes, 4.000 s, 1.000 s of CPU time, 0.25 CPUs busy on average";
        assert_eq!(heading(&two, "x", 4e9), new);
        assert!(drawn(&two).contains("1.000000 s, CPU 1.000000 s, exit code 0</title>"));
    }

    #[test]
    fn nothing_at_all() {
        assert!(drawn(&History::default()).ends_with("</svg>\n"));
    }

    proptest! {
        #[test]
        fn no_two_bars_overlap(lives in proptest::collection::vec((0u32..20, 0u64..100, 0u64..50), 1..60)) {
            let mut family = Vec::new();
            for (pid, (parent, start, lived)) in (1..).zip(lives) {
                family.push((pid, if parent < pid { parent } else { 0 }, start, start + lived, 0, 0));
            }
            family.sort_by_key(|life| life.2);
            let history = history(&family);
            let lanes = Lanes::new(&history, 200);
            let all = history.processes();
            for (a, past) in all.iter().enumerate() {
                prop_assert!(lanes.of[a] < lanes.count);
                if let Some(parent) = past.parent {
                    prop_assert!(lanes.of[parent] < lanes.of[a], "below its parent");
                }
                for (b, other) in all.iter().enumerate().take(a) {
                    let (end, other_end) = (past.end.unwrap().time_ns, other.end.unwrap().time_ns);
                    let apart = end <= other.start_ns || other_end <= past.start_ns;
                    prop_assert!(apart || lanes.of[a] != lanes.of[b], "{past:?} {other:?}");
                }
            }
        }
    }
}
