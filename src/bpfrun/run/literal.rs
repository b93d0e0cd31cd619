//! Values as people write them, by their types: numbers, names, texts, addresses, lists, structs.

use std::net::IpAddr;

use crate::bpfrun::list::list;
use crate::elf::types::{Encoding, Kind, TypeId, Types};

/// The type and the offset in bytes of a member of `ty`, by a `path` such as `.a[2].b`.
pub(super) fn member(types: &Types, mut ty: TypeId, path: &str) -> Result<(TypeId, u64), String> {
    let mut rest = path;
    let mut at = 0u64;
    while !rest.is_empty() {
        ty = types.resolve(ty);
        if let Some(behind) = rest.strip_prefix('[') {
            let (index, behind) = behind.split_once(']').ok_or("no ] behind [")?;
            let Kind::Array { element, count } = types.kind(ty) else {
                return Err(format!("{} is not an array", types.c_name(ty)));
            };
            let index: u64 = index.parse().map_err(|_| format!("{index} is not an index"))?;
            if index >= *count {
                return Err(format!("has {count} elements"));
            }
            let size = types.size(*element).ok_or("an element of unknown size")?;
            at = at.saturating_add(index.saturating_mul(size));
            (ty, rest) = (*element, behind);
            continue;
        }
        let behind = rest.strip_prefix('.').ok_or("only .MEMBER and [INDEX] may follow")?;
        let end = behind.find(['.', '[']).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(end);
        let (found, offset) = named(types, ty, name, 0)
            .ok_or_else(|| format!("{} has no member {name}", types.c_name(ty)))??;
        at = at.saturating_add(offset);
        (ty, rest) = (found, behind);
    }
    Ok((ty, at))
}

type Found = Option<Result<(TypeId, u64), String>>;

/// A member by its name, also of anonymous structs and unions in it.
fn named(types: &Types, ty: TypeId, name: &str, depth: u32) -> Found {
    let (Kind::Struct(composite) | Kind::Union(composite)) = types.kind(types.resolve(ty)) else {
        return None;
    };
    for member in &composite.members {
        // Nameless structs may contain each other, many times over.
        if !types.count_step() {
            return Some(Err(format!("too many members to find {name} among them")));
        }
        let offset = u64::from(member.bit_offset / 8);
        match &member.name {
            Some(known) if **known == *name => {
                if member.bit_size.is_some() {
                    return Some(Err(format!("{name} is a bitfield, which cannot be set")));
                }
                return Some(Ok((member.ty, offset)));
            }
            None if depth < 16 => {
                if let Some(found) = named(types, member.ty, name, depth + 1) {
                    return Some(found.map(|(ty, at)| (ty, at + offset)));
                }
            }
            _ => {}
        }
    }
    None
}

/// The bytes of a value of a type, in this machine's byte order.
pub(super) fn encode(types: &Types, ty: TypeId, value: &str) -> Result<Vec<u8>, String> {
    encode_at(types, ty, value, 0)
}

/// The same of a value in `depth` others.
fn encode_at(types: &Types, ty: TypeId, value: &str, depth: u32) -> Result<Vec<u8>, String> {
    let size = types.size(ty).ok_or("its size is not known")?;
    let resolved = types.resolve(ty);
    let network = types.names(ty).iter().any(|name| name.starts_with("__be"));
    match types.kind(resolved) {
        Kind::Int { encoding, bytes, .. } => {
            if let (Ok(IpAddr::V4(address)), 4) = (value.parse(), bytes) {
                return Ok(address.octets().to_vec());
            }
            let character = || value.chars().next().filter(|c| c.is_ascii() && value.len() == 1);
            let number = match (encoding, value) {
                (Encoding::Bool, "true") => 1,
                (Encoding::Bool, "false") => 0,
                _ => match (number(value), character()) {
                    (Some(number), _) => number,
                    (None, Some(character)) if types.is_char(ty) => i128::from(character as u32),
                    _ => return Err(no_number(types, ty, *encoding, value)),
                },
            };
            let bits = bytes * 8;
            let (least, most) = match encoding {
                Encoding::Bool => (0, 1),
                Encoding::Signed if bits < 128 => {
                    (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
                }
                Encoding::Unsigned if bits < 127 => (0, (1i128 << bits) - 1),
                Encoding::Char if bits < 127 => (-(1i128 << (bits - 1)), (1i128 << bits) - 1),
                _ => (i128::MIN, i128::MAX),
            };
            if !(least..=most).contains(&number) {
                return Err(format!("{value} is not from {least} to {most}"));
            }
            Ok(in_order(number, size, network))
        }
        Kind::Enum { values, .. } => {
            let named = values.iter().find(|(name, _)| **name == *value);
            let number = named.map(|(_, number)| i128::from(*number)).or_else(|| number(value));
            let number = number.ok_or_else(|| {
                let names = list(values.iter().map(|(name, _)| name), ", ");
                format!("{value:?} is neither a number nor one of {names}")
            })?;
            Ok(in_order(number, size, false))
        }
        Kind::Float { bytes } => {
            let number: f64 = value.parse().map_err(|_| format!("{value:?} is not a number"))?;
            match bytes {
                4 => Ok((number as f32).to_ne_bytes().to_vec()),
                8 => Ok(number.to_ne_bytes().to_vec()),
                _ => Err("a number of an unusual size".to_owned()),
            }
        }
        Kind::Array { element, count } => array(types, *element, *count, size, value, depth),
        Kind::Struct(_) | Kind::Union(_) if value.starts_with('{') => {
            members(types, resolved, size, value, depth)
        }
        Kind::Struct(_) | Kind::Union(_) => {
            let address: Option<IpAddr> = value.parse().ok();
            match (address, size) {
                (Some(IpAddr::V4(address)), 4) => Ok(address.octets().to_vec()),
                (Some(IpAddr::V6(address)), 16) => Ok(address.octets().to_vec()),
                _ => Err(format!(
                    "is {}: set its members, or give {{MEMBER=VALUE,...}}",
                    types.c_name(resolved)
                )),
            }
        }
        _ => Err(format!("is {}, which cannot be set", types.c_name(ty))),
    }
}

/// The error for a value that is not an integer of this type, with valid forms.
fn no_number(types: &Types, ty: TypeId, encoding: Encoding, value: &str) -> String {
    // Without the qualifiers, which do not matter for values.
    let name = types.names(ty).first().copied().unwrap_or("number");
    let wanted = match encoding {
        Encoding::Bool => "true, false, 1 or 0",
        _ if types.is_char(ty) => "a number or a character",
        _ => "a number, as 10 or 0x10",
    };
    format!("{value:?} is not a valid {name}: give {wanted}")
}

/// A string, an address, or a list of values.
fn array(
    types: &Types,
    element: TypeId,
    count: u64,
    size: u64,
    value: &str,
    depth: u32,
) -> Result<Vec<u8>, String> {
    let size = bounded(size)?;
    if types.is_char(element) {
        // Within a struct, quotes keep a comma from ending the text.
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let value = quoted.filter(|_| depth > 0).unwrap_or(value);
        if value.len() >= size {
            return Err(format!("has room for {} bytes", size.saturating_sub(1)));
        }
        let mut bytes = value.as_bytes().to_vec();
        bytes.resize(size, 0);
        return Ok(bytes);
    }
    match value.parse() {
        Ok(IpAddr::V4(address)) if size == 4 => return Ok(address.octets().to_vec()),
        Ok(IpAddr::V6(address)) if size == 16 => return Ok(address.octets().to_vec()),
        _ => {}
    }
    let mut bytes = Vec::new();
    let inner = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    for (index, value) in parts(inner.unwrap_or(value), depth)?.into_iter().enumerate() {
        if index as u64 >= count {
            return Err(format!("has {count} elements"));
        }
        bytes.extend(encode_at(types, element, value.trim(), depth + 1)?);
    }
    bytes.resize(size, 0);
    Ok(bytes)
}

/// `{MEMBER=VALUE,...}`: the other members are 0.
fn members(
    types: &Types,
    ty: TypeId,
    size: u64,
    value: &str,
    depth: u32,
) -> Result<Vec<u8>, String> {
    let inner = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or("no } at the end")?;
    let mut bytes = vec![0; bounded(size)?];
    for part in parts(inner, depth)?.iter().map(|part| part.trim()).filter(|part| !part.is_empty())
    {
        let (path, value) =
            part.split_once('=').ok_or_else(|| format!("{part} is not MEMBER=VALUE"))?;
        let path = path.trim();
        let (ty, at) = member(types, ty, &format!(".{path}"))?;
        let value = encode_at(types, ty, value.trim(), depth + 1);
        put(&mut bytes, at, &value.map_err(|error| format!("{path}: {error}"))?)?;
    }
    Ok(bytes)
}

/// Writes a part of a value.
pub(super) fn put(bytes: &mut [u8], at: u64, part: &[u8]) -> Result<(), String> {
    let place = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at..)?.get_mut(..part.len()));
    place.ok_or("is beyond the end")?.copy_from_slice(part);
    Ok(())
}

/// A size for memory of ours.
fn bounded(size: u64) -> Result<usize, String> {
    usize::try_from(size).ok().filter(|&size| size <= 1 << 20).ok_or("too large".to_owned())
}

/// Splits a list at its commas, not at those within brackets, braces and quotes.
fn parts(list: &str, depth: u32) -> Result<Vec<&str>, String> {
    if depth > 16 {
        return Err("too many braces".to_owned());
    }
    let mut parts = Vec::new();
    let mut start = 0;
    let mut nesting = Nesting::default();
    for (at, c) in list.char_indices() {
        if c == ',' && nesting.is_outside() {
            parts.push(list.get(start..at).unwrap_or_default());
            start = at + 1;
        }
        nesting.step(c);
    }
    parts.push(list.get(start..).unwrap_or_default());
    if nesting.is_outside() { Ok(parts) } else { Err("a bracket or quote has no end".to_owned()) }
}

/// How deep in brackets, braces and quotes a text is.
#[derive(Default)]
pub(super) struct Nesting {
    depth: i32,
    quoted: bool,
}

impl Nesting {
    /// Not in any.
    pub(super) fn is_outside(&self) -> bool {
        self.depth == 0 && !self.quoted
    }

    /// Goes over one character.
    pub(super) fn step(&mut self, c: char) {
        match c {
            '"' => self.quoted = !self.quoted,
            '[' | '{' if !self.quoted => self.depth += 1,
            ']' | '}' if !self.quoted => self.depth -= 1,
            _ => {}
        }
    }
}

/// The bytes of a value without a type: a number that has room in `size`, an address, or `hex:` and
/// the digits of all bytes.
pub(super) fn raw(size: u64, value: &str) -> Result<Vec<u8>, String> {
    if let Some(digits) = value.strip_prefix("hex:") {
        let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2));
        let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok());
        let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or("hex: needs pairs of digits")?;
        if bytes.len() as u64 != size {
            return Err(format!("has {size} bytes, and {value} is {}", bytes.len()));
        }
        return Ok(bytes);
    }
    match value.parse() {
        Ok(IpAddr::V4(address)) if size == 4 => return Ok(address.octets().to_vec()),
        Ok(IpAddr::V6(address)) if size == 16 => return Ok(address.octets().to_vec()),
        _ => {}
    }
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(format!("has {size} bytes of unknown type: give them as hex:0102..."));
    }
    let number = number(value).ok_or_else(|| {
        format!("{value:?} is not valid: its type is not known, so give a number or hex:0102...")
    })?;
    let bits = size * 8;
    let (least, most) = (-(1i128 << (bits - 1)), (1i128 << bits) - 1);
    if !(least..=most).contains(&number) {
        return Err(format!("{value} has no room in {size} bytes"));
    }
    Ok(in_order(number, size, false))
}

fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-'])),
        None => digits.parse().ok(),
    }?;
    Some(if negative { -number } else { number })
}

fn in_order(number: i128, size: u64, network: bool) -> Vec<u8> {
    let size = size.min(16) as usize;
    let mut bytes = number.to_le_bytes().get(..size).unwrap_or_default().to_vec();
    if network || cfg!(target_endian = "big") {
        bytes.reverse();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use crate::elf::types::{Composite, Member, Type};

    use super::*;

    fn add(types: &mut Types, name: Option<&str>, kind: Kind) -> TypeId {
        types.push(Type { name: name.map(Into::into), kind }).unwrap()
    }

    fn int(types: &mut Types, name: &str, bytes: u32, encoding: Encoding) -> TypeId {
        add(types, Some(name), Kind::Int { bytes, encoding, bits: bytes * 8, bit_offset: 0 })
    }

    #[test]
    fn numbers_fit_their_types() {
        let mut types = Types::new();
        let s32 = int(&mut types, "int", 4, Encoding::Signed);
        let u8 = int(&mut types, "unsigned char", 1, Encoding::Unsigned);
        let u64 = int(&mut types, "unsigned long long", 8, Encoding::Unsigned);
        let flag = int(&mut types, "_Bool", 1, Encoding::Bool);
        let u16 = int(&mut types, "unsigned short", 2, Encoding::Unsigned);
        let be16 = add(&mut types, Some("__be16"), Kind::Typedef(u16));
        let encode = |ty, value| encode(&types, ty, value);
        assert_eq!(encode(s32, "-2"), Ok((-2i32).to_ne_bytes().to_vec()));
        assert_eq!(encode(s32, "0x10"), Ok(16i32.to_ne_bytes().to_vec()));
        assert_eq!(encode(s32, "127.0.0.1"), Ok(vec![127, 0, 0, 1]));
        assert_eq!(encode(u64, "18446744073709551615"), Ok(vec![255; 8]));
        assert_eq!(encode(u8, "255"), Ok(vec![255]));
        assert_eq!(encode(flag, "true"), Ok(vec![1]));
        assert_eq!(encode(be16, "258"), Ok(vec![1, 2]));
        for (ty, wrong) in [
            (u8, "256"),
            (u8, "-1"),
            (s32, "2147483648"),
            (u64, "18446744073709551616"),
            (flag, "2"),
            (s32, "x"),
            (s32, ""),
            (s32, "--1"),
            (s32, "0x-1"),
        ] {
            assert!(encode(ty, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_value_is_said() {
        let mut types = Types::new();
        let char = int(&mut types, "char", 1, Encoding::Signed);
        let u8 = int(&mut types, "unsigned char", 1, Encoding::Unsigned);
        let short = add(&mut types, Some("__u8"), Kind::Typedef(u8));
        let volatile = add(&mut types, None, Kind::Volatile(short));
        let constant = add(&mut types, None, Kind::Const(volatile));
        let flag = int(&mut types, "_Bool", 1, Encoding::Bool);
        let encode = |ty, value| encode(&types, ty, value);
        assert_eq!(encode(char, "x"), Ok(vec![b'x']));
        assert_eq!(encode(char, "7"), Ok(vec![7]));
        for (ty, value, expected) in [
            (constant, "", "\"\" is not a valid __u8: give a number, as 10 or 0x10"),
            (constant, "x", "\"x\" is not a valid __u8: give a number, as 10 or 0x10"),
            (flag, "yes", "\"yes\" is not a valid _Bool: give true, false, 1 or 0"),
            (char, "xy", "\"xy\" is not a valid char: give a number or a character"),
        ] {
            assert_eq!(encode(ty, value), Err(expected.to_owned()));
        }
    }

    #[test]
    fn strings_enums_and_lists() {
        let mut types = Types::new();
        let char = int(&mut types, "char", 1, Encoding::Char);
        let u32 = int(&mut types, "unsigned int", 4, Encoding::Unsigned);
        let name = add(&mut types, None, Kind::Array { element: char, count: 4 });
        let list = add(&mut types, None, Kind::Array { element: u32, count: 2 });
        let values = vec![("OFF".into(), 0), ("ON".into(), 1)];
        let state = add(&mut types, Some("state"), Kind::Enum { bytes: 4, signed: false, values });
        let encode = |ty, value| encode(&types, ty, value);
        assert_eq!(encode(name, "abc"), Ok(b"abc\0".to_vec()));
        assert!(encode(name, "abcd").unwrap_err().contains("room for 3 bytes"));
        assert_eq!(encode(list, "1"), Ok([1u32.to_ne_bytes(), [0; 4]].concat()));
        assert_eq!(encode(list, "1, 2"), Ok([1u32.to_ne_bytes(), 2u32.to_ne_bytes()].concat()));
        assert!(encode(list, "1,2,3").unwrap_err().contains("2 elements"));
        assert_eq!(encode(state, "ON"), Ok(1u32.to_ne_bytes().to_vec()));
        assert!(
            encode(state, "MAYBE")
                .unwrap_err()
                .contains("\"MAYBE\" is neither a number nor one of OFF, ON")
        );
    }

    #[test]
    fn members_are_found() {
        let mut types = Types::new();
        let u32 = int(&mut types, "unsigned int", 4, Encoding::Unsigned);
        let array = add(&mut types, None, Kind::Array { element: u32, count: 3 });
        let field = |name: Option<&str>, ty, bit_offset, bit_size| Member {
            name: name.map(Into::into),
            ty,
            bit_offset,
            bit_size,
        };
        let inner = vec![field(Some("deep"), u32, 32, None)];
        let inner = add(&mut types, None, Kind::Struct(Composite { bytes: 8, members: inner }));
        let members = vec![
            field(Some("list"), array, 32, None),
            field(None, inner, 128, None),
            field(Some("bits"), u32, 192, Some(3)),
        ];
        let outer = Kind::Struct(Composite { bytes: 28, members });
        let outer = add(&mut types, Some("config"), outer);
        let member = |path| member(&types, outer, path);
        assert_eq!(member(".list[2]"), Ok((u32, 12)));
        assert_eq!(member(".deep"), Ok((u32, 20)));
        for (path, error) in [
            (".list[3]", "3 elements"),
            (".list[x]", "not an index"),
            (".list[1", "no ]"),
            (".nope", "struct config has no member nope"),
            (".bits", "bitfield"),
            ("[0]", "not an array"),
            (".deep.x", "has no member"),
        ] {
            assert!(member(path).unwrap_err().contains(error), "{path}: {:?}", member(path));
        }
    }

    #[test]
    fn members_that_are_nowhere_in_a_circle() {
        let mut types = Types::new();
        let member = Member { name: None, ty: TypeId(1), bit_offset: 0, bit_size: None };
        let body = Composite { bytes: 8, members: vec![member; 64] };
        let circle = add(&mut types, Some("s"), Kind::Struct(body));
        let error = super::member(&types, circle, ".x").unwrap_err();
        assert_eq!(error, "too many members to find x among them");
    }

    #[test]
    fn structs_in_braces() {
        let mut types = Types::new();
        let u32 = int(&mut types, "unsigned int", 4, Encoding::Unsigned);
        let char = int(&mut types, "char", 1, Encoding::Char);
        let text = add(&mut types, None, Kind::Array { element: char, count: 4 });
        let pair = add(&mut types, None, Kind::Array { element: u32, count: 2 });
        let field = |name: Option<&str>, ty, bytes: u32| Member {
            name: name.map(Into::into),
            ty,
            bit_offset: bytes * 8,
            bit_size: None,
        };
        let members = vec![field(Some("a"), u32, 0), field(Some("name"), text, 4)];
        let inner = Kind::Struct(Composite { bytes: 8, members });
        let inner = add(&mut types, Some("inner"), inner);
        let members = vec![field(Some("in"), inner, 0), field(Some("pair"), pair, 8)];
        let outer = Kind::Struct(Composite { bytes: 16, members });
        let outer = add(&mut types, Some("outer"), outer);
        let all = add(&mut types, None, Kind::Array { element: inner, count: 2 });
        let encode = |ty, value| encode(&types, ty, value);
        let bytes = |a: u32, name: &[u8; 4], pair: [u32; 2]| {
            [&a.to_ne_bytes()[..], name, &pair[0].to_ne_bytes(), &pair[1].to_ne_bytes()].concat()
        };
        for (value, expected) in [
            ("{}", bytes(0, b"\0\0\0\0", [0, 0])),
            ("{in.a=7}", bytes(7, b"\0\0\0\0", [0, 0])),
            ("{in={a=1,name=xy}, pair=[3,4]}", bytes(1, b"xy\0\0", [3, 4])),
            ("{pair[1]=9,in={name=\"a,b\"}}", bytes(0, b"a,b\0", [0, 9])),
        ] {
            assert_eq!(encode(outer, value), Ok(expected), "{value}");
        }
        let two = [&1u32.to_ne_bytes()[..], &[0; 4], &2u32.to_ne_bytes(), b"z\0\0\0"].concat();
        assert_eq!(encode(all, "{a=1},{a=2,name=z}"), Ok(two.clone()));
        assert_eq!(encode(all, "[{a=1},{a=2,name=z}]"), Ok(two));
        for (value, error) in [
            ("{a=1}", "struct outer has no member a"),
            ("{in.a=1", "no } at the end"),
            ("{in={a=1}", "a bracket or quote has no end"),
            ("{in}", "in is not MEMBER=VALUE"),
            ("{in={a=x}}", "in: a: \"x\" is not a valid unsigned int"),
            ("7", "set its members, or give {MEMBER=VALUE,...}"),
        ] {
            let said = encode(outer, value).unwrap_err();
            assert!(said.contains(error), "{value}: {said}");
        }
        // More braces than any type has.
        let deep = format!("{}{}", "{in=".repeat(40), "}".repeat(40));
        assert!(encode(outer, &deep).is_err());
    }

    #[test]
    fn values_without_a_type() {
        assert_eq!(raw(4, "-1"), Ok(vec![255; 4]));
        assert_eq!(raw(2, "0x102"), Ok(0x102_u16.to_ne_bytes().to_vec()));
        assert_eq!(raw(4, "127.0.0.1"), Ok(vec![127, 0, 0, 1]));
        assert_eq!(raw(3, "hex:01fF00"), Ok(vec![1, 255, 0]));
        for (size, value, error) in [
            (1, "256", "256 has no room in 1 bytes"),
            (3, "1", "has 3 bytes of unknown type"),
            (2, "hex:01", "has 2 bytes, and hex:01 is 1"),
            (2, "hex:0", "pairs of digits"),
            (1, "hex:\u{e4}", "pairs of digits"),
            (4, "x", "its type is not known"),
        ] {
            let said = raw(size, value).unwrap_err();
            assert!(said.contains(error), "{value}: {said}");
        }
    }
}
