//! ELF files that no linker would make.

use std::fs;

/// The headers of a 64-bit ELF file for this machine: `segments` are (type, offset, address, size).
pub fn elf(segments: &[(u32, u64, u64, u64)], tail: &[u8]) -> Vec<u8> {
    // Byte order, machine and flags are those of this program.
    let own = fs::read("/proc/self/exe").unwrap();
    let mut file = own[..7].to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, n: u16| file.extend(n.to_ne_bytes());
    let word = |file: &mut Vec<u8>, n: u32| file.extend(n.to_ne_bytes());
    let long = |file: &mut Vec<u8>, n: u64| file.extend(n.to_ne_bytes());
    half(&mut file, 2); // ET_EXEC
    file.extend(&own[18..20]); // the machine
    word(&mut file, 1);
    long(&mut file, 0x40_0000); // entry
    long(&mut file, 64); // program headers
    long(&mut file, 0);
    file.extend(&own[48..52]); // its flags
    half(&mut file, 64);
    half(&mut file, 56);
    half(&mut file, segments.len() as u16);
    file.resize(64, 0);
    for &(kind, offset, address, size) in segments {
        word(&mut file, kind);
        word(&mut file, 5); // read, execute
        long(&mut file, offset);
        long(&mut file, address);
        long(&mut file, address);
        long(&mut file, size);
        long(&mut file, size);
        long(&mut file, 0x1000);
    }
    file.extend(tail);
    file
}
