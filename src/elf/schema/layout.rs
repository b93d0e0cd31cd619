//! Does a struct have a member wherever a program writes?

use crate::elf::dataflow::Write;
use crate::elf::types::{Kind, TypeId, Types};

/// Members of all levels; a struct with more is not checked further.
const MAX_LEAVES: usize = 8192;
const MAX_DEPTH: usize = 24;

/// Whether what is written into an event can be written into this type. What is written
/// behind its end is a tail's.
pub(super) fn contains(types: &Types, ty: TypeId, writes: &[Write]) -> bool {
    let Some(size) = types.size(ty) else { return false };
    let mut layout = Layout { types, leaves: Vec::new() };
    layout.add(ty, 0, 0);
    if layout.leaves.len() >= MAX_LEAVES {
        return true;
    }
    writes.iter().filter(|write| write.offset < size).all(|write| {
        // Structs are cleared in words, wherever members begin.
        let clears = write.constants.as_deref() == Some(&[0]);
        clears || layout.allows(write.offset, write.width)
    })
}

struct Layout<'a> {
    types: &'a Types,
    /// First byte, byte behind, and whether writes may begin within
    leaves: Vec<(u64, u64, bool)>,
}

impl Layout<'_> {
    fn add(&mut self, ty: TypeId, at: u64, depth: usize) {
        if depth > MAX_DEPTH || self.leaves.len() >= MAX_LEAVES {
            return;
        }
        let types = self.types;
        let end = at.saturating_add(types.size(ty).unwrap_or(0));
        match types.resolved(ty) {
            Kind::Struct(body) | Kind::Union(body) => {
                for member in &body.members {
                    let start = at.saturating_add(u64::from(member.bit_offset) / 8);
                    match member.bit_size {
                        // Compilers write the whole storage unit.
                        Some(bits) => {
                            let bits = u64::from(member.bit_offset % 8 + bits);
                            let unit = start / 8 * 8;
                            self.leaves.push((unit, start + bits.div_ceil(8), true));
                        }
                        None => self.add(member.ty, start, depth + 1),
                    }
                    if self.leaves.len() >= MAX_LEAVES {
                        return;
                    }
                }
            }
            Kind::Array { count: 0, .. } => self.leaves.push((at, u64::MAX, true)),
            Kind::Array { .. } => self.leaves.push((at, end, true)),
            _ => self.leaves.push((at, end, false)),
        }
    }

    fn allows(&self, offset: u64, width: u64) -> bool {
        self.leaves.iter().any(|&(start, end, within)| {
            if within {
                (start..end).contains(&offset)
            } else {
                // A wider write is that of several members at once.
                start == offset && (width >= end - start || width.is_power_of_two())
            }
        })
    }
}
