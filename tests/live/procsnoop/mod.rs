//! procsnoop: what is shown is what wait4() told the parents.

mod accounting;
mod critical;
mod ends;
mod killers;
mod pictures;
mod rows;
mod told;
mod usage;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

const PROCSNOOP: Tool = Tool("procsnoop");

fn backends() -> &'static [&'static str] {
    static BACKENDS: OnceLock<Vec<&str>> = OnceLock::new();
    BACKENDS.get_or_init(|| PROCSNOOP.backends(&["tp_btf", "raw_tp"], &[]))
}

/// Runs `test` over the backends and both transports.
fn each_setup(test: impl Fn(Setup)) {
    over(backends(), test);
}

/// Runs `test` over the backends; where machines are slow, over one transport only.
fn each_backend(test: impl Fn(Setup)) {
    if in_vm() { over_ring(backends(), test) } else { over(backends(), test) }
}

/// What wait4() said of a child.
#[derive(Debug)]
struct Truth {
    pid: u64,
    status: i32,
    /// User and system time in microseconds, max RSS in KiB, minor and major faults, voluntary
    /// and involuntary switches, blocks read and written
    usage: [u64; 9],
}

/// What a traced command did: the rows of the tool, and what the parents were told.
#[derive(Debug)]
struct LivesTrace {
    trace: Trace,
    truth: Vec<Truth>,
}

impl Deref for LivesTrace {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.trace
    }
}

/// `procsnoop --json FLAGS -- lives MODE`, to its end.
fn lives(setup: Setup, flags: &[&str], mode: &[&str]) -> LivesTrace {
    let dir = TempDir::new();
    let truth = dir.path("truth");
    let mut tool = PROCSNOOP.command(&setup.flags());
    tool.arg("--json").args(flags).args(["--", &fixture("lives")]).args(mode);
    tool.env("LIVES_OUT", &truth).current_dir(&dir.0);
    let trace = parse(&tool.output().unwrap());
    LivesTrace { trace, truth: parse_truth(&fs::read_to_string(truth).unwrap_or_default()) }
}

fn parse_truth(text: &str) -> Vec<Truth> {
    let parse = |line: &str| {
        let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        let usage = numbers[2..].try_into().unwrap();
        Truth { pid: numbers[0], status: numbers[1] as i32, usage }
    };
    text.lines().map(parse).collect()
}

/// The events of one kind.
fn named<'a>(trace: &'a Trace, name: &str) -> Vec<&'a Value> {
    let name = format!("process.{name}");
    trace.events.iter().filter(|event| event["event"]["name"] == name).collect()
}

/// A status as JSON tells it, turned back into what wait() gives.
fn wait_status(exit: &Value) -> i32 {
    let core = if exit["core_dumped"] == true { 0x80 } else { 0 };
    match (&exit["code"], &exit["signal"]) {
        (Value::Number(code), Value::Null) => (code.as_i64().unwrap() as i32) << 8,
        (Value::Null, Value::String(name)) => {
            snoop_tools::host::signal::parse(name).unwrap() as i32 | core
        }
        _ => panic!("neither or both: {exit}"),
    }
}

impl LivesTrace {
    /// One end for each child, with the status that its parent was told, and no others but the
    /// command's own; that row.
    fn check_ends(&self) -> &Value {
        // By id in the order of their ends: ids may be used again.
        let mut ends: HashMap<u64, VecDeque<&Value>> = HashMap::new();
        for row in named(self.is_complete(), "exit") {
            ends.entry(pid(row)).or_default().push_back(row);
        }
        for truth in &self.truth {
            let row = ends.get_mut(&truth.pid).and_then(VecDeque::pop_front);
            let row = row.unwrap_or_else(|| panic!("no end of {truth:?}"));
            assert_eq!(wait_status(&row["process"]["exit"]), truth.status, "{row}");
        }
        let own: Vec<_> = ends.into_values().flatten().collect();
        assert_eq!(own.len(), 1, "{own:?}");
        assert_eq!(wait_status(&own[0]["process"]["exit"]), self.status << 8);
        own[0]
    }

    /// The end of the process that `truth` is about.
    fn end_of(&self, truth: &Truth) -> &Value {
        named(self, "exit").into_iter().find(|row| pid(row) == truth.pid).unwrap()
    }
}
