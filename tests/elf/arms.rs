//! Members of unions, of which a record has one.

use crate::compile::{compile, strip, without_lines};
use crate::orders::shown;

fn record(kind: u32, first: u32, second: u32) -> Vec<u8> {
    [kind, 1, first, second].map(u32::to_le_bytes).concat()
}

#[test]
fn the_member_that_a_record_has() {
    let whole = compile("arms", "bpfel", &[]);
    let stripped = strip(&whole);
    for data in [&whole, &stripped, &without_lines(&stripped)] {
        // By numbers that the programs write.
        let opened = "kind=7 pid=1 opened.flags=0x5 opened.mode=6";
        assert_eq!(shown(data, "numbers", &record(7, 5, 6)), opened);
        assert_eq!(shown(data, "numbers", &record(9, 5, 0)), "kind=9 pid=1 closed.fd=5");
        // By the names of an enum's values.
        let opened = "what=WHAT_OPENED(1) pid=1 of.opened.flags=0x5 of.opened.mode=6";
        assert_eq!(shown(data, "enums", &record(1, 5, 6)), opened);
        assert_eq!(
            shown(data, "enums", &record(2, 5, 0)),
            "what=WHAT_CLOSED(2) pid=1 of.closed.fd=5"
        );
        // Nothing tells: both, marked.
        let both = "pid=1 opened?.flags=0x5 opened?.mode=0 closed?.fd=5";
        assert_eq!(shown(data, "numbers", &record(8, 5, 0)), format!("kind=8 {both}"));
        assert_eq!(shown(data, "untolds", &record(1, 5, 0)), format!("kind=1 {both}"));
    }
}
