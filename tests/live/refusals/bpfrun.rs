//! bpfrun: of an object's programs only those are missing that were refused.

use serde_json::Value;
use snoop_tools::elf::object::Object;

use super::judge::{Verdict, names_eperm};
use super::objects::is_refused;
use super::policy::What;
use super::run::Ran;
use crate::harness::*;

const BPFRUN: Tool = Tool("bpfrun");

/// Runs an object with a program of each kind around an execution.
pub fn run() -> Ran {
    let flags =
        ["run", "--json", "--maps", "--all-variants", &object("kinds"), "--", &fixture("argv")];
    Ran::of_command(&mut BPFRUN.command(&flags))
}

/// What became of it when `what` was refused; `None`: nothing is.
pub fn judge(object: &Object, what: Option<&What>, ran: &Ran) -> Verdict {
    let is_refused = |name: &str| {
        let program = object.programs.iter().find(|program| program.name == name);
        what.zip(program).is_some_and(|(what, program)| is_refused(object, program, what))
    };
    let mut wrong = Vec::new();
    if ran.stderr.contains("panicked") {
        wrong.push("it panicked".to_owned());
    }
    let refused: Vec<_> =
        object.programs.iter().map(|p| p.name.as_str()).filter(|n| is_refused(n)).collect();
    let trace = match (ran.status, ran.trace()) {
        (Some(0), Ok(trace)) => trace,
        (status, trace) => {
            judge_stop(object, &refused, ran, &mut wrong);
            if status != Some(1) {
                wrong.push(format!("exit status {status:?} {}", trace.err().unwrap_or_default()));
            }
            return Verdict { cell: "stops: nothing could be attached".to_owned(), wrong };
        }
    };
    let mut missing = Vec::new();
    for program in trace.start["programs"].as_array().unwrap() {
        let name = program["name"].as_str().unwrap();
        let has_run = has_run(name, &trace.events);
        if !has_run {
            missing.push(name);
        }
        wrong.extend(judge_program(name, program, is_refused(name), has_run, &ran.stderr));
    }
    let cell = match &missing[..] {
        [] => "nothing lost".to_owned(),
        missing => format!("refused: {}", missing.join(", ")),
    };
    Verdict { cell, wrong }
}

/// It runs unless it was refused, and then the kernel's reason is there.
fn judge_program(
    name: &str,
    program: &Value,
    is_refused: bool,
    has_run: bool,
    stderr: &str,
) -> Option<String> {
    let attached = program["state"] == "attached";
    let reason = program["reason"].as_str().unwrap_or_default();
    match (attached, has_run) {
        // If it was refused, libbpf knows another way.
        (true, true) => None,
        (true, false) if is_refused && is_said(&format!("bpfrun: {name}: "), stderr) => None,
        (true, false) => Some(format!("{name} has not run")),
        (false, true) => Some(format!("{name} is not attached, and has run")),
        (false, false) if !is_refused => {
            Some(format!("{name} is {}, and was not refused: {reason}", program["state"]))
        }
        (false, false) if names_eperm(reason) || names_map(reason, stderr) => None,
        (false, false) => Some(format!("{name} is refused without EPERM: {reason}")),
    }
}

/// Whether a line that begins so names the kernel's refusal.
fn is_said(prefix: &str, stderr: &str) -> bool {
    stderr.lines().any(|line| line.starts_with(prefix) && names_eperm(line))
}

/// Whether a reason names a map that was refused.
fn names_map(reason: &str, stderr: &str) -> bool {
    let lines = stderr.lines().filter(|line| names_eperm(line));
    let maps = lines.filter_map(|line| line.strip_prefix("bpfrun: map ")?.split(':').next());
    maps.into_iter().any(|map| reason.contains(map))
}

/// Each counts its runs in a variable, the iterator sends an event.
fn has_run(name: &str, events: &[Value]) -> bool {
    let variable = match name.strip_prefix("on_") {
        None => {
            return events
                .iter()
                .any(|event| event["bpf"]["map"] == name || event["bpf"]["program"] == name);
        }
        Some(kind) => format!("{kind}_runs"),
    };
    events.iter().any(|event| event["value"][&variable].as_u64().is_some_and(|runs| runs > 0))
}

/// It may stop only if nothing is left, and its table says why.
fn judge_stop(object: &Object, refused: &[&str], ran: &Ran, wrong: &mut Vec<String>) {
    if refused.len() < object.programs.len() {
        wrong.push("it stops, though programs are left".to_owned());
    }
    if !ran.stdout.is_empty() {
        wrong.push("it stops after its start record".to_owned());
    }
    let explained = |name: &&str| {
        let is_about = |line: &&str| line.split_whitespace().next() == Some(name);
        ran.stderr.lines().find(is_about).is_some_and(names_eperm)
    };
    if !refused.iter().all(explained) {
        wrong.push("the table does not say EPERM for each program".to_owned());
    }
}
