//! The fields of a type with their places and forms, as all readers of events walk them.

use std::sync::Arc;

use super::Choice;
use super::meaning::Meaning;
use crate::elf::types::Name;
use crate::output::escape::push_cell;

/// A named value in a [`Group`].
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// The name in the file, made printable
    pub name: String,
    /// The key of its readable form in JSON
    pub text_key: String,
    /// The key of its exact bytes in JSON
    pub base64_key: String,
    /// Bits from the start of the group
    pub at: u64,
    /// `Some`: a bitfield
    pub bits: Option<u32>,
    pub shape: Shape,
    /// The members of unions that it is, or is in, outer ones first
    pub arms: Vec<Arm>,
    /// The field with its used length
    pub length: Option<Length>,
    /// Holds nothing, or is shown elsewhere: not shown in text
    pub padding: bool,
    /// It is a stack
    pub stack: Option<Trace>,
}

/// A stack in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// Return addresses
    Frames { user: Option<bool> },
    /// The number of a stack in a map, if it is known in which one
    Id { map: Option<u32>, user: Option<bool> },
}

/// A member of a union.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm {
    /// Index in [`Group::unions`]
    pub union: usize,
    /// Counted from 0
    pub number: usize,
    /// The IP version, 4 or 6, for which it is meant
    pub version: Option<u8>,
}

/// A field with the length of another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    /// Bytes from the start of the group
    pub at: u64,
    pub bytes: u32,
    pub signed: bool,
    /// Counts elements, not bytes
    pub elements: bool,
}

/// The fields of a struct or union, including those of nameless ones in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub fields: Vec<Field>,
    /// The field with the address family
    pub family: Option<Family>,
    /// How to choose a member of each union, if that can be told
    pub unions: Vec<Option<Choice>>,
}

/// A field with an address family or an IP version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Bytes from the start of the group
    pub at: u64,
    pub bytes: u32,
    /// Its name means nothing else
    pub sure: bool,
}

/// Names of an enum's values.
#[derive(Debug)]
pub(super) struct Names {
    /// Sorted by value
    values: Vec<(i128, String)>,
    /// Each value is a bit of its own
    flags: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Number {
        bytes: u32,
        signed: bool,
        meaning: Meaning,
    },
    Bool {
        bytes: u32,
    },
    Float {
        bytes: u32,
    },
    Pointer,
    Enum {
        bytes: u32,
        signed: bool,
        names: Arc<Names>,
    },
    /// Up to the first NUL; `None`: to the end of the event. `list`: several, each with its NUL
    Text {
        bytes: Option<u64>,
        list: bool,
    },
    /// Shown in hexadecimal
    Bytes {
        bytes: Option<u64>,
    },
    Ipv4,
    /// `number`: an IPv4 address in it is a number, its bytes swapped
    Ipv6 {
        number: bool,
    },
    Mac,
    /// `None`: to the end of the event
    Array {
        element: Box<Shape>,
        stride: u64,
        count: Option<u64>,
    },
    Group(Group),
}

impl Shape {
    /// Whether there is a form for people besides the raw one.
    pub(super) fn is_readable(&self) -> bool {
        match self {
            Self::Number { meaning, .. } => meaning.is_readable(),
            Self::Enum { .. } | Self::Ipv4 | Self::Ipv6 { .. } | Self::Mac => true,
            Self::Array { element, .. } => element.is_readable(),
            _ => false,
        }
    }
}

impl Names {
    pub(super) fn new(values: &[(Name, i64)], bytes: u32, signed: bool) -> Self {
        let mask = if bytes >= 8 { u64::MAX } else { (1 << (bytes * 8)) - 1 };
        let number = |value: i64| {
            if signed { i128::from(value) } else { i128::from(value as u64 & mask) }
        };
        let mut values: Vec<_> =
            values.iter().map(|(name, value)| (number(*value), printable(name))).collect();
        values.sort_by_key(|&(value, _)| value); // stable: of two names the first is shown
        let bits = values.iter().filter(|&&(value, _)| value != 0);
        let single = |value: i128| value > 0 && value & (value - 1) == 0;
        // Two values are mostly a plain 1 and 2.
        let flags = bits.clone().count() >= 3 && bits.clone().all(|&(value, _)| single(value));
        Self { values, flags }
    }

    /// The name of a value, or the names of its bits joined with `|`.
    pub(super) fn name(&self, value: i128) -> Option<String> {
        let at = self.values.partition_point(|&(known, _)| known < value);
        if let Some((_, name)) = self.values.get(at).filter(|&&(known, _)| known == value) {
            return Some(name.clone());
        }
        if !self.flags || value <= 0 {
            return None;
        }
        let (mut rest, mut names) = (value, Vec::new());
        for (bit, name) in self.values.iter().filter(|&&(bit, _)| bit != 0) {
            if rest & bit != 0 {
                rest &= !bit;
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            return None;
        }
        if rest != 0 {
            names.push(format!("{rest:#x}"));
        }
        Some(names.join("|"))
    }
}

/// A name out of a file, which may be any bytes.
pub(super) fn printable(name: &str) -> String {
    let mut out = String::new();
    push_cell(&mut out, name.as_bytes());
    out
}
