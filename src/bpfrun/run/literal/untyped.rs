//! Values of which only the size is known.

use std::net::IpAddr;

use super::number::{in_order, number};

/// The bytes of a value without a type: a number that has room in `size`, an address, or `hex:` and
/// the digits of all bytes.
pub(in crate::bpfrun::run) fn raw(size: u64, value: &str) -> Result<Vec<u8>, String> {
    if let Some(digits) = value.strip_prefix("hex:") {
        let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2));
        let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok());
        let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or("hex: needs pairs of digits")?;
        if bytes.len() as u64 != size {
            return Err(format!("has {size} bytes, and {value} is {}", bytes.len()));
        }
        return Ok(bytes);
    }
    match value.parse() {
        Ok(IpAddr::V4(address)) if size == 4 => return Ok(address.octets().to_vec()),
        Ok(IpAddr::V6(address)) if size == 16 => return Ok(address.octets().to_vec()),
        _ => {}
    }
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(format!("has {size} bytes of unknown type: give them as hex:0102..."));
    }
    let number = number(value).ok_or_else(|| {
        format!("{value:?} is not valid: its type is not known, so give a number or hex:0102...")
    })?;
    let bits = size * 8;
    let (least, most) = (-(1i128 << (bits - 1)), (1i128 << bits) - 1);
    if !(least..=most).contains(&number) {
        return Err(format!("{value} has no room in {size} bytes"));
    }
    Ok(in_order(number, size, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_a_type() {
        assert_eq!(raw(4, "-1"), Ok(vec![255; 4]));
        assert_eq!(raw(2, "0x102"), Ok(0x102_u16.to_ne_bytes().to_vec()));
        assert_eq!(raw(4, "127.0.0.1"), Ok(vec![127, 0, 0, 1]));
        assert_eq!(raw(3, "hex:01fF00"), Ok(vec![1, 255, 0]));
        for (size, value, error) in [
            (1, "256", "256 has no room in 1 bytes"),
            (3, "1", "has 3 bytes of unknown type"),
            (2, "hex:01", "has 2 bytes, and hex:01 is 1"),
            (2, "hex:0", "pairs of digits"),
            (1, "hex:\u{e4}", "pairs of digits"),
            (4, "x", "its type is not known"),
        ] {
            let said = raw(size, value).unwrap_err();
            assert!(said.contains(error), "{value}: {said}");
        }
    }
}
