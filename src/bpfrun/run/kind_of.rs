//! What programs are for whose sections libbpf does not know: `--type-of PROG=KIND`, or the part of
//! the section before the `/`, which releases before 1.0 went by.

use anyhow::{Result, ensure};
use libbpf_rs::{AsRawLibbpf as _, OpenProgramMut};

use crate::bpfrun::list::list;
use crate::elf::hook::Hook;

/// The kernel's names of types of programs, where one section of libbpf's means the same.
const TYPES: &[(&str, &str)] = &[
    ("socket_filter", "socket"),
    ("sched_cls", "tc"),
    ("sched_act", "action"),
    ("raw_tracepoint", "raw_tp"),
    ("raw_tracepoint_writable", "raw_tp.w"),
    ("cgroup_device", "cgroup/dev"),
    ("cgroup_sysctl", "cgroup/sysctl"),
    ("sock_ops", "sockops"),
];

/// Those of which it depends on the place what they do.
const AMBIGUOUS: &[(&str, &str)] = &[
    ("tracing", "fentry/FUNCTION, fexit/FUNCTION, tp_btf/NAME, iter/NAME"),
    (
        "cgroup_sock",
        "cgroup/sock_create, cgroup/sock_release, cgroup/post_bind4, cgroup/post_bind6",
    ),
    ("cgroup_sock_addr", "cgroup/connect4, cgroup/bind4, cgroup/sendmsg4 and so on"),
    ("cgroup_sockopt", "cgroup/getsockopt, cgroup/setsockopt"),
];

/// The section that a name of a kind stands for. The error is one line.
pub fn section(kind: &str) -> Result<String, String> {
    if let Some((_, section)) = TYPES.iter().find(|(name, _)| *name == kind) {
        return Ok((*section).to_owned());
    }
    if let Some((_, sections)) = AMBIGUOUS.iter().find(|(name, _)| *name == kind) {
        return Err(format!("{kind} has several kinds: give one of {sections}"));
    }
    match Hook::new(kind).program_type {
        Some(_) if !kind.starts_with('?') => Ok(kind.to_owned()),
        _ => Err(format!(
            "no kind {kind}: give the name of a section that libbpf knows, such as tc, xdp, \
             kprobe/FUNCTION, cgroup/connect4, or of a type such as {}",
            list(TYPES.iter().map(|(name, _)| name), ", ")
        )),
    }
}

/// The section that decides what a program is, if it is not its own. `given`: sections by program.
pub fn instead(name: &str, section: &str, given: &[(String, String)]) -> Option<String> {
    if let Some((_, given)) = given.iter().find(|(program, _)| program == name) {
        return Some(given.clone());
    }
    let (kind, _) = section.split_once('/')?;
    let is_known = |section: &str| Hook::new(section).program_type.is_some();
    (!is_known(section) && is_known(kind)).then(|| kind.to_owned())
}

/// Gives an opened program the types of a section.
pub(super) fn set(program: &OpenProgramMut<'_>, section: &str) -> Result<()> {
    const SLEEPABLE: u32 = libbpf_sys::BPF_F_SLEEPABLE;
    const FRAGMENTS: u32 = libbpf_sys::BPF_F_XDP_HAS_FRAGS;
    let hook = Hook::new(section);
    let (kind, attach) = (hook.program_type.unwrap_or(0), hook.attach_type.unwrap_or(0));
    let program = program.as_libbpf_object().as_ptr();
    // SAFETY: the program is open, and libbpf takes any numbers.
    let typed = unsafe { libbpf_sys::bpf_program__set_type(program, kind) };
    // SAFETY: likewise.
    let placed = unsafe { libbpf_sys::bpf_program__set_expected_attach_type(program, attach) };
    ensure!(typed == 0 && placed == 0, "libbpf does not make it {section}");
    let flags = match hook.kind.as_str() {
        kind if kind.ends_with(".s") => SLEEPABLE,
        kind if kind.starts_with("xdp.frags") => FRAGMENTS,
        _ => return Ok(()),
    };
    // SAFETY: likewise.
    let flagged = unsafe { libbpf_sys::bpf_program__set_flags(program, flags) };
    ensure!(flagged == 0, "libbpf does not make it {section}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_section_and_by_type() {
        for (kind, expected) in [
            ("tc", "tc"),
            ("sched_cls", "tc"),
            ("kprobe/do_unlinkat", "kprobe/do_unlinkat"),
            ("kprobe", "kprobe"),
            ("tracepoint", "tracepoint"),
            ("raw_tracepoint", "raw_tp"),
            ("cgroup/connect4", "cgroup/connect4"),
            ("cgroup_device", "cgroup/dev"),
            ("fentry.s/vfs_read", "fentry.s/vfs_read"),
        ] {
            assert_eq!(section(kind).as_deref(), Ok(expected));
        }
        for (kind, error) in [
            (
                "classify",
                "no kind classify: give the name of a section that libbpf knows, such as tc",
            ),
            ("?tc", "no kind ?tc"),
            ("", "no kind "),
            ("cgroup_sock_addr", "cgroup_sock_addr has several kinds: give one of cgroup/connect4"),
        ] {
            assert!(section(kind).unwrap_err().starts_with(error), "{kind}");
        }
        // Each of them is known to libbpf.
        for (_, section) in TYPES {
            assert!(Hook::new(section).program_type.is_some(), "{section}");
        }
    }
}
