//! Numbers that go through a map keep what they mean.

use crate::compile::{compile, strip};
use crate::orders::shown;

#[test]
fn what_one_program_stores_and_another_sends_keeps_its_meaning() {
    let whole = compile("through", "bpfel", &[]);
    let mut record = 1_000_000_000_u64.to_le_bytes().to_vec();
    record.extend(5_u64.to_le_bytes());
    record.extend([10, 0, 0, 1]);
    record.extend(443_u16.to_be_bytes());
    record.extend(443_u16.to_be_bytes());
    for object in [&whole, &strip(&whole)] {
        let text = shown(object, "sent", &record);
        assert!(text.contains("v=20") && text.contains('T'), "a time: {text}");
        assert!(text.contains(" x=443 "), "from the network: {text}");
        // Sometimes it is the local port, which is a plain number.
        assert!(text.contains(&format!(" y={}", 443_u16.swap_bytes())), "{text}");
    }
}
