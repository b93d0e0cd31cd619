//! Runs a piece of a program with one known number. All other numbers are symbols, of which only is
//! known whether two are the same.

mod value;

use std::collections::BTreeMap;

use self::value::{Val, extended, holds, known, operate, stack, swap, symbol};
use crate::elf::budget::Budget;
use crate::elf::code::{Function, Reference};
use crate::elf::insn::Insn;
use crate::elf::object::Object;

/// The most instructions of one path, and of all paths of one run.
const PATH_STEPS: usize = 1024;
const RUN_STEPS: usize = 1 << 13;
/// The most paths of one run that wait to be followed.
const MAX_PATHS: usize = 64;
/// Calls in calls.
const MAX_CALLS: usize = 4;

/// What the last instruction does with the index.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// Changes an element of so many bytes. `first`: bytes to it from the start of the array if the
    /// index is 0
    Element { first: i64, width: i64 },
    /// Hands a key to a helper: the number of `width` bytes at `offset`
    Key { offset: i64, width: i64 },
}

/// What came of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The index
    Slot(i64),
    /// The instruction is not reached
    Nothing,
    /// It depends on something else too
    Unknown,
}

/// Runs a function up to one of its instructions.
pub(super) struct Runner<'a> {
    object: &'a Object,
    function: &'a Function,
    slot: usize,
    target: Target,
    steps: &'a Budget,
    /// By slot: whether a path from there may come to the last instruction
    leads: Vec<bool>,
}

/// Where a pointer into a stack leads to.
fn in_stack(pointer: Val, off: i16) -> Option<(u64, i64)> {
    match pointer {
        Val::Symbol { id, by, varying } if id <= MAX_CALLS as u64 => {
            Some((id, by.wrapping_add(varying).wrapping_add(off.into())))
        }
        _ => None,
    }
}

/// One path.
#[derive(Clone)]
struct Path<'a> {
    function: &'a Function,
    slot: usize,
    registers: [Val; 11],
    /// Functions to return to, with the registers that calls keep
    calls: Vec<(&'a Function, usize, [Val; 5])>,
    memory: BTreeMap<(u64, i64), (i64, Val)>,
    /// Which way the path took where a symbol was asked for
    decided: Vec<(Val, bool)>,
    /// It took a way that depends on the number that was put in: constants may be its result
    varied: bool,
    steps: usize,
}

impl<'a> Runner<'a> {
    /// Runs `function` up to the instruction `slot`.
    pub(super) fn new(
        object: &'a Object,
        function: &'a Function,
        slot: usize,
        target: Target,
        steps: &'a Budget,
    ) -> Self {
        Self { object, function, slot, target, steps, leads: leads(function, slot, steps) }
    }

    /// The index for `value`, if that is in `register` before the instruction `start`.
    pub(super) fn index(&self, start: usize, register: u8, value: u64) -> Seen {
        let mut registers: [Val; 11] = std::array::from_fn(|register| symbol(("begin", register)));
        registers[10] = stack(0);
        if let Some(register) = registers.get_mut(usize::from(register)) {
            *register = Val::Number { number: value, varies: true };
        }
        let first = Path {
            function: self.function,
            slot: start,
            registers,
            calls: Vec::new(),
            memory: BTreeMap::new(),
            decided: Vec::new(),
            varied: false,
            steps: 0,
        };
        let mut paths = vec![first];
        let mut all = Seen::Nothing;
        let mut left = RUN_STEPS;
        while let Some(mut path) = paths.pop() {
            loop {
                left -= 1;
                path.steps += 1;
                if left == 0 || path.steps > PATH_STEPS || !self.steps.take(1) {
                    return Seen::Unknown;
                }
                if path.calls.is_empty() && path.slot == self.slot {
                    let seen = self.reached(&path);
                    if seen == Seen::Unknown || !(all == Seen::Nothing || all == seen) {
                        return Seen::Unknown;
                    }
                    all = seen;
                    break;
                }
                if path.calls.is_empty() && self.leads.get(path.slot) != Some(&true) {
                    break;
                }
                match path.step(self.object) {
                    Step::Next => {}
                    Step::End => break,
                    Step::Either(other) => {
                        if paths.len() >= MAX_PATHS {
                            return Seen::Unknown;
                        }
                        paths.push(*other);
                    }
                }
            }
        }
        all
    }

    fn reached(&self, path: &Path<'_>) -> Seen {
        let Some(insn) = self.function.insns.get(self.slot) else { return Seen::Unknown };
        match self.target {
            Target::Element { first, width } => match path.get(insn.dst) {
                Val::Symbol { varying, .. } => {
                    let bytes = first.wrapping_add(varying);
                    if width > 0 && bytes >= 0 && bytes % width == 0 {
                        Seen::Slot(bytes / width)
                    } else {
                        Seen::Unknown
                    }
                }
                Val::Number { .. } => Seen::Unknown,
            },
            Target::Key { offset, width } => {
                let key = in_stack(path.get(2), 0);
                let key = key.and_then(|(id, at)| path.load(id, at.wrapping_add(offset), width));
                match key {
                    Some(Val::Number { number, .. }) => {
                        i64::try_from(number).map_or(Seen::Unknown, Seen::Slot)
                    }
                    _ => Seen::Unknown,
                }
            }
        }
    }
}

/// From where in a function paths lead to an instruction.
fn leads(function: &Function, to: usize, steps: &Budget) -> Vec<bool> {
    let mut leads = vec![false; function.insns.len()];
    if let Some(last) = leads.get_mut(to) {
        *last = true;
    }
    // Loops take another round each.
    loop {
        let mut more = false;
        for (slot, insn) in function.insns.iter().enumerate().rev() {
            let known = |slot: usize| leads.get(slot) == Some(&true);
            let jump =
                insn.jump().and_then(|by| slot.checked_add_signed(isize::try_from(by).ok()?));
            let falls = !matches!(insn.opcode, Insn::JA | Insn::JA32 | Insn::EXIT);
            let next = slot + if insn.is_wide() { 2 } else { 1 };
            if !known(slot) && (jump.is_some_and(known) || (falls && known(next))) {
                more = true;
                if let Some(own) = leads.get_mut(slot) {
                    *own = true;
                }
            }
        }
        if !more || !steps.take(function.insns.len() / 8) {
            return leads;
        }
    }
}

enum Step<'a> {
    Next,
    End,
    /// The path goes on, and this one too
    Either(Box<Path<'a>>),
}

impl<'a> Path<'a> {
    fn get(&self, register: u8) -> Val {
        self.registers.get(usize::from(register)).copied().unwrap_or(known(0))
    }

    fn set(&mut self, register: u8, value: Val) {
        if let Some(known) = self.registers.get_mut(usize::from(register)) {
            *known = value;
        }
    }

    /// What is in a stack. Of a wider number the lower part.
    fn load(&self, id: u64, at: i64, width: i64) -> Option<Val> {
        let &(wide, value) = self.memory.get(&(id, at))?;
        match value {
            _ if wide == width => Some(value),
            Val::Number { number, varies } if wide > width && width < 8 => {
                let number = number & ((1 << (width * 8)) - 1);
                Some(Val::Number { number, varies })
            }
            _ => None,
        }
    }

    fn store(&mut self, id: u64, at: i64, width: i64, value: Val) {
        let from = (id, at.saturating_sub(7));
        let touched: Vec<_> = self
            .memory
            .range(from..(id, at.saturating_add(width)))
            .filter(|&(&(_, start), &(wide, _))| start.saturating_add(wide) > at)
            .map(|(&place, _)| place)
            .collect();
        for place in touched {
            self.memory.remove(&place);
        }
        let value = match value {
            Val::Number { number, varies } if width < 8 => {
                Val::Number { number: number & ((1 << (width * 8)) - 1), varies }
            }
            value => value,
        };
        self.memory.insert((id, at), (width, value));
    }

    fn step(&mut self, object: &'a Object) -> Step<'a> {
        let Some(&insn) = self.function.insns.get(self.slot) else { return Step::End };
        match insn.class() {
            0 if insn.is_wide() => self.load_wide(insn),
            0 => self.forget(),
            1 => self.load_register(insn),
            2 | 3 => self.store_register(insn),
            4 | 7 => self.compute(insn),
            _ => return self.jump(insn, object),
        }
        self.slot += 1;
        Step::Next
    }

    fn load_wide(&mut self, insn: Insn) {
        let value = match self.function.references.get(self.slot) {
            Some(_) => symbol(("data", self.slot, self.calls.len())),
            None => {
                let high = self.function.insns.get(self.slot + 1).map_or(0, |high| high.imm);
                known((high as u32 as u64) << 32 | u64::from(insn.imm as u32))
            }
        };
        self.set(insn.dst, value);
        self.slot += 1;
    }

    fn load_register(&mut self, insn: Insn) {
        let (pointer, bytes) = (self.get(insn.src), width(insn));
        let loaded = in_stack(pointer, insn.off).and_then(|(id, at)| self.load(id, at, bytes));
        let unknown = symbol(("load", self.slot, self.calls.len(), pointer));
        let value = match loaded.unwrap_or(unknown) {
            Val::Number { number, varies } if insn.opcode & 0xe0 == 0x80 => {
                Val::Number { number: extended(number, bytes * 8), varies }
            }
            value => value,
        };
        self.set(insn.dst, value);
    }

    fn store_register(&mut self, insn: Insn) {
        let atomic = insn.class() == 3 && insn.opcode & 0xe0 != 0x60;
        let value = match insn.class() {
            2 => known(insn.imm as i64 as u64),
            _ if atomic => symbol(("atomic", self.slot)),
            _ => self.get(insn.src),
        };
        if let Some((id, at)) = in_stack(self.get(insn.dst), insn.off) {
            self.store(id, at, width(insn), value);
        }
        if atomic {
            self.set(insn.src, symbol(("fetched", self.slot)));
            self.set(0, symbol(("fetched", self.slot, 0)));
        }
    }

    fn compute(&mut self, insn: Insn) {
        let wide = insn.class() == 7;
        let operation = insn.opcode & 0xf0;
        let left = self.get(insn.dst);
        if operation == 0xd0 {
            return self.set(insn.dst, swap(left, insn));
        }
        let varies = self.varied && operation == 0xb0;
        let right = match insn.opcode & 8 {
            0 => Val::Number { number: insn.imm as i64 as u64, varies },
            _ => self.get(insn.src),
        };
        self.set(insn.dst, operate(operation, wide, insn.off, left, right));
    }

    fn jump(&mut self, insn: Insn, object: &'a Object) -> Step<'a> {
        if insn.opcode == Insn::EXIT {
            let Some((function, slot, kept)) = self.calls.pop() else { return Step::End };
            (self.function, self.slot) = (function, slot);
            let result = self.get(0);
            for (register, value) in (6..=10).zip(kept) {
                self.set(register, value);
            }
            for register in 1..=5 {
                self.set(register, symbol(("clobbered", slot, register)));
            }
            self.set(0, result);
            return Step::Next;
        }
        let Some(distance) = insn.jump() else {
            self.call(insn, object);
            return Step::Next;
        };
        let target = isize::try_from(distance).ok().and_then(|by| self.slot.checked_add_signed(by));
        let Some(target) = target else { return Step::End };
        if matches!(insn.opcode, Insn::JA | Insn::JA32) {
            self.slot = target;
            return Step::Next;
        }
        let wide = insn.class() == 5;
        let left = self.get(insn.dst);
        let right =
            if insn.opcode & 8 != 0 { self.get(insn.src) } else { known(insn.imm as i64 as u64) };
        let asked = symbol((insn.opcode & 0xf0, wide, left, right));
        let varies = |value| matches!(value, Val::Number { varies: true, .. });
        self.varied |= varies(left) || varies(right);
        let earlier = self.decided.iter().find(|(known, _)| *known == asked).map(|&(_, way)| way);
        let next = self.slot + 1;
        match holds(insn.opcode & 0xf0, wide, left, right).or(earlier) {
            Some(true) => self.slot = target,
            Some(false) => self.slot = next,
            None => {
                let mut other = Box::new(self.clone());
                other.slot = target;
                other.decided.push((asked, true));
                self.slot = next;
                self.decided.push((asked, false));
                return Step::Either(other);
            }
        }
        Step::Next
    }

    fn call(&mut self, insn: Insn, object: &'a Object) {
        let callee = match self.function.references.get(self.slot) {
            Some(&Reference::Function(callee)) if insn.src == Insn::PSEUDO_CALL => {
                object.functions.get(callee)
            }
            _ => None,
        };
        if let Some(callee) = callee.filter(|_| self.calls.len() < MAX_CALLS) {
            let kept = std::array::from_fn(|index| self.registers.get(6 + index).copied())
                .map(|value| value.unwrap_or(known(0)));
            self.calls.push((self.function, self.slot + 1, kept));
            (self.function, self.slot) = (callee, 0);
            return self.set(10, stack(self.calls.len()));
        }
        // map_lookup_elem, map_update_elem, map_delete_elem only read.
        let reads = insn.src == 0 && matches!(insn.imm, 1..=3);
        let writes = (1..=5).any(|register| in_stack(self.get(register), 0).is_some());
        if writes && !reads {
            self.memory.clear();
        }
        self.forget();
        self.slot += 1;
    }

    /// After a call nothing is left of its arguments.
    fn forget(&mut self) {
        for register in 0..=5 {
            self.set(register, symbol(("call", self.slot, self.calls.len(), register)));
        }
    }
}

/// Bytes of memory that an instruction reads or writes.
fn width(insn: Insn) -> i64 {
    match insn.opcode & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}
