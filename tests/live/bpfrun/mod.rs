//! bpfrun: any object runs, and what it sends is shown.

mod accounting;
mod acts;
mod against;
mod examples;
mod externs;
mod fill;
mod hostile;
mod kinds;
mod load;
mod maps;
mod origins;
mod pictures;
mod places;
mod printk;
mod stacks;
mod tracefs;
mod values;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

const BPFRUN: Tool = Tool("bpfrun");

/// `bpfrun --json FLAGS OBJECT -- COMMAND`, to its end.
fn trace(name: &str, flags: &[&str], command: &[&str]) -> Trace {
    let mut tool = BPFRUN.command(&["run", "--json", &object(name)]);
    let trace = parse(&tool.args(flags).arg("--").args(command).output().unwrap());
    assert_eq!(trace.status, 0, "{trace:?}");
    trace
}

/// What became of a program, from the start record.
fn program<'a>(trace: &'a Trace, name: &str) -> &'a Value {
    let programs = trace.start["programs"].as_array().unwrap();
    let program = programs.iter().find(|program| program["name"] == name);
    program.unwrap_or_else(|| panic!("{name}: {programs:?}"))
}

/// The records with this `event.name`.
fn named<'a>(trace: &'a Trace, name: &str) -> Vec<&'a Value> {
    trace.events.iter().filter(|event| event["event"]["name"] == name).collect()
}

/// Programs of all tests see the calls of each, and nobody can tell the messages of one object's
/// programs apart: tests for which that matters take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The messages of `bpf_printk()`.
fn messages(trace: &Trace) -> Vec<&str> {
    named(trace, "bpf.printk").iter().map(|event| event["message"].as_str().unwrap()).collect()
}

/// The value of a global variable, from `--maps`.
fn variable(trace: &Trace, name: &str) -> Value {
    let values = named(trace, "bpf.map").into_iter().map(|map| &map["value"][name]);
    let value = values.into_iter().find(|value| !value.is_null());
    value.unwrap_or_else(|| panic!("{name}: {trace:?}")).clone()
}

/// Runs an object that not every kernel takes. In a virtual machine all must; elsewhere, if
/// it does not, that has to be said, and is the reason to skip the test.
fn trace_if_possible(name: &str, flags: &[&str], command: &[&str]) -> Result<Trace, &'static str> {
    let mut tool = BPFRUN.command(&["run", "--json", &object(name)]);
    let output = tool.args(flags).arg("--").args(command).output().unwrap();
    if output.status.success() || in_vm() {
        return Ok(parse(&output));
    }
    let stderr = lossy(&output.stderr);
    eprintln!("{name} does not run here: {stderr}");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("nothing could be attached"), "{stderr}");
    if stderr.contains("this kernel has no kprobes") {
        return Err(skip::NO_KPROBES);
    }
    assert!(stderr.contains("refused: the kernel loads no "), "{stderr}");
    Err(skip::NOT_LOADED)
}

/// Waits until a process has attached so many programs.
fn wait_for_links(pid: u32, number: usize) {
    for _ in 0..6000 {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        let is_link = |target: &std::path::PathBuf| {
            let target = target.to_string_lossy();
            target.contains("bpf_link") || target.contains("bpf-raw-tracepoint")
        };
        if targets.filter(is_link).count() >= number {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("not attached");
}
