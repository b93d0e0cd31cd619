//! What `/proc` says of a process that an event names.

use std::fs;

/// Whether `pid` is still the process that was born at `start_ns` (`CLOCK_BOOTTIME`), not
/// another one that has got its number since.
pub fn is_process(pid: u32, start_ns: u64) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // proc_pid_stat(5): field 22, counted from the name that ends with the last ")".
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rest.split_whitespace().nth(22 - 3).and_then(|ticks| ticks.parse::<u64>().ok());
    // USER_HZ is 100 on all architectures of today.
    ticks == Some(start_ns / 10_000_000)
}

/// Its path in the cgroup v2 hierarchy. Seen from another cgroup namespace it may begin with
/// `/..`.
pub fn cgroup(pid: u32, start_ns: u64) -> Option<Vec<u8>> {
    let text = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    // Looked at last: the number may have been another process's until now.
    is_process(pid, start_ns).then(|| path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

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
