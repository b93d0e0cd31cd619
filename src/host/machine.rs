//! Which machine this is, and which of its runs.

use std::fs::File;
use std::io::Read as _;

/// The architecture, by OpenTelemetry's name.
pub const ARCH: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    b"arm" => "arm32",
    b"powerpc64" => "ppc64",
    _ => std::env::consts::ARCH,
};

/// The id of the installation: machine-id(5).
pub fn id() -> Option<String> {
    let is_id = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    line("/etc/machine-id").filter(|text| is_id(text))
}

/// The id of this run of the kernel: random(4).
pub fn boot_id() -> Option<String> {
    line("/proc/sys/kernel/random/boot_id").filter(|text| text.len() == 36)
}

/// The first line of a small file.
fn line(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(64).read_to_string(&mut text).ok()?;
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_run_has_an_id() {
        assert_eq!(boot_id(), boot_id());
        assert!(boot_id().is_some_and(|id| id.matches('-').count() == 4));
        assert_eq!(line("/no/such/file"), None);
    }
}
