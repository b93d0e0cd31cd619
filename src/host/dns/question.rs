//! The name in a question, as on the wire.

/// Bytes of the header of a message.
const HEADER: usize = 12;

/// The longest name, with its last label, which is empty.
const MOST: usize = 255;

/// Whether `message` is about the name with which `asked` begins; behind that may be anything.
pub(super) fn is_for(message: &[u8], asked: &[u8]) -> bool {
    let in_message = message.get(HEADER..).and_then(name);
    // Case does not count; some clients choose it at random, and compare it themselves.
    in_message.is_some_and(|one| name(asked).is_some_and(|two| one.eq_ignore_ascii_case(two)))
}

/// The name with which these bytes begin. In a question nothing is compressed.
fn name(bytes: &[u8]) -> Option<&[u8]> {
    let mut end = 0;
    loop {
        let len = usize::from(*bytes.get(end)?);
        end += 1 + len;
        match len {
            0 => return bytes.get(..end),
            1..=63 if end < MOST => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_end_where_they_say() {
        let message = |name: &[u8]| [&[0; HEADER][..], name, b"\0\x01\0\x01"].concat();
        let www = b"\x03www\x02de\0";
        assert!(is_for(&message(www), b"\x03wWw\x02DE\0 and more"));
        for other in [&b"\x03www\x02fr\0"[..], b"\x03www\0", b"\x03www\x02de", b"", b"\0"] {
            assert!(!is_for(&message(www), other), "{other:?}");
        }
        assert!(!is_for(&message(b"\xc0\x0c"), b"\xc0\x0c"), "compressed");
        assert!(!is_for(&message(&[1; 400]), &[1; 400]), "longer than names are");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(message: Vec<u8>, asked: Vec<u8>) {
            is_for(&message, &asked);
        }
    }
}
