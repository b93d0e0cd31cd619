//! Events for people and programs: from the bytes of one record and its type to names and values.
//!
//! The form of a field (a string or bytes, an address, a time) follows from its type and its name,
//! never from its value, so the same field always looks the same.

mod hint;
mod json;
mod meaning;
mod names;
mod plain;
mod plan;
mod read;
mod relations;
mod shape;
mod stack;
mod text;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::budget::Budget;
use super::types::{TypeId, Types};

pub use hint::{Choice, Clock, Clocks, Hint, Order};
pub use stack::{Frames, Traced};

use meaning::Meaning;
use plan::Builder;
use shape::{Field, Group, Length, Shape};

/// Options of a [`Decoder`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Byte order of the machine that made the events
    pub big_endian: bool,
    /// By bytes from the start of the event, in their order
    pub hints: Vec<(u64, Hint)>,
    /// Which member of a union an event has
    pub choices: Vec<Choice>,
    /// Show the bytes behind the type: events may be longer. Otherwise they are padding.
    pub tail: bool,
    /// For times
    pub clocks: Clocks,
    /// Fields that text leaves out: bytes from the start of the event
    pub hidden: Vec<u64>,
}

/// A whole number in a type, with nothing to it but its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainNumber {
    /// Its name, behind those of the structs that it is in; empty if the type is a number
    pub name: String,
    /// Bytes from the start of the type
    pub at: u64,
    /// Its bytes
    pub bytes: u32,
    /// Whether it can be negative
    pub signed: bool,
}

impl PlainNumber {
    /// Its value.
    pub fn of(&self, data: &[u8], big_endian: bool) -> Option<i128> {
        let number = read::unsigned(data, self.at, self.bytes, big_endian)?;
        if self.signed {
            return Some(read::signed(number, self.bytes * 8));
        }
        i128::try_from(number).ok()
    }
}

/// A type made ready for decoding any number of events. Does not need the [`Types`] any more.
#[derive(Clone, Debug)]
pub struct Decoder {
    root: Group,
    /// `sizeof` the type
    bytes: u64,
    /// A type without members, whose value is called `value`
    bare: bool,
    /// There were too many fields: some are missing
    cut: bool,
    options: Options,
}

/// The most values of one event: beyond, only `…` is shown.
const MAX_VALUES: usize = 1 << 16;
/// The key, in JSON, that reports that there were too many fields or values.
const CUT_KEY: &str = "fields_cut";
/// The key, in JSON, with the names of members of unions that show the same bytes, of which only one
/// is meant.
const EITHER_KEY: &str = "fields_either";
/// Long strings count as several.
const BYTES_PER_VALUE: usize = 256;

impl Decoder {
    /// A decoder for events of type `ty`.
    pub fn new(types: &Types, ty: TypeId, options: Options) -> Self {
        let mut builder = Builder::new(types, &options);
        let root = builder.root(ty);
        let (cut, bytes) = (builder.cut, types.size(ty).unwrap_or(0));
        Self { root, bytes, bare: types.composite(ty).is_none(), cut, options }
    }

    /// Bytes of the type, without a tail.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The numbers at fixed places, and whether there is nothing else but padding and what is hidden.
    pub fn plain_numbers(&self) -> (Vec<PlainNumber>, bool) {
        let mut found = Vec::new();
        let only = plain::collect(&self.root, 0, "", &mut found);
        if let (true, [only]) = (self.bare, &mut found[..]) {
            only.name.clear();
        }
        (found, only && !self.cut)
    }

    /// Whether events have stacks.
    pub fn has_stacks(&self) -> bool {
        stack::has_any(&self.root)
    }

    /// From now on text has no return addresses.
    pub fn hide_frames(&mut self) {
        stack::hide(&mut self.root);
    }

    /// The stacks in an event.
    pub fn stacks(&self, data: &[u8]) -> Vec<Traced> {
        let mut found = Vec::new();
        if self.has_stacks() {
            stack::all(&self.walk(data), &self.root, At::START, &mut found);
        }
        found
    }

    /// The process that an event is about, by the names of its fields.
    pub fn process(&self, data: &[u8]) -> Option<u32> {
        stack::process(&self.walk(data), &self.root, At::START).map(|(_, pid)| pid)
    }

    /// The name of the task that an event is about.
    pub fn comm(&self, data: &[u8]) -> Option<Vec<u8>> {
        stack::comm(&self.walk(data), &self.root, At::START).map(<[u8]>::to_vec)
    }

    /// When a program made an event, by the boot clock in nanoseconds: the latest reading of a clock
    /// in it. `None`: programs put none into it, or one that cannot be.
    pub fn time_ns(&self, data: &[u8]) -> Option<u64> {
        let readings = self.options.hints.iter().filter_map(|&(at, hint)| match hint {
            Hint::Time(clock) => {
                let number = read::unsigned(data, at, 8, self.options.big_endian)?;
                self.options.clocks.boot_ns(clock, u64::try_from(number).ok()?)
            }
            _ => None,
        });
        readings.max()
    }

    /// Measures the clocks anew, so that a step of the wall clock shows.
    pub fn update_clocks(&mut self) {
        self.options.clocks.update();
    }

    /// Appends an event as `name=value name=value`, on one line and safe for a terminal. A short
    /// event shows only the fields that it contains.
    pub fn text(&self, data: &[u8], out: &mut String) {
        text::write(&self.walk(data), &self.root, self.tail(data), out);
        if self.cut {
            out.push_str(" …");
        }
    }

    /// An event as an object. Each field has its raw value under its name and, if people read
    /// another form, that form under the name with `_text` added. Numbers of 128 bits and pointers
    /// are strings; a string that is not valid UTF-8 has its exact bytes under the name with
    /// `_base64` added.
    pub fn json(&self, data: &[u8]) -> serde_json::Value {
        self.json_object(&self.walk(data)).into()
    }

    fn json_object(&self, walk: &Walk<'_>) -> serde_json::Map<String, serde_json::Value> {
        let mut object = json::object(walk, &self.root, self.tail(walk.data));
        if (self.cut || walk.is_cut()) && !object.contains_key(CUT_KEY) {
            object.insert(CUT_KEY.to_owned(), true.into());
        }
        object
    }

    /// The same as [`Decoder::text`], of one of many values that together have a limit.
    pub fn text_of_many(&self, data: &[u8], values: &Budget, out: &mut String) {
        let walk = self.walk_some(data, values);
        text::write(&walk, &self.root, self.tail(data), out);
        if self.cut {
            out.push_str(" …");
        }
        walk.charge(values);
    }

    /// A value as an object; of a type without members, only the value, if there is nothing else.
    /// `values`: the rest for this and others.
    pub fn json_value(&self, data: &[u8], values: &Budget) -> serde_json::Value {
        let walk = self.walk_some(data, values);
        let mut object = self.json_object(&walk);
        walk.charge(values);
        match (self.bare && object.len() == 1).then(|| object.remove("value")).flatten() {
            Some(value) => value,
            None => object.into(),
        }
    }

    fn walk<'a>(&'a self, data: &'a [u8]) -> Walk<'a> {
        let (big_endian, clocks) = (self.options.big_endian, &self.options.clocks);
        Walk { data, big_endian, clocks, left: Budget::new(MAX_VALUES) }
    }

    fn walk_some<'a>(&'a self, data: &'a [u8], values: &Budget) -> Walk<'a> {
        Walk { left: Budget::new(MAX_VALUES.min(values.left())), ..self.walk(data) }
    }

    /// The bytes behind the type in an event, without the zeros at the end.
    fn tail<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let ends_open = self.root.fields.iter().any(|field| is_open(&field.shape));
        let tail = data.get(usize::try_from(self.bytes).ok()?..)?;
        let end = tail.iter().rposition(|&byte| byte != 0)? + 1;
        tail.get(..end).filter(|_| self.options.tail && !ends_open)
    }
}

/// Does it take the rest of an event?
fn is_open(shape: &Shape) -> bool {
    match shape {
        Shape::Text { bytes, .. } | Shape::Bytes { bytes } => bytes.is_none(),
        Shape::Array { count, .. } => count.is_none(),
        Shape::Group(group) => group.fields.iter().any(|field| is_open(&field.shape)),
        _ => false,
    }
}

/// One event being read.
struct Walk<'a> {
    data: &'a [u8],
    big_endian: bool,
    clocks: &'a Clocks,
    /// Values that may still be shown
    left: Budget,
}

/// The place of a value in an event, and facts from the fields around it.
#[derive(Clone, Copy)]
struct At {
    /// From the start of the event
    bit: u64,
    /// `Some`: a bitfield
    bits: Option<u32>,
    /// The number of used bytes
    used: Option<u64>,
    /// The IP version of the addresses here
    version: Option<Version>,
    /// A member of a union, of which others are shown too
    either: bool,
}

impl At {
    /// The start of an event.
    const START: Self = Self { bit: 0, bits: None, used: None, version: None, either: false };
}

/// An IP version, from a field beside the address.
#[derive(Clone, Copy)]
struct Version {
    /// 4 or 6
    ip: u8,
    /// That field can hold nothing else
    sure: bool,
}

impl At {
    fn byte(self) -> u64 {
        self.bit / 8
    }
}

/// A whole number that was read.
enum Number {
    Signed(i128),
    Unsigned(u128),
}

impl Number {
    fn wide(&self) -> i128 {
        match *self {
            Self::Signed(number) => number,
            Self::Unsigned(number) => i128::try_from(number).unwrap_or(i128::MAX),
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signed(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
        }
    }
}

impl<'a> Walk<'a> {
    /// Counts a value; false: the limit is reached.
    fn take(&self) -> bool {
        self.left.take(1)
    }

    /// Counts bytes that are to be written.
    fn write(&self, bytes: usize) {
        _ = self.left.take((bytes / BYTES_PER_VALUE).min(self.left.left()));
    }

    /// Takes what was used off the budget that this one is a part of.
    fn charge(&self, values: &Budget) {
        let used = MAX_VALUES.min(values.left()).saturating_sub(self.left.left());
        let all = usize::from(self.is_cut() && values.left() < MAX_VALUES);
        _ = values.take(used + all);
    }

    /// Whether some value is missing.
    fn is_cut(&self) -> bool {
        self.left.is_cut()
    }

    /// The value of a number with a meaning.
    fn meant(&self, at: At, bytes: u32, signed: bool, meaning: Meaning) -> Option<Number> {
        match meaning {
            Meaning::BigEndianPart(used) => self.number(at, used, false, true),
            Meaning::BigEndian => self.number(at, bytes, signed, true),
            _ => self.number(at, bytes, signed, self.big_endian),
        }
    }

    fn number(&self, at: At, bytes: u32, signed: bool, big_endian: bool) -> Option<Number> {
        let (number, bits) = match at.bits {
            Some(bits) => (read::bits(self.data, at.bit, bits, self.big_endian)?, bits),
            None => (read::unsigned(self.data, at.byte(), bytes, big_endian)?, bytes * 8),
        };
        Some(if signed {
            Number::Signed(read::signed(number, bits))
        } else {
            Number::Unsigned(number)
        })
    }

    /// The fields of a group that are to be shown, with their places.
    fn fields<'g>(
        &self,
        group: &'g Group,
        at: At,
    ) -> impl Iterator<Item = (&'g Field, At)> + use<'g, '_, 'a> {
        let version = group.family.and_then(|family| {
            let place = at.byte().saturating_add(family.at);
            let ip = match read::unsigned(self.data, place, family.bytes, self.big_endian)? {
                2 | 4 => 4,
                10 | 6 => 6,
                _ => return None,
            };
            Some(Version { ip, sure: family.sure })
        });
        let version = version.or(at.version);
        let chosen: Vec<_> = group.unions.iter().map(|union| self.chosen(union)).collect();
        group.fields.iter().filter_map(move |field| {
            let mut either = false;
            for arm in &field.arms {
                match chosen.get(arm.union).copied().flatten() {
                    Some(chosen) if chosen != arm.number => return None,
                    Some(_) => {}
                    None => match (arm.version, version) {
                        (Some(own), Some(version)) if own != version.ip => return None,
                        (Some(_), Some(_)) => {}
                        _ => either = true,
                    },
                }
            }
            let used = field.length.and_then(|length| self.used(length, at, &field.shape));
            let bit = at.bit.saturating_add(field.at);
            Some((field, At { bit, bits: field.bits, used, version, either }))
        })
    }

    /// The member of a union that this event has, if that can be told.
    fn chosen(&self, union: &Option<Choice>) -> Option<usize> {
        let choice = union.as_ref()?;
        let number = read::unsigned(self.data, choice.at, choice.bytes, self.big_endian)?;
        choice.arms.get(&u64::try_from(number).ok()?).copied()
    }

    /// Used bytes of a field, from another field.
    fn used(&self, length: Length, group: At, shape: &Shape) -> Option<u64> {
        let place = At { bit: (group.byte() + length.at) * 8, bits: None, ..group };
        let number = self.number(place, length.bytes, length.signed, self.big_endian)?;
        let number = u64::try_from(number.wide().max(0)).unwrap_or(u64::MAX);
        Some(match shape {
            Shape::Array { stride, .. } if length.elements => number.saturating_mul(*stride),
            _ => number,
        })
    }

    /// Up to this many bytes, as far as they exist and are used; `None`: the rest of the event.
    /// Returns `None` if there are none where some are expected.
    fn bytes(&self, at: At, bytes: Option<u64>) -> Option<&'a [u8]> {
        let from = usize::try_from(at.byte()).ok()?;
        let rest = self.data.get(from..)?;
        if rest.is_empty() && bytes.is_some_and(|bytes| bytes > 0) {
            return None;
        }
        let most = bytes.unwrap_or(u64::MAX).min(at.used.unwrap_or(u64::MAX));
        let end = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        // Members of a union may all show the same megabytes.
        self.write(end);
        rest.get(..end)
    }

    /// Does the event reach this far?
    fn is_there(&self, at: At) -> bool {
        at.byte() < self.data.len() as u64
    }

    /// The existing and used elements of an array.
    fn elements(
        &self,
        at: At,
        stride: u64,
        count: Option<u64>,
    ) -> impl Iterator<Item = At> + use<> {
        let there = (self.data.len() as u64).saturating_sub(at.byte()) / stride.max(1);
        let used = at.used.map_or(u64::MAX, |used| used / stride.max(1));
        let count = count.unwrap_or(u64::MAX).min(there).min(used);
        (0..count).map(move |index| At {
            bit: at.bit + index * stride * 8,
            bits: None,
            used: None,
            version: at.version,
            either: false,
        })
    }

    /// The form for people of a number, an enum or an address.
    fn readable(&self, shape: &Shape, at: At) -> Option<String> {
        match shape {
            Shape::Number { bytes, signed, meaning } => {
                let number = self.number(at, *bytes, *signed, self.big_endian)?.wide();
                self.meaning(*meaning, number, at)
            }
            Shape::Enum { bytes, signed, names } => {
                names.name(self.number(at, *bytes, *signed, self.big_endian)?.wide())
            }
            Shape::Ipv4 => self.ipv4(at),
            &Shape::Ipv6 { number } => {
                let bytes: [u8; 16] =
                    self.bytes(At { used: None, ..at }, Some(16))?.try_into().ok()?;
                Some(address(bytes, at.version, number, self.big_endian))
            }
            Shape::Mac => {
                let bytes =
                    self.bytes(At { used: None, ..at }, Some(6)).filter(|b| b.len() == 6)?;
                let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Some(hex.join(":"))
            }
            _ => None,
        }
    }

    fn ipv4(&self, at: At) -> Option<String> {
        let bytes: [u8; 4] = self.bytes(At { used: None, ..at }, Some(4))?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes).to_string())
    }

    fn meaning(&self, meaning: Meaning, number: i128, at: At) -> Option<String> {
        match meaning {
            Meaning::Plain | Meaning::BigEndian | Meaning::BigEndianPart(_) => None,
            Meaning::Hex => Some(match number {
                0.. => format!("{number:#x}"),
                _ => number.to_string(),
            }),
            Meaning::Mode => Some(format!("{number:#o}")),
            Meaning::Ipv4 => self.ipv4(at),
            Meaning::Ipv4Number => Some(Ipv4Addr::from(u32::try_from(number).ok()?).to_string()),
            Meaning::Errno => error_name(number.checked_abs()?),
            Meaning::Result => error_name(number.checked_neg()?),
            Meaning::Signal => {
                let number = u32::try_from(number).ok()?;
                (1..=crate::host::signal::LAST)
                    .contains(&number)
                    .then(|| crate::host::signal::name(number).into_owned())
            }
            Meaning::Uid => names::user(u32::try_from(number).ok()?),
            Meaning::Gid => names::group(u32::try_from(number).ok()?),
            Meaning::Family => family_name(number).map(str::to_owned),
            Meaning::Time(clock, unit) => {
                let ns = u64::try_from(number).ok()?.checked_mul(unit)?;
                self.clocks.rfc3339(clock, ns)
            }
        }
    }
}

/// An address in 16 bytes, of this IP version. `number`: an IPv4 address is stored as a number.
///
/// An IPv4 address is in the first four bytes, whatever an earlier record has left behind them, or
/// where IPv6 has it.
fn address(bytes: [u8; 16], version: Option<Version>, number: bool, big_endian: bool) -> String {
    let v6 = Ipv6Addr::from(bytes);
    let Some(Version { ip: 4, sure }) = version else { return v6.to_string() };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.to_string();
    }
    let [a, b, c, d, rest @ ..] = bytes;
    let alone = rest.iter().all(|&byte| byte == 0);
    match [a, b, c, d] {
        [0, 0, 0, 0] if !alone => v6.to_string(),
        _ if !alone && !sure => v6.to_string(),
        _ if number && !big_endian => Ipv4Addr::new(d, c, b, a).to_string(),
        v4 => Ipv4Addr::from(v4).to_string(),
    }
}

/// `ENOENT`, for a known error number.
fn error_name(number: i128) -> Option<String> {
    let number = i32::try_from(number).ok().filter(|number| (1..4096).contains(number))?;
    let name = crate::host::errno::name(number);
    (name != format!("E{number}")).then(|| name.into_owned())
}

fn family_name(number: i128) -> Option<&'static str> {
    Some(match i32::try_from(number).ok()? {
        libc::AF_UNIX => "AF_UNIX",
        libc::AF_INET => "AF_INET",
        libc::AF_INET6 => "AF_INET6",
        libc::AF_NETLINK => "AF_NETLINK",
        libc::AF_PACKET => "AF_PACKET",
        libc::AF_VSOCK => "AF_VSOCK",
        _ => return None,
    })
}

/// The strings of a list, each with its NUL; the last one may lack it.
fn split_list(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default().split(|&byte| byte == 0).filter(move |_| end > 0)
}

#[cfg(test)]
mod tests;
