//! What this process needs.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::host::memory::page_size;

/// CPU time since its start, and memory now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// In user and kernel mode, of all threads
    pub cpu_ns: u64,
    /// In memory (RSS)
    pub memory_bytes: u64,
}

impl Used {
    /// As of now.
    pub fn now() -> Self {
        let cpu = cpu();
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Self {
            cpu_ns: u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
            memory_bytes: pages.unwrap_or(0) * page_size(),
        }
    }
}

/// CPU time since the start of the process.
pub fn cpu() -> Duration {
    let time = |time: TimeVal| {
        let micros = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(Duration::ZERO, |usage| time(usage.user_time()) + time(usage.system_time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_memory() {
        let before = cpu();
        while cpu() == before {
            std::hint::black_box(vec![1u8; 1 << 16]);
        }
        let used = Used::now();
        assert!(used.cpu_ns > 0 && used.memory_bytes > 1 << 18, "{used:?}");
    }
}
