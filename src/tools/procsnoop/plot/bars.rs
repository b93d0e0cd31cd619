//! The bars, with their labels and tooltips.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::gather::{Bar, Sums};
use super::outcome::Outcome;
use super::xml::{number, text};
use super::{BAR, Picture};
use crate::tools::procsnoop::history::Past;
use crate::tools::procsnoop::labels::cut;
use crate::tools::procsnoop::status::Status;

/// The most characters of a label, and of one for narrow bars.
const LONG: usize = 70;
const SHORT: usize = 24;

/// The most characters of a tooltip's line.
const MOST_TIP: usize = 240;

/// Programs that the tooltip of many processes names.
const MOST_PROGRAMS: usize = 5;

/// Percents of the width of bars that have labels without the script, and of those that have more
/// than what differs from others, and the long one.
const LABELLED: f64 = 2.0;
const SHORT_LABELLED: f64 = 8.0;
const LONG_LABELLED: f64 = 25.0;

/// Pixels of the strip that shows the worst end of many processes.
const WORST: f64 = 4.0;

/// Smaller shares of a CPU are not drawn.
const LEAST_SHARE: f64 = 0.02;

/// What a bar says.
struct Words {
    tip: String,
    long: String,
    short: String,
}

pub(super) fn write(out: &mut dyn Write, picture: &Picture<'_>) -> io::Result<()> {
    for (bar, &lane) in picture.bars.all.iter().zip(&picture.bars.lanes.of) {
        one(out, picture, bar, picture.top(lane))?;
    }
    Ok(())
}

fn one(out: &mut dyn Write, picture: &Picture<'_>, bar: &Bar, top: f64) -> io::Result<()> {
    let sums = Sums::new(picture.history, picture.last_ns, bar);
    let words = words(picture, bar, &sums);
    let (left, right) = (picture.x(bar.start_ns), picture.x(bar.end_ns));
    let width = right - left;
    let place = format!("x=\"{}%\" width=\"{}%\"", number(left), number(width));
    let many = match bar.processes.len() {
        1 => String::new(),
        count => format!(" data-n=\"{count}\""),
    };
    let class = match bar.processes.len() {
        1 => sums.outcome.class(),
        _ => "ok m",
    };
    write!(out, "<g class=\"b {class}\"{many} data-l=\"{}\"", text(&words.long))?;
    if words.short != words.long {
        write!(out, " data-s=\"{}\"", text(&words.short))?;
    }
    write!(
        out,
        "><title>{}</title><rect {place} y=\"{top:.0}\" height=\"{BAR}\"/>",
        text(&words.tip)
    )?;
    let share = match bar.processes.len() {
        1 => own_share(picture, bar),
        _ => (sums.cpu_ns as f64 / (bar.end_ns - bar.start_ns).max(1) as f64).min(1.0),
    };
    if share > LEAST_SHARE {
        let high = number((share * BAR * 10.0).round() / 10.0);
        let from = number(top + BAR - (share * BAR * 10.0).round() / 10.0);
        write!(out, "<rect class=\"c\" {place} y=\"{from}\" height=\"{high}\"/>")?;
    }
    if bar.processes.len() > 1 && sums.outcome != Outcome::Ok {
        let class = sums.outcome.class();
        write!(out, "<rect class=\"w{class}\" {place} y=\"{top:.0}\" height=\"{WORST}\"/>")?;
    }
    if width >= LABELLED {
        // A nested picture ends at its edges, and the label with it.
        let count = bar.processes.len().to_string();
        let label = match words.short.rsplit(" … ").next() {
            _ if width >= LONG_LABELLED => &words.long,
            _ if width >= SHORT_LABELLED => &words.short,
            _ if bar.processes.len() > 1 => count.as_str(),
            least => least.unwrap_or_default(),
        };
        write!(
            out,
            "<svg {place} y=\"{top:.0}\" height=\"{BAR}\"><text x=\"3\" y=\"11.5\">{}</text></svg>",
            text(label)
        )?;
    }
    writeln!(out, "</g>")
}

/// Of the whole life, also of one that began before the picture.
fn own_share(picture: &Picture<'_>, bar: &Bar) -> f64 {
    let past = bar.processes.first().and_then(|&index| picture.history.processes().get(index));
    past.and_then(Past::cpu_share).unwrap_or(0.0).min(1.0)
}

fn words(picture: &Picture<'_>, bar: &Bar, sums: &Sums) -> Words {
    let all = picture.history.processes();
    let single = match bar.processes.as_slice() {
        [index] => all.get(*index),
        _ => None,
    };
    let Some(past) = single else { return of_many(picture, &bar.processes, sums) };
    Words {
        tip: tip(picture, past),
        long: picture.labels.label(past, LONG),
        short: picture.labels.label(past, SHORT),
    }
}

fn tip(picture: &Picture<'_>, past: &Past) -> String {
    let begin = past.start_ns.saturating_sub(picture.first_ns) as f64 / 1e9;
    let mut tip = format!("{}\npid {}, from {begin:.6} s", cut(past.label(), MOST_TIP), past.pid);
    match past.end {
        None => tip.push_str(", still there"),
        Some(end) => {
            let (lived, cpu) = (end.lived_ns as f64 / 1e9, end.cpu_ns() as f64 / 1e9);
            let _ = write!(tip, ", {lived:.6} s, CPU {cpu:.6} s, ");
            let _ = match end.status {
                Status::Code(code) => write!(tip, "exit code {code}"),
                signal => write!(tip, "{signal}"),
            };
        }
    }
    for earlier in &past.earlier {
        let _ = write!(tip, "\nbefore: {}", cut(earlier.command.clone(), MOST_TIP));
    }
    tip
}

fn of_many(picture: &Picture<'_>, many: &[usize], sums: &Sums) -> Words {
    let all = picture.history.processes();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for past in many.iter().filter_map(|&index| all.get(index)) {
        *counts.entry(picture.labels.program(past)).or_default() += 1;
    }
    let mut programs: Vec<_> = counts.into_iter().collect();
    programs.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let count = many.len();
    let (lived, cpu) = (sums.lived_ns as f64 / 1e9, sums.cpu_ns as f64 / 1e9);
    let mut tip = format!("{count} processes, together {lived:.6} s, CPU {cpu:.6} s");
    if sums.failed > 0 {
        let _ = write!(tip, ", {} failed", sums.failed);
    }
    for (program, count) in programs.iter().take(MOST_PROGRAMS) {
        let _ = write!(tip, "\n{count} × {}", cut(program.clone(), MOST_TIP));
    }
    if programs.len() > MOST_PROGRAMS {
        tip.push_str("\n…");
    }
    let names: Vec<_> = programs.iter().take(3).map(|(name, _)| name.as_str()).collect();
    let rest = if programs.len() > 3 { ", …" } else { "" };
    let long = format!("{count} × {}{rest}, {lived:.3} s", names.join(", "));
    let first = names.first().copied().unwrap_or_default();
    let short = match programs.len() {
        1 => format!("{count} × {first}"),
        _ => format!("{count} × {first}, …"),
    };
    Words { tip, long: cut(long, LONG), short: cut(short, SHORT) }
}
