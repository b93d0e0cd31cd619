//! Classic tracepoints and bpf_printk() where tracefs is not mounted.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::*;

/// bpfrun where none of these is mounted.
fn without(places: &'static [&'static str], flags: &[&str]) -> Command {
    let mut command = BPFRUN.command(flags);
    let hide = move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        for place in places {
            let _ = umount2(*place, MntFlags::MNT_DETACH); // not mounted: just as well
        }
        Ok(())
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(hide) };
    command
}

const TRACEFS: &[&str] = &["/sys/kernel/debug/tracing", "/sys/kernel/tracing", "/sys/kernel/debug"];

/// So many file systems of this kind a process sees.
fn mounts(pid: u32, kind: &str) -> usize {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    mounts.lines().filter(|line| line.contains(&format!(" - {kind} "))).count()
}

/// Runs programs until the variable `seen` of `variants`, which is shown at intervals, has counted
/// some.
fn sees_executions(tool: &mut Running) {
    let run = || Command::new(fixture("argv")).stdout(Stdio::null()).status().unwrap();
    tool.wait_for("executions", |record| {
        run();
        record["value"]["seen"].as_u64().is_some_and(|seen| seen > 0)
    });
}

#[test]
fn tracepoints_work_without_it() {
    let before = mounts(std::process::id(), "tracefs");
    let flags = ["run", "--json", "--maps=0.1", "--prog", "classic", &object("variants")];
    let mut tool = Running::spawn(without(TRACEFS, &flags));
    let pid = tool.child.id();
    sees_executions(&mut tool);
    // Not even the tool itself has it among its mounts.
    assert_eq!(mounts(pid, "tracefs"), 0);
    assert_eq!(mounts(std::process::id(), "tracefs"), before);
    assert_eq!(tool.stop().status, 0);
}

#[test]
fn messages_and_asked_for_tracepoints_work_without_it() {
    let target = "on_tracepoint=sched:sched_process_exec";
    let flags = ["run", "--json", "--prog", "on_tracepoint", "--attach", target, &object("places")];
    let mut tool = without(TRACEFS, &flags);
    let trace = parse(&tool.args(["--", &fixture("argv")]).output().unwrap());
    assert_eq!(trace.status, 0, "{trace:?}");
    assert_eq!(program(&trace, "on_tracepoint")["state"], "attached", "{trace:?}");
    assert!(messages(&trace).contains(&"tracepoint"), "{trace:?}");
}

#[test]
fn tracepoints_work_without_proc() {
    let places =
        &["/sys/kernel/debug/tracing", "/sys/kernel/tracing", "/sys/kernel/debug", "/proc"];
    let flags = ["run", "--json", "--maps=0.1", "--prog", "classic", &object("variants")];
    let mut tool = Running::spawn(without(places, &flags));
    sees_executions(&mut tool);
    assert_eq!(tool.stop().status, 0);
}
