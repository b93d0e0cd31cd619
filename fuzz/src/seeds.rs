//! What libFuzzer begins with. Made here, so that no binaries have to be kept.

use std::path::Path;

#[path = "../../tests/elf/amplify/build.rs"]
mod build;
#[path = "../../tests/elf/amplify/dwarf.rs"]
mod dwarf;
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
        "proc" => [
            &b"1 (a) b) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 100 200"[..],
            b"0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n",
        ]
        .map(<[u8]>::to_vec)
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
