//! Programs that want to stop whoever traces them: memory that never comes, files that are not what
//! they seem. What a test looks for is that there is an end, and that the rows are there.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::stat::Mode;

use crate::harness::*;
use crate::skip::{self, skip};

const EXECSNOOP: Tool = Tool("execsnoop");
const MMAPSNOOP: Tool = Tool("mmapsnoop");
const PROCSNOOP: Tool = Tool("procsnoop");

/// A child that does not outlive its test.
struct Hostile(Child);

impl Hostile {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(fixture(program));
        Self(child.args(args).stdout(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A FIFO on which `hostile` waits for its end.
fn fifo(dir: &TempDir) -> String {
    let fifo = dir.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    fifo
}

/// Runs a program of which an argument never comes, under execsnoop.
fn argument_that_never_comes(program: &[&str]) {
    let dir = TempDir::new();
    let fifo = fifo(&dir);
    let command = [&["--json", "-x", "--all", "--"], program, &[&fifo]].concat();
    let mut running = EXECSNOOP.start(&command);
    let file = |row: &serde_json::Value| row["exec"]["filename"].as_str().map(str::to_owned);
    for _ in 0..5 {
        let row = running.wait_for("bad", |row| file(row).as_deref() == Some("/no/such/bad"));
        assert_eq!(row["exec"]["args_unreadable"], true, "{row}");
        assert_eq!(row["exec"]["unseen"], true, "{row}");
        assert_eq!(row["process"]["args_count"], 2, "{row}");
    }
    running.wait_for("good", |row| file(row).as_deref() == Some("/no/such/good"));
    fs::write(fifo, "").unwrap();
    let trace = running.end();
    assert_eq!(trace.status, 0);
    trace.is_complete();
}

#[test]
fn an_argument_that_never_comes_stops_nothing() {
    if kernel_release() < (6, 8) {
        skip!(skip::BEFORE_6_8); // the caller itself would wait
    }
    argument_that_never_comes(&[&fixture("hostile"), "exec"]);
}

/// Who waits for such a file cannot be killed.
#[test]
fn an_argument_from_a_file_that_never_comes() {
    if kernel_release() < (6, 8) {
        skip!(skip::BEFORE_6_8); // the caller itself would wait
    }
    if !Path::new("/dev/fuse").exists() {
        skip!(skip::NO_FUSE);
    }
    argument_that_never_comes(&[&fixture("fuse")]);
}

#[test]
fn a_signal_ends_it_while_memory_does_not_come() {
    let dir = TempDir::new();
    let running = EXECSNOOP.start(&["--json", "-x", "--all"]);
    let hostile = Hostile::start("hostile", &["exec", &fifo(&dir)]);
    running.signal(libc::SIGTERM);
    assert_eq!(running.finish().2, 0);
    drop(hostile);
}

#[test]
fn a_signal_ends_it_while_a_file_does_not_come() {
    if !Path::new("/dev/fuse").exists() {
        skip!(skip::NO_FUSE);
    }
    let dir = TempDir::new();
    let mut running = EXECSNOOP.start(&["--json", "-x", "--all"]);
    let hostile = Hostile::start("fuse", &[&fifo(&dir)]);
    running.wait_for("a call", |row| row["exec"]["filename"] == "/no/such/bad");
    running.signal(libc::SIGTERM);
    assert_eq!(running.finish().2, 0);
    drop(hostile);
}

#[test]
fn a_command_line_that_never_comes_is_unknown() {
    let mut hostile = Hostile::start("hostile", &["argv"]);
    let mut said = [0; 6];
    hostile.0.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    let pid = hostile.0.id().to_string();
    let mut running = PROCSNOOP.start(&["--json", "--pid", &pid]);
    hostile.0.kill().unwrap();
    let row = running.wait_for("end", |row| row["event"]["name"] == "process.exit");
    assert_eq!(row["process"]["exit"]["signal"], "SIGKILL", "{row}");
    assert_eq!(row["process"].get("command_args"), None, "{row}");
    drop(hostile);
    assert_eq!(running.finish().2, 0);
}

/// The row of a call from code that `/tmp/perf-PID.map` names; `kind` says what is in that place.
fn call(kind: &str) -> serde_json::Value {
    let dir = TempDir::new();
    let (fifo, hostile) = (fifo(&dir), fixture("hostile"));
    let only = ["--json", "--stacks", "--min-size", "123456", "--max-size", "123456"];
    let command = ["--", &hostile, "map", kind, &fifo];
    let mut running = MMAPSNOOP.start(&[&only[..], &command].concat());
    let row = running.wait_for("call", |row| row["event"]["name"] == "memory.map");
    fs::write(fifo, "").unwrap();
    let trace = running.end();
    assert_eq!((trace.status, trace.events.len()), (0, 1), "nothing of ours is a row: {trace:?}");
    trace.is_complete();
    row
}

#[test]
fn code_that_was_compiled_just_in_time_has_its_names() {
    let row = call("own");
    assert_eq!(row["stack"]["user"][0], "jit_function", "{row}");
    assert_eq!(row["stack"].get("user_unseen"), None, "{row}");
}

#[test]
fn what_is_not_a_map_of_names_is_not_read() {
    for kind in ["fifo", "zero", "foreign"] {
        let row = call(kind);
        let name = row["stack"]["user"][0].as_str().unwrap();
        assert!(name.starts_with("0x"), "{kind}: {row}");
        assert_eq!(row["stack"].get("user_unseen"), None, "{kind}: {row}");
    }
}

#[test]
fn a_map_of_names_takes_bounded_memory() {
    let row = call("many");
    let stack = &row["stack"];
    assert!(stack["user"][0].as_str().unwrap().starts_with("0x"), "{row}");
    let dir = TempDir::new();
    let (fifo, hostile) = (fifo(&dir), fixture("hostile"));
    let only = ["--json", "--stacks", "--min-size", "123456", "--max-size", "123456"];
    let command = ["--", &hostile, "map", "many", &fifo];
    let mut running = MMAPSNOOP.start(&[&only[..], &command].concat());
    running.wait_for("call", |row| row["event"]["name"] == "memory.map");
    let most = helpers(running.child.id()).iter().map(|pid| most_kib(*pid)).max();
    assert!(most.unwrap() < 200 << 10, "{most:?} KiB");
    fs::write(fifo, "").unwrap();
    assert_eq!(running.end().status, 0);
}

/// The processes below this one, but not its COMMAND.
fn helpers(parent: u32) -> Vec<u32> {
    let children = |pid: u32| -> Vec<u32> {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    let is_hostile =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() == "hostile";
    let mut all = children(parent);
    all.retain(|pid| !is_hostile(pid));
    let below: Vec<_> = all.iter().flat_map(|pid| children(*pid)).collect();
    all.extend(below);
    assert!(all.len() >= 2, "{all:?}");
    all
}

/// The most memory that a process ever had, in KiB.
fn most_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn who_helps_ends_with_the_tool() {
    if kernel_release() < (6, 8) {
        skip!(skip::BEFORE_6_8);
    }
    let dir = TempDir::new();
    let mut running = EXECSNOOP.start(&["--json", "-x", "--all"]);
    let _hostile = Hostile::start("hostile", &["exec", &fifo(&dir)]);
    running.wait_for("good", |row| row["exec"]["filename"] == "/no/such/good");
    let helpers = helpers(running.child.id());
    running.signal(libc::SIGKILL);
    running.child.wait().unwrap();
    eventually("helpers have ended", || {
        let state = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        helpers.iter().all(|pid| {
            let state = state(pid);
            state.is_empty() || state.contains(") Z ")
        })
    });
}
