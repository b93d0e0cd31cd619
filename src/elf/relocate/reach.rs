//! Which instructions the kernel's verifier would look at, once the relocations are applied. It does
//! not follow a branch whose condition is constant, as that of `bpf_core_field_exists()` is; there
//! an instruction may be left that could not be relocated.
//!
//! Only constants in registers are followed: where two paths meet with different ones, the value is
//! unknown, and both ways are taken. So what counts as reached may not be; the reverse cannot be.

use std::collections::{HashMap, HashSet};

use crate::elf::budget::Budget;
use crate::elf::code::{Function, Reference};
use crate::elf::insn::Insn;
use crate::elf::object::Object;

use super::Verdict;

/// The most instructions to follow, over all paths. Of one path each is followed a few times.
const STEPS: usize = 1 << 24;

/// Registers 0 to 10.
const REGISTERS: usize = 11;

/// Known values of registers.
type State = [Option<u64>; REGISTERS];

/// Instructions that can be reached, by function and slot.
#[derive(Default)]
pub(super) struct Reached {
    all: HashMap<usize, HashSet<usize>>,
    /// There were too many paths: all count as reached
    pub(super) is_cut: bool,
}

impl Reached {
    /// Whether an instruction can be reached.
    pub(super) fn contains(&self, function: usize, slot: usize) -> bool {
        self.is_cut || self.all.get(&function).is_some_and(|slots| slots.contains(&slot))
    }
}

/// Follows all programs, and the functions that they call or hand to helpers. `verdicts`: by function
/// and slot.
pub(super) fn reached(object: &Object, verdicts: &[HashMap<usize, Verdict>]) -> Reached {
    let steps = Budget::new(STEPS);
    let mut reached = Reached::default();
    let mut next: Vec<_> = object.programs.iter().map(|program| program.function).collect();
    let none = HashMap::new();
    while let Some(index) = next.pop() {
        let Some(function) = object.functions.get(index) else { continue };
        if reached.all.contains_key(&index) {
            continue;
        }
        let verdicts = verdicts.get(index).unwrap_or(&none);
        let (slots, callees) = follow(function, verdicts, &steps);
        reached.all.insert(index, slots);
        next.extend(callees);
    }
    reached.is_cut = steps.is_cut();
    reached
}

/// The reached slots of a function, and the functions that it refers to there.
fn follow(
    function: &Function,
    verdicts: &HashMap<usize, Verdict>,
    steps: &Budget,
) -> (HashSet<usize>, Vec<usize>) {
    let mut states: HashMap<usize, State> = HashMap::new();
    let mut callees = Vec::new();
    let mut next = vec![(0, State::default())];
    while let Some((slot, arriving)) = next.pop() {
        if !steps.take(1) {
            break;
        }
        let Some(&insn) = function.insns.get(slot) else { continue };
        let state = match states.get_mut(&slot) {
            None => *states.entry(slot).or_insert(arriving),
            Some(known) => {
                let before = *known;
                for (known, new) in known.iter_mut().zip(arriving) {
                    *known = known.filter(|value| Some(*value) == new);
                }
                if *known == before {
                    continue;
                }
                *known
            }
        };
        if let Some(Reference::Function(index)) = function.references.get(slot) {
            callees.push(*index);
        }
        let verdict = verdicts.get(&slot);
        if stops(insn, verdict) {
            continue;
        }
        let number = match verdict {
            Some(Verdict::Value { number, .. }) => Some(*number),
            Some(Verdict::Absent(_)) => Some(0),
            _ => None,
        };
        let second = function.insns.get(slot + 1).copied();
        next.extend(successors(slot, insn, second, number, state));
    }
    (states.into_keys().collect(), callees)
}

/// Whether the verifier ends here, since the instruction cannot be relocated.
fn stops(insn: Insn, verdict: Option<&Verdict>) -> bool {
    match verdict {
        Some(Verdict::Missing(_) | Verdict::Broken(_)) => true,
        Some(Verdict::Value { resized, .. }) => resized.is_some() && insn.is_memory(),
        _ => false,
    }
}

/// The slots that follow, with the registers there. `number`: from the relocation.
fn successors(
    slot: usize,
    insn: Insn,
    second: Option<Insn>,
    number: Option<u64>,
    mut state: State,
) -> Vec<(usize, State)> {
    let (dst, src) = (usize::from(insn.dst), usize::from(insn.src));
    let read = |register: usize| state.get(register).copied().flatten();
    let from_register = insn.opcode & 8 != 0;
    let constant = number.unwrap_or(i64::from(insn.imm) as u64);
    let mut ways = Vec::new();
    match insn.class() {
        0 | 1 => {
            let wide = insn.is_wide();
            let high = second.map_or(0, |second| second.imm as u32);
            let plain = u64::from(high) << 32 | u64::from(insn.imm as u32);
            // Another source than 0 is an address.
            let value = (wide && insn.src == 0).then_some(number.unwrap_or(plain));
            if let Some(register) = state.get_mut(dst) {
                *register = value;
            }
            ways.push((slot + 1 + usize::from(wide), state));
        }
        4 | 7 => {
            let operand = if from_register { read(src) } else { Some(constant) };
            let value = compute(insn, read(dst), operand);
            if let Some(register) = state.get_mut(dst) {
                *register = value;
            }
            ways.push((slot + 1, state));
        }
        5 | 6 if insn.opcode == Insn::EXIT => {}
        5 | 6 => match insn.jump() {
            // Calls: the first six registers are the callee's.
            None => {
                state.iter_mut().take(6).for_each(|register| *register = None);
                ways.push((slot + 1, state));
            }
            Some(distance) => {
                let operand = if from_register { read(src) } else { Some(constant) };
                let taken = match insn.opcode {
                    Insn::JA | Insn::JA32 => Some(true),
                    _ => read(dst).zip(operand).and_then(|(one, two)| compare(insn, one, two)),
                };
                let target = (slot as i64).checked_add(distance).and_then(|at| at.try_into().ok());
                ways.extend(target.filter(|_| taken != Some(false)).map(|at: usize| (at, state)));
                if taken != Some(true) {
                    ways.push((slot + 1, state));
                }
            }
        },
        // Stores; those that exchange change a register, too.
        _ => {
            if insn.opcode & 0xe0 == 0xc0 {
                for register in [0, src] {
                    if let Some(register) = state.get_mut(register) {
                        *register = None;
                    }
                }
            }
            ways.push((slot + 1, state));
        }
    }
    ways
}

/// The result of arithmetic, if it is known.
fn compute(insn: Insn, before: Option<u64>, operand: Option<u64>) -> Option<u64> {
    const MOV: u8 = 0xb0;
    let operation = insn.opcode & 0xf0;
    let is_long = insn.class() == 7;
    let two = operand?;
    if operation == MOV {
        // With an offset it extends a sign.
        return (insn.off == 0).then_some(if is_long { two } else { two & 0xffff_ffff });
    }
    let one = before?;
    let bits = if is_long { 63 } else { 31 };
    let (one, two) = if is_long { (one, two) } else { (one & 0xffff_ffff, two & 0xffff_ffff) };
    let value = match operation {
        0x00 => one.wrapping_add(two),
        0x10 => one.wrapping_sub(two),
        0x40 => one | two,
        0x50 => one & two,
        0x60 => one.wrapping_shl((two & bits) as u32),
        0x70 => one.wrapping_shr((two & bits) as u32),
        0xa0 => one ^ two,
        _ => return None,
    };
    Some(if is_long { value } else { value & 0xffff_ffff })
}

/// Whether a jump on a condition is taken; `None` if there is no such condition.
fn compare(insn: Insn, one: u64, two: u64) -> Option<bool> {
    let is_long = insn.class() == 5;
    let (one, two) = if is_long { (one, two) } else { (one & 0xffff_ffff, two & 0xffff_ffff) };
    let signed = |value: u64| if is_long { value as i64 } else { i64::from(value as i32) };
    Some(match insn.opcode & 0xf0 {
        0x10 => one == two,
        0x20 => one > two,
        0x30 => one >= two,
        0x40 => one & two != 0,
        0x50 => one != two,
        0x60 => signed(one) > signed(two),
        0x70 => signed(one) >= signed(two),
        0xa0 => one < two,
        0xb0 => one <= two,
        0xc0 => signed(one) < signed(two),
        0xd0 => signed(one) <= signed(two),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { opcode, dst, src, off, imm }
    }

    /// The slots that are reached.
    fn slots(insns: Vec<Insn>, verdicts: &[(usize, Verdict)]) -> Vec<usize> {
        let function = Function { insns, ..Function::default() };
        let verdicts = verdicts.iter().cloned().collect();
        let (slots, _) = follow(&function, &verdicts, &Budget::new(1000));
        let mut slots: Vec<_> = slots.into_iter().collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn branches_on_what_exists_are_not_taken() {
        let exists = insn(0xb7, 1, 0, 0, 1); // r1 = 1
        let code = vec![
            exists,
            insn(0xbf, 2, 1, 0, 0),  // r2 = r1
            insn(0x57, 2, 0, 0, 1),  // r2 &= 1
            insn(0x15, 2, 0, 1, 0),  // if r2 == 0 goto 5
            insn(0x79, 3, 1, 64, 0), // r3 = *(u64 *)(r1 + 64)
            insn(0x95, 0, 0, 0, 0),
        ];
        let no = Verdict::Absent(String::new());
        let missing = Verdict::Missing(String::new());
        assert_eq!(slots(code.clone(), &[(0, no), (4, missing.clone())]), [0, 1, 2, 3, 5]);
        let yes = Verdict::Value { number: 1, resized: None };
        // Nothing is followed behind the instruction that is missing.
        assert_eq!(slots(code, &[(0, yes), (4, missing)]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_two_paths_disagree_on_is_unknown() {
        let code = vec![
            insn(0x15, 1, 0, 2, 0), // if r1 == 0 goto 3
            insn(0xb7, 2, 0, 0, 1), // r2 = 1
            insn(0x05, 0, 0, 1, 0), // goto 4
            insn(0xb7, 2, 0, 0, 0), // r2 = 0
            insn(0x15, 2, 0, 1, 0), // if r2 == 0 goto 6
            insn(0xb7, 3, 0, 0, 0),
            insn(0x95, 0, 0, 0, 0),
        ];
        assert_eq!(slots(code, &[]), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn calls_and_circles() {
        let code = vec![
            insn(0xb7, 6, 0, 0, 0),  // r6 = 0
            insn(0xb7, 1, 0, 0, 0),  // r1 = 0
            insn(0x85, 0, 0, 0, 5),  // call
            insn(0x55, 1, 0, -3, 0), // if r1 != 0 goto 1
            insn(0x55, 6, 0, 1, 0),  // if r6 != 0 goto 6
            insn(0x95, 0, 0, 0, 0),
            insn(0x95, 0, 0, 0, 0),
        ];
        // The callee may change r1, not r6.
        assert_eq!(slots(code, &[]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn results_are_those_of_the_processor() {
        let number = |opcode: u8, one: u64, two: u64| {
            compute(insn(opcode, 1, 2, 0, 0), Some(one), Some(two))
        };
        assert_eq!(number(0x07, u64::MAX, 1), Some(0));
        assert_eq!(number(0x04, 0xffff_ffff, 1), Some(0));
        assert_eq!(number(0xb4, 0, u64::MAX), Some(0xffff_ffff));
        assert_eq!(number(0x77, 256, 4), Some(16));
        assert_eq!(number(0x2f, 2, 2), None);
        let taken = |opcode: u8, one: u64, two: u64| compare(insn(opcode, 1, 0, 0, 0), one, two);
        assert_eq!(taken(0x65, u64::MAX, 0), Some(false));
        assert_eq!(taken(0x25, u64::MAX, 0), Some(true));
        assert_eq!(taken(0x66, 0xffff_ffff, 0), Some(false));
        assert_eq!(taken(0x16, 1 << 32, 0), Some(true));
    }
}
