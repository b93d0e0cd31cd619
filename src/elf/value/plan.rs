//! A type, prepared for decoding: the place and the form of each field. Made once per schema, so
//! that the same field looks the same in every event.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::output::escape::push_cell;

use super::meaning::{self, Meaning};
use super::{Choice, Hint, Options, Order};
use crate::elf::types::{Composite, Encoding, Kind, Name, TypeId, Types};

/// The most structs in structs.
const MAX_DEPTH: usize = 24;
/// Fields of a schema, all levels together: the largest kernel structs have some thousand.
const MAX_FIELDS: usize = 20_000;

/// Bytes of a name that take as much memory as a field without them, with its keys and escapes.
const NAME_BYTES: usize = 32;

/// Members of a union of addresses.
const MAX_VIEWS: usize = 16;

/// A named value in a [`Group`].
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// The name in the file, made printable
    pub name: String,
    /// The key of its readable form in JSON
    pub text_key: String,
    /// The key of its exact bytes in JSON
    pub base64_key: String,
    /// Bits from the start of the group
    pub at: u64,
    /// `Some`: a bitfield
    pub bits: Option<u32>,
    pub shape: Shape,
    /// The members of unions that it is, or is in, outer ones first
    pub arms: Vec<Arm>,
    /// The field with its used length
    pub length: Option<Length>,
    /// Holds nothing, or is shown elsewhere: not shown in text
    pub padding: bool,
    /// It is a stack
    pub stack: Option<Trace>,
}

/// A stack in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// Return addresses
    Frames { user: Option<bool> },
    /// The number of a stack in a map, if it is known in which one
    Id { map: Option<u32>, user: Option<bool> },
}

/// A member of a union.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm {
    /// Index in [`Group::unions`]
    pub union: usize,
    /// Counted from 0
    pub number: usize,
    /// The IP version, 4 or 6, for which it is meant
    pub version: Option<u8>,
}

/// A field with the length of another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    /// Bytes from the start of the group
    pub at: u64,
    pub bytes: u32,
    pub signed: bool,
    /// Counts elements, not bytes
    pub elements: bool,
}

/// The fields of a struct or union, including those of nameless ones in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub fields: Vec<Field>,
    /// The field with the address family
    pub family: Option<Family>,
    /// How to choose a member of each union, if that can be told
    pub unions: Vec<Option<Choice>>,
}

/// A field with an address family or an IP version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Bytes from the start of the group
    pub at: u64,
    pub bytes: u32,
    /// Its name means nothing else
    pub sure: bool,
}

/// Names of an enum's values.
#[derive(Debug)]
pub(super) struct Names {
    /// Sorted by value
    values: Vec<(i128, String)>,
    /// Each value is a bit of its own
    flags: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Number {
        bytes: u32,
        signed: bool,
        meaning: Meaning,
    },
    Bool {
        bytes: u32,
    },
    Float {
        bytes: u32,
    },
    Pointer,
    Enum {
        bytes: u32,
        signed: bool,
        names: Arc<Names>,
    },
    /// Up to the first NUL; `None`: to the end of the event. `list`: several, each with its NUL
    Text {
        bytes: Option<u64>,
        list: bool,
    },
    /// Shown in hexadecimal
    Bytes {
        bytes: Option<u64>,
    },
    Ipv4,
    /// `number`: an IPv4 address in it is a number, its bytes swapped
    Ipv6 {
        number: bool,
    },
    Mac,
    /// `None`: to the end of the event
    Array {
        element: Box<Shape>,
        stride: u64,
        count: Option<u64>,
    },
    Group(Group),
}

impl Shape {
    /// Whether there is a form for people besides the raw one.
    pub(super) fn is_readable(&self) -> bool {
        match self {
            Self::Number { meaning, .. } => meaning.is_readable(),
            Self::Enum { .. } | Self::Ipv4 | Self::Ipv6 { .. } | Self::Mac => true,
            Self::Array { element, .. } => element.is_readable(),
            _ => false,
        }
    }
}

impl Names {
    fn new(values: &[(Name, i64)], bytes: u32, signed: bool) -> Self {
        let mask = if bytes >= 8 { u64::MAX } else { (1 << (bytes * 8)) - 1 };
        let number = |value: i64| {
            if signed { i128::from(value) } else { i128::from(value as u64 & mask) }
        };
        let mut values: Vec<_> =
            values.iter().map(|(name, value)| (number(*value), printable(name))).collect();
        values.sort_by_key(|&(value, _)| value); // stable: of two names the first is shown
        let bits = values.iter().filter(|&&(value, _)| value != 0);
        let single = |value: i128| value > 0 && value & (value - 1) == 0;
        // Two values are mostly a plain 1 and 2.
        let flags = bits.clone().count() >= 3 && bits.clone().all(|&(value, _)| single(value));
        Self { values, flags }
    }

    /// The name of a value, or the names of its bits joined with `|`.
    pub(super) fn name(&self, value: i128) -> Option<String> {
        let at = self.values.partition_point(|&(known, _)| known < value);
        if let Some((_, name)) = self.values.get(at).filter(|&&(known, _)| known == value) {
            return Some(name.clone());
        }
        if !self.flags || value <= 0 {
            return None;
        }
        let (mut rest, mut names) = (value, Vec::new());
        for (bit, name) in self.values.iter().filter(|&&(bit, _)| bit != 0) {
            if rest & bit != 0 {
                rest &= !bit;
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            return None;
        }
        if rest != 0 {
            names.push(format!("{rest:#x}"));
        }
        Some(names.join("|"))
    }
}

/// A name out of a file, which may be any bytes.
fn printable(name: &str) -> String {
    let mut out = String::new();
    push_cell(&mut out, name.as_bytes());
    out
}

/// The place of a type in an event.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The field's name, and the enclosing field's name
    name: &'a str,
    parent: &'a str,
    /// Bytes from the start of the event, if that is one place
    at: Option<u64>,
    /// The last member: a flexible array here takes the rest of the event
    last: bool,
    depth: usize,
}

pub(super) struct Builder<'a> {
    types: &'a Types,
    options: &'a Options,
    fields: usize,
    /// Some field is missing, because there were too many
    pub(super) cut: bool,
    /// One entry per enum, however many fields have it
    enums: HashMap<TypeId, Arc<Names>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(types: &'a Types, options: &'a Options) -> Self {
        Self { types, options, fields: 0, cut: false, enums: HashMap::new() }
    }

    /// The fields of a struct; of anything else, one called `value`.
    pub(super) fn root(&mut self, id: TypeId) -> Group {
        let place = Place { name: "", parent: "", at: Some(0), last: true, depth: 0 };
        match self.shape(id, place) {
            Shape::Group(group) => group,
            _ => {
                let place = Place { name: "value", ..place };
                let shape = self.shape(id, place);
                let mut group =
                    Group { fields: vec![field("value", 0, None, shape)], ..Group::default() };
                finish(&mut group);
                group
            }
        }
    }

    /// Counts a field, of this schema and of all of them. False: it would be one too many.
    fn take(&mut self, name: &str) -> bool {
        self.fields += 1;
        let cost = 1 + name.len() / NAME_BYTES;
        self.cut |= self.fields > MAX_FIELDS || !self.types.fields.take(cost);
        !self.cut
    }

    fn hint(&self, place: Place<'_>) -> Option<Hint> {
        let at = place.at?;
        let hints = &self.options.hints;
        let index = hints.binary_search_by_key(&at, |&(offset, _)| offset).ok()?;
        hints.get(index).map(|&(_, hint)| hint)
    }

    /// Whether programs store an IPv4 address here as a number, its bytes swapped.
    fn is_number(&self, place: Place<'_>) -> bool {
        matches!(self.hint(place), Some(Hint::Order { order: Order::Host, bytes: 4, .. }))
    }

    fn shape(&mut self, id: TypeId, place: Place<'_>) -> Shape {
        let types = self.types;
        let unknown = || Shape::Bytes { bytes: Some(types.size(id).unwrap_or(0)) };
        if !self.take(place.name) || place.depth > MAX_DEPTH {
            return unknown();
        }
        match types.resolved(id) {
            Kind::Int { bytes, encoding: Encoding::Bool, .. } => Shape::Bool { bytes: *bytes },
            Kind::Int { bytes: 16, .. } if meaning::is_address(place.name, place.parent) => {
                Shape::Ipv6 { number: self.is_number(place) }
            }
            Kind::Int { bytes, encoding, .. } => {
                let signed = *encoding != Encoding::Unsigned;
                let names = types.names(id);
                let by_name = || meaning::of_number(place.name, &names, *bytes, signed);
                let meaning = match self.hint(place) {
                    Some(Hint::Time(clock) | Hint::Earlier(clock)) if *bytes == 8 => {
                        Meaning::Time(clock, 1)
                    }
                    Some(hint) => meaning::in_order(by_name(), &names, *bytes, hint),
                    None => by_name(),
                };
                Shape::Number { bytes: *bytes, signed, meaning }
            }
            Kind::Float { bytes } => Shape::Float { bytes: *bytes },
            Kind::Pointer(_) => Shape::Pointer,
            Kind::Enum { bytes, signed, values } => {
                let new = || Arc::new(Names::new(values, *bytes, *signed));
                let names = self.enums.entry(types.resolve(id)).or_insert_with(new).clone();
                Shape::Enum { bytes: *bytes, signed: *signed, names }
            }
            Kind::Array { element, count } => self.array(id, *element, *count, place),
            Kind::Struct(body) | Kind::Union(body) => {
                if let Some(address) = self.address(id, body, place) {
                    return address;
                }
                let mut group = Group::default();
                self.members(&mut group, id, body, 0, &[], place);
                finish(&mut group);
                self.count_bytes(&mut group, place);
                Shape::Group(group)
            }
            Kind::Var { ty, .. } => self.shape(*ty, Place { depth: place.depth + 1, ..place }),
            _ => unknown(),
        }
    }

    /// Lengths that helpers gave: those count bytes, whatever the array is of.
    fn count_bytes(&self, group: &mut Group, place: Place<'_>) {
        for length in group.fields.iter_mut().filter_map(|field| field.length.as_mut()) {
            let at = place.at.map(|start| start + length.at);
            if self.hint(Place { at, ..place }) == Some(Hint::Bytes) {
                length.elements = false;
            }
        }
    }

    fn array(&mut self, id: TypeId, element: TypeId, count: u64, place: Place<'_>) -> Shape {
        let types = self.types;
        let Some(stride) = types.size(element).filter(|&stride| stride > 0) else {
            return Shape::Bytes { bytes: Some(0) };
        };
        // In the middle of a struct, an array of 0 elements only marks a place.
        let count = if count == 0 && place.last { None } else { Some(count) };
        let bytes = count.map(|_| types.size(id).unwrap_or(0));
        let address = || meaning::is_address(place.name, place.parent);
        let number = match types.resolved(element) {
            Kind::Int { bytes, encoding, .. } if *encoding != Encoding::Bool => Some(bytes),
            _ => None,
        };
        if let Some(width) = number {
            let is_stack = matches!(self.hint(place), Some(Hint::Stack(_)));
            let text = types.is_char(element) || self.hint(place) == Some(Hint::Text);
            match (width, bytes) {
                (1, Some(16)) | (4 | 8, Some(16)) if !text && address() => {
                    return Shape::Ipv6 { number: self.is_number(place) };
                }
                (1, Some(4)) if !text && address() && self.is_number(place) => {
                    let meaning = Meaning::Ipv4Number;
                    return Shape::Number { bytes: 4, signed: false, meaning };
                }
                // Sometimes it is one, and sometimes its bytes are swapped.
                (1, Some(4)) if self.hint(place) == Some(Hint::AnyOrder) => {
                    return Shape::Bytes { bytes };
                }
                (1, Some(4)) if !text && address() => return Shape::Ipv4,
                (1, Some(6)) if !text && meaning::is_mac(place.name) => return Shape::Mac,
                (1, _) if text || meaning::is_text(place.name) => {
                    return Shape::Text { bytes, list: meaning::is_text_list(place.name) };
                }
                (1, _) => return Shape::Bytes { bytes },
                (8, _) if is_stack || meaning::is_stack(place.name) => {
                    let meaning = Meaning::Hex;
                    let element = Box::new(Shape::Number { bytes: 8, signed: false, meaning });
                    return Shape::Array { element, stride, count };
                }
                _ => {}
            }
        }
        let inner = Place { at: None, last: false, depth: place.depth + 1, ..place };
        Shape::Array { element: Box::new(self.shape(element, inner)), stride, count }
    }

    /// A struct that is nothing but an IP address: `struct in6_addr` and its like.
    fn address(&self, id: TypeId, body: &Composite, place: Place<'_>) -> Option<Shape> {
        let types = self.types;
        let named = types.names(id).iter().any(|name| name.contains("addr"));
        if !named || body.members.is_empty() || body.members.len() > 8 {
            return None;
        }
        // All members must be whole views of the same bytes.
        for member in &body.members {
            let whole = member.bit_offset == 0
                && member.bit_size.is_none()
                && types.size(member.ty) == Some(body.bytes);
            if !whole || matches!(types.resolved(member.ty), Kind::Pointer(_) | Kind::Struct(_)) {
                return None;
            }
        }
        match body.bytes {
            4 if self.is_number(place) => {
                Some(Shape::Number { bytes: 4, signed: false, meaning: Meaning::Ipv4Number })
            }
            4 => Some(Shape::Ipv4),
            16 => Some(Shape::Ipv6 { number: self.is_number(place) }),
            _ => None,
        }
    }

    /// Whether a field is a stack: by what a program does, or by its name.
    fn stack(&self, field: &Field, place: Place<'_>) -> Option<Trace> {
        let by_name = meaning::is_user_stack(place.name);
        match (&field.shape, self.hint(place)) {
            (Shape::Array { stride: 8, .. }, Some(Hint::Stack(user))) => {
                Some(Trace::Frames { user: user.or(by_name) })
            }
            (Shape::Number { bytes: 4 | 8, .. }, Some(Hint::StackId { map, user })) => {
                Some(Trace::Id { map: Some(map), user: user.or(by_name) })
            }
            (Shape::Array { element, stride: 8, .. }, None) if meaning::is_stack(place.name) => {
                let number = matches!(**element, Shape::Number { bytes: 8, .. });
                number.then_some(Trace::Frames { user: by_name })
            }
            (Shape::Number { bytes: 4 | 8, .. }, None) if meaning::is_stack_id(place.name) => {
                Some(Trace::Id { map: None, user: by_name })
            }
            _ => None,
        }
    }

    /// Adds a union to a group; returns its index.
    fn union(&self, group: &mut Group, id: TypeId, place: Place<'_>) -> usize {
        let here = |choice: &&Choice| {
            Some(choice.union) == place.at && choice.ty == self.types.resolve(id)
        };
        group.unions.push(self.options.choices.iter().find(here).cloned());
        group.unions.len() - 1
    }

    /// Adds the members of a struct or union, `base` bits from the start of the group.
    fn members(
        &mut self,
        group: &mut Group,
        id: TypeId,
        body: &Composite,
        base: u64,
        arms: &[Arm],
        place: Place<'_>,
    ) {
        let types = self.types;
        let is_union = matches!(types.resolved(id), Kind::Union(_));
        // Views of one address for each IP version.
        let version = |name: &Option<Name>| name.as_deref().and_then(meaning::ip_version);
        let is_for = |wanted| {
            body.members.iter().take(MAX_VIEWS).any(|member| version(&member.name) == Some(wanted))
        };
        let both = is_union && is_for(4) && is_for(6);
        let first = group.fields.len();
        let union = (is_union && has_arms(body)).then(|| self.union(group, id, place));

        for (index, member) in body.members.iter().enumerate() {
            if self.cut {
                return;
            }
            let at = base + u64::from(member.bit_offset);
            let mut arms = arms.to_vec();
            if let Some(union) = union.filter(|_| arms.len() < MAX_DEPTH) {
                let version = if both { version(&member.name) } else { None };
                arms.push(Arm { union, number: index, version });
            }
            let inner = Place {
                name: member.name.as_deref().unwrap_or(place.name),
                parent: if member.name.is_some() { place.name } else { place.parent },
                at: place.at.map(|start| start + u64::from(member.bit_offset) / 8),
                last: place.last && (is_union || index + 1 == body.members.len()),
                depth: place.depth + 1,
            };
            let Some(name) = &member.name else {
                self.take("");
                let body = types.composite(member.ty).filter(|_| inner.depth <= MAX_DEPTH);
                if let Some(body) = body {
                    self.members(group, member.ty, body, at, &arms, inner);
                }
                continue;
            };
            let mut shape = self.shape(member.ty, inner);
            let mut bits = member.bit_size.filter(|&bits| bits > 0);
            let mut start = at;
            match types.resolved(member.ty) {
                Kind::Int { bytes, bits: used, bit_offset, .. }
                    if bits.is_none() && (1..bytes.saturating_mul(8)).contains(used) =>
                {
                    bits = Some(*used);
                    start = at.saturating_add(u64::from(*bit_offset));
                }
                _ => {}
            }
            if bits.is_none() && at % 8 != 0 {
                shape = Shape::Bytes { bytes: Some(0) };
            }
            let mut field = field(name, start, bits, shape);
            field.arms = arms;
            field.stack = self.stack(&field, inner);
            let hidden = |at: u64| self.options.hidden.contains(&at);
            field.padding |=
                !matches!(field.shape, Shape::Group(_)) && inner.at.is_some_and(hidden);
            group.fields.push(field);
        }
        if let Some(union) = union.filter(|_| !both) {
            versions_by_size(group.fields.get_mut(first..).unwrap_or_default(), union);
        }
    }
}

/// Is this the name of a field that holds nothing?
fn is_padding(name: &str) -> bool {
    let lower = name.trim_start_matches('_').to_ascii_lowercase();
    let rest = lower.strip_prefix("padding").or_else(|| lower.strip_prefix("pad"));
    rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '_'))
}

fn field(name: &str, at: u64, bits: Option<u32>, shape: Shape) -> Field {
    let padding = is_padding(name);
    let name = printable(name);
    Field {
        text_key: format!("{name}_text"),
        base64_key: format!("{name}_base64"),
        name,
        at,
        bits,
        shape,
        arms: Vec::new(),
        length: None,
        padding,
        stack: None,
    }
}

/// Whether a union has several members that are not only there to fill it.
fn has_arms(body: &Composite) -> bool {
    let padding = |name: &Option<Name>| name.as_deref().is_some_and(is_padding);
    body.members.iter().filter(|member| !padding(&member.name)).count() > 1
}

/// Of an address of 4 bytes and one of 16 in a union, the IP version tells which it is.
fn versions_by_size(fields: &mut [Field], union: usize) {
    let version = |field: &Field| match field.shape {
        Shape::Ipv4 => Some(4),
        Shape::Number { meaning: Meaning::Ipv4 | Meaning::Ipv4Number, .. } => Some(4),
        Shape::Ipv6 { .. } => Some(6),
        _ => None,
    };
    let all: Vec<_> = fields.iter().map(version).collect();
    if !(all == [Some(4), Some(6)] || all == [Some(6), Some(4)]) {
        return;
    }
    for (field, version) in fields.iter_mut().zip(all) {
        let own = field.arms.iter_mut().filter(|arm| arm.union == union);
        own.for_each(|arm| arm.version = version);
    }
}

/// Relations between fields: families, lengths, keys that are taken.
fn finish(group: &mut Group) {
    let names: HashSet<String> = group.fields.iter().map(|field| field.name.clone()).collect();
    let number = |field: &Field| match field.shape {
        Shape::Number { bytes, signed, .. } if field.bits.is_none() => {
            Some((field.at / 8, bytes, signed))
        }
        Shape::Enum { bytes, signed, .. } if field.bits.is_none() => {
            Some((field.at / 8, bytes, signed))
        }
        _ => None,
    };
    let family = group.fields.iter().find(|field| meaning::is_family(&field.name));
    group.family = family.and_then(|field| {
        let (at, bytes, _) = number(field)?;
        Some(Family { at, bytes, sure: meaning::is_only_family(&field.name) })
    });

    let numbers: HashMap<String, (u64, u32, bool)> = group
        .fields
        .iter()
        .filter_map(|field| Some((field.name.to_ascii_lowercase(), number(field)?)))
        .collect();
    // The same for fields of the same name: each may have to pass many other fields.
    let mut free: HashMap<String, String> = HashMap::new();
    for field in &mut group.fields {
        for key in [&mut field.text_key, &mut field.base64_key] {
            let next = || {
                let mut next = key.clone();
                while names.contains(&next) {
                    next.push('_');
                }
                next
            };
            if names.contains(key) {
                *key = free.entry(key.clone()).or_insert_with(next).clone();
            }
        }
        let (rest, wide) = match &field.shape {
            Shape::Text { bytes, .. } | Shape::Bytes { bytes } => (bytes.is_none(), false),
            Shape::Array { count, .. } => (count.is_none(), true),
            _ => continue,
        };
        let name = field.name.to_ascii_lowercase();
        let ending = |ends: &[&str]| ends.iter().map(|end| format!("{name}_{end}")).collect();
        let mut bytes: Vec<String> = ending(&["size", "sz", "bytes"]);
        // The length of an array of numbers or structs counts them.
        let mut counts: Vec<String> = ending(&["count", "cnt"]);
        counts.push(format!("nr_{name}"));
        let lengths: Vec<String> = ending(&["len", "length"]);
        if wide {
            counts.extend(lengths);
        } else {
            bytes.extend(lengths);
        }
        if rest {
            let plain =
                ["len", "size", "length", "data_len", "data_size", "payload_len", "buf_len"];
            bytes.extend(plain.map(str::to_owned));
        }
        let find = |keys: &[String], elements| {
            let &(at, bytes, signed) = keys.iter().find_map(|key| numbers.get(key))?;
            Some(Length { at, bytes, signed, elements })
        };
        field.length = find(&bytes, false).or_else(|| find(&counts, true).filter(|_| wide));
    }
}
