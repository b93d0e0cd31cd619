//! Objects with relocations of every kind, each with a kernel's types behind it.

use super::build::{Btf, RETURN, insn, object};
use super::shapes::ext;

/// `BPF_CORE_FIELD_BYTE_OFFSET` to `BPF_CORE_TYPE_MATCHES`.
const KINDS: u32 = 13;
const STRUCT: u32 = 4;
/// In the upper byte of `info`: the offsets of members have sizes in bits above them.
const HAS_BITFIELDS: u8 = 0x80;

/// Against its own types, against others with its names, and against none.
pub(super) fn all() -> Vec<Vec<u8>> {
    let object = asking();
    let kernels = [types(0).section().data, types(1).section().data, Btf::default().section().data];
    kernels.iter().map(|kernel| pair(&object, kernel)).collect()
}

/// What the target takes apart: the size of the object, the object, the types.
fn pair(object: &[u8], kernel: &[u8]) -> Vec<u8> {
    let size = u32::try_from(object.len()).unwrap();
    [&size.to_le_bytes(), object, kernel].concat()
}

/// Types of every kind that can be asked for. `moved`: the members of the struct begin so many
/// bytes further on.
fn types(moved: u32) -> Btf {
    let mut btf = Btf::default();
    let int = btf.add(b"int", 1, 4, &[1 << 24 | 32]);
    let names = ["a", "deep", "list", "bits", "next"].map(|name| btf.strings.add(name.as_bytes()));
    let [a, deep, list, bits, next] = names;
    let array = btf.add(b"", 3, 0, &[int, int, 4]);
    let inner = btf.add(b"", 5, 4, &[deep, int, 0]);
    let pointer = btf.add(b"", 2, inner + 2, &[]);
    let start = btf.types.len();
    let at = |bytes: u32| (bytes + moved) * 8;
    let members = [
        [a, int, at(0)],
        [0, inner, at(4)],
        [list, array, at(8)],
        [bits, int, 3 << 24 | at(24)],
        [next, pointer, at(32)],
    ];
    btf.add(b"outer___own", STRUCT, 48, members.as_flattened());
    btf.types[start + 7] |= HAS_BITFIELDS;
    let [low, high] = ["LOW", "HIGH"].map(|name| btf.strings.add(name.as_bytes()));
    btf.add(b"state", 6, 4, &[low, 1, high, 2 + moved]);
    btf.add(b"wide", 19, 8, &[low, 1, moved, high, 0, 1]);
    btf.add(b"number_t", 8, int, &[]);
    let proto = btf.add(b"", 13, int, &[a, int, 0, pointer]);
    btf.add(b"function_t", 8, proto, &[]);
    btf.add(b"unknown", 7, 0, &[]);
    btf
}

/// All kinds of questions about all types, and a jump for each answer.
fn asking() -> Vec<u8> {
    let mut btf = types(0);
    let section = btf.strings.add(b"tp_btf/sched_switch");
    let accesses = ["0", "0:0", "0:1:0", "0:2:3", "0:3", "1"];
    let accesses = accesses.map(|access| btf.strings.add(access.as_bytes()));
    let (mut code, mut asked) = (Vec::new(), Vec::new());
    for ty in 1..=btf.count {
        for kind in 0..KINDS {
            // Those that fit, and some that do not.
            let access = accesses[(ty + kind) as usize % accesses.len()];
            asked.push([code.len() as u32 * 8, ty, access, kind]);
            code.extend([insn(0xb7, 1, 0, 0), insn(0x15, 1, 1, 0), insn(0x79, 0x12, 0, 0)]);
            asked.push([(code.len() as u32 - 1) * 8, ty, access, 0]);
        }
    }
    code.extend(RETURN);
    let mut table = vec![16, section, asked.len() as u32];
    table.extend(asked.as_flattened());
    object(&code, vec![btf.section(), ext([&[], &[], &table])], Vec::new())
}
