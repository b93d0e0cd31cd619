//! What the elements of an array of counters stand for: how a program computes the index of an
//! element from a value.
//!
//! The program's own instructions are run, with chosen numbers in the place of the value: from each
//! instruction that makes a value, up to the one that counts. If the results are those of a
//! logarithm or of a division, for all numbers that were tried, that is what it is. Nothing else is
//! believed: names and sizes are for others to judge.

mod run;

use super::uses::Counted;
use crate::elf::budget::Budget;
use crate::elf::code::Function;
use crate::elf::insn::Insn;
use crate::elf::object::Object;
use run::{Runner, Seen, Target};

/// The most instructions before the counting one at which a value may begin.
const NEAR: usize = 512;

/// The most instructions to run for one place that counts, and the most such places of an object.
const MAX_STEPS: usize = 1 << 21;
const MAX_PLACES: usize = 64;

/// So many places where a value may come from are asked about 0.
const ASKED: usize = 16;

/// A logarithm has at least so many slots, or it may be anything.
const LEAST_SLOTS: u32 = 8;

/// So many slots of a division are tried.
const TRIED: u64 = 12;

/// How a value and the index of its slot belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Slot `first` is for 1, and each next one for values twice as large
    Log2 {
        /// 0 or 1
        first: u64,
    },
    /// Each slot is for so many values, the first one from 0 on
    Linear {
        /// How many
        step: u64,
    },
}

/// What the slots of an array stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// How the slots follow each other
    pub rule: Rule,
    /// Where 0 is counted, if it is
    pub zero: Option<u64>,
    /// All larger values are counted here too
    pub last: Option<u64>,
}

impl Scale {
    /// The values of a slot: the least one, and the least one that is too large. `None`: no value
    /// belongs there. Without a second number there is no bound.
    pub fn range(&self, slot: u64) -> Option<(u64, Option<u64>)> {
        let (mut low, mut high) = match self.rule {
            Rule::Log2 { first } => {
                let low = slot.checked_sub(first).and_then(|power| u32::try_from(power).ok());
                match low {
                    Some(power) => (1_u64.checked_shl(power)?, 1_u64.checked_shl(power + 1)),
                    None if self.zero == Some(slot) => (0, Some(1)),
                    None => return None,
                }
            }
            Rule::Linear { step } => {
                let next = slot.checked_add(1).and_then(|next| next.checked_mul(step));
                (slot.checked_mul(step)?, next)
            }
        };
        if self.zero == Some(slot) {
            low = 0;
        }
        if self.last.is_some_and(|last| slot >= last) {
            high = None;
        }
        Some((low, high))
    }
}

/// What a program tells about the slots of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All
    Scale(Scale),
    /// They are computed from one number, but in another way
    Other,
    /// Nothing
    Unknown,
}

/// Finds scales. One for all arrays of an object, so that they share its limit.
pub struct Scales<'a> {
    object: &'a Object,
    places: Budget,
}

impl<'a> Scales<'a> {
    /// For the arrays of this object.
    pub fn new(object: &'a Object) -> Self {
        Self { object, places: Budget::new(MAX_PLACES) }
    }

    /// The scale of all of these, if they agree.
    pub fn all(found: impl IntoIterator<Item = Told>) -> Told {
        let mut found = found.into_iter();
        let Some(first) = found.next() else { return Told::Unknown };
        if found.all(|other| other == first) { first } else { Told::Unknown }
    }

    /// The scale of an array whose elements begin `start` bytes from the start of its memory, from
    /// one of the instructions that count in it.
    pub fn of_array(&self, counted: Counted, start: u64) -> Told {
        let start = i64::try_from(start).unwrap_or(i64::MAX);
        let first = counted.offset.saturating_sub(start);
        let target = Target::Element { first, width: counted.width };
        self.find(counted.at, target)
    }

    /// The scale of the number of `width` bytes at `offset` of a key that this call hands to a helper.
    pub fn of_key(&self, at: (usize, usize), offset: u64, width: u64) -> Told {
        let (Ok(offset), Ok(width)) = (i64::try_from(offset), i64::try_from(width)) else {
            return Told::Unknown;
        };
        self.find(at, Target::Key { offset, width })
    }

    fn find(&self, (function, slot): (usize, usize), target: Target) -> Told {
        let Some(function) = self.object.functions.get(function).filter(|_| self.places.take(1))
        else {
            return Told::Unknown;
        };
        let steps = Budget::new(MAX_STEPS);
        let runner = Runner::new(self.object, function, slot, target, &steps);
        let near = slot.saturating_sub(NEAR);
        let starts = (near..slot).rev().filter_map(|at| made(function, at));
        let parameters = (1..=5).filter(|_| near == 0).map(|register| (0, register, Made::Given));
        let all: Vec<_> = starts.chain(parameters).collect();
        let by = |rule: fn(&dyn Fn(u64) -> Seen) -> Option<Scale>, start: &(usize, u8, Made)| {
            rule(&|value| runner.index(start.0, start.1, value))
        };
        if let Some(found) = all.iter().find_map(|start| by(log2, start)) {
            // Where 0 goes may be decided before the logarithm: ask from where the value comes.
            let given = all.iter().filter(|start| start.2 == Made::Given).take(ASKED);
            let whole = given.filter_map(|start| by(log2, start)).next();
            return Told::Scale(whole.filter(|whole| whole.rule == found.rule).unwrap_or(found));
        }
        // The nearest one that decides the index alone. The result of other steps may be anything.
        let given = |start: &&(usize, u8, Made)| matches!(start.2, Made::Given | Made::Copied);
        for start in all.iter().filter(given) {
            if let Some(found) = by(linear, start) {
                return Told::Scale(found);
            }
            if is_other(&|value| runner.index(start.0, start.1, value)) {
                return Told::Other;
            }
        }
        let difference = all.iter().filter(|start| start.2 == Made::Difference);
        let found = difference.filter_map(|start| by(linear, start)).next();
        found.map_or(Told::Unknown, Told::Scale)
    }
}

/// How a value came into its register.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// By a load from outside, a call, or as an argument
    Given,
    /// From another register, which was filled in such a way
    Copied,
    /// By a subtraction or a division: durations, in units
    Difference,
    /// By anything else: it may be half of a computation
    Computed,
}

/// The register that an instruction fills, and the slot behind it.
fn made(function: &Function, slot: usize) -> Option<(usize, u8, Made)> {
    let insn = function.insns.get(slot)?;
    let register = if insn.opcode == Insn::CALL { 0 } else { insn.dst };
    let how = how(function, slot)?;
    let copies = insn.opcode & 0xf8 == 0xb8 && matches!(insn.class(), 4 | 7);
    // A copy of something that is always given.
    let is_given = copies && {
        let all = function.insns.iter().enumerate().take(slot);
        let others = all.filter(|(_, other)| fills(other, insn.src));
        let mut ways = others.map(|(at, _)| self::how(function, at)).peekable();
        ways.peek().is_some() && ways.all(|way| way == Some(Made::Given))
    };
    Some((slot + 1, register, if is_given { Made::Copied } else { how }))
}

fn fills(insn: &Insn, register: u8) -> bool {
    match insn.class() {
        1 | 4 | 7 => insn.dst == register,
        0 => insn.is_wide() && insn.dst == register,
        5 => insn.opcode == Insn::CALL && register <= 5,
        _ => false,
    }
}

fn how(function: &Function, slot: usize) -> Option<Made> {
    const STACK: u8 = 10;
    let insn = *function.insns.get(slot)?;
    // What was only put aside was made elsewhere.
    let is_spilled = || {
        let before = function.insns.iter().take(slot);
        let stores = before.filter(|other| matches!(other.class(), 2 | 3));
        let width = |insn: &Insn| insn.opcode & 0x18;
        let mut stores = stores.filter(|store| width(store) == width(&insn));
        stores.any(|store| store.dst == STACK && store.off == insn.off)
    };
    Some(match (insn.class(), insn.opcode & 0xf0) {
        (1, _) if insn.src == STACK && is_spilled() => Made::Computed,
        (1, _) => Made::Given,
        (4 | 7, 0x10 | 0x30) => Made::Difference,
        (4 | 7, _) => Made::Computed,
        (5, _) if insn.opcode == Insn::CALL => Made::Given,
        _ => return None,
    })
}

/// The scale of a logarithm, if the index is one of the value.
fn log2(index: &dyn Fn(u64) -> Seen) -> Option<Scale> {
    let Seen::Slot(first @ 0..=1) = index(1) else { return None };
    // Most candidates fail here, and cost little.
    for (value, power) in [(2, 1), (3, 1), (16, 4), (255, 7)] {
        if index(value) != Seen::Slot(first + power) {
            return None;
        }
    }
    let mut powers = 0;
    let mut last = None;
    for power in 0..64 {
        let (low, high) = (1_u64 << power, u64::MAX >> (63 - power));
        let expected = Seen::Slot(first + i64::from(power));
        let all = [low, high, low | low >> 1, low | low >> 2];
        if all.iter().all(|&value| index(value) == expected) {
            powers = power + 1;
            continue;
        }
        // Larger ones are counted in the last slot, or not at all. Otherwise they are cut to what
        // a narrower register holds.
        let top = first + i64::from(power) - 1;
        if all.iter().all(|&value| index(value) == Seen::Slot(top)) {
            last = u64::try_from(top).ok();
        }
        break;
    }
    if powers < LEAST_SLOTS {
        return None;
    }
    let zero = match index(0) {
        Seen::Slot(slot) => Some(u64::try_from(slot).ok().filter(|&slot| slot <= 1)?),
        Seen::Nothing => None,
        Seen::Unknown => return None,
    };
    Some(Scale { rule: Rule::Log2 { first: u64::try_from(first).ok()? }, zero, last })
}

/// The scale of a division, if the index is the value in units of something.
fn linear(index: &dyn Fn(u64) -> Seen) -> Option<Scale> {
    if index(0) != Seen::Slot(0) {
        return None;
    }
    let is_next = |value| matches!(index(value), Seen::Slot(1..));
    let above = (0..63).map(|power| 1_u64 << power).find(|&value| index(value) != Seen::Slot(0))?;
    let (mut below, mut step) = (above / 2, above);
    if !is_next(above) {
        return None;
    }
    while step - below > 1 {
        let middle = below + (step - below) / 2;
        if is_next(middle) { step = middle } else { below = middle }
    }
    let mut last = None;
    for slot in 1..=TRIED {
        let low = slot.checked_mul(step)?;
        let (seen, before) = (index(low), index(low - 1));
        let at = |slot: u64| Seen::Slot(i64::try_from(slot).unwrap_or(i64::MAX));
        if last.is_none() && seen == at(slot) && before == at(slot - 1) {
            continue;
        }
        // The rest is counted in the last slot, or not at all.
        let top = *last.get_or_insert(slot - 1);
        if top < 3 || !(seen == at(top) || seen == Seen::Nothing) {
            return None;
        }
    }
    if step.checked_mul(TRIED)? > 1 << 40 {
        return None;
    }
    if last.is_none() {
        // Where it ends: with the slot for values as large as can be.
        let far = [step.checked_mul(1 << 20)?, step.checked_mul(1 << 21)?].map(index);
        if let [Seen::Slot(one), Seen::Slot(other)] = far {
            last = u64::try_from(one).ok().filter(|_| one == other);
        }
    } else if index(step.checked_mul(1 << 20)?) == Seen::Nothing {
        last = None;
    }
    Some(Scale { rule: Rule::Linear { step }, zero: Some(0), last })
}

/// Whether the index follows from the value alone.
fn is_other(index: &dyn Fn(u64) -> Seen) -> bool {
    let seen = [0, 1, 2, 3, 5, 9, 100, 1000, 12_345, 1 << 20, 1 << 31].map(index);
    let first = seen.iter().find(|seen| **seen != Seen::Nothing);
    !seen.contains(&Seen::Unknown)
        && seen
            .iter()
            .any(|seen| matches!(seen, Seen::Slot(_)) && first.is_some_and(|first| first != seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(slot: u64) -> Seen {
        Seen::Slot(slot as i64)
    }

    #[test]
    fn logarithms_of_all_kinds() {
        let floor = |value: u64| u64::from(value.max(1).ilog2());
        let plain = |value| slot(floor(value).min(25));
        let found = log2(&plain).unwrap();
        assert_eq!(found.rule, Rule::Log2 { first: 0 });
        assert_eq!((found.zero, found.last), (Some(0), Some(25)));
        assert_eq!(found.range(0), Some((0, Some(2))));
        assert_eq!(found.range(3), Some((8, Some(16))));
        assert_eq!(found.range(25), Some((1 << 25, None)));
        // As the highest bit is counted from 1.
        let bits = |value: u64| slot(u64::from(64 - value.leading_zeros()));
        let found = log2(&bits).unwrap();
        assert_eq!((found.rule, found.zero, found.last), (Rule::Log2 { first: 1 }, Some(0), None));
        assert_eq!(found.range(0), Some((0, Some(1))));
        assert_eq!(found.range(1), Some((1, Some(2))));
        assert_eq!(found.range(64), Some((1 << 63, None)));
        // Of 32 bits, and only if there is room.
        let narrow = |value: u64| match floor(u64::from(value as u32)) {
            power @ 0..20 => slot(power),
            _ => Seen::Nothing,
        };
        let found = log2(&narrow).unwrap();
        assert_eq!((found.zero, found.last), (Some(0), None));
    }

    #[test]
    fn what_only_looks_like_a_logarithm_is_none() {
        let floor = |value: u64| u64::from(value.max(1).ilog2());
        assert_eq!(log2(&slot), None);
        assert_eq!(log2(&|value| slot(floor(value) + 32)), None, "of the upper half");
        assert_eq!(log2(&|value| slot(floor(value).min(5))), None, "too few");
        assert_eq!(log2(&|value| slot(floor(value / 1000))), None);
        assert_eq!(log2(&|value| if value == 0 { Seen::Unknown } else { plain(value) }), None);
        fn plain(value: u64) -> Seen {
            slot(u64::from(value.max(1).ilog2()))
        }
    }

    #[test]
    fn divisions() {
        let found = linear(&|value| slot((value / 10).min(31))).unwrap();
        assert_eq!(found.rule, Rule::Linear { step: 10 });
        assert_eq!((found.range(0), found.range(3)), (Some((0, Some(10))), Some((30, Some(40)))));
        assert_eq!(found.range(31), Some((310, None)));
        let few = linear(&|value| if value < 5 { slot(value) } else { Seen::Nothing }).unwrap();
        assert_eq!((few.rule, few.last), (Rule::Linear { step: 1 }, None));
        assert_eq!(linear(&|value| slot(value % 4)), None);
        assert_eq!(linear(&|value| slot(value * 2)), None);
        assert_eq!(linear(&|_| slot(0)), None);
        assert_eq!(linear(&|value| slot(u64::from(value.max(1).ilog2()))), None);
    }
}
