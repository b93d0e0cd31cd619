//! What holds for every tracer: the privileges that suffice, and the container that an event
//! names.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::harness::*;

/// A script with something to see for each tool.
fn work() -> String {
    let (argv, dial, mapper) = (fixture("argv"), fixture("dial"), fixture("mapper"));
    let commands: Vec<_> = tracers().iter().map(|demo| demo.command.as_str()).collect();
    let commands = commands.join("; ");
    format!("{{ {argv} x; {dial} 127.0.0.1 1; {mapper} flags; {commands}; }} >/dev/null 2>&1; true")
}

/// Runs a tool as nobody with CAP_BPF and CAP_PERFMON and no other capability (but the one that
/// old kernels want for memory).
fn as_nobody(tool: Tool, flags: &[&str]) -> Command {
    let mut command = Command::new(fixture("execer"));
    command.args(["caps", "65534", bpf_capabilities()]).arg(tool.path()).args(flags);
    command.stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

#[test]
fn a_signal_ends_what_only_waits_for_its_command() {
    for &Demo { tool, .. } in tracers() {
        let flags = ["--json", "--duration", "0.1", "--", "sleep", "1000"];
        let mut running = tool.start(&flags);
        // From here on it waits for the command.
        running.wait_for("end", |record| record["event"]["name"] == "trace.end");
        running.signal(libc::SIGTERM);
        let (_, stderr, status) = running.finish();
        assert_eq!(status, 128 + libc::SIGTERM, "the command's: {stderr}");
    }
}

#[test]
fn started_by_nohup_it_survives_its_terminal() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" --json"]).arg(Tool("execsnoop").path());
    let mut running = Running::spawn(command);
    running.signal(libc::SIGHUP);
    run("argv", &["after the hangup"]);
    running.wait_for("row", |record| record["process"]["command_args"][1] == "after the hangup");
    assert_eq!(running.stop().status, 0);
}

#[test]
fn two_capabilities_suffice() {
    for Demo { tool, event: name, .. } in tracers() {
        let command = as_nobody(*tool, &["--json", "--", "/bin/sh", "-c", &work()]);
        let trace = parse(&output(command));
        let events = || trace.events.iter().filter(|event| event["event"]["name"] == *name);
        assert!(events().count() > 0, "{name}: {trace:?}");
        assert!(events().all(|event| event["process"]["real_user"]["id"] == 65534), "{trace:?}");
    }
}

#[test]
fn each_record_is_one_of_opentelemetry_too() {
    for Demo { tool, event, command, .. } in tracers() {
        let mapper = fixture("mapper"); // a static program alone maps nothing
        let script = format!("{{ {command}; {mapper} flags; }} >/dev/null 2>&1; true");
        let flags = ["--json=otlp", "--host-name", "elsewhere", "--", "/bin/sh", "-c", &script];
        let output = tool.command(&flags).output().unwrap();
        let lines = lossy(&output.stdout);
        let name = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let [logs] = &line["resourceLogs"].as_array().unwrap()[..] else { panic!("{line}") };
            let host =
                serde_json::json!({"key": "host.name", "value": {"stringValue": "elsewhere"}});
            assert!(logs["resource"]["attributes"].as_array().unwrap().contains(&host), "{line}");
            let records = logs["scopeLogs"][0]["logRecords"].as_array().unwrap();
            assert_eq!(records.len(), 1, "{line}");
            records[0]["eventName"].as_str().unwrap().to_owned()
        };
        let names: Vec<_> = lines.lines().map(name).collect();
        assert_eq!(names.first().map(String::as_str), Some("snoop.trace.start"), "{output:?}");
        assert_eq!(names.last().map(String::as_str), Some("snoop.trace.end"), "{output:?}");
        assert!(names.contains(&format!("snoop.{event}")), "{event}: {lines}");
    }
}

/// A cgroup that is called like a container's, with a process in it; both end with the test.
struct Container {
    folder: String,
    path: String,
    id: String,
    process: Child,
}

impl Container {
    fn new(number: u32) -> Self {
        let id = format!("{:032x}{number:032x}", std::process::id());
        let path = format!("/snoop-containers-{}-{number}/docker-{id}.scope", std::process::id());
        let folder = format!("{}{path}", cgroup_mount());
        fs::create_dir_all(&folder).unwrap();
        let process =
            Command::new("/bin/sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn();
        let process = process.unwrap();
        fs::write(format!("{folder}/cgroup.procs"), process.id().to_string()).unwrap();
        Self { folder, path, id, process }
    }

    /// Does `work` in it.
    fn run(&self) {
        let script = format!("echo $$ >{}/cgroup.procs; {}", self.folder, work());
        let status = Command::new("/bin/sh").args(["-c", &script]).status().unwrap();
        assert!(status.success());
    }

    fn is_of(&self, event: &Value) -> bool {
        event["container"]["id"] == *self.id && event["process"]["linux"]["cgroup"] == *self.path
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        remove_cgroup(&self.folder);
        fs::remove_dir(std::path::Path::new(&self.folder).parent().unwrap()).unwrap();
    }
}

#[test]
fn events_name_their_container() {
    let container = Container::new(0);
    for Demo { tool, event: name, .. } in tracers() {
        let running = tool.start(&["--json"]);
        container.run();
        let trace = running.stop();
        let of_container =
            |event: &&Value| container.is_of(event) && event["event"]["name"] == *name;
        assert!(trace.events.iter().any(|event| of_container(&event)), "{name}: {trace:?}");
        let wrong = trace
            .events
            .iter()
            .find(|event| (event["container"]["id"] == *container.id) != container.is_of(event));
        assert_eq!(wrong, None, "{name}");
    }
}

#[test]
fn without_other_capabilities_containers_are_found_too() {
    let container = Container::new(1);
    for Demo { tool, event: name, .. } in tracers() {
        let script = format!("read line; {}", work());
        let mut inside =
            Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        fs::write(format!("{}/cgroup.procs", container.folder), inside.id().to_string()).unwrap();
        let pid = inside.id().to_string();
        let running = Running::spawn(as_nobody(*tool, &["--json", "--tree", &pid]));
        drop(inside.stdin.take());
        assert!(inside.wait().unwrap().success());
        let trace = running.stop();
        let events = || trace.events.iter().filter(|event| event["event"]["name"] == *name);
        assert!(events().count() > 0, "{name}: {trace:?}");
        assert!(events().all(|event| container.is_of(event)), "{name}: {trace:?}");
    }
}

#[test]
fn the_end_of_all_that_is_named_is_the_end() {
    let sleeper = || Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    for Demo { tool, .. } in tracers() {
        let (mut one, mut other) = (sleeper(), sleeper());
        let ids = [&one, &other].map(|child| child.id().to_string());
        let running = tool.start(&["--json", "--pid", &ids[0], "--pid", &ids[1]]);
        one.kill().unwrap();
        one.wait().unwrap();
        running.settle();
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(running.end().status, 0, "{tool:?}");

        // The root ends first; a descendant in a session of its own is left.
        let script = "setsid sleep 1000 & echo $!; exec sleep 1000";
        let mut root =
            Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut last = String::new();
        BufReader::new(root.stdout.take().unwrap()).read_line(&mut last).unwrap();
        let running = tool.start(&["--json", "--tree", &root.id().to_string()]);
        root.kill().unwrap();
        root.wait().unwrap();
        running.settle();
        // SAFETY: a process of this test.
        assert_eq!(unsafe { libc::kill(last.trim().parse().unwrap(), libc::SIGKILL) }, 0);
        assert_eq!(running.end().status, 0, "{tool:?}");
    }
}

/// `N events, M lost: nobody reads stdout`
fn shown_and_lost(stderr: &str) -> (usize, usize) {
    let line = stderr.lines().find(|line| line.ends_with("lost: nobody reads stdout"));
    let line = line.unwrap_or_else(|| panic!("{stderr}"));
    let numbers: Vec<_> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// Rows among complete lines of JSON.
fn rows(stdout: &str) -> usize {
    let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter(|line| !line.contains("\"name\":\"trace.start\"")).count()
}

#[test]
fn a_reader_that_does_not_read_delays_no_end() {
    for Demo { tool, command, .. } in tracers() {
        let flood = format!("i=0; while [ $i -lt 600 ]; do {command}; i=$((i+1)); done");
        let work = || {
            let mut shell = Command::new("/bin/sh");
            let status = shell.args(["-c", &flood]).stdout(Stdio::null()).status().unwrap();
            assert!(status.success());
        };
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let running = tool.start(&["--json"]);
            work();
            running.rest(); // it waits for its reader
            running.signal(signal);
            let (stdout, stderr, status) = running.finish_unread();
            assert_eq!(status, 0, "{tool:?}: {stderr}");
            let (shown, lost) = shown_and_lost(&stderr);
            assert_eq!(shown, rows(&stdout), "{tool:?}: {stderr}");
            assert!(lost > 0, "{tool:?}: {stderr}");
        }
        // A slow machine takes as much longer to fill the pipe.
        let seconds = 2 * 600 / scaled(600);
        let running = tool.start(&["--json", "--duration", &seconds.to_string()]);
        work();
        let (stdout, stderr, status) = running.finish_unread();
        assert_eq!(status, 0, "{tool:?}: {stderr}");
        assert_eq!(shown_and_lost(&stderr).0, rows(&stdout), "{tool:?}: {stderr}");
    }
}

#[test]
fn what_nobody_reads_is_counted() {
    let dir = TempDir::new();
    let argv = dir.alias("unread", "argv");
    for transport in ["ring", "perf"] {
        let flags = ["--json", "--comm", "unread", "--buffer", transport];
        let running = Tool("execsnoop").start(&flags);
        let mut work = Command::new(fixture("execer"));
        let status = work.args(["spawn", "1000", &argv, "x"]).status().unwrap();
        assert!(status.success());
        running.rest();
        running.signal(libc::SIGTERM);
        let (stdout, stderr, _) = running.finish_unread();
        let (shown, lost) = shown_and_lost(&stderr);
        assert_eq!((shown, shown + lost), (rows(&stdout), 1000), "{stderr}");
    }
}
