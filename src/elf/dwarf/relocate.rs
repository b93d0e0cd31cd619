//! Relocations in sections of debug information.

use std::borrow::Cow;

use object::Endianness;

use super::super::sections::{File, R_BPF_64_ABS64, Section};

/// A 32-bit address or offset.
const R_BPF_64_ABS32: u32 = 3;
/// A 32-bit offset that loaders may ignore.
const R_BPF_64_NODYLD32: u32 = 4;

/// A section's content with its relocations applied. Clang's need none: they add the
/// beginnings of other debug sections, which are 0.
pub(super) fn relocated<'d>(file: &File<'d>, section: &Section<'d>) -> Cow<'d, [u8]> {
    let mut data = Cow::Borrowed(section.data);
    for relocation in &section.relocations {
        let bytes = match relocation.kind {
            R_BPF_64_ABS64 => 8,
            R_BPF_64_ABS32 | R_BPF_64_NODYLD32 => 4,
            _ => continue,
        };
        let base = file.symbols.get(relocation.symbol).map_or(0, |symbol| symbol.value);
        if base == 0 && relocation.addend.is_none() {
            continue;
        }
        let Ok(from) = usize::try_from(relocation.offset) else { continue };
        let Some(end) = from.checked_add(bytes) else { continue };
        let Some(place) = data.to_mut().get_mut(from..end) else { continue };
        let is_big = file.endian == Endianness::Big;
        let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        let there =
            if is_big { place.iter().fold(0, join) } else { place.iter().rev().fold(0, join) };
        let addend = relocation.addend.map_or(there, |addend| addend as u64);
        let sum = base.wrapping_add(addend);
        let sum = if is_big { sum << (64 - 8 * bytes) } else { sum };
        let all = if is_big { sum.to_be_bytes() } else { sum.to_le_bytes() };
        for (to, byte) in place.iter_mut().zip(all) {
            *to = byte;
        }
    }
    data
}
