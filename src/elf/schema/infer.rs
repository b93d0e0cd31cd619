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

use super::evidence::Evidence;
use super::known::Made;
use super::lines::Lines;
use super::origin::{self, PID_TGID, Role, UID_GID};
use super::{Found, Provenance};
use crate::elf::dataflow::{Emission, Write};
use crate::elf::insn::Insn;
use crate::elf::object::Object;
use crate::elf::types::{Composite, Encoding, Kind, Member, Type, TypeId, Types};
use crate::elf::value::{Clock, Hint};

/// The most fields of a record, its most bytes, and the most bytes of a name.
const MAX_FIELDS: usize = 512;
const MAX_BYTES: u64 = 1 << 16;
const MAX_NAME: usize = 64;

/// A name of a field, and how it is known.
#[derive(Clone, PartialEq)]
struct Known {
    name: String,
    by: Evidence,
}

/// A piece of a record.
#[derive(Clone)]
struct Field {
    at: u64,
    bytes: u64,
    /// A number, not bytes
    number: bool,
    text: bool,
    /// What it is, from the helper that filled it
    role: Option<Role>,
    /// Senders have other names for it than by source lines: it has none
    doubtful: bool,
    known: Option<Known>,
}

impl Field {
    fn end(&self) -> u64 {
        self.at + self.bytes
    }

    /// Its name from a source line.
    fn line(&self) -> Option<&str> {
        self.known.as_ref().filter(|known| known.by == Evidence::Line).map(|known| &*known.name)
    }

    /// Takes over what another sender tells of the same place. `None`: source lines contradict each
    /// other.
    fn learn(&mut self, other: Field) -> Option<()> {
        let known = match (self.known.take(), other.known.clone()) {
            (Some(own), Some(other)) if own.name == other.name => {
                Some(if other.by < own.by { other } else { own })
            }
            (Some(Known { by: Evidence::Line, .. }), Some(Known { by: Evidence::Line, .. })) => {
                return None;
            }
            (Some(own), Some(other)) if own.by == Evidence::Line || other.by == Evidence::Line => {
                Some(if own.by == Evidence::Line { own } else { other })
            }
            (Some(_), Some(_)) => {
                self.doubtful = true;
                None
            }
            (own, other) => own.or(other),
        };
        if self.role != other.role {
            self.role = None;
        }
        // Where the widths differ, the compiler stored neighbours together on one path.
        let doubtful = self.doubtful | other.doubtful;
        if other.bytes < self.bytes {
            *self = other;
        }
        let usable = |known: &Known| !doubtful || known.by == Evidence::Line;
        (self.known, self.doubtful) = (known.filter(usable), doubtful);
        Some(())
    }

    fn evidence(&self) -> Evidence {
        match (&self.known, self.role) {
            (Some(known), _) => known.by.clone(),
            (None, Some((_, helper))) => Evidence::Helper(helper),
            (None, None) => Evidence::Store,
        }
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
    // Nothing but numbers without a meaning reads no better than bytes.
    if fields.iter().all(|field| field.evidence() == Evidence::Store) {
        return None;
    }
    let how = how(object, &fields);
    let (types, ty, evidence) = build(&fields, size)?;
    let types = super::Known::Own(Arc::new(Made { types, evidence }));
    Some(Found { types, ty: Some(ty), how: Provenance::Inferred(how), tail: false })
}

/// How the fields are known, in words.
fn how(object: &Object, fields: &[Field]) -> String {
    let count = |word| fields.iter().filter(|field| field.evidence().word() == word).count();
    let lines = count("line");
    let mut how =
        format!("from its stores: {} fields, {lines} named by source lines", fields.len());
    for (word, by) in [("co-re", "CO-RE"), ("map", "values of maps"), ("helper", "helpers")] {
        match count(word) {
            0 => {}
            some => how.push_str(&format!(", {some} by {by}")),
        }
    }
    if object.btf.is_none() {
        how.push_str("; the object has no BTF, so there are no names and no signs");
    }
    how
}

/// The fields by their places, without overlaps. `None`: one place has two names.
fn fields(object: &Object, senders: &[Sender<'_>], size: u64) -> Option<Vec<Field>> {
    let mut by_place: BTreeMap<u64, Field> = BTreeMap::new();
    let writes = senders.iter().flat_map(Sender::writes);
    for (write, name) in writes {
        // Zeros are mostly a clearing of the whole record.
        if write.offset >= size || (!write.sure && name.is_none()) {
            continue;
        }
        for field in pieces(object, write, name, size) {
            if let Some(known) = by_place.get_mut(&field.at) {
                known.learn(field)?;
            } else if by_place.len() < MAX_FIELDS {
                by_place.insert(field.at, field);
            }
        }
    }
    let mut fields: Vec<Field> = Vec::new();
    for (_, field) in by_place {
        match fields.last_mut() {
            // A copy word by word, by one line, or a part of what it clears.
            Some(last)
                if last.line().is_some()
                    && last.line() == field.line()
                    && last.end() >= field.at =>
            {
                if last.end() < field.end() {
                    last.bytes = field.end() - last.at;
                    last.number = false;
                }
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
    Some(bytes(&fields))
}

/// So many bytes side by side that nothing is known of are no fields: an array was copied.
const MANY_BYTES: usize = 8;

/// The same fields, with copies that were made byte by byte as one.
fn bytes(fields: &[Field]) -> Vec<Field> {
    let unknown = |field: &Field| field.bytes == 1 && field.evidence() == Evidence::Store;
    let neighbours = |a: &Field, b: &Field| unknown(a) && unknown(b) && a.end() == b.at;
    let mut joined = Vec::new();
    for run in fields.chunk_by(neighbours) {
        match (run.first(), run.len()) {
            (Some(first), MANY_BYTES..) => {
                let bytes = run.len() as u64;
                joined.push(Field { bytes, number: false, ..first.clone() });
            }
            _ => joined.extend_from_slice(run),
        }
    }
    joined
}

/// The name of what one write fills.
fn known(object: &Object, write: &Write, line: Option<&str>) -> Option<Known> {
    if let Some(name) = line {
        return Some(Known { name: name.to_owned(), by: Evidence::Line });
    }
    let known =
        |name: &str, by| (name.len() <= MAX_NAME).then(|| Known { name: name.to_owned(), by });
    if let Some(member) = origin::copied_member(object, write) {
        let path = format!("{}.{}", member.outer, member.name);
        return known(member.name, Evidence::Member(path));
    }
    let (map, name) = origin::copied_value(object, write)?;
    known(name, Evidence::Value(map.to_owned()))
}

/// The fields that one write fills: two, if both halves of a helper's result are stored at once as
/// members that a line names.
fn pieces(object: &Object, write: &Write, line: Option<&str>, size: u64) -> Vec<Field> {
    let bytes = write.width.min(size - write.offset).max(1);
    let text = write.hint == Some(Hint::Text);
    let role = role(object, write);
    let number = matches!(bytes, 1 | 2 | 4 | 8) && !text;
    let known = known(object, write, line);
    let whole = Field { at: write.offset, bytes, number, text, role, doubtful: false, known };
    let named = matches!(line, Some("pid" | "tid" | "tgid" | "uid" | "gid"));
    let Some((helper, exchanged)) = origin::pair(write, named) else { return vec![whole] };
    let halves = match (helper, line) {
        (PID_TGID, Some("pid" | "tid" | "tgid")) => {
            [("tid", Some(PID_TGID)), ("pid", Some(PID_TGID))]
        }
        (UID_GID, Some("uid" | "gid")) => [("uid", Some(UID_GID)), ("gid", Some(UID_GID))],
        // Who changes their places has two members.
        (PID_TGID, _) if exchanged => [("tid", Some(PID_TGID)), ("pid", Some(PID_TGID))],
        (UID_GID, _) if exchanged => [("uid", Some(UID_GID)), ("gid", Some(UID_GID))],
        _ => return vec![whole],
    };
    let big = object.endian == Endianness::Big;
    let half = |index: u64| {
        let role = if (index == 1) != (big != exchanged) { halves[1] } else { halves[0] };
        let named = line == Some("tgid") && role.0 == "pid";
        let known = whole.known.clone().filter(|_| named);
        Field { at: write.offset + index * 4, bytes: 4, role: Some(role), known, ..whole.clone() }
    };
    vec![half(0), half(1)]
}

/// The meaning of a field, from the helper that filled it.
fn role(object: &Object, write: &Write) -> Option<Role> {
    let (function, slot) = write.by;
    let insn = object.functions.get(function).and_then(|f| f.insns.get(slot));
    let helper =
        insn.filter(|insn| (insn.opcode, insn.src) == (Insn::CALL, 0)).map(|insn| insn.imm);
    let word = match (write.hint, helper) {
        (Some(Hint::Time(Clock::Monotonic) | Hint::Earlier(Clock::Monotonic)), _) => {
            return Some(("time", Some(KTIME_GET_NS)));
        }
        (Some(Hint::Time(Clock::Boot) | Hint::Earlier(Clock::Boot)), _) => {
            return Some(("time", Some(KTIME_GET_BOOT_NS)));
        }
        (_, Some(16)) => "comm",
        (_, Some(147)) => "path",
        (_, Some(67 | 141)) => "stack",
        (Some(Hint::Text), _) => "text",
        _ => return origin::role(write),
    };
    Some((word, helper))
}

/// Helpers that read clocks.
const KTIME_GET_NS: i32 = 5;
const KTIME_GET_BOOT_NS: i32 = 125;

/// The struct, packed, with the gaps as members, and how each is known.
fn build(fields: &[Field], size: u64) -> Option<(Types, TypeId, Vec<Evidence>)> {
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
    let (mut members, mut evidence) = (Vec::new(), Vec::new());
    let mut used = BTreeMap::new();
    let mut at = 0;
    for field in fields {
        if field.at > at {
            let gap = field.at - at;
            // A gap that the alignment of the next field explains holds nothing.
            let aligned = field.number && gap < field.bytes && field.at % field.bytes == 0;
            let name = if aligned { format!("pad_{at}") } else { format!("gap_{at}") };
            members.push(array(&mut types, name, byte, at, gap)?);
            evidence.push(Evidence::Nothing);
        }
        let mut name = name(field);
        let times = used.entry(name.clone()).or_insert(0);
        *times += 1;
        if *times > 1 {
            name = format!("{name}_{}", field.at);
        }
        let of_numbers =
            field.role.is_some_and(|(word, _)| word == "stack") && field.bytes % 8 == 0;
        members.push(match (field.number, field.text) {
            _ if of_numbers => {
                array(&mut types, name, *numbers.get(&8)?, field.at, field.bytes / 8)?
            }
            (true, _) => member(name, *numbers.get(&field.bytes)?, field.at)?,
            (false, true) => array(&mut types, name, character, field.at, field.bytes)?,
            (false, false) => array(&mut types, name, byte, field.at, field.bytes)?,
        });
        evidence.push(field.evidence());
        at = field.end();
    }
    if at < size {
        // Up to the next multiple of eight it can be the padding of a struct.
        let name = if size - at < 8 { format!("pad_{at}") } else { format!("gap_{at}") };
        members.push(array(&mut types, name, byte, at, size - at)?);
        evidence.push(Evidence::Nothing);
    }
    let kind = Kind::Struct(Composite { bytes: size, members });
    let ty = types.push(Type { name: Some("inferred".into()), kind }).ok()?;
    Some((types, ty, evidence))
}

fn name(field: &Field) -> String {
    match (&field.known, field.role) {
        (Some(known), _) => known.name.clone(),
        (None, role) => format!("{}_{}", role.map_or("field", |(word, _)| word), field.at),
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
