//! Files that are not what they seem: one clear line, never a panic.

use std::path::Path;
use std::sync::LazyLock;

use clap::Parser;
use object::Endianness;
use proptest::prelude::*;
use proptest::sample::Index;
use snoop_tools::bpfrun::inspect as library;
use snoop_tools::elf::btf::Btf;
use snoop_tools::elf::disasm::{self, Names};
use snoop_tools::elf::insn::Insn;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::relocate;

use crate::command::{File, inspect};
use crate::compile::{compile, kinds, strip};

/// The flags as they are given.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    inspect: library::Args,
}

/// All that can be shown of a file, or why nothing can.
fn describe(data: &[u8]) -> Result<serde_json::Value, String> {
    let flags =
        Flags::parse_from(["inspect", "--json", "--disasm", "--types", "--schema", "x.bpf.o"]);
    library::describe(&flags.inspect, data).map_err(|error| format!("{error:#}"))
}

/// Objects to be damaged: with everything, of the other byte order, and from before BTF.
static OBJECTS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    [strip(kinds()), strip(&compile("kinds", "bpfeb", &[])), compile("legacy", "bpfel", &["-g0"])]
});

/// Offset and size of each section of a 64-bit ELF file, its header and its section table.
pub(crate) fn parts(data: &[u8]) -> Vec<(usize, usize)> {
    let big = data[5] == 2;
    let long = |at: usize| {
        let bytes = data[at..at + 8].try_into().unwrap();
        let number = if big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) };
        usize::try_from(number).unwrap()
    };
    let table = long(40);
    let mut parts = vec![(0, 64), (table, data.len() - table)];
    for header in (table..data.len()).step_by(64) {
        let (offset, size) = (long(header + 24), long(header + 32));
        if size > 0 && offset + size <= data.len() {
            parts.push((offset, size));
        }
    }
    parts
}

/// A number that is likely to be taken for too much, too little or something else.
pub(crate) fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u32::MAX),
        Just(u32::MAX / 2),
        0..64_u32,
        0..100_000_u32,
        any::<u32>()
    ]
}

/// One of the objects with some numbers changed, anywhere in any of its parts alike.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<Index>(), number(), any::<bool>());
    let changes = proptest::collection::vec(change, 1..8);
    (0..OBJECTS.len(), changes).prop_map(|(which, changes)| {
        let mut data = OBJECTS[which].clone();
        let parts = parts(&data);
        for (part, place, number, aligned) in changes {
            let (offset, size) = *part.get(&parts);
            let place = place.index(size);
            let place = offset + if aligned { place & !3 } else { place };
            let bytes = number.to_le_bytes();
            let end = data.len().min(place + bytes.len());
            data[place..end].copy_from_slice(&bytes[..end - place]);
        }
        data
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damaged_objects_as_text(data in damaged()) {
        let file = File::new(&data);
        for flags in [&[][..], &["--disasm", "--types", "--schema"]] {
            let output = inspect(&file.0, flags);
            let told = String::from_utf8(output.stderr).unwrap();
            prop_assert!(matches!(output.status.code(), Some(0 | 1)), "{told}");
            prop_assert!(told.lines().all(|line| line.starts_with("bpfrun: ")), "{told}");
            let text = String::from_utf8(output.stdout).unwrap();
            prop_assert!(!text.contains(|c: char| c.is_control() && !"\n\t".contains(c)), "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_objects(data in damaged()) {
        if let Err(reason) = describe(&data) {
            prop_assert!(!reason.contains('\n') && !reason.is_empty(), "{reason}");
        }
    }

    #[test]
    fn damaged_relocations(data in damaged(), other in damaged()) {
        let (Ok(object), Ok(kernel)) = (Object::parse(&data), Object::parse(&other)) else {
            return Ok(());
        };
        if let Some(types) = &kernel.btf {
            let count: usize = object.functions.iter().map(|function| function.core.len()).sum();
            let judgement = relocate::judge(&object, types);
            prop_assert!(judgement.all.len() == count || object.btf.is_none());
        }
    }

    #[test]
    fn truncated_objects(which in 0..3_usize, length in any::<Index>()) {
        let data = &OBJECTS[which];
        let reason = describe(&data[..length.index(data.len())]).unwrap_err();
        prop_assert!(!reason.contains('\n'), "{reason}");
    }

    #[test]
    fn any_bytes(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(describe(&tail).is_err());
        let header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\xf7\0";
        let _ = describe(&[&header[..], &tail].concat());
        let _ = Btf::parse(&[&b"\x9f\xeb\x01\0\x18\0\0\0"[..], &tail].concat());
    }

    #[test]
    fn any_instruction(bytes: [u8; 8], second: [u8; 8], big: bool) {
        let endian = if big { Endianness::Big } else { Endianness::Little };
        let insn = Insn::decode(bytes, endian);
        prop_assert_eq!(insn.encode(endian), bytes);
        let mut text = String::new();
        let second = Insn::decode(second, endian);
        let known = disasm::push(&mut text, insn, Some(second), Names::default());
        prop_assert_eq!(known, !text.is_empty());
    }
}

#[test]
fn other_files_are_told_apart() {
    for (data, words) in [
        (&b""[..], "the file is empty"),
        (b"\x7f", "not an ELF file"),
        (b"int main(void);", "not an ELF file"),
        (b"\x7fELF", "damaged or truncated ELF file"),
        (b"\x7fELF\x02\x01\x01", "damaged or truncated ELF file"),
        (b"\x7fELF\x07\x01\x01", "damaged or truncated ELF file"),
    ] {
        let reason = Object::parse(data).unwrap_err().to_string();
        assert!(reason.starts_with(words), "{reason}");
    }
    // Its own program.
    let own = std::fs::read("/proc/self/exe").unwrap();
    let machine = std::env::consts::ARCH.replace('_', "-").replace("aarch64", "arm64");
    let reason = Object::parse(&own).unwrap_err().to_string();
    assert_eq!(reason, format!("an ELF file for {machine}, not for BPF"));
}

/// The place of a section's content in a file.
fn section<'a>(data: &'a mut [u8], first_bytes: &[u8]) -> &'a mut [u8] {
    let at = data.windows(first_bytes.len()).position(|bytes| bytes == first_bytes).unwrap();
    &mut data[at..]
}

#[test]
fn damaged_btf_leaves_the_rest_to_be_shown() {
    let mut data = strip(kinds());
    // The header of .BTF is 24 bytes, that of .BTF.ext 32.
    section(&mut data, b"\x9f\xeb\x01\0\x18\0\0\0")[12] ^= 1;
    let object = Object::parse(&data).unwrap();
    assert_eq!(object.damage.len(), 1);
    assert!(object.damage[0].starts_with("damaged BTF: "), "{:?}", object.damage);
    assert_eq!(object.programs.len(), 7);
    assert_eq!(object.maps.len(), 6);

    let mut data = strip(kinds());
    section(&mut data, b"\x9f\xeb\x01\0\x20\0\0\0")[12] ^= 1;
    let object = Object::parse(&data).unwrap();
    assert_eq!(object.damage.len(), 1);
    assert!(object.damage[0].starts_with("damaged BTF.ext: "), "{:?}", object.damage);
    assert!(object.btf.is_some());
}

#[test]
fn what_a_program_may_not_be_is_shown_all_the_same() {
    // An instruction that does not exist, and a jump to nowhere.
    let mut data = strip(kinds());
    let endian = Endianness::Little;
    let exit = Insn { opcode: Insn::EXIT, dst: 0, src: 0, off: 0, imm: 0 };
    let pass = Insn { opcode: 0xb4, dst: 0, src: 0, off: 0, imm: 2 };
    let wrong = Insn { opcode: 0xff, dst: 15, src: 15, off: -1, imm: -1 };
    let away = Insn { opcode: Insn::JA, off: 1000, ..exit };
    let code = [pass.encode(endian), exit.encode(endian)].concat();
    section(&mut data, &code)[..16]
        .copy_from_slice(&[wrong.encode(endian), away.encode(endian)].concat());
    let shown = describe(&data).unwrap();
    let programs = shown["programs"].as_array().unwrap();
    let program = programs.iter().find(|program| program["name"] == "drop_none").unwrap();
    let texts: Vec<_> = program["instructions"].as_array().unwrap().iter().collect();
    assert_eq!(texts[0]["text"], "<unknown>");
    assert_eq!(texts[0]["bytes"], "ffffffffffffffff");
    assert_eq!(texts[1]["text"], "goto +1000");
    assert!(Path::new(shown["file"]["path"].as_str().unwrap()).is_relative());
}
