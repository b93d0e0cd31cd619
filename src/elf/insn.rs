//! Instructions, as RFC 9669 defines them.

use object::Endianness;

/// The size of one; [`Insn::is_wide`] ones take two.
pub const BYTES: usize = 8;

/// One slot of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Class in the low three bits
    pub opcode: u8,
    /// 0 to 15, of which 0 to 10 exist
    pub dst: u8,
    /// 0 to 15; in calls and wide loads, the meaning of `imm`
    pub src: u8,
    /// Offset of memory, or of a jump
    pub off: i16,
    /// Constant
    pub imm: i32,
}

impl Insn {
    /// `lddw`: the first of two slots, which hold 64 bits.
    pub const LDDW: u8 = 0x18;
    /// A call.
    pub const CALL: u8 = 0x85;
    /// The end of a function.
    pub const EXIT: u8 = 0x95;
    /// A jump by `off`.
    pub const JA: u8 = 0x05;
    /// A jump by `imm`.
    pub const JA32: u8 = 0x06;
    /// `src` of a call: to a function of this object, `imm` relative to the next slot.
    pub const PSEUDO_CALL: u8 = 1;
    /// `src` of a call: to a function of the kernel by its BTF id.
    pub const PSEUDO_KFUNC_CALL: u8 = 2;
    /// `src` of a wide load: a function of this object.
    pub const PSEUDO_FUNC: u8 = 4;

    /// From eight bytes.
    pub fn decode(bytes: [u8; BYTES], endian: Endianness) -> Self {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes;
        let (low, high) = (registers & 15, registers >> 4);
        match endian {
            Endianness::Little => Self {
                opcode,
                dst: low,
                src: high,
                off: i16::from_le_bytes([o0, o1]),
                imm: i32::from_le_bytes([i0, i1, i2, i3]),
            },
            // The registers are bit fields, and change places too.
            Endianness::Big => Self {
                opcode,
                dst: high,
                src: low,
                off: i16::from_be_bytes([o0, o1]),
                imm: i32::from_be_bytes([i0, i1, i2, i3]),
            },
        }
    }

    /// Back to eight bytes.
    pub fn encode(self, endian: Endianness) -> [u8; BYTES] {
        let (registers, [o0, o1], [i0, i1, i2, i3]) = match endian {
            Endianness::Little => {
                (self.src << 4 | self.dst, self.off.to_le_bytes(), self.imm.to_le_bytes())
            }
            Endianness::Big => {
                (self.dst << 4 | self.src, self.off.to_be_bytes(), self.imm.to_be_bytes())
            }
        };
        [self.opcode, registers, o0, o1, i0, i1, i2, i3]
    }

    /// All slots of a piece of code; an incomplete last one is left out.
    pub fn decode_all(code: &[u8], endian: Endianness) -> Vec<Self> {
        let chunks = code.chunks_exact(BYTES).filter_map(<[u8]>::first_chunk);
        chunks.map(|&bytes| Self::decode(bytes, endian)).collect()
    }

    /// Whether the next slot belongs to it.
    pub fn is_wide(self) -> bool {
        self.opcode == Self::LDDW
    }

    /// The class: `LD` 0, `LDX` 1, `ST` 2, `STX` 3, `ALU` 4, `JMP` 5, `JMP32` 6, `ALU64` 7.
    pub fn class(self) -> u8 {
        self.opcode & 7
    }

    /// Whether it reads or writes memory.
    pub fn is_memory(self) -> bool {
        matches!(self.class(), 1..=3)
    }

    /// The target of a jump, in slots from its own.
    pub fn jump(self) -> Option<i64> {
        let is_jump = matches!(self.class(), 5 | 6);
        let distance = match self.opcode {
            Self::CALL | Self::EXIT => return None,
            Self::JA32 => i64::from(self.imm),
            // Calls through a register, and opcodes that do not exist.
            opcode if !is_jump || opcode >> 4 == 8 || opcode >> 4 == 9 => return None,
            _ => i64::from(self.off),
        };
        Some(distance + 1)
    }
}
