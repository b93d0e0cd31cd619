//! Takes in whatever libFuzzer makes up, in the way that `SNOOP_FUZZ` names: see scripts/fuzz.sh.
#![no_main]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::allow_attributes)]

mod objects;
mod recorded;
mod records;
mod seeds;
mod texts;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// What takes in the bytes, by name.
const TARGETS: [(&str, fn(&[u8])); 12] = [
    ("inspect", objects::inspect),
    ("described", objects::described),
    ("embedded", objects::embedded),
    ("relocations", objects::relocations),
    ("schemas", objects::schemas),
    ("records", records::all),
    ("recorded", recorded::all),
    ("dns", snoop_tools::host::dns::learn_from),
    ("proc", texts::proc),
    ("arguments", texts::arguments),
    ("filter", texts::filter),
    ("values", objects::values),
];

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("SNOOP_FUZZ").unwrap_or_default();
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("SNOOP_FUZZ: no target {name:?}")).1
});

fuzz_target!(init: seeds::write(), |data: &[u8]| TARGET(data));
