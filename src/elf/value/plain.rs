//! Numbers that mean nothing but how many there are of something: those that can be added up.

use super::PlainNumber;
use super::meaning::Meaning;
use super::shape::{Group, Shape};

/// Collects the plain numbers of a group, and says whether it has nothing else.
pub(super) fn collect(
    group: &Group,
    start: u64,
    prefix: &str,
    found: &mut Vec<PlainNumber>,
) -> bool {
    let mut only = true;
    for field in group.fields.iter().filter(|field| !field.padding) {
        let at = start + field.at / 8;
        match &field.shape {
            _ if field.bits.is_some() || !field.arms.is_empty() => only = false,
            &Shape::Number { bytes, signed, meaning: Meaning::Plain } => {
                let name = format!("{prefix}{}", field.name);
                found.push(PlainNumber { name, at, bytes, signed });
            }
            Shape::Group(inner) => {
                only &= collect(inner, at, &format!("{prefix}{}.", field.name), found);
            }
            _ => only = false,
        }
    }
    only
}
