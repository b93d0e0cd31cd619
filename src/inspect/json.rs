//! What is in an object, for programs: one JSON object.

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map as Members, Value, json};

use crate::elf::code::{Function, Reference};
use crate::elf::global::Global;
use crate::elf::map::Map;
use crate::elf::schema::EventSchema;
use crate::elf::types::{Kind, Member, TypeId, Types};
use crate::json::SCHEMA;

use super::listing::{self, Row};
use super::{Subject, events, words};

/// All is made before it is written: a program that the kernel takes has at most that many.
const MAX_INSNS: usize = 1_000_000;
/// Bytes of types as C, for the same reason.
const MAX_TYPES: usize = 64 << 20;

/// Everything; absent is what the file does not have or what was not asked for.
pub(super) fn document(subject: &Subject<'_>) -> Result<Value> {
    let object = subject.object;
    let shown = object.functions.iter().filter(|function| subject.disassembles(function));
    if shown.map(|function| function.insns.len()).sum::<usize>() > MAX_INSNS {
        bail!("more than {MAX_INSNS} instructions: choose some functions with --prog");
    }
    let mut document = json!({
        "schema": SCHEMA,
        "tool": "bpfrun",
        "version": env!("CARGO_PKG_VERSION"),
        "file": {
            "path": subject.path.to_string_lossy(),
            "size_bytes": subject.bytes,
        },
        "byte_order": words::byte_order(object),
        "license": object.licence,
        "kernel_version": object.kernel_version.map(words::version),
        "btf": object.btf.as_ref().map(|btf| json!({ "types": btf.types.len() - 1 })),
        "dwarf": object.has_dwarf,
        "programs": list(&object.programs, |program| {
            let hook = &program.hook;
            let mut value = object.function(program).map(|f| function(subject, f));
            let value = value.get_or_insert_default();
            value.extend(pairs([
                ("name", json!(program.name)),
                ("section", json!(program.section)),
                ("kind", json!(hook.kind)),
                ("target", json!(hook.target)),
                ("type", json!(hook.program_type_name())),
                ("attach_type", json!(hook.attach_type_name())),
                ("optional", json!(hook.optional)),
            ]));
            Value::Object(std::mem::take(value))
        }),
        "functions": object.called().map(|f| function(subject, f).into()).collect::<Vec<Value>>(),
        "maps": list(&object.maps, |map_| map(subject, map_)),
        "variables": list(&object.globals, |global| variable(subject, global)),
        "externs": list(&object.externs, |external| json!({
            "name": external.name,
            "section": some(&external.section),
            "type": subject.c_name(external.ty),
            "weak": external.weak,
        })),
        "events": list(&subject.events, |schema| event(subject, schema)),
        "damage": subject.damage,
    });
    if let Some(document) = document.as_object_mut().filter(|_| subject.args.types.is_some()) {
        document.insert("types".to_owned(), types(subject)?);
    }
    without_null(&mut document);
    Ok(document)
}

fn list<T>(items: &[T], make: impl Fn(&T) -> Value) -> Value {
    items.iter().map(make).collect()
}

fn pairs<const N: usize>(pairs: [(&str, Value); N]) -> impl Iterator<Item = (String, Value)> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value))
}

/// A string that is not empty.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Absent beats null.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn function(subject: &Subject<'_>, function: &Function) -> Members<String, Value> {
    let object = subject.object;
    let (maps, calls) = words::used(object, function);
    let first = function.lines.first().zip(object.btf.as_ref());
    let declaration = function.ty.zip(object.btf.as_ref());
    pairs([
        ("name", json!(function.name)),
        ("section", json!(function.section_name)),
        ("offset_bytes", json!(function.offset)),
        ("size_bytes", json!(function.insns.len() * 8)),
        ("instruction_count", json!(function.insns.len())),
        ("declaration", json!(declaration.map(|(ty, btf)| btf.types.c_declaration(ty)))),
        ("maps", json!(maps)),
        ("functions", json!(calls)),
        (
            "source",
            first.map_or(
                Value::Null,
                |((_, info), btf)| json!({ "file": btf.string(info.file), "line": info.line }),
            ),
        ),
        (
            "instructions",
            if subject.disassembles(function) {
                listing::rows(object, function).map(|row| insn(subject, function, &row)).collect()
            } else {
                Value::Null
            },
        ),
    ])
    .collect()
}

fn insn(subject: &Subject<'_>, function: &Function, row: &Row) -> Value {
    let object = subject.object;
    let bytes = row.slots.iter().flat_map(|slot| slot.encode(object.endian));
    let line = row.line.and_then(|index| function.lines.get(index)).zip(object.btf.as_ref());
    let refers_to = function.references.get(&row.slot).map(|reference| match reference {
        Reference::Map(index) => json!({ "map": object.maps.get(*index).map(|m| &m.name) }),
        Reference::Function(index) => {
            json!({ "function": object.functions.get(*index).map(|f| &f.name) })
        }
        Reference::Extern(index) => {
            json!({ "extern": object.externs.get(*index).map(|e| &e.name) })
        }
        Reference::Data { section, offset } => {
            let global = object.global_at(*section, *offset);
            json!({
                "variable": global.map(|(global, _)| &global.name),
                "section": object.sections.get(*section).map(|section| &section.name),
                "offset_bytes": offset,
            })
        }
        Reference::Other(text) => json!({ "symbol": text }),
    });
    json!({
        "index": row.slot,
        "bytes": bytes.map(|byte| format!("{byte:02x}")).collect::<String>(),
        "text": row.text,
        "label": row.label,
        "refers_to": refers_to,
        "core": super::core_words(object, function, row.slot),
        "source": line.map(|((_, info), btf)| json!({
            "file": btf.string(info.file),
            "line": info.line,
            "column": info.column,
            "text": words::short(btf.string(info.text).into_owned()),
        })),
    })
}

fn map(subject: &Subject<'_>, map_: &Map) -> Value {
    let types = subject.object.btf.as_ref().map(|btf| &btf.types);
    let ty = |id: Option<TypeId>| {
        let name = subject.c_name(id)?;
        Some(json!({ "type": name, "type_size_bytes": types?.size(id?) }))
    };
    json!({
        "name": some(&map_.name),
        "type": words::map_kind(map_),
        "key_size_bytes": map_.key_size,
        "key": ty(map_.key),
        "value_size_bytes": map_.value_size,
        "value": ty(map_.value),
        "max_entries": map_.max_entries,
        "flags": words::map_flags(map_),
        "pinning": words::pinning(map_),
        "numa_node": Some(map_.numa_node).filter(|&node| node != 0),
        "map_extra": Some(map_.extra).filter(|&extra| extra != 0).map(|e| format!("{e:#x}")),
        "inner": map_.inner.as_deref().map(|inner| map(subject, inner)),
        "values": Some(&map_.values).filter(|values| !values.is_empty()).map(|values| {
            list(values, |(index, name)| json!({ "index": index, "name": name }))
        }),
        "legacy": map_.legacy,
    })
}

fn event(subject: &Subject<'_>, schema: &EventSchema<'_>) -> Value {
    let types = schema.types;
    let members = schema.ty.and_then(|ty| types.composite(ty));
    let asked = subject.args.schema;
    json!({
        "map": (!schema.iterator).then_some(&schema.map),
        "iterator": schema.iterator.then_some(&schema.map),
        "type": schema.type_name(),
        "size_bytes": schema.ty.and_then(|ty| types.size(ty)),
        "provenance": { "kind": schema.provenance.word(), "text": schema.provenance.to_string() },
        "tail": schema.tail,
        "programs": schema.senders,
        "when": some(&events::condition(&schema.when)),
        "c": asked.then(|| events::definition(schema)),
        "members": members.filter(|_| asked).map(|body| list(&body.members, |m| member(types, m))),
    })
}

fn member(types: &Types, member: &Member) -> Value {
    json!({
        "name": member.name,
        "type": types.c_name(member.ty),
        "bit_offset": member.bit_offset,
        "bit_size": member.bit_size,
    })
}

fn variable(subject: &Subject<'_>, global: &Global) -> Value {
    let object = subject.object;
    let bytes = object.initial_value(global);
    let decoder = words::decoder(object, global.ty);
    json!({
        "name": global.name,
        "section": object.sections.get(global.section).map(|section| &section.name),
        "offset_bytes": global.offset,
        "size_bytes": global.size,
        "type": subject.c_name(global.ty),
        "static": !global.global,
        "value": bytes.zip(decoder).map(|(bytes, decoder)| decoder.json(bytes)),
        "value_base64": bytes.map(|bytes| BASE64.encode(bytes)),
    })
}

fn types(subject: &Subject<'_>) -> Result<Value> {
    let Some(btf) = &subject.object.btf else { return Ok(Value::Array(Vec::new())) };
    let types = &btf.types;
    let mut written = 0;
    let one = |id: TypeId| {
        let members = types.composite(id).filter(|_| is_composite(types.kind(id)));
        let declaration = types.c_declaration(id);
        written += declaration.len();
        if written > MAX_TYPES {
            bail!("its types are longer than any honest ones");
        }
        Ok(json!({
            "id": id.0,
            "kind": kind(types.kind(id)),
            "name": types.name(id),
            "size_bytes": types.size(id),
            "c": declaration,
            "members": members.map(|body| list(&body.members, |m| member(types, m))),
        }))
    };
    subject.types().map(one).collect()
}

fn is_composite(kind: &Kind) -> bool {
    matches!(kind, Kind::Struct(_) | Kind::Union(_))
}

/// BTF's name of a kind.
fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Void => "void",
        Kind::Int { .. } => "int",
        Kind::Float { .. } => "float",
        Kind::Pointer(_) => "ptr",
        Kind::Array { .. } => "array",
        Kind::Struct(_) => "struct",
        Kind::Union(_) => "union",
        Kind::Enum { .. } => "enum",
        Kind::Typedef(_) => "typedef",
        Kind::Const(_) => "const",
        Kind::Volatile(_) => "volatile",
        Kind::Restrict(_) => "restrict",
        Kind::TypeTag(_) => "type_tag",
        Kind::Function { .. } => "func",
        Kind::FunctionProto { .. } => "func_proto",
        Kind::Var { .. } => "var",
        Kind::DataSection { .. } => "datasec",
        Kind::Forward { .. } => "fwd",
        Kind::DeclTag { .. } => "decl_tag",
    }
}
