//! Whole numbers: as text, and as bytes.

pub(super) fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-'])),
        None => digits.parse().ok(),
    }?;
    Some(if negative { -number } else { number })
}

pub(super) fn in_order(number: i128, size: u64, network: bool) -> Vec<u8> {
    let size = size.min(16) as usize;
    let mut bytes = number.to_le_bytes().get(..size).unwrap_or_default().to_vec();
    if network || cfg!(target_endian = "big") {
        bytes.reverse();
    }
    bytes
}
