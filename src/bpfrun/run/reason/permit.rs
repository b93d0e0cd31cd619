//! Which capability was missing when the kernel said "not permitted".

use crate::bpfrun::run::hook::Kind;
use crate::bpfrun::run::reason::Reason;
use crate::engine::explain::{
    self, CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_SYS_ADMIN,
};

/// Why the kernel did not let this process load a program, if a capability was missing.
pub(super) fn to_load(kind: Kind) -> Option<Reason> {
    reason(&to_load_with(kind, explain::capabilities()))
}

/// Why the kernel did not let this process attach a program, if a capability was missing.
pub(super) fn to_attach(kind: Kind) -> Option<Reason> {
    reason(&to_attach_with(kind, explain::capabilities()))
}

fn reason(missing: &[&str]) -> Option<Reason> {
    let what = format!("not permitted: {} missing", missing.join(" and "));
    let advice = "run it with sudo, or grant the capability";
    (!missing.is_empty()).then(|| Reason::new(what).advice(advice))
}

fn has(capabilities: u64, capability: u32) -> bool {
    capabilities & (1 << capability) != 0
}

/// `bpf_prog_load()` in kernel/bpf/syscall.c. `CAP_SYS_ADMIN` is enough for all of it.
fn to_load_with(kind: Kind, capabilities: u64) -> Vec<&'static str> {
    if has(capabilities, CAP_SYS_ADMIN) {
        return Vec::new();
    }
    let mut needed = vec![(CAP_BPF, "CAP_BPF")];
    match kind {
        // Programs of cgroups have many types; only cgroup_skb does not need it.
        Kind::Xdp | Kind::Tc | Kind::Netns | Kind::Sockmap | Kind::Cgroup => {
            needed.push((CAP_NET_ADMIN, "CAP_NET_ADMIN"));
        }
        Kind::Socket => {}
        _ => needed.push((CAP_PERFMON, "CAP_PERFMON")),
    }
    needed.retain(|&(capability, _)| !has(capabilities, capability));
    needed.into_iter().map(|(_, name)| name).collect()
}

/// The capabilities that only attaching needs.
fn to_attach_with(kind: Kind, capabilities: u64) -> Vec<&'static str> {
    let admin = has(capabilities, CAP_SYS_ADMIN);
    let missing = match kind {
        // bpf_prog_attach_check_attach_type() does without CAP_SYS_ADMIN.
        Kind::Cgroup => (!has(capabilities, CAP_NET_ADMIN)).then_some("CAP_NET_ADMIN"),
        // For a packet socket of our own.
        Kind::Socket => (!has(capabilities, CAP_NET_RAW)).then_some("CAP_NET_RAW"),
        _ if admin => None,
        Kind::Xdp | Kind::Tc | Kind::Netns | Kind::Sockmap => {
            (!has(capabilities, CAP_NET_ADMIN)).then_some("CAP_NET_ADMIN")
        }
        _ if !has(capabilities, CAP_PERFMON) => Some("CAP_PERFMON"),
        // A uprobe can break its program, so newer kernels (such as 6.18) require more than
        // CAP_PERFMON. If kernel.perf_event_paranoid is 3, as in Debian, CAP_PERFMON is not enough
        // for any perf event.
        Kind::Uprobe { .. }
        | Kind::UprobeMulti { .. }
        | Kind::Usdt
        | Kind::Kprobe { .. }
        | Kind::KprobeMulti
        | Kind::Ksyscall { .. }
        | Kind::Tracepoint
        | Kind::PerfEvent => Some("CAP_SYS_ADMIN"),
        _ => None,
    };
    missing.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACER: u64 = 1 << CAP_BPF | 1 << CAP_PERFMON;

    #[test]
    fn only_what_is_missing_is_named() {
        let uprobe = Kind::Uprobe { ret: false };
        for (kind, load, attach) in [
            (Kind::Xdp, "CAP_NET_ADMIN", "CAP_NET_ADMIN"),
            (Kind::Tc, "CAP_NET_ADMIN", "CAP_NET_ADMIN"),
            (Kind::Cgroup, "CAP_NET_ADMIN", "CAP_NET_ADMIN"),
            (Kind::Socket, "", "CAP_NET_RAW"),
            (uprobe, "", "CAP_SYS_ADMIN"),
            (Kind::PerfEvent, "", "CAP_SYS_ADMIN"),
            (Kind::RawTracepoint, "", ""),
            (Kind::Lsm, "", ""),
        ] {
            assert_eq!(to_load_with(kind, TRACER).concat(), load, "{kind:?}");
            assert_eq!(to_attach_with(kind, TRACER).concat(), attach, "{kind:?}");
        }
        assert_eq!(to_load_with(uprobe, 0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(to_attach_with(uprobe, 0), ["CAP_PERFMON"]);
        assert_eq!(to_load_with(Kind::Xdp, 1 << CAP_SYS_ADMIN), [""; 0]);
        assert_eq!(to_attach_with(Kind::Cgroup, 1 << CAP_SYS_ADMIN), ["CAP_NET_ADMIN"]);
        for kind in [Kind::Xdp, Kind::Cgroup, Kind::Socket, uprobe, Kind::Lsm] {
            assert_eq!(to_load_with(kind, u64::MAX), [""; 0], "{kind:?}");
            assert_eq!(to_attach_with(kind, u64::MAX), [""; 0], "{kind:?}");
        }
    }

    #[test]
    fn it_is_one_line_that_names_the_way_out() {
        let reason = reason(&["CAP_NET_RAW"]).unwrap().to_string();
        assert_eq!(
            reason,
            "not permitted: CAP_NET_RAW missing; run it with sudo, or grant the capability"
        );
    }
}
