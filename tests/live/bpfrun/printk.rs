//! Messages come through an instance of tracefs that is bpfrun's own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::*;

/// Our instances of tracefs, by process id.
fn instances(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/kernel/tracing/instances").unwrap();
    let prefix = format!("bpfrun-{pid}-");
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(&prefix)).collect()
}

/// A bpfrun that waits for messages.
fn start() -> Running {
    BPFRUN.start(&["--json", &object("isolate")])
}

/// Runs a program; its process id.
fn execute() -> u64 {
    let mut command = Command::new(fixture("argv"));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    child.wait().unwrap();
    child.id().into()
}

/// Reads messages until that of this process has come.
fn hears(tool: &mut Running, pid: u64) {
    let message = tool.wait_for("message", |record| record["thread"]["id"] == pid);
    // The kernel may have forgotten the thread's name, and does not know the process's.
    assert!(message["thread"]["name"].is_string() || message["thread"]["name"].is_null());
    assert!(message["process"].is_null(), "{message}");
}

#[test]
fn readers_lose_nothing_to_each_other() {
    let (mut first, mut second) = (start(), start());
    let pids: Vec<_> = (0..5).map(|_| execute()).collect();
    for tool in [&mut first, &mut second] {
        for &pid in &pids {
            hears(tool, pid);
        }
    }
    // The second one did not take the first one's instance for left behind, nor the end of one
    // the other's.
    assert_eq!(first.stop().status, 0);
    hears(&mut second, execute());
    assert_eq!(second.stop().status, 0);
}

#[test]
fn nothing_is_left_behind() {
    let tool = start();
    let pid = tool.child.id();
    assert_eq!(instances(pid).len(), 1);
    assert_eq!(tool.stop().status, 0);
    assert_eq!(instances(pid), Vec::<PathBuf>::new());

    // What is left by one that was killed, the next one removes.
    let mut killed = start();
    let pid = killed.child.id();
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let tool = start();
    assert_eq!(instances(pid), Vec::<PathBuf>::new());
    assert_eq!(tool.stop().status, 0);
}

/// What is removed while its file is being opened may have another's file opened instead, by the
/// kernel.
#[test]
fn none_is_removed_while_another_is_made() {
    let instances = PathBuf::from("/sys/kernel/tracing/instances");
    let lock = Flock::lock(File::open(&instances).unwrap(), FlockArg::LockExclusive).unwrap();
    let left = instances.join("bpfrun-0-0");
    fs::create_dir(&left).unwrap();
    let mut tool = std::thread::scope(|scope| {
        let tool = scope.spawn(start);
        std::thread::sleep(Duration::from_secs(1));
        assert!(left.exists());
        drop(lock);
        tool.join().unwrap()
    });
    assert!(!left.exists());
    hears(&mut tool, execute());
    assert_eq!(tool.stop().status, 0);
}
