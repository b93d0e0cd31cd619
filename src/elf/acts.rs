//! Which programs act on the system, and do not only look: by the helpers and functions of the
//! kernel (kfuncs) that they call, themselves, in functions and callbacks, or in programs that they
//! go over to.

use std::collections::BTreeSet;

use super::code::{Function, Reference};
use super::hook::Hook;
use super::insn::Insn;
use super::names;
use super::object::{Object, Program};

mod table;

/// `tail_call`: the program goes on in one of a map of programs.
const TAIL_CALL: i32 = 12;

/// The most functions and references that are followed for one object, so that a hostile one does
/// not keep us: programs that real tools have need some thousands.
const MOST_STEPS: usize = 4_000_000;

/// One thing that a program does to the system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// The helper without `bpf_`, or the kfunc
    pub name: String,
    /// What it does, as in "sends a signal"
    pub what: &'static str,
}

/// The acts of each program, in the order of [`Object::programs`]; none of programs that only look.
pub fn of(object: &Object) -> Vec<Vec<Act>> {
    let own: Vec<_> = object.functions.iter().map(|function| Own::of(object, function)).collect();
    let mut steps = MOST_STEPS;
    object.programs.iter().map(|program| of_program(object, program, &own, &mut steps)).collect()
}

fn of_program(object: &Object, program: &Program, own: &[Own], steps: &mut usize) -> Vec<Act> {
    let mut acts: BTreeSet<_> = of_hook(&program.hook).into_iter().collect();
    let mut seen = BTreeSet::from([program.function]);
    let mut next = vec![program.function];
    while let Some(own) = next.pop().and_then(|index| own.get(index)) {
        acts.extend(own.acts.iter().cloned());
        for &function in &own.functions {
            if seen.insert(function) {
                next.push(function);
            }
        }
        let cost = own.functions.len() + own.acts.len() + 1;
        match steps.checked_sub(cost) {
            Some(left) => *steps = left,
            None => {
                let name = object.functions.get(program.function).map(|f| f.name.clone());
                let what = "calls too much to follow";
                acts.insert(Act { name: name.unwrap_or_default(), what });
                break;
            }
        }
    }
    acts.into_iter().collect()
}

/// Programs at writable tracepoints may change what these hand over.
fn of_hook(hook: &Hook) -> Option<Act> {
    let writes = matches!(hook.kind.as_str(), "raw_tp.w" | "raw_tracepoint.w");
    writes.then(|| Act { name: hook.kind.clone(), what: "may change a tracepoint's arguments" })
}

/// What a function does itself.
#[derive(Default)]
struct Own {
    acts: BTreeSet<Act>,
    /// Functions that it calls, hands over as callbacks, or goes over to: indices
    functions: BTreeSet<usize>,
}

impl Own {
    fn of(object: &Object, function: &Function) -> Self {
        let mut own = Self::default();
        for (slot, insn) in function.insns.iter().enumerate() {
            if insn.opcode == Insn::CALL {
                own.see_call(object, function, slot, *insn);
            }
        }
        own.functions.extend(function.references.values().filter_map(
            |reference| match reference {
                Reference::Function(index) => Some(*index),
                _ => None,
            },
        ));
        own
    }

    fn see_call(&mut self, object: &Object, function: &Function, slot: usize, insn: Insn) {
        match function.references.get(slot) {
            Some(Reference::Function(_)) => return, // followed
            Some(Reference::Extern(index)) => {
                let name = object.externs.get(*index).map_or("", |external| &external.name);
                self.acts.extend(table::of_kfunc(name).map(|what| Act { name: name.into(), what }));
                return;
            }
            // A symbol that is neither here nor declared.
            Some(Reference::Other(name)) => {
                self.acts.insert(Act { name: name.clone(), what: table::UNKNOWN });
                return;
            }
            // Not where a function begins.
            Some(Reference::Code { .. }) => {
                self.acts.insert(Act { name: "call".to_owned(), what: table::UNKNOWN });
                return;
            }
            Some(Reference::Map(_) | Reference::Data { .. }) | None => {}
        }
        if insn.src != 0 {
            // Already linked to a function of some kernel, or of nobody.
            self.acts.insert(Act { name: format!("call {}", insn.imm), what: table::UNKNOWN });
            return;
        }
        if insn.imm == TAIL_CALL {
            self.see_tail_call(object, function);
        }
        let name = u32::try_from(insn.imm).ok().and_then(names::helper);
        if let Some(what) = table::of_helper(name) {
            let name = name.map_or_else(|| format!("helper {}", insn.imm), str::to_owned);
            self.acts.insert(Act { name, what });
        }
    }

    /// Goes over to a program of the maps of programs that the function uses. A map that others
    /// share may hold any program.
    fn see_tail_call(&mut self, object: &Object, function: &Function) {
        let maps = function.references.values().filter_map(|reference| match reference {
            Reference::Map(index) => object.maps.get(*index),
            _ => None,
        });
        for map in maps.filter(|map| map.kind == libbpf_sys::BPF_MAP_TYPE_PROG_ARRAY) {
            if map.pinning != 0 {
                let what = "goes over to programs of a map that others share";
                self.acts.insert(Act { name: "tail_call".to_owned(), what });
            }
            let is_value =
                |program: &&Program| map.values.iter().any(|(_, name)| *name == program.name);
            let programs = object.programs.iter().filter(is_value);
            self.functions.extend(programs.map(|program| program.function));
        }
    }
}
