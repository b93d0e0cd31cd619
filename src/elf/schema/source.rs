//! The type of the sent data, from the instructions.

use std::collections::{HashSet, VecDeque};

use super::layout::{Extent, extent, is_exact, writes_beyond};
use super::{Found, Provenance};
use crate::elf::dataflow::{Emission, Origin, Write};
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId, Types};

/// The most parts of a type to look at: unions in unions.
const MAX_PARTS: usize = 256;

/// The type of the sent data, if it has one: a map's value, a variable, a parameter. `exact`: only a
/// type that is the whole record, of one size, which no other source can contradict.
pub(super) fn by_dataflow<'a>(
    object: &'a Object,
    sent: &Emission,
    exact: bool,
) -> Option<Found<'a>> {
    let types = &object.btf.as_ref()?.types;
    let mut found: Option<(TypeId, String)> = None;
    for origin in &sent.data {
        let Some((ty, how)) = typed(object, types, *origin, sent) else { continue };
        if exact && !is_exact(types, ty, sent) {
            continue;
        }
        if found.as_ref().is_some_and(|&(known, _)| types.resolve(known) != types.resolve(ty)) {
            return None;
        }
        found.get_or_insert((ty, how));
    }
    let found = found.or_else(|| copied(object, types, sent));
    let (ty, how) = found.filter(|&(ty, _)| !exact || is_exact(types, ty, sent))?;
    let tail = !is_exact(types, ty, sent);
    Some(Found { types: types.into(), ty: Some(ty), how: Provenance::Dataflow(how), tail })
}

fn typed(
    object: &Object,
    types: &Types,
    origin: Origin,
    sent: &Emission,
) -> Option<(TypeId, String)> {
    match origin {
        Origin::MapValue { map, offset } => {
            let map = object.maps.get(map)?;
            let ty = part(types, map.value?, u64::try_from(offset).ok()?, sent)?;
            Some((ty, format!("sent from a value of the map {}", map.name)))
        }
        Origin::Data { section, offset } => {
            let (variable, within) = object.global_at(section, u64::try_from(offset).ok()?)?;
            let ty = part(types, variable.ty?, within, sent)?;
            Some((ty, format!("sent from the variable {}", variable.name)))
        }
        Origin::Parameter(ty) => {
            fits(types, ty, sent).map(|_| (ty, "the parameter of a function".to_owned()))
        }
        Origin::Stack | Origin::Record | Origin::Unknown => None,
    }
}

/// The struct at an offset in a type that is the sent part or, if none is, around it. `None` too if
/// several members of a union can be that.
fn part(types: &Types, ty: TypeId, offset: u64, sent: &Emission) -> Option<TypeId> {
    let mut fitting: Vec<(Extent, TypeId)> = Vec::new();
    for ty in parts(types, ty, offset) {
        let Some(extent) = fits(types, ty, sent) else { continue };
        let resolved = |ty| types.resolve(ty);
        if fitting.iter().all(|&(_, known)| resolved(known) != resolved(ty)) {
            fitting.push((extent, ty));
        }
    }
    let best = fitting.iter().map(|&(extent, _)| extent).min()?;
    fitting.retain(|&(extent, _)| extent == best);
    // A struct that begins with another one of its size is the outer one.
    let (_, outermost) = *fitting.first()?;
    let inner: HashSet<_> = parts(types, outermost, 0).map(|part| types.resolve(part)).collect();
    let is_union = matches!(types.resolved(outermost), Kind::Union(_));
    let same = fitting.iter().all(|&(_, ty)| inner.contains(&types.resolve(ty)));
    (fitting.len() == 1 || (same && !is_union)).then_some(outermost)
}

/// The structs and unions that begin at an offset in a type, outer ones first: the type itself,
/// members of it, elements of arrays.
fn parts(types: &Types, ty: TypeId, offset: u64) -> impl Iterator<Item = TypeId> {
    let mut found = Vec::new();
    let mut left = VecDeque::from([(ty, offset)]);
    let mut steps = MAX_PARTS;
    while let Some((ty, offset)) = left.pop_front() {
        steps -= 1;
        if steps == 0 {
            break;
        }
        match types.resolved(ty) {
            Kind::Struct(body) | Kind::Union(body) => {
                if offset == 0 {
                    found.push(ty);
                }
                if !types.steps.take(body.members.len()) {
                    break;
                }
                let members = body.members.iter().filter_map(|member| {
                    let start = u64::from(member.bit_offset / 8);
                    let size = types.size(member.ty).unwrap_or(0);
                    let within = offset.checked_sub(start)?;
                    (within < size.max(1)).then_some((member.ty, within))
                });
                left.extend(members.take(MAX_PARTS));
            }
            Kind::Array { element, .. } => {
                let size = types.size(*element).filter(|&size| size > 0);
                left.extend(size.map(|size| (*element, offset % size)));
            }
            _ => {}
        }
    }
    found.into_iter()
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
    let fits = fits(types, ty, sent).is_some_and(|extent| extent != Extent::Cut);
    (enough && fits).then(|| (ty, format!("copied from a value of the map {}", map.name)))
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
                if !types.steps.take(body.members.len()) {
                    return None;
                }
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

/// How much of the record a struct describes. Room for any bytes is not a type. The record may be the
/// first part of the struct, up to a field that is not filled.
fn fits(types: &Types, ty: TypeId, sent: &Emission) -> Option<Extent> {
    let extent = extent(types, ty, sent).filter(|_| !is_raw(types, ty))?;
    // Where the sizes are known, the record was not made longer than what it was copied from.
    let start = || sent.sizes.is_none() && !writes_beyond(types.size(ty).unwrap_or(0), sent);
    (extent != Extent::Start || start()).then_some(extent)
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
