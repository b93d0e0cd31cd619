//! The stack of a program and of what it calls: kernels allow 512 bytes together.

use std::collections::HashMap;

use snoop_tools::elf::code::{Function, Reference};
use snoop_tools::elf::insn::Insn;
use snoop_tools::elf::object::Object;

use crate::own::OWN;

/// The register that points to the end of a function's stack.
const FRAME: u8 = 10;
const MOVE: u8 = 0xbf;
const ADD: u8 = 0x07;

/// All of `MAX_BPF_STACK`.
const MOST: usize = 512;

/// Until 6.8 the kernel counts in steps of 32 bytes, and one step where a function has no stack.
fn rounded(bytes: usize) -> usize {
    bytes.max(1).next_multiple_of(32)
}

/// The lowest place that a function uses, in bytes below its frame.
fn own_bytes(function: &Function) -> usize {
    let insns = &function.insns;
    let mut lowest = 0;
    for (slot, insn) in insns.iter().enumerate() {
        let is_access = match insn.class() {
            1 => insn.src == FRAME,
            2 | 3 => insn.dst == FRAME,
            _ => false,
        };
        if is_access {
            lowest = lowest.min(i64::from(insn.off));
        } else if insn.opcode == MOVE && insn.src == FRAME {
            // The address of a variable: clang subtracts next, or soon.
            let mut later = insns[slot + 1..]
                .iter()
                .take_while(|later| later.opcode != MOVE || later.dst != insn.dst);
            let add = later.find(|later| later.opcode == ADD && later.dst == insn.dst);
            lowest = lowest.min(add.map_or(0, |add| i64::from(add.imm)));
        }
    }
    usize::try_from(-lowest).unwrap()
}

/// Most bytes that a function and what it calls take together, and the names on this way.
fn deepest(
    object: &Object,
    index: usize,
    known: &mut HashMap<usize, (usize, String)>,
) -> (usize, String) {
    if let Some(found) = known.get(&index) {
        return found.clone();
    }
    let function = &object.functions[index];
    // What is only for the perf buffer is not visited with a ring buffer, but may be called.
    let own = if function.name.starts_with("context_output_") { 0 } else { own_bytes(function) };
    let calls = function.references.iter().filter_map(|(slot, reference)| match reference {
        Reference::Function(callee) if function.insns[slot].src == Insn::PSEUDO_CALL => {
            Some(*callee)
        }
        _ => None,
    });
    let below = calls.map(|callee| deepest(object, callee, known)).max().unwrap_or_default();
    let way = format!("{} ({own}) {}", function.name, below.1);
    let found = (rounded(own) + below.0, way);
    known.insert(index, found.clone());
    found
}

#[test]
fn every_program_fits_on_any_kernel() {
    let mut largest = 0;
    for (name, data) in OWN {
        let object = Object::parse(data).unwrap();
        let mut known = HashMap::new();
        for program in &object.programs {
            let (bytes, way) = deepest(&object, program.function, &mut known);
            assert!(bytes <= MOST, "{name}: {bytes} bytes: {way}");
            largest = largest.max(bytes);
        }
    }
    assert!(largest > 400, "{largest}: seen nothing");
}
