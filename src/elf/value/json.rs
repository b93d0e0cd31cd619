//! Events as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::shape::{Group, Shape};
use super::text::{float, push_hex};
use super::{At, EITHER_KEY, Meaning, Number, Walk, read, split_list};
use crate::output::escape::until_nul;

pub(super) fn object(walk: &Walk<'_>, root: &Group, tail: Option<&[u8]>) -> Map<String, Value> {
    let mut map = Map::new();
    group(walk, root, At::START, &mut map);
    if let Some(tail) = tail.filter(|_| !map.contains_key("tail")) {
        let (text, exact) = string(tail);
        map.insert("tail".to_owned(), text);
        if let Some(exact) = exact {
            map.insert("tail_base64".to_owned(), exact);
        }
    }
    map
}

fn group(walk: &Walk<'_>, fields: &Group, at: At, map: &mut Map<String, Value>) {
    let mut either = Vec::new();
    for (field, at) in walk.fields(fields, at) {
        if !walk.take() {
            break;
        }
        if at.either {
            either.push(Value::from(field.name.clone()));
        }
        if let Shape::Group(inner) = &field.shape {
            let mut inside = Map::new();
            group(walk, inner, at, &mut inside);
            if !inside.is_empty() {
                map.insert(field.name.clone(), inside.into());
            }
            continue;
        }
        let Some(value) = value(walk, &field.shape, at) else { continue };
        map.insert(field.name.clone(), value.raw);
        if let Some(text) = value.text {
            map.insert(field.text_key.clone(), text);
        }
        if let Some(exact) = value.base64 {
            map.insert(field.base64_key.clone(), exact);
        }
    }
    if !either.is_empty() && !map.contains_key(EITHER_KEY) {
        map.insert(EITHER_KEY.to_owned(), either.into());
    }
}

/// A field's forms.
struct Forms {
    raw: Value,
    /// For people, where it differs
    text: Option<Value>,
    /// Of a string that is not UTF-8
    base64: Option<Value>,
}

impl From<Value> for Forms {
    fn from(raw: Value) -> Self {
        Self { raw, text: None, base64: None }
    }
}

/// `None`: it is not there.
fn value(walk: &Walk<'_>, shape: &Shape, at: At) -> Option<Forms> {
    let readable = || walk.readable(shape, at).map(Value::from);
    Some(match shape {
        Shape::Number { bytes, signed, meaning } => {
            let number = walk.meant(at, *bytes, *signed, *meaning)?;
            let raw = match *meaning {
                Meaning::Hex if *bytes == 8 => format!("{:#x}", number.wide()).into(),
                _ => whole(&number, *bytes),
            };
            let text = readable().or_else(|| is_rounded(&raw).then(|| raw.to_string().into()));
            let text = text.filter(|text| *text != raw);
            Forms { raw, text, base64: None }
        }
        Shape::Bool { bytes } => {
            Value::from(walk.number(at, *bytes, false, walk.big_endian)?.wide() != 0).into()
        }
        Shape::Float { bytes } => match float(walk, at, *bytes)? {
            // JSON has no NaN and no infinity.
            Some(number) if !number.is_finite() => Value::from(number.to_string()).into(),
            Some(number) => Value::from(number).into(),
            None => hex(walk.bytes(at, Some((*bytes).into()))?).into(),
        },
        Shape::Pointer => {
            let number = read::unsigned(walk.data, at.byte(), 8, walk.big_endian)?;
            Value::from(format!("{number:#x}")).into()
        }
        Shape::Enum { bytes, signed, .. } => {
            let number = walk.number(at, *bytes, *signed, walk.big_endian)?;
            Forms { raw: whole(&number, *bytes), text: readable(), base64: None }
        }
        Shape::Text { bytes, list: false } => {
            let (raw, base64) = string(until_nul(walk.bytes(at, *bytes)?));
            Forms { raw, text: None, base64 }
        }
        Shape::Text { bytes, list: true } => {
            let bytes = walk.bytes(at, *bytes)?;
            let (raw, exact): (Vec<_>, Vec<_>) = split_list(bytes).map(string).unzip();
            let exact = exact.iter().any(Option::is_some);
            let encoded = || split_list(bytes).map(|arg| BASE64.encode(arg)).collect();
            Forms { raw: raw.into(), text: None, base64: exact.then(encoded) }
        }
        Shape::Bytes { bytes } => hex(walk.bytes(at, *bytes)?).into(),
        Shape::Ipv4 => Forms { raw: hex(walk.bytes(at, Some(4))?), text: readable(), base64: None },
        Shape::Ipv6 { .. } => {
            Forms { raw: hex(walk.bytes(at, Some(16))?), text: readable(), base64: None }
        }
        Shape::Mac => Forms { raw: hex(walk.bytes(at, Some(6))?), text: readable(), base64: None },
        Shape::Array { element, stride, count } => {
            if !walk.is_there(at) && count.is_some_and(|count| count > 0) {
                return None;
            }
            array(walk, element, walk.elements(at, *stride, *count))
        }
        Shape::Group(inner) => {
            let mut map = Map::new();
            group(walk, inner, at, &mut map);
            Value::from(map).into()
        }
    })
}

fn array(walk: &Walk<'_>, element: &Shape, elements: impl Iterator<Item = At>) -> Forms {
    let (mut raw, mut text) = (Vec::new(), Vec::new());
    let mut differs = false;
    for at in elements {
        if !walk.take() {
            break;
        }
        let Some(forms) = value(walk, element, at) else { break };
        differs |= forms.text.is_some();
        text.push(forms.text.unwrap_or_else(|| forms.raw.clone()));
        raw.push(forms.raw);
    }
    let text = (differs || element.is_readable()).then(|| text.into());
    Forms { raw: raw.into(), text, base64: None }
}

/// A number; with 128 bits as a string, which no reader rounds.
fn whole(number: &Number, bytes: u32) -> Value {
    if bytes > 8 {
        return number.to_string().into();
    }
    match *number {
        Number::Signed(number) => i64::try_from(number).map_or(Value::Null, Value::from),
        Number::Unsigned(number) => u64::try_from(number).map_or(Value::Null, Value::from),
    }
}

/// Whether readers without 64-bit integers, such as jq and JavaScript, round it.
fn is_rounded(number: &Value) -> bool {
    const EXACT: u64 = 1 << 53;
    number.as_u64().is_some_and(|number| number > EXACT)
        || number.as_i64().is_some_and(|number| number.unsigned_abs() > EXACT)
}

/// A string, and its exact bytes if they are not UTF-8.
fn string(bytes: &[u8]) -> (Value, Option<Value>) {
    let text = String::from_utf8_lossy(bytes);
    let exact = matches!(text, std::borrow::Cow::Owned(_)).then(|| BASE64.encode(bytes).into());
    (text.into_owned().into(), exact)
}

fn hex(bytes: &[u8]) -> Value {
    let mut text = String::new();
    if !bytes.is_empty() {
        push_hex(&mut text, bytes);
    }
    text.into()
}
