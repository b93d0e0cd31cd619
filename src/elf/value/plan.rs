//! A type, prepared for decoding: the place and the form of each field. Made once per schema, so
//! that the same field looks the same in every event.

use std::collections::HashMap;
use std::sync::Arc;

use super::meaning::{self, Meaning};
use super::relations::{finish, versions_by_size};
use super::shape::{Arm, Field, Group, Names, Shape, Trace, printable};
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
