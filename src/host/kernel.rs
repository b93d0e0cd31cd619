//! Facts about the running kernel that need no trial.

/// The version: major and minor number.
pub fn release() -> (u32, u32) {
    let uname = nix::sys::utsname::uname();
    uname.map_or((0, 0), |uname| parse_release(&uname.release().to_string_lossy()))
}

/// Whether a task may be preempted inside a program on a tracepoint (7.0), so that the kernel
/// skips the program for other tasks on that CPU.
///
/// No trial can find this out. A wrong answer costs a little time, or skipped programs, which are
/// counted anyway.
pub fn tracepoints_are_preemptible() -> bool {
    release() >= (7, 0)
}

/// `6.12.3-amd64` → (6, 12)
fn parse_release(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(parse_release("6.12.3-amd64"), (6, 12));
        assert_eq!(parse_release("7.2-rc1"), (7, 2));
        assert_eq!(parse_release(""), (0, 0));
    }
}
