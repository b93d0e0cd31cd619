//! Words that text and JSON share.

use std::collections::BTreeSet;

use object::Endianness;

use crate::elf::code::{Function, Reference};
use crate::elf::hook::map_type_name;
use crate::elf::map::Map;
use crate::elf::names;
use crate::elf::object::Object;
use crate::elf::types::TypeId;
use crate::elf::value::{Decoder, Options};
use crate::output::escape::push_text;

/// The most characters of a source line, an instruction, a note.
const MAX_CHARS: usize = 400;

/// Text from a file, escaped for a terminal.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, text.as_bytes());
    out
}

/// Names can be long, and instructions many: cuts the text.
pub(super) fn short(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// `little` or `big`
pub(super) fn byte_order(object: &Object) -> &'static str {
    match object.endian {
        Endianness::Little => "little",
        Endianness::Big => "big",
    }
}

/// `5.4.0`, as `KERNEL_VERSION` packs it.
pub(super) fn version(number: u32) -> String {
    format!("{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
}

/// `ringbuf`; a number for kinds that are newer than this program.
pub(super) fn map_kind(map: &Map) -> String {
    map_type_name(map.kind).map_or_else(|| format!("type {}", map.kind), str::to_owned)
}

/// Flags by name, and the rest as a number.
pub(super) fn map_flags(map: &Map) -> Vec<String> {
    let (known, rest) = names::map_flags(map.flags);
    let mut flags: Vec<_> = known.into_iter().map(str::to_owned).collect();
    if rest != 0 {
        flags.push(format!("{rest:#x}"));
    }
    flags
}

/// The place where a map stays after its loader ends; `None`: nowhere.
pub(super) fn pinning(map: &Map) -> Option<String> {
    match (map.pinning, map.legacy) {
        (0, _) => None,
        (1, false) => Some("by name".to_owned()),
        // iproute2's numbers.
        (1, true) => Some("object namespace".to_owned()),
        (2, true) => Some("global namespace".to_owned()),
        (other, _) => Some(other.to_string()),
    }
}

/// Names of the maps that a function uses, and of the functions that it calls or takes the
/// address of, each once.
pub(super) fn used<'a>(object: &'a Object, function: &Function) -> (Vec<&'a str>, Vec<&'a str>) {
    // By number first: comparing the same long name again and again takes time.
    let (mut maps, mut functions) = (BTreeSet::new(), BTreeSet::new());
    for reference in function.references.values() {
        _ = match *reference {
            Reference::Map(index) => maps.insert(index),
            Reference::Function(index) => functions.insert(index),
            _ => false,
        };
    }
    let map = |index: usize| object.maps.get(index).map(|map| &*map.name);
    let function = |index: usize| object.functions.get(index).map(|function| &*function.name);
    let mut maps: Vec<_> = maps.into_iter().filter_map(map).collect();
    let mut functions: Vec<_> = functions.into_iter().filter_map(function).collect();
    for names in [&mut maps, &mut functions] {
        names.sort_unstable();
        names.dedup();
    }
    (maps, functions)
}

/// Reads values of a type, if BTF has it.
pub(super) fn decoder(object: &Object, ty: Option<TypeId>) -> Option<Decoder> {
    let big_endian = object.endian == Endianness::Big;
    let types = &object.btf.as_ref()?.types;
    Some(Decoder::new(types, ty?, Options { big_endian, ..Options::default() }))
}
