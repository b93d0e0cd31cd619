//! The contents of an object, for programs: one JSON object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Serialize, SerializeMap, SerializeSeq as _, Serializer};
use serde_json::{Value, json};

use crate::bpfrun::choose;
use crate::elf::acts::Act;
use crate::elf::code::{Function, Reference};
use crate::elf::global::{Extern, Global};
use crate::elf::map::Map;
use crate::elf::object;
use crate::elf::schema::EventSchema;
use crate::elf::types::{Kind, Member, TypeId, Types};
use crate::output::json::SCHEMA;

use super::listing::{self, Row};
use super::parts::{Each, entries, present};
use super::{Subject, against, events, words};

/// The whole document, without the keys that do not apply. Written item by item, because items take
/// much more memory than the file or the text.
pub(super) struct Document<'a>(&'a Subject<'a>);

impl<'a> Document<'a> {
    /// The document of an object.
    pub(super) fn new(subject: &'a Subject<'a>) -> Self {
        Self(subject)
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let subject = self.0;
        let object = subject.object;
        let mut document = serializer.serialize_map(None)?;
        entries(&mut document, summary(subject))?;
        let programs = Each(subject, "programs", || {
            let programs = object.programs.iter().zip(&subject.acts);
            programs.map(|(program, acts)| Program { subject, program, acts })
        });
        document.serialize_entry("programs", &programs)?;
        let functions = Each(subject, "functions", || {
            object.called().map(|function| Called { subject, function })
        });
        document.serialize_entry("functions", &functions)?;
        let maps =
            Each(subject, "maps", || object.maps.iter().map(|item| present(map(subject, item))));
        document.serialize_entry("maps", &maps)?;
        let globals = Each(subject, "variables", || {
            object.globals.iter().map(|item| present(variable(subject, item)))
        });
        document.serialize_entry("variables", &globals)?;
        let externs = Each(subject, "expected symbols", || {
            object.externs.iter().map(|item| present(external(subject, item)))
        });
        document.serialize_entry("externs", &externs)?;
        let events = Each(subject, "events", || {
            subject.events.iter().map(|schema| Event { subject, schema })
        });
        document.serialize_entry("events", &events)?;
        if subject.args.types.is_some() {
            document.serialize_entry("types", &AllTypes(subject))?;
        }
        if let Some(judgement) = &subject.judgement {
            document.serialize_entry("against", &against::Document { subject, judgement })?;
        }
        document.serialize_entry("damage", &subject.all_damage())?;
        document.end()
    }
}

fn summary(subject: &Subject<'_>) -> Value {
    let object = subject.object;
    json!({
        "schema": SCHEMA,
        "tool": "bpfrun",
        "version": env!("CARGO_PKG_VERSION"),
        "file": {
            "path": subject.path.to_string_lossy(),
            "size_bytes": subject.bytes,
            "object": subject.within.map(choose::described),
        },
        "byte_order": words::byte_order(object),
        "license": object.licence,
        "kernel_version": object.kernel_version.map(words::version),
        "btf": object.btf.as_ref().map(|btf| json!({ "types": btf.types.len() - 1 })),
        "dwarf": object.has_dwarf,
    })
}

/// A program, with the members of functions.
struct Program<'a> {
    subject: &'a Subject<'a>,
    program: &'a object::Program,
    acts: &'a [Act],
}

impl Serialize for Program<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hook = &self.program.hook;
        let mut map = serializer.serialize_map(None)?;
        let what = json!({
            "kind": hook.kind,
            "target": hook.target,
            "type": hook.program_type_name(),
            "attach_type": hook.attach_type_name(),
            "optional": hook.optional,
            "acts": list(self.acts, |act| json!({ "name": act.name, "what": act.what })),
        });
        entries(&mut map, what)?;
        if let Some(code) = self.subject.object.function(self.program) {
            function(&mut map, self.subject, code)?;
        }
        map.end()
    }
}

/// A function that is not a program.
struct Called<'a> {
    subject: &'a Subject<'a>,
    function: &'a Function,
}

impl Serialize for Called<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        function(&mut map, self.subject, self.function)?;
        map.end()
    }
}

fn list<T>(items: &[T], make: impl Fn(&T) -> Value) -> Value {
    items.iter().map(make).collect()
}

/// A string that is not empty.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn function<M: SerializeMap>(
    map: &mut M,
    subject: &Subject<'_>,
    function: &Function,
) -> Result<(), M::Error> {
    let object = subject.object;
    let (maps, calls) = words::used(object, function);
    let btf = object.btf.as_ref();
    let declaration = function.ty.zip(btf).map(|(ty, btf)| btf.types.c_declaration(ty));
    let source = function
        .lines
        .first()
        .zip(btf)
        .map(|((_, info), btf)| json!({ "file": btf.string(info.file), "line": info.line }));
    let what = json!({
        "name": function.name,
        "section": function.section_name,
        "offset_bytes": function.offset,
        "size_bytes": function.insns.len() * 8,
        "instruction_count": function.insns.len(),
        "declaration": declaration,
        "maps": maps,
        "functions": calls,
        "source": source,
    });
    entries(map, what)?;
    if subject.disassembles(function) {
        let rows = || listing::rows(object, function);
        let insns = Each(subject, "instructions", || {
            rows().map(|row| present(insn(subject, function, &row)))
        });
        map.serialize_entry("instructions", &insns)?;
    }
    Ok(())
}

fn insn(subject: &Subject<'_>, function: &Function, row: &Row) -> Value {
    let object = subject.object;
    let bytes = row.slots.iter().flat_map(|slot| slot.encode(object.endian));
    let line = row.line.and_then(|index| function.lines.get(index)).zip(object.btf.as_ref());
    let refers_to = function.references.get(row.slot).map(|reference| match reference {
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
        Reference::Code { section, offset } => json!({ "symbol": object.place(*section, *offset) }),
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

/// A kind of events.
struct Event<'a> {
    subject: &'a Subject<'a>,
    schema: &'a EventSchema<'a>,
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        entries(&mut map, event(self.subject, self.schema))?;
        let asked = self.schema.ty.filter(|_| self.subject.args.schema);
        members(&mut map, self.subject, &self.schema.types, asked)?;
        map.end()
    }
}

/// The members of a struct or union, if it is one: there may be very many.
fn members<M: SerializeMap>(
    map: &mut M,
    subject: &Subject<'_>,
    types: &Types,
    ty: Option<TypeId>,
) -> Result<(), M::Error> {
    let Some(body) = ty.and_then(|ty| types.composite(ty)) else { return Ok(()) };
    let all = || body.members.iter().map(|item| present(member(types, item)));
    map.serialize_entry("members", &Each(subject, "members", all))
}

fn event(subject: &Subject<'_>, schema: &EventSchema<'_>) -> Value {
    let types = &*schema.types;
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
        "sent_at": asked.then_some(&schema.sent_at),
        "c": asked.then(|| events::definition(schema)),
        "fields": asked.then(|| schema.fields()).flatten(),
    })
}

fn member(types: &Types, member: &Member) -> Value {
    json!({
        "name": member.name.as_deref(),
        "type": types.c_name(member.ty),
        "bit_offset": member.bit_offset,
        "bit_size": member.bit_size,
    })
}

fn variable(subject: &Subject<'_>, global: &Global) -> Value {
    let object = subject.object;
    let bytes = object.initial_value(global);
    let decoder = subject.decoder(global.ty);
    json!({
        "name": global.name,
        "section": object.sections.get(global.section).map(|section| &section.name),
        "offset_bytes": global.offset,
        "size_bytes": global.size,
        "type": subject.c_name(global.ty),
        "static": !global.global,
        "value": bytes.zip(decoder).map(|(bytes, decoder)| decoder.json_value(bytes, &subject.values)),
        "value_base64": bytes.map(|bytes| BASE64.encode(bytes)),
    })
}

fn external(subject: &Subject<'_>, external: &Extern) -> Value {
    json!({
        "name": external.name,
        "section": some(&external.section),
        "type": subject.c_name(external.ty),
        "weak": external.weak,
    })
}

/// The types to show.
struct AllTypes<'a>(&'a Subject<'a>);

impl Serialize for AllTypes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        if let Some(btf) = &self.0.object.btf {
            for (number, id) in self.0.types().enumerate() {
                if !self.0.has_room("types", number) {
                    break;
                }
                let declaration = btf.types.c_declaration(id);
                list.serialize_element(&OneType {
                    subject: self.0,
                    types: &btf.types,
                    id,
                    declaration,
                })?;
            }
        }
        list.end()
    }
}

struct OneType<'a> {
    subject: &'a Subject<'a>,
    types: &'a Types,
    id: TypeId,
    declaration: String,
}

impl Serialize for OneType<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { subject, types, id, declaration } = self;
        let mut map = serializer.serialize_map(None)?;
        let what = json!({
            "id": id.0,
            "kind": kind(types.kind(*id)),
            "name": types.name(*id),
            "size_bytes": types.size(*id),
            "c": declaration,
        });
        entries(&mut map, what)?;
        let own = Some(*id).filter(|&id| is_composite(types.kind(id)));
        members(&mut map, subject, types, own)?;
        map.end()
    }
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
