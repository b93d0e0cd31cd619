//! From a refusal to one line that names the way out.
//!
//! There is no check for root beforehand: capabilities are enough, and a check would lock
//! out those who have them. What failed is tried first and explained afterwards.

use std::fs;
use std::path::Path;

use crate::attach::Refusal;
use crate::errno::without_numbers;
use crate::{kernel, tracefs};

/// What of this machine decides whether tracing works. Read when something failed.
#[derive(Clone, Debug)]
struct Machine {
    kernel: (u32, u32),
    has_btf: bool,
    has_tracefs: bool,
    /// Effective capabilities as a bit mask
    capabilities: u64,
    lockdown: String,
    /// `kernel.perf_event_paranoid`
    paranoid: i32,
}

// Numbers of linux/capability.h.
pub(crate) const CAP_NET_ADMIN: u32 = 12;
pub(crate) const CAP_NET_RAW: u32 = 13;
pub(crate) const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;
pub(crate) const CAP_PERFMON: u32 = 38;
pub(crate) const CAP_BPF: u32 = 39;

/// The effective capabilities of this process as a bit mask; all of them if they cannot be read.
pub(crate) fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX)
}

impl Machine {
    fn read() -> Self {
        Self {
            kernel: kernel::release(),
            has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            has_tracefs: tracefs::events_folder().is_some(),
            capabilities: capabilities(),
            lockdown: fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default(),
            paranoid: fs::read_to_string("/proc/sys/kernel/perf_event_paranoid")
                .ok()
                .and_then(|level| level.trim().parse().ok())
                .unwrap_or(0),
        }
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }
}

/// One line: what is missing and what to do. `refusals`: what each backend met.
pub fn explain(refusals: &[Refusal], forced: bool) -> String {
    let words: Vec<_> = refusals
        .iter()
        .map(|refusal| without_numbers(&format!("{}: {:#}", refusal.backend, refusal.error)))
        .collect();
    explain_on(&Machine::read(), &words, forced)
}

fn lack_of(machine: &Machine) -> Option<String> {
    let (major, minor) = machine.kernel;
    if machine.kernel < (5, 8) {
        return Some(format!("Linux {major}.{minor} is too old: 5.8 or newer is needed"));
    }
    let admin = machine.has(CAP_SYS_ADMIN);
    let missing: Vec<_> = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|&(capability, _)| !admin && !machine.has(capability))
        .map(|(_, name)| name)
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        return Some(format!(
            "not permitted: {missing} missing; run it with sudo, or grant the capability"
        ));
    }
    if !machine.has_btf {
        return Some(
            "this kernel has no BTF (/sys/kernel/btf/vmlinux): use one that is built with \
                CONFIG_DEBUG_INFO_BTF=y, as those of distributions are"
                .to_owned(),
        );
    }
    if machine.lockdown.contains("[confidentiality]") {
        return Some(
            "the kernel is locked down to \"confidentiality\", which forbids reading memory by \
                BPF: boot with lockdown=integrity or without lockdown"
                .to_owned(),
        );
    }
    None
}

/// What this machine lacks for any BPF program to be loaded, and what to do about it.
pub(crate) fn lack() -> Option<String> {
    lack_of(&Machine::read())
}

fn explain_on(machine: &Machine, refusals: &[String], forced: bool) -> String {
    let (major, minor) = machine.kernel;
    if let Some(lack) = lack_of(machine) {
        return lack;
    }
    let admin = machine.has(CAP_SYS_ADMIN);
    let all = refusals.join("; ");
    // From 5.11 on, memory cgroups account for BPF.
    let memlock = machine.kernel < (5, 11) && !machine.has(CAP_SYS_RESOURCE);
    if memlock && all.contains("failed to create") {
        return format!(
            "Linux {major}.{minor} counts BPF memory as locked, of which the limit allows too \
             little: ulimit -l unlimited, or grant CAP_SYS_RESOURCE"
        );
    }
    // 3 is Debian's and Android's: not even CAP_PERFMON is enough then.
    if machine.paranoid >= 3 && !admin && all.contains("perf buffer") {
        return "kernel.perf_event_paranoid is 3 or more, which keeps perf buffers for \
                CAP_SYS_ADMIN: use --buffer ring, or sysctl kernel.perf_event_paranoid=2"
            .to_owned();
    }
    let wants_tracefs = all.contains("tracepoint") || all.contains("tracefs");
    if !machine.has_tracefs && wants_tracefs {
        return "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing".to_owned();
    }
    let hint = if forced {
        "; without --backend the next best is tried"
    } else {
        "; -v shows the kernel's words"
    };
    format!("the kernel refused every way to trace: {all}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            kernel: (6, 12),
            has_btf: true,
            has_tracefs: true,
            capabilities: 1 << CAP_BPF | 1 << CAP_PERFMON,
            lockdown: "none [integrity] confidentiality\n".to_owned(),
            paranoid: 3,
        }
    }

    fn line(machine: &Machine) -> String {
        explain_on(machine, &["tracepoint: attach: no such file".to_owned()], false)
    }

    #[test]
    fn each_lack_is_named_with_its_way_out() {
        let old = Machine { kernel: (5, 4), ..machine() };
        assert!(line(&old).contains("5.4 is too old"));
        let none = Machine { capabilities: 0, ..machine() };
        assert!(line(&none).contains("CAP_BPF and CAP_PERFMON missing; run it with sudo"));
        let half = Machine { capabilities: 1 << CAP_BPF, ..machine() };
        assert!(line(&half).starts_with("not permitted: CAP_PERFMON missing"));
        let no_btf = Machine { has_btf: false, ..machine() };
        assert!(line(&no_btf).contains("CONFIG_DEBUG_INFO_BTF"));
        let locked = Machine { lockdown: "none integrity [confidentiality]".into(), ..machine() };
        assert!(line(&locked).contains("lockdown=integrity"));
        let no_tracefs = Machine { has_tracefs: false, ..machine() };
        assert!(line(&no_tracefs).contains("mount -t tracefs"));
        assert!(line(&machine()).contains("no such file"));
        let perf = ["tp_btf: open the perf buffer: EACCES".to_owned()];
        assert!(explain_on(&machine(), &perf, true).contains("use --buffer ring"));
        let old = Machine { kernel: (5, 10), ..machine() };
        let map = ["tp_btf: map 'events': failed to create: -EPERM".to_owned()];
        assert!(explain_on(&old, &map, false).contains("ulimit -l unlimited"));
        assert!(!explain_on(&machine(), &map, false).contains("ulimit"));
        let relaxed = Machine { paranoid: 2, ..machine() };
        assert!(!explain_on(&relaxed, &perf, true).contains("use --buffer ring"));
    }

    #[test]
    fn every_explanation_is_one_line() {
        for has_btf in [true, false] {
            assert_eq!(line(&Machine { has_btf, ..machine() }).lines().count(), 1);
        }
    }
}
