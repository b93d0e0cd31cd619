//! Follows the instructions of one program.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::domain::{Atom, Base, Cell, ClockAtom, State, Value, moved, place};
use super::helpers::{Helper, helper};
use super::{Emission, Origin, Sink, Write};
use crate::elf::code::{Function, Reference};
use crate::elf::insn::Insn;
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId};
use crate::elf::value::Hint;

/// Instructions followed, of all programs of an object.
pub(super) const MAX_STEPS: usize = 1 << 23;
/// Of one program.
const MAX_PROGRAM_STEPS: usize = 1 << 20;
/// Calls in calls: the kernel's own limit.
const MAX_CALLS: usize = 8;
/// How often paths may meet at one place before what grows there is given up.
const MAX_JOINS: usize = 100;
/// What is asked for of an event whose size is not known.
const MAX_RECORD: i64 = 1 << 16;

/// Follows a program. `steps`: what is left of all programs'.
pub(super) fn run(
    object: &Object,
    program: usize,
    function: usize,
    steps: &mut usize,
) -> Vec<Emission> {
    let mut machine = Machine {
        object,
        program,
        left: MAX_PROGRAM_STEPS.min(*steps),
        frames: HashMap::new(),
        chain: Vec::new(),
        leaders: HashMap::new(),
        sites: Vec::new(),
        site_numbers: HashMap::new(),
        typed: BTreeMap::new(),
        found: BTreeMap::new(),
    };
    let before = machine.left;
    machine.function(function, 0, State::new());
    *steps -= before - machine.left;
    machine.finish()
}

/// A place where room for a record is asked for.
#[derive(Debug, Default)]
struct Site {
    maps: BTreeSet<usize>,
    size: Option<Value>,
    functions: Vec<usize>,
    place: (usize, usize),
    /// What is copied into it as a whole
    sources: BTreeSet<Origin>,
    sent: bool,
}

struct Machine<'a> {
    object: &'a Object,
    program: usize,
    /// Steps
    left: usize,
    /// Frames by the one that they were called from, and the instruction that called
    frames: HashMap<(usize, usize, usize), usize>,
    /// Functions being followed, the program's own first
    chain: Vec<usize>,
    /// Where blocks begin, by function
    leaders: HashMap<usize, Rc<BTreeSet<usize>>>,
    sites: Vec<Site>,
    /// By frame and slot
    site_numbers: HashMap<(usize, usize), usize>,
    /// What parameters of functions say of memory
    typed: BTreeMap<(Base, i64), BTreeSet<TypeId>>,
    /// By frame, slot and site
    found: BTreeMap<(usize, usize, usize), Emission>,
}

/// Where an instruction is.
#[derive(Clone, Copy)]
struct Here {
    function: usize,
    frame: usize,
    slot: usize,
}

/// What comes after an instruction.
enum Next {
    /// The one so many slots on
    Slot(usize),
    /// One of two
    Branch(usize, usize),
    /// Nothing: the function returns
    Return,
    /// Nothing that is known
    Nowhere,
}

impl<'a> Machine<'a> {
    fn spend(&mut self, steps: usize) -> bool {
        self.left = self.left.saturating_sub(steps);
        self.left > 0
    }

    /// What is known when a function returns; `None` if it does not, or time is over.
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
        exit
    }

    fn leaders(&mut self, number: usize, function: &Function) -> Rc<BTreeSet<usize>> {
        let new = || {
            let targets = function.insns.iter().enumerate().filter_map(|(slot, insn)| {
                slot.checked_add_signed(isize::try_from(insn.jump()?).ok()?)
            });
            Rc::new(targets.collect())
        };
        self.leaders.entry(number).or_insert_with(new).clone()
    }

    fn step(&mut self, function: &Function, here: Here, state: &mut State) -> Next {
        let Some(&insn) = function.insns.get(here.slot) else { return Next::Nowhere };
        let next = Next::Slot(here.slot + 1);
        match insn.class() {
            0 if insn.is_wide() => {
                let high = function.insns.get(here.slot + 1).map_or(0, |high| high.imm);
                let constant = i64::from(high) << 32 | i64::from(insn.imm as u32);
                let value = match function.references.get(&here.slot) {
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
                let value = load(state, insn);
                state.set(insn.dst, value);
            }
            2 => store(state, insn, here, &Atom::Const(insn.imm.into()).into()),
            3 if insn.opcode & 0xe0 == 0x60 => {
                let value = state.register(insn.src).clone();
                store(state, insn, here, &value);
            }
            3 => {
                // Atomic: what it leaves in memory and registers is not followed.
                store(state, insn, here, &Value::unknown());
                state.set(insn.src, Value::unknown());
                state.set(0, Value::unknown());
            }
            4 | 7 => alu(state, insn),
            _ => return self.jump(function, here, insn, state),
        }
        next
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
        match (insn.opcode, insn.src, function.references.get(&here.slot)) {
            (Insn::CALL, Insn::PSEUDO_CALL, Some(&Reference::Function(callee))) => {
                if !self.call(callee, here, state) {
                    return Next::Nowhere;
                }
            }
            (Insn::CALL, 0, None) => self.helper(here, insn.imm, state),
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

    /// What the declaration of a function says of the memory that its arguments point to.
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
                self.typed.entry(place).or_default().insert(pointee);
            }
        }
    }

    fn helper(&mut self, here: Here, number: i32, state: &mut State) {
        let result = self.helper_result(here, helper(number), state);
        forget_arguments(state, result);
    }

    fn helper_result(&mut self, here: Here, helper: Helper, state: &mut State) -> Value {
        match helper {
            Helper::Lookup => {
                let object = self.object;
                return state.register(1).map(|atom| match atom {
                    Atom::Map(map) if object.maps.get(map)?.is_of_maps() => {
                        Some(Atom::InnerMap(map))
                    }
                    Atom::Map(map) => Some(Atom::MapValue { map, offset: 0 }),
                    _ => None,
                });
            }
            Helper::MonotonicClock => return Atom::Clock(ClockAtom::Monotonic).into(),
            Helper::BootClock => return Atom::Clock(ClockAtom::Boot).into(),
            Helper::Reserve => {
                let site = self.reserve(here, state);
                state.forget(Base::Record(site));
                return Atom::Record { site, offset: 0 }.into();
            }
            Helper::ReserveDynptr => {
                let site = self.reserve(here, state);
                state.forget(Base::Record(site));
                let pointer = state.register(4).clone();
                let value = Atom::Dynptr(site).into();
                let cell = Cell { width: 8, value, hint: None, by: (here.function, here.slot) };
                state.write(&pointer, 0, &cell);
            }
            Helper::DynptrData => {
                let Some(offset) = state.register(2).constant() else { return Value::unknown() };
                return dynptr(state).map(|atom| match atom {
                    Atom::Dynptr(site) => Some(Atom::Record { site, offset }),
                    _ => None,
                });
            }
            Helper::WriteDynptr => self.write_dynptr(state),
            Helper::Submit => {
                let data = state.register(1).clone();
                for &atom in data.atoms() {
                    if let Atom::Record { site, offset: 0 } = atom {
                        self.submit(here, site, state);
                    }
                }
            }
            Helper::SubmitDynptr => {
                for atom in dynptr(state).atoms() {
                    if let &Atom::Dynptr(site) = atom {
                        self.submit(here, site, state);
                    }
                }
            }
            Helper::Output { map, data, size } => {
                let maps = self.maps(state.register(map));
                self.output(here, Sink::Output, maps, [data, size], state);
            }
            Helper::SeqWrite => {
                self.output(here, Sink::Iterator, BTreeSet::new(), [2, 3], state);
            }
            Helper::Fill { to, size, text } => {
                let pointer = state.register(to).clone();
                let sizes = state.register(size).constants();
                let width = sizes.and_then(|sizes| sizes.into_iter().max()).unwrap_or(1);
                let hint = text.then_some(Hint::Text);
                let cell = Cell {
                    width: width.clamp(1, MAX_RECORD),
                    value: Value::unknown(),
                    hint,
                    by: (here.function, here.slot),
                };
                state.write(&pointer, 0, &cell);
            }
            Helper::CallBack { function, context, own, map } => {
                self.call_back(here, [function, context, own], map, state);
            }
            Helper::Other => {}
        }
        Value::unknown()
    }

    /// A helper that may call a function of the object, any number of times.
    fn call_back(
        &mut self,
        here: Here,
        [function, context, own]: [u8; 3],
        map: bool,
        state: &mut State,
    ) {
        let functions = state.register(function).clone();
        for &atom in functions.atoms() {
            let Atom::Function(callee) = atom else { continue };
            let frame = self.frame(here, callee);
            let mut entry = state.clone();
            for register in 0..10 {
                entry.set(register, Value::unknown());
            }
            entry.set(own, state.register(context).clone());
            if map {
                entry.set(1, state.register(1).clone());
                let value = state.register(1).map(|atom| match atom {
                    Atom::Map(map) => Some(Atom::MapValue { map, offset: 0 }),
                    _ => None,
                });
                entry.set(3, value);
            }
            if let Some(mut exit) = self.function(callee, frame, entry) {
                exit.forget(Base::Stack(frame));
                exit.registers = state.registers.clone();
                state.join(&exit, false);
            }
        }
    }

    /// The maps that a value can be.
    fn maps(&self, value: &Value) -> BTreeSet<usize> {
        let map = |&atom: &Atom| match atom {
            Atom::Map(map) | Atom::InnerMap(map) => Some(map),
            _ => None,
        };
        value.atoms().iter().filter_map(map).collect()
    }

    fn reserve(&mut self, here: Here, state: &State) -> usize {
        let next = self.sites.len();
        let number = *self.site_numbers.entry((here.frame, here.slot)).or_insert(next);
        if number == next {
            let functions = self.chain.clone();
            let place = (here.function, here.slot);
            self.sites.push(Site { functions, place, ..Site::default() });
        }
        let maps = self.maps(state.register(1));
        if let Some(site) = self.sites.get_mut(number) {
            site.maps.extend(maps);
            let size = state.register(2);
            match &mut site.size {
                Some(known) => _ = known.join(size),
                None => site.size = Some(size.clone()),
            }
        }
        number
    }

    fn write_dynptr(&mut self, state: &mut State) {
        let (offset, size) = (state.register(2).constant(), state.register(4).constant());
        let (Some(offset), Some(size)) = (offset, size) else { return };
        let (to, source) = (dynptr(state), state.register(3).clone());
        for &atom in to.atoms() {
            let Atom::Dynptr(site) = atom else { continue };
            let record = Value::from(Atom::Record { site, offset });
            for (base, start) in source.atoms().iter().filter_map(|&atom| place(atom)) {
                let cells: Vec<_> = state
                    .region(base, start, size.clamp(0, MAX_RECORD))
                    .into_iter()
                    .map(|(at, cell)| (at, cell.clone()))
                    .collect();
                for (at, cell) in cells {
                    state.write(&record, at, &cell);
                }
            }
            let origins = self.origins(&source);
            if let Some(site) = self.sites.get_mut(site).filter(|_| offset == 0) {
                site.sources.extend(origins);
            }
        }
    }

    fn submit(&mut self, here: Here, site_number: usize, state: &State) {
        let record = Value::from(Atom::Record { site: site_number, offset: 0 });
        let mut data = self.origins(&record);
        let Some(site) = self.sites.get_mut(site_number) else { return };
        site.sent = true;
        data.extend(&site.sources);
        let mut functions = self.chain.clone();
        functions.extend(&site.functions);
        let mut seen = BTreeSet::new();
        functions.retain(|&function| seen.insert(function));
        let sizes = site.size.as_ref().and_then(sizes);
        let emission = Emission {
            program: self.program,
            sink: Sink::Record,
            maps: site.maps.clone(),
            functions,
            places: vec![(here.function, here.slot), site.place],
            writes: writes(state, &record, sizes.as_ref()),
            sizes,
            data,
        };
        self.found.insert((here.frame, here.slot, site_number), emission);
    }

    fn output(
        &mut self,
        here: Here,
        sink: Sink,
        maps: BTreeSet<usize>,
        [data, size]: [u8; 2],
        state: &State,
    ) {
        let (data, sizes) = (state.register(data), sizes(state.register(size)));
        let emission = Emission {
            program: self.program,
            sink,
            maps,
            functions: self.chain.clone(),
            places: vec![(here.function, here.slot)],
            writes: writes(state, data, sizes.as_ref()),
            sizes,
            data: self.origins(data),
        };
        self.found.insert((here.frame, here.slot, usize::MAX), emission);
    }

    /// What a pointer leads to.
    fn origins(&self, pointer: &Value) -> BTreeSet<Origin> {
        let mut origins = BTreeSet::new();
        for &atom in pointer.atoms() {
            let Some(place) = place(atom) else {
                origins.insert(Origin::Unknown);
                continue;
            };
            if let Some(types) = self.typed.get(&place) {
                origins.extend(types.iter().map(|&ty| Origin::Parameter(ty)));
            }
            origins.insert(match atom {
                Atom::MapValue { map, offset } => Origin::MapValue { map, offset },
                Atom::Data { section, offset } => Origin::Data { section, offset },
                Atom::Stack { .. } => Origin::Stack,
                _ => Origin::Record,
            });
        }
        if origins.is_empty() {
            origins.insert(Origin::Unknown);
        }
        origins
    }

    /// All that was found, with the records that are sent in a way which was not seen.
    fn finish(self) -> Vec<Emission> {
        let mut found: Vec<_> = self.found.into_values().collect();
        for site in self.sites.into_iter().filter(|site| !site.sent) {
            found.push(Emission {
                program: self.program,
                sink: Sink::Record,
                maps: site.maps,
                functions: site.functions,
                places: vec![site.place],
                sizes: site.size.as_ref().and_then(sizes),
                data: site.sources.into_iter().chain([Origin::Record]).collect(),
                writes: Vec::new(),
            });
        }
        found
    }
}

/// The dynptr that argument 1 points to.
fn dynptr(state: &State) -> Value {
    let mut all: Option<Value> = None;
    for (base, offset) in state.register(1).atoms().iter().filter_map(|&atom| place(atom)) {
        let value = state.read(base, offset, 8);
        match &mut all {
            Some(all) => _ = all.join(&value),
            None => all = Some(value),
        }
    }
    all.unwrap_or_else(Value::unknown)
}

/// After a call.
fn forget_arguments(state: &mut State, result: Value) {
    state.set(0, result);
    for argument in 1..=5 {
        state.set(argument, Value::unknown());
    }
}

/// Constant sizes.
fn sizes(value: &Value) -> Option<BTreeSet<u64>> {
    value.constants()?.into_iter().map(|size| u64::try_from(size).ok()).collect()
}

/// What is known of the bytes that are sent.
fn writes(state: &State, data: &Value, sizes: Option<&BTreeSet<u64>>) -> Vec<Write> {
    let largest = sizes.and_then(|sizes| sizes.last().copied());
    let bytes = largest.and_then(|size| i64::try_from(size).ok()).unwrap_or(MAX_RECORD);
    let mut all: BTreeMap<(u64, u64), Cell> = BTreeMap::new();
    for (base, start) in data.atoms().iter().filter_map(|&atom| place(atom)) {
        for (offset, cell) in state.region(base, start, bytes.min(MAX_RECORD)) {
            let (Ok(offset), Ok(width)) = (u64::try_from(offset), u64::try_from(cell.width)) else {
                continue;
            };
            match all.get_mut(&(offset, width)) {
                Some(known) => _ = known.join(cell),
                None => _ = all.insert((offset, width), cell.clone()),
            }
        }
    }
    let write = |((offset, width), cell): ((u64, u64), Cell)| {
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
        Write { offset, width, constants, copied, hint: cell.hint.or(clock), by: cell.by }
    };
    all.into_iter().map(write).collect()
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

fn load(state: &State, insn: Insn) -> Value {
    let mut all: Option<Value> = None;
    let pointer = state.register(insn.src);
    // Stored with a sign, loaded without.
    let mask = if width(insn) < 8 { (1_i64 << (width(insn) * 8)) - 1 } else { -1 };
    let cut = |atom| match atom {
        Atom::Const(number) => Some(Atom::Const(number & mask)),
        atom => (mask == -1).then_some(atom),
    };
    for &atom in pointer.atoms() {
        // Only the stack is the program's alone.
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

fn store(state: &mut State, insn: Insn, here: Here, value: &Value) {
    let pointer = state.register(insn.dst).clone();
    let by = (here.function, here.slot);
    let cell = Cell { width: width(insn), value: value.clone(), hint: None, by };
    state.write(&pointer, insn.off.into(), &cell);
}

fn alu(state: &mut State, insn: Insn) {
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
                // Some operands are not known; pointers among them were combined.
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
