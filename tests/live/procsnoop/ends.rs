//! How processes end: once each, and as their parents were told.

use std::process::Command;

use super::*;
use crate::elf::elf;

#[test]
fn every_exit_code() {
    each_backend(|setup| {
        let trace = lives(setup, &[], &["codes"]);
        assert_eq!(trace.truth.len(), 256);
        trace.check_ends();
    });
}

#[test]
fn every_signal_that_is_fatal() {
    each_backend(|setup| {
        let trace = lives(setup, &[], &["signals", "0"]);
        assert_eq!(trace.truth.len(), 54);
        trace.check_ends();
        assert!(trace.truth.iter().all(|truth| truth.status & 0x80 == 0));
    });
}

#[test]
fn core_dumps() {
    if fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap().starts_with('|') {
        skip!(skip::CORE_PATTERN);
    }
    each_backend(|setup| {
        let trace = lives(setup, &[], &["signals", "100000000"]);
        trace.check_ends();
        let dumped = trace.truth.iter().filter(|truth| truth.status & 0x80 != 0).count();
        // Of QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS; the file is the same, and
        // may be in use.
        assert!((5..=10).contains(&dumped), "{:?}", trace.truth);
    });
}

#[test]
fn the_first_thread_leaves_first() {
    each_backend(|setup| {
        let group = lives(setup, &[], &["leader", "1"]);
        group.check_ends();
        assert_eq!(group.truth[0].status, 42 << 8);
        let row = group.end_of(&group.truth[0]);
        assert!(row["process"]["duration_ns"].as_u64().unwrap() >= 300_000_000, "{row}");
        // What the last one leaves with counts since 6.0, what the first one did before.
        let each = lives(setup, &[], &["leader", "0"]);
        each.check_ends();
        assert!([42 << 8, 7 << 8].contains(&each.truth[0].status), "{:?}", each.truth);
    });
}

#[test]
fn all_threads_leave_at_once() {
    let count = scaled(1000);
    each_backend(|setup| {
        for group in ["0", "1"] {
            let trace = lives(setup, &[], &["storm", &count.to_string(), "64", group]);
            assert_eq!(trace.truth.len(), count as usize);
            trace.check_ends();
        }
    });
}

#[test]
fn a_thread_calls_exec() {
    each_backend(|setup| {
        let trace = lives(setup, &["--fork"], &["thread-exec", &fixture("argv"), "x"]);
        let names: Vec<_> =
            trace.is_complete().events.iter().map(|e| e["event"]["name"].clone()).collect();
        assert_eq!(names, ["process.exec", "process.exec", "process.exit"]);
        let last = trace.events.last().unwrap();
        assert_eq!(last["process"]["exit"]["code"], 0);
        assert_eq!(last["process"]["command_args"][1], "x", "{last}");
        assert!(trace.events.iter().all(|event| pid(event) == pid(last)));
    });
}

#[test]
fn ends_of_threads() {
    each_backend(|setup| {
        let trace = lives(setup, &["--threads"], &["storm", "3", "8", "0"]);
        trace.check_ends();
        for truth in &trace.truth {
            let thread = |row: &&Value| row["event"]["name"] == "thread.exit";
            let rows = trace.events.iter().filter(thread).filter(|row| pid(row) == truth.pid);
            let mut threads: Vec<_> =
                rows.map(|row| row["thread"]["id"].as_u64().unwrap()).collect();
            threads.sort_unstable();
            threads.dedup();
            let others = threads.iter().filter(|&&thread| thread != truth.pid).count() as u64;
            // Kernels that let programs interrupt each other say where they may have missed one.
            let unseen = trace.end["unseen"].as_u64().unwrap_or(0);
            assert!(others <= 7 && others + unseen >= 7, "{threads:?}, {unseen} unseen");
        }
    });
}

#[test]
fn only_certain_ends_of_threads() {
    each_backend(|setup| {
        // Threads leave with 0, first threads with 0, 1, 2.
        let failed = lives(setup, &["--threads", "-x"], &["storm", "3", "8", "0"]);
        let exit = |row: &Value| match row["event"]["name"].as_str() {
            Some("thread.exit") => row["thread"]["exit"]["code"].clone(),
            _ => row["process"]["exit"]["code"].clone(),
        };
        assert!(failed.is_complete().events.iter().all(|row| exit(row) != 0), "{failed:?}");
        let an_hour = lives(setup, &["--threads", "-d", "3.6e6"], &["storm", "3", "8", "0"]);
        assert_eq!(an_hour.is_complete().events.len(), 0, "{an_hour:?}");
    });
}

#[test]
fn past_the_point_of_no_return() {
    let dir = TempDir::new();
    // A segment above all user addresses: seen only when the old image is gone.
    let program = dir.program("fatal", &elf(&[(1, 0, 0x0000_8000_0000_0000, 0x1000)], b""));
    each_backend(|setup| {
        let trace = lives(setup, &[], &["spawn", "1", &program]);
        trace.check_ends();
        let row = trace.end_of(&trace.truth[0]);
        assert_eq!(row["process"]["exit"]["signal"], "SIGSEGV");
        assert_eq!(row["process"]["exit"]["sender"]["type"], "kernel", "{row}");
        assert_eq!(row["process"]["command_args"], Value::Null, "no program ran: {row}");
    });
}

#[test]
fn ids_that_are_used_again() {
    if !in_vm() {
        skip!(skip::OWN_MACHINE); // the highest process id
    }
    let pid_max = "/proc/sys/kernel/pid_max";
    let before = fs::read_to_string(pid_max).unwrap();
    each_backend(|setup| {
        fs::write(pid_max, "500").unwrap();
        let trace = lives(setup, &["--fork"], &["forks", "1200"]);
        fs::write(pid_max, &before).unwrap();
        let ends = named(trace.is_complete(), "exit");
        assert_eq!(ends.len(), 1201);
        let mut again = 0;
        let mut seen = std::collections::HashSet::new();
        for (row, truth) in ends.iter().zip(&trace.truth) {
            // One after another, so in the same order.
            assert_eq!((pid(row), wait_status(&row["process"]["exit"])), (truth.pid, truth.status));
            assert_eq!(row["process"]["command_args"][1], "forks");
            again += u32::from(!seen.insert(truth.pid));
        }
        assert!(again > 500, "{again}");
        // None began with the one that had its id before: together they fit into their parent.
        let duration = |row: &&Value| row["process"]["duration_ns"].as_u64().unwrap();
        let children: u64 = ends[..1200].iter().map(duration).sum();
        assert!(children < duration(&ends[1200]), "{children} {}", ends[1200]);
    });
}

#[test]
fn small_ids_in_a_pid_namespace() {
    each_backend(|setup| {
        let lives = fixture("lives");
        // Where each namespace has a highest id of its own (6.14), it is low here; elsewhere
        // the write would be for the whole machine, and is left out.
        let script = format!("mount -t proc proc /proc; {lives} forks 300; true");
        let unshare = ["unshare", "--pid", "--fork", "--mount", "sh", "-c", &script];
        let trace = PROCSNOOP.trace(setup, &["--comm", "lives"], &unshare);
        let ends = named(trace.is_complete(), "exit");
        assert_eq!(ends.len(), 301, "{trace:?}");
        for (number, row) in ends[..300].iter().enumerate() {
            assert_eq!(row["process"]["exit"]["code"], number & 0x7f);
            assert_ne!(row["process"]["vpid"], Value::Null);
        }
    });
}

#[test]
fn older_than_the_tool() {
    each_backend(|setup| {
        let mut old =
            Command::new(fixture("lives")).args(["pause", "an argument"]).spawn().unwrap();
        let id = old.id().to_string();
        let arguments = || fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap();
        eventually("it has its arguments", || arguments().ends_with("an argument\0"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let running = PROCSNOOP.start(&[&setup.flags()[..], &["--json", "--pid", &id]].concat());
        old.kill().unwrap();
        old.wait().unwrap();
        let trace = running.stop();
        let ends = named(&trace, "exit");
        assert_eq!(ends.len(), 1, "{trace:?}");
        let process = &ends[0]["process"];
        assert_eq!(process["command_args"][2], "an argument");
        assert!(process["duration_ns"].as_u64().unwrap() >= 300_000_000, "{process}");
        assert_eq!(process["duration_since_exec_ns"], Value::Null, "nobody saw it");
        let program = fs::canonicalize(fixture("lives")).unwrap();
        assert_eq!(process["executable"]["path"], program.to_str().unwrap());
        let sender = &process["exit"]["sender"];
        assert_eq!(sender["pid"], u64::from(std::process::id()), "{sender}");
    });
}
