//! The meaning of a section's name for the programs in it.

use std::ffi::{CStr, CString, c_char};

/// The kind and the target of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// The section's name up to the target: `kprobe`, `tp_btf`, `cgroup/connect4`, `xdp.frags`
    pub kind: String,
    /// The part behind it: `do_unlinkat`, `syscalls/sys_enter_openat`
    pub target: Option<String>,
    /// `BPF_PROG_TYPE_…`, if libbpf knows the section's name
    pub program_type: Option<u32>,
    /// `BPF_…`: the expected attach type, likewise
    pub attach_type: Option<u32>,
    /// The name began with `?`: loaded only on request
    pub optional: bool,
}

impl Hook {
    /// Parses the name of a section.
    pub fn new(section: &str) -> Self {
        let (optional, name) = match section.strip_prefix('?') {
            Some(rest) => (true, rest),
            None => (false, section),
        };
        let (kind, target) = match name.split_once('/') {
            // If libbpf accepts anything behind the slash, it is a target.
            Some((kind, target)) if program_and_attach_type(&format!("{kind}/?")).is_some() => {
                (kind, Some(target).filter(|target| !target.is_empty()))
            }
            _ => (name, None),
        };
        let types = program_and_attach_type(name);
        Self {
            kind: kind.to_owned(),
            target: target.map(str::to_owned),
            program_type: types.map(|(program, _)| program),
            attach_type: types.map(|(_, attach)| attach),
            optional,
        }
    }

    /// The kernel's name of the program's type, such as `tracing`.
    pub fn program_type_name(&self) -> Option<&'static str> {
        // SAFETY: takes any number, and returns NULL or a string constant.
        named(unsafe { libbpf_sys::libbpf_bpf_prog_type_str(self.program_type?) })
    }

    /// The kernel's name of the expected attach type, such as `trace_fentry`. Many program types
    /// have none: it is then 0.
    pub fn attach_type_name(&self) -> Option<&'static str> {
        let number = self.attach_type.filter(|&number| number != 0 || self.has_attach_type_0())?;
        // SAFETY: takes any number, and returns NULL or a string constant.
        named(unsafe { libbpf_sys::libbpf_bpf_attach_type_str(number) })
    }

    /// Attach type 0 is for packets that enter a cgroup.
    fn has_attach_type_0(&self) -> bool {
        self.program_type == Some(libbpf_sys::BPF_PROG_TYPE_CGROUP_SKB)
    }
}

/// The name of a `BPF_MAP_TYPE_…`, such as `ringbuf`.
pub fn map_type_name(number: u32) -> Option<&'static str> {
    // SAFETY: takes any number, and returns NULL or a string constant.
    named(unsafe { libbpf_sys::libbpf_bpf_map_type_str(number) })
}

/// A string constant of libbpf's.
fn named(text: *const c_char) -> Option<&'static str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the callers pass string constants only.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// Types that libbpf derives from a section's name.
fn program_and_attach_type(section: &str) -> Option<(u32, u32)> {
    let section = CString::new(section).ok()?;
    let (mut program, mut attach) = (0, 0);
    // SAFETY: a string and two places to write to; nothing is kept.
    let status = unsafe {
        libbpf_sys::libbpf_prog_type_by_name(section.as_ptr(), &raw mut program, &raw mut attach)
    };
    (status == 0).then_some((program, attach))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_say_where_programs_belong() {
        for (section, kind, target, program_type) in [
            ("kprobe/do_unlinkat", "kprobe", "do_unlinkat", "kprobe"),
            ("kprobe", "kprobe", "", "kprobe"),
            ("kprobe/", "kprobe", "", "kprobe"),
            ("kprobe.multi/tcp_*", "kprobe.multi", "tcp_*", "kprobe"),
            ("tp/syscalls/sys_enter_openat", "tp", "syscalls/sys_enter_openat", "tracepoint"),
            ("uprobe//bin/bash:readline", "uprobe", "/bin/bash:readline", "kprobe"),
            ("iter.s/task", "iter.s", "task", "tracing"),
            ("xdp/devmap", "xdp/devmap", "", "xdp"),
            ("cgroup/connect4", "cgroup/connect4", "", "cgroup_sock_addr"),
            ("perf_event", "perf_event", "", "perf_event"),
            ("my/own", "my/own", "", ""),
            ("", "", "", ""),
            ("\0", "\0", "", ""),
        ] {
            let hook = Hook::new(section);
            assert_eq!(hook.kind, kind, "{section}");
            assert_eq!(hook.target.as_deref().unwrap_or_default(), target, "{section}");
            assert_eq!(hook.program_type_name().unwrap_or_default(), program_type, "{section}");
            assert!(!hook.optional);
        }
        let hook = Hook::new("?lsm/file_open");
        assert!(hook.optional);
        assert_eq!(hook.attach_type_name(), Some("lsm_mac"));
        assert_eq!(Hook::new("cgroup_skb/ingress").attach_type_name(), Some("cgroup_inet_ingress"));
        assert_eq!(Hook::new("kprobe/x").attach_type_name(), None);
    }

    #[test]
    fn map_types_have_names() {
        assert_eq!(map_type_name(27), Some("ringbuf"));
        assert_eq!(map_type_name(u32::MAX), None);
    }
}
