//! From a refusal to one line that names the way out.
//!
//! There is no check for root beforehand: capabilities are enough, and a check would lock out users
//! who have them. The tool tries first, and then explains the failure from its facts: which call,
//! for which program or map, with which errno.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::{SYSFS_MAGIC, statfs};

use crate::engine::attach::Refusal;
use crate::engine::refusal::Refused;
use crate::host::{errno, kernel};

/// The facts of this machine that decide whether tracing works. Read after a failure.
#[derive(Clone, Debug)]
struct Machine {
    kernel: (u32, u32),
    btf: Btf,
    /// Effective capabilities as a bit mask
    capabilities: u64,
    /// Capabilities are those of another user namespace than the initial one
    in_user_namespace: bool,
    lockdown: String,
    /// `kernel.perf_event_paranoid`
    paranoid: i32,
}

/// Whether the kernel's types are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Btf {
    Here,
    /// The kernel has none
    None,
    /// Nobody knows: /sys is not mounted
    NoSys,
}

// Numbers of linux/capability.h.
pub(crate) const CAP_NET_ADMIN: u32 = 12;
pub(crate) const CAP_NET_RAW: u32 = 13;
pub(crate) const CAP_SYS_PTRACE: u32 = 19;
pub(crate) const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;
pub(crate) const CAP_PERFMON: u32 = 38;
pub(crate) const CAP_BPF: u32 = 39;

/// The effective capabilities of this process as a bit mask; all bits if /proc cannot be read.
pub(crate) fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX)
}

/// Whether we are in another user namespace than the initial one: only capabilities there count for
/// BPF.
fn in_user_namespace() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    /// `PROC_USER_INIT_INO`
    const INITIAL: u64 = 0xEFFF_FFFD;
    fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != INITIAL)
}

impl Btf {
    fn look() -> Self {
        if Path::new("/sys/kernel/btf/vmlinux").exists() {
            return Self::Here;
        }
        match statfs("/sys") {
            Ok(system) if system.filesystem_type() == SYSFS_MAGIC => Self::None,
            _ => Self::NoSys,
        }
    }
}

impl Machine {
    fn read() -> Self {
        Self {
            kernel: kernel::release(),
            btf: Btf::look(),
            capabilities: capabilities(),
            in_user_namespace: in_user_namespace(),
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

/// One line: the lack and the remedy. `refusals`: one for each backend.
pub fn explain(refusals: &[Refusal], forced: bool) -> String {
    explain_on(&Machine::read(), refusals, forced)
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
    if machine.in_user_namespace {
        return Some(
            "not permitted: root of a user namespace is not enough; run it with sudo outside of \
             it, or start the container as privileged"
                .to_owned(),
        );
    }
    match machine.btf {
        Btf::Here => {}
        Btf::None => {
            return Some(
                "this kernel has no BTF (/sys/kernel/btf/vmlinux): use one that is built with \
                 CONFIG_DEBUG_INFO_BTF=y, as those of distributions are"
                    .to_owned(),
            );
        }
        Btf::NoSys => {
            return Some(
                "/sys is not mounted, where the kernel's types are: mount -t sysfs sysfs /sys"
                    .to_owned(),
            );
        }
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

/// What every BPF program needs and this machine lacks, and the remedy.
pub(crate) fn lack() -> Option<String> {
    lack_of(&Machine::read())
}

/// The error in one line. A reached limit of this process is reported as such, whatever needed
/// more.
pub fn in_words(error: &anyhow::Error) -> String {
    let shortage = errno::of(error).and_then(shortage);
    shortage.unwrap_or_else(|| errno::without_numbers(&format!("{error:#}")))
}

/// The limit that this process has reached: for errors of any call.
pub(crate) fn shortage(errno: Errno) -> Option<String> {
    match errno {
        Errno::EMFILE => {
            let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
            Some(format!(
                "too many open files: the limit is {limit}, some {NEEDED_FILES} are needed: \
                 ulimit -n 1024"
            ))
        }
        Errno::ENFILE => Some("too many open files on this machine: sysctl fs.file-max".to_owned()),
        Errno::ENOMEM => {
            let limited = getrlimit(Resource::RLIMIT_AS)
                .is_ok_and(|(soft, _)| soft != nix::sys::resource::RLIM_INFINITY);
            Some(match limited {
                true => {
                    "not enough memory: raise ulimit -v, or take a smaller --buffer-size".to_owned()
                }
                false => "not enough memory: raise the limit of the cgroup (memory.max), or take \
                          a smaller --buffer-size"
                    .to_owned(),
            })
        }
        _ => None,
    }
}

/// Descriptors that a tool needs: maps, programs, links and some files.
const NEEDED_FILES: u32 = 100;

fn explain_on(machine: &Machine, refusals: &[Refusal], forced: bool) -> String {
    let all = || refusals.iter().map(|refusal| &refusal.refused);
    if let Some(line) = all().filter_map(Refused::errno).find_map(shortage) {
        return line;
    }
    if let Some(Refused::Other(error)) = all().find(|refused| matches!(refused, Refused::Other(_)))
    {
        return Refused::Other(error.clone()).to_string();
    }
    if let Some(lack) = lack_of(machine) {
        return lack;
    }
    let (major, minor) = machine.kernel;
    let admin = machine.has(CAP_SYS_ADMIN);
    // From 5.11 on, memory cgroups account for BPF.
    let memlock = machine.kernel < (5, 11) && !machine.has(CAP_SYS_RESOURCE);
    let is_memory = |refused: &Refused| {
        matches!(
            refused,
            Refused::Map { errno: Errno::EPERM, .. } | Refused::Object { errno: Errno::EPERM }
        )
    };
    if memlock && all().any(is_memory) {
        return format!(
            "Linux {major}.{minor} counts BPF memory as locked, of which the limit allows too \
             little: ulimit -l unlimited, or grant CAP_SYS_RESOURCE"
        );
    }
    // 3 is Debian's and Android's: not even CAP_PERFMON is enough then.
    let is_perf = |refused: &Refused| matches!(refused, Refused::Buffer { kind: "perf", .. });
    if machine.paranoid >= 3 && !admin && all().any(is_perf) {
        return "kernel.perf_event_paranoid is 3 or more, which keeps perf buffers for \
                CAP_SYS_ADMIN: use --buffer ring, or sysctl kernel.perf_event_paranoid=2"
            .to_owned();
    }
    // One backend, and one thing to do about it.
    let hint = match refusals {
        [Refusal { refused: Refused::Tracepoint(error), .. }] => error.advice(),
        _ => None,
    };
    let hint = match hint {
        Some(advice) => format!("; {advice}"),
        None if forced => "; without --backend the next best is tried".to_owned(),
        None => "; -v shows the kernel's words".to_owned(),
    };
    format!("nothing can be traced: {}{hint}", words(refusals))
}

/// The refusal of each backend; once if all are the same.
fn words(refusals: &[Refusal]) -> String {
    let all: Vec<_> = refusals.iter().map(|refusal| refusal.refused.to_string()).collect();
    match all.first() {
        Some(first) if all.iter().all(|words| words == first) => first.clone(),
        _ => {
            let named = refusals.iter().zip(all);
            named
                .map(|(refusal, words)| format!("{}: {words}", refusal.backend))
                .collect::<Vec<_>>()
                .join("; ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tracepoint::{Step, TracepointError};

    fn machine() -> Machine {
        Machine {
            kernel: (6, 12),
            btf: Btf::Here,
            capabilities: 1 << CAP_BPF | 1 << CAP_PERFMON,
            in_user_namespace: false,
            lockdown: "none [integrity] confidentiality\n".to_owned(),
            paranoid: 3,
        }
    }

    fn refusal(refused: Refused) -> Vec<Refusal> {
        vec![Refusal { backend: "raw_tp", refused }]
    }

    fn kind(errno: Errno) -> Vec<Refusal> {
        refusal(Refused::Kind { kind: "raw_tp".to_owned(), errno, attached: false })
    }

    fn map(errno: Errno) -> Vec<Refusal> {
        let (name, kind) = ("events".to_owned(), "ringbuf".to_owned());
        refusal(Refused::Map { name, kind, errno })
    }

    /// All possible lines, each with a part that no other line has.
    fn cases() -> Vec<(&'static str, Machine, Vec<Refusal>)> {
        let lacks = |edit: fn(&mut Machine)| {
            let mut machine = machine();
            edit(&mut machine);
            machine
        };
        let perf = || refusal(Refused::Buffer { kind: "perf", errno: Errno::EACCES });
        let tracepoint = TracepointError {
            tracepoint: "a/b".to_owned(),
            step: Step::MountTracefs,
            errno: Errno::EPERM,
        };
        let name = || "p".to_owned();
        let verifier = "unknown func".to_owned();
        let program = Refused::Program { name: name(), errno: Errno::EINVAL, verifier };
        let target = Refused::Target { what: "function", target: "tcp_connect".to_owned() };
        let attach = Refused::Attach { name: name(), errno: Errno::EBUSY };
        let object = Refused::Object { errno: Errno::EINVAL };
        let both = map(Errno::EPERM).into_iter().chain(kind(Errno::EPERM)).collect();
        vec![
            ("5.4 is too old", lacks(|m| m.kernel = (5, 4)), kind(Errno::EPERM)),
            (
                "CAP_BPF and CAP_PERFMON missing; run it with sudo",
                lacks(|m| m.capabilities = 0),
                kind(Errno::EPERM),
            ),
            (
                "not permitted: CAP_PERFMON missing",
                lacks(|m| m.capabilities = 1 << CAP_BPF),
                kind(Errno::EPERM),
            ),
            ("user namespace", lacks(|m| m.in_user_namespace = true), kind(Errno::EPERM)),
            ("CONFIG_DEBUG_INFO_BTF", lacks(|m| m.btf = Btf::None), kind(Errno::ESRCH)),
            ("mount -t sysfs", lacks(|m| m.btf = Btf::NoSys), kind(Errno::ESRCH)),
            (
                "lockdown=integrity",
                lacks(|m| m.lockdown = "none integrity [confidentiality]".into()),
                kind(Errno::EPERM),
            ),
            ("loads no raw_tp programs (EPERM)", machine(), kind(Errno::EPERM)),
            ("use --buffer ring", machine(), perf()),
            ("the perf buffer could not", lacks(|m| m.paranoid = 2), perf()),
            ("ulimit -l unlimited", lacks(|m| m.kernel = (5, 10)), map(Errno::EPERM)),
            ("refused map events of type ringbuf (EPERM)", machine(), map(Errno::EPERM)),
            ("ulimit -n", machine(), map(Errno::EMFILE)),
            ("sysctl fs.file-max", machine(), map(Errno::ENFILE)),
            ("memory.max", machine(), map(Errno::ENOMEM)),
            ("mount -t tracefs", machine(), refusal(Refused::Tracepoint(tracepoint))),
            ("program p (EINVAL): unknown func", machine(), refusal(program)),
            ("no function tcp_connect", machine(), refusal(target)),
            ("program p could not be attached (EBUSY)", machine(), refusal(attach)),
            ("object could not be loaded (EINVAL)", machine(), refusal(object)),
            ("no .rodata", machine(), refusal(Refused::other(anyhow::anyhow!("no .rodata")))),
            ("raw_tp: the kernel refused map", machine(), both),
        ]
    }

    #[test]
    fn each_lack_is_named_with_its_way_out() {
        for (part, machine, refusals) in cases() {
            for forced in [false, true] {
                let line = explain_on(&machine, &refusals, forced);
                assert!(line.contains(part), "{part}: {line}");
                assert_eq!(line.lines().count(), 1, "{line}");
            }
        }
    }

    #[test]
    fn without_a_way_out_the_next_step_is_named() {
        let line = |forced| explain_on(&machine(), &kind(Errno::EPERM), forced);
        assert!(line(false).ends_with("; -v shows the kernel's words"), "{}", line(false));
        assert!(line(true).contains("without --backend"), "{}", line(true));
    }

    #[test]
    fn what_is_the_same_for_all_is_said_once() {
        let mut both = kind(Errno::EPERM);
        both.extend(kind(Errno::EPERM));
        assert_eq!(words(&both), "the kernel loads no raw_tp programs (EPERM)");
        both.extend(map(Errno::EPERM));
        assert_eq!(words(&both).matches("raw_tp: ").count(), 3);
    }
}
