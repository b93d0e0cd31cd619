//! Loads, stores and arithmetic.

use super::Here;
use crate::elf::dataflow::domain::{Atom, Base, Value, moved, place};
use crate::elf::dataflow::number::{Number, Source};
use crate::elf::dataflow::state::State;
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

pub(super) fn load(state: &State, insn: Insn, member: Option<(u32, u32)>) -> Value {
    let mut all: Option<Value> = None;
    let pointer = state.register(insn.src);
    if let Some((function, slot)) = member.filter(|_| !points_to_own(pointer)) {
        return Atom::Number(Number::new(Source::Member(function, slot), width(insn))).into();
    }
    // Stored with a sign, loaded without.
    let mask = if width(insn) < 8 { (1_i64 << (width(insn) * 8)) - 1 } else { -1 };
    let cut = |atom| match atom {
        Atom::Const(number) => Some(Atom::Const(number & mask)),
        Atom::Number(number) => number.stored(width(insn) as u64).map(Atom::Number),
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

/// Whether a pointer can lead to the program's own memory, not to the kernel's.
fn points_to_own(pointer: &Value) -> bool {
    pointer.atoms().iter().any(|&atom| place(atom).is_some())
}

/// `member`: the loader adapts the number in the instruction to the place of a member in the kernel;
/// this is the instruction.
pub(super) fn alu(state: &mut State, insn: Insn, here: Here, big_endian: bool, member: bool) {
    let wide = insn.class() == 7;
    let operation = insn.opcode & 0xf0;
    if operation == END {
        let value = state.register(insn.dst).clone();
        return state.set(insn.dst, end(&value, insn, here, big_endian));
    }
    let by = here.place();
    let operand = if insn.opcode & 8 != 0 && operation != 0x80 {
        state.register(insn.src).clone()
    } else if let Some(by) = by.filter(|_| member && matches!(operation, ADD | MOV)) {
        Atom::MemberOffset { by, offset: insn.imm.into() }.into()
    } else {
        Atom::Const(insn.imm.into()).into()
    };
    if let Some(result) = meaningful(operation, wide, state.register(insn.dst), &operand) {
        return state.set(insn.dst, result);
    }
    let cut = |atom| match atom {
        Atom::Const(number) if !wide => Some(Atom::Const(number & 0xffff_ffff)),
        Atom::Number(number) if !wide => number.cut(32).map(Atom::Number),
        // The upper half of a register is cleared.
        Atom::MemberOffset { .. } => Some(atom),
        atom if wide => Some(atom),
        _ => None,
    };
    let result = match operation {
        // With an offset it extends the sign.
        MOV if insn.off == 0 => operand.map(cut),
        MOV => Value::unknown(),
        _ => {
            let (left, operand) = (plain(state.register(insn.dst)), plain(&operand));
            let mut result: Option<Value> = None;
            for &right in operand.atoms() {
                let combined = left.map(|left| combine(operation, wide, left, right).and_then(cut));
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
            changed_memory(operation, wide, state.register(insn.dst), &operand, &mut result);
            result
        }
    };
    state.set(insn.dst, result);
}

/// What a sum is besides a number: a place in an array, or what was in a map and more.
fn changed_memory(operation: u8, wide: bool, left: &Value, right: &Value, result: &mut Value) {
    if !matches!(operation, ADD | SUB) {
        return;
    }
    let sides = [(left, right), (right, left)];
    let is_number = |atom: &Atom| {
        matches!(atom, Atom::Const(_) | Atom::Number(_) | Atom::Loaded { .. } | Atom::Added { .. })
    };
    for (value, other) in sides.into_iter().take(if operation == ADD { 2 } else { 1 }) {
        let &[atom] = value.atoms() else { continue };
        let index = wide && operation == ADD && other.constants().is_none();
        match (atom, place(atom)) {
            (Atom::Loaded { map, offset }, _) if !value.is_open() => {
                result.insert(Atom::Added { base: Base::MapValue(map), offset });
            }
            (_, Some((base @ (Base::MapValue(_) | Base::Data(_)), offset)))
                if index && !value.is_open() && other.atoms().iter().all(is_number) =>
            {
                result.insert(Atom::Indexed { base, offset });
            }
            // Another index, as in an array of arrays.
            (Atom::Indexed { .. }, _) if index => result.insert(atom),
            _ => {}
        }
    }
}

const ADD: u8 = 0x00;
const SUB: u8 = 0x10;
const MOV: u8 = 0xb0;
const END: u8 = 0xd0;

/// Offsets of members as the numbers in the file.
fn plain(value: &Value) -> Value {
    value.map(|atom| match atom {
        Atom::MemberOffset { offset, .. } => Some(Atom::Const(offset)),
        atom => Some(atom),
    })
}

/// Results that are more than a number: the address of a member, a duration.
fn meaningful(operation: u8, wide: bool, left: &Value, right: &Value) -> Option<Value> {
    let member = |offset: &Value, base: &Value| match offset.single()? {
        Atom::MemberOffset { by: (function, slot), .. } if !points_to_own(base) => {
            Some(Atom::MemberAt(function, slot).into())
        }
        _ => None,
    };
    match operation {
        ADD if wide => member(right, left).or_else(|| member(left, right)),
        SUB if wide => match (left.single()?, right.single()) {
            (Atom::Clock(_), Some(Atom::Const(_))) => None,
            (Atom::Clock(_), _) => Some(Atom::Number(Number::new(Source::Duration, 8)).into()),
            _ => None,
        },
        _ => None,
    }
}

/// Swaps the bytes of a number, or cuts it.
fn end(value: &Value, insn: Insn, here: Here, big_endian: bool) -> Value {
    // `bswap` swaps; `be` and `le` do where the machine has the other order.
    let swaps = insn.class() == 7 || (insn.opcode & 8 != 0) != big_endian;
    let bits = insn.imm;
    let Some(mask) = [(16, 0xffff), (32, 0xffff_ffff), (64, -1)].iter().find(|m| m.0 == bits)
    else {
        return Value::unknown();
    };
    let mut result = value.map(|atom| match atom {
        Atom::Const(number) => {
            let swapped = number.swap_bytes() as u64 >> (64 - bits);
            Some(Atom::Const(if swaps { swapped as i64 } else { number & mask.1 }))
        }
        Atom::Number(number) if swaps => number.swap(bits).map(Atom::Number),
        Atom::Number(number) => number.cut(bits).map(Atom::Number),
        _ => None,
    });
    if let Some((function, slot)) = here.place().filter(|_| swaps && result.is_open()) {
        result.insert(Atom::Number(Number::swapped_by(function, slot, bits)));
    }
    result
}

/// One operation on two things.
fn combine(operation: u8, wide: bool, left: Atom, right: Atom) -> Option<Atom> {
    let (Atom::Const(a), Atom::Const(b)) = (left, right) else {
        return match (operation, left, right) {
            (_, Atom::Number(number), Atom::Const(by)) => {
                changed(operation, wide, number, by).map(Atom::Number)
            }
            (0x40, Atom::Number(one), Atom::Number(other)) => one.or(other).map(Atom::Number),
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

/// A number after an operation with a constant.
fn changed(operation: u8, wide: bool, number: Number, by: i64) -> Option<Number> {
    let bits = if wide { 64 } else { 32 };
    let number = if wide { number } else { number.cut(32)? };
    let shift = i32::try_from(by).ok().filter(|by| (0..bits).contains(by));
    match operation {
        // In other units it is a duration all the same.
        0x30 | 0x70 if number.source == Source::Duration => Some(number),
        0x50 => number.and(if wide { by as u64 } else { by as u64 & 0xffff_ffff }),
        0x60 => number.left(shift?, bits),
        0x70 | 0xc0 => number.right(shift?),
        _ => None,
    }
}
