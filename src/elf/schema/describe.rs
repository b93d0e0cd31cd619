//! Types of events as JSON, field by field, in the form that [`super::described`] reads back.

use serde_json::{Map, Value, json};

use super::EventSchema;
use crate::elf::types::{Composite, Encoding, Kind, Member, TypeId, Types};
use crate::elf::value::{Clock, Hint, Order};

/// Structs in structs: circles end here.
pub(super) const MAX_DEPTH: usize = 16;
/// The most fields of one type, all levels together.
pub(super) const MAX_FIELDS: usize = 20_000;

impl EventSchema<'_> {
    /// The fields of the type, each with its place, its type and how it is known; of a type without
    /// members, one field without a name. `None`: there is no type, or it is too large.
    pub fn fields(&self) -> Option<Value> {
        let types = &*self.types;
        let mut left = MAX_FIELDS;
        let mut fields = match types.composite(self.ty?) {
            Some(body) => list(types, body, 0, &mut left)?,
            None => {
                let mut field = Map::new();
                describe(types, self.ty?, &mut field, 0, &mut left)?;
                field.insert("offset".into(), 0.into());
                vec![field]
            }
        };
        for (index, field) in fields.iter_mut().enumerate() {
            let (word, how) = self.known_by(index);
            field.insert("known".into(), word.into());
            if let Some(how) = how {
                field.insert("how".into(), how.into());
            }
            let at = field.get("offset").and_then(Value::as_u64);
            if let Some(value) = at.and_then(|at| self.told(at)) {
                field.insert("value".into(), value.into());
            }
        }
        Some(fields.into_iter().map(Value::Object).collect())
    }

    /// How the member number `index` is known: a word, and more words if it is known by itself.
    fn known_by(&self, index: usize) -> (&'static str, Option<String>) {
        match self.types.evidence(index) {
            Some(evidence) => (evidence.word(), Some(evidence.to_string())),
            None => (self.provenance.word(), None),
        }
    }

    /// What programs tell about the value at this place.
    fn told(&self, at: u64) -> Option<&'static str> {
        let hint = self.hints.iter().find(|(offset, _)| *offset == at)?;
        Some(match hint.1 {
            Hint::Text => "text",
            Hint::Time(Clock::Monotonic) | Hint::Earlier(Clock::Monotonic) => "monotonic clock",
            Hint::Time(Clock::Boot) | Hint::Earlier(Clock::Boot) => "boot clock",
            Hint::Order { order: Order::Network, .. } => "network order",
            Hint::Order { order: Order::Host, .. } => "host order",
            Hint::AnyOrder => "either byte order",
            Hint::Bytes => "counts bytes",
            Hint::Stack(_) => "return addresses",
            Hint::StackId { .. } => "number of a stack",
        })
    }

    /// The words for a comment about the member number `index`, at this place.
    pub fn note(&self, index: usize, at: u64) -> String {
        let (word, how) = self.known_by(index);
        let mut note = how.unwrap_or_else(|| word.to_owned());
        if let Some(told) = self.told(at) {
            note.push_str(", ");
            note.push_str(told);
        }
        note
    }
}

fn list(
    types: &Types,
    body: &Composite,
    depth: usize,
    left: &mut usize,
) -> Option<Vec<Map<String, Value>>> {
    (depth < MAX_DEPTH && types.steps.take(body.members.len())).then_some(())?;
    body.members.iter().map(|member| field(types, member, depth, left)).collect()
}

fn field(
    types: &Types,
    member: &Member,
    depth: usize,
    left: &mut usize,
) -> Option<Map<String, Value>> {
    *left = left.checked_sub(1)?;
    let mut field = Map::new();
    if let Some(name) = &member.name {
        field.insert("name".into(), name.to_string().into());
    }
    field.insert("offset".into(), (member.bit_offset / 8).into());
    describe(types, member.ty, &mut field, depth, left)?;
    if let Some(bits) = member.bit_size {
        field.insert("bit".into(), (member.bit_offset % 8).into());
        field.insert("bits".into(), bits.into());
    }
    Some(field)
}

/// The keys that describe a type.
fn describe(
    types: &Types,
    mut ty: TypeId,
    field: &mut Map<String, Value>,
    depth: usize,
    left: &mut usize,
) -> Option<()> {
    let mut counts = Vec::new();
    while let Kind::Array { element, count } = types.resolved(ty) {
        (counts.len() < MAX_DEPTH).then(|| counts.push(*count))?;
        ty = *element;
    }
    match counts[..] {
        [] => {}
        [one] => _ = field.insert("count".into(), one.into()),
        _ => _ = field.insert("count".into(), counts.into()),
    }
    let (word, own) = match types.resolved(ty) {
        &Kind::Int { bytes, encoding: Encoding::Bool, .. } => {
            (if bytes == 1 { "bool".to_owned() } else { number('u', bytes)? }, None)
        }
        &Kind::Int { bytes, encoding, .. } => {
            let sign = if encoding == Encoding::Unsigned { 'u' } else { 's' };
            let char = types.is_char(ty);
            let word = if char { "char".to_owned() } else { number(sign, bytes)? };
            // A typedef, not C's own name of the number.
            let names = types.names(ty);
            let own = names.first().filter(|own| names.len() > 1 && !is_plain(own, &word));
            (word.clone(), own.map(|&own| own.to_owned()))
        }
        &Kind::Float { bytes } => (number('f', bytes)?, None),
        Kind::Pointer(_) => ("ptr".to_owned(), None),
        Kind::Enum { bytes, signed, values } => {
            *left = left.checked_sub(values.len())?;
            let all = values.iter().map(|(name, value)| (name.to_string(), json!(value)));
            field.insert("values".into(), Value::Object(all.collect()));
            (number(if *signed { 's' } else { 'u' }, *bytes)?, None)
        }
        Kind::Struct(body) | Kind::Union(body) => {
            let inner = list(types, body, depth + 1, left)?;
            field.insert("fields".into(), inner.into_iter().map(Value::Object).collect());
            field.insert("bytes".into(), body.bytes.into());
            let is_union = matches!(types.resolved(ty), Kind::Union(_));
            let word = if is_union { "union" } else { "struct" };
            (word.to_owned(), types.name(types.resolve(ty)).map(str::to_owned))
        }
        _ => return None,
    };
    // Names of types tell what a number is: `__be16`, `uid_t`.
    if let Some(own) = own.filter(|own| *own != word) {
        field.insert("as".into(), own.into());
    }
    field.insert("type".into(), word.into());
    Some(())
}

/// Whether a typedef says no more than the width: `__u32`, `u32`.
fn is_plain(own: &str, word: &str) -> bool {
    own.trim_start_matches("__") == word
}

/// `u32`. `None`: no such width.
fn number(kind: char, bytes: u32) -> Option<String> {
    matches!(bytes, 1 | 2 | 4 | 8 | 16).then(|| format!("{kind}{}", bytes * 8))
}
