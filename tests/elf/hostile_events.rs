//! Damaged debug information and code: what is made of it may be wrong, but ends, and does
//! not panic.

use std::sync::LazyLock;

use proptest::prelude::*;
use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{EventDecoder, UserSchemas, schemas};
use snoop_tools::elf::value::Clocks;

use crate::compile::compile;
use crate::hostile::{number, parts};

/// Objects to be damaged, of both byte orders and both versions of DWARF.
static OBJECTS: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    [
        compile("records", "bpfel", &["-gdwarf-4"]),
        compile("several", "bpfeb", &["-gdwarf-5"]),
        compile("places", "bpfel", &["-gdwarf-5"]),
        compile("copies", "bpfel", &[]),
    ]
});

/// All that is done with an object's events.
fn use_all(data: &[u8], record: &[u8]) {
    let Ok(object) = Object::parse(data) else { return };
    let dwarf = match Dwarf::parse(data) {
        Ok(dwarf) => dwarf,
        Err(error) => {
            let shown = format!("{error:#}");
            assert!(!shown.contains('\n') && !shown.is_empty(), "{shown}");
            None
        }
    };
    if let Some(dwarf) = &dwarf {
        for (id, _) in dwarf.types.iter().take(500) {
            dwarf.types.c_declaration(id);
        }
    }
    let user = UserSchemas::default();
    let schemas = schemas(&object, dwarf.as_ref(), &user).unwrap().all;
    let clocks = Clocks::default();
    for schema in &schemas {
        let decoder = EventDecoder::new([schema], object.endian, &clocks);
        let Some(kind) = decoder.pick(record) else { continue };
        let Some(decoder) = &kind.decoder else { continue };
        let mut text = String::new();
        decoder.text(record, &mut text);
        assert!(!text.contains(['\n', '\x1b']), "{text:?}");
        assert!(decoder.json(record).is_object());
    }
    EventDecoder::new(&schemas, object.endian, &clocks).pick(record);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_debug_information(
        which in 0..4_usize,
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), number(), any::<bool>()),
            1..8
        ),
        record in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut data = OBJECTS[which].clone();
        let parts = parts(&data);
        for (part, place, number, one) in changes {
            let (offset, size) = *part.get(&parts);
            let place = offset + place.index(size);
            let bytes = number.to_le_bytes();
            let bytes = if one { &bytes[..1] } else { &bytes[..] };
            let end = data.len().min(place + bytes.len());
            data[place..end].copy_from_slice(&bytes[..end - place]);
        }
        use_all(&data, &record);
    }

    #[test]
    fn any_code(
        code in proptest::collection::vec(any::<[u8; 8]>(), 1..40),
        likely in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize), 0..40),
    ) {
        // Instructions that are, at least, some.
        const LIKELY: [u8; 12] =
            [0x85, 0x95, 0x18, 0xbf, 0xb7, 0x7b, 0x79, 0x61, 0x55, 0x05, 0x07, 0x0f];
        let mut code = code;
        for (place, opcode) in likely {
            let length = code.len();
            code[place.index(length)][0] = LIKELY[opcode];
        }
        let mut data = OBJECTS[0].clone();
        let name = b"tp/sched/sched_process_exec";
        let object = Object::parse(&data).unwrap();
        let function = object.functions.iter().find(|f| f.section_name.as_bytes() == name).unwrap();
        // Where the section's code is in the file.
        let first = function.insns[0];
        let pattern = [first.opcode, first.dst | first.src << 4];
        let start = (0x40..data.len())
            .step_by(8)
            .find(|&at| data[at..].starts_with(&pattern))
            .unwrap();
        let room = function.insns.len() * 8;
        for (slot, bytes) in data[start..start + room].chunks_exact_mut(8).zip(&code) {
            slot.copy_from_slice(bytes);
        }
        use_all(&data, &[0; 64]);
    }
}

#[test]
fn truncated_at_any_place() {
    for data in OBJECTS.iter() {
        for length in (0..data.len()).step_by(997) {
            use_all(&data[..length], &[0; 64]);
        }
    }
}
