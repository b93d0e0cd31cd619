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

/// As Markdown.
pub fn markdown(rows: &[(String, [Cell; 5])]) -> String {
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

/// What is not so in the document. With `SNOOP_BLESS`, prints the new one instead.
pub fn compare(table: &str) -> Vec<String> {
    let document = fs::read_to_string(path()).unwrap();
    let start = document.find("| Refused |").expect("a table");
    let end = document[start..].find("\n\n").map_or(document.len(), |end| start + end + 1);
    if std::env::var_os("SNOOP_BLESS").is_some() {
        let (before, after) = (&document[..start], &document[end..]);
        println!("--- docs/refusals.md\n{before}{table}{after}--- end");
        return Vec::new();
    }
    let (old, new) = (document[start..end].lines(), table.lines());
    let known: Vec<_> = old.collect();
    let found: Vec<_> = new.collect();
    let stale = known.iter().filter(|line| !found.contains(line));
    let missing = found.iter().filter(|line| !known.contains(line));
    let stale = stale.map(|line| format!("docs/refusals.md is stale: {line}"));
    stale.chain(missing.map(|line| format!("docs/refusals.md lacks: {line}"))).collect()
}
