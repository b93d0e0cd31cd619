//! The differences, as a table or as JSON Lines.

use std::collections::HashMap;

use anyhow::Result;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::LEAST_PART;
use super::commands::{Arguments, Command, Commands};
use super::pairs::Pair;
use super::parts::{Part, parts};
use crate::output::escape::{Quote, push_shell_word};
use crate::output::json::{BytesList, EventName, is_zero};
use crate::output::table::{Column, FAILURE, Output, count};
use crate::output::time::Seconds;
use crate::tools::procsnoop::args::Args;
use crate::tools::procsnoop::status::Status;

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum What {
    FailsInB,
    FailsInA,
    OnlyInB,
    OnlyInA,
    Arguments,
    Slower,
    Faster,
}

impl What {
    const ALL: [Self; 7] = [
        Self::FailsInB,
        Self::FailsInA,
        Self::OnlyInB,
        Self::OnlyInA,
        Self::Arguments,
        Self::Slower,
        Self::Faster,
    ];

    /// In JSON.
    fn key(self) -> String {
        self.words().replace(' ', "_").to_ascii_lowercase()
    }

    fn words(self) -> &'static str {
        match self {
            Self::FailsInB => "fails in B",
            Self::FailsInA => "fails in A",
            Self::OnlyInB => "only in B",
            Self::OnlyInA => "only in A",
            Self::Arguments => "arguments",
            Self::Slower => "slower",
            Self::Faster => "faster",
        }
    }
}

/// A command in one of the runs, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) args: Vec<Vec<u8>>,
    /// The sum
    pub(super) duration_ns: u64,
    /// Of the last time
    pub(super) status: Status,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) what: What,
    /// How often
    pub(super) count: u64,
    pub(super) a: Option<Side>,
    pub(super) b: Option<Side>,
}

impl Row {
    fn change_ns(&self) -> u64 {
        let ns = |side: &Option<Side>| side.as_ref().map_or(0, |side| side.duration_ns);
        ns(&self.a).abs_diff(ns(&self.b))
    }
}

/// Adds up equal differences, in the order in which they come.
#[derive(Default)]
struct Rows {
    all: Vec<Row>,
    by_key: HashMap<(What, Arguments, Arguments), usize>,
}

impl Rows {
    fn add(&mut self, what: What, a: Option<&Command>, b: Option<&Command>) {
        let args = |side: Option<&Command>| side.map(|side| side.args.clone()).unwrap_or_default();
        let side = |command: &Command| Side {
            args: command.args.clone(),
            duration_ns: command.duration_ns,
            status: command.status,
        };
        let at = *self.by_key.entry((what, args(a), args(b))).or_insert(self.all.len());
        let Some(row) = self.all.get_mut(at) else {
            self.all.push(Row { what, count: 1, a: a.map(side), b: b.map(side) });
            return;
        };
        row.count += 1;
        for (side, command) in [(&mut row.a, a), (&mut row.b, b)] {
            if let Some((side, command)) = side.as_mut().zip(command) {
                side.duration_ns = side.duration_ns.saturating_add(command.duration_ns);
                side.status = command.status;
            }
        }
    }
}

/// All differences, by kind; of one kind the largest first.
pub(super) fn rows(a: &Commands, b: &Commands, pairs: &[Pair], least_ns: u64) -> Vec<Row> {
    let mut rows = Rows::default();
    let mut times = Rows::default();
    let (mut in_a, mut in_b) = (vec![false; a.all.len()], vec![false; b.all.len()]);
    for pair in pairs {
        let Some((one, two)) = a.all.get(pair.a).zip(b.all.get(pair.b)) else { continue };
        for (seen, index) in [(&mut in_a, pair.a), (&mut in_b, pair.b)] {
            if let Some(seen) = seen.get_mut(index) {
                *seen = true;
            }
        }
        match (one.status.is_failure(), two.status.is_failure()) {
            (false, true) => rows.add(What::FailsInB, Some(one), Some(two)),
            (true, false) => rows.add(What::FailsInA, Some(one), Some(two)),
            _ => {}
        }
        if pair.has_other_args {
            rows.add(What::Arguments, Some(one), Some(two));
        }
        // Which of them it is shows in the sums. With made-up names, rows of one command differ.
        times.add(What::Slower, Some(one), Some(two));
    }
    for (commands, seen, what) in [(a, &in_a, What::OnlyInA), (b, &in_b, What::OnlyInB)] {
        for (command, _) in commands.all.iter().zip(seen).filter(|(_, seen)| !**seen) {
            let (one, two) =
                if what == What::OnlyInA { (Some(command), None) } else { (None, Some(command)) };
            rows.add(what, one, two);
        }
    }
    let mut all = rows.all;
    all.extend(times.all.into_iter().filter_map(|row| in_time(row, least_ns)));
    all.sort_by_key(|row| (row.what, std::cmp::Reverse(row.change_ns())));
    all
}

/// The row, if the sums differ by enough.
fn in_time(mut row: Row, least_ns: u64) -> Option<Row> {
    let (a, b) = (row.a.as_ref()?.duration_ns, row.b.as_ref()?.duration_ns);
    let is_large = a.abs_diff(b) >= least_ns.max(a.min(b) / LEAST_PART).max(1);
    row.what = if a < b { What::Slower } else { What::Faster };
    is_large.then_some(row)
}

const COLUMNS: [Column; 6] = [
    Column::left("WHAT", 10),
    Column::right("COUNT", 5),
    Column::right("A(s)", 8),
    Column::right("B(s)", 8),
    Column::left("STATUS", 10),
    Column::left("COMMAND", 0),
];

/// Prints the rows and the totals.
pub(super) fn print(args: &Args, rows: &[Row], runs: [&Commands; 2]) -> Result<()> {
    let mut out = Output::with_color(args.common.json.is_some(), args.common.color.into());
    out.fit_terminal(args.common.wide);
    if !args.common.quiet && args.common.json.is_none() {
        out.heading(&COLUMNS);
    }
    for row in rows.iter().filter(|_| !args.common.quiet) {
        match args.common.json.is_some() {
            true => out.object(&RowJson::new(row))?,
            false => {
                line(&mut out, row, if args.quote { Quote::Always } else { Quote::WhereNeeded });
            }
        }
        out.end_row();
        out.flush_if_full()?;
    }
    let total = Total::new(rows, runs);
    match args.common.json.is_some() {
        true => out.object(&total)?,
        false => out.raw(total.text(rows.is_empty() || args.common.quiet))?,
    }
    out.flush()
}

fn line(out: &mut Output, row: &Row, quote: Quote) {
    let before: usize = COLUMNS.iter().map(|column| column.width + 1).sum();
    let room = out.width().map(|width| width.saturating_sub(before));
    let mut line = out.line(&COLUMNS);
    match row.what {
        What::FailsInB | What::FailsInA => line.styled(row.what.words(), FAILURE),
        _ => line.text(row.what.words()),
    };
    line.number(row.count);
    for side in [&row.a, &row.b] {
        match side {
            Some(side) => line.value(Seconds(side.duration_ns)),
            None => line.text("-"),
        };
    }
    let status = |side: &Option<Side>| side.as_ref().map(|side| side.status.to_string());
    line.text(&match (status(&row.a), status(&row.b)) {
        (Some(a), Some(b)) if a != b => format!("{a}->{b}"),
        (a, b) => a.or(b).unwrap_or_default(),
    });
    line.text(&command(row, quote, room));
}

/// The command line; where the arguments differ, `{of A -> of B}`. If that has no `room`, `…` stands
/// for arguments that are the same, so that the others are seen.
fn command(row: &Row, quote: Quote, room: Option<usize>) -> String {
    let (Some(a), Some(b), What::Arguments) = (&row.a, &row.b, row.what) else {
        let mut text = String::new();
        if let Some(side) = row.b.as_ref().or(row.a.as_ref()) {
            push_words(&mut text, &side.args, true, quote);
        }
        return text;
    };
    let parts = parts(&a.args, &b.args);
    let whole = compared(&parts, quote, true);
    if room.is_some_and(|room| whole.width() > room) {
        return compared(&parts, quote, false);
    }
    whole
}

fn compared(parts: &[Part<'_>], quote: Quote, is_whole: bool) -> String {
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        match part {
            Part::Same([program, rest @ ..]) if at == 0 && !is_whole => {
                push_shell_word(&mut text, program, true, quote);
                text.push_str(if rest.is_empty() { "" } else { " …" });
            }
            Part::Same(_) if !is_whole => text.push('…'),
            Part::Same(words) => push_words(&mut text, words, at == 0, quote),
            Part::Other(a, b) => {
                text.push('{');
                push_words(&mut text, a, false, quote);
                text.push_str(if a.is_empty() {
                    "-> "
                } else if b.is_empty() {
                    " ->"
                } else {
                    " -> "
                });
                push_words(&mut text, b, false, quote);
                text.push('}');
            }
        }
    }
    text
}

fn push_words(text: &mut String, words: &[Vec<u8>], is_first: bool, quote: Quote) {
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        push_shell_word(text, word, is_first && at == 0, quote);
    }
}

/// `diff.command`
#[derive(Serialize)]
struct RowJson<'a> {
    event: EventName,
    diff: DiffJson<'a>,
}

#[derive(Serialize)]
struct DiffJson<'a> {
    what: String,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<SideJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<SideJson<'a>>,
}

#[derive(Serialize)]
struct SideJson<'a> {
    duration_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_signal: Option<String>,
    #[serde(flatten)]
    args: BytesList<'a>,
}

impl<'a> RowJson<'a> {
    fn new(row: &'a Row) -> Self {
        let side = |side: &'a Side| SideJson {
            duration_ns: side.duration_ns,
            exit_code: side.status.code(),
            exit_signal: side.status.signal().map(std::borrow::Cow::into_owned),
            args: BytesList {
                keys: ("command_args", "command_args_base64"),
                values: side.args.iter().map(Vec::as_slice).collect(),
            },
        };
        let &Row { what, count, ref a, ref b } = row;
        let diff =
            DiffJson { what: what.key(), count, a: a.as_ref().map(side), b: b.as_ref().map(side) };
        Self { event: EventName { name: "diff.command" }, diff }
    }
}

/// `diff.total`
#[derive(Serialize)]
struct Total {
    event: EventName,
    a: RunJson,
    b: RunJson,
    /// How many commands, by what is different
    diff: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    rows: Vec<(What, u64)>,
}

#[derive(Serialize)]
struct RunJson {
    commands: u64,
    failed: u64,
    duration_ns: u64,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
}

impl Total {
    fn new(rows: &[Row], [a, b]: [&Commands; 2]) -> Self {
        let run = |run: &Commands| RunJson {
            commands: run.all.len() as u64,
            failed: run.all.iter().filter(|command| command.status.is_failure()).count() as u64,
            duration_ns: run.all.iter().fold(0, |all, one| all.saturating_add(one.duration_ns)),
            left_out: run.left_out,
        };
        let of = |what: What| {
            let count =
                rows.iter().filter(|row| row.what == what).map(|row| row.count).sum::<u64>();
            (what, count)
        };
        let rows: Vec<_> = What::ALL.map(of).into_iter().filter(|(_, count)| *count > 0).collect();
        let diff = rows.iter().map(|(what, count)| (what.key(), (*count).into())).collect();
        Self { event: EventName { name: "diff.total" }, a: run(a), b: run(b), diff, rows }
    }

    /// `A: 12 commands, 1 failed, 1.234 s`, the same of B, and `1 only in A`: three lines, which fit
    /// any terminal.
    fn text(&self, is_alone: bool) -> String {
        let run = |name, run: &RunJson| {
            let left_out = match run.left_out {
                0 => String::new(),
                more => format!(" and {more} not compared"),
            };
            let commands = count(run.commands, "command");
            format!(
                "{name}: {commands}{left_out}, {} failed, {} s",
                run.failed,
                Seconds(run.duration_ns)
            )
        };
        let differences = match self.rows.is_empty() {
            true => "no difference".to_owned(),
            false => {
                let all = self.rows.iter().map(|(what, count)| format!("{count} {}", what.words()));
                all.collect::<Vec<_>>().join(", ")
            }
        };
        let space = if is_alone { "" } else { "\n" };
        format!("{space}{}\n{}\n{differences}\n", run("A", &self.a), run("B", &self.b))
    }
}

#[cfg(test)]
mod tests {
    use super::super::LEAST_NS;
    use super::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn other_arguments_stand_in_brackets() {
        let side =
            |text: &str| Some(Side { args: words(text), duration_ns: 0, status: Status::Code(0) });
        let shown = |a: &str, b: &str| {
            let row = Row { what: What::Arguments, count: 1, a: side(a), b: side(b) };
            command(&row, Quote::WhereNeeded, None)
        };
        assert_eq!(shown("cc -O2 -c x.c", "cc -O3 -c x.c"), "cc {-O2 -> -O3} -c x.c");
        assert_eq!(shown("cc -c x.c", "cc -g -c x.c"), "cc {-> -g} -c x.c");
        assert_eq!(shown("cc -g -c x.c y.c", "cc -c x.c z.c"), "cc {-g ->} -c x.c {y.c -> z.c}");
        assert_eq!(shown("a b c", "x y"), "{a b c -> x y}");
        assert_eq!(
            shown("as -a /tmp/ccb9gqWU.s", "as -b /tmp/ccQ1w2E3.s"),
            "as {-a -> -b} /tmp/ccQ1w2E3.s"
        );
        assert_eq!(shown("a a", "a a a"), "a a {-> a}");
    }

    #[test]
    fn other_arguments_are_seen_where_there_is_little_room() {
        let shown = |a: &str, b: &str, room| {
            let side = |text| Side { args: words(text), duration_ns: 0, status: Status::Code(0) };
            let (a, b) = (Some(side(a)), Some(side(b)));
            command(&Row { what: What::Arguments, count: 1, a, b }, Quote::WhereNeeded, Some(room))
        };
        assert_eq!(shown("cc -O2 -c x.c", "cc -O3 -c x.c", 23), "cc {-O2 -> -O3} -c x.c");
        assert_eq!(shown("cc -O2 -c x.c", "cc -O3 -c x.c", 20), "cc {-O2 -> -O3} …");
        assert_eq!(shown("cc -Wall -c x.c y.c", "cc -Wall -c x.c z.c", 9), "cc … {y.c -> z.c}");
        assert_eq!(shown("a b c", "x y", 1), "{a b c -> x y}");
    }

    #[test]
    fn small_differences_of_time_are_none() {
        let row = |a, b| {
            let side =
                |duration_ns| Some(Side { args: words("x"), duration_ns, status: Status::Code(0) });
            in_time(Row { what: What::Slower, count: 1, a: side(a), b: side(b) }, LEAST_NS)
        };
        assert_eq!(row(100_000_000, 110_000_000), None, "less than a fifth");
        assert_eq!(row(1_000_000, 9_000_000), None, "less than 10 ms");
        assert_eq!(row(100_000_000, 120_000_000).map(|row| row.what), Some(What::Slower));
        assert_eq!(row(120_000_000, 100_000_000).map(|row| row.what), Some(What::Faster));
        assert_eq!(row(0, 0), None);
    }
}
