//! Our time namespace. In one with offsets the clocks that programs read, and /proc, are ahead of
//! the kernel's own, which stamp all events: time_namespaces(7).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

/// How far the clocks of a namespace are ahead of the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `CLOCK_MONOTONIC`, in nanoseconds
    pub monotonic_ns: i64,
    /// `CLOCK_BOOTTIME`, in nanoseconds
    pub boot_ns: i64,
}

/// Our own. No process can change them once it is in the namespace.
pub fn offsets() -> Offsets {
    static OURS: LazyLock<Offsets> = LazyLock::new(|| {
        let parent = std::os::unix::process::parent_id().to_string();
        // The file tells of the namespace of future children. Those of our own may have another
        // one than we have, as after unshare(CLONE_NEWTIME): then our parent and init are asked.
        let ours = inode("self", "time");
        let mut processes = ["self", &parent, "1"].into_iter();
        let like_us = processes.find(|process| {
            ours.is_some_and(|ours| inode(process, "time_for_children") == Some(ours))
        });
        let text = like_us
            .and_then(|process| fs::read_to_string(format!("/proc/{process}/timens_offsets")).ok());
        // Before Linux 5.6 there are no such namespaces.
        text.map(|text| parse(&text)).unwrap_or_default()
    });
    *OURS
}

/// Which namespace of this kind a process has.
fn inode(process: &str, kind: &str) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{process}/ns/{kind}")).ok()?.ino())
}

/// `monotonic  SECONDS  NANOSECONDS`, and the same for `boottime`.
fn parse(text: &str) -> Offsets {
    let of = |clock: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(clock))?;
        let mut numbers = line.split_whitespace().map_while(|word| word.parse::<i64>().ok());
        let (seconds, ns) = (numbers.next()?, numbers.next()?);
        seconds.checked_mul(1_000_000_000)?.checked_add(ns)
    };
    Offsets { monotonic_ns: of("monotonic").unwrap_or(0), boot_ns: of("boottime").unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_seconds_and_nanoseconds() {
        let text = "monotonic          0         0\nboottime      -100   5\n";
        assert_eq!(parse(text), Offsets { monotonic_ns: 0, boot_ns: -99_999_999_995 });
        assert_eq!(parse(""), Offsets::default());
    }
}
