//! Which instructions the kernel's verifier would look at, once the relocations are applied. It does
//! not follow a branch whose condition is constant, as that of `bpf_core_field_exists()` is; there
//! an instruction may be left that could not be relocated.
//!
//! Only constants in registers are followed: where two paths meet with different ones, the value is
//! unknown, and both ways are taken. So what counts as reached may not be; the reverse cannot be.

use std::collections::HashMap;

use crate::elf::budget::Budget;
use crate::elf::code::{Function, Reference};
use crate::elf::insn::Insn;
use crate::elf::object::Object;

use super::Verdict;

/// The most instructions to follow, over all paths. Of one path each is followed a few times.
const STEPS: usize = 1 << 24;

/// The most places in one function where paths may meet.
const MEETINGS: usize = 1 << 18;

/// Registers 0 to 10.
const REGISTERS: usize = 11;

/// Known values of registers.
type State = [Option<u64>; REGISTERS];

/// The verdict about an instruction of a function, if it is relocated.
pub(super) type Verdicts<'a> = dyn Fn(&Function, usize) -> Option<&'a Verdict> + 'a;

/// Instructions that can be reached.
#[derive(Default)]
pub(super) struct Reached {
    /// By function and slot; functions that are not called have none
    all: HashMap<usize, Vec<bool>>,
    /// There were too many paths: all count as reached
    pub(super) is_cut: bool,
}

impl Reached {
    /// Whether an instruction can be reached.
    pub(super) fn contains(&self, function: usize, slot: usize) -> bool {
        let slots = self.all.get(&function);
        self.is_cut || slots.and_then(|slots| slots.get(slot)).is_some_and(|reached| *reached)
    }
}

/// Follows all programs, and the functions that they call or hand to helpers.
pub(super) fn reached(object: &Object, verdicts: &Verdicts<'_>) -> Reached {
    let steps = Budget::new(STEPS);
    let mut reached = Reached::default();
    let mut next: Vec<_> = object.programs.iter().map(|program| program.function).collect();
    while let Some(index) = next.pop() {
        let Some(function) = object.functions.get(index) else { continue };
        if reached.all.contains_key(&index) {
            continue;
        }
        let slots = follow(function, verdicts, &steps);
        let is_reached = |slot: usize| slots.get(slot).is_some_and(|reached| *reached);
        let references = function.references.iter().filter(|(slot, _)| is_reached(*slot));
        next.extend(references.filter_map(|(_, reference)| match reference {
            Reference::Function(index) => Some(*index),
            _ => None,
        }));
        reached.all.insert(index, slots);
    }
    reached.is_cut = steps.is_cut();
    reached
}

/// Where paths may meet: the targets of all jumps.
fn targets(function: &Function) -> Vec<bool> {
    let mut targets = vec![false; function.insns.len()];
    for (slot, insn) in function.insns.iter().enumerate() {
        let target = insn.jump().and_then(|distance| (slot as i64).checked_add(distance));
        let target = target.and_then(|target| usize::try_from(target).ok());
        if let Some(is_target) = target.and_then(|target| targets.get_mut(target)) {
            *is_target = true;
        }
    }
    targets
}

/// The reached slots of a function.
fn follow(function: &Function, verdicts: &Verdicts<'_>, steps: &Budget) -> Vec<bool> {
    let targets = targets(function);
    let mut reached = vec![false; function.insns.len()];
    let mut states: HashMap<usize, State> = HashMap::new();
    let mut next = vec![(0, State::default())];
    while let Some((slot, mut state)) = next.pop() {
        let Some(&insn) = function.insns.get(slot) else { continue };
        if !steps.take(1) {
            break;
        }
        if targets.get(slot) == Some(&true) && !meet(&mut states, slot, &mut state, steps) {
            continue;
        }
        if let Some(reached) = reached.get_mut(slot) {
            *reached = true;
        }
        let verdict = verdicts(function, slot);
        if is_invalid(insn, verdict) {
            // As if it worked: what is missing behind it is missing, too.
            if let Some(register) = state.get_mut(usize::from(insn.dst)) {
                *register = None;
            }
            next.push((slot + 1 + usize::from(insn.is_wide()), state));
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
    reached
}

/// Keeps of a state what all paths to a slot agree on. False: that is known already.
fn meet(
    states: &mut HashMap<usize, State>,
    slot: usize,
    state: &mut State,
    steps: &Budget,
) -> bool {
    let Some(known) = states.get_mut(&slot) else {
        if states.len() >= MEETINGS {
            steps.take(usize::MAX); // no more of this
            return false;
        }
        states.insert(slot, *state);
        return true;
    };
    let before = *known;
    for (known, new) in known.iter_mut().zip(*state) {
        *known = known.filter(|value| Some(*value) == new);
    }
    *state = *known;
    *known != before
}

/// Whether the verifier would end here, since the instruction cannot be relocated.
fn is_invalid(insn: Insn, verdict: Option<&Verdict>) -> bool {
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
        let verdict = |_: &Function, slot: usize| {
            verdicts.iter().find(|(place, _)| *place == slot).map(|(_, verdict)| verdict)
        };
        let slots = follow(&function, &verdict, &Budget::new(1000));
        (0..slots.len()).filter(|&slot| slots[slot]).collect()
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
        let no = Verdict::Absent("".into());
        let missing = Verdict::Missing("".into());
        assert_eq!(slots(code.clone(), &[(0, no), (4, missing.clone())]), [0, 1, 2, 3, 5]);
        // It is not known what a missing number would be.
        assert_eq!(slots(code.clone(), &[(0, missing.clone())]), [0, 1, 2, 3, 4, 5]);
        let yes = Verdict::Value { number: 1, resized: None };
        assert_eq!(slots(code, &[(0, yes), (4, missing)]), [0, 1, 2, 3, 4, 5]);
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
