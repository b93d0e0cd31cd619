//! A manual page, from clap's flags and the [`Manual`].

use std::env;

use anyhow::{Context as _, Result};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::engine::manual::Page;
use crate::output::row::FieldDoc;

/// The page as roff source.
pub(super) fn page(page: &Page) -> Result<Vec<u8>> {
    let manual = &page.manual;
    let name = page.command.get_name().to_owned();
    let mut command = page.command.clone();
    // One line, as in --help, instead of all flags.
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let command = command.override_usage(usage);
    let man = Man::new(command)
        .title(name.to_uppercase())
        .section("8")
        .date(date()?)
        .source(format!("snoop-tools {}", page.command.get_version().unwrap_or_default()))
        .manual("System Administration");

    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    section(&mut out, "DESCRIPTION", |roff| {
        paragraphs(roff, &[manual.description, manual.rows], &name);
        if !manual.notes.is_empty() {
            roff.control("PP", []);
            roff.text([roman("Notes behind #:")]);
        }
        for (note, meaning) in manual.notes {
            roff.control("TP", []);
            roff.text([bold(*note)]);
            roff.text([roman(*meaning)]);
        }
    })?;
    man.render_options_section(&mut out)?;
    if let Some(fields) = manual.fields {
        section(&mut out, "COLUMNS AND KEYS OF JSON", |roff| {
            fields().iter().for_each(|field| describe(roff, field));
        })?;
    }
    section(&mut out, "EXAMPLES", |roff| {
        for (line, what) in manual.examples {
            roff.control("TP", []);
            roff.text([bold(*line)]);
            roff.text([roman(*what)]);
        }
    })?;
    section(&mut out, "PRIVILEGES", |roff| paragraphs(roff, manual.privileges, &name))?;
    section(&mut out, "OVERHEAD", |roff| paragraphs(roff, &[manual.overhead], &name))?;
    section(&mut out, "EXIT STATUS", |roff| statuses(roff, manual.exit_status))?;
    Ok(out)
}

/// `TITLE, key`, and the description.
fn describe(roff: &mut Roff, field: &FieldDoc) {
    let comma = if field.title.is_empty() || field.key.is_empty() { "" } else { ", " };
    roff.control("TP", []);
    roff.text([bold(field.title), roman(comma), italic(field.key)]);
    roff.text([roman(field.about)]);
}

/// The day of `SOURCE_DATE_EPOCH`, or nothing.
fn date() -> Result<String> {
    let Some(epoch) = env::var_os("SOURCE_DATE_EPOCH") else { return Ok(String::new()) };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    let seconds = seconds.context("SOURCE_DATE_EPOCH is not a number of seconds")?;
    Ok(jiff::Timestamp::from_second(seconds)?.strftime("%Y-%m-%d").to_string())
}

fn section(out: &mut Vec<u8>, title: &str, fill: impl Fn(&mut Roff)) -> Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    fill(&mut roff);
    // The crate writes `\\`, which roff leaves undefined outside of macros.
    out.extend(roff.to_roff().replace(r"\\", r"\(rs").as_bytes());
    Ok(())
}

/// Texts in paragraphs; indented ones as they are.
fn paragraphs(roff: &mut Roff, texts: &[&str], name: &str) {
    let text = texts.join("\n\n").replace("{tool}", name);
    for (index, paragraph) in text.split("\n\n").filter(|text| !text.is_empty()).enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        if paragraph.starts_with("    ") {
            let mut lines: Vec<Inline> = Vec::new();
            for line in paragraph.lines() {
                lines.push(roman(line.trim_start()));
                lines.push(Inline::LineBreak);
            }
            lines.pop();
            roff.control("RS", ["4"]).control("nf", []);
            roff.text(lines);
            roff.control("fi", []).control("RE", []);
        } else {
            roff.text([roman(paragraph)]);
        }
    }
}

/// `0 good; 1 bad` as a list.
fn statuses(roff: &mut Roff, text: &str) {
    for part in text.trim_end_matches('.').split("; ") {
        let (status, meaning) = match part.split_once(' ') {
            Some((status, meaning)) if status.bytes().all(|b| b.is_ascii_digit()) => {
                (status, meaning)
            }
            _ => {
                roff.control("PP", []);
                roff.text([roman(format!("{}.", capitalised(part)))]);
                continue;
            }
        };
        roff.control("TP", []);
        roff.text([bold(status)]);
        roff.text([roman(meaning)]);
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stays_in_lines() {
        let mut roff = Roff::default();
        paragraphs(&mut roff, &["Do:\n\n    a {tool}\n    b", ""], "x");
        assert_eq!(roff.to_roff(), "Do:\n.PP\n.RS 4\n.nf\na x\n.br\nb\n.fi\n.RE\n");
    }

    #[test]
    fn statuses_become_a_list() {
        let mut roff = Roff::default();
        statuses(&mut roff, "0 good; with COMMAND, its own.");
        assert_eq!(roff.to_roff(), ".TP\n\\fB0\\fR\ngood\n.PP\nWith COMMAND, its own.\n");
    }
}
