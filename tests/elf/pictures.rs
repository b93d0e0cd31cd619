//! Histograms, as programs compute them.

use snoop_tools::elf::dataflow::{Memory, emissions};
use snoop_tools::elf::object::Object;
use snoop_tools::elf::picture::{Pictures, Slots};

use crate::compile::{compile_fixture, strip};

/// Scale, how it is known, and the range of slot 5.
fn told(slots: &Slots) -> (&'static str, &'static str, Option<(u64, Option<u64>)>) {
    (slots.word(), slots.how.word(), slots.scale.and_then(|scale| scale.range(5)))
}

fn check(data: &[u8]) {
    let object = Object::parse(data).unwrap();
    let found = emissions(&object);
    let pictures = Pictures::new(&object, &found.uses);
    let map = |name: &str| {
        let index = object.maps.iter().position(|map| map.name == name).unwrap();
        (index, &object.maps[index])
    };
    let log2 = ("log2", "computed", Some((32, Some(64))));
    for (name, expected) in
        [("latencies", log2), ("everywhere", log2), ("hashed_slots", ("slot", "unknown", None))]
    {
        let (index, map) = map(name);
        let arrays = pictures.arrays(Memory::Value(index), 0, map.value.unwrap(), name);
        assert_eq!(arrays.len(), 1, "{name}: {arrays:?}");
        assert_eq!(told(&arrays[0].slots), expected, "{name}");
    }
    let (index, sizes) = map("sizes");
    let slots = pictures.map_of_slots(index, sizes).unwrap();
    assert_eq!(told(&slots), ("log2", "computed", Some((16, Some(32)))), "from the highest bit");
    assert_eq!(slots.scale.unwrap().range(0), Some((0, Some(1))));
    let (index, disks) = map("disks");
    let keyed = pictures.keyed(index, disks).unwrap();
    assert_eq!((keyed.at, keyed.width, told(&keyed.slots)), (8, 8, log2));
    for name in ["sums", "calls"] {
        let (index, map) = map(name);
        assert_eq!(pictures.map_of_slots(index, map), None, "{name}");
        assert_eq!(pictures.keyed(index, map), None, "{name}");
    }
    let variable = |name: &str| {
        let global = object.globals.iter().find(|global| global.name == name).unwrap();
        let memory = Memory::Data(global.section);
        pictures.arrays(memory, global.offset, global.ty.unwrap(), name)
    };
    let tens = variable("tens");
    assert_eq!(told(&tens[0].slots), ("linear", "computed", Some((50, Some(60)))));
    assert_eq!(tens[0].slots.scale.unwrap().range(19), Some((190, None)));
    let both = variable("by_parity");
    assert_eq!((both[0].times, both[0].every, told(&both[0].slots)), (2, 120, log2));
    // Numbers that programs add to, and others.
    let (sums, _) = map("sums");
    let added = |offset| found.uses.is_added_to(Memory::Value(sums), offset, 8);
    assert_eq!([added(0), added(8), added(16)], [true, true, false]);
}

#[test]
fn scales_are_those_of_the_program() {
    let whole = compile_fixture("pictures");
    check(&whole);
    check(&strip(&whole));
}
