//! Loads, stores and arithmetic.

use super::Here;
use crate::elf::dataflow::domain::{Atom, Base, Cell, State, Value, moved, place};
use crate::elf::insn::Insn;

/// Bytes of memory that an instruction reads or writes.
pub(super) fn width(insn: Insn) -> i64 {
    match insn.opcode & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

pub(super) fn load(state: &State, insn: Insn) -> Value {
    let mut all: Option<Value> = None;
    let pointer = state.register(insn.src);
    // Stored with a sign, loaded without.
    let mask = if width(insn) < 8 { (1_i64 << (width(insn) * 8)) - 1 } else { -1 };
    let cut = |atom| match atom {
        Atom::Const(number) => Some(Atom::Const(number & mask)),
        atom => (mask == -1).then_some(atom),
    };
    for &atom in pointer.atoms() {
        // Only the stack belongs to the program alone.
        let value = match moved(atom, insn.off.into()).and_then(place) {
            Some((base @ Base::Stack(_), offset)) => state.read(base, offset, width(insn)).map(cut),
            Some((Base::MapValue(map), offset)) => Atom::Loaded { map, offset }.into(),
            _ => Value::unknown(),
        };
        match &mut all {
            Some(all) => _ = all.join(&value),
            None => all = Some(value),
        }
    }
    all.unwrap_or_else(Value::unknown)
}

pub(super) fn store(state: &mut State, insn: Insn, here: Here, value: &Value) {
    let pointer = state.register(insn.dst).clone();
    let by = (here.function, here.slot);
    let cell = Cell::new(width(insn), value.clone(), None, by);
    state.write(&pointer, insn.off.into(), &cell);
}

pub(super) fn alu(state: &mut State, insn: Insn) {
    let wide = insn.class() == 7;
    let operation = insn.opcode & 0xf0;
    let operand = if insn.opcode & 8 != 0 && operation != 0x80 && operation != 0xd0 {
        state.register(insn.src).clone()
    } else {
        Atom::Const(insn.imm.into()).into()
    };
    let cut = |atom| match atom {
        Atom::Const(number) if !wide => Some(Atom::Const(number & 0xffff_ffff)),
        atom if wide => Some(atom),
        _ => None,
    };
    let result = match operation {
        // With an offset it extends the sign.
        0xb0 if insn.off == 0 => operand.map(cut),
        0xb0 | 0xd0 => Value::unknown(),
        _ => {
            let mut result: Option<Value> = None;
            for &right in operand.atoms() {
                let combined = state
                    .register(insn.dst)
                    .map(|left| combine(operation, wide, left, right).and_then(cut));
                match &mut result {
                    Some(result) => _ = result.join(&combined),
                    None => result = Some(combined),
                }
            }
            let mut result = result.unwrap_or_else(Value::unknown);
            if operand.constants().is_none() {
                // With unknown operands, pointers may be combined.
                let known = operand.single().is_some();
                if !known {
                    result.join(&Value::unknown());
                }
            }
            result
        }
    };
    state.set(insn.dst, result);
}

/// One operation on two things.
fn combine(operation: u8, wide: bool, left: Atom, right: Atom) -> Option<Atom> {
    let (Atom::Const(a), Atom::Const(b)) = (left, right) else {
        return match (operation, left, right) {
            (0x00, pointer, Atom::Const(by)) | (0x00, Atom::Const(by), pointer) if wide => {
                moved(pointer, by)
            }
            (0x10, pointer, Atom::Const(by)) if wide => moved(pointer, by.checked_neg()?),
            _ => None,
        };
    };
    let bits = if wide { 64 } else { 32 };
    let unsigned = |number: i64| {
        if wide { number as u64 } else { number as u64 & 0xffff_ffff }
    };
    let shift = u32::try_from(unsigned(b)).ok().filter(|&by| by < bits);
    Some(Atom::Const(match operation {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x40 => a | b,
        0x50 => a & b,
        0x60 => unsigned(a).wrapping_shl(shift?) as i64,
        0x70 => unsigned(a).wrapping_shr(shift?) as i64,
        0x80 => a.wrapping_neg(),
        0xa0 => a ^ b,
        0xc0 if wide => a.wrapping_shr(shift?),
        _ => return None,
    }))
}
