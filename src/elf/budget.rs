//! What a file may make of itself: limits for every place where memory or output could grow faster
//! than the file.
//!
//! A reader that meets its limit stops there, and says so: in the output where something is cut, and
//! in one line of damage. Never silently, because half of a list looks like all of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The most functions of an object, and maps, and variables, and symbols that it expects. Each takes
/// ten times as much memory as its place in the file.
pub const ITEMS: usize = 1 << 16;
/// The most bytes of types as C, of one object: the whole kernel has a tenth of it.
pub const C_BYTES: usize = 48 << 20;
/// The most bytes of one C name, such as the type of a member.
pub const C_NAME_BYTES: usize = 1 << 14;
/// The most bytes of one definition in C.
pub const C_DEFINITION_BYTES: usize = 1 << 18;
/// The most comparisons of types, members and writes in the search for the types of all events.
pub const MATCH_STEPS: usize = 1 << 27;
/// The most kinds of events of an object.
pub const SCHEMAS: usize = 1 << 12;
/// The most fields of all types whose values are shown. One with long names counts as several.
pub const FIELDS: usize = 1 << 17;
/// The most values of all variables. An array counts as many, also where it is written as one.
pub const VALUES: usize = 1 << 21;
/// The most bytes that `inspect` writes. The largest program that the kernel accepts has about this
/// many as text, with all its source lines.
pub const OUTPUT_BYTES: usize = 96 << 20;

/// An amount to spend, shared by all that spend it. Counts steps or bytes, never time, so that the
/// same file always gives the same output.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
    cut: AtomicBool,
}

impl Budget {
    /// This much.
    pub const fn new(amount: usize) -> Self {
        Self { left: AtomicUsize::new(amount), cut: AtomicBool::new(false) }
    }

    /// Spends `amount`. False: there is less left, and there will be nothing from now on.
    pub fn take(&self, amount: usize) -> bool {
        let left = self.left();
        let rest = left.checked_sub(amount);
        self.left.store(rest.unwrap_or(0), Ordering::Relaxed);
        if rest.is_none() {
            self.cut.store(true, Ordering::Relaxed);
        }
        rest.is_some()
    }

    /// Takes back what was spent for nothing, unless something was refused already.
    pub fn put_back(&self, amount: usize) {
        if !self.is_cut() {
            self.left.store(self.left().saturating_add(amount), Ordering::Relaxed);
        }
    }

    /// The rest.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether something was refused, and is missing.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

/// A copy has the same rest, to be spent by itself.
impl Clone for Budget {
    fn clone(&self) -> Self {
        Self { left: AtomicUsize::new(self.left()), cut: AtomicBool::new(self.is_cut()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone() {
        let budget = Budget::new(10);
        assert!(budget.take(4) && budget.take(6) && !budget.is_cut());
        assert!(budget.take(0) && !budget.is_cut(), "nothing is always there");
        assert!(!budget.take(1) && budget.is_cut());
        budget.put_back(5);
        assert!(!budget.take(1), "too late");
    }

    #[test]
    fn a_refusal_is_final() {
        let budget = Budget::new(10);
        assert!(!budget.take(11));
        assert!(!budget.take(1), "half of something would be taken for all of it");
        assert!(budget.clone().is_cut());
    }
}
