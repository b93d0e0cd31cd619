//! The contents of an object, for people.

mod declarations;
mod instructions;
mod maps;

use std::fmt::Write as _;

use anyhow::Result;

use self::declarations::{schemas, types};
use self::instructions::disassemble;
use self::maps::maps;
use crate::bpfrun::choose;
use crate::bpfrun::list::list;
use crate::elf::code::Function;
use crate::elf::global::Global;
use crate::elf::object::Program;
use crate::elf::schema::EventSchema;
use crate::elf::types::Kind;
use crate::output::table::{Column, Output, count};

use super::parts::is_full;
use super::words::{self, safe};
use super::{Subject, against};

const PROGRAMS: [Column; 6] = [
    Column::left("PROGRAM", 20),
    Column::left("KIND", 16),
    Column::left("TARGET", 26),
    Column::left("TYPE", 16),
    Column::right("INSNS", 6),
    Column::left("MAPS", 0),
];

const ACTS: [Column; 3] =
    [Column::left("ACTING", 20), Column::left("BY", 16), Column::left("EFFECT", 0)];

const FUNCTIONS: [Column; 4] = [
    Column::left("FUNCTION", 20),
    Column::left("SECTION", 16),
    Column::right("INSNS", 6),
    Column::left("MAPS", 0),
];

const VARIABLES: [Column; 4] = [
    Column::left("VARIABLE", 20),
    Column::left("SECTION", 16),
    Column::right("BYTES", 7),
    Column::left("INITIAL VALUE", 0),
];

const EXTERNS: [Column; 3] =
    [Column::left("EXPECTED", 28), Column::left("FROM", 10), Column::left("TYPE", 0)];

const EVENTS: [Column; 5] = [
    Column::left("EVENTS", 20),
    Column::left("TYPE", 22),
    Column::right("BYTES", 6),
    Column::left("KNOWN BY", 11),
    Column::left("SENT BY", 0),
];

/// Writes all parts to show.
pub(super) fn write(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let args = subject.args;
    if let Some(judgement) = &subject.judgement {
        return against::write(subject, judgement, out);
    }
    let asked = args.disasm || args.schema || args.types.is_some();
    if !asked {
        summary(subject, out)?;
        programs(subject, out)?;
        maps(subject, out)?;
        events(subject, out)?;
        variables(subject, out)?;
        externs(subject, out)?;
    }
    if args.schema {
        schemas(subject, out)?;
    }
    let functions = subject.object.functions.iter().filter(|f| subject.disassembles(f));
    for (number, function) in functions.enumerate() {
        if subject.output.is_cut() {
            break;
        }
        if number > 0 {
            out.raw("\n")?;
        }
        disassemble(subject, function, out)?;
    }
    types(subject, out)
}

fn summary(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let object = subject.object;
    let mut parts = vec![
        format!("{}-endian", words::byte_order(object)),
        format!("{} bytes", subject.bytes),
        match &object.licence {
            Some(licence) => format!("licence {:?}", safe(licence)),
            None => "no licence".to_owned(),
        },
    ];
    if let Some(version) = object.kernel_version {
        parts.push(format!("for Linux {}", words::version(version)));
    }
    parts.push(match &object.btf {
        Some(btf) => format!("BTF with {}", count(btf.types.len() as u64 - 1, "type")),
        None => "no BTF".to_owned(),
    });
    if object.functions.iter().any(|function| !function.lines.is_empty()) {
        parts.push("source lines".to_owned());
    }
    if object.has_dwarf {
        parts.push("DWARF".to_owned());
    }
    let name = subject.path.file_name().unwrap_or(subject.path.as_os_str());
    let mut name = safe(&name.to_string_lossy());
    if let Some(object) = subject.within {
        name.push_str(&format!(": {} at {:#x}", choose::title(object), object.place.offset));
    }
    out.raw(format!("{name}: {}\n", parts.join(", ")))
}

fn programs(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let object = subject.object;
    let programs = &object.programs;
    let kind = |program: &Program| match program.hook.optional {
        true => format!("?{}", program.hook.kind),
        false => program.hook.kind.clone(),
    };
    let ty = |program: &Program| program.hook.program_type_name().unwrap_or("unknown");
    let [name_column, kind_column, target_column, type_column, insns, maps] = PROGRAMS;
    let columns = [
        name_column.fit(programs.iter().map(|program| &program.name)),
        kind_column.fit(programs.iter().map(kind)),
        target_column.fit(programs.iter().filter_map(|program| program.hook.target.as_deref())),
        type_column.fit(programs.iter().map(ty)),
        insns,
        maps,
    ];
    if !programs.is_empty() {
        out.raw("\n")?;
        out.heading(&columns);
    }
    for (number, program) in programs.iter().enumerate() {
        if is_full(subject, out, "programs", number)? {
            break;
        }
        let function = object.function(program);
        out.line(&columns)
            .name(program.name.as_bytes())
            .name(kind(program).as_bytes())
            .name(program.hook.target.as_deref().unwrap_or_default().as_bytes())
            .text(ty(program))
            .value(function.map_or(0, |function| function.insns.len()))
            .text(&function.map(|function| names(subject, function)).unwrap_or_default());
        out.flush_if_full()?;
    }
    acts(subject, out)?;
    functions(subject, out)
}

/// What programs do to the system.
fn acts(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let programs = || subject.object.programs.iter().zip(&subject.acts);
    let acts = || programs().flat_map(|(program, acts)| acts.iter().map(move |act| (program, act)));
    let [name, call, what] = ACTS;
    let columns = [
        name.fit(acts().map(|(program, _)| &program.name)),
        call.fit(acts().map(|(_, act)| &act.name)),
        what,
    ];
    for (number, (program, act)) in acts().enumerate() {
        if number == 0 {
            out.raw("\n")?;
            out.heading(&columns);
        }
        let mut line = out.line(&columns);
        line.name(program.name.as_bytes()).name(act.name.as_bytes()).text(act.what);
        out.flush_if_full()?;
    }
    Ok(())
}

fn functions(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let called = || subject.object.called();
    let [name, section, insns, maps] = FUNCTIONS;
    let columns = [
        name.fit(called().map(|function| &function.name)),
        section.fit(called().map(|function| &function.section_name)),
        insns,
        maps,
    ];
    for (number, function) in called().enumerate() {
        if is_full(subject, out, "functions", number)? {
            break;
        }
        if number == 0 {
            out.raw("\n")?;
            out.heading(&columns);
        }
        out.line(&columns)
            .name(function.name.as_bytes())
            .name(function.section_name.as_bytes())
            .value(function.insns.len())
            .text(&names(subject, function));
        out.flush_if_full()?;
    }
    Ok(())
}

/// Names of the maps that a function uses.
fn names(subject: &Subject<'_>, function: &Function) -> String {
    let (maps, _) = words::used(subject.object, function);
    safe(&list(maps, " "))
}

/// The events, map by map.
fn events(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let events = &subject.events;
    let ty = |schema: &EventSchema<'_>| schema.type_name().unwrap_or_else(|| "-".to_owned());
    let [name, type_column, bytes, known_by, sent_by] = EVENTS;
    let columns = [
        name.fit(events.iter().map(|schema| &schema.map)),
        type_column.fit(events.iter().map(ty)),
        bytes,
        known_by,
        sent_by,
    ];
    if !events.is_empty() {
        out.raw("\n")?;
        out.heading(&columns);
    }
    for (number, schema) in events.iter().enumerate() {
        if is_full(subject, out, "events", number)? {
            break;
        }
        let size = schema.ty.and_then(|ty| schema.types.size(ty));
        out.line(&columns)
            .name(schema.map.as_bytes())
            .text(&ty(schema))
            .text(&size.map(|size| size.to_string()).unwrap_or_default())
            .text(schema.provenance.word())
            .text(&safe(&list(&schema.senders, " ")));
        out.flush_if_full()?;
    }
    Ok(())
}

fn variables(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let object = subject.object;
    let section =
        |global: &Global| object.sections.get(global.section).map_or("", |section| &*section.name);
    let [name, section_column, bytes, value] = VARIABLES;
    let columns = [
        name.fit(object.globals.iter().map(|global| &global.name)),
        section_column.fit(object.globals.iter().map(section)),
        bytes,
        value,
    ];
    if !object.globals.is_empty() {
        out.raw("\n")?;
        out.heading(&columns);
    }
    for (number, global) in object.globals.iter().enumerate() {
        if is_full(subject, out, "variables", number)? {
            break;
        }
        let mut text = subject.c_name(global.ty).unwrap_or_default();
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str("= ");
        let bytes = object.initial_value(global).unwrap_or_default();
        let is_zero = bytes.iter().all(|&byte| byte == 0);
        let decoder = subject.decoder(global.ty);
        if let Some(decoder) = decoder.filter(|_| !is_zero || subject.is_simple(global.ty)) {
            let mut value = String::new();
            decoder.text_of_many(bytes, &subject.values, &mut value);
            // A value that is not a struct has only this member.
            text.push_str(value.strip_prefix("value=").unwrap_or(&value));
        } else if is_zero {
            text.push('0'); // all of a struct or an array
        } else {
            for byte in bytes.iter().take(256) {
                let _ = write!(text, "{byte:02x}"); // a String takes everything
            }
        }
        let text = words::short(text);
        out.line(&columns)
            .name(global.name.as_bytes())
            .name(section(global).as_bytes())
            .value(global.size)
            .text(&text);
        out.flush_if_full()?;
    }
    Ok(())
}

fn externs(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let externs = &subject.object.externs;
    let [name, from, ty] = EXTERNS;
    let columns = [
        name.fit(externs.iter().map(|external| &external.name)),
        from.fit(externs.iter().map(|external| &external.section)),
        ty,
    ];
    if !externs.is_empty() {
        out.raw("\n")?;
        out.heading(&columns);
    }
    for (number, external) in externs.iter().enumerate() {
        if is_full(subject, out, "expected symbols", number)? {
            break;
        }
        let mut ty = match (external.ty, &subject.object.btf) {
            (Some(ty), Some(btf)) if matches!(btf.types.kind(ty), Kind::Function { .. }) => {
                btf.types.c_declaration(ty)
            }
            (ty, _) => subject.c_name(ty).unwrap_or_default(),
        };
        if external.weak {
            ty.push_str(if ty.is_empty() { "may be missing" } else { " (may be missing)" });
        }
        out.line(&columns)
            .name(external.name.as_bytes())
            .name(external.section.as_bytes())
            .text(&ty);
        out.flush_if_full()?;
    }
    Ok(())
}
