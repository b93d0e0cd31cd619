//! A thread may have another name than its process: events have both, filters know both, and sums
//! are by process.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

/// A tracer, flags, and whether an event is one of the four things that a worker does, or its end.
type Case = (&'static str, &'static [&'static str], fn(&Value) -> bool);

const TRACERS: [Case; 5] = [
    ("execsnoop", &["-x"], |row| row["exec"]["filename"] == "/no/such/program"),
    ("killsnoop", &["-s", "WINCH"], |row| row["event"]["name"] == "signal.sent"),
    ("mmapsnoop", &[], |row| row["mmap"]["length_bytes"] == 77 << 12),
    ("procsnoop", &["--threads"], |row| {
        // The first thread may be quicker.
        row["event"]["name"] == "thread.exit" && row["thread"]["id"] != row["process"]["pid"]
    }),
    ("tcpconnect", &[], |row| row["event"]["name"] == "network.connect"),
];

const SHORT: &str = "pool-1";
const LONG: &str = "db-pool-worker-";

/// Each backend that a tool has with these flags.
fn each_backend(tool: Tool, flags: &[&str], test: impl Fn(Setup)) {
    let all = match tool.0 {
        "execsnoop" => &["fexit", "tracepoint", "raw_tp"][..],
        "mmapsnoop" => &["fexit", "tracepoint"],
        _ => &["tp_btf", "raw_tp"],
    };
    over_ring(&tool.backends(all, flags), test);
}

/// Workers of these names, beside the first thread, which is called `lives`.
fn workers(names: &[&str]) -> Vec<String> {
    let fixed = [fixture("lives"), "workers".to_owned()];
    fixed.into_iter().chain(names.iter().map(|&name| name.to_owned())).collect()
}

fn trace(tool: Tool, setup: Setup, flags: &[&str], names: &[&str]) -> Trace {
    let command = workers(names);
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    tool.trace(setup, flags, &command)
}

/// Names of the process and of the thread, sorted.
fn names(trace: &Trace, is_it: fn(&Value) -> bool) -> Vec<(String, String)> {
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = trace.events.iter().filter(|row| is_it(row));
    let mut names: Vec<_> =
        rows.map(|row| (name(&row["process"]["comm"]), name(&row["thread"]["name"]))).collect();
    names.sort();
    names
}

/// Rows that are missing because the kernel skipped a program, at most. On preemptible kernels it
/// does: both workers may be in the same program of one CPU.
fn unseen(trace: &Trace) -> usize {
    ["unseen", "lost"].iter().map(|key| trace.end[key].as_u64().unwrap_or(0) as usize).sum()
}

#[test]
fn events_have_both() {
    for (name, flags, is_it) in TRACERS {
        let tool = Tool(name);
        each_backend(tool, flags, |setup| {
            let trace = trace(tool, setup, flags, &[SHORT, LONG]);
            let both = [LONG, SHORT].map(|thread| ("lives".to_owned(), thread.to_owned()));
            let names = names(&trace, is_it);
            assert!(names.len() + unseen(&trace) >= 2, "{name}: {trace:?}");
            assert!(names.len() < 2 || names == both, "{name}: {trace:?}");
            assert!(names.iter().all(|name| both.contains(name)), "{name}: {trace:?}");
        });
    }
}

#[test]
fn filters_match_either() {
    for (name, flags, is_it) in TRACERS {
        let tool = Tool(name);
        each_backend(tool, flags, |setup| {
            for (comm, count) in [("lives", 2), (LONG, 1), ("live", 0)] {
                let flags = [flags, &["--comm", comm]].concat();
                let trace = trace(tool, setup, &flags, &[SHORT, LONG]);
                let rows = names(&trace, is_it).len();
                let fits = (rows..=rows + unseen(&trace)).contains(&count);
                assert!(fits, "{name} --comm {comm}: {trace:?}");
            }
        });
    }
    let tool = Tool("execsnoop");
    each_backend(tool, &["-x"], |setup| {
        for (regex, count) in [("^lives$", 2), ("pool", 2), ("worker", 1)] {
            let trace = trace(tool, setup, &["-x", "-n", regex], &[SHORT, LONG]);
            let failed = |row: &Value| row["event"]["name"] == "process.exec_failed";
            let rows = names(&trace, failed).len();
            assert!((rows..=rows + unseen(&trace)).contains(&count), "{regex}: {trace:?}");
        }
    });
}

#[test]
fn rows_have_the_thread_where_it_fits() {
    for (name, flags, _) in TRACERS {
        let tool = Tool(name);
        let text = |names: &[&str]| {
            let mut command = tool.command(flags);
            lossy(&command.arg("--").args(workers(names)).output().unwrap().stdout)
        };
        assert!(text(&[SHORT]).contains(&format!("lives({SHORT}) ")), "{name}");
        let long = text(&[LONG]);
        assert!(long.contains("lives   ") && !long.contains("lives("), "{name}: {long}");
        // Ends of threads name it behind #.
        assert_eq!(long.contains(&format!(" ({LONG})\n")), name == "procsnoop", "{long}");
    }
}

/// Workers that wait for the end of their input.
struct Waiting(Child);

impl Waiting {
    fn new(names: &[&str]) -> Self {
        let words = workers(names);
        let mut command = Command::new(&words[0]);
        let child = command.args(&words[1..]).stdin(Stdio::piped()).spawn().unwrap();
        let threads = format!("/proc/{}/task", child.id());
        let named = || {
            let tasks = fs::read_dir(&threads).unwrap().flatten();
            let comms = tasks.map(|task| fs::read_to_string(task.path().join("comm")).unwrap());
            comms.filter(|comm| names.contains(&comm.trim())).count()
        };
        eventually("threads have their names", || named() == names.len());
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn go(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// The rows of a tool about a waiting process that goes on.
fn sums(tool: Tool, setup: Setup, flags: &[&str]) -> (Trace, u64) {
    let waiting = Waiting::new(&[SHORT, LONG]);
    let pid = waiting.pid();
    let flags = [&setup.flags()[..], &["--json", "--pid", &pid], flags].concat();
    let running = tool.start(&flags);
    waiting.go();
    (running.stop(), pid.parse().unwrap())
}

#[test]
fn sums_are_by_process() {
    let tool = Tool("tcpconnect");
    let by_process = ["-c", "--per-process"];
    each_backend(tool, &by_process, |setup| {
        let (trace, pid) = sums(tool, setup, &by_process);
        let rows: Vec<_> = trace.events.iter().filter(|row| row["process"]["pid"] == pid).collect();
        assert_eq!(rows.len(), 1, "{trace:?}");
        assert_eq!(rows[0]["process"]["comm"], "lives");
        assert_eq!(rows[0]["connect"]["attempts"], 2);
    });
    let tool = Tool("mmapsnoop");
    each_backend(tool, &["--summary", "3600"], |setup| {
        let (trace, pid) = sums(tool, setup, &["--summary", "3600"]);
        let processes = trace.events.iter().filter(|row| {
            row["event"]["name"] == "memory.summary.process" && row["process"]["pid"] == pid
        });
        let comms: Vec<_> = processes.map(|row| &row["process"]["comm"]).collect();
        assert_eq!(comms, ["lives"], "the first call is a worker's: {trace:?}");
    });
}

#[test]
fn stacks_are_by_process() {
    if kernel_release() < (5, 15) {
        skip!(skip::BEFORE_5_15);
    }
    let tool = Tool("mmapsnoop");
    let mut command = tool.command(&["--folded", "--"]);
    let text = lossy(&command.args(workers(&[LONG])).output().unwrap().stdout);
    let stacks = text.lines().filter(|line| line.contains(';'));
    assert!(stacks.clone().count() > 0, "{text}");
    assert!(stacks.clone().all(|line| line.starts_with("lives;")), "{text}");
}
