//! Which member of a union a record has: by a number that differs between the places that store the
//! members, or by an enum whose values have the members' names.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{leaves_fit, leaves_match, names};
use super::lines::Lines;
use super::select::constants;
use super::{Known, LINES_STEPS};
use crate::elf::dataflow::{Emission, Write};
use crate::elf::object::Object;
use crate::elf::types::{Composite, Kind, Name, TypeId, Types};
use crate::elf::value::Choice;

/// The most unions of a type to look at, members of one, and structs in structs.
const MAX_UNIONS: usize = 64;
const MAX_ARMS: usize = 64;
const MAX_DEPTH: usize = 16;
/// The most values of an enum that names members.
const MAX_VALUES: usize = 1024;
/// The most places of a number that may tell the members apart.
const MAX_PLACES: usize = 64;

/// An enum in a record: its offset, its bytes and its values.
type Enum<'t> = (u64, u32, &'t [(Name, i64)]);

/// A union in a record.
struct Union<'t> {
    /// Bytes from the record's start
    at: u64,
    ty: TypeId,
    body: &'t Composite,
    /// The enums around it, nearest first
    enums: Vec<Enum<'t>>,
}

/// The choices that can be told, for all unions of a type.
pub(super) fn choices(
    object: &Object,
    types: &Known<'_>,
    ty: TypeId,
    sent: &[&Emission],
) -> Vec<Choice> {
    let mut unions = Vec::new();
    find(types, ty, 0, &[], 0, &mut unions);
    let choice = |union: &Union<'_>| {
        by_constants(object, types, union, sent).or_else(|| by_names(types, union))
    };
    unions.iter().filter_map(choice).collect()
}

/// Finds the unions of a type that are at one place, not in arrays.
fn find<'t>(
    types: &'t Types,
    ty: TypeId,
    at: u64,
    around: &[Enum<'t>],
    depth: usize,
    found: &mut Vec<Union<'t>>,
) {
    let ty = types.resolve(ty);
    let Some(body) = types.composite(ty).filter(|_| depth < MAX_DEPTH) else { return };
    if found.len() >= MAX_UNIONS || !types.steps.take(body.members.len()) {
        return;
    }
    let place = |bits: u32| at.saturating_add(u64::from(bits / 8));
    let mut enums = Vec::new();
    if matches!(types.kind(ty), Kind::Union(_)) {
        if (2..=MAX_ARMS).contains(&body.members.len()) {
            found.push(Union { at, ty, body, enums: around.to_vec() });
        }
    } else {
        enums.extend(body.members.iter().filter_map(|member| {
            let Kind::Enum { bytes, values, .. } = types.resolved(member.ty) else { return None };
            member.bit_size.is_none().then_some((place(member.bit_offset), *bytes, &values[..]))
        }));
    }
    enums.extend(around.iter().copied().take(MAX_ARMS));
    for member in &body.members {
        find(types, member.ty, place(member.bit_offset), &enums, depth + 1, found);
    }
}

/// A number that every sender writes, and that differs where the members differ.
fn by_constants(
    object: &Object,
    types: &Types,
    union: &Union<'_>,
    sent: &[&Emission],
) -> Option<Choice> {
    let arms: Vec<_> = sent.iter().map(|sent| arm(object, types, union, sent)).collect();
    arms.iter().any(Option::is_some).then_some(())?;
    let end = union.at.saturating_add(union.body.bytes);
    let outside = |write: &&Write| write.offset >= end || write.offset + write.width <= union.at;
    let places: BTreeSet<(u64, u64)> = sent
        .iter()
        .flat_map(|sent| &sent.writes)
        .filter(outside)
        .filter(|write| write.width <= 8 && write.constants.is_some())
        .map(|write| (write.offset, write.width))
        .take(MAX_PLACES)
        .collect();
    places.into_iter().find_map(|(at, bytes)| {
        let mut by_value: BTreeMap<u64, Option<usize>> = BTreeMap::new();
        for (sent, &arm) in sent.iter().zip(&arms) {
            types.steps.take(1 + sent.writes.len()).then_some(())?;
            let values = constants(&sent.writes, at, bytes, object.endian)?;
            // A program that writes one of several numbers may fill another member for each.
            let arm = arm.filter(|_| values.len() == 1);
            for value in values {
                let known = by_value.entry(value).or_insert(arm);
                if *known != arm {
                    return None;
                }
            }
        }
        let arms: BTreeMap<_, _> =
            by_value.into_iter().filter_map(|(value, arm)| Some((value, arm?))).collect();
        (!arms.is_empty()).then_some(())?;
        Some(Choice { union: union.at, ty: union.ty, at, bytes: u32::try_from(bytes).ok()?, arms })
    })
}

/// The only member that one sender can have filled: by the places of its stores, and by the members
/// that its lines name.
fn arm(object: &Object, types: &Types, union: &Union<'_>, sent: &Emission) -> Option<usize> {
    let end = union.at.saturating_add(union.body.bytes);
    let inside = sent.writes.iter().filter(|write| (union.at..end).contains(&write.offset));
    let writes: Vec<Write> =
        inside.map(|write| Write { offset: write.offset - union.at, ..write.clone() }).collect();
    if !types.steps.take(LINES_STEPS + writes.len()) || !writes.iter().any(|write| write.sure) {
        return None;
    }
    let part = Emission { writes, places: Vec::new(), ..sent.clone() };
    let lines = Lines::new(object, &part);
    let named: Vec<_> = lines.members().collect();
    let fits = |index: &usize| {
        let Some(member) = union.body.members.get(*index) else { return false };
        member.bit_size.is_none() && leaves_fit(types, member.ty, &part)
    };
    let names_it = |index: &usize| {
        let Some(member) = union.body.members.get(*index) else { return false };
        named.iter().all(|&(number, name)| {
            let write = part.writes.get(number);
            member.name.as_deref() == Some(name)
                || write.is_some_and(|write| names(types, member.ty, write).contains(&name))
        })
    };
    let fitting: Vec<usize> = (0..union.body.members.len()).filter(fits).collect();
    let by_name: Vec<_> = fitting.iter().copied().filter(names_it).collect();
    let matches = |index: &usize| {
        let member = union.body.members.get(*index);
        member.is_some_and(|member| leaves_match(types, member.ty, &part))
    };
    match (&fitting[..], &by_name[..]) {
        // A line may name the whole record.
        (&[only], [] | [_]) => Some(only),
        (_, &[only]) if !named.is_empty() => Some(only),
        (_, several) => {
            let mut exact = several.iter().copied().filter(matches);
            exact.next().filter(|_| exact.next().is_none())
        }
    }
}

/// An enum beside the union, with a value for each member that ends in the member's name.
fn by_names(types: &Types, union: &Union<'_>) -> Option<Choice> {
    let name = |index: usize| union.body.members.get(index)?.name.as_deref();
    let names: Vec<_> = (0..union.body.members.len()).map(name).collect::<Option<_>>()?;
    let words = |text: &str| -> Vec<String> {
        let words = text.split('_').filter(|word| !word.is_empty());
        words.map(str::to_ascii_lowercase).collect()
    };
    let arms: Vec<Vec<String>> = names.iter().map(|name| words(name)).collect();
    union.enums.iter().find_map(|&(at, bytes, values)| {
        let mut by_value = BTreeMap::new();
        let many = values.len() > MAX_VALUES;
        if many || !types.steps.take(values.len() * arms.len()) {
            return None;
        }
        for (name, value) in values {
            let value_words = words(name);
            let fitting = arms.iter().enumerate().filter(|(_, arm)| value_words.ends_with(arm));
            let longest = fitting.max_by_key(|(_, arm)| arm.len());
            if let Some((arm, _)) = longest {
                let mask = if bytes >= 8 { u64::MAX } else { (1 << (bytes * 8)) - 1 };
                by_value.insert(*value as u64 & mask, arm);
            }
        }
        let all = by_value.values().collect::<BTreeSet<_>>().len() == arms.len();
        let choice = Choice { union: union.at, ty: union.ty, at, bytes, arms: by_value };
        all.then_some(choice)
    })
}
