//! Calls that a seccomp filter refuses, as containers and services have them: each is shown once,
//! with what the program got, on every backend.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::*;

/// What the filter does, and what the caller gets.
const ACTIONS: [(&str, &str); 5] = [
    ("errno", "EPERM"),
    ("notify", "EPERM"),
    ("trap", "SIGSYS"),
    ("kill", "SIGSYS"),
    ("thread", "SIGSYS"),
];

/// Runs `test` over the backends that see failed calls, with their flags, and over all actions.
fn each(tool: Tool, flags: &[&str], backends: &[&'static str], test: impl Fn(&Trace, &str)) {
    let call = match tool.0 {
        "execsnoop" => "execve",
        "mmapsnoop" => "mmap",
        _ => "connect",
    };
    over_ring(&tool.backends(backends, flags), |setup| {
        for (action, expected) in ACTIONS {
            if !ends_in_call(action) && setup.backend != "fexit" {
                continue; // the thread is gone before its call has an end
            }
            let program = fixture("refused");
            let output = Command::new(&program).args([call, action]).output().unwrap();
            // What the program got; of a thread alone it says nothing.
            let got = match &*lossy(&output.stderr) {
                "1\n" => "EPERM",
                "SIGSYS\n" => "SIGSYS",
                "" if action == "thread" => "SIGSYS",
                other => panic!("{call} {action}: {other}"),
            };
            assert_eq!(got, expected, "{call} {action}");
            let trace = tool.trace(setup, flags, &[&program, call, action]);
            assert_eq!(trace.start["backend"], setup.backend);
            test(trace.is_complete(), expected);
        }
    });
}

/// Whether the call has an end. Before 5.16 the kernel killed without one.
fn ends_in_call(action: &str) -> bool {
    match action {
        "kill" => kernel_release() >= (5, 16),
        "thread" => false,
        _ => true,
    }
}

#[test]
fn executions() {
    each(Tool("execsnoop"), &["-x"], &["fexit", "tracepoint", "raw_tp"], |trace, expected| {
        let failed = |row: &&Value| row["event"]["name"] == "process.exec_failed";
        let rows: Vec<_> = trace.events.iter().filter(failed).collect();
        assert_eq!(rows.len(), 1, "{trace:?}");
        assert_eq!(rows[0]["error"]["type"], expected);
        // Before the refusal nobody has read the strings; they are constants of the program.
        assert_eq!(rows[0]["exec"]["filename"], "/no/such/tiny", "{}", rows[0]);
        assert_eq!(rows[0]["process"]["command_args"], json!(["tiny", "refused"]), "{}", rows[0]);
        assert_eq!(rows[0]["exec"]["args_unreadable"], Value::Null, "{}", rows[0]);
    });
}

#[test]
fn mappings() {
    each(Tool("mmapsnoop"), &[], &["fexit", "tracepoint", "tp_btf"], |trace, expected| {
        let ours = |row: &&Value| row["mmap"]["length_bytes"] == 50_565_120;
        let rows: Vec<_> = trace.events.iter().filter(ours).collect();
        assert_eq!(rows.len(), 1, "{trace:?}");
        assert_eq!(rows[0]["error"]["type"], expected, "{}", rows[0]);
    });
}

#[test]
fn connections() {
    let backends = ["fexit", "tracepoint", "raw_tp"];
    each(Tool("tcpconnect"), &["--sync-errors"], &backends, |trace, expected| {
        assert_eq!(trace.events.len(), 1, "{trace:?}");
        let row = &trace.events[0];
        assert_eq!(row["error"]["type"], expected, "{row}");
        assert_eq!(row["network"]["peer"]["port"], 9, "{row}");
    });
}
