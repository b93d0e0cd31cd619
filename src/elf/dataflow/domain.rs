//! What a value of a program can be: a small set of possibilities. Where paths meet, sets are joined;
//! nothing is guessed.

use super::number::Number;
use crate::elf::value::Clock;

/// Something that a register can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    Const(i64),
    /// Bytes from the stack pointer of a frame, so negative
    Stack {
        frame: usize,
        offset: i64,
    },
    /// Index in `Object::maps`
    Map(usize),
    /// The result of a lookup in this map of maps
    InnerMap(usize),
    MapValue {
        map: usize,
        offset: i64,
    },
    /// A reserved record
    Record {
        site: usize,
        offset: i64,
    },
    /// A variable, or a constant
    Data {
        section: usize,
        offset: i64,
    },
    /// A dynptr's room for a record
    Dynptr(usize),
    /// A function of the object, for helpers that call back
    Function(usize),
    /// The reading of a clock
    Clock(ClockAtom),
    /// A number of which more is known
    Number(Number),
    /// Where a member of a kernel's struct is in it, by the CO-RE relocation of an instruction
    /// (function and slot), and the number in the file
    MemberOffset {
        by: (u32, u32),
        offset: i64,
    },
    /// The address of such a member
    MemberAt(u32, u32),
    /// Bytes of a map's value
    Loaded {
        map: usize,
        offset: i64,
    },
    /// What was there, and something added to it
    Added {
        base: Base,
        offset: i64,
    },
    /// Somewhere behind this place, by an index that is not constant
    Indexed {
        base: Base,
        offset: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClockAtom {
    Monotonic,
    Boot,
}

/// Beyond this number a value can be anything.
const MAX_ATOMS: usize = 8;

/// The possibilities of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    /// Sorted
    atoms: Vec<Atom>,
    /// Something else too
    more: bool,
    /// There were too many to keep
    full: bool,
}

impl From<Atom> for Value {
    fn from(atom: Atom) -> Self {
        Self { atoms: vec![atom], more: false, full: false }
    }
}

impl Value {
    /// Nothing is known yet.
    pub(super) const UNKNOWN: Self = Self { atoms: Vec::new(), more: true, full: false };
    /// Nothing will ever be known.
    pub(super) const ANYTHING: Self = Self { atoms: Vec::new(), more: true, full: true };

    pub(super) fn unknown() -> Self {
        Self::UNKNOWN
    }

    /// It can be something else too, if `open`. True: it could not before.
    pub(super) fn open_if(&mut self, open: bool) -> bool {
        let grew = open && !self.more;
        self.more |= open;
        grew
    }

    /// What each atom becomes; `None` is anything.
    pub(super) fn map(&self, change: impl Fn(Atom) -> Option<Atom>) -> Self {
        let mut result = Self { atoms: Vec::new(), more: self.more, full: self.full };
        for &atom in &self.atoms {
            match change(atom) {
                Some(atom) => result.insert(atom),
                None => result.more = true,
            }
        }
        result
    }

    pub(super) fn insert(&mut self, atom: Atom) {
        if self.full {
            return;
        }
        if let Err(at) = self.atoms.binary_search(&atom) {
            self.atoms.insert(at, atom);
        }
        if self.atoms.len() > MAX_ATOMS {
            *self = Self { atoms: Vec::new(), more: true, full: true };
        }
    }

    /// True: it grew.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let before = (self.atoms.len(), self.more, self.full);
        if other.full {
            *self = other.clone();
        } else {
            other.atoms.iter().for_each(|&atom| self.insert(atom));
            self.more |= other.more;
        }
        before != (self.atoms.len(), self.more, self.full)
    }

    pub(super) fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// Whether it can be something that is not in [`Value::atoms`].
    pub(super) fn is_open(&self) -> bool {
        self.more
    }

    /// The bytes of a map's value that it can be, if it is nothing else that is known.
    pub(super) fn loaded(&self) -> Option<(usize, i64)> {
        match self.atoms[..] {
            [Atom::Loaded { map, offset }] => Some((map, offset)),
            _ => None,
        }
    }

    /// The only thing that it can be.
    pub(super) fn single(&self) -> Option<Atom> {
        match self.atoms[..] {
            [atom] if !self.more => Some(atom),
            _ => None,
        }
    }

    pub(super) fn constant(&self) -> Option<i64> {
        match self.single()? {
            Atom::Const(number) => Some(number),
            _ => None,
        }
    }

    /// All constants that it can be; `None` if it can be anything else.
    pub(super) fn constants(&self) -> Option<Vec<i64>> {
        if self.more || self.atoms.is_empty() {
            return None;
        }
        let number = |&atom: &Atom| match atom {
            Atom::Const(number) => Some(number),
            _ => None,
        };
        self.atoms.iter().map(number).collect()
    }
}

/// A piece of memory that a program writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Base {
    Stack(usize),
    MapValue(usize),
    Record(usize),
    Data(usize),
}

/// The memory that an atom points into, and where.
pub(super) fn place(atom: Atom) -> Option<(Base, i64)> {
    Some(match atom {
        Atom::Stack { frame, offset } => (Base::Stack(frame), offset),
        Atom::MapValue { map, offset } => (Base::MapValue(map), offset),
        Atom::Record { site, offset } => (Base::Record(site), offset),
        Atom::Data { section, offset } => (Base::Data(section), offset),
        _ => return None,
    })
}

/// The same pointer, `distance` bytes on.
pub(super) fn moved(atom: Atom, distance: i64) -> Option<Atom> {
    let add = |offset: i64| offset.checked_add(distance);
    Some(match atom {
        Atom::Const(number) => Atom::Const(number.wrapping_add(distance)),
        Atom::Stack { frame, offset } => Atom::Stack { frame, offset: add(offset)? },
        Atom::MapValue { map, offset } => Atom::MapValue { map, offset: add(offset)? },
        Atom::Record { site, offset } => Atom::Record { site, offset: add(offset)? },
        Atom::Data { section, offset } => Atom::Data { section, offset: add(offset)? },
        Atom::Indexed { base, offset } => Atom::Indexed { base, offset: add(offset)? },
        _ => return None,
    })
}

impl From<ClockAtom> for Clock {
    fn from(clock: ClockAtom) -> Self {
        match clock {
            ClockAtom::Monotonic => Self::Monotonic,
            ClockAtom::Boot => Self::Boot,
        }
    }
}
