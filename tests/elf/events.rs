//! Records as programs send them, decoded with the schemas that their objects have.

use object::Endianness;
use serde_json::json;
use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{EventDecoder, UserSchemas, schemas};
use snoop_tools::elf::value::Clocks;

use crate::compile::compile;

/// What makes text of one map's records.
fn decoder(data: &[u8], map: &str) -> EventDecoder {
    let object = Object::parse(data).unwrap();
    let dwarf = Dwarf::parse(data).unwrap();
    let user = UserSchemas::default();
    let schemas = schemas(&object, dwarf.as_ref(), &user).unwrap().all;
    let of_map = schemas.iter().filter(|schema| schema.map == map);
    EventDecoder::new(of_map, object.endian, &Clocks::default())
}

/// Type and text of a record; `None`: it is not known which one it is.
fn text(decoder: &EventDecoder, record: &[u8]) -> Option<(String, String)> {
    let kind = decoder.pick(record)?;
    let mut text = String::new();
    kind.decoder.as_ref()?.text(record, &mut text);
    Some((kind.type_name.clone()?, text))
}

fn shown(decoder: &EventDecoder, record: &[u8]) -> String {
    text(decoder, record).map(|(_, text)| text).unwrap()
}

/// The record of libbpf's example of a program's beginning and end.
fn record(endian: Endianness) -> Vec<u8> {
    let word = |number: u32| match endian {
        Endianness::Little => number.to_le_bytes(),
        Endianness::Big => number.to_be_bytes(),
    };
    let mut record = [word(4711), word(1), word(3), word(0)].concat();
    record.extend(match endian {
        Endianness::Little => 807_021_u64.to_le_bytes(),
        Endianness::Big => 807_021_u64.to_be_bytes(),
    });
    record.extend(b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    record.extend(b"/bin/sh\0");
    record.resize(40 + 127, 0);
    record.push(1);
    record
}

#[test]
fn records_in_both_byte_orders() {
    for (target, endian) in [("bpfel", Endianness::Little), ("bpfeb", Endianness::Big)] {
        for dwarf in ["-gdwarf-4", "-gdwarf-5"] {
            let decoder = decoder(&compile("records", target, &[dwarf]), "rb");
            let record = record(endian);
            assert_eq!(
                shown(&decoder, &record),
                "pid=4711 ppid=1 exit_code=3 duration_ns=807021 comm=sh filename=/bin/sh \
                 exit_event=true"
            );
            let kind = decoder.pick(&record).unwrap();
            assert_eq!(kind.senders, ["handle_exec", "handle_exit"]);
            assert_eq!(
                kind.decoder.as_ref().unwrap().json(&record),
                json!({"pid": 4711, "ppid": 1, "exit_code": 3, "duration_ns": 807_021,
                       "comm": "sh", "filename": "/bin/sh", "exit_event": true})
            );
        }
    }
}

#[test]
fn copies() {
    let data = compile("copies", "bpfel", &[]);
    let mut record = 0_u64.to_le_bytes().to_vec();
    for number in [7, 0, -2, 0x10] {
        record.extend(i32::to_le_bytes(number));
    }
    record.extend(b"cat\0............");
    // A perf buffer's record has up to seven bytes more.
    record.extend([0; 4]);
    assert_eq!(
        shown(&decoder(&data, "perf"), &record),
        "ts=0 pid=7 uid=root(0) ret=ENOENT(-2) flags=0x10 comm=cat"
    );

    let mut record = [5_u32.to_le_bytes(), 9_u32.to_le_bytes()].concat();
    record.extend(b"cat\0\0\0\0\0\0\0\0\0\0\0\0\0/etc/motd");
    let values = decoder(&data, "values");
    assert_eq!(shown(&values, &record), "pid=5 len=9 comm=cat path=/etc/motd");

    let record = [3_u64.to_le_bytes(), (7_u64 | 1 << 32).to_le_bytes()].concat();
    assert_eq!(shown(&decoder(&data, "globals"), &record), "calls=3 last_pid=7 last_cpu=1");
    assert_eq!(shown(&decoder(&data, "numbers"), &7_u64.to_le_bytes()), "value=7");
}

#[test]
fn kinds_are_told_apart() {
    let data = compile("several", "bpfel", &[]);
    let by_kind = decoder(&data, "by_kind");
    let mut open = [1_u32.to_le_bytes(), 7_u32.to_le_bytes()].concat();
    open.extend(b"/tmp/x\0\0\0\0\0\0\0\0\0\0");
    let (ty, shown) = text(&by_kind, &open).unwrap();
    assert_eq!(
        (&*ty, &*shown),
        ("struct open_event", "header.kind=OPEN(1) header.pid=7 path=/tmp/x")
    );
    let mut close = [2_u32.to_le_bytes(), 7_u32.to_le_bytes()].concat();
    close.extend(3_u64.to_le_bytes());
    close.extend((-9_i64).to_le_bytes());
    let (ty, shown) = text(&by_kind, &close).unwrap();
    assert_eq!(
        (&*ty, &*shown),
        ("struct close_event", "header.kind=CLOSE(2) header.pid=7 fd=3 ret=EBADF(-9)")
    );
    // Of no kind that any program sends.
    let mut other = close.clone();
    other[0] = 3;
    assert_eq!(text(&by_kind, &other), None);
    assert_eq!(text(&by_kind, &close[..20]), None);

    let by_size = decoder(&data, "by_size");
    let mut connect = vec![0; 32];
    connect[..4].copy_from_slice(&[10, 0, 0, 1]);
    connect[16..20].copy_from_slice(&[192, 0, 2, 1]);
    connect.extend([1, 187]);
    connect.extend(2_u16.to_le_bytes());
    connect.extend(7_u32.to_le_bytes());
    connect.extend([0; 4]); // padding
    let (ty, shown) = text(&by_size, &connect).unwrap();
    assert_eq!(
        (&*ty, &*shown),
        (
            "struct connect_event",
            "saddr_v4=10.0.0.1 daddr_v4=192.0.2.1 dport=443 family=AF_INET(2) pid=7"
        )
    );
    let exit = [2_u32.to_le_bytes(), 8_u32.to_le_bytes(), [0; 4]].concat();
    let (ty, shown) = text(&by_size, &exit).unwrap();
    assert_eq!((&*ty, &*shown), ("struct header", "kind=CLOSE(2) pid=8"));

    // The constant that tells is in a wider one.
    for (target, endian) in [("bpfel", Endianness::Little), ("bpfeb", Endianness::Big)] {
        let merged = decoder(&compile("lookalikes", target, &[]), "merged");
        let word = |number: u32| match endian {
            Endianness::Little => number.to_le_bytes(),
            Endianness::Big => number.to_be_bytes(),
        };
        for (kind, expected) in [(1, "struct opened"), (2, "struct closed")] {
            let record = [word(kind), word(5), word(0), word(0)].concat();
            assert_eq!(text(&merged, &record).unwrap().0, expected, "{target}");
        }
    }

    // Shown as bytes.
    assert!(decoder(&data, "tied").pick(&[0; 8]).unwrap().decoder.is_none());
}

#[test]
fn clocks_are_those_that_the_program_reads() {
    let data = compile("copies", "bpfel", &[]);
    let object = Object::parse(&data).unwrap();
    let dwarf = Dwarf::parse(&data).unwrap();
    let user = UserSchemas::default();
    let schemas = schemas(&object, dwarf.as_ref(), &user).unwrap().all;
    let perf = schemas.iter().find(|schema| schema.map == "perf").unwrap();
    use snoop_tools::elf::value::{Clock, Hint};
    assert!(perf.hints.contains(&(0, Hint::Time(Clock::Boot))), "{:?}", perf.hints);
    assert!(perf.hints.contains(&(24, Hint::Text)), "{:?}", perf.hints);
}
