//! Types for tests.

use crate::elf::types::{Encoding, Kind, Type, TypeId, Types};

pub(super) fn add(types: &mut Types, name: Option<&str>, kind: Kind) -> TypeId {
    types.push(Type { name: name.map(Into::into), kind }).unwrap()
}

pub(super) fn int(types: &mut Types, name: &str, bytes: u32, encoding: Encoding) -> TypeId {
    add(types, Some(name), Kind::Int { bytes, encoding, bits: bytes * 8, bit_offset: 0 })
}
