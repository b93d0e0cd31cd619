//! The section of a program: the kind of hook, and its place.

use crate::bpfrun::run::symbols;

/// The kind of a hook. `ret`: at the function's return; `session`: at entry and return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `kprobe`, `kretprobe`
    Kprobe { ret: bool },
    /// `kprobe.multi`, `kretprobe.multi`, `kprobe.session`: all functions that match a pattern
    KprobeMulti,
    /// `ksyscall`, `kretsyscall`
    Ksyscall { ret: bool },
    /// `uprobe`, `uretprobe`
    Uprobe { ret: bool },
    /// `uprobe.multi` and so on
    UprobeMulti { ret: bool, session: bool },
    /// `usdt`
    Usdt,
    /// `tp`, `tracepoint`
    Tracepoint,
    /// `raw_tp`, `raw_tracepoint`
    RawTracepoint,
    /// `tp_btf`
    TpBtf,
    /// `fentry`
    Fentry,
    /// `fexit`
    Fexit,
    /// `fsession`: at entry and return
    Fsession,
    /// `iter`
    Iter,
    /// `perf_event`
    PerfEvent,
    /// `socket`: filters the packets of one socket, here one of our own
    Socket,
    /// `lsm`
    Lsm,
    /// `fmod_ret`
    FmodRet,
    /// `xdp`
    Xdp,
    /// `tc`, `tcx`, `classifier`
    Tc,
    /// `cgroup/…`, `cgroup_skb/…`, `sockops`, `lsm_cgroup`: attached to a cgroup
    Cgroup,
    /// `sk_lookup`, `flow_dissector`: attached to a network namespace
    Netns,
    /// `sk_skb`, `sk_msg`: attached to a map of sockets
    Sockmap,
    /// `struct_ops`: attached through its map
    StructOps,
    /// Other kinds that libbpf knows
    Other,
    /// Unknown to libbpf
    Unknown,
}

/// The parts of a program's section name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// How
    pub kind: Kind,
    /// The place: the part behind the first `/`, except for kinds whose name has one
    pub target: Option<String>,
}

/// Names of the kinds; longer ones come before their own prefixes.
const NAMES: &[(&str, Kind)] = &[
    ("kprobe.multi", Kind::KprobeMulti),
    ("kretprobe.multi", Kind::KprobeMulti),
    ("kprobe.session", Kind::KprobeMulti),
    ("kprobe", Kind::Kprobe { ret: false }),
    ("kretprobe", Kind::Kprobe { ret: true }),
    ("ksyscall", Kind::Ksyscall { ret: false }),
    ("kretsyscall", Kind::Ksyscall { ret: true }),
    ("uprobe.multi", Kind::UprobeMulti { ret: false, session: false }),
    ("uprobe.multi.s", Kind::UprobeMulti { ret: false, session: false }),
    ("uretprobe.multi", Kind::UprobeMulti { ret: true, session: false }),
    ("uretprobe.multi.s", Kind::UprobeMulti { ret: true, session: false }),
    ("uprobe.session", Kind::UprobeMulti { ret: false, session: true }),
    ("uprobe.session.s", Kind::UprobeMulti { ret: false, session: true }),
    ("uprobe", Kind::Uprobe { ret: false }),
    ("uprobe.s", Kind::Uprobe { ret: false }),
    ("uretprobe", Kind::Uprobe { ret: true }),
    ("uretprobe.s", Kind::Uprobe { ret: true }),
    ("usdt", Kind::Usdt),
    ("usdt.s", Kind::Usdt),
    ("tp", Kind::Tracepoint),
    ("tracepoint", Kind::Tracepoint),
    ("raw_tp", Kind::RawTracepoint),
    ("raw_tracepoint", Kind::RawTracepoint),
    ("raw_tp.w", Kind::RawTracepoint),
    ("raw_tracepoint.w", Kind::RawTracepoint),
    ("tp_btf", Kind::TpBtf),
    ("fentry", Kind::Fentry),
    ("fentry.s", Kind::Fentry),
    ("fexit", Kind::Fexit),
    ("fexit.s", Kind::Fexit),
    ("fsession", Kind::Fsession),
    ("fsession.s", Kind::Fsession),
    ("iter", Kind::Iter),
    ("iter.s", Kind::Iter),
    ("perf_event", Kind::PerfEvent),
    ("socket", Kind::Socket),
    ("lsm", Kind::Lsm),
    ("lsm.s", Kind::Lsm),
    ("lsm_cgroup", Kind::Cgroup),
    ("fmod_ret", Kind::FmodRet),
    ("fmod_ret.s", Kind::FmodRet),
    ("xdp", Kind::Xdp),
    ("xdp.frags", Kind::Xdp),
    ("tc", Kind::Tc),
    ("tcx", Kind::Tc),
    ("classifier", Kind::Tc),
    ("cgroup", Kind::Cgroup),
    ("cgroup_skb", Kind::Cgroup),
    ("sockops", Kind::Cgroup),
    ("sk_lookup", Kind::Netns),
    ("flow_dissector", Kind::Netns),
    ("sk_skb", Kind::Sockmap),
    ("sk_msg", Kind::Sockmap),
    ("struct_ops", Kind::StructOps),
    ("struct_ops.s", Kind::StructOps),
    ("freplace", Kind::Other),
    ("syscall", Kind::Other),
    ("action", Kind::Other),
    ("netkit", Kind::Other),
    ("netfilter", Kind::Other),
    ("lwt_in", Kind::Other),
    ("lwt_out", Kind::Other),
    ("lwt_xmit", Kind::Other),
    ("lwt_seg6local", Kind::Other),
    ("lirc_mode2", Kind::Other),
    ("sk_reuseport", Kind::Other),
];

impl Hook {
    /// Parses the name of a section, without a `?` in front.
    pub fn parse(section: &str) -> Self {
        let (name, target) = match section.split_once('/') {
            Some((name, target)) => (name, Some(target)),
            None => (section, None),
        };
        let kind = NAMES.iter().find(|(known, _)| *known == name);
        let kind = kind.map_or(Kind::Unknown, |&(_, kind)| kind);
        let target = target.filter(|target| !target.is_empty() && kind.has_target());
        Self { kind, target: target.map(str::to_owned) }
    }

    /// Programs with the same key are variants of one probe, unless they have the same kind
    /// too. The number says how good the variant is: less is better.
    pub fn variant(&self) -> Option<(String, u8)> {
        let target = self.target.as_deref()?;
        let function = |point: &str, rank| Some((format!("{point} of {}", place(target)), rank));
        let tracepoint = |name: &str, rank| Some((format!("tracepoint {name}"), rank));
        match self.kind {
            Kind::Fentry => function("entry", 0),
            Kind::Kprobe { ret: false } => function("entry", 1),
            Kind::Ksyscall { ret } => {
                let point = if ret { "return" } else { "entry" };
                Some((format!("{point} of system call {target}"), 2))
            }
            Kind::Fexit => function("return", 0),
            Kind::Kprobe { ret: true } => function("return", 1),
            Kind::TpBtf => tracepoint(target, 0),
            Kind::RawTracepoint => tracepoint(target, 1),
            Kind::Tracepoint => tracepoint(target.rsplit(['/', ':']).next()?, 2),
            _ => None,
        }
    }
}

impl Hook {
    /// Of a probe at the begin or the return of a function: the function, how good the variant is,
    /// and whether it is the return.
    pub fn half(&self) -> Option<(String, u8, bool)> {
        let (key, rank) = self.variant()?;
        let (entry, exit) = (key.strip_prefix("entry of "), key.strip_prefix("return of "));
        Some((entry.or(exit)?.to_owned(), rank, exit.is_some()))
    }
}

/// A function in words: `fentry/__x64_sys_execve`, `kprobe/sys_execve` and `ksyscall/execve` are at
/// the same place.
fn place(function: &str) -> String {
    match symbols::system_call(function) {
        Some(name) => format!("system call {name}"),
        None => function.to_owned(),
    }
}

impl Kind {
    /// Whether the part behind the first `/` is a place, not part of the kind.
    fn has_target(self) -> bool {
        !matches!(
            self,
            Self::Xdp
                | Self::Tc
                | Self::Cgroup
                | Self::Netns
                | Self::Sockmap
                | Self::Other
                | Self::Unknown
        )
    }

    /// Whether the return value of such a program changes how the system behaves: attached only if
    /// named.
    pub fn changes_behaviour(self) -> bool {
        matches!(
            self,
            Self::Lsm
                | Self::FmodRet
                | Self::Xdp
                | Self::Tc
                | Self::Cgroup
                | Self::Netns
                | Self::Sockmap
                | Self::StructOps
                | Self::Other
        )
    }

    /// The target that `--attach PROG=` needs, in words.
    pub fn wants(self) -> &'static str {
        match self {
            Self::Kprobe { .. } | Self::Fentry | Self::Fexit | Self::Fsession => "FUNCTION",
            Self::KprobeMulti => "PATTERN",
            Self::Ksyscall { .. } => "SYSCALL",
            Self::Uprobe { .. } => "FILE:FUNCTION",
            Self::UprobeMulti { .. } => "FILE:PATTERN",
            Self::Usdt => "FILE:PROVIDER:NAME",
            Self::Tracepoint => "CATEGORY:NAME",
            Self::RawTracepoint | Self::TpBtf => "NAME",
            Self::Iter | Self::Sockmap => "MAP",
            Self::PerfEvent => "EVENT@TIMES_A_SECOND",
            Self::Socket | Self::Xdp | Self::Tc => "INTERFACE",
            Self::Lsm => "HOOK",
            Self::FmodRet => "FUNCTION",
            Self::Cgroup => "/sys/fs/cgroup/FOLDER",
            Self::Netns => "/proc/PID/ns/net",
            Self::StructOps | Self::Other | Self::Unknown => "",
        }
    }

    /// Whether the kernel checks the target at loading, so that another target must be set before.
    pub fn target_is_loaded(self) -> bool {
        matches!(
            self,
            Self::TpBtf | Self::Fentry | Self::Fexit | Self::Fsession | Self::Lsm | Self::FmodRet
        )
    }

    /// Whether the hook uses a trampoline, which some kernels do not allow.
    pub fn is_trampoline(self) -> bool {
        matches!(self, Self::Fentry | Self::Fexit | Self::Fsession | Self::Lsm | Self::FmodRet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        let some = |target: &str| Some(target.to_owned());
        for (section, kind, target) in [
            ("tp/sched/sched_switch", Kind::Tracepoint, some("sched/sched_switch")),
            ("kprobe/vfs_read+0x8", Kind::Kprobe { ret: false }, some("vfs_read+0x8")),
            ("kretprobe", Kind::Kprobe { ret: true }, None),
            ("kprobe.multi/tcp_*", Kind::KprobeMulti, some("tcp_*")),
            ("uprobe//bin/x:f", Kind::Uprobe { ret: false }, some("/bin/x:f")),
            ("fentry.s/do_unlinkat", Kind::Fentry, some("do_unlinkat")),
            ("lsm/", Kind::Lsm, None),
            ("tc/ingress", Kind::Tc, None),
            ("cgroup/connect4", Kind::Cgroup, None),
            ("cgroup_skb/egress", Kind::Cgroup, None),
            ("iter.s/bpf_map", Kind::Iter, some("bpf_map")),
            ("struct_ops/init", Kind::StructOps, some("init")),
            ("kprobes/x", Kind::Unknown, None),
            ("", Kind::Unknown, None),
            ("/", Kind::Unknown, None),
        ] {
            assert_eq!(Hook::parse(section), Hook { kind, target }, "{section}");
        }
    }

    #[test]
    fn variants_of_one_probe_have_one_key() {
        let groups: &[&[&str]] = &[
            &["fentry/vfs_read", "kprobe/vfs_read"],
            &["fexit/vfs_read", "kretprobe/vfs_read"],
            &["tp_btf/sched_switch", "raw_tp/sched_switch", "tp/sched/sched_switch"],
            &["fentry/__x64_sys_execve", "kprobe/sys_execve", "ksyscall/execve"],
        ];
        let mut keys = std::collections::HashSet::new();
        for group in groups {
            let variants: Vec<_> =
                group.iter().map(|s| Hook::parse(s).variant().unwrap()).collect();
            assert!(variants.iter().all(|(key, _)| *key == variants[0].0), "{variants:?}");
            assert!(variants.is_sorted_by_key(|(_, rank)| *rank), "{variants:?}");
            assert!(keys.insert(variants[0].0.clone()));
        }
        for alone in ["kprobe", "uprobe//bin/x:f", "xdp", "iter/task", "perf_event"] {
            assert_eq!(Hook::parse(alone).variant(), None);
        }
    }
}
