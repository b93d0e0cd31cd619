//! The types of an object as C: those of its events, with comments, and those in BTF.

use std::collections::HashSet;
use std::fmt::Write as _;

use anyhow::Result;

use crate::bpfrun::inspect::parts::is_full;
use crate::bpfrun::inspect::words::safe;
use crate::bpfrun::inspect::{Subject, events};
use crate::bpfrun::list::list;
use crate::output::table::Output;

/// The types of events, as C with comments.
pub(super) fn schemas(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    if subject.events.is_empty() {
        return out.raw("/* Its programs send nothing. */\n");
    }
    let mut written = HashSet::new();
    for (number, schema) in subject.events.iter().enumerate() {
        if is_full(subject, out, "events", number)? {
            break;
        }
        let mut text = String::new();
        let what = schema.type_name().unwrap_or_else(|| "bytes".to_owned());
        let _ = write!(text, "{}: {what}", safe(&schema.map)); // a String takes everything
        if !schema.senders.is_empty() {
            let senders = list(&schema.senders, ", ");
            let _ = write!(text, ", sent by {}", safe(&senders));
        }
        let _ = write!(text, "\n * {}", safe(&schema.provenance.to_string()));
        let condition = events::condition(&schema.when);
        if !condition.is_empty() {
            let _ = write!(text, "\n * if it has {condition}");
        }
        if schema.tail {
            text.push_str("\n * more may follow");
        }
        // A name could end the comment.
        text = format!("/* {} */\n", text.replace("*/", "*\\/"));
        if number > 0 {
            text.insert(0, '\n');
        }
        for definition in events::definition(schema) {
            // Several schemas may need the same types: write each once, whatever is said about it.
            // All structs that were made of stores have one name.
            let made = schema.types.evidence(0).is_some();
            let key = if made { definition.clone() } else { without_comments(&definition) };
            if written.insert(key) {
                let _ = writeln!(text, "{definition}");
            }
        }
        out.raw(text)?;
    }
    Ok(())
}

/// A definition without what is said about its members.
fn without_comments(definition: &str) -> String {
    definition.lines().map(|line| line.split("; /*").next().unwrap_or(line)).collect()
}

/// Writes the types with a body or another name; mere parts of them have no line of their own.
pub(super) fn types(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let Some(btf) = &subject.object.btf else { return Ok(()) };
    let all = subject.types().filter(|&id| subject.has_line(id));
    for (number, id) in all.enumerate() {
        if is_full(subject, out, "types", number)? {
            break;
        }
        out.raw(format!("{}\n\n", btf.types.c_declaration(id)))?;
    }
    Ok(())
}
