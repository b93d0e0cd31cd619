//! Numbers from bytes, in either byte order.

/// A whole number of up to 16 bytes. `None`: incomplete, or longer.
pub(super) fn unsigned(data: &[u8], offset: u64, bytes: u32, big_endian: bool) -> Option<u128> {
    let from = usize::try_from(offset).ok()?;
    let bytes = data.get(from..from.checked_add(bytes as usize)?)?;
    if bytes.len() > 16 {
        return None;
    }
    let join = |number, &byte| number << 8 | u128::from(byte);
    Some(if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) })
}

/// A bitfield of up to 64 bits, `at` bits from the start.
pub(super) fn bits(data: &[u8], at: u64, bits: u32, big_endian: bool) -> Option<u128> {
    if bits > 64 {
        return None;
    }
    let skip = u32::try_from(at % 8).ok()?;
    let bytes = (skip + bits).div_ceil(8);
    let number = unsigned(data, at / 8, bytes, big_endian)?;
    let number = if big_endian { number >> (bytes * 8 - skip - bits) } else { number >> skip };
    Some(number & ((1 << bits) - 1))
}

/// The same bits read as two's complement of this many.
pub(super) fn signed(number: u128, bits: u32) -> i128 {
    match 128_u32.checked_sub(bits) {
        None | Some(128) => 0,
        Some(unused) => ((number << unused) as i128) >> unused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders() {
        let data = [0, 1, 2, 3];
        assert_eq!(unsigned(&data, 1, 2, false), Some(0x0201));
        assert_eq!(unsigned(&data, 1, 2, true), Some(0x0102));
        assert_eq!(unsigned(&data, 3, 2, true), None);
        assert_eq!(unsigned(&data, u64::MAX, 1, true), None);
        assert_eq!(unsigned(&[1; 17], 0, 17, true), None);
        assert_eq!(unsigned(&[0xff; 16], 0, 16, true), Some(u128::MAX));
    }

    /// `struct { u32 a : 3, b : 7, c : 22; }`, as compilers lay it out in each byte order.
    #[test]
    fn bitfields() {
        let (a, b, c) = (5_u32, 0x55_u32, 0x2f_0f0f_u32);
        let little = (a | b << 3 | c << 10).to_le_bytes();
        let big = (a << 29 | b << 22 | c).to_be_bytes();
        for (data, big_endian) in [(little, false), (big, true)] {
            assert_eq!(bits(&data, 0, 3, big_endian), Some(a.into()));
            assert_eq!(bits(&data, 3, 7, big_endian), Some(b.into()));
            assert_eq!(bits(&data, 10, 22, big_endian), Some(c.into()));
        }
        assert_eq!(bits(&[0xff; 9], 7, 64, false), Some(u128::from(u64::MAX)));
        assert_eq!(bits(&[0xff; 8], 7, 64, false), None);
        assert_eq!(bits(&[0xff; 8], 0, 0, false), Some(0));
    }

    #[test]
    fn signs() {
        assert_eq!(signed(0b101, 3), -3);
        assert_eq!(signed(0xffff_fffe, 32), -2);
        assert_eq!(signed(u128::MAX, 128), -1);
        assert_eq!((signed(1, 0), signed(1, 200)), (0, 0));
    }
}
