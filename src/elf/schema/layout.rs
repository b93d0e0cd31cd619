//! Can a record be of a type: its sizes, and a member wherever a program writes?

use std::collections::{BTreeSet, HashSet};

use super::only_size;
use crate::elf::dataflow::{Emission, Write};
use crate::elf::types::{Kind, TypeId, Types};

/// The most members of all levels; a struct with more is not checked further.
const MAX_LEAVES: usize = 8192;
const MAX_DEPTH: usize = 24;

/// How much of a record a type describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    /// All of it, in all its sizes
    Whole,
    /// The record ends before the type does: within an array, or before a member
    Cut,
    /// The fixed part of a longer record
    Start,
}

/// The rule for all sources of types: how much of the record the type describes, if the sizes of the
/// record and all sure writes allow the type. `None`: the record is something else.
pub(super) fn extent(types: &Types, ty: TypeId, sent: &Emission) -> Option<Extent> {
    let size = types.size(ty)?;
    let layout = Layout::new(types, ty, sent)?;
    if layout.leaves.len() >= MAX_LEAVES {
        return (sent.sizes.as_ref() == Some(&BTreeSet::from([size]))).then_some(Extent::Whole);
    }
    if !layout.contains(size, &sent.writes) {
        return None;
    }
    // Behind a struct in a record of one size are more fields; in others it may be a tail.
    let one_size = sent.sizes.as_ref().is_some_and(|sizes| sizes.len() == 1);
    if one_size && !layout.is_open() && writes_beyond(size, sent) {
        return None;
    }
    let Some(sizes) = &sent.sizes else { return Some(Extent::Start) };
    if !types.steps.take(sizes.len() * layout.leaves.len()) {
        return None;
    }
    let mut all = Extent::Whole;
    for &sent in sizes {
        all = all.max(match sent {
            _ if sent > size => Extent::Start,
            _ if sent >= layout.used() => Extent::Whole,
            _ if layout.can_end_at(sent) => Extent::Cut,
            _ => return None,
        });
    }
    Some(all)
}

/// Whether a struct ends with an array of any length.
pub(super) fn is_open(types: &Types, ty: TypeId) -> bool {
    let last = types.composite(ty).and_then(|body| body.members.last());
    last.is_some_and(|member| matches!(types.resolved(member.ty), Kind::Array { count: 0, .. }))
}

/// Whether the record can begin with a type, whatever is behind it.
pub(super) fn begins(types: &Types, ty: TypeId, sent: &Emission) -> bool {
    types.size(ty).is_some_and(|size| {
        let long = sent.sizes.as_ref().is_none_or(|sizes| sizes.iter().all(|&sent| sent >= size));
        let fits = |layout: Layout<'_>| layout.contains(size, &sent.writes);
        long && Layout::new(types, ty, sent).is_some_and(fits)
    })
}

/// The first sure write that a type has no member for.
pub(super) fn contradiction<'e>(
    types: &Types,
    ty: TypeId,
    sent: &'e Emission,
) -> Option<&'e Write> {
    let (size, layout) = (types.size(ty)?, Layout::new(types, ty, sent)?);
    let one_size = only_size(sent).is_some() && !layout.is_open();
    sent.writes.iter().filter(|write| write.sure).find(|write| match write.offset < size {
        true => !layout.allows(write, &sent.writes),
        false => one_size,
    })
}

/// Whether all sure writes are into the members of a type, and none behind it.
pub(super) fn leaves_fit(types: &Types, ty: TypeId, sent: &Emission) -> bool {
    let Some(size) = types.size(ty).filter(|&size| !writes_beyond(size, sent)) else {
        return false;
    };
    Layout::new(types, ty, sent).is_some_and(|layout| layout.contains(size, &sent.writes))
}

/// Whether each sure write is one member of a type, not several stored together nor a part of one.
pub(super) fn leaves_match(types: &Types, ty: TypeId, sent: &Emission) -> bool {
    let Some(layout) = Layout::new(types, ty, sent) else { return false };
    let sure = || sent.writes.iter().filter(|write| write.sure);
    if !types.steps.take(layout.leaves.len() * sure().count()) {
        return false;
    }
    sure().all(|write| {
        // Compilers store constants and copies of neighbours together.
        let together = write.width > 1 && (write.constants.is_some() || write.copied.is_some());
        layout.leaves.iter().any(|&Leaf { start, end, within, .. }| {
            let whole = start == write.offset && (write.width == end - start || write.filled);
            (whole && !together) || (within && (start..end).contains(&write.offset))
        })
    })
}

/// Whether the program surely writes behind this many bytes.
pub(super) fn writes_beyond(size: u64, sent: &Emission) -> bool {
    sent.writes.iter().any(|write| write.sure && write.offset >= size)
}

/// The most bytes of padding at the end of a type: a line of the cache.
const MAX_PADDING: u64 = 63;

/// Whether the record is of one size, which is the type's, with or without the padding at its end.
pub(super) fn is_exact(types: &Types, ty: TypeId, sent: &Emission) -> bool {
    // Searches ask this of all types of an object: few are worth a look at their members.
    let padding = only_size(sent).and_then(|only| types.size(ty)?.checked_sub(only));
    padding.is_some_and(|padding| padding <= MAX_PADDING)
        && extent(types, ty, sent) == Some(Extent::Whole)
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

/// A member of the lowest level.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    start: u64,
    end: u64,
    /// Writes may begin and end within
    within: bool,
    /// A record may end within
    array: bool,
}

/// The members of a type that a record can have.
struct Layout<'a> {
    types: &'a Types,
    leaves: Vec<Leaf>,
    /// The record ends here, with all writes: what begins later is not looked at. Many structs of the
    /// kernel are much longer than any record
    limit: u64,
    /// The end of what is not looked at
    beyond: u64,
}

impl<'a> Layout<'a> {
    /// `None`: there were too many steps.
    fn new(types: &'a Types, ty: TypeId, sent: &Emission) -> Option<Self> {
        let written = sent.writes.iter().map(|write| write.offset.saturating_add(1)).max();
        let longest = sent.sizes.as_ref().and_then(|sizes| sizes.last().copied());
        let limit = written.max(longest).unwrap_or(0);
        let mut layout = Layout { types, leaves: Vec::new(), limit, beyond: 0 };
        // For the writes, which are gone through here and later.
        types.steps.take(sent.writes.len() / 8).then_some(())?;
        layout.add(ty, 0, 0);
        (!types.steps.is_cut()).then_some(layout)
    }

    fn add(&mut self, ty: TypeId, at: u64, depth: usize) {
        if depth > MAX_DEPTH || self.leaves.len() >= MAX_LEAVES {
            return;
        }
        let types = self.types;
        let end = at.saturating_add(types.size(ty).unwrap_or(0));
        if at >= self.limit {
            self.beyond = self.beyond.max(end);
            return;
        }
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
                            let (unit, end) = (start / 8 * 8, start + bits.div_ceil(8));
                            self.leaves.push(Leaf { start: unit, end, within: true, array: false });
                        }
                        None => self.add(member.ty, start, depth + 1),
                    }
                    if self.leaves.len() >= MAX_LEAVES {
                        return;
                    }
                }
            }
            Kind::Array { count: 0, .. } => {
                self.leaves.push(Leaf { start: at, end: u64::MAX, within: true, array: true });
            }
            Kind::Array { .. } => {
                self.leaves.push(Leaf { start: at, end, within: true, array: true });
            }
            _ => self.leaves.push(Leaf { start: at, end, within: false, array: false }),
        }
    }

    /// The end of the last member: padding may follow.
    fn used(&self) -> u64 {
        let ends = self.leaves.iter().filter(|leaf| leaf.end < u64::MAX).map(|leaf| leaf.end);
        ends.max().unwrap_or(0).max(self.beyond)
    }

    /// Whether an array of any length is in it, as far as it is looked at.
    fn is_open(&self) -> bool {
        self.leaves.iter().any(|leaf| leaf.end == u64::MAX)
    }

    /// Whether a record can end before the type does: not within a number and, if the type begins
    /// with an array, not within that, since the record can be the array alone.
    fn can_end_at(&self, at: u64) -> bool {
        let first = self.leaves.iter().filter(|leaf| leaf.start == 0).map(|leaf| leaf.end).max();
        let whole = |leaf: &Leaf| leaf.end <= at || leaf.start >= at || leaf.array;
        first.is_some_and(|first| at > first) && self.leaves.iter().all(whole)
    }

    /// Whether the sure writes before `size` fit the members. Structs are cleared in words, wherever
    /// members begin, so zeros say nothing.
    fn contains(&self, size: u64, writes: &[Write]) -> bool {
        let mut sure = writes.iter().filter(|write| write.sure && write.offset < size);
        sure.all(|write| self.allows(write, writes))
    }

    fn allows(&self, write: &Write, writes: &[Write]) -> bool {
        if !self.types.steps.take(self.leaves.len()) {
            return false;
        }
        self.leaves.iter().any(|&Leaf { start, end, within, .. }| {
            if within {
                return (start..end).contains(&write.offset);
            }
            // A wider write covers several members at once, and a helper may fill the first bytes.
            let whole = start == write.offset && (write.width >= end - start || write.filled);
            whole
                || ((start..end).contains(&write.offset)
                    && self.in_pieces(start, end, write, writes))
        })
    }

    /// Members of packed structs are written byte by byte: then every byte must be written. The zeros
    /// of a constant count.
    fn in_pieces(&self, start: u64, end: u64, write: &Write, writes: &[Write]) -> bool {
        let width = write.width;
        width > 0
            && (end - start) % width == 0
            && (0..(end - start) / width).all(|index| {
                let offset = start + index * width;
                let at = writes.partition_point(|w| (w.offset, w.width) < (offset, width));
                // A number of the file may be as long as all writes.
                self.types.steps.take(1)
                    && writes.get(at).is_some_and(|w| (w.offset, w.width) == (offset, width))
            })
    }
}
