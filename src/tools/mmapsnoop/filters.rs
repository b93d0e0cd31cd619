//! Values of the filters on the command line. Protections and flags in the notation of the rows are
//! accepted, so that they can be pasted. Each error is one line.

use std::fs;

use super::flags::{
    HUGE_MASK, HUGE_SHIFT, MAP, MAP_ANONYMOUS, MAP_HUGETLB, MAP_TYPE, Names, PROT, RWX,
};
use crate::engine::cli::without_ib;

/// One of the two types of shared mappings.
const SHARED: u64 = libc::MAP_SHARED as u64;
/// The common bits of both types, within [`MAP_TYPE`].
const EITHER_SHARED: u64 = MAP_TYPE & !(libc::MAP_SHARED_VALIDATE as u64 & !SHARED);

/// Flags to look for: a call has them if `flags & mask == bits`. The type of a mapping and the
/// size of its huge pages are numbers, of which the zeros count as much as the ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The required bits
    pub bits: u64,
    /// The compared bits
    pub mask: u64,
}

impl Flags {
    /// The mask for a value of the argument.
    fn of(value: u64) -> Self {
        let kind = match value & MAP_TYPE {
            0 => 0,
            // MAP_SHARED_VALIDATE is the same, except that it refuses unknown flags.
            SHARED => EITHER_SHARED,
            _ => MAP_TYPE,
        };
        let sized = value & MAP_HUGETLB != 0 && value & HUGE_MASK != 0;
        let huge = if sized { HUGE_MASK } else { 0 };
        Self { bits: value, mask: value | kind | huge }
    }

    /// The union; `None` if no call can match both.
    fn and(self, other: Self) -> Option<Self> {
        let agreed = (self.bits ^ other.bits) & self.mask & other.mask == 0;
        agreed.then_some(Self { bits: self.bits | other.bits, mask: self.mask | other.mask })
    }
}

/// `0x…` or decimal.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // Otherwise a sign would be accepted.
    let plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// Bits of a name, with or without the prefix, in any case.
fn named(text: &str, prefix: &str, names: &[Names]) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix(prefix).unwrap_or(&upper);
    let mut all = names.iter().flat_map(|names| names.iter());
    all.find(|(_, known)| *known == name).map(|(bit, _)| *bit)
}

/// `rx`, `r-x`, `RX`
fn letters(text: &str) -> Option<u64> {
    let bit = |c: char| match c.to_ascii_lowercase() {
        '-' => Some(0),
        letter => "rwx".find(letter).map(|at| 1 << at),
    };
    let bits = text.chars().map(bit).try_fold(0, |all, bit| Some(all | bit?));
    bits.filter(|_| !text.is_empty())
}

/// `--prot`: letters as in `rx`, names and numbers, joined by commas.
pub fn prot(text: &str) -> Result<u64, String> {
    let bits = |part: &str| {
        letters(part).or_else(|| number(part)).or_else(|| named(part, "PROT_", &[RWX, PROT]))
    };
    match text.split([',', '|']).map(bits).try_fold(0, |all, bits| Some(all | bits?)) {
        None => Err("a protection is letters of rwx, or names such as READ,EXEC".to_owned()),
        Some(0) => Err("that is not a protection to look for".to_owned()),
        Some(bits) => Ok(bits),
    }
}

/// `--flags`: names and numbers, joined by commas.
pub fn flags(text: &str) -> Result<Flags, String> {
    let mut all = Flags::default();
    for part in text.split([',', '|']) {
        let value = number(part).or_else(|| named(part, "MAP_", &[OTHERS, MAP]));
        let one = value
            .or_else(|| huge(part))
            .map(Flags::of)
            .ok_or("flags are names such as SHARED,FIXED or HUGE_2MB, or a number such as 0x10")?;
        all = all.and(one).ok_or("no mapping has all of these flags: one excludes another")?;
    }
    if all.mask == 0 { Err("that is no flag to look for".to_owned()) } else { Ok(all) }
}

/// Values for completions of `--prot` and `--flags`.
pub fn values(id: &str) -> Option<Vec<String>> {
    let lists: &[Names] = match id {
        "prot" => &[RWX, PROT],
        "flags" => &[OTHERS, MAP],
        _ => return None,
    };
    Some(lists.iter().flat_map(|names| names.iter()).map(|(_, name)| (*name).to_owned()).collect())
}

/// Flags that are not bits, and other names.
const OTHERS: Names = &[
    (SHARED, "SHARED"),
    (libc::MAP_PRIVATE as u64, "PRIVATE"),
    (libc::MAP_SHARED_VALIDATE as u64, "SHARED_VALIDATE"),
    (8, "DROPPABLE"),
    (MAP_ANONYMOUS, "ANON"), // the same by its older name
];

/// `HUGE_2MB`: pages of this size, which implies `HUGETLB`.
fn huge(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("MAP_").unwrap_or(&upper);
    let bytes = length(name.strip_prefix("HUGE_")?.strip_suffix('B')?).ok()?;
    let shift = u64::from(bytes.trailing_zeros());
    (bytes.is_power_of_two() && shift > 0).then_some(MAP_HUGETLB | shift << HUGE_SHIFT)
}

/// `--min-size`, `--max-size`: bytes, with units of 1024 as rows have them.
pub fn length(text: &str) -> Result<u64, String> {
    let text = without_ib(text);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default().to_ascii_uppercase();
    let shift = match unit.as_str() {
        "" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        "P" => Some(50),
        "E" => Some(60),
        _ => None,
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit()); // and no sign
    let number = digits.parse::<u64>().ok().filter(|_| plain);
    let bytes = number.zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "a length is a number of bytes, such as 4096, 64K, 8M, 2G or 1T".to_owned())
}

/// The most bytes of a prefix, and one.
const PREFIX_END: usize = 256;

/// The beginnings of paths that a value of `--path` stands for: itself, and what it is where its
/// symbolic links lead, since the kernel's paths have none. Its last part may be the beginning of
/// a name, or the name of a link.
pub fn prefixes(text: &str) -> Result<Vec<String>, String> {
    let mut all = vec![text.to_owned()];
    if text.starts_with('/') {
        let (folder, name) = text.rsplit_once('/').unwrap_or_default();
        let resolve = |path: &str| fs::canonicalize(path).ok()?.into_os_string().into_string().ok();
        // The root's name ends with a slash.
        let folder = resolve(&format!("{folder}/"))
            .map(|folder| format!("{}/{name}", folder.trim_end_matches('/')));
        let file = Some(text).filter(|_| !name.is_empty()).and_then(resolve);
        all.extend(folder.into_iter().chain(file));
        all.dedup();
    }
    if all.iter().any(|prefix| prefix.len() >= PREFIX_END) {
        return Err(
            "the beginning of a path has 1 to 255 bytes, also where its symbolic links lead"
                .to_owned(),
        );
    }
    Ok(all)
}

/// `--path`: the beginning of paths, or of names of files outside of the tree.
pub fn prefix(text: &str) -> Result<String, String> {
    if !(1..PREFIX_END).contains(&text.len()) {
        return Err("the beginning of a path has 1 to 255 bytes".to_owned());
    }
    if !text.starts_with(['/', '[']) && !text.contains(':') {
        return Err("a path begins with /: only what has none is a name, such as memfd:jit or \
                    [perf_event]"
            .to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::flags::{push_map, push_prot, push_size};
    use super::*;

    #[test]
    fn protections() {
        for (text, bits) in [
            ("rx", 5),
            ("r-x", 5),
            ("RWX", 7),
            ("READ,exec", 5),
            ("PROT_GROWSDOWN", 0x0100_0000),
            ("rw-|GROWSDOWN", 0x0100_0003),
            ("0x10", 0x10),
            ("5", 5),
        ] {
            assert_eq!(prot(text), Ok(bits), "{text}");
        }
        let wrong =
            ["", "q", "rwq", "READ,,EXEC", "READ EXEC", "0x", "MAP_FIXED", "0", "---", "-1", "+1"];
        for wrong in wrong {
            assert!(prot(wrong).is_err(), "{wrong}");
        }
    }

    fn has(text: &str, value: u64) -> bool {
        let wanted = flags(text).unwrap();
        value & wanted.mask == wanted.bits
    }

    #[test]
    fn names_of_flags() {
        for (text, bits) in [
            ("MAP_SHARED|FIXED", 0x11),
            ("anonymous", 0x20),
            ("ANON", 0x20),
            ("0x10,FIXED", 0x10),
            ("16", 0x10),
            ("HUGE_2MB", 0x40000 | 21 << 26),
            ("map_huge_1gb", 0x40000 | 30 << 26),
            ("HUGETLB|HUGE_64KB", 0x40000 | 16 << 26),
        ] {
            assert_eq!(flags(text).map(|wanted| wanted.bits), Ok(bits), "{text}");
        }
        let wrong = ["", "x", "PROT_READ", "-1", "+1", "0", "0x0", "HUGE_", "HUGE_3MB", "HUGE_1B"];
        for wrong in wrong {
            assert!(flags(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_type_of_a_mapping_is_a_number() {
        const TYPES: [u64; 4] = [1, 2, 3, 8];
        for (text, types) in [
            // MAP_SHARED_VALIDATE gives a shared mapping, too.
            ("SHARED", &[1, 3][..]),
            ("1", &[1, 3]),
            ("PRIVATE", &[2]),
            ("SHARED_VALIDATE", &[3]),
            ("3", &[3]),
            ("SHARED,SHARED_VALIDATE", &[3]),
            ("DROPPABLE", &[8]),
            ("FIXED", &TYPES),
        ] {
            let shown: Vec<_> = TYPES.into_iter().filter(|kind| has(text, kind | 0x30)).collect();
            assert_eq!(shown, types, "{text}");
        }
        for two in ["SHARED,PRIVATE", "PRIVATE|SHARED_VALIDATE", "DROPPABLE,1", "HUGE_2MB,HUGE_1GB"]
        {
            assert!(flags(two).unwrap_err().contains("excludes"), "{two}");
        }
        assert!(has("HUGETLB", 0x40022 | 21 << 26), "of any size");
        assert!(!has("HUGE_2MB", 0x40022 | 29 << 26), "29 has all bits of 21");
    }

    #[test]
    fn lengths() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64k", 64 << 10),
            ("64KiB", 64 << 10),
            ("1025M", 1025 << 20),
            ("2G", 2 << 30),
            ("128T", 128 << 40),
            ("15E", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(length(text), Ok(bytes), "{text}");
        }
        let wrong = ["", "M", "-1", "+1", "1MB", "1.5M", "16E", "18446744073709551616", "é", "1é"];
        for wrong in wrong {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn beginnings_of_paths() {
        for right in ["/", "/usr/lib", "memfd:", "memfd:a/b", "[perf_event]", "kvm-vcpu:0"] {
            assert_eq!(prefix(right).as_deref(), Ok(right));
        }
        for wrong in ["", "rel", "usr/lib", "./x", "libc.so.6", &"/x".repeat(128)] {
            assert!(prefix(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn symbolic_links_are_followed() {
        let dir = std::env::temp_dir().join(format!("snoop-prefixes-{}", std::process::id()));
        let dir = dir.to_str().unwrap();
        fs::create_dir_all(format!("{dir}/real/sub")).unwrap();
        fs::write(format!("{dir}/real/sub/lib.so.1"), "").unwrap();
        for (link, to) in [("link", "real"), ("real/sub/lib.so", "lib.so.1")] {
            std::os::unix::fs::symlink(to, format!("{dir}/{link}")).unwrap();
        }
        let followed = |text: &str| {
            let all = prefixes(&format!("{dir}/{text}")).unwrap().into_iter();
            all.map(|path| path.strip_prefix(dir).unwrap()[1..].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(followed("real/sub"), ["real/sub"]);
        assert_eq!(followed("real/sub/"), ["real/sub/"]);
        assert_eq!(followed("link/su"), ["link/su", "real/su"]);
        assert_eq!(followed("link/sub/"), ["link/sub/", "real/sub/"]);
        assert_eq!(followed("link"), ["link", "real"]);
        let links = ["link/sub/lib.so", "real/sub/lib.so", "real/sub/lib.so.1"];
        assert_eq!(followed("link/sub/lib.so"), links);
        assert_eq!(followed("missing/x"), ["missing/x"]);
        fs::remove_dir_all(dir).unwrap();
        assert_eq!(prefixes("/"), Ok(vec!["/".to_owned()]));
        assert_eq!(prefixes("memfd:x"), Ok(vec!["memfd:x".to_owned()]));
    }

    fn shown(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn what_a_row_shows_is_understood(value: u64, shift in 0u32..64) {
            let cell = shown(|out| push_map(out, value));
            prop_assert_eq!(flags(&cell).map(|wanted| wanted.bits), Ok(value), "{}", cell);
            let cell = shown(|out| push_prot(out, value));
            prop_assert_eq!(prot(&cell), Ok(value), "{}", cell);
            let cell = shown(|out| push_size(out, 1 << shift));
            prop_assert_eq!(length(&cell), Ok(1 << shift), "{}", cell);
        }
    }
}
