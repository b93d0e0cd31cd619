//! Values as people write them, by their types: numbers, names, texts, addresses, lists, structs.

mod member;
mod nesting;
mod number;
#[cfg(test)]
mod testing;
mod untyped;

use std::net::IpAddr;

pub(super) use self::member::member;
pub(super) use self::nesting::Nesting;
use self::nesting::parts;
use self::number::{in_order, number};
pub(super) use self::untyped::raw;
use crate::bpfrun::list::list;
use crate::elf::types::{Encoding, Kind, TypeId, Types};

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

#[cfg(test)]
mod tests {
    use super::testing::{add, int};
    use crate::elf::types::{Composite, Member};

    use super::*;

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
}
