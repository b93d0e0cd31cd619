//! The instructions of a function, with labels, source lines and notes.

use std::fmt::Write as _;

use anyhow::Result;

use crate::bpfrun::inspect::Subject;
use crate::bpfrun::inspect::listing::{self, Row};
use crate::bpfrun::inspect::parts::is_full;
use crate::bpfrun::inspect::words::{self, safe};
use crate::elf::code::Function;
use crate::output::table::{NOTE, Output, count};

/// Notes begin at this column, unless the instruction is longer.
const NOTES_AT: usize = 44;

pub(super) fn disassemble(
    subject: &Subject<'_>,
    function: &Function,
    out: &mut Output,
) -> Result<()> {
    let object = subject.object;
    let mut text = format!(
        "{}: section {}, {}\n",
        safe(&function.name),
        safe(&function.section_name),
        count(function.insns.len() as u64, "instruction")
    );
    if let Some((btf, ty)) = object.btf.as_ref().zip(function.ty) {
        let _ = writeln!(text, "{}", btf.types.c_declaration(ty)); // a String takes everything
    }
    out.raw(text)?;
    for row in listing::rows(object, function) {
        if is_full(subject, out, "instructions", row.slot)? {
            break;
        }
        out.raw(line(subject, function, &row, out.color))?;
    }
    Ok(())
}

/// An instruction, with the label and the source line before it.
fn line(subject: &Subject<'_>, function: &Function, row: &Row, color: bool) -> String {
    let (dim, plain) =
        if color { (format!("{NOTE}"), format!("{NOTE:#}")) } else { Default::default() };
    let mut text = String::new();
    if let Some(label) = &row.label {
        let _ = writeln!(text, "{label}:");
    }
    if let Some((btf, (_, info))) =
        subject.object.btf.as_ref().zip(row.line.and_then(|index| function.lines.get(index)))
    {
        // Cut before, too: escaping takes time.
        let short = |text: &str| words::short(safe(&words::short(text.to_owned())));
        let (file, source) = (btf.string(info.file), btf.string(info.text));
        let (file, source) = (short(&file), short(source.trim()));
        let _ = writeln!(text, "      {dim}; {file}:{}: {source}{plain}", info.line);
    }
    let mut insn = safe(&row.text);
    if insn == "<unknown>" {
        for byte in row.slots.iter().flat_map(|slot| slot.encode(subject.object.endian)) {
            let _ = write!(insn, " {byte:02x}");
        }
    }
    let _ = write!(text, "{:5}: ", row.slot);
    if row.notes.is_empty() {
        text.push_str(&insn);
    } else {
        let notes = safe(&row.notes.join("; "));
        let _ = write!(text, "{insn:NOTES_AT$} {dim}# {notes}{plain}");
    }
    text.push('\n');
    text
}
