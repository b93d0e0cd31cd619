//! Values of flags, checked. A wrong one is one line.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::SignedDuration;

use crate::engine::channel::rings::MOST;
use crate::host::cgroup::Cgroup;
use crate::host::users::uid_of;
use crate::output::filter::Expr;

/// See [`are_of_now`].
static ARE_OF_NOW: AtomicBool = AtomicBool::new(true);

/// Whether processes and cgroups must exist now. The parsers of values get nothing but the text.
pub(super) fn are_of_now(of_now: bool) {
    ARE_OF_NOW.store(of_now, Ordering::Relaxed);
}

pub(super) fn pid(text: &str) -> Result<u32, String> {
    // PID_MAX_LIMIT of 64-bit kernels.
    match text.parse() {
        Ok(pid @ 1..=4_194_304) => Ok(pid),
        _ => Err("a process id is a number from 1 to 4194304".to_owned()),
    }
}

/// The root of a tree must exist, since otherwise nothing can become its descendant.
pub(super) fn living_pid(text: &str) -> Result<u32, String> {
    look_for(pid(text)?, true)
}

/// A process that may have ended: then there is nothing to leave out.
pub(super) fn process(text: &str) -> Result<u32, String> {
    look_for(pid(text)?, false)
}

fn look_for(pid: u32, must_live: bool) -> Result<u32, String> {
    let proc = Path::new("/proc");
    if !ARE_OF_NOW.load(Ordering::Relaxed) || !proc.join("self").exists() {
        return Ok(pid);
    }
    match std::fs::read_to_string(proc.join(format!("{pid}/status"))) {
        Ok(status) => match thread_group(&status) {
            Some(process) if process != pid => Err(format!("that is a thread of {process}")),
            _ => Ok(pid),
        },
        Err(_) if must_live => Err("there is no such process".to_owned()),
        Err(_) => Ok(pid),
    }
}

/// `--filter`
pub(super) fn filter(text: &str) -> Result<Expr, String> {
    Expr::parse(text)
}

/// The process of a thread, from its `/proc/PID/status`.
fn thread_group(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// For free-text filters: a regular expression over bytes. The error is one line.
pub fn regex(text: &str) -> Result<regex::bytes::Regex, String> {
    regex::bytes::Regex::new(text).map_err(|error| {
        let words = error.to_string();
        let last = words.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

pub(super) fn user(text: &str) -> Result<u32, String> {
    if let Ok(uid) = text.parse::<u32>() {
        return if uid == u32::MAX { Err("not a user id".to_owned()) } else { Ok(uid) };
    }
    match uid_of(text) {
        Ok(Some(uid)) => Ok(uid),
        Ok(None) => Err("no such user".to_owned()),
        Err(error) => Err(format!("cannot look up users: {error}")),
    }
}

pub(super) fn comm(text: &str) -> Result<[u8; 16], String> {
    let mut comm = [0; 16];
    match comm.get_mut(..text.len()) {
        Some(start) if (1..16).contains(&text.len()) => start.copy_from_slice(text.as_bytes()),
        _ => return Err("a process name has 1 to 15 bytes (see /proc/PID/comm)".to_owned()),
    }
    Ok(comm)
}

/// `--ancestor`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ancestor {
    /// By id in our own PID namespace
    Pid(u32),
    /// By name, with its NULs
    Comm([u8; 16]),
}

pub(super) fn ancestor(text: &str) -> Result<Ancestor, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return pid(text).map(Ancestor::Pid);
    }
    comm(text).map(Ancestor::Comm)
}

/// `MAX_ANCESTORS` of common.h.
const MOST_ANCESTORS: u32 = 64;

pub(super) fn ancestors(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_ANCESTORS).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {MOST_ANCESTORS} is needed"))
}

pub(super) fn cgroup_map(_: &str) -> Result<Infallible, String> {
    Err("no map is needed here: --cgroup takes the folder of a cgroup".to_owned())
}

pub(super) fn mntns_map(_: &str) -> Result<Infallible, String> {
    Err("there is no filter by mount namespace: --cgroup or --tree select a container".to_owned())
}

/// How many, at least one.
pub fn number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| "a whole number from 1 up is needed".to_owned())
}

/// How many ring buffers.
pub(super) fn rings(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {MOST} is needed"))
}

/// The longest time that users may give: some thirty years.
const MAX_SECONDS: f64 = 1e9;

/// A duration: seconds, with fractions down to a millisecond, or with units.
pub fn seconds(text: &str) -> Result<Duration, String> {
    in_seconds(text, 1.0)
        .and_then(|seconds| in_range(seconds, 0.001..=MAX_SECONDS))
        .ok_or_else(|| "seconds are a number from 0.001 to 1e9, or a time such as 5m".to_owned())
}

/// A duration: milliseconds, with fractions, or with units; 0 too.
pub fn milliseconds(text: &str) -> Result<Duration, String> {
    in_seconds(text, 0.001).and_then(|seconds| in_range(seconds, 0.0..=MAX_SECONDS)).ok_or_else(
        || "milliseconds are a number from 0 to 1e12, such as 0.5, or a time such as 2s".to_owned(),
    )
}

/// A number of `unit` seconds, or a time such as `1h30m`, as seconds.
fn in_seconds(text: &str, unit: f64) -> Option<f64> {
    let number = text.parse::<f64>().map(|number| number * unit);
    number.ok().or_else(|| text.parse::<SignedDuration>().ok().map(|time| time.as_secs_f64()))
}

fn in_range(seconds: f64, range: RangeInclusive<f64>) -> Option<Duration> {
    range.contains(&seconds).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// A size, with K, M and G, or KiB, MiB and GiB.
pub fn bytes(text: &str) -> Result<u64, String> {
    let text = without_ib(text);
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    match bytes {
        Some(bytes @ 1..=0x4000_0000) => Ok(bytes),
        _ => Err("a size is a number of bytes up to 1G, such as 8M".to_owned()),
    }
}

/// `8M` of `8MiB`. `8MB` may be something else.
pub fn without_ib(text: &str) -> &str {
    let short = text.strip_suffix("iB").or_else(|| text.strip_suffix("ib"));
    short.filter(|short| short.ends_with(|c: char| c.is_ascii_alphabetic())).unwrap_or(text)
}

/// A folder of the cgroup v2 hierarchy.
pub(super) fn cgroup(text: &str) -> Result<Cgroup, String> {
    if !ARE_OF_NOW.load(Ordering::Relaxed) {
        return Ok(Cgroup { folder: text.into() });
    }
    Cgroup::find(Path::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_not() {
        for (text, ms) in
            [("5", 5_000), ("0.5", 500), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250)]
        {
            assert_eq!(seconds(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(milliseconds("5"), Ok(Duration::from_millis(5)));
        assert_eq!(milliseconds("1.5s"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "m", "5 apples", "-5m", "5m ago", "9999999h", "0s", "nan"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(pid("1"), Ok(1));
        for wrong in ["0", "-1", "4194305", "x", "", "99999999999999999999"] {
            assert!(pid(wrong).is_err(), "{wrong}");
        }
        assert_eq!(living_pid("1"), Ok(1));
        assert_eq!(living_pid("+1"), Ok(1));
        assert!(living_pid("4194304").is_err());
        assert_eq!(process("4194304"), Ok(4_194_304), "it has ended");
        let (of_thread, go_on) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            of_thread.send(nix::unistd::gettid()).unwrap();
            let _ = ended.recv();
        });
        let tid = go_on.recv().unwrap().to_string();
        let of_us = Err(format!("that is a thread of {}", std::process::id()));
        assert_eq!((living_pid(&tid), process(&tid)), (of_us.clone(), of_us));
        drop(end);
        thread.join().unwrap();
        assert!(regex("a|b").is_ok());
        assert_eq!(regex("(").unwrap_err(), "unclosed group");
        assert_eq!(user("0"), Ok(0));
        assert_eq!(user("root"), Ok(0));
        for wrong in ["", "no-such-user-here", "-1", "4294967295", "99999999999"] {
            assert!(user(wrong).is_err(), "{wrong}");
        }
        assert_eq!(comm("bash"), Ok(*b"bash\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert!(comm("").is_err());
        assert_eq!(ancestor("7"), Ok(Ancestor::Pid(7)));
        assert_eq!(ancestor("7z"), comm("7z").map(Ancestor::Comm));
        assert!(ancestor("0").is_err() && ancestor("").is_err());
        assert_eq!((ancestors("1"), ancestors("64")), (Ok(1), Ok(64)));
        for wrong in ["0", "65", "-1", "all", ""] {
            assert!(ancestors(wrong).is_err(), "{wrong}");
        }
        assert!(comm("sixteen-bytes-xx").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0.001"), Ok(Duration::from_millis(1)));
        for wrong in ["0", "-1", "nan", "inf", "1e-10", "0.0009", "1e10", "1e19", "1e30", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(milliseconds("0.5"), Ok(Duration::from_micros(500)));
        assert_eq!(milliseconds("0"), Ok(Duration::ZERO));
        for wrong in ["-1", "nan", "inf", "18446744073709.553", "x"] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(number("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["0", "-1", "1.5", "", "18446744073709551616"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("8M"), Ok(8 << 20));
        assert_eq!(bytes("64k"), Ok(64 << 10));
        assert_eq!(bytes("1G"), Ok(1 << 30));
        assert_eq!(bytes("8MiB"), Ok(8 << 20));
        for wrong in [
            "",
            "0",
            "M",
            "2G",
            "8iB",
            "iB",
            "8MB",
            "8MiBiB",
            "99999999M",
            "18446744073709551615K",
            "é",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
