//! Numbers that are stored in pieces. A member of a packed struct lies where the processor may not
//! store it at once: the compiler stores its lowest byte, shifts the number to the right, stores the
//! next, and so on.

use std::collections::{BTreeMap, BTreeSet};

use object::Endianness;

use super::state::Cell;
use crate::elf::insn::Insn;

/// The source of one store: some bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    /// The instruction that made the number, or where it was first seen; and its register
    whole: (usize, u8),
    /// The lowest of the bytes; 0 is the lowest of the number
    first: i64,
    /// How many
    bytes: i64,
    /// The source line; 0: unknown
    line: u32,
}

/// The pieces by the slots of the instructions that store them.
pub(super) type Pieces = BTreeMap<usize, Piece>;

/// What a register holds.
#[derive(Clone, Copy)]
struct Held {
    whole: (usize, u8),
    /// Bits that were shifted away
    shift: i64,
    /// Bits from there on that are the number's
    bits: i64,
}

impl Held {
    /// Of the number, only so many of the bits are left.
    fn cut(self, bits: i64) -> Self {
        Self { bits: self.bits.min(bits), ..self }
    }

    fn right(self, by: i64) -> Self {
        Self { shift: self.shift + by, bits: self.bits - by, ..self }
    }
}

const REGISTERS: u8 = 11;
const FRAME: u8 = 10;

/// The registers, and the numbers that are kept on the stack meanwhile, within a block.
struct Block {
    registers: [Held; REGISTERS as usize],
    stack: BTreeMap<i16, Held>,
}

impl Block {
    /// A block that begins at a slot: its registers can hold anything.
    fn new(slot: usize) -> Self {
        let mut number = 0;
        let registers = [(); REGISTERS as usize].map(|()| {
            number += 1;
            fresh(slot, number)
        });
        Self { registers, stack: BTreeMap::new() }
    }

    fn get(&self, register: u8) -> Option<Held> {
        self.registers.get(usize::from(register)).copied()
    }

    fn set(&mut self, register: u8, held: Held) {
        if let Some(known) = self.registers.get_mut(usize::from(register)) {
            *known = held;
        }
    }

    /// Follows one instruction. Returns what it stores.
    fn step(&mut self, slot: usize, insn: Insn) -> Option<Piece> {
        // The register 0 stands for the result: those of `new` begin with 1.
        let new = fresh(slot, 0);
        match insn.class() {
            LDX => {
                let spilled = insn.src == FRAME && insn.opcode == LOAD_64;
                let held = if spilled { *self.stack.entry(insn.off).or_insert(new) } else { new };
                self.set(insn.dst, held);
            }
            STX => {
                let held = self.get(insn.src)?;
                let bytes = width(insn.opcode)?;
                if insn.dst == FRAME && bytes == 8 {
                    self.stack.insert(insn.off, held);
                }
                let whole = held.shift % 8 == 0 && bytes * 8 <= held.bits;
                let Held { whole: of, shift, .. } = held;
                return whole.then_some(Piece { whole: of, first: shift / 8, bytes, line: 0 });
            }
            ALU | ALU64 => {
                let held = self.changed(insn).unwrap_or(new);
                self.set(insn.dst, held);
            }
            LD => self.set(insn.dst, new),
            _ if insn.opcode == Insn::CALL => {
                // A helper may change what is on the stack.
                self.stack.clear();
                (0..=5).for_each(|register| self.set(register, fresh(slot, register)));
            }
            _ => {}
        }
        None
    }

    /// The number that is left in a register by an arithmetic instruction.
    fn changed(&self, insn: Insn) -> Option<Held> {
        let register_bits = if insn.class() == ALU64 { 64 } else { 32 };
        let immediate = insn.opcode & FROM_REGISTER == 0;
        match insn.opcode & 0xf0 {
            // With an offset it extends a sign.
            MOV if !immediate && insn.off == 0 => Some(self.get(insn.src)?.cut(register_bits)),
            RIGHT | RIGHT_SIGNED if immediate => {
                let held = self.get(insn.dst)?.cut(register_bits);
                (i64::from(insn.imm) < held.bits).then(|| held.right(insn.imm.into()))
            }
            AND if immediate => {
                let held = self.get(insn.dst)?;
                let bits = match insn.imm {
                    0xff => 8,
                    0xffff => 16,
                    _ => return None,
                };
                Some(held.cut(bits))
            }
            _ => None,
        }
    }
}

fn fresh(slot: usize, register: u8) -> Held {
    Held { whole: (slot, register), shift: 0, bits: 64 }
}

const LD: u8 = 0;
const LDX: u8 = 1;
const STX: u8 = 3;
const ALU: u8 = 4;
const ALU64: u8 = 7;
/// `*(u64 *)`.
const LOAD_64: u8 = 0x79;
const FROM_REGISTER: u8 = 0x08;
const AND: u8 = 0x50;
const RIGHT: u8 = 0x70;
const MOV: u8 = 0xb0;
const RIGHT_SIGNED: u8 = 0xc0;

/// The bytes that an instruction stores from a register.
fn width(opcode: u8) -> Option<i64> {
    match opcode {
        0x63 => Some(4),
        0x6b => Some(2),
        0x73 => Some(1),
        0x7b => Some(8),
        _ => None,
    }
}

/// The pieces that a function stores. `leaders`: the slots at which its blocks begin. `line`: the
/// source line of a slot, if there are lines: members of their own, such as the bytes of an address,
/// have lines of their own.
pub(super) fn pieces(
    insns: &[Insn],
    leaders: &BTreeSet<usize>,
    line: impl Fn(usize) -> u32,
) -> Pieces {
    let mut block = Block::new(0);
    let mut pieces = Pieces::new();
    let mut wide = false;
    for (slot, &insn) in insns.iter().enumerate() {
        if std::mem::replace(&mut wide, insn.is_wide()) {
            continue; // the second half
        }
        if leaders.contains(&slot) {
            block = Block::new(slot);
        }
        if let Some(piece) = block.step(slot, insn) {
            pieces.insert(slot, Piece { line: line(slot), ..piece });
        }
    }
    pieces
}

/// Puts pieces that lie side by side, in the order of the machine, together again: cells by offset and
/// width. `piece`: what the instruction (function and slot) stores that wrote a cell.
pub(super) fn join(
    cells: BTreeMap<(u64, u64), Cell>,
    endian: Endianness,
    piece: impl Fn((usize, usize)) -> Option<Piece>,
) -> BTreeMap<(u64, u64), Cell> {
    let mut joined = BTreeMap::new();
    let mut run: Vec<(u64, Cell, Piece)> = Vec::new();
    for ((offset, width), cell) in cells {
        // One that may not have been written, or by more than one instruction, is no piece.
        let found = piece(cell.by).filter(|piece| cell.sure && piece.bytes as u64 == width);
        let continues = match (run.last(), found) {
            (Some((at, last, before)), Some(next)) => {
                last.by.0 == cell.by.0
                    && at + last.width as u64 == offset
                    && (next.whole, next.line) == (before.whole, before.line)
                    && match endian {
                        Endianness::Little => before.first + before.bytes == next.first,
                        Endianness::Big => next.first + next.bytes == before.first,
                    }
            }
            _ => false,
        };
        if !continues {
            finish(std::mem::take(&mut run), endian, &mut joined);
        }
        match found {
            Some(piece) => run.push((offset, cell, piece)),
            None => _ = joined.insert((offset, width), cell),
        }
    }
    finish(run, endian, &mut joined);
    joined
}

/// One number, if all of it is there; else the pieces as they are.
fn finish(
    run: Vec<(u64, Cell, Piece)>,
    endian: Endianness,
    joined: &mut BTreeMap<(u64, u64), Cell>,
) {
    let bytes: i64 = run.iter().map(|(_, _, piece)| piece.bytes).sum();
    let start = run.first().map(|&(offset, _, _)| offset);
    let lowest = match endian {
        Endianness::Little => run.first(),
        Endianness::Big => run.last(),
    };
    if let (Some(start), Some((_, cell, piece)), 2..) = (start, lowest, run.len()) {
        // All of it, or a half.
        if matches!(bytes, 2 | 4 | 8) && piece.first % bytes == 0 {
            let whole = Cell { width: bytes, ..cell.clone() };
            joined.insert((start, bytes as u64), whole);
            return;
        }
    }
    for (offset, cell, _) in run {
        joined.insert((offset, cell.width as u64), cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::dataflow::domain::Value;

    fn insn(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { opcode, dst, src, off, imm }
    }

    fn store(bytes: i64, to: i16, from: u8) -> Insn {
        let opcode = match bytes {
            1 => 0x73,
            2 => 0x6b,
            _ => 0x63,
        };
        insn(opcode, 6, from, to, 0)
    }

    fn copy(dst: u8, src: u8) -> Insn {
        insn(0xbf, dst, src, 0, 0)
    }

    fn right(register: u8, by: i32) -> Insn {
        insn(0x77, register, 0, 0, by)
    }

    /// `OFFSET:WIDTH` of what is written through r6, in order.
    fn written(insns: &[Insn], endian: Endianness, leaders: &[usize]) -> Vec<String> {
        written_by_lines(insns, endian, leaders, &[])
    }

    /// `lines`: the slots that are of another line than all others.
    fn written_by_lines(
        insns: &[Insn],
        endian: Endianness,
        leaders: &[usize],
        lines: &[usize],
    ) -> Vec<String> {
        let line = |slot| u32::from(lines.contains(&slot));
        let pieces = pieces(insns, &leaders.iter().copied().collect(), line);
        let mut cells = BTreeMap::new();
        for (slot, insn) in insns.iter().enumerate().filter(|(_, i)| i.class() == STX && i.dst == 6)
        {
            let bytes = width(insn.opcode).unwrap();
            let cell = Cell::new(bytes, Value::unknown(), None, (0, slot));
            cells.insert((insn.off as u64, bytes as u64), cell);
        }
        let joined = join(cells, endian, |(_, slot)| pieces.get(&slot).copied());
        joined.keys().map(|(at, width)| format!("{at}:{width}")).collect()
    }

    /// Four bytes of r2 from `at` on, in any order of the stores.
    fn bytewise(at: i16, big: bool) -> Vec<Insn> {
        let mut insns = Vec::new();
        for byte in [3, 0, 2, 1] {
            let place = if big { 3 - byte } else { byte };
            insns.extend([copy(1, 2), right(1, byte * 8), store(1, at + place as i16, 1)]);
        }
        insns
    }

    #[test]
    fn bytes_of_one_number_are_one_number() {
        assert_eq!(written(&bytewise(5, false), Endianness::Little, &[]), ["5:4"]);
        assert_eq!(written(&bytewise(5, true), Endianness::Big, &[]), ["5:4"]);
    }

    #[test]
    fn bytes_in_the_other_order_are_bytes() {
        let four = ["5:1", "6:1", "7:1", "8:1"];
        assert_eq!(written(&bytewise(5, true), Endianness::Little, &[]), four);
        assert_eq!(written(&bytewise(5, false), Endianness::Big, &[]), four);
    }

    #[test]
    fn shifts_of_the_same_register_and_halves() {
        let insns = [store(2, 1, 2), right(2, 16), store(2, 3, 2)];
        assert_eq!(written(&insns, Endianness::Little, &[]), ["1:4"]);
    }

    #[test]
    fn bytes_of_two_numbers_stay_apart() {
        let mut insns = bytewise(5, false);
        insns[3] = copy(1, 3);
        assert_eq!(written(&insns, Endianness::Little, &[]).len(), 4);
        let changed = [store(1, 1, 2), insn(0x07, 2, 0, 0, 1), right(2, 8), store(1, 2, 2)];
        assert_eq!(written(&changed, Endianness::Little, &[]), ["1:1", "2:1"]);
    }

    #[test]
    fn a_part_of_a_number_is_no_number() {
        let three = [store(1, 1, 2), right(2, 8), store(2, 2, 2)];
        assert_eq!(written(&three, Endianness::Little, &[]), ["1:1", "2:2"]);
        let odd = [right(2, 8), store(1, 1, 2), right(2, 8), store(1, 2, 2)];
        assert_eq!(written(&odd, Endianness::Little, &[]), ["1:1", "2:1"]);
        // Zeros came in from above.
        let narrow = [insn(0xbc, 1, 2, 0, 0), store(4, 1, 1), right(1, 32), store(4, 5, 1)];
        assert_eq!(written(&narrow, Endianness::Little, &[]), ["1:4", "5:4"]);
    }

    #[test]
    fn a_half_of_a_number_is_a_number() {
        let insns = [right(2, 48), store(1, 1, 2), right(2, 8), store(1, 2, 2)];
        assert_eq!(written(&insns, Endianness::Little, &[]), ["1:2"]);
    }

    #[test]
    fn bytes_that_lines_tell_apart_are_bytes() {
        let insns = bytewise(5, false);
        let four = ["5:1", "6:1", "7:1", "8:1"];
        assert_eq!(written_by_lines(&insns, Endianness::Little, &[], &[5, 8]), four);
    }

    #[test]
    fn a_number_that_waits_on_the_stack_is_the_same() {
        let reload = insn(LOAD_64, 1, FRAME, -8, 0);
        let insns = [reload, store(1, 1, 1), reload, right(1, 8), store(1, 2, 1)];
        assert_eq!(written(&insns, Endianness::Little, &[]), ["1:2"]);
        let call = insn(Insn::CALL, 0, 0, 0, 5);
        let insns = [reload, store(1, 1, 1), call, reload, right(1, 8), store(1, 2, 1)];
        assert_eq!(written(&insns, Endianness::Little, &[]), ["1:1", "2:1"]);
    }

    #[test]
    fn where_ways_meet_a_register_can_be_another() {
        let insns = [store(1, 1, 2), right(2, 8), store(1, 2, 2)];
        assert_eq!(written(&insns, Endianness::Little, &[1]), ["1:1", "2:1"]);
    }
}
