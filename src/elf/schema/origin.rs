//! Where the number in a field comes from: a member of the kernel's structs, a helper, a map's value;
//! and its byte order.

use super::lines;
use crate::elf::co_re::{self, Accessed};
use crate::elf::dataflow::{Number, Part, Source, Write};
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId, Types};
use crate::elf::value::{Hint, Order};

/// The most structs in structs of a map's value.
const MAX_DEPTH: usize = 16;

/// The member of a kernel's struct that an instruction reads.
pub(super) fn member(object: &Object, (function, slot): (u32, u32)) -> Option<Accessed<'_>> {
    let btf = object.btf.as_ref()?;
    let function = object.functions.get(usize::try_from(function).ok()?)?;
    let info = function.core.get(usize::try_from(slot).ok()?)?;
    co_re::accessed(&btf.types, info, &btf.string(info.access))
}

/// The only thing that a field can be.
fn only(write: &Write) -> Option<Number> {
    match write.numbers[..] {
        [number] if write.only_known && write.copied.is_none() => Some(number),
        _ => None,
    }
}

/// The member of a kernel's struct that a field is a copy of.
pub(super) fn copied_member<'o>(object: &'o Object, write: &Write) -> Option<Accessed<'o>> {
    match only(write)?.source {
        Source::Member(function, slot) => member(object, (function, slot)),
        _ => None,
    }
}

/// The member of a map's value that a field is a copy of, with the name of the map.
pub(super) fn copied_value<'o>(object: &'o Object, write: &Write) -> Option<(&'o str, &'o str)> {
    let (map, from) = write.copied.filter(|_| write.only_known && write.numbers.is_empty())?;
    let map = object.maps.get(map)?;
    let types = &object.btf.as_ref()?.types;
    let name = member_at(types, map.value?, u64::try_from(from).ok()?, write.width)?;
    Some((&map.name, name))
}

/// The name of the member of the lowest level at a place, if it has this width.
fn member_at(types: &Types, mut ty: TypeId, mut at: u64, width: u64) -> Option<&str> {
    let mut name = None;
    for _ in 0..MAX_DEPTH {
        match types.resolved(ty) {
            Kind::Struct(body) => {
                types.steps.take(body.members.len()).then_some(())?;
                let inside = body.members.iter().find(|member| {
                    let start = u64::from(member.bit_offset / 8);
                    let size = types.size(member.ty).unwrap_or(0);
                    member.bit_size.is_none() && (start..start.saturating_add(size)).contains(&at)
                })?;
                at -= u64::from(inside.bit_offset / 8);
                name = inside.name.as_deref().or(name);
                ty = inside.ty;
            }
            // Which of its members it is would be a guess.
            Kind::Union(_) | Kind::Array { .. } => return None,
            _ => return name.filter(|_| at == 0 && types.size(ty) == Some(width)),
        }
    }
    None
}

/// Helpers whose result is two numbers.
pub(super) const PID_TGID: i32 = 14;
pub(super) const UID_GID: i32 = 15;

/// The helper whose whole result a field is, where that is two numbers; and whether these have
/// changed places. `named`: a source line has the name of one of them, so that it need not be
/// certain that programs store nothing else there.
pub(super) fn pair(write: &Write, named: bool) -> Option<(i32, bool)> {
    let number = match write.numbers[..] {
        [number] if named && write.sure => number,
        _ => only(write)?,
    };
    match number.source {
        Source::Helper(helper, Part::Whole) if write.width == 8 => Some((helper, false)),
        Source::Helper(helper, Part::Exchanged) if write.width == 8 => Some((helper, true)),
        _ => None,
    }
}

/// What a field is for people, and the number of the helper that tells it, if it is one.
pub(super) type Role = (&'static str, Option<i32>);

/// What a number is, from the helper that gave it.
pub(super) fn role(write: &Write) -> Option<Role> {
    let (helper, part) = match only(write).or(write.stored)?.source {
        Source::StackId { .. } => return Some(("stack_id", Some(27))),
        Source::Duration => return Some(("duration", None)),
        Source::Helper(helper, part) => (helper, part),
        _ => return None,
    };
    let word = match (helper, part) {
        (PID_TGID, Part::High) => "pid",
        (PID_TGID, Part::Low) => "tid",
        (PID_TGID, Part::Whole) => "pid_tid",
        (PID_TGID, Part::Exchanged) => "tid_pid",
        (UID_GID, Part::Low) => "uid",
        (UID_GID, Part::High) => "gid",
        (UID_GID, Part::Whole) => "gid_uid",
        (UID_GID, Part::Exchanged) => "uid_gid",
        (8, _) => "cpu",
        (27, _) => "stack_id",
        (67 | 141, _) => "stack_bytes",
        (45 | 114 | 115 | 147 | 165, _) => "length",
        (80, _) => "cgroup_id",
        (173, _) => "function",
        (174, _) => "cookie",
        _ => return None,
    };
    Some((word, Some(helper)))
}

/// The byte order of what a program stores, and other facts that its value tells.
pub(super) fn hint(object: &Object, write: &Write) -> Option<Hint> {
    let lengths = |number: &Number| {
        matches!(number.source, Source::Helper(45 | 67 | 114 | 115 | 141 | 147 | 165, _))
    };
    if !write.numbers.is_empty() && write.numbers.iter().all(lengths) {
        return Some(Hint::Bytes);
    }
    if let [Number { source: Source::StackId { map, user }, .. }, others @ ..] = &write.numbers[..]
    {
        let same =
            |other: &Number| matches!(other.source, Source::StackId { map: m, .. } if m == *map);
        let one = others.is_empty();
        return others
            .iter()
            .all(same)
            .then_some(Hint::StackId { map: *map, user: user.filter(|_| one) });
    }
    let mut found: Option<Hint> = None;
    for &number in write.numbers.iter().chain(&write.stored) {
        let Some(order) = order(object, write, number) else { continue };
        found = Some(found.map_or(order, |known| known.join(order)));
    }
    found
}

/// The byte order of one number that a field can be.
fn order(object: &Object, write: &Write, number: Number) -> Option<Hint> {
    // Where the machine has the network's order, nothing has to be swapped.
    if object.endian == object::Endianness::Big || !matches!(number.bytes, 2 | 4 | 8) {
        return None;
    }
    let hint = |order, sure| Some(Hint::Order { order, bytes: number.bytes, sure });
    let by = match number.source {
        Source::Member(function, slot) => {
            match (member(object, (function, slot)).map(|member| kernels(object, &member)), number)
            {
                (Some(Some(Order::Network)), Number { swapped: true, .. })
                | (Some(Some(Order::Host)), Number { swapped: false, .. }) => {
                    return hint(Order::Host, true);
                }
                (Some(Some(_)), _) => return hint(Order::Network, true),
                (_, Number { swapped: false, .. }) => return None,
                _ => (function, slot),
            }
        }
        Source::Swapped(function, slot) if number.swapped => (function, slot),
        _ => return None,
    };
    // What is swapped came from the network, unless the source says that it goes there.
    let place = (usize::try_from(by.0).ok()?, usize::try_from(by.1).ok()?);
    let to_network = |place| lines::line(object, place).is_some_and(|line| line.contains("hton"));
    let order =
        if to_network(place) || to_network(write.by) { Order::Network } else { Order::Host };
    hint(order, false)
}

/// The order of a kernel's member, where the kernel's own types tell.
fn kernels(object: &Object, member: &Accessed<'_>) -> Option<Order> {
    let types = &object.btf.as_ref()?.types;
    let is = |ty: &&str| matches!(*ty, "__be16" | "__be32" | "__be64");
    if types.names(member.ty).iter().any(is) {
        return Some(Order::Network);
    }
    // The local port has always been a plain number, beside a remote one in network order.
    matches!(member.name, "skc_num" | "inet_num").then_some(Order::Host)
}
