//! Runs a tool around a command and reads what it printed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

/// One way to run a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub backend: &'static str,
    pub buffer: &'static str,
}

const BUFFERS: [&str; 2] = ["ring", "perf"];

/// Runs `test` over the backends for successes and both transports.
pub fn each_setup(test: impl Fn(Setup)) {
    over(&backends().success, &test);
}

/// Runs `test` over the backends for failures (-x) and both transports.
pub fn each_failure_setup(test: impl Fn(Setup)) {
    over(&backends().failure, &test);
}

fn over(backends: &[&'static str], test: &impl Fn(Setup)) {
    for backend in backends {
        for buffer in BUFFERS {
            let setup = Setup { backend, buffer };
            eprintln!("--- {setup:?}");
            test(setup);
        }
    }
}

struct Backends {
    success: Vec<&'static str>,
    failure: Vec<&'static str>,
}

fn backends() -> &'static Backends {
    static BACKENDS: OnceLock<Backends> = OnceLock::new();
    BACKENDS.get_or_init(|| {
        let must = std::env::var("SNOOP_BACKENDS").unwrap_or("tp_btf raw_tp".to_owned());
        let find = |all: &[&'static str], flags: &[&str]| {
            let mut found = Vec::new();
            for backend in all {
                match try_backend(backend, flags) {
                    Ok(()) => found.push(*backend),
                    Err(why) if must.split_whitespace().any(|name| name == *backend) => {
                        panic!("backend {backend} must work here, but: {why}")
                    }
                    Err(why) => eprintln!("backend {backend} does not work here: {why}"),
                }
            }
            found
        };
        Backends {
            success: find(&["tp_btf", "raw_tp"], &[]),
            failure: find(&["fexit", "tracepoint", "raw_tp"], &["-x"]),
        }
    })
}

fn try_backend(backend: &str, flags: &[&str]) -> Result<(), String> {
    let mut tool = Command::new(execsnoop());
    let output =
        tool.args(["--backend", backend, "--duration", "0.01"]).args(flags).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(lossy(&output.stderr)) }
}

/// The tool under test.
pub fn execsnoop() -> PathBuf {
    match std::env::var_os("SNOOP_BIN_DIR") {
        Some(dir) => PathBuf::from(dir).join("execsnoop"),
        None => PathBuf::from(env!("CARGO_BIN_EXE_execsnoop")),
    }
}

/// Whether the machine is a test's own.
pub fn in_vm() -> bool {
    std::env::var_os("SNOOP_VM").is_some()
}

/// `count`, or less where machines are slow.
pub fn scaled(count: u32) -> u32 {
    let scale = std::env::var("SNOOP_SCALE").map_or(1, |scale| scale.parse().unwrap());
    count / scale
}

/// The folder of the compiled programs of `tests/fixtures`.
pub fn fixtures() -> &'static Path {
    static FIXTURES: OnceLock<PathBuf> = OnceLock::new();
    FIXTURES.get_or_init(|| {
        if let Some(dir) = std::env::var_os("SNOOP_FIXTURES") {
            return dir.into();
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/build.sh");
        let status = Command::new(build).arg(&dir).status().unwrap();
        assert!(status.success(), "tests/fixtures/build.sh: {status}");
        dir
    })
}

/// Path of a compiled fixture.
pub fn fixture(name: &str) -> String {
    fixtures().join(name).to_str().unwrap().to_owned()
}

/// A folder of a test's own, removed at its end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("snoop-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// An executable file in it.
    pub fn program(&self, name: &str, content: &[u8]) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A copy of `argv` with a name of its own, so that tests that trace the whole machine
/// at the same time see only theirs.
pub struct OwnArgv {
    dir: TempDir,
    pub comm: String,
}

impl OwnArgv {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = TempDir::new();
        let comm = format!("argv{}", NEXT.fetch_add(1, Ordering::Relaxed));
        fs::copy(fixture("argv"), dir.path(&comm)).unwrap();
        Self { dir, comm }
    }

    pub fn path(&self) -> String {
        self.dir.path(&self.comm)
    }

    /// Executes it `count` times.
    pub fn spawn(&self, count: u32, arg: &str) {
        run("execer", &["spawn", &count.to_string(), &self.path(), arg]);
    }
}

/// What `argv` wrote of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Truth {
    pub pid: u32,
    pub args: Vec<Vec<u8>>,
}

/// What a traced command did: the rows of the tool, and what the programs say themselves.
#[derive(Debug)]
pub struct Trace {
    pub start: Value,
    pub events: Vec<Value>,
    pub end: Value,
    pub truth: Vec<Truth>,
    pub status: i32,
}

/// `execsnoop --json FLAGS -- COMMAND`, to its end.
pub fn trace(setup: Setup, flags: &[&str], command: &[&str]) -> Trace {
    let command: Vec<_> = command.iter().map(OsStr::new).collect();
    trace_os(setup, flags, &command)
}

/// Likewise, with arguments of any bytes.
pub fn trace_os(setup: Setup, flags: &[&str], command: &[&OsStr]) -> Trace {
    let dir = TempDir::new();
    let truth = dir.path("truth");
    let mut tool = Command::new(execsnoop());
    tool.args(["--json", "--backend", setup.backend, "--buffer", setup.buffer])
        .args(flags)
        .arg("--")
        .args(command)
        .env("ARGV_OUT", &truth)
        .current_dir(fixtures())
        .stdin(Stdio::null());
    let output = tool.output().unwrap();
    let mut trace = parse(&output);
    trace.truth = parse_truth(&fs::read(truth).unwrap_or_default());
    trace
}

/// The JSON Lines of a tool that has ended.
pub fn parse(output: &Output) -> Trace {
    let stderr = lossy(&output.stderr);
    let stdout = std::str::from_utf8(&output.stdout).expect("stdout is UTF-8");
    let mut events: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(events.len() >= 2, "no start and end: {stdout} {stderr}");
    let start = events.remove(0);
    let end = events.pop().unwrap();
    assert_eq!(start["event"]["name"], "trace.start", "{stdout}");
    assert_eq!(end["event"]["name"], "trace.end", "{stdout}");
    let status = output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status));
    Trace { start, events, end, truth: Vec::new(), status }
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

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Trace {
    /// Fails unless nothing was lost and all rows are counted.
    pub fn is_complete(&self) -> &Self {
        assert_eq!(self.end["lost"], 0, "{self:?}");
        assert_eq!(self.end["events"], self.events.len(), "{self:?}");
        self
    }

    /// The executions of a program with this name (`process.comm`).
    pub fn of(&self, comm: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["process"]["comm"] == comm).collect()
    }

    /// The only event with this name of a program, which also has to be the truth.
    pub fn only(&self, comm: &str) -> &Value {
        let all = self.of(comm);
        assert_eq!(all.len(), 1, "{comm}: {self:?}");
        all[0]
    }

    /// The successful executions of `argv`, each compared with what it says of itself.
    pub fn check_argv(&self) {
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
}

pub fn pid(event: &Value) -> u64 {
    event["process"]["pid"].as_u64().unwrap_or_else(|| panic!("{event}"))
}

/// The exact bytes of the arguments.
pub fn args(event: &Value) -> Vec<Vec<u8>> {
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

/// A tool that runs in the background, attached.
pub struct Running {
    pub child: Child,
    stdout: Option<BufReader<std::process::ChildStdout>>,
    lines: Vec<String>,
}

impl Running {
    /// `execsnoop FLAGS`, once it has printed its first line.
    pub fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(execsnoop())
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self { child, stdout: Some(stdout), lines: Vec::new() };
        let first = running.line();
        assert!(!first.is_empty(), "{}", running.finish().1);
        running
    }

    /// The next line; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_line(&mut line).unwrap();
        }
        if !line.is_empty() {
            self.lines.push(line.clone());
        }
        line
    }

    /// Nobody reads any more.
    pub fn close_stdout(&mut self) {
        self.stdout = None;
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a child of ours that was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// A field of /proc/PID/status in KiB.
    pub fn status_kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Reads to the end; all lines of stdout, all of stderr, and the exit status.
    pub fn finish(mut self) -> (Vec<String>, String, i32) {
        while !self.line().is_empty() {}
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        (self.lines, stderr, status.code().unwrap_or_else(|| panic!("{status}")))
    }

    /// Interrupts it, and reads its JSON Lines to the end.
    pub fn stop(self) -> Trace {
        self.signal(libc::SIGINT);
        let (lines, stderr, status) = self.finish();
        let output = Output {
            status: std::os::unix::process::ExitStatusExt::from_raw(status << 8),
            stdout: lines.concat().into_bytes(),
            stderr: stderr.into_bytes(),
        };
        parse(&output)
    }
}

/// Runs a fixture to its end, outside of any tracer's command.
pub fn run(name: &str, args: &[&str]) {
    let status = Command::new(fixture(name)).args(args).current_dir(fixtures()).status().unwrap();
    assert!(status.success(), "{name} {args:?}: {status}");
}

/// Waits until `condition` holds; fails after a while.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
