//! What programs do to memory that outlives them, or that they share: values of maps, variables, and
//! the keys that they hand to helpers.

use std::collections::{BTreeMap, BTreeSet};

use super::domain::{Atom, Base, Value, moved, place};
use super::state::{Cell, State};
use super::written;
use super::{Hint, Number, Write};

/// The most places and facts to remember of one object.
const MAX_FACTS: usize = 1 << 15;

/// The most bytes of a key or a value to look at.
const MAX_BYTES: i64 = 1 << 14;

/// Memory that several programs see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    /// Keys of this map: index in `Object::maps`
    Key(usize),
    /// Values of this map
    Value(usize),
    /// The variables of this section
    Data(usize),
}

/// An instruction that changes an element of an array, whose index is not constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// Where the array is
    pub memory: Memory,
    /// Bytes from its start, if the index is 0
    pub offset: i64,
    /// Bytes of an element
    pub width: i64,
    /// The instruction: function and slot
    pub at: (usize, usize),
}

/// All that is known of such memory.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    writes: BTreeMap<(Memory, i64, i64), Cell>,
    added: BTreeSet<(Memory, i64, i64)>,
    counted: BTreeSet<Counted>,
    keyed: BTreeSet<(usize, (usize, usize))>,
    /// Zeros that were copied into a memory, if nobody writes to where they come from: the section,
    /// the first byte and the number of bytes
    zeros: BTreeSet<(Memory, usize, i64, i64)>,
    cut: bool,
}

impl Uses {
    /// Whether something may be missing: then nothing here is sure.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The writes to a memory, each with all that it can have written.
    pub fn writes(&self, memory: Memory) -> impl Iterator<Item = Write> {
        let range = (memory, i64::MIN, i64::MIN)..=(memory, i64::MAX, i64::MAX);
        self.writes.range(range).filter_map(|(&(_, offset, width), cell)| {
            let (offset, width) = (u64::try_from(offset).ok()?, u64::try_from(width).ok()?);
            Some(written::write(offset, width, cell))
        })
    }

    /// Finds out what a copy from a map is, if all programs store the same thing there.
    pub(super) fn follow(&self, write: &mut Write) {
        let copied = write.copied.filter(|_| write.only_known && write.numbers.is_empty());
        let Some((map, from)) = copied.filter(|_| !self.cut) else { return };
        let Ok(from) = u64::try_from(from) else { return };
        let (memory, end) = (Memory::Value(map), from + write.width);
        let counted = |counted: Counted| counted.offset < end as i64;
        if self.counted(memory).any(counted) {
            return;
        }
        let overlaps = |other: &Write| other.offset < end && other.offset + other.width > from;
        let is_zero = |other: &Write| other.constants.as_deref() == Some(&[0]);
        let mut meant: Option<(Option<Number>, Option<Hint>)> = None;
        for other in self.writes(memory).filter(overlaps).filter(|other| !is_zero(other)) {
            let number = match other.numbers[..] {
                [number] if other.only_known && other.copied.is_none() => Some(number),
                _ => None,
            };
            let clock = other.hint.and_then(Hint::earlier);
            let same = (other.offset, other.width) == (from, write.width);
            let own = (number, clock);
            if !same || own == (None, None) || meant.is_some_and(|known| known != own) {
                return;
            }
            meant = Some(own);
        }
        if let Some((number, clock)) = meant {
            write.stored = number;
            write.hint = write.hint.or(clock);
        }
    }

    /// Whether some program adds to the number of this width at this place.
    pub fn is_added_to(&self, memory: Memory, offset: u64, width: u64) -> bool {
        let place = i64::try_from(offset).ok().zip(i64::try_from(width).ok());
        place.is_some_and(|(offset, width)| self.added.contains(&(memory, offset, width)))
    }

    /// The instructions that change an element of an array in a memory.
    pub fn counted(&self, memory: Memory) -> impl Iterator<Item = Counted> {
        self.counted.iter().filter(move |counted| counted.memory == memory).copied()
    }

    /// The calls that hand a key of a map to a helper: function and slot.
    pub fn keyed(&self, map: usize) -> impl Iterator<Item = (usize, usize)> {
        self.keyed.iter().filter(move |(of, _)| *of == map).map(|&(_, at)| at)
    }

    /// After all programs. `cut`: some were not followed to their ends.
    pub(super) fn finish(&mut self, cut: bool) {
        self.cut |= cut;
        for (memory, section, start, bytes) in std::mem::take(&mut self.zeros) {
            let end = start.saturating_add(bytes);
            let data = Memory::Data(section);
            let range = (data, i64::MIN, i64::MIN)..(data, end, i64::MIN);
            let mut writes = self.writes.range(range).map(|(&(_, at, width), _)| at + width);
            let counts = self.counted(data).any(|counted| counted.offset < end);
            if counts || writes.any(|write_end| write_end > start) {
                self.write(memory, 0, &Cell::new(bytes, Value::unknown(), None, (0, 0)));
            }
        }
    }

    fn has_room(&mut self) -> bool {
        let facts = self.writes.len() + self.added.len() + self.counted.len() + self.keyed.len();
        self.cut |= facts >= MAX_FACTS;
        !self.cut
    }

    fn write(&mut self, memory: Memory, offset: i64, cell: &Cell) {
        let place = (memory, offset, cell.width);
        if let Some(known) = self.writes.get_mut(&place) {
            _ = known.join(cell);
        } else if self.has_room() {
            self.writes.insert(place, cell.clone());
        }
    }

    /// A write through a pointer. `atomic`: an atomic addition.
    pub(super) fn store(&mut self, pointer: &Value, distance: i64, cell: &Cell, atomic: bool) {
        for &atom in pointer.atoms() {
            match moved(atom, distance) {
                Some(Atom::Indexed { base, offset }) => {
                    let Some(memory) = memory(base) else { continue };
                    let (width, at) = (cell.width, cell.by);
                    // A constant is no count.
                    if self.has_room() && (atomic || cell.value.constants().is_none()) {
                        self.counted.insert(Counted { memory, offset, width, at });
                    }
                }
                Some(moved) => {
                    let Some((base, offset)) = place(moved) else { continue };
                    let Some(memory) = memory(base) else { continue };
                    let adds = |&atom: &Atom| atom == Atom::Added { base, offset };
                    if (atomic || cell.value.atoms().iter().any(adds)) && self.has_room() {
                        self.added.insert((memory, offset, cell.width));
                    }
                    self.write(memory, offset, cell);
                }
                None => {}
            }
        }
    }

    /// A key that a helper takes.
    pub(super) fn key(
        &mut self,
        map: usize,
        bytes: u64,
        pointer: &Value,
        state: &State,
        at: (usize, usize),
    ) {
        if self.has_room() {
            self.keyed.insert((map, at));
        }
        self.copy(Memory::Key(map), bytes, pointer, state, at, &|_, _, _| false);
    }

    /// Bytes that are copied from where a pointer leads. `is_zero`: whether a section begins
    /// with zeros at a place, for so many bytes.
    pub(super) fn copy(
        &mut self,
        memory: Memory,
        bytes: u64,
        pointer: &Value,
        state: &State,
        at: (usize, usize),
        is_zero: &dyn Fn(usize, i64, i64) -> bool,
    ) {
        let bytes = i64::try_from(bytes).unwrap_or(MAX_BYTES).min(MAX_BYTES);
        let mut covered = !pointer.is_open();
        for &atom in pointer.atoms() {
            let Some((base, start)) = place(atom) else {
                covered = false;
                continue;
            };
            let mut end = 0;
            for (offset, cell) in state.region(base, start, bytes) {
                covered &= offset <= end;
                end = end.max(offset + cell.width);
                self.write(memory, offset, cell);
            }
            covered &= match atom {
                _ if end >= bytes => true,
                Atom::Data { section, offset } if is_zero(section, offset, bytes) => {
                    self.has_room() && {
                        self.zeros.insert((memory, section, offset, bytes));
                        true
                    }
                }
                _ => false,
            };
        }
        if !covered {
            self.write(memory, 0, &Cell::new(bytes, Value::unknown(), None, at));
        }
    }
}

fn memory(base: Base) -> Option<Memory> {
    match base {
        Base::MapValue(map) => Some(Memory::Value(map)),
        Base::Data(section) => Some(Memory::Data(section)),
        Base::Stack(_) | Base::Record(_) => None,
    }
}
