//! The lessons of `examples`, each run as its page says.

use std::fs;

use super::*;

#[test]
fn hello() {
    let trace = trace("01-hello", &[], &[&fixture("argv")]);
    // The kernel tells the name of a thread only as it remembers it; its id is exact.
    let says_itself = |event: &&Value| {
        let tid = &event["thread"]["id"];
        event["message"] == format!("Hello, World! I am process {tid}")
    };
    assert!(named(&trace, "bpf.printk").iter().any(says_itself), "{trace:?}");
}

#[test]
fn arguments_of_execve() {
    let argv = fixture("argv");
    let trace = trace("02-execve-args", &[], &[&argv, "lesson-two"]);
    let shown = argv.get(..argv.len().min(63)).unwrap(); // as much as the program copies
    for expected in [format!("execve {shown}").as_str(), "first argument: lesson-two"] {
        assert!(messages(&trace).contains(&expected), "{expected}: {trace:?}");
    }
}

/// Removes a file of its own.
fn remove(name: &str) -> (TempDir, [String; 3]) {
    let dir = TempDir::new();
    let file = dir.path(name);
    fs::write(&file, "").unwrap();
    (dir, ["sh".to_owned(), "-c".to_owned(), format!("rm -f {file}")])
}

fn removes(name: &str, words: &dyn Fn(&str) -> [String; 2]) -> Result<(), &'static str> {
    let file = format!("bpfrun-lesson-{}", std::process::id());
    let (_dir, command) = remove(&file);
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    let trace = trace_if_possible(name, &[], &command)?;
    let messages = messages(&trace);
    for expected in words(&file) {
        assert!(messages.iter().any(|m| m.contains(&expected)), "{expected}: {messages:?}");
    }
    assert_eq!(program(&trace, "unlink_entry")["state"], "attached");
    assert_eq!(program(&trace, "unlink_return")["state"], "attached");
    Ok(())
}

#[test]
fn unlink_by_kprobe() {
    let words = |file: &str| [format!("unlink {file}"), "allowed: 0".to_owned()];
    if let Err(reason) = removes("03-unlink-kprobe", &words) {
        skip!(reason);
    }
}

#[test]
fn unlink_by_fentry() {
    let words = |file: &str| [format!("unlink {file}, inode"), ", allowed: 0".to_owned()];
    if let Err(reason) = removes("04-unlink-fentry", &words) {
        skip!(reason);
    }
}

#[test]
fn a_system_call() {
    let pid = std::process::id();
    let kill = format!("kill -0 {pid}");
    let trace = match trace_if_possible("05-kill-ksyscall", &[], &["sh", "-c", &kill]) {
        Ok(trace) => trace,
        Err(reason) => skip!(reason),
    };
    let messages = messages(&trace);
    assert!(messages.contains(&format!("kill({pid}, 0)").as_str()), "{messages:?}");
    assert!(messages.contains(&"kill() = 0"), "{messages:?}");
}

#[test]
fn data_by_perf_buffer() {
    let trace = trace("06-perf-buffer", &[], &["sh", "-c", "(exit 7); true"]);
    let event = trace
        .events
        .iter()
        .find(|event| event["data"]["exit_code"] == 7 && event["data"]["comm"] == "sh");
    let event = event.unwrap_or_else(|| panic!("{trace:?}"));
    assert_eq!(event["bpf"]["map"], "exits");
    assert_eq!(event["bpf"]["program"], "handle_exit");
    assert!(event["cpu"]["logical_number"].is_u64(), "{event}");
    assert!(event["data"]["pid"].as_u64().unwrap() > 1);
}

#[test]
fn data_by_ring_buffer() {
    let flags = ["--set", "min_ns=1000000", "--maps"];
    let trace = trace("07-ring-buffer", &flags, &["sh", "-c", "sleep 0.05; true"]);
    let lives = named(&trace, "bpf.event");
    let sleep = lives.iter().find(|event| event["data"]["comm"] == "sleep");
    let sleep = sleep.unwrap_or_else(|| panic!("{trace:?}"));
    assert!(sleep["data"]["duration_ns"].as_u64().unwrap() >= 50_000_000, "{sleep}");
    assert!(lives.iter().all(|event| event["data"]["duration_ns"].as_u64().unwrap() >= 1_000_000));
    let ended = variable(&trace, "ended").as_u64().unwrap();
    assert!(ended >= lives.len() as u64, "{trace:?}");
}

#[test]
fn a_security_module() {
    let dir = TempDir::new();
    for name in ["precious", "preciousss", "worthless"] {
        fs::write(dir.path(name), "").unwrap();
    }
    let remove = format!("cd {} && rm -f precious; rm -f preciousss worthless", dir.path(""));
    // Not unless it is asked for.
    let mut plain = BPFRUN.command(&[&object("08-lsm")]);
    let output = plain.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = lossy(&output.stderr);
    assert!(stderr.contains("attach it with --attach keep_precious"), "{stderr}");

    let flags = ["--attach", "keep_precious"];
    let trace = match trace_if_possible("08-lsm", &flags, &["sh", "-c", &remove]) {
        Ok(trace) => trace,
        Err(reason) => skip!(reason),
    };
    let left: Vec<_> = fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["precious"], "{trace:?}");
    assert!(messages(&trace).iter().any(|m| m.ends_with("may not remove precious")), "{trace:?}");
}

#[test]
fn an_iterator() {
    let output = BPFRUN.command(&[&object("09-iterator")]).output().unwrap();
    let (stdout, stderr) = (lossy(&output.stdout), lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("     PID     PPID COMM\n"), "{stdout}");
    let own = stdout.lines().find(|line| {
        line.split_whitespace().next() == Some(std::process::id().to_string().as_str())
    });
    assert!(own.is_some(), "{stdout}");
    // In JSON each line is a record, and all are counted.
    let output = BPFRUN.command(&["--json", &object("09-iterator")]).output().unwrap();
    let trace = parse(&output);
    trace.is_complete();
    assert!(named(&trace, "bpf.iterator").len() > 2, "{trace:?}");
}
