//! Follows the instructions of one program.

mod emit;
mod helper_calls;
mod operations;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use object::Endianness;

use self::emit::Site;
use self::helper_calls::forget_arguments;
use self::operations::{alu, load, width};
use super::domain::{Atom, Base, Value, place};
use super::pieces::{Pieces, pieces};
use super::state::{Cell, State};
use super::{Emission, Uses};
use crate::elf::code::{Function, Reference};
use crate::elf::insn::Insn;
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId};

/// The most instructions to follow, in all programs of an object.
const MAX_STEPS: usize = 1 << 22;
/// The most instructions to follow in one program.
const MAX_PROGRAM_STEPS: usize = 1 << 20;
/// The most places in memory that all states of a program know at once.
const MAX_KNOWN: usize = 3 << 18;
/// The most writes into all events of an object.
const MAX_WRITES: usize = 1 << 18;
/// An event takes as much memory as so many writes.
const EVENT_WRITES: usize = 8;
/// Calls in calls: the kernel's own limit.
const MAX_CALLS: usize = 8;
/// The most joins at one place before growing values are given up.
const MAX_JOINS: usize = 100;
/// The most bytes to look at if the size of an event is unknown.
const MAX_RECORD: i64 = 1 << 16;

/// What is left for all programs of an object.
pub(super) struct Limits {
    steps: usize,
    writes: usize,
    /// Something was too much
    pub(super) cut: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: MAX_STEPS, writes: MAX_WRITES, cut: false }
    }
}

/// Follows a program.
pub(super) fn run(
    object: &Object,
    program: usize,
    function: usize,
    limits: &mut Limits,
    uses: &mut Uses,
) -> Vec<Emission> {
    let mut machine = Machine {
        object,
        program,
        left: MAX_PROGRAM_STEPS.min(limits.steps),
        known: MAX_KNOWN,
        writes: limits.writes,
        cut: false,
        frames: HashMap::new(),
        chain: Vec::new(),
        leaders: HashMap::new(),
        pieces: HashMap::new(),
        sites: Vec::new(),
        site_numbers: HashMap::new(),
        typed: BTreeMap::new(),
        found: BTreeMap::new(),
        uses: std::mem::take(uses),
    };
    let before = machine.left;
    machine.function(function, 0, State::new());
    limits.steps -= before - machine.left;
    limits.writes = machine.writes;
    limits.cut |= machine.cut;
    *uses = std::mem::take(&mut machine.uses);
    machine.finish()
}

struct Machine<'a> {
    object: &'a Object,
    program: usize,
    /// Steps
    left: usize,
    /// Places that states may still know
    known: usize,
    /// Writes into events
    writes: usize,
    /// One of these was not enough
    cut: bool,
    /// Frames, by calling frame and calling instruction
    frames: HashMap<(usize, usize, usize), usize>,
    /// Functions being followed, the program's own first
    chain: Vec<usize>,
    /// Beginnings of blocks, by function
    leaders: HashMap<usize, Rc<BTreeSet<usize>>>,
    /// Parts of numbers that they store, by function
    pieces: HashMap<usize, Pieces>,
    sites: Vec<Site>,
    /// By frame and slot
    site_numbers: HashMap<(usize, usize), usize>,
    /// Types of memory, from the parameters of functions
    typed: BTreeMap<(Base, i64), BTreeSet<TypeId>>,
    /// By frame, slot and site
    found: BTreeMap<(usize, usize, usize), Emission>,
    /// What is done to maps and variables
    uses: Uses,
}

/// The place of an instruction.
#[derive(Clone, Copy)]
struct Here {
    function: usize,
    frame: usize,
    slot: usize,
}

impl Here {
    /// Its function and slot.
    fn place(self) -> Option<(u32, u32)> {
        Some((u32::try_from(self.function).ok()?, u32::try_from(self.slot).ok()?))
    }
}

/// Whether the loader puts the place of a member in a kernel's struct into an instruction.
fn is_member(function: &Function, slot: usize) -> bool {
    const BYTE_OFFSET: u32 = 0;
    function.core.get(slot).is_some_and(|info| info.kind == BYTE_OFFSET)
}

/// The successor of an instruction.
enum Next {
    /// The instruction this many slots on
    Slot(usize),
    /// One of two instructions
    Branch(usize, usize),
    /// Nothing: the function returns
    Return,
    /// Unknown
    Nowhere,
}

impl<'a> Machine<'a> {
    fn spend(&mut self, steps: usize) -> bool {
        self.left = self.left.saturating_sub(steps);
        self.cut |= self.left == 0;
        !self.cut
    }

    /// Counts an event, or a place that reserves one, before it is kept.
    fn keep(&mut self, writes: usize) {
        self.spend(writes);
        self.writes = self.writes.saturating_sub(writes + EVENT_WRITES);
        self.cut |= self.writes == 0;
    }

    /// The state when a function returns; `None` if it does not, or the steps are used up.
    fn function(&mut self, number: usize, frame: usize, mut entry: State) -> Option<State> {
        let function = self.object.functions.get(number)?;
        if self.chain.len() >= MAX_CALLS || self.chain.contains(&number) {
            return None;
        }
        self.chain.push(number);
        entry.set(10, Atom::Stack { frame, offset: 0 }.into());
        let leaders = self.leaders(number, function);
        let mut known = BTreeMap::from([(0, entry)]);
        let mut pending = BTreeSet::from([0]);
        let mut joins = BTreeMap::new();
        let before = self.known;
        let mut exit: Option<State> = None;
        while let Some(start) = pending.pop_first() {
            let Some(mut state) = known.get(&start).cloned() else { continue };
            let mut slot = start;
            self.spend(state.weight());
            loop {
                if !self.spend(1) {
                    pending.clear();
                    break;
                }
                let here = Here { function: number, frame, slot };
                let targets = match self.step(function, here, &mut state) {
                    Next::Slot(next) if !leaders.contains(&next) => {
                        slot = next;
                        continue;
                    }
                    Next::Slot(next) => [Some(next), None],
                    Next::Branch(one, other) => [Some(one), Some(other)],
                    Next::Return => {
                        match &mut exit {
                            Some(exit) => _ = exit.join(&state, false),
                            None => exit = Some(state),
                        }
                        break;
                    }
                    Next::Nowhere => break,
                };
                for target in targets.into_iter().flatten() {
                    self.spend(state.weight());
                    let changed = match known.get_mut(&target) {
                        Some(known) => {
                            let times = joins.entry(target).or_insert(0_usize);
                            *times += 1;
                            known.join(&state, *times > MAX_JOINS)
                        }
                        None => {
                            self.known = self.known.saturating_sub(state.places());
                            self.cut |= self.known == 0;
                            known.insert(target, state.clone());
                            true
                        }
                    };
                    if changed {
                        pending.insert(target);
                    }
                }
                break;
            }
        }
        self.chain.pop();
        self.known = before;
        exit
    }

    fn leaders(&mut self, number: usize, function: &Function) -> Rc<BTreeSet<usize>> {
        if !self.leaders.contains_key(&number) {
            // Many programs may call the same large function.
            self.spend(function.insns.len() / 8);
        }
        let new = || {
            let targets = function.insns.iter().enumerate().filter_map(|(slot, insn)| {
                slot.checked_add_signed(isize::try_from(insn.jump()?).ok()?)
            });
            Rc::new(targets.collect())
        };
        self.leaders.entry(number).or_insert_with(new).clone()
    }

    /// Looks for the parts of numbers that a function stores.
    fn find_pieces(&mut self, number: usize) {
        if self.pieces.contains_key(&number) {
            return;
        }
        let Some(function) = self.object.functions.get(number) else { return };
        let leaders = self.leaders(number, function);
        self.spend(function.insns.len() / 8);
        let line = |slot| function.line(slot).map_or(0, |line| line.line);
        self.pieces.insert(number, pieces(&function.insns, &leaders, line));
    }

    fn step(&mut self, function: &Function, here: Here, state: &mut State) -> Next {
        let Some(&insn) = function.insns.get(here.slot) else { return Next::Nowhere };
        let next = Next::Slot(here.slot + 1);
        match insn.class() {
            0 if insn.is_wide() => {
                let high = function.insns.get(here.slot + 1).map_or(0, |high| high.imm);
                let constant = i64::from(high) << 32 | i64::from(insn.imm as u32);
                let value = match function.references.get(here.slot) {
                    Some(&Reference::Map(map)) => Atom::Map(map).into(),
                    Some(&Reference::Data { section, offset }) => {
                        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                        Atom::Data { section, offset }.into()
                    }
                    Some(&Reference::Function(function)) => Atom::Function(function).into(),
                    Some(_) => Value::unknown(),
                    None => Atom::Const(constant).into(),
                };
                state.set(insn.dst, value);
                return Next::Slot(here.slot + 2);
            }
            // Reading packets: a call in disguise.
            0 => forget_arguments(state, Value::unknown()),
            1 => {
                let member = here.place().filter(|_| is_member(function, here.slot));
                let value = load(state, insn, member);
                state.set(insn.dst, value);
            }
            2 => self.store(state, insn, here, &Atom::Const(insn.imm.into()).into(), false),
            3 if insn.opcode & 0xe0 == 0x60 => {
                let value = state.register(insn.src).clone();
                self.store(state, insn, here, &value, false);
            }
            3 => {
                const FETCH: i32 = 1;
                // Atomic: the results in memory and registers are not followed.
                let adds = insn.imm & !FETCH == 0;
                self.store(state, insn, here, &Value::unknown(), adds);
                state.set(insn.src, Value::unknown());
                state.set(0, Value::unknown());
            }
            4 | 7 => {
                let big_endian = self.object.endian == Endianness::Big;
                alu(state, insn, here, big_endian, is_member(function, here.slot));
            }
            _ => return self.jump(function, here, insn, state),
        }
        next
    }

    fn store(&mut self, state: &mut State, insn: Insn, here: Here, value: &Value, adds: bool) {
        let pointer = state.register(insn.dst).clone();
        let cell = Cell::new(width(insn), value.clone(), None, (here.function, here.slot));
        self.uses.store(&pointer, insn.off.into(), &cell, adds);
        state.write(&pointer, insn.off.into(), &cell);
    }

    fn jump(&mut self, function: &Function, here: Here, insn: Insn, state: &mut State) -> Next {
        if insn.opcode == Insn::EXIT {
            return Next::Return;
        }
        if let Some(distance) = insn.jump() {
            let target = isize::try_from(distance)
                .ok()
                .and_then(|distance| here.slot.checked_add_signed(distance));
            let Some(target) = target else { return Next::Nowhere };
            return match insn.opcode {
                Insn::JA | Insn::JA32 => Next::Branch(target, target),
                _ => Next::Branch(here.slot + 1, target),
            };
        }
        match (insn.opcode, insn.src, function.references.get(here.slot)) {
            (Insn::CALL, Insn::PSEUDO_CALL, Some(&Reference::Function(callee))) => {
                if !self.call(callee, here, state) {
                    return Next::Nowhere;
                }
            }
            (Insn::CALL, 0, None) => {
                // Some look at all places.
                self.spend(state.weight());
                self.helper(here, insn.imm, state);
            }
            (Insn::CALL, ..) => {
                self.handed_over(here, state);
                forget_arguments(state, Value::unknown());
            }
            _ => forget_arguments(state, Value::unknown()),
        }
        Next::Slot(here.slot + 1)
    }

    /// A call of one of the object's functions. False: it never returns.
    fn call(&mut self, callee: usize, here: Here, state: &mut State) -> bool {
        let frame = self.frame(here, callee);
        self.learn_types(callee, state);
        let entry = state.clone();
        if self.chain.len() >= MAX_CALLS || self.chain.contains(&callee) {
            forget_arguments(state, Value::unknown());
            return true;
        }
        let Some(mut exit) = self.function(callee, frame, entry) else { return false };
        for saved in 6..=10 {
            exit.set(saved, state.register(saved).clone());
        }
        let result = exit.register(0).clone();
        exit.forget(Base::Stack(frame));
        *state = exit;
        forget_arguments(state, result);
        true
    }

    fn frame(&mut self, here: Here, callee: usize) -> usize {
        let next = self.frames.len() + 1;
        *self.frames.entry((here.frame, here.slot, callee)).or_insert(next)
    }

    /// Learns the types of the memory behind arguments from the declaration of a function.
    fn learn_types(&mut self, callee: usize, state: &State) {
        let Some(types) = self.object.btf.as_ref().map(|btf| &btf.types) else { return };
        let function = self.object.functions.get(callee).and_then(|function| function.ty);
        let Some(Kind::Function { proto, .. }) = function.map(|ty| types.kind(ty)) else { return };
        let Kind::FunctionProto { parameters, .. } = types.kind(*proto) else { return };
        for (register, parameter) in (1_u8..=5).zip(parameters) {
            let Some(pointee) = types.pointee(parameter.ty) else { continue };
            if types.composite(pointee).is_none() {
                continue;
            }
            for place in state.register(register).atoms().iter().filter_map(|&atom| place(atom)) {
                self.left = self.left.saturating_sub(1);
                self.typed.entry(place).or_default().insert(pointee);
            }
        }
    }
}
