//! The common parts of the JSON Lines of all tools. Keys are OpenTelemetry's names, nested on the
//! dots.

use std::borrow::Cow;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;

use crate::output::escape::{is_plain, until_nul};
use crate::skel::task_id;

/// The `schema` of the start record: rises when a key changes its meaning.
pub const SCHEMA: u32 = 2;

/// For members that are present only if true.
pub fn is_false(value: &bool) -> bool {
    !value
}

/// `"event": {"name": …}`
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct EventName {
    /// Such as `process.exec`
    pub name: &'static str,
}

/// Bytes under a key, to be flattened into an object: as a string and, if they are not valid UTF-8,
/// also exactly, under the second key.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// The key, and the key with `_base64`
    pub keys: (&'static str, &'static str),
    /// The value; `None` writes nothing
    pub value: Option<&'a [u8]>,
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(bytes) = self.value {
            let text = String::from_utf8_lossy(bytes);
            map.serialize_entry(self.keys.0, &text)?;
            if matches!(text, Cow::Owned(_)) {
                map.serialize_entry(self.keys.1, &BASE64.encode(bytes))?;
            }
        }
        map.end()
    }
}

/// The same for a list. An empty one writes nothing.
#[derive(Clone, Debug)]
pub struct BytesList<'a> {
    /// The key, and the key with `_base64`
    pub keys: (&'static str, &'static str),
    /// The values
    pub values: Vec<&'a [u8]>,
}

impl Serialize for BytesList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let texts: Vec<_> =
            self.values.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        if !texts.is_empty() {
            map.serialize_entry(self.keys.0, &texts)?;
        }
        if texts.iter().any(|text| matches!(text, Cow::Owned(_))) {
            let exact: Vec<_> = self.values.iter().map(|bytes| BASE64.encode(bytes)).collect();
            map.serialize_entry(self.keys.1, &exact)?;
        }
        map.end()
    }
}

impl BytesList<'_> {
    /// Appends the members, each with a comma before it: see [`push_object`].
    pub fn push(&self, out: &mut Vec<u8>) {
        let mut member = |key: &str, texts: &mut dyn Iterator<Item = Cow<'_, str>>| {
            out.push(b',');
            push_string(out, key);
            out.push(b':');
            push_list(out, texts, |out, text| push_string(out, &text));
        };
        let texts = || self.values.iter().map(|bytes| String::from_utf8_lossy(bytes));
        if self.values.is_empty() {
            return;
        }
        member(self.keys.0, &mut texts());
        if texts().any(|text| matches!(text, Cow::Owned(_))) {
            member(self.keys.1, &mut self.values.iter().map(|bytes| BASE64.encode(bytes).into()));
        }
    }
}

impl Bytes<'_> {
    /// Appends the members, each with a comma before it: see [`push_object`].
    pub fn push(&self, out: &mut Vec<u8>) {
        let Some(bytes) = self.value else { return };
        let mut member = |key: &str, text: &str| {
            out.push(b',');
            push_string(out, key);
            out.push(b':');
            push_string(out, text);
        };
        let text = String::from_utf8_lossy(bytes);
        member(self.keys.0, &text);
        if matches!(text, Cow::Owned(_)) {
            member(self.keys.1, &BASE64.encode(bytes));
        }
    }
}

/// Appends `{…}`. `members` appends each member with a comma before it; the first comma becomes the
/// bracket.
pub fn push_object(out: &mut Vec<u8>, members: impl FnOnce(&mut Vec<u8>)) {
    push_brackets(out, *b"{}", members);
}

/// Appends `[…]`; `push` writes each of `items`.
pub fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    push: impl Fn(&mut Vec<u8>, T),
) {
    push_brackets(out, *b"[]", |out| {
        for item in items {
            out.push(b',');
            push(out, item);
        }
    });
}

#[inline]
fn push_brackets(out: &mut Vec<u8>, [open, close]: [u8; 2], inside: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    inside(out);
    match out.get_mut(at) {
        Some(comma) => *comma = open,
        None => out.push(open),
    }
    out.push(close);
}

/// Writes a value. A terminal only shows what comes out.
pub fn write(out: impl io::Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, ForTerminals))
}

/// JSON allows characters in strings that a terminal obeys, such as U+009B, or that turn the
/// direction of text. They have another form, which means the same.
struct ForTerminals;

impl Formatter for ForTerminals {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c| !is_plain(c)) {
            let (plain, behind) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut chars = behind.chars();
            for unit in chars.next().iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// Appends a string in quotes, escaped.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    // Most need no escaping. No early exit, so that the compiler checks many bytes at once.
    let plain = |byte: u8| (b' '..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let _ = write(out, &text); // a Vec takes everything
    }
}

impl task_id {
    /// The name of the process, up to its NUL.
    pub fn comm(&self) -> &[u8] {
        until_nul(&self.comm)
    }

    /// The name of the thread, up to its NUL; empty if it is not known.
    pub fn thread_comm(&self) -> &[u8] {
        until_nul(&self.thread_comm)
    }
}

/// For members that are absent where there is nothing to count.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_only_shows_strings() {
        for text in ["a\u{9b}31m", "\u{7f}", "\u{202e}txt.exe", "\u{e0041}\u{1b}\"\\", "é 日本"]
        {
            let mut out = Vec::new();
            push_string(&mut out, text);
            let mut whole = Vec::new();
            write(&mut whole, &[text]).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert!(out.chars().all(is_plain), "{out:?}");
            assert_eq!(whole, format!("[{out}]").into_bytes());
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text, "{out}");
        }
        let mut out = Vec::new();
        push_string(&mut out, "é 日本");
        assert_eq!(out, "\"é 日本\"".as_bytes(), "letters stay");
    }
}
