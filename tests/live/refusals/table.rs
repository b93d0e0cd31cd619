//! The table of `docs/refusals.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// The columns behind the first one.
pub const TOOLS: [&str; 5] = ["execsnoop", "tcpconnect", "mmapsnoop", "procsnoop", "bpfrun"];

/// The cells of one tool: what each mode came to, by its flags.
#[derive(Clone, Debug, Default)]
pub struct Cell(pub Vec<(String, String)>);

impl Cell {
    /// What the plain mode came to, and which others came to something else.
    fn text(&self) -> String {
        let mut parts: Vec<(&str, Vec<&str>)> = Vec::new();
        for (flags, outcome) in &self.0 {
            match parts.iter_mut().find(|(known, _)| known == outcome) {
                Some((_, with)) => with.push(flags),
                None => parts.push((outcome, vec![flags])),
            }
        }
        let mut text = String::new();
        for (outcome, flags) in parts {
            let lead = if text.is_empty() { "" } else { "<br>" };
            let _ = match flags.contains(&"") {
                true => write!(text, "{lead}{outcome}"),
                false => write!(text, "{lead}`{}`: {outcome}", flags.join("`, `")),
            };
        }
        if text.is_empty() { "–".to_owned() } else { text.replace('|', "\\|") }
    }
}

/// What a cell of the document says of these flags, the other way round than [`Cell::text`].
fn said_of<'a>(cell: &'a str, flags: &str) -> Option<&'a str> {
    let mut plain = None;
    for part in cell.split("<br>") {
        match part.strip_prefix('`').and_then(|part| part.split_once("`: ")) {
            Some((of, outcome)) if of.split("`, `").any(|one| one == flags) => {
                return Some(outcome);
            }
            Some(_) => {}
            None => plain = Some(part),
        }
    }
    plain
}

pub type Row = (String, [Cell; 5]);

/// As Markdown.
fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| Refused | {} |\n|---{}|\n", TOOLS.join(" | "), "|---".repeat(5));
    for (refused, cells) in rows {
        let cells = cells.each_ref().map(Cell::text);
        let _ = writeln!(text, "| {refused} | {} |", cells.join(" | "));
    }
    text
}

fn path() -> PathBuf {
    match std::env::var_os("SNOOP_DOCS") {
        Some(folder) => PathBuf::from(folder).join("refusals.md"),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/refusals.md"),
    }
}

/// The document, and where the table is in it.
fn document() -> (String, std::ops::Range<usize>) {
    let text = fs::read_to_string(path()).unwrap();
    let start = text.find("| Refused |").expect("a table");
    let end = text[start..].find("\n\n").map_or(text.len(), |end| start + end + 1);
    (text, start..end)
}

/// What is not so in the document. With `SNOOP_BLESS`, prints the new one instead.
pub fn compare(rows: &[Row]) -> Vec<String> {
    let (document, place) = document();
    let table = markdown(rows);
    if std::env::var_os("SNOOP_BLESS").is_some() {
        let (before, after) = (&document[..place.start], &document[place.end..]);
        println!("--- docs/refusals.md\n{before}{table}{after}--- end");
        return Vec::new();
    }
    let known: Vec<_> = document[place].lines().collect();
    let found: Vec<_> = table.lines().collect();
    let stale = known.iter().filter(|line| !found.contains(line));
    let missing = found.iter().filter(|line| !known.contains(line));
    let stale = stale.map(|line| format!("docs/refusals.md is stale: {line}"));
    stale.chain(missing.map(|line| format!("docs/refusals.md lacks: {line}"))).collect()
}

/// Likewise, where only some refusals were tried in some modes.
pub fn compare_tried(rows: &[Row]) -> Vec<String> {
    let (document, place) = document();
    let lines: Vec<Vec<&str>> =
        document[place].lines().map(|line| line.trim_matches('|').split(" | ").collect()).collect();
    let mut wrong = Vec::new();
    for (refused, cells) in rows {
        let line = lines.iter().find(|line| line[0].trim() == refused);
        for (column, cell) in cells.iter().enumerate() {
            let text = line.and_then(|line| line.get(column + 1)).map_or("", |text| text.trim());
            let differing = cell.0.iter().filter(|tried| !is_said(tried, text));
            wrong.extend(differing.map(|(flags, outcome)| {
                let tool = TOOLS[column];
                format!("{refused} refused to {tool} {flags}: {outcome}; docs/refusals.md: {text}")
            }));
        }
    }
    wrong
}

fn is_said((flags, outcome): &(String, String), text: &str) -> bool {
    said_of(text, flags) == Some(&outcome.replace('|', "\\|"))
}

#[test]
fn what_a_cell_says() {
    let mut cell = Cell::default();
    for (flags, outcome) in [("", "a"), ("-x", "b|c"), ("--all", "a"), ("--vma", "b|c")] {
        cell.0.push((flags.to_owned(), outcome.to_owned()));
    }
    let text = cell.text();
    assert_eq!(text, "a<br>`-x`, `--vma`: b\\|c");
    for (flags, outcome) in [("", "a"), ("-x", "b\\|c"), ("--all", "a"), ("--vma", "b\\|c")] {
        assert_eq!(said_of(&text, flags), Some(outcome));
    }
    assert_eq!(said_of("`-x`: b", ""), None);
}
