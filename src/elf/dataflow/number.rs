//! Numbers whose source is known, and what a program does to their bytes on the way.

/// Where a number comes from. Instructions are a function and a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A member of one of the kernel's structs, which this instruction names by CO-RE
    Member(u32, u32),
    /// Something unknown, whose bytes this instruction swaps
    Swapped(u32, u32),
    /// The result of this helper, or a part of it
    Helper(i32, Part),
    /// A clock was read, and something subtracted from it
    Duration,
    /// The number of a stack in this map: index in `Object::maps`
    StackId {
        map: u32,
        /// Whether it is the program's stack, if that is constant
        user: Option<bool>,
    },
}

/// A part of a helper's result: two of them are in `bpf_get_current_pid_tgid()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All 64 bits
    Whole,
    /// The lower 32 bits
    Low,
    /// The upper 32 bits
    High,
    /// Both halves, the lower one above: members beside each other that are stored at once
    Exchanged,
}

/// A number in a register or in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    pub source: Source,
    /// Bytes that it has
    pub bytes: u16,
    /// Its bytes are in the other order than where it comes from
    pub swapped: bool,
    /// Bits that it was moved to the left
    shift: i16,
}

impl Number {
    pub(super) fn new(source: Source, bytes: i64) -> Self {
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        Self { source, bytes, swapped: false, shift: 0 }
    }

    /// Something unknown of `bits`, whose bytes this instruction has swapped.
    pub(super) fn swapped_by(function: u32, slot: u32, bits: i32) -> Self {
        let number = Self::new(Source::Swapped(function, slot), i64::from(bits / 8));
        Self { swapped: true, ..number }
    }

    /// The result of a helper.
    pub(super) fn result(helper: i32) -> Self {
        Self::new(Source::Helper(helper, Part::Whole), 8)
    }

    /// The first bit behind it.
    fn end(self) -> i32 {
        i32::from(self.shift) + i32::from(self.bytes) * 8
    }

    fn at(self, shift: i32) -> Option<Self> {
        Some(Self { shift: i16::try_from(shift).ok()?, ..self })
    }

    /// One half of a helper's result.
    fn half(self, part: Part, shift: i32) -> Option<Self> {
        match self.source {
            // It has 32 bits; the others are its sign.
            Source::StackId { .. } if part == Part::Low && !self.swapped => {
                Self { bytes: 4, ..self }.at(shift)
            }
            Source::Helper(helper, Part::Whole) if self.shift == 0 && !self.swapped => {
                Self { source: Source::Helper(helper, part), bytes: 4, ..self }.at(shift)
            }
            _ => None,
        }
    }

    /// The lower `bits`, such as a 32-bit register has.
    pub(super) fn cut(self, bits: i32) -> Option<Self> {
        match bits {
            _ if self.end() <= bits => Some(self),
            32 => self.half(Part::Low, 0),
            _ => None,
        }
    }

    /// The bytes of the lower `bits` in the other order.
    pub(super) fn swap(self, bits: i32) -> Option<Self> {
        let whole = self.shift >= 0 && self.end() <= bits && self.bytes > 1;
        let swapped = Self { swapped: !self.swapped, ..self };
        whole.then(|| swapped.at(bits - self.end())).flatten()
    }

    /// Moved to the left in a register of `bits`.
    pub(super) fn left(self, by: i32, bits: i32) -> Option<Self> {
        if self.end() + by > bits {
            return if (by, bits) == (32, 64) { self.half(Part::Low, 32) } else { None };
        }
        self.at(i32::from(self.shift) + by)
    }

    /// Moved to the right.
    pub(super) fn right(self, by: i32) -> Option<Self> {
        if let Some(high) = self.half(Part::High, 0).filter(|_| by == 32) {
            return Some(high);
        }
        let (shift, bits) = (i32::from(self.shift) - by, i32::from(self.bytes) * 8);
        // An unknown number was narrower than the swap: its bytes are the upper ones.
        let narrower = matches!(self.source, Source::Swapped(..)) && self.shift == 0;
        if narrower && by < bits && matches!(by, 16 | 32 | 48) {
            return Some(Self { bytes: u16::try_from((bits - by) / 8).ok()?, ..self });
        }
        (-8..).contains(&shift).then(|| self.at(shift)).flatten()
    }

    /// With the bits of a mask.
    pub(super) fn and(self, mask: u64) -> Option<Self> {
        let covers = |first: i32, end: i32| (first.max(0)..end.min(64)).all(|b| mask >> b & 1 == 1);
        if covers(self.shift.into(), self.end()) {
            return Some(self);
        }
        // Half of a swap by hand.
        let half = self.bytes == 2
            && match self.shift {
                8 => covers(8, 16),
                -8 => covers(0, 8),
                _ => false,
            };
        match mask {
            _ if half => Some(self),
            0xffff_ffff => self.half(Part::Low, 0),
            _ => None,
        }
    }

    /// Two bytes that were moved to the left and to the right: swapped by hand. Or the two halves of
    /// a helper's result.
    pub(super) fn or(self, other: Self) -> Option<Self> {
        let (below, above) = if self.shift < other.shift { (self, other) } else { (other, self) };
        if let (Source::Helper(helper, Part::High), Source::Helper(same, Part::Low)) =
            (below.source, above.source)
        {
            let exchanged = helper == same && (below.shift, above.shift) == (0, 32);
            return exchanged
                .then(|| Self::new(Source::Helper(helper, Part::Exchanged), 8))
                .filter(|_| !below.swapped && !above.swapped);
        }
        let back = |number: Self| Self { shift: 0, ..number };
        let shifts = (self.shift, other.shift);
        let halves = self.bytes == 2 && back(self) == back(other);
        (halves && matches!(shifts, (8, -8) | (-8, 8)))
            .then(|| Self { swapped: !self.swapped, ..back(self) })
    }

    /// As it is in `bytes` of memory. `None`: only a part of it.
    pub(super) fn stored(self, bytes: u64) -> Option<Self> {
        if bytes == 4 && self.bytes == 8 {
            return self.half(Part::Low, 0);
        }
        (self.shift == 0 && bytes >= u64::from(self.bytes)).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(bytes: i64) -> Number {
        Number::new(Source::Member(0, 1), bytes)
    }

    #[test]
    fn swaps_of_all_widths_come_back_to_their_place() {
        let swapped = |number: Number| (number.swapped, number.shift, number.bytes);
        assert_eq!(member(2).swap(16).map(swapped), Some((true, 0, 2)));
        assert_eq!(member(4).swap(32).map(swapped), Some((true, 0, 4)));
        let wide = member(2).swap(64).unwrap();
        assert_eq!(wide.stored(2), None, "it is in the upper bytes");
        assert_eq!(wide.right(48).map(swapped), Some((true, 0, 2)));
        let moved = member(2).left(48, 64).and_then(|number| number.swap(64));
        assert_eq!(moved.map(swapped), Some((true, 0, 2)));
        assert_eq!(member(4).swap(16), None, "half of it");
        assert_eq!(member(1).swap(16), None);
        assert_eq!(member(4).swap(32).and_then(|n| n.swap(32)), Some(member(4)), "back again");
    }

    #[test]
    fn two_bytes_can_be_swapped_by_hand() {
        let (high, low) = (member(2).left(8, 32).unwrap(), member(2).right(8).unwrap());
        let both = high.or(low).unwrap();
        assert!(both.swapped && both.shift == 0);
        assert_eq!(low.or(high), Some(both));
        let masked = high.and(0xff00).unwrap().or(low.and(0xff).unwrap());
        assert_eq!(masked, Some(both));
        assert_eq!(high.or(high), None);
        assert_eq!(high.and(0xff), None);
        assert_eq!(member(4).left(8, 64).unwrap().or(member(4).right(8).unwrap()), None);
    }

    #[test]
    fn an_unknown_number_is_as_wide_as_is_kept() {
        let swapped = Number { swapped: true, ..Number::new(Source::Swapped(0, 1), 4) };
        assert_eq!(swapped.right(16).map(|number| (number.bytes, number.shift)), Some((2, 0)));
        assert_eq!(member(4).swap(32).unwrap().right(16), None);
    }

    #[test]
    fn halves_of_results() {
        let both = Number::result(14);
        let part = |number: Option<Number>| number.map(|number| number.source);
        let high = Some(Source::Helper(14, Part::High));
        let low = Some(Source::Helper(14, Part::Low));
        assert_eq!(part(both.right(32)), high);
        assert_eq!(part(both.stored(4)), low);
        assert_eq!(part(both.cut(32)), low);
        assert_eq!(part(both.and(0xffff_ffff)), low);
        assert_eq!(part(both.left(32, 64).and_then(|number| number.right(32))), low);
        assert_eq!(part(both.right(32).and_then(|number| number.stored(4))), high);
        assert_eq!(both.stored(2), None);
        let (low, high) = (both.left(32, 64).unwrap(), both.right(32).unwrap());
        let exchanged = Some(Source::Helper(14, Part::Exchanged));
        assert_eq!(part(low.or(high)), exchanged);
        assert_eq!(part(high.or(low).and_then(|number| number.stored(8))), exchanged);
        assert_eq!(low.or(Number::result(15).right(32).unwrap()), None);
        assert_eq!(high.or(high), None);
        assert_eq!(member(8).left(32, 64), None);
    }
}
