//! Keys and values of maps, by their types.

use serde_json::{Value, json};

use crate::bpfrun::run::row::hex;
use crate::elf::budget::{Budget, VALUES};
use crate::elf::value::Decoder;

/// Appends a value by its type, or in hexadecimal.
pub(super) fn push_value(decoder: &Option<Decoder>, data: &[u8], out: &mut String) {
    let Some(decoder) = decoder else { return out.push_str(&hex(data)) };
    let mut text = String::new();
    decoder.text(data, &mut text);
    // A single value without a name.
    out.push_str(text.strip_prefix("value=").unwrap_or(&text));
}

pub(super) fn json_value(decoder: &Option<Decoder>, data: &[u8]) -> Value {
    match decoder {
        Some(decoder) => decoder.json_value(data, &Budget::new(VALUES)),
        None => json!({ "hex": hex(data) }),
    }
}
