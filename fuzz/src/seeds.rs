//! What libFuzzer begins with. Made here, so that no binaries have to be kept.

use std::path::Path;

#[path = "../../tests/elf/amplify/build.rs"]
mod build;
#[path = "../../tests/elf/amplify/dwarf.rs"]
mod dwarf;
mod programs;
mod relocations;
#[path = "../../tests/elf/amplify/shapes.rs"]
mod shapes;

use shapes::{SHAPES, Size};

/// Writes the seeds of the target into the folder `SNOOP_SEEDS`, if there is such a variable.
pub(crate) fn write() {
    let Some(folder) = std::env::var_os("SNOOP_SEEDS") else { return };
    for (number, seed) in seeds().into_iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("seed-{number}")), seed).unwrap();
    }
}

fn seeds() -> Vec<Vec<u8>> {
    match std::env::var("SNOOP_FUZZ").unwrap_or_default().as_str() {
        "records" => records(),
        "dns" => vec![packet()],
        "recorded" => [
            r#"{"timestamp":"2026-01-31T12:00:00Z","event":{"name":"trace.start"},"schema":1,"tool":"x","boot_ns":1,"flags":["failed"],"command":["a"]}"#,
            r#"{"timestamp":"2026-01-31T12:00:00Z","event":{"name":"process.exec"},"process":{"pid":7,"parent_pid":3,"comm":"ls","user":{"id":0},"real_user":{"id":5},"executable":{"path":"/bin/ls"},"command_args":["ls"],"args_count":2,"command_args_cut":{"args":1,"bytes":5}},"thread":{"id":7},"exec":{"filename":"/bin/ls","bad_interpreter":{"path":"/x","reason":"not a file"}},"error":{"type":"ENOENT"}}"#,
            r#"{"timestamp":"2026-01-31T12:00:00Z","process":{"pid":7,"parent_pid":3,"comm":"x","user":{"id":0},"real_user":{"id":5},"exit":{"signal":"SIGSEGV","sender":{"type":"fault","address":"0x10"}},"duration_ns":5,"cpu":{"user_ns":1}},"thread":{"duration_ns":5,"exit":{"code":1}}}"#,
            r#"{"timestamp":"2026-01-31T12:00:00Z","network":{"local":{"address":"fe80::1"},"peer":{"address":"10.0.0.1","port":80,"name":"a.b"},"interface":{"index":2,"name":"eth0"}},"connect":{"outcome":"failed","rtt_ns":1000},"error":{"type":"ETIMEDOUT"}}"#,
            r#"{"timestamp":"2026-01-31T12:00:00Z","mmap":{"hint":"0x10","length_bytes":4096,"prot":["READ","0x10"],"flags":["PRIVATE","HUGETLB"],"huge_page_bytes":2097152,"fd":3,"offset_bytes":0,"address":"0x10","vma":{"start":"0x1","end":"0x2","flags":"0x3"},"wx":["a"]},"file":{"path":"/x","device":"8:1","inode":"5"}}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "described" => described(),
        "embedded" => programs::all(),
        "relocations" => relocations::all(),
        "proc" => [
            &b"1 (a) b) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 100 200"[..],
            b"0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
        "filter" => [
            "process.pid == 7 && !(a.\"b\" in ['x', -1.5e3]) || c ~ \"^d+\"\0{\"process\":{\"pid\":7},\"a\":{\"b\":[\"x\"]}}",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "arguments" => {
            ["a=1", "a.b[3]=0x10", "events=struct event", "prog=symbol:/bin/sh", "10", "*a?"]
                .map(|text| text.as_bytes().to_vec())
                .to_vec()
        }
        _ => {
            let size = |name| Size { bytes: 2000, fan: 3, name, byte: b'x' };
            let each = |(_, make): (_, fn(Size) -> Vec<u8>)| [make(size(3)), make(size(40))];
            SHAPES.into_iter().flat_map(each).collect()
        }
    }
}

/// An object that sends.
pub(crate) fn sender() -> Vec<u8> {
    let make = SHAPES.into_iter().find(|(name, _)| *name == "events with many writes").unwrap().1;
    make(Size { bytes: 64, fan: 3, name: 3, byte: b'x' })
}

/// Types for it, of every kind.
fn described() -> Vec<Vec<u8>> {
    use serde_json::{Value, json};
    let document = |fields: Value| json!({ "events": [{ "map": "rb", "type": "struct x", "fields": fields }] });
    let numbers = ["u8", "u16", "u32", "u64", "u128", "s32", "be16", "be32", "char", "bool", "f64"];
    let each = numbers.iter().enumerate().map(|(at, word)| {
        json!({ "name": format!("f{at}"), "offset": at * 16, "type": word, "as": "uid_t" })
    });
    let number = |at: u64| json!({ "name": "n", "offset": at, "type": "u32" });
    let all = [
        document(each.collect()),
        document(json!([{ "name": "comm", "offset": 0, "type": "char", "count": 16384 }])),
        document(json!([{ "name": "stack", "offset": 0, "type": "u64", "count": [2, 1024] }])),
        document(
            json!([{ "name": "e", "offset": 0, "type": "u32", "values": { "A": 1, "B": -2 } }]),
        ),
        document(json!([{ "name": "b", "offset": 0, "type": "u32", "bit": 3, "bits": 5 }])),
        document(json!([
            { "offset": 0, "type": "union", "bytes": 8, "fields": [number(0), number(4)] },
            { "name": "in", "offset": 8, "type": "struct", "bytes": 8, "fields": [number(4)] },
            { "name": "rest", "offset": 16, "type": "u8", "count": 0 },
        ])),
        json!({ "events": [{ "iterator": "p", "programs": ["p"], "sent_at": ["p:1"] }] }),
    ];
    all.iter().map(|document| document.to_string().into_bytes()).collect()
}

fn records() -> Vec<Vec<u8>> {
    let mut all = vec![{
        let mut record = vec![0];
        record.extend(snoop_tools::tools::execsnoop::testing::record("/bin/x", &[b"x", b"-y"]));
        record
    }];
    for which in 1..5 {
        // The last one is full of the number that has no opposite.
        for fill in [[0; 4], [1; 4], [0xff; 4], i32::MIN.to_ne_bytes()] {
            all.push([vec![which], fill.repeat(150)].concat());
        }
    }
    // procsnoop's records say at byte 80 what they are.
    for kind in 0..24 {
        let mut record = vec![0; 600];
        record[0] = 3;
        record[81] = kind;
        all.push(record);
    }
    all
}

/// An answer to a question for `a.b`, by UDP over IPv4, with its length before it.
fn packet() -> Vec<u8> {
    let mut message =
        vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1, b'a', 1, b'b', 0, 0, 1, 0, 1];
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
    let mut udp = [53_u16, 40000, 8 + message.len() as u16, 0].map(u16::to_be_bytes).concat();
    udp.extend(message);
    let length = (20 + udp.len()) as u16;
    let mut packet = length.to_be_bytes().to_vec();
    packet.extend([0x45, 0]);
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 53, 127, 0, 0, 1]);
    packet.extend(udp);
    packet
}
