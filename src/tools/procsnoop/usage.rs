//! The resources used by a process itself, as getrusage(2) and wait4(2) report them.

use crate::skel::process_usage;

/// CPU time, memory, faults, switches, block I/O: of all threads, without children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user space, nanoseconds
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds
    pub system_ns: u64,
    /// Peak of resident memory, bytes
    pub max_rss_bytes: u64,
    /// Page faults without I/O
    pub minor_faults: u64,
    /// Page faults with I/O
    pub major_faults: u64,
    /// Voluntary switches from the CPU
    pub voluntary_switches: u64,
    /// Involuntary switches
    pub involuntary_switches: u64,
    /// Bytes read from block devices for the process
    pub read_bytes: u64,
    /// Bytes written by the process for block devices
    pub written_bytes: u64,
}

impl Usage {
    /// Reads the kernel's own account.
    pub fn new(raw: &process_usage) -> Self {
        let (user_ns, system_ns) = split(raw);
        Self {
            user_ns,
            system_ns,
            max_rss_bytes: raw.max_rss_kib.saturating_mul(1024),
            minor_faults: raw.minor_faults,
            major_faults: raw.major_faults,
            voluntary_switches: raw.voluntary_switches,
            involuntary_switches: raw.involuntary_switches,
            read_bytes: raw.read_blocks.saturating_mul(512),
            written_bytes: raw.written_blocks.saturating_mul(512),
        }
    }

    /// User and system time, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }
}

/// User and system time. The scheduler knows the sum exactly; ticks only give the proportion. Like
/// the kernel's `cputime_adjust()`: in that proportion, and neither part ever below what
/// getrusage() has returned before.
fn split(raw: &process_usage) -> (u64, u64) {
    let total = raw.runtime_ns;
    let (shown_user, shown_system) = (raw.shown_user_ns, raw.shown_system_ns);
    if shown_user.saturating_add(shown_system) >= total {
        return (shown_user, shown_system);
    }
    let system = if raw.system_ns == 0 {
        0
    } else if raw.user_ns == 0 {
        total
    } else {
        let ticks = u128::from(raw.system_ns) + u128::from(raw.user_ns);
        let system = u128::from(raw.system_ns) * u128::from(total) / ticks;
        u64::try_from(system).unwrap_or(total)
    };
    let system = system.max(shown_system);
    let user = total.saturating_sub(system);
    if user < shown_user { (shown_user, total - shown_user) } else { (user, system) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(user: u64, system: u64, total: u64, shown: (u64, u64)) -> process_usage {
        process_usage {
            user_ns: user,
            system_ns: system,
            runtime_ns: total,
            shown_user_ns: shown.0,
            shown_system_ns: shown.1,
            ..process_usage::default()
        }
    }

    #[test]
    fn ticks_divide_the_exact_sum() {
        assert_eq!(split(&raw(0, 0, 700, (0, 0))), (700, 0));
        assert_eq!(split(&raw(0, 4, 700, (0, 0))), (0, 700));
        assert_eq!(split(&raw(8, 4, 900, (0, 0))), (600, 300));
        assert_eq!(split(&raw(8, 4, 900, (0, 400))), (500, 400), "never backwards");
        assert_eq!(split(&raw(8, 4, 900, (700, 0))), (700, 200));
        assert_eq!(split(&raw(8, 4, 900, (700, 300))), (700, 300));
    }

    proptest! {
        #[test]
        fn nothing_is_added(user: u64, system: u64, total: u64) {
            let (u, s) = split(&raw(user, system, total, (0, 0)));
            prop_assert_eq!(u.checked_add(s), Some(total));
        }

        #[test]
        fn no_account_makes_it_panic(user: u64, system: u64, total: u64, shown: (u64, u64)) {
            let _ = Usage::new(&raw(user, system, total, shown)).cpu_ns();
        }
    }
}
