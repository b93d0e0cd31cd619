//! What a machine does to its tracers: many of them, many processes, processors that come and go,
//! a table of processes that hides most of them, and time.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

/// A program under a name that only one test's processes have.
struct Work {
    folder: TempDir,
    name: &'static str,
}

impl Work {
    fn new(name: &'static str) -> Self {
        let folder = TempDir::new();
        folder.alias(name, "argv");
        Self { folder, name }
    }

    /// Executes it so many times, one after another.
    fn run(&self, times: u32) {
        let mut spawner = Command::new(fixture("execer"));
        spawner.args(["spawn", &times.to_string(), &self.folder.path(self.name), "x"]);
        assert!(spawner.stdout(Stdio::null()).status().unwrap().success());
    }
}

fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["event"]["name"] == name).count()
}

#[test]
fn five_of_each_at_once_have_the_same_events() {
    let work = Work::new("five");
    let times = scaled(200);
    let start = |tool: &Tool| tool.start(&["--json", "--comm", work.name]);
    let tools = ["execsnoop", "procsnoop", "mmapsnoop"].map(Tool);
    let running: Vec<[_; 5]> = tools.iter().map(|tool| [(); 5].map(|()| start(tool))).collect();
    work.run(times);
    let folder = TempDir::new();
    let mapper = folder.alias(work.name, "mapper");
    assert!(Command::new(mapper).args(["loop", &times.to_string()]).status().unwrap().success());
    let traces = running.into_iter().map(|five| five.map(Running::stop));
    for (tool, traces) in tools.iter().zip(traces) {
        let first = traces[0].is_complete();
        let name = match tool.0 {
            "execsnoop" => "process.exec",
            "procsnoop" => "process.exit",
            _ => "memory.map",
        };
        let found = count(&first.events, name);
        match tool.0 {
            "mmapsnoop" => assert!(found as u32 >= times, "{tool:?}: {found}"),
            _ => assert_eq!(found as u32, times + 1, "{tool:?}"),
        }
        for other in &traces[1..] {
            assert_eq!(count(&other.is_complete().events, name), found, "{tool:?}");
        }
    }
}

/// Many processes that are there before the tool.
struct Crowd {
    maker: Child,
    size: u32,
}

impl Crowd {
    fn new(size: u32) -> Self {
        let mut maker = Command::new(fixture("lives"));
        maker.args(["crowd", &size.to_string()]).env("LIVES_OUT", "/dev/null");
        let mut maker = maker.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(maker.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { maker, size }
    }

    /// All of them end.
    fn end(mut self) {
        drop(self.maker.stdin.take());
        assert!(self.maker.wait().unwrap().success());
    }
}

#[test]
fn thousands_of_processes_from_before() {
    let crowd = Crowd::new(scaled(5000));
    let maker = crowd.maker.id();
    let tree = maker.to_string();
    for &Demo { tool, .. } in tracers() {
        // Each looks at what is there when it begins, and at the whole tree of one process.
        let flags = ["--json", "--duration", "0.1", "--tree", &tree];
        let output = tool.command(&flags).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{tool:?}: {}", lossy(&output.stderr));
        parse(&output).is_complete();
    }
    let all = Tool("procsnoop").start(&["--json", "--comm", "lives"]);
    let tree = Tool("procsnoop").start(&["--json", "--tree", &tree]);
    let size = crowd.size;
    crowd.end();
    for trace in [all.stop(), tree.end()] {
        let trace = trace.is_complete();
        let of_crowd = |event: &&Value| event["process"]["parent_pid"] == maker && is_exit(event);
        let ends: Vec<_> = trace.events.iter().filter(of_crowd).collect();
        // All of them end at once: preemptible tracepoints (7.0) skip programs then, which is said.
        let unseen = trace.end["unseen"].as_u64().unwrap_or(0) as usize;
        let missing = (size as usize).checked_sub(ends.len());
        assert!(missing.is_some_and(|missing| missing <= unseen), "{missing:?} {:?}", trace.end);
        for end in ends {
            assert_eq!(end["process"]["exit"]["signal"], "SIGKILL", "{end}");
            assert_eq!(end["process"]["command_args"][1], "crowd", "{end}");
        }
    }
}

fn is_exit(event: &Value) -> bool {
    event["event"]["name"] == "process.exit"
}

/// Switches a processor on or off.
fn set_online(cpu: u32, is_online: bool) {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    fs::write(path, u8::from(is_online).to_string()).unwrap();
}

#[test]
fn processors_come_and_go() {
    if !in_vm() {
        skip!(skip::OWN_MACHINE); // its processors
    }
    let work = Work::new("hotplug");
    let times = 20;
    for buffer in ["ring", "perf"] {
        // procsnoop shows the execution and the end.
        for (tool, rows) in [("execsnoop", 1), ("procsnoop", 2)] {
            let flags = ["--json", "--comm", work.name, "--buffer", buffer];
            set_online(1, false);
            let running = Tool(tool).start(&flags);
            work.run(times);
            set_online(1, true);
            work.run(times);
            set_online(1, false);
            work.run(times);
            set_online(1, true);
            work.run(times);
            let trace = running.stop();
            let shown = trace.end["events"].as_u64().unwrap();
            let lost = trace.end["lost"].as_u64().unwrap();
            let at_a_time = rows * u64::from(times);
            assert_eq!(shown + lost, 4 * at_a_time, "{tool} {buffer}: {:?}", trace.end);
            // A perf buffer belongs to a processor that was there when the tool began.
            let may_be_lost = if buffer == "perf" { 2 * at_a_time } else { 0 };
            assert!(lost <= may_be_lost, "{tool} {buffer}: {:?}", trace.end);
        }
    }
}

#[test]
fn where_other_processes_are_hidden() {
    let work = Work::new("hidden");
    for &Demo { tool, ref event, .. } in tracers() {
        let script = "mount -t proc -o hidepid=2 proc /proc && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, &fixture("execer"), "caps", "65534"]);
        command.args([bpf_capabilities().as_ref(), tool.path().as_os_str()]);
        command.args(["--json", "--comm", work.name]).stdin(Stdio::null());
        let running = Running::spawn(command);
        work.run(3);
        let trace = running.stop();
        trace.is_complete();
        if ["execsnoop", "procsnoop"].contains(&tool.0) {
            assert_eq!(count(&trace.events, event), 3, "{trace:?}");
        }
    }
}

/// The slope of a line through these points, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}

/// A tracer whose rows nobody needs.
struct Soaked {
    name: &'static str,
    running: Running,
    resident: Vec<(f64, f64)>,
}

impl Soaked {
    fn start(tool: Tool) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$0\" \"$@\" >/dev/null"]).arg(tool.path()).arg("-v");
        match tool.0 {
            "procsnoop" => command.args(["--json", "--fork", "--usage"]),
            "mmapsnoop" => command.args(["--json", "--stacks"]),
            "execsnoop" => command.args(["--json", "-x"]),
            _ => command.arg("--json"),
        };
        command.stdin(Stdio::null());
        Self { name: tool.0, running: Running::spawn_silent(command), resident: Vec::new() }
    }

    fn look(&mut self, at: Duration) {
        let kib = self.running.status_kib("VmRSS:") as f64;
        self.resident.push((at.as_secs_f64(), kib));
    }

    /// Memory of the second half of the time: what a tool needs for a start and for a steady load is
    /// there by then.
    fn judge(self, took: Duration) {
        let later = self.resident.split_at(self.resident.len() / 2).1;
        let grown = slope(later) * took.as_secs_f64() / 2.0;
        eprintln!("{}: {grown:.0} KiB more in {took:?}, {:?}", self.name, later.last());
        self.running.signal(libc::SIGINT);
        let (_, stderr, status) = self.running.finish();
        assert_eq!(status, 0, "{}: {stderr}", self.name);
        // A leak of a byte for each event were megabytes in ten minutes. In a few seconds what other
        // tests do may still be new to it: files whose symbols it reads.
        let limit = if took > Duration::from_secs(300) { 1024.0 } else { 8192.0 };
        assert!(grown < limit, "{}: {grown} KiB: {:?}", self.name, self.resident);
    }
}

#[test]
fn memory_is_flat_in_a_storm() {
    let work = Work::new("storm");
    let mut all: Vec<_> = tracers().iter().map(|demo| Soaked::start(demo.tool)).collect();
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < soak() || rounds < 20 {
        work.run(scaled(200));
        let mut dial = Command::new(fixture("dial"));
        assert!(dial.args(["127.0.0.1", "1"]).stdout(Stdio::null()).status().unwrap().success());
        run("lives", &["forks", "20"]);
        rounds += 1;
        for tool in &mut all {
            tool.look(began.elapsed());
        }
    }
    let took = began.elapsed();
    all.into_iter().for_each(|tool| tool.judge(took));
}
