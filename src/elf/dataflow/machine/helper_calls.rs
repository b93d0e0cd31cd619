//! The results and effects of helper calls.

use std::collections::BTreeSet;

use super::{Here, MAX_RECORD, Machine};
use crate::elf::dataflow::domain::{Atom, Base, ClockAtom, Value, place};
use crate::elf::dataflow::helpers::{Helper, helper, source_argument};
use crate::elf::dataflow::number::{Number, Source};
use crate::elf::dataflow::state::{Cell, State};
use crate::elf::dataflow::{Memory, Sink};
use crate::elf::value::Hint;

impl Machine<'_> {
    pub(super) fn helper(&mut self, here: Here, number: i32, state: &mut State) {
        self.keyed(here, number, state);
        let result = self.helper_result(here, number, state);
        forget_arguments(state, result);
    }

    /// Keys, and values that are put into maps.
    fn keyed(&mut self, here: Here, number: i32, state: &State) {
        const UPDATE: i32 = 2;
        // map_lookup_elem, map_update_elem, map_lookup_percpu_elem
        if !matches!(number, 1 | UPDATE | 195) {
            return;
        }
        let (object, at) = (self.object, (here.function, here.slot));
        for &atom in state.register(1).atoms() {
            let Atom::Map(map) = atom else { continue };
            let Some(defined) = object.maps.get(map) else { continue };
            self.spend(1 + state.weight());
            self.uses.key(map, defined.key_size, state.register(2), state, at);
            if number == UPDATE {
                let is_zero = |section: usize, from: i64, bytes: i64| {
                    let Some(known) = object.sections.get(section) else { return false };
                    let (from, bytes) = (usize::try_from(from), usize::try_from(bytes));
                    let (Ok(from), Ok(bytes)) = (from, bytes) else { return false };
                    let initial = known.data.iter().skip(from).take(bytes);
                    initial.copied().all(|byte| byte == 0)
                };
                let (memory, value) = (Memory::Value(map), state.register(3));
                self.uses.copy(memory, defined.value_size, value, state, at, &is_zero);
            }
        }
    }

    fn helper_result(&mut self, here: Here, number: i32, state: &mut State) -> Value {
        match helper(number) {
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
            Helper::Gives if number == STACK_ID => return self.stack_id(state),
            Helper::Gives => return Atom::Number(Number::result(number)).into(),
            Helper::BootClock => return Atom::Clock(ClockAtom::Boot).into(),
            Helper::Reserve => {
                let site = self.reserve(here, state);
                state.begin_record(site);
                return Atom::Record { site, offset: 0 }.into();
            }
            Helper::ReserveDynptr => {
                let site = self.reserve(here, state);
                state.begin_record(site);
                let pointer = state.register(4).clone();
                let value = Atom::Dynptr(site).into();
                let cell = Cell::new(8, value, None, (here.function, here.slot));
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
                let hint = match number {
                    GET_STACK | GET_TASK_STACK => Some(Hint::Stack(user(state.register(4)))),
                    _ => text.then_some(Hint::Text),
                };
                let (width, by) = (width.clamp(1, MAX_RECORD), (here.function, here.slot));
                let value = match source_argument(number) {
                    Some(from) => read(state.register(from), width),
                    None => Value::unknown(),
                };
                let cell = Cell { filled: true, ..Cell::new(width, value, hint, by) };
                self.uses.store(&pointer, 0, &cell, false);
                state.write(&pointer, 0, &cell);
                // How many bytes it wrote, or an error.
                return Atom::Number(Number::result(number)).into();
            }
            Helper::CallBack { function, context, own, map } => {
                self.call_back(here, [function, context, own], map, state);
            }
            Helper::Other => self.handed_over(here, state),
        }
        Value::unknown()
    }

    /// The number of a stack that was put into a map.
    fn stack_id(&self, state: &State) -> Value {
        let mut maps = self.maps(state.register(2)).into_iter();
        let number = match (maps.next().map(u32::try_from), maps.next()) {
            (Some(Ok(map)), None) => {
                Number::new(Source::StackId { map, user: user(state.register(3)) }, 8)
            }
            _ => Number::result(STACK_ID),
        };
        Atom::Number(number).into()
    }

    /// A call that may remember a function of the object and call it later: timers, work queues, work
    /// of tasks. All of them hand it the map, the key and the value that holds the timer or the work.
    pub(super) fn handed_over(&mut self, here: Here, state: &mut State) {
        let arguments = (1..=5).flat_map(|number| state.register(number).atoms());
        let (mut functions, mut value) = (Vec::new(), Value::unknown());
        for &atom in arguments {
            match atom {
                Atom::Function(callee) => functions.push(callee),
                Atom::MapValue { map, .. } => value.insert(Atom::MapValue { map, offset: 0 }),
                _ => {}
            }
        }
        for callee in functions {
            let frame = self.frame(here, callee);
            let mut entry = State::new();
            let map = value.map(|atom| match atom {
                Atom::MapValue { map, .. } => Some(Atom::Map(map)),
                _ => None,
            });
            entry.set(1, map);
            entry.set(3, value.clone());
            // It runs when this program has ended: nothing comes back.
            _ = self.function(callee, frame, entry);
        }
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
}

/// Helpers for stacks.
const STACK_ID: i32 = 27;
const GET_STACK: i32 = 67;
const GET_TASK_STACK: i32 = 141;

/// Whether flags ask for the stack of the program, not of the kernel.
fn user(flags: &Value) -> Option<bool> {
    const USER_STACK: i64 = 1 << 8;
    flags.constant().map(|flags| flags & USER_STACK != 0)
}

/// What a helper reads from an address, in this width.
fn read(address: &Value, width: i64) -> Value {
    address.map(|atom| match atom {
        Atom::MemberAt(function, slot) => {
            Some(Atom::Number(Number::new(Source::Member(function, slot), width)))
        }
        _ => None,
    })
}

/// After a call.
pub(super) fn forget_arguments(state: &mut State, result: Value) {
    state.set(0, result);
    for argument in 1..=5 {
        state.set(argument, Value::unknown());
    }
}

/// The dynptr that argument 1 points to.
pub(super) fn dynptr(state: &State) -> Value {
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
