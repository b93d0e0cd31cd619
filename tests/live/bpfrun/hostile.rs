//! Damaged files, on the way to the kernel: one line, and never a crash.

use std::fs;

use super::*;

/// Runs a file as an object; fails if the tool crashes.
fn refuses_or_runs(path: &str, what: &str) -> (i32, String) {
    let output = BPFRUN.command(&[path, "--duration", "0.001"]).output().unwrap();
    let stderr = lossy(&output.stderr);
    let code =
        output.status.code().unwrap_or_else(|| panic!("{what}: {}: {stderr}", output.status));
    assert!([0, 1].contains(&code), "{what}: {code}: {stderr}");
    assert!(!stderr.contains("panicked"), "{what}: {stderr}");
    (code, stderr)
}

#[test]
fn what_is_no_object_is_refused_in_one_line() {
    let dir = TempDir::new();
    let pipe = dir.path("pipe");
    nix::unistd::mkfifo(pipe.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [
        &dir.program("empty", b""),
        &dir.program("text", b"no ELF file\n"),
        &pipe,
        "/",
        "/dev/zero",
        "/no/such/file",
        &fixture("argv"),
    ] {
        let (code, stderr) = refuses_or_runs(path, path);
        assert_eq!((code, stderr.lines().count()), (1, 1), "{path}: {stderr}");
        assert!(stderr.starts_with(&format!("bpfrun: cannot run {path}: ")), "{stderr}");
    }
}

#[test]
fn what_libbpf_does_not_load_any_more_is_explained() {
    let (code, stderr) = refuses_or_runs(&object("legacy"), "legacy");
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(r#"its map old is defined in SEC("maps")"#), "{stderr}");
}

#[test]
fn damaged_objects_do_no_harm() {
    let dir = TempDir::new();
    let path = dir.path("damaged.bpf.o");
    let image = fs::read(object("07-ring-buffer")).unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for round in 0..scaled(200) {
        let mut damaged = image.clone();
        if round % 4 == 0 {
            damaged.truncate(random(image.len()));
        }
        for _ in 0..=random(4) {
            if !damaged.is_empty() {
                let at = random(damaged.len());
                damaged[at] = random(256) as u8;
            }
        }
        fs::write(&path, &damaged).unwrap();
        refuses_or_runs(&path, &format!("round {round}"));
    }
}
