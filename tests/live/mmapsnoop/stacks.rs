//! `--stacks` and `--folded`: the functions that led to a call.

use nix::sys::stat::Mode;

use super::*;

/// Runs `mapper stack`, which stays until `test` is done: names are looked up in it.
fn with_stack(setup: Setup, flags: &[&str], test: impl FnOnce(&mut Running)) {
    let dir = TempDir::new();
    let fifo = dir.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    let (common, mapper) = (setup.flags(), fixture("mapper"));
    let command = ["--min-size", "123456", "--", &mapper, "stack", &fifo];
    let mut running = MMAPSNOOP.start(&[&common[..], flags, &command].concat());
    test(&mut running);
    fs::write(fifo, "").unwrap();
    assert_eq!(running.finish().2, 0);
}

#[test]
fn functions_have_their_names() {
    each_backend(|setup| {
        with_stack(setup, &["--json", "--stacks"], |running| {
            let row: Value = serde_json::from_str(&running.line()).unwrap();
            assert_eq!(row["mmap"]["length_bytes"], 123_456, "{row}");
            let names = |key| row["stack"][key].as_array().unwrap().iter();
            let user: Vec<_> = names("user").filter_map(Value::as_str).collect();
            let expected = ["inner_function", "outer_function", "mode_stack"];
            assert_eq!(user.get(..3), Some(&expected[..]), "{row}");
            let kernel: Vec<_> = names("kernel").filter_map(Value::as_str).collect();
            // At the exit of a system call some kernels say nothing of their own stack.
            let told = kernel.iter().any(|name| name.contains("syscall") || name.contains("mmap"));
            assert!(told || (kernel.is_empty() && setup.backend != "fexit"), "{row}");
        });
    });
}

#[test]
fn folded_stacks() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let dir = TempDir::new();
    let fifo = dir.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    let (common, mapper) = (setup.flags(), fixture("mapper"));
    let command = ["--folded", "--min-size", "123456", "--max-events", "1"];
    let command = [&command[..], &["--", &mapper, "stack", &fifo]].concat();
    // It has ended its work when this returns, and waits for the command.
    let running = MMAPSNOOP.start(&[&common[..], &command].concat());
    fs::write(fifo, "").unwrap();
    let (lines, stderr, status) = running.finish();
    assert_eq!((lines.len(), status), (1, 0), "{lines:?} {stderr}");
    assert!(lines[0].starts_with("mapper;"), "{lines:?}");
    assert!(lines[0].contains(";mode_stack;outer_function;inner_function;"), "{lines:?}");
    assert!(lines[0].ends_with("_[k] 1\n"), "{lines:?}");
}
