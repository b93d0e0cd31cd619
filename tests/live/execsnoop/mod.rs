//! execsnoop: what is shown is what ran, as the programs themselves say.

mod accounting;
mod command;
mod compilation;
mod failure;
mod filters;
mod lifecycle;
mod place;
mod success;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

const EXECSNOOP: Tool = Tool("execsnoop");

fn execsnoop() -> PathBuf {
    EXECSNOOP.path()
}

/// `execsnoop FLAGS` in the background.
fn start(flags: &[&str]) -> Running {
    EXECSNOOP.start(flags)
}

/// The backends for successes.
fn backends() -> &'static [&'static str] {
    static BACKENDS: OnceLock<Vec<&str>> = OnceLock::new();
    BACKENDS.get_or_init(|| EXECSNOOP.backends(&["tp_btf", "raw_tp"], &[]))
}

/// Runs `test` over the backends for successes and both transports.
fn each_setup(test: impl Fn(Setup)) {
    over(backends(), test);
}

/// Runs `test` over the backends for failures (-x) and both transports.
fn each_failure_setup(test: impl Fn(Setup)) {
    static BACKENDS: OnceLock<Vec<&str>> = OnceLock::new();
    let all = ["fexit", "tracepoint", "raw_tp"];
    over(BACKENDS.get_or_init(|| EXECSNOOP.backends(&all, &["-x"])), test);
}

/// `argv` by a name of its own, so that tests that trace the whole machine at the same time
/// see only theirs.
struct OwnArgv {
    dir: TempDir,
    comm: String,
}

impl OwnArgv {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = TempDir::new();
        let comm = format!("argv{}", NEXT.fetch_add(1, Ordering::Relaxed));
        dir.alias(&comm, "argv");
        Self { dir, comm }
    }

    fn path(&self) -> String {
        self.dir.path(&self.comm)
    }

    /// Executes it `count` times.
    fn spawn(&self, count: u32, arg: &str) {
        run("execer", &["spawn", &count.to_string(), &self.path(), arg]);
    }
}

/// What `argv` wrote of itself.
#[derive(Debug, PartialEq, Eq)]
struct Truth {
    pid: u32,
    args: Vec<Vec<u8>>,
}

/// What a traced command did: the rows of the tool, and what the programs say themselves.
#[derive(Debug)]
struct ExecTrace {
    trace: Trace,
    truth: Vec<Truth>,
}

impl Deref for ExecTrace {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.trace
    }
}

/// `execsnoop --json FLAGS -- COMMAND`, to its end.
fn trace(setup: Setup, flags: &[&str], command: &[&str]) -> ExecTrace {
    let command: Vec<_> = command.iter().map(OsStr::new).collect();
    trace_os(setup, flags, &command)
}

/// Likewise, with arguments of any bytes.
fn trace_os(setup: Setup, flags: &[&str], command: &[&OsStr]) -> ExecTrace {
    let dir = TempDir::new();
    let truth = dir.path("truth");
    let mut tool = EXECSNOOP.command(&setup.flags());
    tool.arg("--json").args(flags).arg("--").args(command);
    tool.env("ARGV_OUT", &truth).current_dir(fixtures()).stdin(Stdio::null());
    let trace = parse(&tool.output().unwrap());
    ExecTrace { trace, truth: parse_truth(&fs::read(truth).unwrap_or_default()) }
}

impl ExecTrace {
    /// The successful executions of `argv`, each compared with what it says of itself.
    fn check_argv(&self) {
        let rows = self.of("argv");
        let mut by_pid: HashMap<u64, &Value> = HashMap::new();
        for row in &rows {
            assert!(by_pid.insert(pid(row), row).is_none(), "two rows: {row}");
        }
        assert_eq!(rows.len(), self.truth.len(), "{self:?}");
        for truth in &self.truth {
            let row = by_pid[&u64::from(truth.pid)];
            assert_eq!(args(row), truth.args, "{row}");
            assert_eq!(row["process"]["args_count"], truth.args.len());
            assert_eq!(row["process"]["command_args_cut"], Value::Null);
        }
    }

    /// Fails unless nothing was lost and all rows are counted.
    fn is_complete(&self) -> &Self {
        self.trace.is_complete();
        self
    }
}

fn parse_truth(mut bytes: &[u8]) -> Vec<Truth> {
    let mut truth = Vec::new();
    while !bytes.is_empty() {
        let line = take_until(&mut bytes, b'\n');
        let (pid, argc) = line.split_once(' ').unwrap();
        let mut args = Vec::new();
        for _ in 0..argc.parse::<usize>().unwrap() {
            let len: usize = take_until(&mut bytes, b':').parse().unwrap();
            args.push(bytes[..len].to_vec());
            bytes = &bytes[len + 1..];
        }
        truth.push(Truth { pid: pid.parse().unwrap(), args });
    }
    truth
}

fn take_until<'a>(bytes: &mut &'a [u8], end: u8) -> &'a str {
    let at = bytes.iter().position(|&b| b == end).unwrap();
    let (head, rest) = bytes.split_at(at);
    *bytes = &rest[1..];
    std::str::from_utf8(head).unwrap()
}

/// The exact bytes of the arguments.
fn args(event: &Value) -> Vec<Vec<u8>> {
    let process = &event["process"];
    if let Some(encoded) = process["command_args_base64"].as_array() {
        return encoded.iter().map(|arg| decode(arg.as_str().unwrap())).collect();
    }
    let all = process["command_args"].as_array().unwrap_or_else(|| panic!("{event}"));
    all.iter().map(|arg| arg.as_str().unwrap().into()).collect()
}

fn decode(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
