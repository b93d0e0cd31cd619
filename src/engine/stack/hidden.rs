//! What of the names in stacks the user of the tool may not see: looked at once, at the start.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};

use super::{HAS_NAMES, NO_NAMES};
use crate::engine::explain::{CAP_SYS_PTRACE, capabilities};

/// The kernel's functions
const OF_KERNEL: &str = "not shown: names of kernel functions: the kernel hides their addresses \
    (CAP_SYSLOG is missing, or kernel.kptr_restrict is 2)";
/// Functions of programs
const OF_PROGRAMS: &str = "not shown: names of functions in programs: CAP_CHECKPOINT_RESTORE is \
    missing, which opens the files that they have mapped";
/// Functions of other users' programs, and the files that they are in
const OF_OTHERS: &str = "not shown: names in programs of other users: CAP_SYS_PTRACE is missing";

/// A line for each kind of names that is not shown.
pub fn hidden_names() -> Vec<&'static str> {
    if !HAS_NAMES {
        return vec![NO_NAMES];
    }
    let kernel =
        File::open("/proc/kallsyms").is_ok_and(|file| hides_addresses(BufReader::new(file)));
    let lines = [
        (kernel, OF_KERNEL),
        (own_mapping().is_err_and(is_forbidden), OF_PROGRAMS),
        (capabilities() & 1 << CAP_SYS_PTRACE == 0, OF_OTHERS),
    ];
    lines.into_iter().filter(|(is_hidden, _)| *is_hidden).map(|(_, line)| line).collect()
}

/// Whether this list of symbols has no addresses. In all kernels `_text` is among the first ones that
/// do not have the address 0 anyway.
fn hides_addresses(symbols: impl BufRead) -> bool {
    let lines = symbols.lines().map_while(Result::ok);
    let address = |line: String| Some(line.strip_suffix(" _text")?.split(' ').next()?.to_owned());
    let text = lines.filter_map(address).next();
    text.is_some_and(|address| address.bytes().all(|digit| digit == b'0'))
}

/// Opens one of this program's own mappings, as blazesym opens those of others.
fn own_mapping() -> io::Result<()> {
    match fs::read_dir("/proc/self/map_files")?.next() {
        Some(mapping) => File::open(mapping?.path()).map(drop),
        None => Ok(()),
    }
}

#[allow(clippy::needless_pass_by_value)] // what is_err_and() gives
fn is_forbidden(error: io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_the_kernel_hides() {
        let shown = "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _text\n";
        let hidden = "0000000000000000 A fixed_percpu_data\n0000000000000000 T _text\n";
        assert!(!hides_addresses(shown.as_bytes()));
        assert!(hides_addresses(hidden.as_bytes()));
        // Without the symbol nothing is known, nor said.
        assert!(!hides_addresses(&b"0000000000000000 T my_text\n"[..]));
    }
}
