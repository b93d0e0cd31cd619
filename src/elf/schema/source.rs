//! What the instructions and the source lines behind them say.

use super::layout::contains;
use super::{Found, Provenance, only_size};
use crate::elf::dataflow::{Emission, Origin};
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId, Types};

/// The type of what is sent, where that has one: a map's value, a variable, a parameter.
pub(super) fn by_dataflow<'a>(object: &'a Object, sent: &Emission) -> Option<Found<'a>> {
    let types = &object.btf.as_ref()?.types;
    let mut found: Option<(TypeId, String)> = None;
    for origin in &sent.data {
        let Some((ty, how)) = typed(object, types, *origin) else { continue };
        if !fits(types, ty, sent) {
            continue;
        }
        if found.as_ref().is_some_and(|&(known, _)| types.resolve(known) != types.resolve(ty)) {
            return None;
        }
        found.get_or_insert((ty, how));
    }
    let (ty, how) = found?;
    let tail = types.size(ty) != only_size(sent);
    Some(Found { types, ty: Some(ty), how: Provenance::Dataflow(how), tail })
}

fn typed(object: &Object, types: &Types, origin: Origin) -> Option<(TypeId, String)> {
    match origin {
        Origin::MapValue { map, offset } => {
            let map = object.maps.get(map)?;
            let ty = within(types, map.value?, u64::try_from(offset).ok()?)?;
            Some((ty, format!("sent from a value of the map {}", map.name)))
        }
        Origin::Data { section, offset } => {
            let (variable, within_it) = object.global_at(section, u64::try_from(offset).ok()?)?;
            let ty = within(types, variable.ty?, within_it)?;
            Some((ty, format!("sent from the variable {}", variable.name)))
        }
        Origin::Parameter(ty) => Some((ty, "the parameter of a function".to_owned())),
        Origin::Stack | Origin::Record | Origin::Unknown => None,
    }
}

/// The struct that begins at an offset in a type: the type itself, a member of it, or an
/// element of an array.
fn within(types: &Types, ty: TypeId, offset: u64) -> Option<TypeId> {
    let (mut ty, mut offset) = (ty, offset);
    for _ in 0..16 {
        match types.resolved(ty) {
            _ if offset == 0 && types.composite(ty).is_some() => return Some(ty),
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

/// A struct of the size that is sent, or the fixed part of what has no fixed size. Room for
/// any bytes is no type.
fn fits(types: &Types, ty: TypeId, sent: &Emission) -> bool {
    let Some(size) = types.size(ty).filter(|_| !is_raw(types, ty)) else { return false };
    let sized = match only_size(sent) {
        // What is sent may be the first part of it: up to a field that is not filled.
        Some(sent) => sent <= size,
        None => sent.sizes.as_ref().and_then(|sizes| sizes.last()).is_none_or(|&sent| sent <= size),
    };
    sized && contains(types, ty, &sent.writes)
}

/// A struct of nothing but arrays of bytes.
fn is_raw(types: &Types, ty: TypeId) -> bool {
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

/// The source lines that an event is made by, as far as the compiler kept them: of the
/// instructions that send it or make room for it, and of those that write into it.
pub(super) fn lines(object: &Object, sent: &Emission) -> (Vec<String>, Vec<String>) {
    let text = |&(function, slot): &(usize, usize)| {
        let lines = &object.functions.get(function)?.lines;
        let after = lines.partition_point(|&(start, _)| start <= slot);
        let (_, line) = lines.get(after.checked_sub(1)?)?;
        let text = object.btf.as_ref()?.string(line.text);
        Some(text.chars().take(1024).collect::<String>())
    };
    let mut writing: Vec<_> = sent.writes.iter().map(|write| write.by).collect();
    writing.sort_unstable();
    writing.dedup();
    let sending = sent.places.iter().filter_map(text).collect();
    (sending, writing.iter().take(512).filter_map(text).collect())
}

/// Whether a line of C uses this name as a variable.
pub(super) fn mentions(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at + name.len()..).unwrap_or_default();
        // A member of the same name is another thing.
        !name.is_empty()
            && !before.ends_with(is_word)
            && !before.trim_end().ends_with(['.', '"'])
            && !before.trim_end().ends_with("->")
            && !after.starts_with(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_lines() {
        for line in ["e->pid = 1;", "f(&e, sizeof(e));", "*e = x;", "struct event e = {};"] {
            assert!(mentions(line, "e"), "{line}");
        }
        for line in ["x->e = 1;", "x.e = 1;", "else", "the = 1;", "x = 1; // e", "", "\"e\""] {
            assert!(!mentions(line, "e"), "{line}");
        }
        assert!(!mentions("e", ""));
    }
}
