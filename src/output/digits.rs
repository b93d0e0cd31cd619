//! Numbers as ASCII digits, for rows of which there may be millions a second.
//!
//! Copying a constant number of bytes takes a few instructions; copying the exact number of digits
//! takes a call. So we append the maximum, and then cut.

/// Numbers below this have at most eight digits.
const EIGHT_DIGITS: u32 = 100_000_000;

/// A few ASCII characters in a register, the first one in the lowest byte; 0 behind the last.
/// Padding in a register costs much less than moving bytes in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Short {
    bytes: u64,
    len: u32,
}

const SPACES: u64 = u64::from_le_bytes([b' '; 8]);

impl Short {
    /// The most characters that fit.
    pub const MAX: usize = 8;

    /// The first [`Self::MAX`] characters of a text.
    pub const fn new(text: &str) -> Self {
        let (mut rest, mut short) = (text.as_bytes(), Self { bytes: 0, len: 0 });
        while let [first, behind @ ..] = rest {
            short = short.and(*first);
            rest = behind;
        }
        short
    }

    /// A whole number, if it has at most eight digits and no sign.
    #[inline]
    pub fn number(number: impl TryInto<u32>) -> Option<Self> {
        let small = number.try_into().ok().filter(|&small| small < EIGHT_DIGITS)?;
        let digits = eight_digits(small);
        let zeros = (digits.trailing_zeros() / 8).min(7);
        Some(Self { bytes: (digits | ASCII_ZEROS) >> (8 * zeros), len: 8 - zeros })
    }

    /// With one more character, if there is room for it.
    #[inline]
    pub const fn and(self, character: u8) -> Self {
        match (character as u64).checked_shl(8 * self.len) {
            Some(bytes) => Self { bytes: self.bytes | bytes, len: self.len + 1 },
            None => self,
        }
    }

    #[inline]
    fn len(self) -> usize {
        self.len as usize
    }

    /// Appends them.
    #[inline]
    pub fn push(self, out: &mut Vec<u8>) {
        push_first(out, self.bytes, self.len());
    }

    /// Appends them, padded with spaces to `width`, or to [`Self::MAX`] if that is less; `right`:
    /// the spaces come first.
    #[inline]
    pub fn push_padded(self, out: &mut Vec<u8>, width: usize, right: bool) {
        let width = width.clamp(self.len(), Self::MAX);
        let bytes = if right {
            let padding = 8 * (width - self.len()) as u32;
            let spaces = SPACES.checked_shr(64 - padding).unwrap_or(0);
            self.bytes.checked_shl(padding).unwrap_or(0) | spaces
        } else {
            self.bytes | SPACES.checked_shl(8 * self.len).unwrap_or(0)
        };
        push_first(out, bytes, width);
    }
}

/// Appends the `len` lowest bytes, the lowest one first.
#[inline]
fn push_first(out: &mut Vec<u8>, bytes: u64, len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&bytes.to_le_bytes());
    out.truncate(end);
}

/// Appends a whole number.
#[inline]
pub fn push_number<N: itoa::Integer + Copy + TryInto<u32>>(out: &mut Vec<u8>, number: N) {
    match Short::number(number) {
        Some(short) => short.push(out),
        None => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
    }
}

/// Appends `0x7f…`.
#[inline]
pub fn push_hex(out: &mut Vec<u8>, value: u64) {
    let half = |out: &mut Vec<u8>, half: u32, digits: u32| {
        let shown = hex_digits(half) << (8 * (8 - digits));
        push_first(out, shown.swap_bytes(), digits as usize);
    };
    let (high, low) = ((value >> 32) as u32, value as u32);
    let digits = 16 - (value | 1).leading_zeros() / 4;
    out.extend_from_slice(b"0x");
    if digits > 8 {
        half(out, high, digits - 8);
        half(out, low, 8);
    } else {
        half(out, low, digits);
    }
}

/// A number below 10^9 with leading zeros.
pub(crate) fn nine_digits(number: u32) -> [u8; 9] {
    let mut digits = [b'0' + (number / EIGHT_DIGITS) as u8; 9];
    let below = eight_digits(number % EIGHT_DIGITS) | ASCII_ZEROS;
    if let Some(last) = digits.last_chunk_mut() {
        *last = below.to_le_bytes();
    }
    digits
}

/// `"00000000"`
const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

/// The digits of a number below [`EIGHT_DIGITS`], the first one in the lowest byte. Splits into
/// halves three times, all parts of the word at once; multiplying and shifting divides by 100 and
/// by 10.
#[inline]
fn eight_digits(number: u32) -> u64 {
    let fours = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - tens * 10) << 8
}

/// All eight digits, the last one in the lowest byte.
#[inline]
fn hex_digits(value: u32) -> u64 {
    let spread = u64::from(value);
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let is_letter = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (spread | ASCII_ZEROS) + is_letter * u64::from(b'a' - b'0' - 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number<N: itoa::Integer + Copy + TryInto<u32>>(number: N) -> String {
        let mut out = b"x".to_vec();
        push_number(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    fn hex(value: u64) -> String {
        let mut out = b"x".to_vec();
        push_hex(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_of_each_length() {
        for digits in 0..20 {
            let power = 10u64.pow(digits);
            for value in [power - 1, power, power + 1] {
                assert_eq!(number(value), format!("x{value}"));
            }
        }
        for value in [0, 1, -1, i32::MIN, i32::MAX] {
            assert_eq!(number(value), format!("x{value}"));
        }
        for bits in 0..64 {
            let value = 1u64 << bits;
            assert_eq!(hex(value), format!("x{value:#x}"));
            assert_eq!(hex(value - 1), format!("x{:#x}", value - 1));
        }
        assert_eq!(hex(u64::MAX), "x0xffffffffffffffff");
    }

    #[test]
    fn four_digits_are_all_right() {
        for value in 0..10_000u32 {
            assert_eq!(number(value), format!("x{value}"));
            assert_eq!(number(value * 10_000), format!("x{}", value * 10_000));
        }
    }

    #[test]
    fn padding() {
        for text in ["", "7", "1234", "01234567"] {
            let short = Short::new(text);
            assert_eq!(short.len(), text.len());
            for width in 0..=Short::MAX {
                for right in [false, true] {
                    let mut out = b"x".to_vec();
                    short.push_padded(&mut out, width, right);
                    let padded =
                        if right { format!("x{text:>width$}") } else { format!("x{text:width$}") };
                    assert_eq!(String::from_utf8(out).unwrap(), padded);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_number(value: u64, small in 0..EIGHT_DIGITS, nanos in 0u32..1_000_000_000) {
            prop_assert_eq!(number(value), format!("x{value}"));
            prop_assert_eq!(number(small), format!("x{small}"));
            prop_assert_eq!(hex(value), format!("x{value:#x}"));
            let nine = nine_digits(nanos);
            prop_assert_eq!(std::str::from_utf8(&nine).unwrap(), format!("{nanos:09}"));
        }
    }
}
