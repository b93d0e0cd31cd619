//! The knowledge of registers and memory at one place of a program, and what is left of it where paths
//! meet.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::domain::{Atom, Base, Value, moved, place};
use crate::elf::value::Hint;

/// Marks a record that exists. No write has this offset.
const EXISTS: i64 = i64::MIN;

/// Whether memory exists in a state: a path that has not reserved a record cannot send it, so it does
/// not matter what the record would have there.
fn exists(memory: &BTreeMap<(Base, i64), Cell>, base: Base) -> bool {
    !matches!(base, Base::Record(_)) || memory.contains_key(&(base, EXISTS))
}

/// What was last written to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Bytes
    pub width: i64,
    pub value: Value,
    /// More than zeros were written just here, not to one of several places: through a
    /// pointer that a loop moves on, it is never known how far
    pub sure: bool,
    /// Zeros were written just here, whatever else may have come in their place
    pub cleared: bool,
    pub hint: Option<Hint>,
    /// By a helper that may fill only a part of a member
    pub filled: bool,
    /// The instruction that wrote it, or one of them: function and slot
    pub by: (usize, usize),
}

/// The most written places to remember at once.
const MAX_CELLS: usize = 2048;

/// The knowledge at one place of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub registers: [Value; 11],
    /// Shared by states between which nothing was written
    memory: Rc<BTreeMap<(Base, i64), Cell>>,
}

impl State {
    /// A state without knowledge.
    pub(super) fn new() -> Self {
        Self { registers: std::array::from_fn(|_| Value::unknown()), memory: Rc::default() }
    }

    /// The number of known places.
    pub(super) fn places(&self) -> usize {
        self.memory.len()
    }

    /// The cost of copying.
    pub(super) fn weight(&self) -> usize {
        self.places() / 8
    }

    pub(super) fn register(&self, number: u8) -> &Value {
        static NOTHING: Value = Value::UNKNOWN;
        self.registers.get(usize::from(number)).unwrap_or(&NOTHING)
    }

    pub(super) fn set(&mut self, number: u8, value: Value) {
        if let Some(register) = self.registers.get_mut(usize::from(number)) {
            *register = value;
        }
    }

    /// True: the state has new possibilities. `widen`: a growing value can be anything from now on,
    /// so that loops end.
    pub(super) fn join(&mut self, other: &Self, widen: bool) -> bool {
        let mut changed = false;
        let mut grow = |own: &mut Value, grew: bool| {
            if grew && widen {
                *own = Value::ANYTHING;
            }
            changed |= grew;
        };
        for (own, other) in self.registers.iter_mut().zip(&other.registers) {
            let grew = own.join(other);
            grow(own, grew);
        }
        if Rc::ptr_eq(&self.memory, &other.memory) || self.memory == other.memory {
            return changed;
        }
        let memory = Rc::make_mut(&mut self.memory);
        let marks = memory.keys().filter(|&&(_, offset)| offset == EXISTS);
        let own: BTreeSet<Base> = marks.map(|&(base, _)| base).collect();
        for (key, cell) in memory.iter_mut() {
            match other.memory.get(key) {
                Some(theirs) => {
                    let grew = cell.join(theirs);
                    grow(&mut cell.value, grew);
                }
                None if !exists(&other.memory, key.0) => {}
                None => {
                    let grew = cell.value.open_if(true);
                    grow(&mut cell.value, grew);
                }
            }
        }
        for (&key, cell) in other.memory.iter() {
            if !memory.contains_key(&key) && memory.len() < MAX_CELLS {
                let mut cell = cell.clone();
                cell.value.open_if(!matches!(key.0, Base::Record(_)) || own.contains(&key.0));
                memory.insert(key, cell);
                changed = true;
            }
        }
        changed
    }

    /// The value written at a place, in this width.
    pub(super) fn read(&self, base: Base, offset: i64, width: i64) -> Value {
        match self.memory.get(&(base, offset)) {
            Some(cell) if cell.width == width => cell.value.clone(),
            _ => Value::unknown(),
        }
    }

    /// Writes to the places that a pointer can lead to. With more than one, each may also
    /// keep what it had.
    pub(super) fn write(&mut self, pointer: &Value, distance: i64, cell: &Cell) {
        let certain = pointer.single().is_some();
        for &atom in pointer.atoms() {
            let Some((base, offset)) = moved(atom, distance).and_then(place) else { continue };
            if certain {
                self.clear(base, offset, cell.width);
            }
            // Room in a ring buffer or, if that is full, in a map: one place in each.
            let within = pointer.atoms().iter().filter_map(|&atom| place(atom));
            let alone = within.filter(|&(other, _)| other == base).count() == 1;
            let (sure, cleared) = (cell.sure && alone, cell.cleared && alone);
            let cell = Cell { sure, cleared, ..cell.clone() };
            if self.memory.len() >= MAX_CELLS {
                continue;
            }
            let memory = Rc::make_mut(&mut self.memory);
            match memory.get_mut(&(base, offset)) {
                Some(known) => _ = known.join(&cell),
                None => {
                    let mut cell = cell;
                    cell.value.open_if(!certain);
                    memory.insert((base, offset), cell);
                }
            }
        }
    }

    /// Forgets the bytes that a write covers. Zeros that it covers only in part stay outside of it:
    /// that is how structs are cleared.
    fn clear(&mut self, base: Base, offset: i64, width: i64) {
        const WIDEST: i64 = 8;
        let end = offset.saturating_add(width);
        let from = offset.saturating_sub(WIDEST - 1);
        let touched: Vec<_> = self
            .memory
            .range((base, from)..(base, end.max(from)))
            .filter(|((_, start), cell)| start.saturating_add(cell.width) > offset)
            .map(|(&(_, start), cell)| (start, cell.clone()))
            .collect();
        if touched.is_empty() {
            return;
        }
        let memory = Rc::make_mut(&mut self.memory);
        for (start, cell) in touched {
            memory.remove(&(base, start));
            if cell.value.constant() != Some(0) {
                continue;
            }
            let cell_end = start + cell.width;
            for (start, end) in [(start, offset), (end, cell_end)] {
                if start < end {
                    let rest = Cell { width: end - start, ..cell.clone() };
                    memory.insert((base, start), rest);
                }
            }
        }
    }

    /// The cells of `bytes` from a place on, with offsets from there.
    pub(super) fn region(&self, base: Base, start: i64, bytes: i64) -> Vec<(i64, &Cell)> {
        let end = start.saturating_add(bytes);
        let cells = self.memory.range((base, start)..(base, end.max(start)));
        cells.map(|(&(_, offset), cell)| (offset - start, cell)).collect()
    }

    /// A record is reserved: from here on it exists.
    pub(super) fn begin_record(&mut self, site: usize) {
        let base = Base::Record(site);
        self.forget(base);
        let mark = Cell::new(0, Atom::Const(0).into(), None, (0, 0));
        Rc::make_mut(&mut self.memory).insert((base, EXISTS), mark);
    }

    /// A new record, or a frame that ended: the old contents mean nothing.
    pub(super) fn forget(&mut self, base: Base) {
        if self.memory.keys().any(|&(of, _)| of == base) {
            Rc::make_mut(&mut self.memory).retain(|&(of, _), _| of != base);
        }
    }
}

impl Cell {
    pub(super) fn new(width: i64, value: Value, hint: Option<Hint>, by: (usize, usize)) -> Self {
        let cleared = value.constant() == Some(0);
        Self { width, value, sure: !cleared, cleared, hint, filled: false, by }
    }

    pub(super) fn join(&mut self, other: &Self) -> bool {
        let before = (self.width, self.hint, self.sure, self.cleared);
        // The instruction that surely wrote here, not one that may have.
        if !(self.sure || self.cleared) && (other.sure || other.cleared) {
            self.by = other.by;
        }
        self.sure |= other.sure;
        self.cleared |= other.cleared;
        self.filled |= other.filled;
        if self.width != other.width {
            let changed = self.value.join(&Value::ANYTHING);
            self.width = self.width.max(other.width);
            let now = (self.width, self.sure, self.cleared);
            return changed || (before.0, before.2, before.3) != now;
        }
        if self.hint != other.hint {
            self.hint = None;
        }
        let now = (self.hint, self.sure, self.cleared);
        self.value.join(&other.value) || (before.1, before.2, before.3) != now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(width: i64, number: i64) -> Cell {
        Cell::new(width, Atom::Const(number).into(), None, (0, 0))
    }

    #[test]
    fn pointers_that_move_are_not_sure_of_their_places() {
        let frame = Value::from(Atom::Stack { frame: 0, offset: 0 });
        let mut moving = Value::from(Atom::Stack { frame: 0, offset: -16 });
        moving.insert(Atom::Stack { frame: 0, offset: -8 });
        let mut either = Value::from(Atom::Record { site: 0, offset: 0 });
        either.insert(Atom::MapValue { map: 0, offset: 0 });
        let mut state = State::new();
        state.write(&frame, -16, &cell(8, 0));
        state.write(&frame, -8, &cell(4, 1));
        state.write(&moving, 0, &cell(4, 7));
        state.write(&moving, 4, &cell(4, 7));
        state.write(&either, 0, &cell(4, 7));
        let sure = |base, start| -> Vec<_> {
            let known = state.region(base, start, 16);
            known.into_iter().filter(|(_, cell)| cell.sure).map(|(at, _)| at).collect()
        };
        assert_eq!(sure(Base::Stack(0), -16), [8]);
        assert_eq!(sure(Base::Record(0), 0), [0]);
        assert_eq!(sure(Base::MapValue(0), 0), [0]);
    }

    #[test]
    fn joined_values_only_grow() {
        let mut value = Value::from(Atom::Const(0));
        assert!(!value.clone().join(&value.clone()));
        for number in 1..100 {
            value.join(&Atom::Const(number).into());
        }
        assert_eq!(value, Value::ANYTHING);
        assert!(!value.join(&Atom::Const(0).into()));
        assert!(!value.join(&Value::unknown()));
    }

    #[test]
    fn cleared_structs_keep_the_zeros_around_a_field() {
        let mut state = State::new();
        let frame = Value::from(Atom::Stack { frame: 0, offset: 0 });
        state.write(&frame, -16, &cell(8, 0));
        state.write(&frame, -8, &cell(8, 0));
        state.write(&frame, -12, &cell(2, 7));
        let base = Base::Stack(0);
        let known: Vec<_> = state
            .region(base, -16, 16)
            .into_iter()
            .map(|(at, cell)| (at, cell.width, cell.value.constant().unwrap()))
            .collect();
        assert_eq!(known, [(0, 4, 0), (4, 2, 7), (6, 2, 0), (8, 8, 0)]);
    }

    #[test]
    fn a_record_of_one_path_keeps_what_that_path_wrote() {
        let record = Value::from(Atom::Record { site: 3, offset: 0 });
        let (mut one, mut other) = (State::new(), State::new());
        one.begin_record(3);
        one.write(&record, 0, &cell(4, 7));
        let constants = |state: &State| state.read(Base::Record(3), 0, 4).constants();
        let mut joined = other.clone();
        joined.join(&one, false);
        assert_eq!(constants(&joined), Some(vec![7]));
        one.join(&other, false);
        assert_eq!(constants(&one), Some(vec![7]));
        // A path with the record that has not written it: anything.
        other.begin_record(3);
        one.join(&other, false);
        assert_eq!(constants(&one), None);
        assert!(one.region(Base::Record(3), 0, 8).len() == 1, "the mark is not a write");
    }

    #[test]
    fn where_paths_meet_both_writes_are_possible() {
        let frame = Value::from(Atom::Stack { frame: 0, offset: 0 });
        let mut one = State::new();
        let mut two = State::new();
        one.write(&frame, -8, &cell(4, 1));
        two.write(&frame, -8, &cell(4, 2));
        two.write(&frame, -4, &cell(4, 3));
        assert!(one.join(&two, false));
        assert!(!one.join(&two, false));
        assert_eq!(one.read(Base::Stack(0), -8, 4).constants(), Some(vec![1, 2]));
        assert_eq!(one.read(Base::Stack(0), -4, 4).constants(), None);
        two.write(&frame, -8, &cell(4, 3));
        assert!(one.join(&two, true));
        assert_eq!(one.read(Base::Stack(0), -8, 4).constants(), None);
        assert!(!one.join(&two, true));
    }
}
