//! Values as `AnyValue`, written as they are read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::push_quoted;
use crate::output::json::{self, push_string};

/// Appends `{"key":…,"value":…}`; `write` appends the value.
pub(super) fn push_attribute(out: &mut Vec<u8>, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(br#"{"key":"#);
    push_string(out, key);
    out.extend_from_slice(br#","value":"#);
    write(out);
    out.push(b'}');
}

pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(br#"{"stringValue":"#);
    push_string(out, text);
    out.push(b'}');
}

/// Bytes; in this form of JSON they are in base64, as they come.
pub(super) fn push_bytes(out: &mut Vec<u8>, base64: &str) {
    out.extend_from_slice(br#"{"bytesValue":"#);
    push_string(out, base64);
    out.push(b'}');
}

pub(super) fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(br#"{"boolValue":"#);
    out.extend_from_slice(if value { b"true" } else { b"false" });
    out.push(b'}');
}

pub(super) fn push_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(br#"{"intValue":"#);
    push_quoted(out, value);
    out.push(b'}');
}

/// A number beyond the range of `intValue` is a string, so that it stays exact.
pub(super) fn push_unsigned(out: &mut Vec<u8>, value: u64) {
    match i64::try_from(value) {
        Ok(value) => push_int(out, value),
        Err(_) => push_text(out, &value.to_string()),
    }
}

pub(super) fn push_double(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(br#"{"doubleValue":"#);
    let _ = json::write(&mut *out, &value); // a Vec takes everything
    out.push(b'}');
}

/// Appends `{"arrayValue":…}` of what `write` appends: each with a comma before it.
fn push_array<E>(
    out: &mut Vec<u8>,
    open: &str,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    out.extend_from_slice(open.as_bytes());
    let at = out.len();
    write(out)?;
    if let Some(comma) = out.get_mut(at) {
        *comma = b'[';
    } else {
        out.push(b'[');
    }
    out.extend_from_slice(b"]}}");
    Ok(())
}

/// A value within another one. Objects stay objects: `kvlistValue`.
pub(super) struct Any<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// The strings are bytes in base64
    pub(super) is_base64: bool,
    /// Others name the members of objects, so that an ending of a name means nothing
    pub(super) is_of_others: bool,
}

/// The ending of a member with the exact bytes of another one, and of its attribute.
pub(super) const BASE64: &str = "_base64";
pub(super) const RAW: &str = "_raw";

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        push_bool(self.out, value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        push_int(self.out, value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        push_unsigned(self.out, value);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        push_double(self.out, value);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.is_base64 {
            true => push_bytes(self.out, text),
            false => push_text(self.out, text),
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.out.extend_from_slice(b"{}");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { out, is_base64, is_of_others } = self;
        push_array(out, r#"{"arrayValue":{"values":"#, |out| {
            loop {
                let at = out.len();
                out.push(b',');
                if items
                    .next_element_seed(Any { out: &mut *out, is_base64, is_of_others })?
                    .is_none()
                {
                    out.truncate(at);
                    return Ok(());
                }
            }
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { out, is_of_others, .. } = self;
        push_array(out, r#"{"kvlistValue":{"values":"#, |out| {
            while let Some(key) = members.next_key_seed(Name)? {
                let exact = key.strip_suffix(BASE64).filter(|_| !is_of_others);
                let name = exact.map(|name| format!("{name}{RAW}"));
                out.extend_from_slice(br#",{"key":"#);
                push_string(out, name.as_deref().unwrap_or(&key));
                out.extend_from_slice(br#","value":"#);
                let is_base64 = exact.is_some();
                members.next_value_seed(Any { out: &mut *out, is_base64, is_of_others })?;
                out.push(b'}');
            }
            Ok(())
        })
    }
}

/// The name of a member.
pub(super) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = std::borrow::Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = std::borrow::Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(name.into())
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(name.to_owned().into())
    }
}
