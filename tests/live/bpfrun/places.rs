//! `--attach PROG=TARGET`

use std::fs;
use std::net::UdpSocket;

use crate::netns::in_new_netns;

use super::*;

/// Runs one of the programs of `places`.
fn attach(name: &str, target: &str, command: &[&str]) -> Trace {
    trace("places", &["--prog", name, "--attach", &format!("{name}={target}")], command)
}

/// Where a program cannot be attached: the line of the table that says why.
fn refused_place(name: &str, target: &str) -> String {
    let target = format!("{name}={target}");
    let flags = [&object("places"), "--prog", name, "--attach", &target];
    let output = BPFRUN.command(&flags).output().unwrap();
    let stderr = lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    stderr.lines().find(|line| line.starts_with(name)).unwrap_or(&stderr).to_owned()
}

#[test]
fn functions_of_programs() {
    // A copy, which no other test runs. What their programs say, comes here too.
    let dir = TempDir::new();
    let argv = dir.copy("argv", &fixture("argv"));
    let target = format!("{argv}:main");
    for (name, message) in [("on_call", "called"), ("on_return", "returned")] {
        let trace = attach(name, &target, &[&argv]);
        let said: Vec<_> = messages(&trace)
            .into_iter()
            .filter(|text| ["called", "returned"].contains(text))
            .collect();
        assert_eq!(said, [message], "{trace:?}");
        let place = program(&trace, name)["attached_to"].as_str().unwrap();
        assert!(place.ends_with(&target), "{place}");
    }
    for (target, reason) in [
        ("/no/such/file:main", "there is no file /no/such/file"),
        ("/:main", "/ is neither a program nor a library"),
        (
            &format!("{argv}:nope"),
            &format!("there is no function nope in {argv}; --attach on_call="),
        ),
    ] {
        let line = refused_place("on_call", target);
        assert!(line.contains(reason), "{reason}: {line}");
    }
}

#[test]
fn tracepoints() {
    for (name, target, message) in [
        ("on_tracepoint", "sched:sched_process_exec", "tracepoint"),
        ("on_tracepoint", "sched/sched_process_exec", "tracepoint"),
        ("on_raw", "sched_process_exec", "raw"),
        ("on_typed", "sched_process_exec", "typed"),
    ] {
        let trace = attach(name, target, &[&fixture("argv")]);
        assert!(messages(&trace).contains(&message), "{trace:?}");
    }
}

#[test]
fn interfaces() {
    in_new_netns(|_| {
        let command = ["sh", "-c", "exec 3<>/dev/null; true"];
        for (name, message) in [("on_packet", "packet"), ("on_frame", "frame")] {
            let flags =
                ["--json", "--prog", name, "--attach", &format!("{name}=lo"), &object("places")];
            let mut tool = BPFRUN.start(&flags);
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            tool.wait_for(message, |record| record["message"] == message);
            assert_eq!(tool.stop().status, 0);
        }
        // Nothing is left attached: another program can be attached right away.
        let trace = attach("on_frame", "lo", &command);
        assert_eq!(program(&trace, "on_frame")["state"], "attached");
        let output = BPFRUN
            .command(&[&object("places"), "--prog", "on_frame", "--attach", "on_frame=nope0"])
            .output()
            .unwrap();
        assert!(lossy(&output.stderr).contains("no interface nope0"));
    });
}

#[test]
fn samples() {
    let place = "on_sample=cpu-clock@49";
    let flags = ["--json", "--prog", "on_sample", "--attach", place, &object("places")];
    let mut tool = BPFRUN.start(&flags);
    tool.wait_for("sample", |record| record["message"] == "sample");
    let trace = tool.stop();
    let place = program(&trace, "on_sample")["attached_to"].as_str().unwrap();
    assert!(place.starts_with("cpu-clock, 49 times a second, on "), "{place}");
}

#[test]
fn no_file_no_numbers() {
    let line = refused_place("on_connect", "/no/such/folder");
    assert!(line.ends_with("open /no/such/folder: No such file or directory"), "{line}");
}

#[test]
fn cgroups() {
    // Where this machine has cgroup v2; nothing of it is changed but a folder of our own.
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|root| fs::metadata(format!("{root}/cgroup.controllers")).is_ok());
    let folder = format!("{}/bpfrun-{}", root.expect("cgroup v2"), std::process::id());
    fs::create_dir_all(&folder).unwrap();
    let join =
        format!("echo $$ >{folder}/cgroup.procs; exec {} 127.0.0.1 1 >/dev/null", fixture("dial"));
    let trace = attach("on_connect", &folder, &["sh", "-c", &join]);
    let reason = refused_place("on_connect", "/");
    assert!(reason.contains(": / is not a folder of cgroup v2"), "{reason}");
    remove_cgroup(&folder);
    assert!(messages(&trace).contains(&"connect"), "{trace:?}");
}

#[test]
fn elements_of_a_map() {
    let trace = attach("on_element", "numbers", &["true"]);
    let lines: Vec<_> = named(&trace, "bpf.iterator");
    assert_eq!(lines.len(), 3, "{trace:?}");
}
