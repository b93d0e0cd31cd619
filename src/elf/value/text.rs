//! Events as one line of text.

use std::fmt::Write as _;

use crate::output::escape::{Quote, push_shell_word, until_nul};

use super::shape::{Group, Shape};
use super::{At, Meaning, Walk, read, split_list};

/// This many equal elements of an array are written once.
const RUN: usize = 4;

pub(super) fn write(walk: &Walk<'_>, root: &Group, tail: Option<&[u8]>, out: &mut String) {
    let mut line = Fields { out, separator: ' ', any: false };
    line.group(walk, root, At::START, "");
    if let Some(tail) = tail {
        line.begin("", "tail", "");
        push_shell_word(line.out, tail, false, Quote::WhereNeeded);
    }
}

struct Fields<'a> {
    out: &'a mut String,
    separator: char,
    any: bool,
}

impl Fields<'_> {
    fn begin(&mut self, prefix: &str, name: &str, mark: &str) {
        if std::mem::replace(&mut self.any, true) {
            self.out.push(self.separator);
        }
        self.out.push_str(prefix);
        self.out.push_str(name);
        self.out.push_str(mark);
        self.out.push('=');
    }

    /// `a=1 b.c=2`
    fn group(&mut self, walk: &Walk<'_>, group: &Group, at: At, prefix: &str) {
        for (field, at) in walk.fields(group, at) {
            if field.padding {
                continue;
            }
            // One of several members of a union, and it cannot be told which.
            let mark = if at.either { "?" } else { "" };
            if let Shape::Group(inner) = &field.shape {
                self.group(walk, inner, at, &format!("{prefix}{}{mark}.", field.name));
                continue;
            }
            let mut value = String::new();
            if !walk.take() {
                if self.any {
                    self.out.push(self.separator);
                }
                self.out.push('…');
                return;
            }
            // Names of fields in fields can be much longer than their values.
            walk.write(prefix.len() + field.name.len());
            if push_value(walk, &field.shape, at, &mut value).is_some() {
                self.begin(prefix, &field.name, mark);
                self.out.push_str(&value);
            }
        }
    }
}

/// Appends a value. `None`: it is not there.
fn push_value(walk: &Walk<'_>, shape: &Shape, at: At, out: &mut String) -> Option<()> {
    match shape {
        Shape::Number { bytes, signed, meaning } => {
            let number = walk.meant(at, *bytes, *signed, *meaning)?;
            match (walk.readable(shape, at), meaning) {
                (None, _) => _ = write!(out, "{number}"),
                (Some(text), meaning) if meaning.replaces() => {
                    out.push_str(&text);
                }
                (Some(text), Meaning::Uid | Meaning::Gid) => {
                    push_shell_word(out, text.as_bytes(), false, Quote::WhereNeeded);
                    _ = write!(out, "({number})");
                }
                (Some(text), _) => _ = write!(out, "{text}({number})"),
            }
        }
        Shape::Bool { bytes } => match walk.number(at, *bytes, false, walk.big_endian)?.wide() {
            0 => out.push_str("false"),
            1 => out.push_str("true"),
            number => _ = write!(out, "true({number})"),
        },
        Shape::Float { bytes } => match float(walk, at, *bytes)? {
            Some(number) => _ = write!(out, "{number}"),
            None => push_hex(out, walk.bytes(at, Some((*bytes).into()))?),
        },
        Shape::Pointer => {
            let number = read::unsigned(walk.data, at.byte(), 8, walk.big_endian)?;
            _ = write!(out, "{number:#x}");
        }
        Shape::Enum { bytes, signed, .. } => {
            let number = walk.number(at, *bytes, *signed, walk.big_endian)?;
            match walk.readable(shape, at) {
                Some(name) => _ = write!(out, "{name}({number})"),
                None => _ = write!(out, "{number}"),
            }
        }
        Shape::Text { bytes, list: false } => {
            let bytes = until_nul(walk.bytes(at, *bytes)?);
            push_shell_word(out, bytes, false, Quote::WhereNeeded);
        }
        Shape::Text { bytes, list: true } => {
            out.push('[');
            for (index, arg) in split_list(walk.bytes(at, *bytes)?).enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_shell_word(out, arg, false, Quote::WhereNeeded);
            }
            out.push(']');
        }
        Shape::Bytes { bytes } => push_hex(out, walk.bytes(at, *bytes)?),
        Shape::Ipv4 | Shape::Ipv6 { .. } | Shape::Mac => out.push_str(&walk.readable(shape, at)?),
        Shape::Array { element, stride, count } => {
            if !walk.is_there(at) && count.is_some_and(|count| count > 0) {
                return None;
            }
            push_array(walk, element, walk.elements(at, *stride, *count), out);
        }
        Shape::Group(group) => {
            out.push('{');
            Fields { out, separator: ',', any: false }.group(walk, group, at, "");
            out.push('}');
        }
    }
    Some(())
}

/// `[1,2,0*62]`
fn push_array(
    walk: &Walk<'_>,
    shape: &Shape,
    elements: impl Iterator<Item = At>,
    out: &mut String,
) {
    out.push('[');
    let mut any = false;
    let mut push_run = |text: &str, times: usize, out: &mut String| {
        let shown = if times >= RUN { 1 } else { times };
        for _ in 0..shown {
            if std::mem::replace(&mut any, true) {
                out.push(',');
            }
            out.push_str(text);
        }
        if times >= RUN {
            _ = write!(out, "*{times}");
        }
    };
    let (mut last, mut times) = (String::new(), 0);
    let mut more = false;
    for at in elements {
        let mut value = String::new();
        more = !walk.take();
        if more || push_value(walk, shape, at, &mut value).is_none() {
            break;
        }
        if times > 0 && value != last {
            push_run(&last, times, out);
            times = 0;
        }
        last = value;
        times += 1;
    }
    push_run(&last, times, out);
    if more {
        out.push_str(",…");
    }
    out.push(']');
}

/// `None` inside: a width that Rust has no type for.
pub(super) fn float(walk: &Walk<'_>, at: At, bytes: u32) -> Option<Option<f64>> {
    let bits = read::unsigned(walk.data, at.byte(), bytes, walk.big_endian)?;
    Some(match bytes {
        4 => Some(f32::from_bits(u32::try_from(bits).ok()?).into()),
        8 => Some(f64::from_bits(u64::try_from(bits).ok()?)),
        _ => None,
    })
}

/// `0a1b`; nothing is `-`.
pub(super) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    if bytes.is_empty() {
        out.push('-');
    }
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(nibble)));
        }
    }
}
