//! A struct for records whose type nothing in the object tells: what stripping leaves.
//!
//! The instructions give the size of a record, and the place and width of each store. The names come
//! from the source lines in `.BTF.ext`, which stripping leaves: the member that a line assigns to, or
//! lets a helper fill. Without lines a field has the name of its role, such as `time_8`, or of its
//! place. Bytes that no store is seen for are a `gap`. Nothing is known about signs, so all numbers
//! are unsigned.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::Endianness;

use super::lines::Lines;
use super::{Found, Known, Provenance};
use crate::elf::dataflow::{Emission, Write};
use crate::elf::insn::Insn;
use crate::elf::object::Object;
use crate::elf::types::{Composite, Encoding, Kind, Member, Type, TypeId, Types};
use crate::elf::value::Hint;

/// The most fields of a record, its most bytes, and the most bytes of a name.
const MAX_FIELDS: usize = 512;
const MAX_BYTES: u64 = 1 << 16;
const MAX_NAME: usize = 64;

/// A piece of a record.
#[derive(Clone, Copy)]
struct Field<'a> {
    at: u64,
    bytes: u64,
    /// A number, not bytes
    number: bool,
    text: bool,
    /// What it is, from the helper that filled it
    role: Option<&'static str>,
    /// From a source line
    name: Option<&'a str>,
}

impl Field<'_> {
    fn end(&self) -> u64 {
        self.at + self.bytes
    }
}

/// A sender, with what its source lines say.
pub(super) struct Sender<'e> {
    sent: &'e Emission,
    /// The members that its writes fill, by the numbers of the writes
    names: BTreeMap<usize, String>,
}

impl<'e> Sender<'e> {
    pub(super) fn new(sent: &'e Emission, lines: &Lines<'_>) -> Self {
        let names = lines.members().filter(|(_, name)| name.len() <= MAX_NAME);
        Self { sent, names: names.map(|(number, name)| (number, name.to_owned())).collect() }
    }

    fn writes(&self) -> impl Iterator<Item = (&'e Write, Option<&str>)> {
        let writes = self.sent.writes.iter().enumerate();
        writes.map(|(number, write)| (write, self.names.get(&number).map(String::as_str)))
    }
}

/// A struct of the stores of all senders of records of one size. `None`: too little is known, or the
/// senders contradict each other.
pub(super) fn by_stores<'a>(
    object: &Object,
    senders: &[Sender<'_>],
    size: u64,
) -> Option<Found<'a>> {
    if !(1..=MAX_BYTES).contains(&size) {
        return None;
    }
    let fields = fields(object, senders, size)?;
    let named = fields.iter().filter(|field| field.name.is_some()).count();
    // Nothing but numbers without a meaning reads no better than bytes.
    if fields.iter().all(|field| field.name.is_none() && field.role.is_none()) {
        return None;
    }
    let how = format!("from its stores: {} fields, {named} named by source lines", fields.len());
    let (types, ty) = build(&fields, size)?;
    let types = Known::Own(Arc::new(types));
    Some(Found { types, ty: Some(ty), how: Provenance::Inferred(how), tail: false })
}

/// The fields by their places, without overlaps. `None`: one place has two names.
fn fields<'l>(object: &Object, senders: &'l [Sender<'_>], size: u64) -> Option<Vec<Field<'l>>> {
    let mut by_place: BTreeMap<u64, Field<'l>> = BTreeMap::new();
    let writes = senders.iter().flat_map(Sender::writes);
    for (write, name) in writes {
        // Zeros are mostly a clearing of the whole record.
        if write.offset >= size || (!write.sure && name.is_none()) {
            continue;
        }
        for field in pieces(object, write, name, size) {
            let Some(known) = by_place.get_mut(&field.at) else {
                if by_place.len() < MAX_FIELDS {
                    by_place.insert(field.at, field);
                }
                continue;
            };
            if known.name.is_some() && field.name.is_some() && known.name != field.name {
                return None;
            }
            let name = known.name.or(field.name);
            // Where the widths differ, the compiler stored neighbours together on one path.
            if field.bytes < known.bytes {
                *known = field;
            }
            known.name = name;
        }
    }
    let mut fields: Vec<Field<'l>> = Vec::new();
    for (_, field) in by_place {
        match fields.last_mut() {
            // A copy word by word, by one line.
            Some(last)
                if last.name.is_some() && last.name == field.name && last.end() == field.at =>
            {
                last.bytes += field.bytes;
                last.number = false;
            }
            // A number that was stored together with its neighbour.
            Some(last) if last.end() > field.at && last.number => {
                last.bytes = field.at - last.at;
                last.number = matches!(last.bytes, 1 | 2 | 4 | 8);
                fields.push(field);
            }
            // A part of a text or of bytes.
            Some(last) if last.end() > field.at => {}
            _ => fields.push(field),
        }
    }
    Some(fields)
}

/// The fields that one write fills: two, if both halves of a helper's result are stored at once as
/// members that a line names.
fn pieces<'l>(object: &Object, write: &Write, name: Option<&'l str>, size: u64) -> Vec<Field<'l>> {
    let bytes = write.width.min(size - write.offset).max(1);
    let text = write.hint == Some(Hint::Text);
    let role = role(object, write);
    let number = matches!(bytes, 1 | 2 | 4 | 8) && !text;
    let whole = Field { at: write.offset, bytes, number, text, role, name };
    let halves = match (write.result, name) {
        (Some(PID_TGID), Some("pid" | "tid" | "tgid")) => [Some("tid"), Some("pid")],
        (Some(UID_GID), Some("uid" | "gid")) => [Some("uid"), Some("gid")],
        _ => return vec![whole],
    };
    let big = object.endian == Endianness::Big;
    let half = |index: u64| {
        let role = if (index == 1) != big { halves[1] } else { halves[0] };
        let named = name.filter(|_| name == Some("tgid") && role == Some("pid"));
        Field { at: write.offset + index * 4, bytes: 4, role, name: named, ..whole }
    };
    vec![half(0), half(1)]
}

/// Helpers whose result is two numbers.
const PID_TGID: i32 = 14;
const UID_GID: i32 = 15;

/// The meaning of a field, from the helper that filled it.
fn role(object: &Object, write: &Write) -> Option<&'static str> {
    let (function, slot) = write.by;
    let insn = object.functions.get(function).and_then(|f| f.insns.get(slot));
    let helper =
        insn.filter(|insn| (insn.opcode, insn.src) == (Insn::CALL, 0)).map(|insn| insn.imm);
    Some(match (write.hint, helper) {
        (Some(Hint::Time(_)), _) => "time",
        (_, Some(16)) => "comm",
        (_, Some(147)) => "path",
        (_, Some(67 | 141)) => "stack",
        (Some(Hint::Text), _) => "text",
        _ => return None,
    })
}

/// The struct, packed, with the gaps as members.
fn build(fields: &[Field<'_>], size: u64) -> Option<(Types, TypeId)> {
    let mut types = Types::new();
    let mut int = |name: &str, bytes: u32, encoding| {
        let kind = Kind::Int { bytes, encoding, bits: bytes * 8, bit_offset: 0 };
        types.push(Type { name: Some(name.into()), kind }).ok()
    };
    let character = int("char", 1, Encoding::Char)?;
    let mut numbers = BTreeMap::new();
    for bytes in [1_u32, 2, 4, 8] {
        let number = int(&format!("__u{}", bytes * 8), bytes, Encoding::Unsigned)?;
        numbers.insert(u64::from(bytes), number);
    }
    let byte = *numbers.get(&1)?;
    let mut members = Vec::new();
    let mut used = BTreeMap::new();
    let mut at = 0;
    for field in fields {
        if field.at > at {
            let gap = field.at - at;
            // A gap that the alignment of the next field explains holds nothing.
            let aligned = field.number && gap < field.bytes && field.at % field.bytes == 0;
            let name = if aligned { format!("pad_{at}") } else { format!("gap_{at}") };
            members.push(array(&mut types, name, byte, at, gap)?);
        }
        let mut name = name(field);
        let times = used.entry(name.clone()).or_insert(0);
        *times += 1;
        if *times > 1 {
            name = format!("{name}_{}", field.at);
        }
        members.push(match (field.number, field.text) {
            (true, _) => member(name, *numbers.get(&field.bytes)?, field.at)?,
            (false, true) => array(&mut types, name, character, field.at, field.bytes)?,
            (false, false) => array(&mut types, name, byte, field.at, field.bytes)?,
        });
        at = field.end();
    }
    if at < size {
        // Up to the next multiple of eight it can be the padding of a struct.
        let name = if size - at < 8 { format!("pad_{at}") } else { format!("gap_{at}") };
        members.push(array(&mut types, name, byte, at, size - at)?);
    }
    let kind = Kind::Struct(Composite { bytes: size, members });
    let ty = types.push(Type { name: Some("inferred".into()), kind }).ok()?;
    Some((types, ty))
}

fn name(field: &Field<'_>) -> String {
    match (field.name, field.role) {
        (Some(name), _) => name.to_owned(),
        (None, role) => format!("{}_{}", role.unwrap_or("field"), field.at),
    }
}

fn member(name: String, ty: TypeId, at: u64) -> Option<Member> {
    let bit_offset = u32::try_from(at * 8).ok()?;
    Some(Member { name: Some(name.into()), ty, bit_offset, bit_size: None })
}

fn array(types: &mut Types, name: String, of: TypeId, at: u64, count: u64) -> Option<Member> {
    let ty = types.push(Type { name: None, kind: Kind::Array { element: of, count } }).ok()?;
    member(name, ty, at)
}
