//! Instructions as text, in the syntax of LLVM's assembler.

use std::fmt::Write as _;

use super::insn::Insn;

/// Names to print instead of bare numbers, where known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// The callee of a call
    pub callee: Option<&'a str>,
    /// The label of a jump's target
    pub label: Option<&'a str>,
    /// The name behind a wide load
    pub loaded: Option<&'a str>,
}

/// Appends an instruction. `second`: the next slot, where a wide load has its upper half. `false`:
/// no such instruction exists, and nothing was appended.
pub fn push(out: &mut String, insn: Insn, second: Option<Insn>, names: Names<'_>) -> bool {
    match text(insn, second, names) {
        Some(text) => {
            out.push_str(&text);
            true
        }
        None => false,
    }
}

fn text(insn: Insn, second: Option<Insn>, names: Names<'_>) -> Option<String> {
    if insn.dst > 10 || (insn.src > 10) {
        return None;
    }
    match insn.class() {
        0 => load_constant(insn, second, names),
        1 => load(insn),
        2 | 3 => store(insn),
        4 | 7 => arithmetic(insn),
        _ => jump(insn, names),
    }
}

/// A register of 64 bits, or its lower half.
fn register(number: u8, wide: bool) -> String {
    format!("{}{number}", if wide { 'r' } else { 'w' })
}

/// The type of a memory access.
fn width(opcode: u8) -> &'static str {
    match opcode & 0x18 {
        0x00 => "u32",
        0x08 => "u16",
        0x10 => "u8",
        _ => "u64",
    }
}

/// `r1 + 8`, `r10 - 8`
fn address(register: u8, off: i16) -> String {
    let sign = if off < 0 { '-' } else { '+' };
    format!("r{register} {sign} {}", off.unsigned_abs())
}

fn load_constant(insn: Insn, second: Option<Insn>, names: Names<'_>) -> Option<String> {
    let Insn { opcode, dst, src, imm, .. } = insn;
    match opcode & 0xe0 {
        0x00 if opcode == Insn::LDDW => {
            let upper = i64::from(second.filter(|second| second.opcode == 0)?.imm);
            let number = upper << 32 | i64::from(imm as u32);
            Some(match names.loaded {
                Some(name) => format!("r{dst} = {name} ll"),
                None => format!("r{dst} = {number} ll"),
            })
        }
        // Packet data, from before BPF was extended.
        0x20 if opcode & 0x18 != 0x18 => Some(format!("r0 = *({} *)skb[{imm}]", width(opcode))),
        0x40 if opcode & 0x18 != 0x18 => Some(format!("r0 = *({} *)skb[r{src}]", width(opcode))),
        _ => None,
    }
}

fn load(insn: Insn) -> Option<String> {
    let place = address(insn.src, insn.off);
    match insn.opcode & 0xe0 {
        0x60 => Some(format!("r{} = *({} *)({place})", insn.dst, width(insn.opcode))),
        0x80 if insn.opcode & 0x18 != 0x18 => {
            let signed = width(insn.opcode).replace('u', "s");
            Some(format!("r{} = *({signed} *)({place})", insn.dst))
        }
        _ => None,
    }
}

fn store(insn: Insn) -> Option<String> {
    let width = width(insn.opcode);
    let place = address(insn.dst, insn.off);
    match (insn.opcode & 0xe0, insn.class()) {
        (0x60, 2) => Some(format!("*({width} *)({place}) = {}", insn.imm)),
        (0x60, _) => Some(format!("*({width} *)({place}) = r{}", insn.src)),
        (0xc0, 3) => atomic(insn, width, &place),
        _ => None,
    }
}

fn atomic(insn: Insn, width: &str, place: &str) -> Option<String> {
    let wide = width == "u64";
    let value = register(insn.src, wide);
    match insn.imm {
        0x100 => {
            let to = register(insn.dst, wide);
            let place = address(insn.src, insn.off);
            return Some(format!("{to} = load_acquire(({width} *)({place}))"));
        }
        0x110 => return Some(format!("store_release(({width} *)({place}), {value})")),
        _ if !matches!(width, "u32" | "u64") => return None,
        _ => {}
    }
    let bits = if wide { "_64" } else { "32_32" };
    let (operator, name) = match insn.imm & !1 {
        0x00 => ("+", "add"),
        0x40 => ("|", "or"),
        0x50 => ("&", "and"),
        0xa0 => ("^", "xor"),
        0xe0 if insn.imm == 0xe1 => return Some(format!("{value} = xchg{bits}({place}, {value})")),
        0xf0 if insn.imm == 0xf1 => {
            let old = register(0, wide);
            return Some(format!("{old} = cmpxchg{bits}({place}, {old}, {value})"));
        }
        _ => return None,
    };
    Some(if insn.imm & 1 == 0 {
        format!("lock *({width} *)({place}) {operator}= {value}")
    } else {
        format!("{value} = atomic_fetch_{name}(({width} *)({place}), {value})")
    })
}

fn arithmetic(insn: Insn) -> Option<String> {
    let wide = insn.class() == 7;
    let from_register = insn.opcode & 8 != 0;
    let to = register(insn.dst, wide);
    let from = if from_register { register(insn.src, wide) } else { insn.imm.to_string() };
    let operator = match (insn.opcode >> 4, insn.off) {
        (0, 0) => "+",
        (1, 0) => "-",
        (2, 0) => "*",
        (3, 0) => "/",
        (3, 1) => "s/",
        (4, 0) => "|",
        (5, 0) => "&",
        (6, 0) => "<<",
        (7, 0) => ">>",
        (8, 0) if !from_register => return Some(format!("{to} = -{to}")),
        (9, 0) => "%",
        (9, 1) => "s%",
        (10, 0) => "^",
        (11, 0) => "",
        (11, bits @ (8 | 16 | 32)) if from_register && (wide || bits != 32) => {
            return Some(format!("{to} = (s{bits}){from}"));
        }
        (11, 1) if from_register && wide => {
            let (into, out_of) = (insn.imm >> 16, insn.imm & 0xffff);
            return Some(format!("{to} = addr_space_cast({from}, {into}, {out_of})"));
        }
        (12, 0) => "s>>",
        (13, 0) if matches!(insn.imm, 16 | 32 | 64) => {
            let name = match (wide, from_register) {
                (true, false) => "bswap",
                (true, true) => return None,
                (false, false) => "le",
                (false, true) => "be",
            };
            let register = register(insn.dst, true);
            return Some(format!("{register} = {name}{} {register}", insn.imm));
        }
        _ => return None,
    };
    Some(format!("{to} {operator}= {from}"))
}

fn jump(insn: Insn, names: Names<'_>) -> Option<String> {
    let wide = insn.class() == 5;
    let from_register = insn.opcode & 8 != 0;
    let mut text = String::new();
    match insn.opcode {
        Insn::CALL => {
            match names.callee {
                Some(name) => text = format!("call {name}"),
                None => text = format!("call {}", insn.imm),
            }
            return Some(text);
        }
        // Through a register, whose field in the instruction has changed.
        0x8d => {
            return Some(format!(
                "callx r{}",
                if insn.dst == 0 { insn.imm } else { insn.dst.into() }
            ));
        }
        Insn::EXIT => return Some("exit".to_owned()),
        Insn::JA => text.push_str("goto "),
        Insn::JA32 => text.push_str("gotol "),
        0xe5 if insn.src == 0 => text.push_str("may_goto "),
        opcode => {
            let operator = match opcode >> 4 {
                1 => "==",
                2 => ">",
                3 => ">=",
                4 => "&",
                5 => "!=",
                6 => "s>",
                7 => "s>=",
                10 => "<",
                11 => "<=",
                12 => "s<",
                13 => "s<=",
                _ => return None,
            };
            let to = register(insn.dst, wide);
            let from = if from_register { register(insn.src, wide) } else { insn.imm.to_string() };
            let _ = write!(text, "if {to} {operator} {from} goto "); // a String takes everything
        }
    }
    match names.label {
        Some(label) => text.push_str(label),
        None => {
            let _ = write!(text, "{:+}", insn.jump()? - 1); // likewise
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use object::Endianness;

    use super::*;

    fn text(bytes: [u8; 8]) -> String {
        let mut out = String::new();
        let insn = Insn::decode(bytes, Endianness::Little);
        let zero = Insn::decode([0; 8], Endianness::Little);
        push(&mut out, insn, Some(zero), Names::default());
        out
    }

    /// Instructions that clang writes only from version 17 on, so that `tests/elf` cannot compare
    /// them.
    #[test]
    fn newer_instructions() {
        for (bytes, expected) in [
            ([0xbf, 0x12, 8, 0, 0, 0, 0, 0], "r2 = (s8)r1"),
            ([0xbc, 0x12, 16, 0, 0, 0, 0, 0], "w2 = (s16)w1"),
            ([0xbc, 0x12, 32, 0, 0, 0, 0, 0], ""),
            ([0xbf, 0x12, 1, 0, 1, 0, 0, 0], "r2 = addr_space_cast(r1, 0, 1)"),
            ([0x37, 0x01, 1, 0, 5, 0, 0, 0], "r1 s/= 5"),
            ([0x9f, 0x21, 1, 0, 0, 0, 0, 0], "r1 s%= r2"),
            ([0xd7, 0x01, 0, 0, 16, 0, 0, 0], "r1 = bswap16 r1"),
            ([0xd4, 0x01, 0, 0, 64, 0, 0, 0], "r1 = le64 r1"),
            ([0xd4, 0x01, 0, 0, 65, 0, 0, 0], ""),
            ([0x81, 0x21, 8, 0, 0, 0, 0, 0], "r1 = *(s32 *)(r2 + 8)"),
            ([0x99, 0x21, 8, 0, 0, 0, 0, 0], ""),
            ([0x72, 0x0a, 0xff, 0xff, 7, 0, 0, 0], "*(u8 *)(r10 - 1) = 7"),
            ([0x06, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], "gotol -1"),
            ([0xe5, 0, 2, 0, 0, 0, 0, 0], "may_goto +2"),
            ([0x46, 0x01, 3, 0, 8, 0, 0, 0], "if w1 & 8 goto +3"),
            ([0xdb, 0x21, 0, 0, 0, 1, 0, 0], "r1 = load_acquire((u64 *)(r2 + 0))"),
            ([0xd3, 0x21, 4, 0, 0x10, 1, 0, 0], "store_release((u8 *)(r1 + 4), w2)"),
            ([0xdb, 0x21, 0, 0, 0x51, 0, 0, 0], "r2 = atomic_fetch_and((u64 *)(r1 + 0), r2)"),
            ([0xc3, 0x21, 0, 0, 0xf1, 0, 0, 0], "w0 = cmpxchg32_32(r1 + 0, w0, w2)"),
            ([0xdb, 0x21, 0, 0, 0xf0, 0, 0, 0], ""),
            ([0x8d, 0x03, 0, 0, 0, 0, 0, 0], "callx r3"),
            ([0x30, 0, 0, 0, 14, 0, 0, 0], "r0 = *(u8 *)skb[14]"),
            ([0x18, 0x01, 0, 0, 0xff, 0xff, 0xff, 0xff], "r1 = 4294967295 ll"),
            ([0xb7, 0x0b, 0, 0, 0, 0, 0, 0], ""),
            ([0xff, 0, 0, 0, 0, 0, 0, 0], ""),
        ] {
            assert_eq!(text(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn half_a_wide_load_is_none() {
        let insn = Insn::decode([0x18, 1, 0, 0, 0, 0, 0, 0], Endianness::Little);
        assert!(!push(&mut String::new(), insn, None, Names::default()));
        assert!(!push(&mut String::new(), insn, Some(insn), Names::default()));
    }
}
