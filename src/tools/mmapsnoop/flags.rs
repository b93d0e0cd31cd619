//! Names of the arguments of mmap() and its kin. Values are those of the target architecture; a
//! value without a name is shown as a number, so that nothing is hidden.

use crate::output::digits::{Short, push_hex};

/// Names of single bits, in the order in which they are shown.
pub type Names = &'static [(u64, &'static str)];

/// See mmap(2).
pub const MAP_ANONYMOUS: u64 = libc::MAP_ANONYMOUS as u64;
/// Which of shared, private and so on: a number, not bits.
pub const MAP_TYPE: u64 = 0x0f;
/// See mmap(2).
pub const MAP_HUGETLB: u64 = libc::MAP_HUGETLB as u64;
/// With `MAP_HUGETLB`, the binary logarithm of the page size is here.
pub(super) const HUGE_SHIFT: u32 = 26;
pub(super) const HUGE_MASK: u64 = 0x3f << HUGE_SHIFT;
/// The flags of the two most frequent kinds of calls: with a file,
pub const PRIVATE: u64 = libc::MAP_PRIVATE as u64;
/// and without one.
pub const PRIVATE_ANONYMOUS: u64 = PRIVATE | MAP_ANONYMOUS;
/// See mremap(2).
pub const MREMAP_FIXED: u64 = libc::MREMAP_FIXED as u64;

/// `VM_READ` and so on, of `linux/mm.h`.
pub const VM_READ: u64 = 0x1;
/// See [`VM_READ`].
pub const VM_WRITE: u64 = 0x2;
/// See [`VM_READ`].
pub const VM_EXEC: u64 = 0x4;
/// See [`VM_READ`].
pub const VM_MAYSHARE: u64 = 0x80;
/// The three that `PROT_*` ask for; the bits are the same.
pub const VM_PROT: u64 = VM_READ | VM_WRITE | VM_EXEC;

/// Besides reading, writing and executing.
pub(super) const PROT: Names = &[
    (0x8, "SEM"),
    #[cfg(target_arch = "aarch64")]
    (0x10, "BTI"),
    #[cfg(target_arch = "aarch64")]
    (0x20, "MTE"),
    #[cfg(target_arch = "powerpc64")]
    (0x10, "SAO"),
    (libc::PROT_GROWSDOWN as u64, "GROWSDOWN"),
    (libc::PROT_GROWSUP as u64, "GROWSUP"),
];

pub(super) const RWX: Names = &[
    (libc::PROT_READ as u64, "READ"),
    (libc::PROT_WRITE as u64, "WRITE"),
    (libc::PROT_EXEC as u64, "EXEC"),
];

pub(super) const MAP: Names = &[
    (MAP_ANONYMOUS, "ANONYMOUS"),
    (libc::MAP_FIXED as u64, "FIXED"),
    (libc::MAP_FIXED_NOREPLACE as u64, "FIXED_NOREPLACE"),
    #[cfg(target_arch = "x86_64")]
    (libc::MAP_32BIT as u64, "32BIT"),
    #[cfg(target_arch = "x86_64")]
    (0x80, "ABOVE4G"),
    (libc::MAP_GROWSDOWN as u64, "GROWSDOWN"),
    (libc::MAP_DENYWRITE as u64, "DENYWRITE"),
    (libc::MAP_EXECUTABLE as u64, "EXECUTABLE"),
    (libc::MAP_LOCKED as u64, "LOCKED"),
    (libc::MAP_NORESERVE as u64, "NORESERVE"),
    (libc::MAP_POPULATE as u64, "POPULATE"),
    (libc::MAP_NONBLOCK as u64, "NONBLOCK"),
    (libc::MAP_STACK as u64, "STACK"),
    (MAP_HUGETLB, "HUGETLB"),
    (libc::MAP_SYNC as u64, "SYNC"),
];

pub(super) const REMAP: Names = &[
    (libc::MREMAP_MAYMOVE as u64, "MAYMOVE"),
    (MREMAP_FIXED, "FIXED"),
    (libc::MREMAP_DONTUNMAP as u64, "DONTUNMAP"),
];

/// See shmat(2).
pub(super) const SHM: Names = &[
    (libc::SHM_RDONLY as u64, "RDONLY"),
    (libc::SHM_RND as u64, "RND"),
    (libc::SHM_REMAP as u64, "REMAP"),
    (libc::SHM_EXEC as u64, "EXEC"),
];

/// From `asm-generic/mman-common.h`, which all architectures but parisc use.
pub(super) const ADVICE: Names = &[
    (0, "NORMAL"),
    (1, "RANDOM"),
    (2, "SEQUENTIAL"),
    (3, "WILLNEED"),
    (4, "DONTNEED"),
    (8, "FREE"),
    (9, "REMOVE"),
    (10, "DONTFORK"),
    (11, "DOFORK"),
    (12, "MERGEABLE"),
    (13, "UNMERGEABLE"),
    (14, "HUGEPAGE"),
    (15, "NOHUGEPAGE"),
    (16, "DONTDUMP"),
    (17, "DODUMP"),
    (18, "WIPEONFORK"),
    (19, "KEEPONFORK"),
    (20, "COLD"),
    (21, "PAGEOUT"),
    (22, "POPULATE_READ"),
    (23, "POPULATE_WRITE"),
    (24, "DONTNEED_LOCKED"),
    (25, "COLLAPSE"),
    (100, "HWPOISON"),
    (101, "SOFT_OFFLINE"),
    (102, "GUARD_INSTALL"),
    (103, "GUARD_REMOVE"),
];

/// One part of a decoded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A bit, or a number, that has a name
    Name(&'static str),
    /// All bits without a name
    Rest(u64),
}

impl Part {
    /// Appends the name, or a hexadecimal number.
    pub fn push(self, out: &mut Vec<u8>) {
        match self {
            Self::Name(name) => out.extend_from_slice(name.as_bytes()),
            Self::Rest(bits) => push_hex(out, bits),
        }
    }
}

/// The bits of `value` that have names, then the rest.
fn parts(value: u64, names: Names) -> impl Iterator<Item = Part> + Clone {
    let known = names.iter().fold(0, |all, (bit, _)| all | bit);
    let rest = value & !known;
    let named = names.iter().filter(move |(bit, _)| value & bit != 0);
    named.map(|&(_, name)| Part::Name(name)).chain((rest != 0).then_some(Part::Rest(rest)))
}

/// `PROT_*`
pub fn prot(value: u64) -> impl Iterator<Item = Part> + Clone {
    parts(value & VM_PROT, RWX).chain(parts(value & !VM_PROT, PROT))
}

/// The type of a mapping, `MAP_SHARED` and so on; `None` for an unknown number.
fn map_type(flags: u64) -> Option<&'static str> {
    let known = TYPES.iter().find(|(number, _)| *number == flags & MAP_TYPE);
    known.map(|(_, name)| *name)
}

/// Values of [`MAP_TYPE`].
pub(super) const TYPES: Names =
    &[(1, "SHARED"), (2, "PRIVATE"), (3, "SHARED_VALIDATE"), (8, "DROPPABLE")];

/// `MAP_*`: the type first. The size of huge pages is separate: see [`huge_page_bytes`].
pub fn map(value: u64) -> impl Iterator<Item = Part> + Clone {
    let kind = map_type(value).map_or(Part::Rest(value & MAP_TYPE), Part::Name);
    let huge = if value & MAP_HUGETLB != 0 { HUGE_MASK } else { 0 };
    std::iter::once(kind).chain(parts(value & !MAP_TYPE & !huge, MAP))
}

/// Binary logarithm of the page size that goes with `MAP_HUGETLB`; `None`: the default.
fn huge_shift(flags: u64) -> Option<u32> {
    let shift = ((flags & HUGE_MASK) >> HUGE_SHIFT) as u32;
    (flags & MAP_HUGETLB != 0 && shift != 0).then_some(shift)
}

/// The page size that goes with `MAP_HUGETLB`, in bytes; `None`: the default.
pub fn huge_page_bytes(flags: u64) -> Option<u64> {
    huge_shift(flags).map(|shift| 1 << shift)
}

/// `MREMAP_*`
pub fn remap(value: u64) -> impl Iterator<Item = Part> + Clone {
    parts(value, REMAP)
}

/// Flags of shmat(), `SHM_*`
pub fn shm(value: u64) -> impl Iterator<Item = Part> + Clone {
    parts(u64::from(value as u32), SHM) // an int
}

/// `MADV_*`
pub fn advice(value: u64) -> Part {
    // An int: the upper half means nothing.
    let value = u64::from(value as u32);
    let name = ADVICE.iter().find(|(number, _)| *number == value);
    name.map_or(Part::Rest(value), |(_, name)| Part::Name(name))
}

/// Appends parts with `|` between them; nothing is `0`.
fn push_parts(out: &mut Vec<u8>, parts: impl Iterator<Item = Part>) {
    let at = out.len();
    for part in parts {
        if out.len() > at {
            out.push(b'|');
        }
        part.push(out);
    }
    if out.len() == at {
        out.push(b'0');
    }
}

/// `rw-`, if there is nothing else.
pub fn short_prot(value: u64) -> Option<Short> {
    const LETTERS: [Short; 8] = [
        Short::new("---"),
        Short::new("r--"),
        Short::new("-w-"),
        Short::new("rw-"),
        Short::new("--x"),
        Short::new("r-x"),
        Short::new("-wx"),
        Short::new("rwx"),
    ];
    LETTERS.get(usize::try_from(value).ok()?).copied()
}

/// Appends `rw-`, and what else there is behind it.
pub fn push_prot(out: &mut Vec<u8>, value: u64) {
    if let Some(letters) = short_prot(value & VM_PROT) {
        letters.push(out);
    }
    if value & !VM_PROT != 0 {
        out.push(b'|');
        push_parts(out, parts(value & !VM_PROT, PROT));
    }
}

/// Appends `PRIVATE|ANONYMOUS|HUGETLB|HUGE_2MB`.
pub fn push_map(out: &mut Vec<u8>, value: u64) {
    match value {
        PRIVATE => return out.extend_from_slice(b"PRIVATE"),
        PRIVATE_ANONYMOUS => return out.extend_from_slice(b"PRIVATE|ANONYMOUS"),
        _ => push_parts(out, map(value)),
    }
    if let Some(bytes) = huge_page_bytes(value) {
        out.extend_from_slice(b"|HUGE_");
        push_size(out, bytes);
        out.push(b'B');
    }
}

/// Appends `MREMAP_*`.
pub fn push_remap(out: &mut Vec<u8>, value: u64) {
    push_parts(out, remap(value));
}

/// Appends `SHM_*`.
pub fn push_shm(out: &mut Vec<u8>, value: u64) {
    push_parts(out, shm(value));
}

/// A number of bytes with at most one digit behind the point: `4K`, `1.5M`. Rounded down, so that
/// it never exceeds the true size.
pub fn size(bytes: u64) -> Short {
    let shift = (63 - (bytes | 1).leading_zeros()) / 10 * 10;
    let whole = Short::number(bytes >> shift).unwrap_or_default(); // below 1024
    if shift == 0 {
        return whole;
    }
    let unit = b"BKMGTPE".get(shift as usize / 10).copied().unwrap_or(b'?');
    // In 1024ths of the unit, so that nothing overflows.
    let below = (bytes >> (shift - 10)) & 1023;
    let tenths = (below * 10 / 1024) as u8;
    let exact = bytes & ((1 << shift) - 1) == 0;
    if !exact && bytes >> shift < 100 {
        return whole.and(b'.').and(b'0' + tenths).and(unit);
    }
    whole.and(unit)
}

/// Appends a [`size`].
pub fn push_size(out: &mut Vec<u8>, bytes: u64) {
    size(bytes).push(out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn protections() {
        for (value, text) in [
            (0, "---"),
            (1, "r--"),
            (3, "rw-"),
            (7, "rwx"),
            (0x0100_0003, "rw-|GROWSDOWN"),
            (8, "---|SEM"),
            (0x1_0000_0005, "r-x|0x100000000"),
            (0x0200_4001, "r--|GROWSUP|0x4000"),
        ] {
            assert_eq!(shown(|out| push_prot(out, value)), text);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn map_flags() {
        for (value, text) in [
            (0x22, "PRIVATE|ANONYMOUS"),
            (0x02, "PRIVATE"),
            (0x01, "SHARED"),
            (0x03, "SHARED_VALIDATE"),
            (0x08, "DROPPABLE"),
            (0x20, "0x0|ANONYMOUS"),
            (0x07, "0x7"),
            (0x4022, "PRIVATE|ANONYMOUS|NORESERVE"),
            (0x100032, "PRIVATE|ANONYMOUS|FIXED|FIXED_NOREPLACE"),
            (0x40 | 0x80 | 2, "PRIVATE|32BIT|ABOVE4G"),
            (0x40022, "PRIVATE|ANONYMOUS|HUGETLB"),
            (0x40022 | 21 << 26, "PRIVATE|ANONYMOUS|HUGETLB|HUGE_2MB"),
            (0x40022 | 30 << 26, "PRIVATE|ANONYMOUS|HUGETLB|HUGE_1GB"),
            (0x80003, "SHARED_VALIDATE|SYNC"),
            (0x22 | 21 << 26, "PRIVATE|ANONYMOUS|0x54000000"),
            (0x8000_0000_0000_0002, "PRIVATE|0x8000000000000000"),
        ] {
            assert_eq!(shown(|out| push_map(out, value)), text);
        }
    }

    #[test]
    fn advice_and_remap() {
        assert_eq!(advice(4), Part::Name("DONTNEED"));
        assert_eq!(advice(0xffff_ffff_0000_0004), Part::Name("DONTNEED"));
        assert_eq!(advice(77), Part::Rest(77));
        assert_eq!(shown(|out| push_remap(out, 3)), "MAYMOVE|FIXED");
        assert_eq!(shown(|out| push_remap(out, 0)), "0");
        assert_eq!(shown(|out| push_remap(out, 9)), "MAYMOVE|0x8");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1K"),
            (4096, "4K"),
            (5000, "4.8K"),
            (135168, "132K"),
            (1 << 20, "1M"),
            ((1 << 20) + 1, "1.0M"),
            (3 << 19, "1.5M"),
            ((1 << 20) - 1, "1023K"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(shown(|out| push_size(out, bytes)), text);
        }
    }

    /// The value of names and remainders.
    fn encode(parts: impl Iterator<Item = Part>, names: &[Names]) -> u64 {
        parts.fold(0, |all, part| {
            all | match part {
                Part::Rest(bits) => bits,
                Part::Name(name) => {
                    let all = names.iter().flat_map(|names| names.iter());
                    all.clone().find(|(_, known)| *known == name).unwrap().0
                }
            }
        })
    }

    proptest! {
        #[test]
        fn nothing_of_a_value_is_hidden(value: u64) {
            const TYPES: Names =
                &[(1, "SHARED"), (2, "PRIVATE"), (3, "SHARED_VALIDATE"), (8, "DROPPABLE")];
            prop_assert_eq!(encode(prot(value), &[RWX, PROT]), value);
            prop_assert_eq!(encode(remap(value), &[REMAP]), value);
            prop_assert_eq!(encode(shm(value), &[SHM]), u64::from(value as u32));
            let huge = huge_shift(value).map_or(0, |shift| u64::from(shift) << HUGE_SHIFT);
            prop_assert_eq!(encode(map(value), &[TYPES, MAP]) | huge, value);
        }
    }
}
