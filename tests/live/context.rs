//! Identity, `--login` and `--ancestors`: in every tool, and against what /proc says.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

const EXECSNOOP: Tool = Tool("execsnoop");

fn each_way(test: impl Fn(Setup)) {
    over(&EXECSNOOP.backends(&["tp_btf", "raw_tp"], &[]), test);
}

/// What `origin facts` has written.
pub struct Facts {
    values: HashMap<String, i64>,
    /// Id, birth in ticks, name; the parent first
    above: Vec<(u64, u64, String)>,
}

impl Facts {
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let (mut values, mut above) = (HashMap::new(), Vec::new());
        for line in text.lines() {
            let (key, value) = line.split_once('=').unwrap();
            if key == "above" {
                let mut parts = value.splitn(3, ' ');
                let mut number = || parts.next().unwrap().parse().unwrap();
                let (pid, start) = (number(), number());
                above.push((pid, start, parts.next().unwrap().to_owned()));
            } else {
                values.insert(key.to_owned(), value.parse().unwrap());
            }
        }
        Self { values, above }
    }

    /// A number; -1 in 32 bits is none.
    pub fn number(&self, key: &str) -> Option<i64> {
        Some(self.values[key]).filter(|number| *number != -1 && *number != 4_294_967_295)
    }

    /// None for what the first process started without setsid(): it is in session 0.
    pub fn session(&self) -> Option<i64> {
        self.number("session").filter(|session| *session != 0)
    }
}

/// The last row of the process that wrote `facts`.
pub fn row_of<'t>(trace: &'t Trace, facts: &Facts) -> &'t Value {
    // (A record of lost events has no process.)
    let is_its = |row: &&Value| row["process"]["pid"].as_i64() == facts.number("pid");
    trace.events.iter().rfind(is_its).unwrap_or_else(|| panic!("{trace:?}"))
}

/// Runs `origin MODE... facts FILE argv`, and returns the row of its last execution.
fn traced(setup: Setup, flags: &[&str], mode: &[&str]) -> (Value, Facts) {
    let dir = TempDir::new();
    let (origin, argv, file) = (fixture("origin"), fixture("argv"), dir.path("facts"));
    let facts = [&origin[..], "facts", &file, &argv];
    let command: Vec<_> =
        if mode.is_empty() { facts.to_vec() } else { [&[&origin[..]], mode, &facts].concat() };
    let trace = EXECSNOOP.trace(setup, flags, &command);
    assert_eq!(trace.status, 0, "{trace:?}");
    let facts = Facts::read(&file);
    (row_of(trace.is_complete(), &facts).clone(), facts)
}

/// A time of birth in ticks, as /proc has it.
fn ticks(boot_ns: &Value) -> u64 {
    boot_ns.as_u64().unwrap_or_else(|| panic!("{boot_ns}")) / 10_000_000
}

fn assert_chain(row: &Value, above: &[(u64, u64, String)]) {
    let chain = row["process"]["ancestors"].as_array().unwrap_or_else(|| panic!("{row}"));
    let seen: Vec<_> = chain
        .iter()
        .map(|one| {
            let comm = one["comm"].as_str().unwrap().to_owned();
            (one["pid"].as_u64().unwrap(), ticks(&one["start_boot_ns"]), comm)
        })
        .collect();
    assert_eq!(seen, above, "{row}");
    assert_eq!(row["process"]["parent_pid"], above[0].0);
    assert_eq!(row["process"]["parent_start_boot_ns"], chain[0]["start_boot_ns"]);
    assert_eq!(row["process"]["parent"]["creation"], chain[0]["creation"]);
}

#[test]
fn the_run_says_which_machine_and_which_boot() {
    let trace = parse(&EXECSNOOP.command(&["--json", "--", "/bin/true"]).output().unwrap());
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(trace.start["host"]["boot"]["id"], boot.trim());
    match fs::read_to_string("/etc/machine-id") {
        Ok(id) if id.trim().len() == 32 => assert_eq!(trace.start["host"]["id"], id.trim()),
        _ => assert_eq!(trace.start["host"].get("id"), None),
    }
    assert!(trace.start["host"]["name"].is_string());
}

/// Rows of the process with this comm, by its identity.
fn identities(trace: &Trace, comm: &str) -> Vec<(u64, String)> {
    let of = |row: &Value| {
        let time = row["process"]["creation"]["time"].as_str();
        (pid(row), time.unwrap_or_else(|| panic!("{row}")).to_owned())
    };
    let mut all: Vec<_> = trace.of(comm).into_iter().map(of).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn all_tools_give_a_process_the_same_identity() {
    let dir = TempDir::new();
    // The kernel truncates a name to 15 bytes.
    let comm = format!("id{}", std::process::id());
    // The process of a script has its name.
    let script = dir.program(&comm, b"#!/bin/sh\nkill -CONT $$\nexit 0\n");
    let tools = ["execsnoop", "killsnoop", "mmapsnoop", "procsnoop"];
    let start = |tool: &&'static str| {
        // A static shell maps nothing, but its heap grows.
        let all: &[&str] = if *tool == "mmapsnoop" { &["--all"] } else { &[] };
        Tool(tool).start(&[&["--json", "--comm", &comm], all].concat())
    };
    let running: Vec<_> = tools.iter().map(start).collect();
    let origin = fixture("origin");
    let mut twice = Command::new(&origin);
    twice.args(["twice", &script]).stdin(Stdio::null());
    let status = twice.status().unwrap();
    assert!(status.success(), "a kernel with clone3()");
    let traces: Vec<_> = running
        .into_iter()
        .map(|tool| {
            tool.settle();
            tool.stop()
        })
        .collect();
    let expected = identities(&traces[0], &comm);
    assert_eq!(expected.len(), 2, "two processes with one id: {expected:?}");
    assert_eq!(expected[0].0, expected[1].0, "{expected:?}");
    for (tool, trace) in tools.iter().zip(&traces) {
        assert_eq!(identities(trace, &comm), expected, "{tool}");
        for row in trace.of(&comm) {
            assert!(row["process"]["parent"]["creation"]["time"].is_string(), "{row}");
        }
    }
    // What a process did to itself has the same identity twice.
    let signals = traces[1].of(&comm);
    let to_itself = signals.iter().filter(|row| row["signal"]["name"] == "SIGCONT");
    let mut count = 0;
    for row in to_itself {
        assert_eq!(row["signal"]["target"]["creation"], row["process"]["creation"], "{row}");
        assert_eq!(row["signal"]["target"]["start_boot_ns"], row["process"]["start_boot_ns"]);
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn connections_have_the_identity_of_their_process() {
    let dial = fixture("dial");
    let exec = EXECSNOOP.start(&["--json", "--comm", "dial"]);
    let connect = Tool("tcpconnect").start(&["--json", "--comm", "dial"]);
    Command::new(dial).args(["127.0.0.1", "1"]).stdout(Stdio::null()).status().unwrap();
    exec.settle();
    connect.settle();
    let (exec, connect) = (exec.stop(), connect.stop());
    let seen = identities(&connect, "dial");
    assert!(!seen.is_empty(), "{connect:?}");
    let executed = identities(&exec, "dial");
    assert!(seen.iter().all(|one| executed.contains(one)), "{seen:?} {executed:?}");
}

#[test]
fn who_is_behind_a_process() {
    if !std::path::Path::new("/proc/self/loginuid").exists() {
        skip!(skip::NO_AUDIT);
    }
    each_way(|setup| {
        let (row, facts) = traced(setup, &["--login"], &["groups", "7", "8"]);
        let process = &row["process"];
        assert_eq!(process["login_user"]["id"].as_i64(), facts.number("loginuid"), "{row}");
        assert_eq!(process["audit_session"]["id"].as_i64(), facts.number("sessionid"));
        assert_eq!(process["session_leader"]["pid"].as_i64(), facts.session(), "{row}");
        assert_eq!(process["group_leader"]["pid"].as_i64(), facts.number("pgrp"), "{row}");
        assert_eq!((&process["real_group"]["id"], &process["group"]["id"]), (&7.into(), &8.into()));
        assert_eq!(process["user"]["id"], 0);
        if fs::read_to_string("/etc/passwd").is_ok_and(|text| text.contains("root:x:0:")) {
            assert_eq!(process["user"]["name"], "root", "{row}");
            assert_eq!(process["real_user"]["name"], "root", "{row}");
        }
        assert_eq!(process.get("context_missing"), None);
        assert_eq!(process.get("ancestors"), None, "not asked for");

        let (row, facts) = traced(setup, &["--login"], &["login", "4321"]);
        assert_eq!(facts.number("loginuid"), Some(4321));
        assert_eq!(row["process"]["login_user"]["id"], 4321, "{row}");
        assert_eq!(row["process"]["login_user"].get("name"), None, "{row}");
        let session = facts.number("sessionid");
        assert!(session.is_some());
        assert_eq!(row["process"]["audit_session"]["id"].as_i64(), session, "{row}");

        let (row, facts) = traced(setup, &["--login"], &["pty"]);
        assert_ne!(facts.number("tty"), Some(0));
        let number = facts.number("tty").unwrap() & 0xff;
        assert_eq!(row["process"]["tty"]["name"], format!("pts/{number}"), "{row}");
        assert_eq!(row["process"]["interactive"], true);
        let leader = &row["process"]["session_leader"];
        assert_eq!(leader["pid"], row["process"]["pid"], "{row}");
        assert_eq!(leader["creation"], row["process"]["creation"], "{row}");
    });
}

#[test]
fn nothing_is_told_that_was_not_asked_for() {
    let (row, _) = traced(Setup { backend: "tp_btf", buffer: "ring" }, &[], &[]);
    for key in ["login_user", "session_leader", "group", "tty", "interactive", "ancestors"] {
        assert_eq!(row["process"].get(key), None, "{row}");
    }
    let refused = EXECSNOOP.command(&["-o", "pid,login"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(lossy(&refused.stderr).contains("the column login needs --login"));
}

#[test]
fn the_chain_is_that_of_the_moment() {
    each_way(|setup| {
        for mode in [&[][..], &["deep", "9"], &["thread"], &["orphan"]] {
            let (row, facts) = traced(setup, &["--ancestors"], mode);
            assert_chain(&row, &facts.above);
            assert_eq!(row["process"].get("ancestors_cut"), None, "{row}");
            let last = facts.above.last().unwrap();
            assert_eq!(last.0, 1, "up to the first process: {row}");
        }
        let (row, facts) = traced(setup, &["--ancestors=2"], &["deep", "9"]);
        assert_chain(&row, &facts.above[..2]);
        assert_eq!(row["process"]["ancestors_cut"], true, "{row}");

        let (row, facts) = traced(setup, &["--ancestors"], &["deep", "70"]);
        assert!(facts.above.len() > 70);
        assert_chain(&row, &facts.above[..64]);
        assert_eq!(row["process"]["ancestors_cut"], true, "more than there is room for: {row}");
    });
}

#[test]
fn a_chain_as_long_as_there_is_room_is_whole() {
    // That of the process itself, and then so many more that there are 63, 64 and 65.
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let (_, facts) = traced(setup, &[], &["deep", "1"]);
    let least = facts.above.len();
    for more in [63, 64, 65] {
        let (row, facts) =
            traced(setup, &["--ancestors"], &["deep", &(1 + more - least).to_string()]);
        assert_eq!(facts.above.len(), more);
        assert_chain(&row, &facts.above[..more.min(64)]);
        let is_cut = row["process"].get("ancestors_cut").is_some();
        assert_eq!(is_cut, more > 64, "{more}: {row}");
    }
}

#[test]
fn a_chain_as_text() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let dir = TempDir::new();
    let file = dir.path("facts");
    let (origin, argv) = (fixture("origin"), fixture("argv"));
    let mut tool = EXECSNOOP.command(&setup.flags());
    let command =
        ["--ancestors", "--login", "--", &origin, "deep", "2", &origin, "facts", &file, &argv];
    let output = tool.args(command).output().unwrap();
    let facts = Facts::read(&file);
    let names = facts.above.iter().rev().map(|(pid, _, comm)| {
        let mut shown = String::new();
        snoop_tools::output::escape::push_cell(&mut shown, comm.as_bytes());
        format!("{shown}({pid})")
    });
    let chain = format!(" # {}", names.collect::<Vec<_>>().join(" > "));
    let text = lossy(&output.stdout);
    let heading = text.lines().next().unwrap();
    assert!(heading.contains("LOGIN") && heading.ends_with("ANCESTORS"), "{heading}");
    let last = text.lines().rfind(|line| line.contains(" argv ")).unwrap();
    assert!(last.ends_with(&chain), "{last}\n{chain}");
}

#[test]
fn command_lines_of_ancestors() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let argv = fixture("argv");
    // Those of older processes come from /proc, if a helper answers in time: on a busy machine it
    // is asked again at the next event.
    let script = format!("for i in 1 2 3 4 5 6 7 8; do {argv} x; sleep 0.3; done; true");
    let trace = EXECSNOOP.trace(setup, &["--ancestors"], &["/bin/sh", "-c", &script]);
    let rows = trace.is_complete().of("argv");
    assert_eq!(rows.len(), 8);
    let own = fs::read("/proc/self/cmdline").unwrap();
    let mut told = 0;
    for row in rows {
        let chain = row["process"]["ancestors"].as_array().unwrap();
        let shell = serde_json::json!(["/bin/sh", "-c", script]);
        assert_eq!(chain[0]["command_args"], shell, "seen when it was executed: {row}");
        let is_us = |one: &&Value| one["pid"] == std::process::id();
        let us = chain.iter().find(is_us).unwrap_or_else(|| panic!("{row}"));
        let Some(args) = us["command_args"].as_array() else { continue };
        let args: String = args.iter().map(|arg| format!("{}\0", arg.as_str().unwrap())).collect();
        assert_eq!(args.into_bytes(), own);
        told += 1;
    }
    // A longer one is not read, such as one that names many tests.
    const MOST: usize = 4096;
    assert_eq!(told > 0, own.len() <= MOST, "{trace:?}");
}

#[test]
fn only_what_is_below_one_process() {
    each_way(|setup| {
        let dir = TempDir::new();
        let comm = format!("up{}", std::process::id() % 1_000_000);
        let (argv, origin) = (fixture("argv"), fixture("origin"));
        let text = format!("#!/bin/sh\n{argv} a; {origin} deep 3 {argv} b; true\n");
        let script = format!("{}; {argv} c; true", dir.program(&comm, text.as_bytes()));
        let words = |trace: &Trace| {
            let args = |row: &&Value| row["process"]["command_args"][1].as_str().map(str::to_owned);
            trace.of("argv").iter().filter_map(args).collect::<Vec<_>>()
        };
        let all = EXECSNOOP.trace(setup, &[], &["/bin/sh", "-c", &script]);
        assert_eq!(words(&all), ["a", "b", "c"]);
        let below = EXECSNOOP.trace(setup, &["--ancestor", &comm], &["/bin/sh", "-c", &script]);
        assert_eq!(words(&below), ["a", "b"], "{below:?}");
        assert_eq!(below.of(&comm).len(), 0, "it is not below itself");
        let nobody = EXECSNOOP.trace(setup, &["--ancestor", "nobody"], &["/bin/sh", "-c", &script]);
        assert!(nobody.events.is_empty(), "{nobody:?}");

        let ours = std::process::id().to_string();
        let below = EXECSNOOP.trace(setup, &["--ancestor", &ours], &["/bin/sh", "-c", &script]);
        assert_eq!(words(&below), ["a", "b", "c"]);
    });
}

#[test]
fn every_tool_tells_it() {
    let own = u64::from(std::process::id());
    let session = nix::unistd::getsid(None).unwrap().as_raw();
    let session = Some(i64::from(session)).filter(|session| *session != 0);
    for Demo { tool, event: name, command, .. } in tracers() {
        let mapper = fixture("mapper");
        let script = format!("{{ {command}; {mapper} flags; }} >/dev/null 2>&1; true");
        // Of lives a filter needs the births, when it looks at a recording.
        let births: &[&str] = if tool.0 == "procsnoop" { &["--fork"] } else { &[] };
        let command = ["--json", "--login", "--ancestors", "--", "/bin/sh", "-c", &script];
        let output = tool.command(births).args(command).output().unwrap();
        let trace = parse(&output);
        let events: Vec<_> =
            trace.events.iter().filter(|row| row["event"]["name"] == **name).collect();
        assert!(!events.is_empty(), "{tool:?}: {trace:?}");
        for row in &events {
            let process = &row["process"];
            assert_eq!(process["session_leader"]["pid"].as_i64(), session, "{tool:?}: {row}");
            let chain =
                process["ancestors"].as_array().unwrap_or_else(|| panic!("{tool:?}: {row}"));
            assert!(chain.iter().any(|one| one["pid"] == own), "{tool:?}: {row}");
            assert_eq!(chain[0]["pid"], process["parent_pid"], "{row}");
            assert_eq!(process.get("context_missing"), None, "{row}");
        }
        // And a recording tells the same.
        let dir = TempDir::new();
        fs::write(dir.path("run.json"), &output.stdout).unwrap();
        let flags = ["--from", &dir.path("run.json"), "--json", "--login", "--ancestors"];
        let again = tool.command(births).args(flags).output().unwrap();
        assert_eq!(lossy(&again.stdout), lossy(&output.stdout), "{tool:?}");
        let ours = own.to_string();
        let flags = ["--from", &dir.path("run.json"), "--json", "--ancestor", &ours];
        let again = parse(&tool.command(births).args(flags).output().unwrap());
        assert_eq!(again.events.len(), trace.events.len(), "{tool:?}: all are below us");
    }
}

/// There, each process above is looked up by its id in that namespace: old kernels follow the
/// loops of the programs only so far.
#[test]
fn processes_above_in_a_pid_namespace() {
    for Demo { tool, .. } in tracers() {
        let flags = "--json --login --ancestors --ancestor 1 --ancestor nobody";
        let script = format!("exec {} {flags} -- /bin/true", tool.path().display());
        let words = ["-p", "-f", "--mount-proc", "/bin/sh", "-c", &script];
        let output = Command::new("unshare").args(words).output().unwrap();
        assert!(output.status.success(), "{tool:?}: {}", lossy(&output.stderr));
        let stderr = lossy(&output.stderr);
        assert!(!stderr.contains("refused program"), "{tool:?}: {stderr}");
    }
}

/// The perf buffer takes what is on the stack, of which a program may have too little for it.
#[test]
fn a_perf_buffer_tells_it_or_says_why_not() {
    for Demo { tool, event: name, command, .. } in tracers() {
        let script = format!("{{ {command}; {} flags; }} >/dev/null 2>&1; true", fixture("mapper"));
        let flags = ["--buffer", "perf", "--json", "--login", "--ancestors"];
        let output = tool.command(&flags).args(["--", "/bin/sh", "-c", &script]).output().unwrap();
        let trace = parse(&output);
        let lacks = trace.start["not_shown"].as_array().into_iter().flatten();
        let lacks: Vec<_> = lacks.filter_map(|lack| lack["what"].as_str()).collect();
        let is_told = !lacks.contains(&"who is behind a process (--login, --ancestors)");
        assert!(is_told || lossy(&output.stderr).contains("who is behind a process"), "{tool:?}");
        let events: Vec<_> =
            trace.events.iter().filter(|row| row["event"]["name"] == **name).collect();
        assert!(!events.is_empty(), "{tool:?}: {trace:?}");
        for row in &events {
            let process = &row["process"];
            assert_eq!(process.get("context_missing").is_some(), !is_told, "{tool:?}: {row}");
            assert_eq!(process["ancestors"].is_array(), is_told, "{tool:?}: {row}");
        }
    }
}

/// Many processes at once, with two logins, and a buffer that is far too small: what is shown and what is
/// lost is what happened, and no row has what belongs to another one.
#[test]
fn no_row_gets_what_belongs_to_another_one() {
    if !std::path::Path::new("/proc/self/loginuid").exists() {
        skip!(skip::NO_AUDIT);
    }
    let count = scaled(300);
    each_way(|setup| {
        let (origin, argv) = (fixture("origin"), fixture("argv"));
        let work = |login: u32| {
            let text =
                format!("i=0; while [ $i -lt {count} ]; do {argv} {login}; i=$((i+1)); done");
            format!("{origin} login {login} /bin/sh -c '{text}' >/dev/null & ")
        };
        let script = format!("{}{}wait; true", work(1111), work(2222));
        for size in ["4K", "4M"] {
            let flags = ["--login", "--ancestors", "--buffer-size", size];
            let trace = EXECSNOOP.trace(setup, &flags, &["/bin/sh", "-c", &script]);
            let rows = trace.of("argv");
            let mut told = 0;
            for row in &rows {
                let login = row["process"]["command_args"][1].as_str();
                let Some(login) = login.and_then(|word| word.parse::<u64>().ok()) else { continue };
                let process = &row["process"];
                if let Some(id) = process["login_user"]["id"].as_u64() {
                    assert_eq!(id, login, "{row}");
                    told += 1;
                }
                if let Some(chain) = process["ancestors"].as_array() {
                    assert_eq!(chain[0]["pid"], process["parent_pid"], "{row}");
                    assert_eq!(chain[0]["start_boot_ns"], process["parent_start_boot_ns"], "{row}");
                }
                let is_whole =
                    process.get("login_user").is_some() && process.get("ancestors").is_some();
                let is_missing = process.get("context_missing").is_some();
                assert_eq!(is_whole, !is_missing, "{row}");
            }
            let lost = trace.end["lost"].as_u64().unwrap();
            assert!(rows.len() as u64 + lost >= u64::from(2 * count), "{:?}", trace.end);
            if size == "4M" {
                assert_eq!(told, rows.len() as u32);
                // Some kernels skip programs: that is counted.
                assert!(lost <= u64::from(count / 10), "{:?}", trace.end);
            }
        }
    });
}
