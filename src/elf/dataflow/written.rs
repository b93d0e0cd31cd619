//! Cells of memory as writes.

use std::collections::BTreeSet;

use super::domain::{Atom, Value};
use super::number::Number;
use super::state::Cell;
use super::{Hint, Write};

/// The numbers that are known of a value in memory, and whether it is nothing but these, a copy or
/// zero.
fn numbers(value: &Value, width: u64) -> (Vec<Number>, bool) {
    let mut only = !value.is_open();
    let mut numbers = Vec::new();
    for &atom in value.atoms() {
        match atom {
            Atom::Number(number) => match number.stored(width) {
                Some(number) => numbers.push(number),
                None => only = false,
            },
            Atom::Loaded { .. } | Atom::Const(0) => {}
            _ => only = false,
        }
    }
    (numbers, only)
}

/// The write that left this cell.
pub(super) fn write(offset: u64, width: u64, cell: &Cell) -> Write {
    let mask = if width >= 8 { u64::MAX } else { (1 << (width * 8)) - 1 };
    let constants = cell.value.constants().map(|constants| {
        let cut: BTreeSet<u64> = constants.iter().map(|&c| c as u64 & mask).collect();
        cut.into_iter().collect()
    });
    let clock = match cell.value.single() {
        Some(Atom::Clock(clock)) if width == 8 => Some(Hint::Time(clock.into())),
        _ => None,
    };
    let copied = cell.value.loaded();
    let hint = cell.hint.or(clock).filter(|_| cell.sure);
    let (numbers, only_known) = numbers(&cell.value, width);
    let Cell { sure, cleared, filled, by, .. } = *cell;
    let stored = None;
    Write {
        offset,
        width,
        constants,
        sure,
        cleared,
        copied,
        stored,
        hint,
        filled,
        numbers,
        only_known,
        by,
    }
}
