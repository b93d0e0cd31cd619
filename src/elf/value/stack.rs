//! Stacks in events, and whose they are.

use super::meaning;
use super::shape::{Group, Shape, Trace};
use super::{At, Walk};
use crate::output::escape::until_nul;

/// The most addresses of a stack.
const MOST: usize = 1024;

/// A stack in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The name of the field
    pub name: String,
    /// The stack of the program, not of the kernel, if that is known
    pub user: Option<bool>,
    /// Where its addresses are
    pub frames: Frames,
}

/// The addresses of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Here, innermost first
    Here(Vec<u64>),
    /// In a map: index in `Object::maps`, if known
    InMap {
        /// Which
        map: Option<u32>,
        /// Negative: there is none
        id: i64,
    },
}

/// All stacks of an event.
pub(super) fn all(walk: &Walk<'_>, group: &Group, at: At, found: &mut Vec<Traced>) {
    for (field, at) in walk.fields(group, at) {
        if let Shape::Group(inner) = &field.shape {
            all(walk, inner, at, found);
            continue;
        }
        let (user, frames) = match (field.stack, &field.shape) {
            (Some(Trace::Frames { user }), &Shape::Array { stride, count, .. }) => {
                let places = walk.elements(at, stride, count).take(MOST);
                let numbers =
                    places.map_while(|at| Some(walk.number(at, 8, false, walk.big_endian)?.wide()));
                let addresses = numbers.take_while(|&number| number != 0);
                (user, Frames::Here(addresses.map(|number| number as u64).collect()))
            }
            (Some(Trace::Id { map, user }), &Shape::Number { bytes, .. }) => {
                let Some(number) = walk.number(at, bytes, true, walk.big_endian) else { continue };
                // In eight bytes it may have lost its sign.
                let id = i64::from(number.wide() as i32);
                (user, Frames::InMap { map, id })
            }
            _ => continue,
        };
        found.push(Traced { name: field.name.clone(), user, frames });
    }
}

/// The number of the process that an event is about, by the names of its fields: the best one, and
/// how good that is.
pub(super) fn process(walk: &Walk<'_>, group: &Group, at: At) -> Option<(u8, u32)> {
    let of = |(field, at): (&super::Field, At)| match &field.shape {
        Shape::Group(inner) => process(walk, inner, at),
        &Shape::Number { bytes, .. } if matches!(bytes, 4 | 8) => {
            let rank = meaning::process_rank(&field.name)?;
            let number = walk.number(at, bytes, false, walk.big_endian)?.wide();
            Some((rank, u32::try_from(number).ok()?))
        }
        _ => None,
    };
    walk.fields(group, at).filter_map(of).min_by_key(|&(rank, _)| rank)
}

/// The name of a task in an event.
pub(super) fn comm<'a>(walk: &Walk<'a>, group: &Group, at: At) -> Option<&'a [u8]> {
    walk.fields(group, at).find_map(|(field, at)| match &field.shape {
        Shape::Group(inner) => comm(walk, inner, at),
        &Shape::Text { bytes: bytes @ Some(_), list: false } => {
            let first = field.name.split('_').next().unwrap_or_default();
            let is_name = matches!(first, "comm" | "name" | "task" | "pcomm");
            Some(until_nul(walk.bytes(at, bytes)?)).filter(|_| is_name)
        }
        _ => None,
    })
}

/// Leaves addresses out of text: names are shown instead.
pub(super) fn hide(group: &mut Group) {
    for field in &mut group.fields {
        match &mut field.shape {
            Shape::Group(inner) => hide(inner),
            _ => field.padding |= matches!(field.stack, Some(Trace::Frames { .. })),
        }
    }
}

/// Whether there is any.
pub(super) fn has_any(group: &Group) -> bool {
    group.fields.iter().any(|field| match &field.shape {
        Shape::Group(inner) => has_any(inner),
        _ => field.stack.is_some(),
    })
}
