//! `--stacks` and `--folded`: the functions that led to a call.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nix::sys::stat::Mode;

use super::*;

/// The functions of the row of `mapper MODE`, or of the same without symbols.
#[derive(Debug)]
struct Stack {
    row: Value,
    user: Vec<String>,
    kernel: Vec<String>,
}

/// Runs `PROGRAM MODE`, which stays until its row is there: names are looked up in it.
fn stack(setup: Setup, program: &str, mode: &str) -> Stack {
    stack_with(MMAPSNOOP.command(&setup.flags()), program, mode).0
}

/// The same by a tool that is started so, and with what it says.
fn stack_with(mut tool: Command, program: &str, mode: &str) -> (Stack, String) {
    let dir = TempDir::new();
    let fifo = dir.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).unwrap();
    tool.args(["--json", "--stacks", "--min-size", "123456", "--max-size", "123456"]);
    tool.args(["--", &fixture(program), mode, &fifo]).stdin(Stdio::null());
    let mut running = Running::spawn(tool);
    let row = running.wait_for("call", |row| row["event"]["name"] == "memory.map");
    fs::write(fifo, "").unwrap();
    let (_, stderr, status) = running.finish();
    assert_eq!(status, 0, "{stderr}");
    let names = |key| {
        let names = row["stack"][key].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    (Stack { user: names("user"), kernel: names("kernel"), row }, stderr)
}

/// What may be seen is a question of rights, each of which is missed by name.
#[test]
fn names_that_may_not_be_seen_are_missed_in_words() {
    if cfg!(not(target_arch = "x86_64")) {
        skip!(skip::X86_CODE);
    }
    let number = |sysctl: &str| -> i32 {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{sysctl}")).unwrap();
        text.trim().parse().unwrap()
    };
    let (restrict, paranoid) = (number("kptr_restrict"), number("perf_event_paranoid"));
    // CAP_SYS_PTRACE, CAP_SYSLOG, CAP_CHECKPOINT_RESTORE
    for more in ["", ",19,34,40"] {
        let mut tool = Command::new(fixture("execer"));
        tool.args(["caps", "65534", &format!("{}{more}", bpf_capabilities())]);
        tool.args([MMAPSNOOP.path().as_os_str(), "--backend".as_ref(), "tp_btf".as_ref()]);
        let (stack, stderr) = stack_with(tool, "mapper", "stack");
        let is_hidden = if more.is_empty() { restrict > 0 || paranoid > 1 } else { restrict > 1 };
        for (line, is_said) in [
            ("not shown: names of kernel functions: ", is_hidden),
            ("not shown: names of functions in programs: ", more.is_empty()),
            ("not shown: names in programs of other users: ", more.is_empty()),
        ] {
            assert_eq!(stderr.contains(line), is_said, "{more} {line} {stderr}");
        }
        let is_named = stack.user[0] == "inner_function";
        assert_eq!(is_named, !more.is_empty(), "{stack:?}");
        let is_place = |name: &String| name.starts_with("mapper+0x");
        assert!(is_named || stack.user[..3].iter().all(is_place), "{stack:?}");
        let are_numbers = stack.kernel.iter().all(|name| name.starts_with("0x"));
        assert_eq!(are_numbers, is_hidden || stack.kernel.is_empty(), "{stack:?}");
    }
}

#[test]
fn functions_have_their_names() {
    if cfg!(not(target_arch = "x86_64")) {
        skip!(skip::X86_CODE);
    }
    each_backend(|setup| {
        let stack = stack(setup, "mapper", "stack");
        assert_eq!(stack.row["mmap"]["length_bytes"], 123_456, "{stack:?}");
        let expected = ["inner_function", "outer_function", "mode_stack"];
        assert_eq!(stack.user[..3], expected, "{stack:?}");
        assert_eq!(stack.row["stack"].get("user_cut"), None, "{stack:?}");
        // At the exit of a system call some kernels say nothing of their own stack.
        let kernel = &stack.kernel;
        let told = kernel.iter().any(|name| name.contains("syscall") || name.contains("mmap"));
        assert!(told || (kernel.is_empty() && setup.backend != "fexit"), "{stack:?}");
        // What runs our programs is no part of the call.
        let is_ours = |name: &String| name.contains("bpf") || name.starts_with("perf_");
        assert!(!kernel.iter().any(is_ours), "{stack:?}");
    });
}

#[test]
fn a_caller_has_its_name_though_nothing_is_behind_the_call() {
    if cfg!(not(target_arch = "x86_64")) {
        skip!(skip::X86_CODE);
    }
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let stack = stack(setup, "mapper", "noreturn");
    let callers = ["function_without_return", "function_that_ends_with_a_call", "mode_noreturn"];
    assert_eq!(stack.user[1..4], callers, "{stack:?}");
}

#[test]
fn a_stack_that_is_deeper_than_what_the_kernel_gives() {
    if cfg!(not(target_arch = "x86_64")) {
        skip!(skip::X86_CODE);
    }
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let stack = stack(setup, "mapper", "recursion");
    assert_eq!(stack.row["stack"]["user_cut"], true, "{stack:?}");
    assert_eq!(stack.row["stack"].get("kernel_cut"), None, "{stack:?}");
    assert!(stack.user[1..].iter().all(|name| name == "recursive_function"), "{stack:?}");
}

#[test]
fn code_without_names_is_a_place_in_its_file() {
    if cfg!(not(target_arch = "x86_64")) {
        skip!(skip::X86_CODE);
    }
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let stack = stack(setup, "stripped", "stack");
    // The innermost three have frames; what is behind them may be anything.
    let is_place = |name: &String| name.starts_with("stripped+0x");
    assert!(stack.user[..3].iter().all(is_place), "{stack:?}");
    assert!(!stack.user.contains(&"0x0".to_owned()), "{stack:?}");
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

/// The name of a process is its own choice.
#[test]
fn a_name_forges_no_frame() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let dir = TempDir::new();
    let program = dir.alias("a;b;c 7", "mapper");
    let command = ["--folded", "--max-size", "1", "--", &program, "loop", "5"];
    let output = MMAPSNOOP.command(&setup.flags()).args(command).output().unwrap();
    let text = lossy(&output.stdout);
    // The last return address may be in another function than the others.
    let count = |line: &str| {
        assert!(line.starts_with("a:b:c_7;"), "{text}");
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert_eq!(text.lines().map(count).sum::<u64>(), 5, "{text}");
}
