//! What a refusal may cost a tool, and what it did.

use std::collections::BTreeSet;

use libbpf_sys::{BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_RINGBUF};
use serde_json::Value;
use snoop_tools::elf::object::Object;

use super::modes::{Checked, Mode, words};
use super::objects::{is_refused, refused_names};
use super::policy::What;
use super::run::{Ran, Trace};
use crate::harness::{Tool, count_events};

/// What a tool does when nothing is refused.
pub struct Baseline {
    pub backend: Value,
    pub buffer: Value,
    pub not_shown: BTreeSet<String>,
    pub checked: Checked,
}

/// The outcome for one tool in one mode.
pub struct Verdict {
    /// For the table
    pub cell: String,
    /// What is not as it must be
    pub wrong: Vec<String>,
}

impl Verdict {
    /// Whether the tool need not be tried with other flags too: it does nothing any more, and
    /// rightly; or a single program is missing, or the ring buffer, and that would be the same.
    pub fn settles(&self, what: &What, mode: &Mode) -> bool {
        let adds_only = matches!(mode.tool.0, "mmapsnoop" | "procsnoop");
        let is_same = match what {
            What::Target { .. } => adds_only,
            What::Map(number) => adds_only && *number == BPF_MAP_TYPE_RINGBUF,
            _ => false,
        };
        self.wrong.is_empty() && (self.cell.starts_with("stops") || is_same)
    }
}

/// For each tool the ways to its main event, by their programs: it may stop if none is left.
fn ways(tool: Tool) -> &'static [&'static str] {
    match tool.0 {
        "execsnoop" => &["exec_done_btf", "exec_done_raw"],
        "tcpconnect" => &["state_btf", "state_raw"],
        "mmapsnoop" => &["fexit_mmap", "tp_mmap", "btf_sys_exit"],
        "procsnoop" => &["exit_btf", "exit_raw"],
        other => panic!("{other}"),
    }
}

/// Maps without which there is no main event, besides those of variables.
fn main_maps(tool: Tool) -> &'static [&'static str] {
    match tool.0 {
        "execsnoop" => &["exec_scratch"],
        "tcpconnect" => &["attempts"],
        "mmapsnoop" => &["mmap_scratch"],
        "procsnoop" => &["ended"],
        other => panic!("{other}"),
    }
}

/// The programs that know which processes are the command's.
const TREE: [&str; 2] = ["tree_fork", "tree_exit"];

/// Whether nothing is left by which a tool could do what it is for.
fn may_stop(object: &Object, mode: &Mode, what: &What) -> bool {
    if let What::Map(number) = *what {
        let is_of_type =
            |name: &str| object.maps.iter().any(|map| map.name == name && map.kind == number);
        let follows = !mode.command.is_empty() && is_of_type("filter_tree");
        let summary = mode.flags.contains(&"--summary") && is_of_type("mmap_processes");
        return number == BPF_MAP_TYPE_ARRAY
            || (number != BPF_MAP_TYPE_RINGBUF
                && (main_maps(mode.tool).iter().any(|name| is_of_type(name))
                    || follows
                    || summary));
    }
    let is_gone = |name: &&str| {
        let program = object.programs.iter().find(|program| program.name == **name);
        program.is_none_or(|program| is_refused(object, program, what))
    };
    // Without these, it would show what is not the command's.
    let mut tree = object.programs.iter().filter(|program| TREE.contains(&program.name.as_str()));
    let tree_is_gone = tree.any(|program| is_refused(object, program, what));
    ways(mode.tool).iter().all(is_gone) || (!mode.command.is_empty() && tree_is_gone)
}

/// Whether a text names the kernel's refusal.
pub fn names_eperm(text: &str) -> bool {
    text.contains("EPERM") || text.to_lowercase().contains("not permitted")
}

/// Causes that are none here.
const OTHER_CAUSES: [&str; 8] = [
    "tracefs is not mounted",
    "no BTF",
    "CAP_BPF",
    "CAP_PERFMON",
    "too old",
    "locked down",
    "ulimit",
    "paranoid",
];

impl Baseline {
    /// Fails if the mode does not do what it is for.
    pub fn of(mode: &Mode, ran: &Ran) -> Self {
        let trace = ran.trace().unwrap_or_else(|why| panic!("{why}: {ran:?}"));
        let checked = (mode.check)(&trace, &ran.truth);
        assert_eq!(checked.wrong, [""; 0], "{} {:?}: {trace:?}", mode.tool.0, mode.flags);
        let not_shown = entries(&trace.start["not_shown"], "what");
        let not_shown = not_shown.into_iter().map(|(what, _)| what).collect();
        let (backend, buffer) = (trace.start["backend"].clone(), trace.start["buffer"].clone());
        Self { backend, buffer, not_shown, checked }
    }

    /// What became of the mode when `what` was refused.
    pub fn judge(&self, object: &Object, mode: &Mode, what: &What, ran: &Ran) -> Verdict {
        let mut verdict = Verdict { cell: String::new(), wrong: Vec::new() };
        let wrong = &mut verdict.wrong;
        if ran.stderr.contains("panicked") {
            wrong.push("it panicked".to_owned());
        }
        verdict.cell = match (ran.status, ran.trace()) {
            (None, _) => {
                wrong.push("it hangs, or was killed".to_owned());
                "hangs".to_owned()
            }
            (Some(0 | 7), Ok(trace)) => self.judge_trace(mode, &trace, ran, wrong),
            (Some(1), _) => {
                judge_stop(object, mode, what, ran, wrong);
                stop_cell(object, what, &ran.stderr)
            }
            (Some(status), trace) => {
                let why = trace.err().unwrap_or_default();
                wrong.push(format!("exit status {status} {why}"));
                format!("exit status {status}")
            }
        };
        verdict
    }

    fn judge_trace(
        &self,
        mode: &Mode,
        trace: &Trace,
        ran: &Ran,
        wrong: &mut Vec<String>,
    ) -> String {
        let checked = (mode.check)(trace, &ran.truth);
        wrong.extend(checked.wrong.iter().map(|what| format!("main event: {what}")));
        for (key, expected) in
            [("lost", Value::from(0)), ("events", count_events(&trace.events).into())]
        {
            if trace.end[key] != expected {
                wrong.push(format!("{key} {} instead of {expected}", trace.end[key]));
            }
        }
        let not_shown = entries(&trace.start["not_shown"], "what");
        judge_not_shown(mode.tool, &not_shown, &ran.stderr, wrong);
        for gone in self.checked.shown.difference(&checked.shown) {
            if !not_shown.iter().any(|(what, _)| is_about(what, gone)) {
                wrong.push(format!("silently without {gone}"));
            }
        }
        let keys: Vec<_> =
            self.checked.keys.difference(&checked.keys).map(String::as_str).collect();
        if !keys.is_empty() && not_shown.is_empty() {
            wrong.push(format!("silently without {}", keys.join(", ")));
        }
        self.judge_backend(trace, wrong);
        self.cell(trace, &not_shown)
    }

    /// A worse backend than usual is one of which the better ones are said to be refused.
    fn judge_backend(&self, trace: &Trace, wrong: &mut Vec<String>) {
        let refused = entries(&trace.start["backends_refused"], "name");
        if trace.start["backend"] == self.backend {
            return;
        }
        match refused.iter().find(|(name, _)| *name == self.backend) {
            None => wrong.push(format!("backends_refused lacks {}", self.backend)),
            Some((_, reason)) if !names_eperm(reason) => {
                wrong.push(format!("backends_refused without EPERM: {reason}"));
            }
            Some(_) => {}
        }
    }

    fn cell(&self, trace: &Trace, not_shown: &[(String, String)]) -> String {
        let mut parts = Vec::new();
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        if trace.start["backend"] != self.backend {
            parts.push(format!("other backend: {}", text(&trace.start["backend"])));
        }
        if trace.start["buffer"] != self.buffer {
            parts.push(format!("other buffer: {}", text(&trace.start["buffer"])));
        }
        let not_shown = not_shown.iter().filter(|(what, _)| !self.not_shown.contains(what));
        parts.extend(not_shown.map(|(what, _)| format!("not shown: {what}")));
        if parts.is_empty() { "nothing lost".to_owned() } else { parts.join("; ") }
    }
}

/// The pairs of a list of objects such as `{"what": …, "reason": …}`.
fn entries(list: &Value, key: &str) -> Vec<(String, String)> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.iter().map(|entry| (text(&entry[key]), text(&entry["reason"]))).collect()
}

/// Whether a message that `what` is not shown covers that `gone` is not.
fn is_about(what: &str, gone: &'static str) -> bool {
    let text = what.to_lowercase();
    let is_less = text.contains("32") && !words(gone).contains(&"32");
    // What is not shown of anybody is not shown of 32-bit programs either.
    let all_of = ["failed executions", "attempts that fail before a syn"];
    let is_more = words(gone).contains(&"32") && all_of.iter().any(|all| text.starts_with(all));
    is_more || (!is_less && words(gone).iter().any(|word| text.contains(word)))
}

/// Each has its line on stderr, and a reason that is the kernel's.
fn judge_not_shown(
    tool: Tool,
    not_shown: &[(String, String)],
    stderr: &str,
    wrong: &mut Vec<String>,
) {
    let prefix = format!("{}: not shown: ", tool.0);
    let lines: BTreeSet<_> =
        stderr.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect();
    let expected: BTreeSet<_> =
        not_shown.iter().map(|(what, reason)| format!("{what}: {reason}")).collect();
    if lines != expected {
        wrong.push(format!("not_shown is {expected:?}, stderr has {lines:?}"));
    }
    let unexplained = not_shown.iter().filter(|(what, why)| what.is_empty() || !names_eperm(why));
    wrong.extend(unexplained.map(|(what, why)| format!("not shown: {what}: not EPERM: {why}")));
}

fn judge_stop(object: &Object, mode: &Mode, what: &What, ran: &Ran, wrong: &mut Vec<String>) {
    if !may_stop(object, mode, what) {
        wrong.push("it stops, though a way is left".to_owned());
    }
    if !ran.stdout.is_empty() {
        wrong.push("it stops after its start record".to_owned());
    }
    let stderr = &ran.stderr;
    if stderr.lines().count() != 1 || !stderr.starts_with(&format!("{}: ", mode.tool.0)) {
        wrong.push("not one line on stderr".to_owned());
    }
    if !names_eperm(stderr) {
        wrong.push("EPERM is not named".to_owned());
    }
    if named(object, what, stderr).is_empty() {
        wrong.push("what was refused is not named".to_owned());
    }
    let others = OTHER_CAUSES.iter().filter(|cause| stderr.contains(**cause));
    wrong.extend(others.map(|cause| format!("it blames another cause: {cause}")));
}

/// The programs and maps that a message names, of those that were refused.
fn named(object: &Object, what: &What, text: &str) -> Vec<String> {
    let mut names = refused_names(object, what);
    names.retain(|name| text.contains(name.as_str()));
    names
}

fn stop_cell(object: &Object, what: &What, stderr: &str) -> String {
    let names = named(object, what, stderr);
    if names.is_empty() { "stops".to_owned() } else { format!("stops: {}", names.join(", ")) }
}
