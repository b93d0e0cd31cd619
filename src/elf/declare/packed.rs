//! Whether a struct needs `packed` in C.

use crate::elf::types::{Composite, Kind, TypeId, Types};

/// The most members to look at for the alignment of one struct, in all levels.
pub(super) const MAX_ALIGNED: usize = 1 << 14;
/// The most structs in structs, or arrays of arrays: circles end here.
const MAX_DEPTH: usize = 32;

impl Types {
    /// Whether a compiler would lay out a struct differently without `packed`: a member is not where
    /// its alignment puts it, or the size is not a multiple of the largest alignment. `None`: there
    /// are too many members, or structs in structs, to know.
    pub(super) fn is_packed(&self, body: &Composite) -> Option<bool> {
        let mut left = MAX_ALIGNED;
        self.layout(body, &mut left, 0).map(|(packed, _)| packed)
    }

    /// Whether a struct is packed, and its alignment in bytes. `left`: members to look at.
    fn layout(&self, body: &Composite, left: &mut usize, depth: usize) -> Option<(bool, u64)> {
        let (mut packed, mut largest) = (false, 1);
        for member in &body.members {
            *left = left.checked_sub(1).filter(|_| self.steps.take(1))?;
            let align = self.alignment(member.ty, left, depth)?;
            largest = largest.max(align);
            packed |= member.bit_size.is_none() && u64::from(member.bit_offset / 8) % align != 0;
        }
        packed |= body.bytes % largest != 0;
        Some((packed, if packed { 1 } else { largest }))
    }

    /// `_Alignof` in BPF.
    fn alignment(&self, mut ty: TypeId, left: &mut usize, depth: usize) -> Option<u64> {
        for _ in 0..MAX_DEPTH {
            match self.resolved(ty) {
                Kind::Array { element, .. } => ty = *element,
                Kind::Struct(body) | Kind::Union(body) => {
                    let deeper = (depth < MAX_DEPTH).then_some(depth + 1)?;
                    return self.layout(body, left, deeper).map(|(_, align)| align);
                }
                _ => return Some(self.size(ty).filter(|s| s.is_power_of_two()).unwrap_or(1)),
            }
        }
        None
    }
}
