//! `--against`: what an object needs of the kernel's types, and a kernel lacks.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use crate::elf::object::Object;
use crate::elf::relocate::{self, Judged, Judgement, Outcome};
use crate::elf::{btf_file, co_re};
use crate::output::table::{Column, Output, count};

use super::parts::{Each, is_full, present};
use super::words::{safe, short};
use super::{Subject, core_words};

const COLUMNS: [Column; 5] = [
    Column::left("OUTCOME", 9),
    Column::left("FUNCTION", 16),
    Column::left("LINE", 16),
    Column::left("NEEDS", 30),
    Column::left("WHY", 0),
];

/// Compares an object with the types in a file.
pub(super) fn judge(object: &Object, file: &Path) -> Result<Judgement> {
    let kernel = btf_file::read(file);
    let kernel = kernel.with_context(|| format!("no types in {}", file.display()))?;
    Ok(relocate::judge(object, &kernel))
}

/// Whether programs would be refused.
pub(super) fn fails(judgement: &Judgement) -> bool {
    let fails = |judged: &Judged| matches!(judged.outcome, Outcome::Fails | Outcome::Broken);
    judgement.all.iter().any(fails)
}

/// The word for an outcome.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Works => "works",
        Outcome::Absent => "absent",
        Outcome::Unreached => "unreached",
        Outcome::Fails => "fails",
        Outcome::Broken => "refused",
    }
}

/// What does not work, each once for a source line.
fn shown<'a>(subject: &'a Subject<'_>, judgement: &'a Judgement) -> impl Iterator<Item = Row<'a>> {
    let rows = judgement.all.iter().filter(|judged| judged.outcome != Outcome::Works);
    let mut last = None;
    rows.filter_map(move |judged| {
        let row = Row::new(subject, judged)?;
        let same = last.replace(row.clone()).is_some_and(|last| last == row);
        (!same).then_some(row)
    })
}

/// One line of the list.
#[derive(Clone, PartialEq)]
struct Row<'a> {
    outcome: Outcome,
    function: &'a str,
    file: String,
    line: u32,
    text: String,
    needs: String,
    why: &'a str,
}

impl<'a> Row<'a> {
    fn new(subject: &'a Subject<'_>, judged: &'a Judged) -> Option<Self> {
        let function = subject.object.functions.get(judged.function)?;
        let btf = subject.object.btf.as_ref()?;
        let line = function.line(judged.slot);
        let string = |offset: Option<u32>| {
            offset.map_or_else(String::new, |offset| short(btf.string(offset).into_owned()))
        };
        let path = string(line.map(|line| line.file));
        Some(Self {
            outcome: judged.outcome,
            function: &function.name,
            file: path.rsplit('/').next().unwrap_or_default().to_owned(),
            line: line.map_or(0, |line| line.line),
            text: string(line.map(|line| line.text)),
            needs: core_words(subject.object, function, judged.slot)?,
            why: judged.why.as_deref().unwrap_or_default(),
        })
    }

    fn place(&self) -> String {
        match self.file.is_empty() {
            true => "-".to_owned(),
            false => format!("{}:{}", self.file, self.line),
        }
    }
}

/// How many have this outcome.
fn number(judgement: &Judgement, outcome: Outcome) -> u64 {
    judgement.all.iter().filter(|judged| judged.outcome == outcome).count() as u64
}

/// For people.
pub(super) fn write(subject: &Subject<'_>, judgement: &Judgement, out: &mut Output) -> Result<()> {
    let of = |outcome| number(judgement, outcome);
    let mut parts = vec![format!("{} work", of(Outcome::Works))];
    for (outcome, words) in [
        (Outcome::Fails, "fail"),
        (Outcome::Broken, "make libbpf refuse the object"),
        (Outcome::Unreached, "missing, but tested before"),
        (Outcome::Absent, "tests answered no"),
    ] {
        if of(outcome) > 0 {
            parts.push(format!("{} {words}", of(outcome)));
        }
    }
    let all = count(judgement.all.len() as u64, "relocation");
    let path = subject.args.against.as_deref().unwrap_or(Path::new(""));
    out.raw(format!("{all} against {}: {}\n", safe(&path.to_string_lossy()), parts.join(", ")))?;
    let rows = || shown(subject, judgement).take(FIT);
    let [outcome, function, line, needs, why] = COLUMNS;
    let columns = [
        outcome,
        function.fit(rows().map(|row| row.function)),
        line.fit(rows().map(|row| row.place())),
        needs.fit(rows().map(|row| safe(&row.needs))),
        why,
    ];
    for (number, row) in shown(subject, judgement).enumerate() {
        if number == 0 {
            out.raw("\n")?;
            out.heading(&columns);
        }
        if is_full(subject, out, "relocations", number)? {
            break;
        }
        out.line(&columns)
            .text(word(row.outcome))
            .name(row.function.as_bytes())
            .name(row.place().as_bytes())
            .text(&safe(&row.needs))
            .text(&safe(row.why));
        out.flush_if_full()?;
    }
    Ok(())
}

/// The most rows that decide how wide columns are.
const FIT: usize = 10_000;

/// For programs.
pub(super) struct Document<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) judgement: &'a Judgement,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { subject, judgement } = *self;
        let mut map = serializer.serialize_map(None)?;
        let path = subject.args.against.as_deref().unwrap_or(Path::new(""));
        map.serialize_entry("path", &path.to_string_lossy())?;
        for outcome in
            [Outcome::Works, Outcome::Fails, Outcome::Broken, Outcome::Unreached, Outcome::Absent]
        {
            map.serialize_entry(word(outcome), &number(judgement, outcome))?;
        }
        let rows =
            Each(subject, "relocations", || {
                judgement.all.iter().filter(|judged| judged.outcome != Outcome::Works).filter_map(
                    |judged| Some(described(&Row::new(subject, judged)?, subject, judged)),
                )
            });
        map.serialize_entry("relocations", &rows)?;
        map.end()
    }
}

fn described(row: &Row<'_>, subject: &Subject<'_>, judged: &Judged) -> Value {
    let btf = subject.object.btf.as_ref();
    let needs =
        btf.map(|btf| co_re::subject(&btf.types, &judged.info, &btf.string(judged.info.access)));
    present(json!({
        "outcome": word(row.outcome),
        "function": row.function,
        "instruction": judged.slot,
        "kind": crate::elf::names::core_kind(judged.info.kind),
        "needs": needs,
        "why": row.why,
        "source": (!row.file.is_empty()).then(|| json!({
            "file": row.file, "line": row.line, "text": row.text,
        })),
    }))
}
