//! shown + lost == happened, and the ends.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::Signal;

use super::*;

#[test]
fn what_a_perf_buffer_lost_is_counted() {
    // A user that no other test has: nothing may be sent while the tool comes to its end.
    const USER: u32 = 54321;
    let user = format!("uid={USER}");
    let tool = BPFRUN.start(&["--json", "--maps", "--set", &user, &object("burst")]);
    tool.signal(libc::SIGSTOP);
    // More than 1 MiB for each CPU.
    send(USER, 24);
    tool.signal(libc::SIGCONT);
    assert!(all_is_told(&tool.stop()) > 0);
}

#[test]
fn what_is_lost_while_it_reads_is_counted_once() {
    const USER: u32 = 54322;
    let user = format!("uid={USER}");
    let tool = BPFRUN.start(&["--json", "--maps", "--set", &user, &object("burst")]);
    let pid = nix::unistd::Pid::from_raw(tool.child.id() as i32);
    let signal = |signal| nix::sys::signal::kill(pid, signal).unwrap();
    // Somebody has to read, or it has no time to.
    let reader = std::thread::spawn(|| tool.end());
    // More at once than it reads, wherever that is so: records of losses come in between, and of
    // what is lost last, none does.
    let senders = [(); 2].map(|()| std::thread::spawn(|| send(USER, scaled(60).max(2))));
    for sender in senders {
        sender.join().unwrap();
    }
    signal(Signal::SIGINT);
    all_is_told(&reader.join().unwrap());
}

/// Events of `burst`: 256 bytes a thousand times for each execution.
fn send(user: u32, executions: u32) {
    for _ in 0..executions {
        assert!(Command::new(fixture("argv")).uid(user).status().unwrap().success());
    }
}

/// Nothing is missing in the accounts. How much of what was sent was not shown.
fn all_is_told(trace: &Trace) -> u64 {
    assert_eq!(trace.status, 0);
    let shown = named(trace, "bpf.event").len() as u64;
    let lost = trace.end["lost"].as_u64().unwrap();
    let gaps: u64 =
        named(trace, "events.lost").iter().map(|gap| gap["count"].as_u64().unwrap()).sum();
    assert_eq!(gaps, lost);
    assert_eq!(trace.end["events"], shown);
    let sent = variable(trace, "sent").as_u64().unwrap();
    if counts_losses() {
        assert_eq!(sent, shown + lost);
    } else {
        // Older kernels tell of a loss with the next record on the same CPU.
        assert!(sent >= shown + lost, "{sent} {shown} {lost}");
    }
    sent - shown
}

#[test]
fn a_ring_buffer_that_was_full_is_named() {
    let trace = trace("flood", &[], &[&fixture("argv")]);
    let full = named(&trace, "bpf.full");
    assert_eq!(full.len(), 1, "{trace:?}");
    assert_eq!(full[0]["bpf"]["map"], "ring");
    assert!(full[0]["times"].as_u64().unwrap() >= 1);
    let mut tool = BPFRUN.command(&[&object("flood"), "--", &fixture("argv")]);
    let stderr = lossy(&tool.output().unwrap().stderr);
    assert!(stderr.contains("ring was full"), "{stderr}");
}

/// Whether perf events count what they lost, as Linux 6.0 and later do.
fn counts_losses() -> bool {
    kernel_release() >= (6, 0)
}

#[test]
fn max_events_and_duration_end_it() {
    let flags = ["--json", "--max-events", "7", &object("burst"), "--", &fixture("argv")];
    let trace = parse(&BPFRUN.command(&flags).output().unwrap());
    assert_eq!(trace.events.len(), 7);
    assert_eq!(trace.end["events"], 7);
    let flags = ["--json", "--duration", "0.05", &object("burst")];
    assert_eq!(parse(&BPFRUN.command(&flags).output().unwrap()).status, 0);
}

#[test]
fn signals_and_a_closed_pipe_end_it_quietly() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let tool = BPFRUN.start(&["--json", &object("burst")]);
        tool.signal(signal);
        let trace = tool.stop();
        assert_eq!(trace.status, 0);
    }
    let mut tool = BPFRUN.start(&["--json", &object("burst")]);
    tool.close_stdout();
    run("argv", &[]);
    let status = tool.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut stderr = String::new();
    tool.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(!stderr.contains("events"), "{stderr}");
}

#[test]
fn the_commands_status_is_ours() {
    let run = |command: &[&str]| {
        let mut tool = BPFRUN.command(&[&object("burst"), "--"]);
        tool.args(command).output().unwrap().status.code()
    };
    assert_eq!(run(&["sh", "-c", "exit 3"]), Some(3));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(run(&["/no/such/program"]), Some(127));
}

#[test]
fn nothing_stays_loaded() {
    let flags = ["--json", "--prog", "on_demand", &object("isolate")];
    let tool = BPFRUN.start(&flags);
    let ids = ids(tool.child.id());
    assert!(!ids.is_empty());
    assert_eq!(tool.stop().status, 0);
    // The kernel frees programs a moment later.
    eventually("a program stayed loaded", || {
        !libbpf_rs::query::ProgInfoIter::default().any(|program| ids.contains(&program.id))
    });
}

/// The programs of a process, from its descriptors.
fn ids(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let infos = entries.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok());
    let id = |info: String| {
        let line = info.lines().find_map(|line| line.strip_prefix("prog_id:"))?;
        line.trim().parse().ok()
    };
    infos.filter_map(id).collect()
}
