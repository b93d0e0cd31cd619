//! The useful ways to run each tool, with work whose events are known.

use std::any::Any;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::run::Trace;
use crate::harness::*;
use crate::netns::loopback;
use crate::tcpconnect::{errors, sockets};

/// One way to run a tool.
pub struct Mode {
    pub tool: Tool,
    pub flags: &'static [&'static str],
    /// A command for the tool to run; otherwise it is started before the work and ended after
    pub command: Vec<String>,
    /// Called before the tool starts
    pub prepare: fn() -> Work,
    pub check: fn(&Trace, &Value) -> Checked,
}

/// What happens while the tool runs. Returns what did, for [`Mode::check`]; and what has to
/// stay until the tool has ended.
pub type Work = Box<dyn FnOnce() -> (Value, Box<dyn Any>)>;

/// What a trace shows of the work.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is wrong with the tool's main events
    pub wrong: Vec<String>,
    /// What else is there, by words that a message uses if it is not
    pub shown: BTreeSet<&'static str>,
    /// Where in the rows there are values
    pub keys: BTreeSet<String>,
}

impl Checked {
    fn main(&mut self, what: &str, rows: &[&Value], is_right: impl Fn(&Value) -> bool) {
        match rows {
            [row] if is_right(row) => {}
            [row] => self.wrong.push(format!("{what}: {row}")),
            [] => self.wrong.push(format!("{what}: no row")),
            rows => self.wrong.push(format!("{what}: {} rows", rows.len())),
        }
        rows.iter().for_each(|row| self.add_keys(row, String::new()));
    }

    fn add_keys(&mut self, value: &Value, path: String) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    self.add_keys(value, format!("{path}.{key}"));
                }
            }
            _ => drop(self.keys.insert(path)),
        }
    }

    fn extra(&mut self, what: &'static str, is_shown: bool) {
        if is_shown {
            self.shown.insert(what);
        }
    }
}

/// Words of which a message about something that is not shown has one.
pub fn words(what: &'static str) -> &'static [&'static str] {
    match what {
        "failed executions" => &["fail"],
        "attempts from before" => &["before", "earlier", "older"],
        "pending attempts" => &["pending", "without an answer", "at the end"],
        "errors without a SYN" => &["error", "syn"],
        "errors of fast open" => &["fast", "error", "syn"],
        "errors by security modules" => &["security", "error", "syn"],
        "calls of 32-bit programs" => &["32"],
        "the mapping" => &["mapping", "vma"],
        "latency" => &["latency", "duration"],
        "stacks" => &["stack"],
        "senders of signals" => &["sender", "signal", "who"],
        "executions" => &["exec", "command"],
        "births" => &["birth", "fork"],
        "final accounts" => &["account", "usage", "used"],
        "ends of threads" => &["thread"],
        "memory.unmap" => &["munmap", "unmap"],
        "memory.protect" => &["mprotect", "protect"],
        "memory.remap" => &["mremap", "remap"],
        "memory.break" => &["brk", "break"],
        "memory.advise" => &["madvise", "advise"],
        other => panic!("no words for {other}"),
    }
}

/// All modes of a tool.
pub fn of(tool: Tool) -> Vec<Mode> {
    let mode = |flags, prepare, check| Mode { tool, flags, command: Vec::new(), prepare, check };
    match tool.0 {
        "execsnoop" => {
            let mut command = mode(&[], no_work, check_exec);
            command.command = [&fixture("argv"), "one", "two words"].map(str::to_owned).into();
            vec![mode(&[], execs, check_exec), command, mode(&["-x"], execs, check_exec)]
        }
        "tcpconnect" => vec![
            mode(&[], connects, check_errors),
            mode(&["--sync-errors"], connects, check_errors),
        ],
        "mmapsnoop" => {
            let flags: [&[&str]; 5] = [&[], &["--all"], &["--vma"], &["--latency"], &["--stacks"]];
            let mut modes: Vec<_> =
                flags.map(|flags| mode(flags, maps, check_maps)).into_iter().collect();
            modes.push(mode(&["--summary", "3600"], maps, check_summary));
            modes
        }
        "procsnoop" => {
            let mut command = mode(&[], no_work, check_command);
            command.command = ["sh", "-c", "exit 7"].map(str::to_owned).into();
            let all = &["--fork", "--threads", "--usage"];
            vec![mode(&[], ends, check_ends), command, mode(all, ends, check_ends)]
        }
        other => panic!("{other}"),
    }
}

fn no_work() -> Work {
    Box::new(|| (Value::Null, Box::new(())))
}

fn execs() -> Work {
    Box::new(|| {
        run("argv", &["one", "two words"]);
        let failing = Command::new(fixture("execer")).args(["exec", "/no/such/file", "x"]).status();
        assert_eq!(failing.unwrap().code(), Some(1));
        let failing = Command::new(fixture("tiny32")).arg("/no/such/file32").status();
        assert_eq!(failing.unwrap().code(), Some(1));
        (Value::Null, Box::new(()))
    })
}

fn check_exec(trace: &Trace, _: &Value) -> Checked {
    let mut checked = Checked::default();
    let is_argv =
        |row: &&Value| row["event"]["name"] == "process.exec" && row["process"]["comm"] == "argv";
    let args = json!([fixture("argv"), "one", "two words"]);
    checked.main("argv", &trace.rows(is_argv), |row| row["process"]["command_args"] == args);
    for (what, file) in
        [("failed executions", "/no/such/file"), ("calls of 32-bit programs", "/no/such/file32")]
    {
        let failures = trace.rows(|row| row["exec"]["filename"] == file);
        let is_right = |row: &&Value| row["error"]["type"] == "ENOENT";
        checked.extra(what, failures.len() == 1 && failures.iter().all(is_right));
    }
    checked
}

fn connects() -> Work {
    let (hole, silent) = sockets::black_hole(loopback(1));
    let earlier = sockets::tcp(silent.ip());
    assert_eq!(sockets::begin(&earlier, silent), libc::EINPROGRESS);
    Box::new(move || {
        let (listener, answers) = sockets::listener(loopback(2));
        let (closed, refuses) = sockets::closed_port(loopback(3));
        let unreachable = |port| SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).into(), port);
        let (nowhere, by_fast_open, forbidden) = (unreachable(9), unreachable(10), unreachable(11));
        let pending = sockets::tcp(silent.ip());
        assert_eq!(sockets::begin(&pending, silent), libc::EINPROGRESS);
        assert_eq!(sockets::connect(&sockets::tcp(answers.ip()), answers), 0);
        assert_eq!(sockets::connect(&sockets::tcp(answers.ip()), refuses), libc::ECONNREFUSED);
        assert_eq!(sockets::connect(&sockets::tcp(answers.ip()), nowhere), libc::ENETUNREACH);
        let socket = sockets::tcp(nowhere.ip());
        let sent = socket.send_to_with_flags(b"x", &by_fast_open.into(), libc::MSG_FASTOPEN);
        assert_eq!(sockets::errno(sent.map(drop)), libc::ENETUNREACH);
        let forbidden = std::thread::spawn(move || {
            errors::restrict_this_thread();
            sockets::connect(&sockets::tcp(forbidden.ip()), forbidden)
        });
        assert_eq!(forbidden.join().unwrap(), libc::EACCES);
        run("dial32", &[]);
        drop(earlier);
        let ports = [silent, answers, refuses].map(|address| address.port());
        (json!(ports), Box::new((hole, listener, closed, pending)))
    })
}

fn has_failed(row: &Value, errno: &str) -> bool {
    row["connect"]["outcome"] == "failed" && row["error"]["type"] == errno
}

fn check_connects(trace: &Trace, ports: &Value) -> Checked {
    let to = |index: usize| trace.rows(|row| row["network"]["peer"]["port"] == ports[index]);
    let mut checked = Checked::default();
    checked.main("established", &to(1), |row| row["connect"]["outcome"] == "established");
    checked.main("refused", &to(2), |row| has_failed(row, "ECONNREFUSED"));
    let silent = to(0);
    let earlier = |row: &&&Value| row["connect"]["earlier"] == true;
    let pending = |row: &&Value| row["connect"]["outcome"] == "pending" && !earlier(&row);
    checked.extra("attempts from before", silent.iter().filter(earlier).count() == 1);
    checked.extra("pending attempts", silent.iter().filter(|row| pending(row)).count() == 1);
    checked
}

/// Without the flag, errors before a SYN are shown only where that costs nothing.
fn check_errors(trace: &Trace, ports: &Value) -> Checked {
    let mut checked = check_connects(trace, ports);
    for (what, port, errno, calls) in [
        ("errors without a SYN", 9, "ENETUNREACH", 1),
        ("errors of fast open", 10, "ENETUNREACH", 1),
        ("errors by security modules", 11, "EACCES", 1),
        ("calls of 32-bit programs", 80, "ENETUNREACH", 2),
    ] {
        let rows = trace.rows(|row| row["network"]["peer"]["port"] == port);
        let is_right = |row: &&Value| has_failed(row, errno);
        checked.extra(what, rows.len() == calls && rows.iter().all(is_right));
    }
    checked
}

fn maps() -> Work {
    Box::new(|| {
        let dir = TempDir::new();
        let truth = dir.path("truth");
        let mut mapper = Command::new(fixture("mapper"));
        assert!(mapper.arg("others").env("MAPPER_OUT", &truth).status().unwrap().success());
        run("mapper", &["loop", "10"]);
        run("map32", &[]);
        let truth = std::fs::read_to_string(truth).unwrap();
        // NAME ARG*6 RESULT PATH
        let call = truth.lines().find(|line| line.starts_with("mmap ")).unwrap();
        let words: Vec<_> = call.split(' ').collect();
        let number = |index: usize| u64::from_str_radix(words[index], 16).unwrap();
        (json!({ "length": number(2), "address": format!("0x{:x}", number(7)) }), Box::new(()))
    })
}

fn check_maps(trace: &Trace, call: &Value) -> Checked {
    let mut checked = Checked::default();
    let of_mapper = |row: &&Value| row["process"]["comm"] == "mapper";
    let named = |name: &str| trace.rows(|row| of_mapper(row) && row["event"]["name"] == name);
    let maps = named("memory.map");
    let ours: Vec<_> =
        maps.iter().filter(|row| row["mmap"]["length_bytes"] == call["length"]).copied().collect();
    checked.main("mmap", &ours, |row| {
        row["mmap"]["address"] == call["address"]
            && row["mmap"]["flags"] == json!(["PRIVATE", "ANONYMOUS"])
    });
    let failed = maps.iter().filter(|row| row["error"]["type"].is_string()).count();
    if failed < 10 {
        checked.wrong.push(format!("{failed} of 10 mmaps that fail"));
    }
    let by_32_bit = trace.rows(|row| row["mmap"]["compat"] == true);
    checked.extra("calls of 32-bit programs", by_32_bit.len() >= 2);
    let has = |pointer| ours.iter().any(|row| row.pointer(pointer).is_some());
    checked.extra("the mapping", has("/mmap/vma"));
    checked.extra("latency", has("/mmap/duration_ns"));
    checked.extra("stacks", has("/stack/user/0") && has("/stack/kernel/0"));
    for (name, calls) in [
        ("memory.unmap", 2),
        ("memory.protect", 5),
        ("memory.remap", 4),
        ("memory.break", 3),
        ("memory.advise", 2),
    ] {
        // Its start may make some of them too.
        checked.extra(name, named(name).len() >= calls);
    }
    checked
}

fn check_summary(trace: &Trace, _: &Value) -> Checked {
    let mut checked = Checked::default();
    let named = |name: &str| trace.rows(|row| row["event"]["name"] == name);
    let processes = named("memory.summary.process");
    let mappers = processes.iter().filter(|row| row["process"]["comm"] == "mapper");
    let failed: u64 = mappers.map(|row| row["summary"]["failed"].as_u64().unwrap()).sum();
    checked.main("summary", &named("memory.summary.total"), |row| {
        failed >= 10 && row["summary"]["calls"].as_u64() > Some(failed)
    });
    checked.keys.clear(); // there are no rows whose keys could be missing
    checked
}

fn ends() -> Work {
    Box::new(|| {
        let mut failing = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        assert_eq!(failing.wait().unwrap().code(), Some(7));
        let mut victim = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
        victim.kill().unwrap();
        assert_eq!(victim.wait().unwrap().signal(), Some(libc::SIGKILL));
        run("lives", &["leader", "1"]);
        (json!([failing.id(), victim.id()]), Box::new(()))
    })
}

fn check_ends(trace: &Trace, pids: &Value) -> Checked {
    let mut checked = Checked::default();
    let named = |name: &str, index: usize| {
        trace.rows(|row| row["event"]["name"] == name && row["process"]["pid"] == pids[index])
    };
    let exits = [named("process.exit", 0), named("process.exit", 1)];
    checked.main("exit 7", &exits[0], |row| row["process"]["exit"]["code"] == 7);
    checked.main("killed", &exits[1], |row| row["process"]["exit"]["signal"] == "SIGKILL");
    let rows = || exits.iter().flatten();
    checked.extra(
        "senders of signals",
        rows().any(|row| row["process"]["exit"]["sender"]["pid"] == std::process::id()),
    );
    checked.extra("executions", named("process.exec", 0).len() == 1);
    checked.extra("births", named("process.fork", 0).len() == 1);
    let is_final = |row: &&&Value| row["process"]["usage_incomplete"] != true;
    let has_usage = |row: &&&Value| row["process"]["cpu"].is_object();
    checked.extra("final accounts", rows().filter(has_usage).filter(is_final).count() == 2);
    let threads = trace
        .rows(|row| row["process"]["comm"] == "lives" && row["event"]["name"] == "thread.exit");
    checked.extra("ends of threads", !threads.is_empty());
    checked
}

fn check_command(trace: &Trace, _: &Value) -> Checked {
    let mut checked = Checked::default();
    let exits = trace.rows(|row| row["event"]["name"] == "process.exit");
    checked.main("the command", &exits, |row| row["process"]["exit"]["code"] == 7);
    let execs = trace.rows(|row| row["event"]["name"] == "process.exec");
    checked.extra("executions", execs.len() == 1);
    checked
}
