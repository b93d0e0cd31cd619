//! What text and JSON have in common: lists that end where the output is full.

use anyhow::Result;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::elf::budget::OUTPUT_BYTES;
use crate::output::table::Output;

use super::Subject;

/// Whether no more fits into the output. Marks the place, the first time.
pub(super) fn is_full(
    subject: &Subject<'_>,
    out: &mut Output,
    what: &str,
    shown: usize,
) -> Result<bool> {
    let was_full = subject.output.is_cut();
    if was_full || out.bytes() > OUTPUT_BYTES {
        _ = subject.output.take(usize::MAX);
        subject.has_room(what, shown);
        if !was_full {
            out.raw("…\n")?;
        }
        return Ok(true);
    }
    Ok(false)
}

/// A list whose items are made one after the other.
///
/// Ends with the last that fits into the output.
pub(super) struct Each<'a, F>(pub(super) &'a Subject<'a>, pub(super) &'static str, pub(super) F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(subject, what, items) = self;
        let some = items().enumerate().take_while(|&(number, _)| subject.has_room(what, number));
        serializer.collect_seq(some.map(|(_, item)| item))
    }
}

/// Appends the members of an object, except the ones that are null.
pub(super) fn entries<M: SerializeMap>(map: &mut M, object: Value) -> Result<(), M::Error> {
    let Value::Object(members) = present(object) else { return Ok(()) };
    members.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))
}

/// Removes nulls: an absent key is better.
pub(super) fn present(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(|value| *value = present(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| *value = present(value.take())),
        _ => {}
    }
    value
}
