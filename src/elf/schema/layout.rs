//! Does a struct have a member wherever a program writes?

use std::collections::HashSet;

use crate::elf::dataflow::Write;
use crate::elf::types::{Kind, TypeId, Types};

/// The most members of all levels; a struct with more is not checked further.
const MAX_LEAVES: usize = 8192;
const MAX_DEPTH: usize = 24;

/// Whether the sure writes into an event fit the members of this type. Writes behind its end belong
/// to a tail.
pub(super) fn contains(types: &Types, ty: TypeId, writes: &[Write]) -> bool {
    let Some(size) = types.size(ty) else { return false };
    let mut layout = Layout { types, leaves: Vec::new() };
    layout.add(ty, 0, 0);
    if types.steps.is_cut() {
        return false;
    }
    if layout.leaves.len() >= MAX_LEAVES {
        return true;
    }
    // Structs are cleared in words, wherever members begin.
    let mut sure = writes.iter().filter(|write| write.sure && write.offset < size);
    sure.all(|write| layout.allows(write, writes))
}

/// The names of the members around a place, of all levels.
pub(super) fn names<'t>(types: &'t Types, ty: TypeId, write: &Write) -> Vec<&'t str> {
    let (first, end) = (write.offset, write.offset.saturating_add(write.width));
    let mut names = Vec::new();
    let mut left = vec![(ty, 0_u64, 0)];
    let mut steps = MAX_LEAVES;
    while let Some((ty, at, depth)) = left.pop() {
        let Some(body) = types.composite(ty).filter(|_| depth < MAX_DEPTH) else { continue };
        for member in &body.members {
            steps = steps.saturating_sub(1);
            if steps == 0 || !types.steps.take(1) {
                return names;
            }
            let start = at.saturating_add(u64::from(member.bit_offset) / 8);
            let bytes = match member.bit_size {
                Some(bits) => u64::from(member.bit_offset % 8 + bits).div_ceil(8),
                None => types.size(member.ty).unwrap_or(0),
            };
            if start < end && (first < start.saturating_add(bytes) || bytes == 0) {
                names.extend(member.name.as_deref());
                let (element, size) = element(types, member.ty);
                let index = first.saturating_sub(start).checked_div(size).unwrap_or(0);
                left.push((element, start.saturating_add(index * size), depth + 1));
            }
        }
    }
    names
}

/// The element of an array, behind all dimensions, and its size; for other types, the type itself.
fn element(types: &Types, mut ty: TypeId) -> (TypeId, u64) {
    for _ in 0..MAX_DEPTH {
        match types.resolved(ty) {
            Kind::Array { element, .. } => ty = *element,
            _ => break,
        }
    }
    (ty, types.size(ty).unwrap_or(0))
}

/// The names of a struct and of all structs in it.
pub(super) fn inner_structs(types: &Types, ty: TypeId) -> HashSet<&str> {
    let mut inner = HashSet::new();
    let mut left = vec![(ty, 0)];
    let mut steps = MAX_LEAVES;
    while let Some((ty, depth)) = left.pop() {
        let ty = types.resolve(element(types, ty).0);
        let Some(body) = types.composite(ty).filter(|_| depth < MAX_DEPTH) else { continue };
        inner.extend(types.name(ty));
        steps = steps.saturating_sub(1 + body.members.len());
        if steps == 0 || !types.steps.take(1 + body.members.len()) {
            break;
        }
        left.extend(body.members.iter().map(|member| (member.ty, depth + 1)));
    }
    inner
}

struct Layout<'a> {
    types: &'a Types,
    /// First byte, end, and whether writes may begin within
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
                    if !types.steps.take(1) {
                        return;
                    }
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

    fn allows(&self, write: &Write, writes: &[Write]) -> bool {
        if !self.types.steps.take(self.leaves.len()) {
            return false;
        }
        self.leaves.iter().any(|&(start, end, within)| {
            if within {
                return (start..end).contains(&write.offset);
            }
            // A wider write covers several members at once.
            let whole = start == write.offset && write.width >= end - start;
            whole || ((start..end).contains(&write.offset) && in_pieces(start, end, write, writes))
        })
    }
}

/// Members of packed structs are written byte by byte: then every byte must be written.
fn in_pieces(start: u64, end: u64, write: &Write, writes: &[Write]) -> bool {
    let width = write.width;
    width > 0
        && (end - start) % width == 0
        && (0..(end - start) / width).all(|index| {
            let offset = start + index * width;
            let at = writes.partition_point(|w| (w.offset, w.width) < (offset, width));
            writes.get(at).is_some_and(|w| (w.offset, w.width) == (offset, width) && w.sure)
        })
}
