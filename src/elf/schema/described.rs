//! Types of events that a person has corrected: reads what [`super::describe`] has written.
//!
//! The file may be anything: its size, its fields and their depth are bounded, and every field has to
//! be within its struct, beside the others.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::describe::{MAX_DEPTH, MAX_FIELDS};
use crate::elf::types::{Composite, Encoding, Kind, Member, Type, TypeId, Types};
use crate::output::escape::{one_line, push_text};

/// The most bytes of a file, of a record, and of a name.
const MAX_FILE: u64 = 4 << 20;
const MAX_RECORD: u64 = 1 << 24;
const MAX_NAME: usize = 256;

/// All types of a file.
#[derive(Debug)]
pub(super) struct Described {
    pub types: Types,
    pub events: Vec<DescribedEvent>,
    /// The file's name
    pub file: String,
}

/// The type of one kind of event.
#[derive(Debug)]
pub(super) struct DescribedEvent {
    /// The map, or the iterator's program
    pub map: String,
    pub ty: TypeId,
    /// The programs that send it; empty: any
    pub programs: Vec<String>,
    /// The instructions that send it, as `FUNCTION:SLOT`; empty: any
    pub sent_at: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    events: Vec<Event>,
}

/// `inspect --schema --json` writes the keys that are not looked at, too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    map: Option<String>,
    iterator: Option<String>,
    #[serde(rename = "type")]
    name: Option<String>,
    size_bytes: Option<u64>,
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    sent_at: Vec<String>,
    fields: Option<Vec<Field>>,
    #[serde(rename = "provenance")]
    _provenance: Option<serde::de::IgnoredAny>,
    #[serde(rename = "tail")]
    _tail: Option<serde::de::IgnoredAny>,
    #[serde(rename = "when")]
    _when: Option<serde::de::IgnoredAny>,
    #[serde(rename = "c")]
    _c: Option<serde::de::IgnoredAny>,
    #[serde(rename = "members")]
    _members: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: Option<String>,
    offset: u64,
    #[serde(rename = "type")]
    word: String,
    #[serde(rename = "as")]
    own: Option<String>,
    count: Option<Counts>,
    bit: Option<u32>,
    bits: Option<u32>,
    bytes: Option<u64>,
    fields: Option<Vec<Field>>,
    values: Option<BTreeMap<String, i64>>,
    #[serde(rename = "known")]
    _known: Option<serde::de::IgnoredAny>,
    #[serde(rename = "how")]
    _how: Option<serde::de::IgnoredAny>,
    #[serde(rename = "value")]
    _value: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Counts {
    One(u64),
    Several(Vec<u64>),
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Described> {
    let file = path.display().to_string();
    let mut text = Vec::new();
    let open = std::fs::File::open(path)?;
    ensure!(open.metadata()?.is_file(), "it is not a file");
    open.take(MAX_FILE + 1).read_to_end(&mut text)?;
    ensure!(text.len() as u64 <= MAX_FILE, "it is longer than {} MiB", MAX_FILE >> 20);
    parse(&text, file)
}

/// Reads the text of one.
pub(super) fn parse(text: &[u8], file: String) -> Result<Described> {
    // What the error quotes of the file may hold anything.
    let document: Document =
        serde_json::from_slice(text).map_err(|error| anyhow!(one_line(&error.to_string())))?;
    let mut made = Builder { types: Types::new(), left: MAX_FIELDS };
    let mut events = Vec::new();
    for event in document.events {
        let Some(map) = event.map.or(event.iterator) else { bail!("an event without its map") };
        let Some(fields) = event.fields else { continue };
        let in_map = || format!("map {}", shown(&map));
        let bytes = event.size_bytes.with_context(|| format!("{}: no size_bytes", in_map()))?;
        let ty = made.event(event.name.as_deref(), fields, bytes).with_context(in_map)?;
        events.push(DescribedEvent { map, ty, programs: event.programs, sent_at: event.sent_at });
    }
    Ok(Described { types: made.types, events, file })
}

/// A name of the file in a message.
fn shown(name: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, name.get(..MAX_NAME.min(name.len())).unwrap_or("…").as_bytes());
    out
}

struct Builder {
    types: Types,
    /// Fields, and values of enums
    left: usize,
}

impl Builder {
    fn event(&mut self, name: Option<&str>, fields: Vec<Field>, bytes: u64) -> Result<TypeId> {
        ensure!((1..=MAX_RECORD).contains(&bytes), "size_bytes has to be 1 to {MAX_RECORD}");
        // A record that is one number or one array.
        if let [Field { name: None, fields: None, .. }] = &fields[..] {
            let Some(only) = fields.into_iter().next() else { bail!("no fields") };
            let ty = self.ty(only, 0)?;
            let own = self.types.size(ty);
            ensure!(own == Some(bytes), "the only field does not have its {bytes} bytes");
            return Ok(ty);
        }
        let name = name.unwrap_or("event");
        if let Some(name) = name.strip_prefix("union ") {
            let body = self.body(fields, bytes, true, 0)?;
            return self.push(Some(name), Kind::Union(body));
        }
        let body = self.body(fields, bytes, false, 0)?;
        self.push(Some(name.strip_prefix("struct ").unwrap_or(name)), Kind::Struct(body))
    }

    fn push(&mut self, name: Option<&str>, kind: Kind) -> Result<TypeId> {
        let long = name.is_some_and(|name| name.len() > MAX_NAME || name.is_empty());
        ensure!(!long, "a name has to have 1 to {MAX_NAME} bytes");
        Ok(self.types.push(Type { name: name.map(Into::into), kind })?)
    }

    /// The members of a struct or union of this size.
    fn body(
        &mut self,
        fields: Vec<Field>,
        bytes: u64,
        is_union: bool,
        depth: usize,
    ) -> Result<Composite> {
        ensure!(depth < MAX_DEPTH, "more than {MAX_DEPTH} structs in structs");
        let (mut members, mut names, mut places) = (Vec::new(), HashSet::new(), Vec::new());
        for field in fields {
            let Some(left) = self.left.checked_sub(1) else {
                bail!("more than {MAX_FIELDS} fields");
            };
            self.left = left;
            let name = field.name.clone();
            let what = name.as_deref().map_or("a field without a name".to_owned(), shown);
            let twice = name.as_ref().is_some_and(|name| !names.insert(name.clone()));
            ensure!(!twice, "{what}: there are two of this name");
            ensure!(
                name.as_ref().is_none_or(|name| !name.is_empty() && name.len() <= MAX_NAME),
                "a name has to have 1 to {MAX_NAME} bytes"
            );
            let nameless = name.is_none() && field.fields.is_none();
            ensure!(!nameless, "only structs and unions can be without a name");
            let (offset, bit, bits) = (field.offset, field.bit, field.bits);
            let ty = self.ty(field, depth).with_context(|| what.clone())?;
            let size = self.types.size(ty).unwrap_or(u64::MAX);
            let first =
                offset.checked_mul(8).and_then(|at| at.checked_add(bit.unwrap_or(0).into()));
            let long = bits.map_or(size.checked_mul(8), |bits| Some(u64::from(bits)));
            let end = first.zip(long).and_then(|(first, long)| first.checked_add(long));
            let (Some(first), Some(end)) = (first, end.filter(|&end| end <= bytes * 8)) else {
                bail!("{what}: it ends behind the {bytes} bytes that it is in");
            };
            let is_number = matches!(self.types.resolved(ty), Kind::Int { .. } | Kind::Enum { .. });
            let fits = bits.is_none_or(|bits| {
                is_number && (1..=64).contains(&bits) && u64::from(bits) <= size.saturating_mul(8)
            });
            ensure!(fits && (bits.is_some() || bit.is_none()), "{what}: no such bits");
            places.push((first, end, what));
            let bit_offset = u32::try_from(first)?;
            members.push(Member { name: name.map(Into::into), ty, bit_offset, bit_size: bits });
        }
        places.sort();
        for pair in places.windows(2).filter(|_| !is_union) {
            let [(_, end, one), (next, _, other)] = pair else { continue };
            ensure!(end <= next, "{one} and {other} overlap");
        }
        members.sort_by_key(|member| member.bit_offset);
        Ok(Composite { bytes, members })
    }

    /// The type of a field.
    fn ty(&mut self, field: Field, depth: usize) -> Result<TypeId> {
        let Field { word, own, count, bytes, fields, values, .. } = field;
        let is_union = word == "union";
        let mut ty = match (&*word, fields, values) {
            ("struct" | "union", Some(fields), None) => {
                let bytes = bytes.filter(|bytes| (1..=MAX_RECORD).contains(bytes));
                let bytes = bytes.with_context(|| format!("a {word} needs its bytes"))?;
                let body = self.body(fields, bytes, is_union, depth + 1)?;
                let kind = if is_union { Kind::Union(body) } else { Kind::Struct(body) };
                self.push(own.as_deref(), kind)?
            }
            (_, None, values) => {
                let number = self.number(&word, values)?;
                match own {
                    Some(own) => self.push(Some(&own), Kind::Typedef(number))?,
                    None => number,
                }
            }
            _ => bail!("fields belong to a struct or union, values to a number"),
        };
        let counts = match count {
            None => Vec::new(),
            Some(Counts::One(one)) => vec![one],
            Some(Counts::Several(several)) => several,
        };
        ensure!(counts.len() <= MAX_DEPTH, "more than {MAX_DEPTH} dimensions");
        for count in counts.into_iter().rev() {
            ty = self.push(None, Kind::Array { element: ty, count })?;
        }
        ensure!(self.types.size(ty).is_some(), "it is too large");
        Ok(ty)
    }

    /// A type without parts.
    fn number(&mut self, word: &str, values: Option<BTreeMap<String, i64>>) -> Result<TypeId> {
        if word == "ptr" {
            return self.push(None, Kind::Pointer(TypeId::VOID));
        }
        let unknown = || {
            format!(
                "no type {}: there are u8 to u128, s8 to s128, f32, f64, char, \
            bool, ptr, be16, be32, be64, struct, union",
                shown(word)
            )
        };
        let split = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
        let (kind, bits) = word.split_at(split);
        let (kind, bits) = match word {
            "char" => ("char", 8),
            "bool" => ("bool", 8),
            _ => (kind, bits.parse::<u32>().ok().with_context(unknown)?),
        };
        let bytes = bits / 8;
        let width = |widths: &[u32]| widths.contains(&bits);
        let int = |encoding| Kind::Int { bytes, encoding, bits, bit_offset: 0 };
        let (name, kind) = match kind {
            "u" | "s" if values.is_some() && width(&[8, 16, 32, 64]) => {
                let values = values.unwrap_or_default();
                self.left = self.left.checked_sub(values.len()).context("too many values")?;
                ensure!(
                    values.keys().all(|name| name.len() <= MAX_NAME),
                    "a value's name is too long"
                );
                let values = values.into_iter().map(|(name, value)| (name.as_str().into(), value));
                let kind = Kind::Enum { bytes, signed: kind == "s", values: values.collect() };
                return self.push(None, kind);
            }
            _ if values.is_some() => bail!("only numbers have values"),
            "u" if width(&[8, 16, 32, 64, 128]) => (format!("__u{bits}"), int(Encoding::Unsigned)),
            "s" if width(&[8, 16, 32, 64, 128]) => (format!("__s{bits}"), int(Encoding::Signed)),
            "be" if width(&[16, 32, 64]) => {
                let number = self.push(Some(&format!("__u{bits}")), int(Encoding::Unsigned))?;
                return self.push(Some(&format!("__be{bits}")), Kind::Typedef(number));
            }
            "f" if width(&[32]) => ("float".to_owned(), Kind::Float { bytes }),
            "f" if width(&[64]) => ("double".to_owned(), Kind::Float { bytes }),
            "char" => ("char".to_owned(), int(Encoding::Char)),
            "bool" => ("bool".to_owned(), int(Encoding::Bool)),
            _ => bail!(unknown()),
        };
        self.push(Some(&name), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Result<Described> {
        let text = format!(
            r#"{{"events":[{{"map":"rb","size_bytes":16,"fields":[{fields}]}}],"other":1}}"#
        );
        parse(text.as_bytes(), "x.json".to_owned())
    }

    #[test]
    fn errors_are_one_line() {
        let error =
            read(r#"{"name":"a","offset":0,"type":"u32","\u001b[31m\u007f\n":1}"#).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(r"unknown field `\033[31m\177\n`"), "{text}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let deep = |depth: usize| {
            let open = r#"{"name":"a","offset":0,"type":"struct","bytes":16,"fields":["#;
            let inner = r#"{"name":"x","offset":0,"type":"u8"}"#;
            format!("{}{inner}{}", open.repeat(depth), "]}".repeat(depth))
        };
        assert!(read(&deep(8)).is_ok());
        let name = format!(r#"{{"name":"{}","offset":0,"type":"u8"}}"#, "x".repeat(300));
        for (fields, words) in [
            (r#"{"name":"a","offset":13,"type":"u32"}"#, "behind the 16 bytes"),
            (r#"{"name":"a","offset":18446744073709551615,"type":"u32"}"#, "behind the 16 bytes"),
            (r#"{"name":"a","offset":0,"type":"u32","count":18446744073709551615}"#, "too large"),
            (r#"{"name":"a","offset":0,"type":"u32","count":[65536,65536]}"#, "behind the 16"),
            (r#"{"name":"a","offset":0,"type":"u24"}"#, "no type u24"),
            (r#"{"name":"a","offset":0,"type":"struct"}"#, "no type struct"),
            (r#"{"name":"a","offset":0,"type":"u32","colour":1}"#, "unknown field `colour`"),
            (r#"{"name":"a","offset":-1,"type":"u32"}"#, "invalid value"),
            (
                r#"{"name":"a","offset":0,"type":"u32"},{"name":"b","offset":2,"type":"u16"}"#,
                "a and b overlap",
            ),
            (
                r#"{"name":"a","offset":0,"type":"u32"},{"name":"a","offset":4,"type":"u16"}"#,
                "two of this name",
            ),
            (r#"{"name":"a","offset":0,"type":"u8","bits":9}"#, "no such bits"),
            (r#"{"name":"a","offset":0,"type":"f64","bits":9}"#, "no such bits"),
            (r#"{"name":"","offset":0,"type":"u8"}"#, "1 to 256 bytes"),
            (&deep(17), "more than 16 structs"),
            (&name, "1 to 256 bytes"),
            (r#"{"offset":0,"type":"u32"}"#, "does not have its 16 bytes"),
        ] {
            let error = format!("{:#}", read(fields).unwrap_err());
            assert!(error.contains(words), "{fields}: {error}");
        }
        let many = vec![r#"{"name":"a","offset":0,"type":"u8"}"#; MAX_FIELDS + 1].join(",");
        let fields: Vec<_> = (0..=MAX_FIELDS)
            .map(|n| format!(r#"{{"name":"a{n}","offset":0,"type":"u8","count":0}}"#))
            .collect();
        assert!(read(&many).is_err());
        let error = format!("{:#}", read(&fields.join(",")).unwrap_err());
        assert!(error.contains("more than 20000 fields"), "{error}");
        assert!(parse(b"[[[", String::new()).is_err());
        assert!(parse(&b"[".repeat(100_000), String::new()).is_err());
    }

    #[test]
    fn the_types_of_fields() {
        let described = read(
            r#"{"name":"port","offset":0,"type":"be16"},
               {"name":"low","offset":2,"type":"u8","bit":0,"bits":3},
               {"name":"high","offset":2,"type":"u8","bit":3,"bits":5},
               {"name":"uid","offset":4,"type":"u32","as":"uid_t"},
               {"name":"kind","offset":8,"type":"u32","values":{"A":1}},
               {"offset":12,"type":"union","bytes":4,"fields":[
                 {"name":"n","offset":0,"type":"s32"},
                 {"name":"text","offset":0,"type":"char","count":4}]}"#,
        )
        .unwrap();
        let c = described.types.c_declaration(described.events[0].ty);
        assert_eq!(
            c,
            "struct event {\n\
             \t__be16 port; /* 0 */\n\
             \t__u8 low: 3; /* 2, bit 0 */\n\
             \t__u8 high: 5; /* 2, bit 3 */\n\
             \tuid_t uid; /* 4 */\n\
             \tenum {\n\t\tA = 1,\n\t} kind; /* 8 */\n\
             \tunion {\n\t\t__s32 n; /* 0 */\n\t\tchar text[4]; /* 0 */\n\t} /* 4 bytes */; /* 12 */\n\
             } /* 16 bytes */;"
        );
    }
}
