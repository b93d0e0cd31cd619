//! Functions of this kernel by name.

use std::fs;

/// Whether the kernel's table of symbols has a function; true if the table cannot be read.
pub(super) fn has(function: &str) -> bool {
    let Ok(symbols) = fs::read_to_string("/proc/kallsyms") else { return true };
    symbols.lines().any(|line| line.split_whitespace().nth(2) == Some(function))
}

/// The beginnings of the functions that system calls have since Linux 4.17.
pub(super) const WRAPPERS: [&str; 4] =
    ["__x64_sys_", "__arm64_sys_", "__s390x_sys_", "__riscv_sys_"];

/// This machine's.
const OWN_WRAPPER: Option<&str> = if cfg!(target_arch = "x86_64") {
    Some("__x64_sys_")
} else if cfg!(target_arch = "aarch64") {
    Some("__arm64_sys_")
} else if cfg!(target_arch = "s390x") {
    Some("__s390x_sys_")
} else if cfg!(target_arch = "riscv64") {
    Some("__riscv_sys_")
} else {
    None
};

/// The name of a system call, if this is the name that its function has or had.
pub(super) fn system_call(function: &str) -> Option<&str> {
    let old = ["sys_", "SyS_"];
    let mut all = WRAPPERS.iter().chain(&old);
    let name = all.find_map(|prefix| function.strip_prefix(prefix))?;
    (!name.is_empty()).then_some(name)
}

/// The function for a kprobe: of a system call that is called otherwise on this kernel, its wrapper
/// here. `has`: whether the kernel has a function.
pub(super) fn probed(target: &str, has: impl Fn(&str) -> bool) -> Option<String> {
    let (function, rest) = match target.find('+') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    // An offset is one in another function.
    let name = system_call(function).filter(|_| rest.is_empty())?;
    let wrapper = format!("{}{name}", OWN_WRAPPER?);
    (wrapper != function && !has(function) && has(&wrapper)).then_some(wrapper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_call_is_found_by_its_old_name() {
        let new = |name: &str| name == format!("{}execve", OWN_WRAPPER.unwrap_or_default());
        let wrapper = OWN_WRAPPER.map(|prefix| format!("{prefix}execve"));
        assert_eq!(probed("sys_execve", new), wrapper);
        assert_eq!(probed("SyS_execve", new), wrapper);
        // The kernel has it, has neither, or it is the place within it.
        assert_eq!(probed("sys_execve", |_| true), None);
        assert_eq!(probed("sys_execve", |_| false), None);
        assert_eq!(probed("sys_execve+0x8", new), None);
        assert_eq!(probed("do_sys_open", new), None);
        assert_eq!(probed("sys_", new), None);
        if let Some(wrapper) = wrapper {
            assert_eq!(probed(&wrapper, new), None);
        }
    }

    #[test]
    fn names_of_system_calls() {
        assert_eq!(system_call("__x64_sys_openat"), Some("openat"));
        assert_eq!(system_call("sys_openat"), Some("openat"));
        assert_eq!(system_call("vfs_open"), None);
    }
}
