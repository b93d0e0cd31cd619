//! What a register has on one path, and what instructions make of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::elf::insn::Insn;

/// A value in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Val {
    /// `varies`: it depends on the number that was put in
    Number { number: u64, varies: bool },
    /// Something unknown, and how far it was moved on: by constants, and by what varies
    Symbol { id: u64, by: i64, varying: i64 },
}

pub(super) fn known(number: u64) -> Val {
    Val::Number { number, varies: false }
}

pub(super) fn symbol(of: impl Hash) -> Val {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    // (The first numbers are for stacks.)
    Val::Symbol { id: hasher.finish() | 1 << 63, by: 0, varying: 0 }
}

/// The stack of a call of this depth.
pub(super) fn stack(depth: usize) -> Val {
    Val::Symbol { id: depth as u64, by: 0, varying: 0 }
}

/// With the sign of its lower bits.
pub(super) fn extended(number: u64, bits: i64) -> u64 {
    let unused = u32::try_from(64 - bits).unwrap_or(0);
    ((number << unused) as i64 >> unused) as u64
}

pub(super) fn swap(value: Val, insn: Insn) -> Val {
    let bits = i64::from(insn.imm);
    match value {
        Val::Number { number, varies } if matches!(bits, 16 | 32 | 64) => {
            let unused = 64 - insn.imm as u32;
            let swaps = insn.class() == 7 || insn.opcode & 8 != 0;
            let number =
                if swaps { number.swap_bytes() >> unused } else { number << unused >> unused };
            Val::Number { number, varies }
        }
        value => symbol(("swap", value, insn.imm)),
    }
}

pub(super) fn operate(operation: u8, wide: bool, off: i16, left: Val, right: Val) -> Val {
    use Val::{Number, Symbol};
    let mixed = || symbol((operation, wide, off, left, right));
    match (left, right) {
        (Number { number: a, varies: one }, Number { number: b, varies: other }) => {
            match arithmetic(operation, wide, off, a, b) {
                Some(number) => {
                    let varies = match operation {
                        0xb0 => other,
                        0x80 => one,
                        _ => one || other,
                    };
                    Number { number, varies }
                }
                None => mixed(),
            }
        }
        (_, value) if operation == 0xb0 && wide && off == 0 => value,
        (_, Number { number, varies }) if operation == 0xb0 => {
            match arithmetic(operation, wide, off, 0, number) {
                Some(number) => Number { number, varies },
                None => mixed(),
            }
        }
        _ if !wide => mixed(),
        (Symbol { id, by, varying }, Number { number, varies })
        | (Number { number, varies }, Symbol { id, by, varying })
            if operation == 0x00 =>
        {
            moved(id, by, varying, number as i64, varies)
        }
        (Symbol { id, by, varying }, Number { number, varies }) if operation == 0x10 => {
            moved(id, by, varying, (number as i64).wrapping_neg(), varies)
        }
        (Symbol { id, by, varying }, Symbol { id: other, by: too, varying: also })
            if operation == 0x00 =>
        {
            let Symbol { id, .. } = symbol((operation, id.min(other), id.max(other))) else {
                return mixed();
            };
            Symbol { id, by: by.wrapping_add(too), varying: varying.wrapping_add(also) }
        }
        // An index in units of elements.
        (Symbol { id, by, varying }, Number { number, varies: false }) => {
            let factor = match operation {
                0x20 => number as i64,
                0x60 => 1_i64.wrapping_shl(number as u32 & 63),
                _ => return mixed(),
            };
            match symbol((operation, id, by, factor)) {
                Symbol { id, .. } => Symbol { id, by: 0, varying: varying.wrapping_mul(factor) },
                number => number,
            }
        }
        _ => mixed(),
    }
}

fn moved(id: u64, by: i64, varying: i64, distance: i64, varies: bool) -> Val {
    if varies {
        Val::Symbol { id, by, varying: varying.wrapping_add(distance) }
    } else {
        Val::Symbol { id, by: by.wrapping_add(distance), varying }
    }
}

/// `None`: no such operation.
fn arithmetic(operation: u8, wide: bool, off: i16, a: u64, b: u64) -> Option<u64> {
    let cut = |number: u64| if wide { number } else { number & 0xffff_ffff };
    let signed = |number: u64| if wide { number as i64 } else { i64::from(number as i32) };
    let (a, b) = (cut(a), cut(b));
    let shift = b as u32 & if wide { 63 } else { 31 };
    Some(cut(match (operation, off) {
        (0x00, _) => a.wrapping_add(b),
        (0x10, _) => a.wrapping_sub(b),
        (0x20, _) => a.wrapping_mul(b),
        (0x30, 0) => a.checked_div(b).unwrap_or(0),
        (0x30, _) => signed(a).checked_div(signed(b)).unwrap_or(0) as u64,
        (0x40, _) => a | b,
        (0x50, _) => a & b,
        (0x60, _) => a << shift,
        (0x70, _) => a >> shift,
        (0x80, _) => a.wrapping_neg(),
        (0x90, 0) => a.checked_rem(b).unwrap_or(a),
        (0x90, _) => signed(a).checked_rem(signed(b)).unwrap_or(signed(a)) as u64,
        (0xa0, _) => a ^ b,
        (0xb0, 0) => b,
        (0xb0, 8 | 16 | 32) => extended(b, off.into()),
        (0xc0, _) => (signed(a) >> shift) as u64,
        _ => return None,
    }))
}

/// Whether a jump is taken. `None`: that depends on a symbol.
pub(super) fn holds(operation: u8, wide: bool, left: Val, right: Val) -> Option<bool> {
    let (Val::Number { number: a, .. }, Val::Number { number: b, .. }) = (left, right) else {
        return None;
    };
    let cut = |number: u64| if wide { number } else { number & 0xffff_ffff };
    let signed = |number: u64| if wide { number as i64 } else { i64::from(number as i32) };
    let ((a, b), (x, y)) = ((cut(a), cut(b)), (signed(a), signed(b)));
    Some(match operation {
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        0x40 => a & b != 0,
        0x50 => a != b,
        0x60 => x > y,
        0x70 => x >= y,
        0xa0 => a < b,
        0xb0 => a <= b,
        0xc0 => x < y,
        0xd0 => x <= y,
        _ => return None,
    })
}
