//! Members of unions, of which a record has one.

use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{EventDecoder, UserSchemas, schemas};
use snoop_tools::elf::value::Clocks;

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

#[test]
fn the_program_and_the_line_that_sent_a_record() {
    let source = std::fs::read_to_string("tests/elf/sources/arms.bpf.c").unwrap();
    let whole = compile("arms", "bpfel", &[]);
    for data in [&whole, &strip(&whole)] {
        let object = Object::parse(data).unwrap();
        let user = UserSchemas::default();
        let found = schemas(&object, None, &user).unwrap().all;
        let kinds = found.iter().filter(|schema| schema.map == "numbers");
        let decoder = EventDecoder::new(kinds, object.endian, &Clocks::default());
        let senders = |kind: u32| -> Vec<String> {
            let record = record(kind, 5, 6);
            let kind = decoder.pick(&record).unwrap();
            let origins = kind.origins.iter();
            let can = origins.filter(|origin| origin.can_have_sent(&record, object.endian));
            let shown = can.map(|origin| {
                let line = origin.site.as_ref().unwrap().line as usize;
                // The function that the line is in.
                let above = source.lines().take(line).filter(|line| line.starts_with("int "));
                format!("{}: {}", origin.program, above.last().unwrap())
            });
            shown.collect()
        };
        assert_eq!(senders(7), ["opens: int opens(void *ctx)"]);
        assert_eq!(senders(9), ["closes: int closes(void *ctx)"]);
        assert_eq!(senders(8), [""; 0], "nobody sends this");
    }
}
