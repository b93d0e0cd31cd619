//! Debug information.

use super::build::{RETURN, Section, object};
use super::shapes::Size;

fn uleb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 127) as u8;
        number >>= 7;
        bytes.push(low | if number > 0 { 128 } else { 0 });
        if number == 0 {
            return bytes;
        }
    }
}

/// An abbreviation: its number, tag, whether there are children, attributes with their forms.
fn abbreviation(number: u64, tag: u64, children: bool, attributes: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = [uleb(number), uleb(tag), vec![children.into()]].concat();
    for &(name, form) in attributes.iter().chain(&[(0, 0)]) {
        bytes.extend(uleb(name));
        bytes.extend(uleb(form));
    }
    bytes
}

const COMPILE_UNIT: u64 = 0x11;
const FUNCTION: u64 = 0x2e;
const VARIABLE: u64 = 0x34;
const INLINED: u64 = 0x1d;
const STRUCT: u64 = 0x13;
const POINTER: u64 = 0x0f;
const NAME: (u64, u64) = (3, 0xe);

fn unit(entries: &[u8]) -> Vec<u8> {
    let length = u32::try_from(entries.len() + 7).unwrap();
    [&length.to_le_bytes()[..], &[4, 0, 0, 0, 0, 0, 8], entries].concat()
}

fn with(info: Vec<u8>, abbreviations: &[Vec<u8>], strings: Vec<u8>) -> Vec<u8> {
    let mut table = abbreviations.concat();
    table.push(0);
    let new = |name: &str, data| Section::new(name, 0, data);
    let more =
        vec![new(".debug_info", info), new(".debug_abbrev", table), new(".debug_str", strings)];
    object(&RETURN, more, Vec::new())
}

/// Variables of one long name, in a function that is inlined into others.
pub(super) fn variables(size: Size) -> Vec<u8> {
    let abbreviations = [
        abbreviation(1, COMPILE_UNIT, true, &[]),
        abbreviation(2, FUNCTION, true, &[NAME, (0x11, 1)]),
        abbreviation(3, VARIABLE, false, &[NAME]),
        abbreviation(4, INLINED, false, &[(0x31, 0x13)]),
        abbreviation(5, FUNCTION, true, &[NAME]),
    ];
    let mut strings = b"f\0".to_vec();
    strings.extend(vec![size.byte; size.name]);
    strings.push(0);
    let mut entries = vec![1, 5, 0, 0, 0, 0];
    for _ in 0..size.times(6) {
        entries.extend([3, 2, 0, 0, 0]);
    }
    entries.push(0);
    for _ in 0..size.fan {
        entries.extend([2; 1]);
        entries.extend([0; 12]);
        entries.extend([4, 12, 0, 0, 0, 0]);
    }
    entries.push(0);
    with(unit(&entries), &abbreviations, strings)
}

/// Functions, structs in structs, and pointers, of a byte each.
pub(super) fn entries(size: Size) -> Vec<u8> {
    let (tag, children) = match size.fan % 4 {
        0 => (FUNCTION, false),
        1 => (STRUCT, false),
        2 => (STRUCT, true),
        _ => (POINTER, false),
    };
    let abbreviations =
        [abbreviation(1, COMPILE_UNIT, true, &[]), abbreviation(2, tag, children, &[])];
    let mut entries = vec![1];
    entries.extend(vec![2; size.bytes]);
    with(unit(&entries), &abbreviations, Vec::new())
}

/// Units that all read the same large table.
pub(super) fn units(size: Size) -> Vec<u8> {
    let mut abbreviations = vec![abbreviation(1, COMPILE_UNIT, false, &[])];
    for number in 2..size.times(16) as u64 {
        abbreviations.push(abbreviation(number, VARIABLE, false, &[]));
    }
    with(unit(&[1]).repeat(size.times(24)), &abbreviations, Vec::new())
}
