//! Programs that carry objects.

use super::build::{RETURN, Section, Symbol, VARIABLE, elf, object};

const X86_64: u16 = 62;
const EXECUTABLE: u16 = 2;

/// One with a variable that is the object, a variable of Go that points to it, and one that has
/// more around it; the same without symbols; and objects in a row, one of them cut.
pub(super) fn all() -> Vec<Vec<u8>> {
    let carried = object(&RETURN, Vec::new(), Vec::new());
    let size = carried.len() as u64;
    let cut = &carried[..carried.len() - 1];
    let row = [b"\x7fEL\x7fELF", &carried[..], &[0; 5], cut, &carried, &carried].concat();
    let symbol = |name: &str, section, value, size| Symbol {
        name: name.into(),
        section,
        value,
        size,
        info: VARIABLE,
    };
    let symbols =
        [symbol("is", 1, 0, size), symbol("around", 1, 0, size + 16), symbol("go", 2, 0, 16)];
    let sections = || {
        let pointer = [0_u64.to_le_bytes(), size.to_le_bytes()].concat();
        vec![Section::new(".rodata", 2, carried.clone()), Section::new(".data", 3, pointer)]
    };
    vec![program(sections(), &symbols), program(sections(), &[]), row]
}

fn program(sections: Vec<Section>, symbols: &[Symbol]) -> Vec<u8> {
    let mut program = elf(sections, symbols);
    program[16..18].copy_from_slice(&EXECUTABLE.to_le_bytes());
    program[18..20].copy_from_slice(&X86_64.to_le_bytes());
    program
}
