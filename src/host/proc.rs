//! A process, as `/proc` describes it.

use std::fs;
use std::ops::Range;

use crate::host::timens;

/// `USER_HZ`, 100 on all architectures of today: /proc counts in hundredths of a second.
pub const NS_PER_TICK: u64 = 10_000_000;

/// proc_pid_stat(5): "PID (NAME) STATE PPID ...".
pub struct Stat {
    text: Vec<u8>,
    /// Place of the name, which may hold anything, also ") R 1" and invalid UTF-8
    name: Range<usize>,
}

impl Stat {
    /// `None`: the process is gone.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// From the content of the file, whose name in brackets can be any bytes.
    pub fn parse(text: Vec<u8>) -> Option<Self> {
        let begin = text.iter().position(|&b| b == b'(')? + 1;
        let end = text.iter().rposition(|&b| b == b')')?;
        Some(Self { text, name: begin..end })
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        self.text.get(self.name.clone()).unwrap_or_default()
    }

    /// A field behind the name, as the manual page counts: from 3, the state.
    pub fn field(&self, number: usize) -> Option<&str> {
        let fields = std::str::from_utf8(self.text.get(self.name.end + 1..)?).ok()?;
        fields.split_whitespace().nth(number.checked_sub(3)?)
    }

    /// A field that is a number.
    pub fn number<N: std::str::FromStr>(&self, number: usize) -> Option<N> {
        self.field(number)?.parse().ok()
    }

    /// Its parent.
    pub fn ppid(&self) -> Option<u32> {
        self.number(4)
    }

    /// Its birth: see [`ticks`].
    pub fn start_ticks(&self) -> Option<u64> {
        self.number(22)
    }
}

/// The ids of all processes; none where /proc is not mounted.
pub fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether `pid` is still the process that was born at `start_ns` (the kernel's `CLOCK_BOOTTIME`),
/// and not a newer one with the same number.
pub fn is_process(pid: u32, start_ns: u64) -> bool {
    let born = Stat::read(pid).and_then(|stat| stat.start_ticks());
    born == Some(ticks(start_ns))
}

/// A time of the kernel's `CLOCK_BOOTTIME` in nanoseconds as /proc shows it to our time namespace,
/// in units of [`NS_PER_TICK`].
pub fn ticks(boot_ns: u64) -> u64 {
    boot_ns.saturating_add_signed(timens::offsets().boot_ns) / NS_PER_TICK
}

/// The first nanosecond of a tick: see [`ticks`].
pub fn first_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(NS_PER_TICK).saturating_add_signed(-timens::offsets().boot_ns)
}

/// The path in the cgroup v2 hierarchy. From another cgroup namespace it may begin with `/..`.
pub fn cgroup(pid: u32, start_ns: u64) -> Option<Vec<u8>> {
    let text = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
    // Checked last: the number may have belonged to another process until now.
    cgroup_in(&text).filter(|_| is_process(pid, start_ns)).map(<[u8]>::to_vec)
}

/// The path in the content of such a file.
pub fn cgroup_in(text: &[u8]) -> Option<&[u8]> {
    let path = text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    Some(path.strip_suffix(b" (deleted)").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn names_that_are_no_text() {
        let program = std::env::temp_dir().join(format!("snoop-proc-{}", std::process::id()));
        fs::create_dir(&program).unwrap();
        let name = b"a) \xff ( b";
        let file = program.join(std::ffi::OsStr::from_bytes(name));
        // A link, whose name the process gets. A copy could not be executed while a process started
        // by another test still has it open for writing, as we had.
        std::os::unix::fs::symlink("/bin/sleep", &file).unwrap();
        let mut child = std::process::Command::new(&file).arg("300").spawn().unwrap();
        let stat = Stat::read(child.id()).unwrap();
        assert_eq!((stat.name(), stat.ppid()), (&name[..], Some(std::process::id())));
        assert!(is_process(child.id(), stat.start_ticks().unwrap() * NS_PER_TICK));
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(program).unwrap();
    }

    #[test]
    fn a_process_is_known_by_its_birth() {
        let pid = std::process::id();
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let ticks: u64 =
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
        assert!(is_process(pid, ticks * 10_000_000 + 9_999_999));
        assert!(!is_process(pid, (ticks + 1) * 10_000_000));
        assert_eq!(cgroup(pid, (ticks + 1) * 10_000_000), None);
    }
}
