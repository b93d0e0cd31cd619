//! The type of the sent data, from the instructions.

use super::layout::contains;
use super::{Found, Provenance, only_size};
use crate::elf::dataflow::{Emission, Origin, Write};
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId, Types};

/// The type of the sent data, if it has one: a map's value, a variable, a parameter.
pub(super) fn by_dataflow<'a>(object: &'a Object, sent: &Emission) -> Option<Found<'a>> {
    let types = &object.btf.as_ref()?.types;
    let mut found: Option<(TypeId, String)> = None;
    for origin in &sent.data {
        let Some((ty, how)) = typed(object, types, *origin, sent) else { continue };
        if !fits(types, ty, sent) {
            continue;
        }
        if found.as_ref().is_some_and(|&(known, _)| types.resolve(known) != types.resolve(ty)) {
            return None;
        }
        found.get_or_insert((ty, how));
    }
    let (ty, how) = found.or_else(|| copied(object, types, sent))?;
    let tail = types.size(ty) != only_size(sent);
    Some(Found { types, ty: Some(ty), how: Provenance::Dataflow(how), tail })
}

fn typed(
    object: &Object,
    types: &Types,
    origin: Origin,
    sent: &Emission,
) -> Option<(TypeId, String)> {
    let largest = sent.sizes.as_ref().and_then(|sizes| sizes.last().copied());
    // The sent part or, if that is not a struct of its own, the struct around it.
    let within = |ty, offset| {
        let part = largest.and_then(|largest| within(types, ty, offset, largest));
        part.or_else(|| within(types, ty, offset, u64::MAX))
    };
    match origin {
        Origin::MapValue { map, offset } => {
            let map = object.maps.get(map)?;
            let ty = within(map.value?, u64::try_from(offset).ok()?)?;
            Some((ty, format!("sent from a value of the map {}", map.name)))
        }
        Origin::Data { section, offset } => {
            let (variable, within_it) = object.global_at(section, u64::try_from(offset).ok()?)?;
            let ty = within(variable.ty?, within_it)?;
            Some((ty, format!("sent from the variable {}", variable.name)))
        }
        Origin::Parameter(ty) => Some((ty, "the parameter of a function".to_owned())),
        Origin::Stack | Origin::Record | Origin::Unknown => None,
    }
}

/// The type of a record into which a struct is copied from a map's value, word by word.
fn copied(object: &Object, types: &Types, sent: &Emission) -> Option<(TypeId, String)> {
    let source = |write: &Write| {
        let (map, from) = write.copied?;
        let start = u64::try_from(from).ok()?.checked_sub(write.offset)?;
        Some((map, start))
    };
    let first = sent.writes.iter().find(|write| write.offset == 0 && write.copied.is_some())?;
    let (map, start) = source(first)?;
    let words: Vec<_> =
        sent.writes.iter().filter(|write| source(write) == Some((map, start))).collect();
    let end = words.iter().map(|write| write.offset.saturating_add(write.width)).max()?;
    let map = object.maps.get(map)?;
    let ty = within(types, map.value?, start, end)?;
    let size = types.size(ty)?;
    let bytes: u64 = words.iter().filter(|w| w.offset < size).map(|write| write.width).sum();
    // A single copied word may be chance.
    let enough = words.len() >= 2 && bytes.saturating_mul(2) >= size;
    let least = sent.sizes.as_ref().and_then(|sizes| sizes.first().copied());
    let fits = least.is_none_or(|least| size <= least) && contains(types, ty, &sent.writes);
    (enough && fits && !is_raw(types, ty))
        .then(|| (ty, format!("copied from a value of the map {}", map.name)))
}

/// The largest struct of at most this size that begins at an offset in a type: the type
/// itself, a member of it, or an element of an array.
fn within(types: &Types, ty: TypeId, offset: u64, largest: u64) -> Option<TypeId> {
    let (mut ty, mut offset) = (ty, offset);
    for _ in 0..16 {
        match types.resolved(ty) {
            Kind::Struct(body) | Kind::Union(body) if offset == 0 && body.bytes <= largest => {
                return Some(ty);
            }
            Kind::Struct(body) | Kind::Union(body) => {
                let holds = |bit_offset: u32, member| {
                    let start = u64::from(bit_offset / 8);
                    let size = types.size(member).unwrap_or(0);
                    start <= offset && offset - start < size.max(1)
                };
                let member = body.members.iter().find(|m| holds(m.bit_offset, m.ty))?;
                offset -= u64::from(member.bit_offset / 8);
                ty = member.ty;
            }
            Kind::Array { element, .. } => {
                offset %= types.size(*element).filter(|&size| size > 0)?;
                ty = *element;
            }
            _ => return None,
        }
    }
    None
}

/// A struct of the size that is sent, or the fixed part of a record without a fixed size. Room for
/// any bytes is not a type.
fn fits(types: &Types, ty: TypeId, sent: &Emission) -> bool {
    let Some(size) = types.size(ty).filter(|_| !is_raw(types, ty)) else { return false };
    let sized = match only_size(sent) {
        // The record may be the first part of the struct, up to a field that is not filled.
        Some(sent) => sent <= size,
        None => sent.sizes.as_ref().and_then(|sizes| sizes.last()).is_none_or(|&sent| sent <= size),
    };
    sized && contains(types, ty, &sent.writes)
}

/// A struct of nothing but arrays of bytes.
pub(super) fn is_raw(types: &Types, ty: TypeId) -> bool {
    let is_bytes = |ty| match types.resolved(ty) {
        Kind::Array { element, .. } => types.size(*element) == Some(1) && !types.is_char(*element),
        _ => false,
    };
    match types.composite(ty) {
        Some(body) => match &body.members[..] {
            [member] => is_bytes(member.ty),
            _ => false,
        },
        None => true,
    }
}
