//! Tests that cannot run where they are. libtest can only call them ok, so they are written to
//! the file `SNOOP_SKIPPED`, whose lines `scripts/test.sh` shows at its end.

use std::fs::File;
use std::io::Write as _;

/// The only reasons where `CI` is set, as it is in our virtual machines: a test that is skipped
/// there for another one fails.
const EXPECTED: [&str; 24] = [
    OWN_MACHINE,
    CORE_PATTERN,
    NO_KPROBES,
    NOT_LOADED,
    NO_MPTCP,
    NO_IO_URING,
    BEFORE_5_11,
    BEFORE_5_15,
    NO_OVERLAY,
    NO_BTRFS,
    NO_FUSE,
    NO_TMUX,
    NO_MAKE,
    NO_PODMAN,
    NO_AUDIT,
    NO_SUDO,
    NO_SSHD,
    NO_CRON,
    NO_PERL,
    NO_BEAR,
    BEFORE_6_7,
    BEFORE_6_8,
    NO_32_BIT,
    X86_CODE,
];

pub const OWN_MACHINE: &str = "changes the machine: in virtual machines only";
pub const CORE_PATTERN: &str = "core dumps go to a program here, which may refuse them";
pub const NO_KPROBES: &str = "a kernel without kprobes";
pub const NOT_LOADED: &str = "a kernel, or its lockdown, that refuses this kind of program";
pub const NO_MPTCP: &str = "a kernel without Multipath TCP";
pub const NO_IO_URING: &str = "a kernel without io_uring";
pub const NO_OVERLAY: &str = "a kernel without overlayfs";
pub const NO_BTRFS: &str =
    "no btrfs: in the kernel, or mkfs.btrfs of btrfs-progs, or a loop device";
pub const NO_FUSE: &str = "no /dev/fuse: a kernel without FUSE, or with the module not loaded";
pub const NO_TMUX: &str = "no tmux, whose terminal the test needs";
pub const NO_SUDO: &str = "no su, sudo or script, as in virtual machines";
pub const NO_SSHD: &str = "no sshd, which the package openssh-server has";
pub const NO_CRON: &str = "no cron, as in virtual machines";
pub const NO_AUDIT: &str = "a kernel without audit, which knows no logins";
pub const NO_MAKE: &str = "no make, as in virtual machines";
pub const NO_PODMAN: &str = "no podman, as in virtual machines";
pub const NO_PERL: &str = "no perl, as in virtual machines";
pub const NO_BEAR: &str = "no bear, with whose database another one is compared";
pub const BEFORE_5_11: &str = "before Linux 5.11, which charges memory of BPF to cgroups";
pub const BEFORE_5_15: &str = "before Linux 5.15, which the backend on tracepoints needs";
pub const BEFORE_6_8: &str =
    "before Linux 6.8, which reads the arguments before it looks for the file";
pub const NO_32_BIT: &str = "a kernel that does not run 32-bit programs";
pub const X86_CODE: &str = "machine code of x86_64";
pub const BEFORE_6_7: &str = "before Linux 6.7, whose Landlock knows TCP";

/// `skip!(REASON)` leaves the test, as skipped; `skip!(REASON, VALUE)` a part of it, with a value.
macro_rules! skip {
    ($reason:expr $(, $value:expr)?) => {{
        fn here() {}
        $crate::skip::note(std::any::type_name_of_val(&here), $reason);
        return $($value)?
    }};
}
pub(crate) use skip;

/// Use [`skip!`], which knows its test's name: that of the function that it is in.
pub fn note(here: &str, reason: &str) {
    let test = here.trim_start_matches("live::").trim_end_matches("::here");
    let test = test.replace("::{{closure}}", "");
    let strict = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!strict || EXPECTED.contains(&reason), "cannot run here: {reason}");
    eprintln!("skipped: {reason}");
    if let Some(path) = std::env::var_os("SNOOP_SKIPPED") {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        // In one piece: other tests write there, too.
        file.write_all(format!("{test}: {reason}\n").as_bytes()).unwrap();
    }
}
