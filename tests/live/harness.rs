//! Runs a tool around a command and reads what it printed.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::Value;

use crate::strict;

/// One way to run a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub backend: &'static str,
    pub buffer: &'static str,
}

/// How long a test waits for what has to come: longer than a busy machine takes that is thirty
/// times slower than most. Nothing depends on how long it really took.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A tool under test.
#[derive(Clone, Copy, Debug)]
pub struct Tool(pub &'static str);

impl Tool {
    pub fn path(self) -> PathBuf {
        match std::env::var_os("SNOOP_BIN_DIR") {
            Some(dir) => PathBuf::from(dir).join(self.0),
            // Cargo puts all tools into one folder.
            None => Path::new(env!("CARGO_BIN_EXE_execsnoop")).with_file_name(self.0),
        }
    }

    /// `TOOL FLAGS`, yet to be run.
    pub fn command(self, flags: &[&str]) -> Command {
        let mut command = Command::new(self.path());
        command.args(flags).stdin(Stdio::null());
        command
    }

    /// `TOOL FLAGS` in the background, once it has printed its first line.
    pub fn start(self, flags: &[&str]) -> Running {
        Running::spawn(self.command(flags))
    }

    /// `TOOL --json FLAGS -- COMMAND`, to its end.
    pub fn trace(self, setup: Setup, flags: &[&str], command: &[&str]) -> Trace {
        let mut tool = self.command(&setup.flags());
        parse(&tool.arg("--json").args(flags).arg("--").args(command).output().unwrap())
    }

    /// Those of `backends` that work here with `flags`. Fails if one that `SNOOP_BACKENDS`
    /// names does not.
    pub fn backends(self, backends: &[&'static str], flags: &[&str]) -> Vec<&'static str> {
        let must = std::env::var("SNOOP_BACKENDS").unwrap_or("tp_btf raw_tp".to_owned());
        let works = |backend: &&&str| match self.try_backend(backend, flags) {
            Ok(()) => true,
            Err(why) if must.split_whitespace().any(|name| name == **backend) => {
                panic!("{}: backend {backend} must work here, but: {why}", self.0)
            }
            Err(why) => {
                eprintln!("{}: backend {backend} does not work here: {why}", self.0);
                false
            }
        };
        backends.iter().filter(works).copied().collect()
    }

    fn try_backend(self, backend: &str, flags: &[&str]) -> Result<(), String> {
        let mut tool = self.command(&["--backend", backend, "--duration", "0.01"]);
        let output = tool.args(flags).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(lossy(&output.stderr)) }
    }
}

/// What a program tells of itself with `--generate demo`.
#[derive(Clone, Debug)]
pub struct Demo {
    pub tool: Tool,
    pub event: String,
    /// A shell command that makes it happen.
    pub command: String,
    /// For a program that needs an object; else empty.
    pub object: String,
}

impl Demo {
    fn of(tool: Tool) -> Self {
        let output = tool.command(&["--generate", "demo"]).output().unwrap();
        assert!(output.status.success(), "{tool:?}: {}", lossy(&output.stderr));
        let text = lossy(&output.stdout);
        let value = |key: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.find(|(name, _)| *name == key).unwrap().1.to_owned()
        };
        let (event, command, object) = (value("event"), value("command"), value("object"));
        Self { tool, event, command, object }
    }
}

/// All tracers: the programs that need no object.
pub fn tracers() -> &'static [Demo] {
    static TRACERS: OnceLock<Vec<Demo>> = OnceLock::new();
    TRACERS.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
        let folder = std::env::var_os("SNOOP_BIN_DIR").map_or(sources, PathBuf::from);
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<_> = paths.map(name).collect();
        names.sort();
        let demos = names.into_iter().map(|name| Demo::of(Tool(name.leak())));
        demos.filter(|demo| demo.object.is_empty()).collect()
    })
}

impl Setup {
    /// The flags that force it.
    pub fn flags(self) -> [&'static str; 4] {
        ["--backend", self.backend, "--buffer", self.buffer]
    }
}

/// Runs `test` over `backends` and both transports. In a virtual machine, where each start
/// of a tool takes seconds, only the first backend goes over both: how a record travels
/// does not depend on the hook.
pub fn over(backends: &[&'static str], test: impl Fn(Setup)) {
    let mut setups = on_ring(backends);
    let on_perf = setups.clone().into_iter().map(|setup| Setup { buffer: "perf", ..setup });
    setups.extend(on_perf.take(if in_vm() { 1 } else { backends.len() }));
    run_share(setups, test);
}

/// Runs `test` over `backends`, with the ring buffer.
pub fn over_ring(backends: &[&'static str], test: impl Fn(Setup)) {
    run_share(on_ring(backends), test);
}

/// Runs `test` with several ring buffers of this size, on the first of `backends`. The test gets the
/// flags that say so.
pub fn over_rings(backends: &[&'static str], kib_each: u32, test: impl Fn(Setup, &[&str])) {
    let setup = Setup { backend: backends[0], buffer: "ring" };
    run_share(vec![(setup, 2), (setup, 3), (setup, 64)], |(setup, rings)| {
        let (size, rings) = (format!("{}K", rings * kib_each), rings.to_string());
        test(setup, &["--rings", &rings, "--buffer-size", &size]);
    });
}

fn on_ring(backends: &[&'static str]) -> Vec<Setup> {
    backends.iter().map(|&backend| Setup { backend, buffer: "ring" }).collect()
}

/// Runs `test` over all of `setups`, or over this machine's share of them.
///
/// `SNOOP_SHARE=1/4` makes us the second of four machines that share the work: a test that all
/// of them run is run in each way, and each way is seen on each machine. The name of the test
/// decides which machine has which way.
fn run_share<S: Way>(mut setups: Vec<S>, test: impl Fn(S)) {
    if let Ok(share) = std::env::var("SNOOP_SHARE") {
        let (machine, machines) = share.split_once('/').unwrap();
        let (machine, machines): (usize, usize) =
            (machine.parse().unwrap(), machines.parse().unwrap());
        let each = setups.len().div_ceil(machines);
        // A closure's type is called after the function that it is in.
        let name = hash(std::any::type_name_of_val(&test));
        let first = (name as usize + machine * each) % setups.len();
        setups.rotate_left(first);
        // Only virtual machines have fexit, which ordinary kernels take first.
        if name % 3 > 0 {
            setups.sort_by_key(|setup| setup.backend() != "fexit");
        }
        setups.truncate(each);
    }
    assert!(!setups.is_empty(), "a test that tries nothing");
    for setup in setups {
        eprintln!("--- {setup:?}");
        test(setup);
    }
}

/// One of the ways in which a test runs.
pub trait Way: std::fmt::Debug {
    fn backend(&self) -> &'static str;
}

impl Way for Setup {
    fn backend(&self) -> &'static str {
        self.backend
    }
}

impl Way for (Setup, u32) {
    fn backend(&self) -> &'static str {
        self.0.backend
    }
}

/// FNV-1a: the same in each build, which the standard library's hashes need not be.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Whether the machine is a test's own.
pub fn in_vm() -> bool {
    std::env::var_os("SNOOP_VM").is_some()
}

/// How long a test of endurance takes: `SNOOP_SOAK` seconds.
pub fn soak() -> Duration {
    let seconds = std::env::var("SNOOP_SOAK").map_or(15, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
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

/// Whether this kernel runs the 32-bit programs of the fixtures.
pub fn runs_32_bit() -> bool {
    Command::new(fixture("tiny32")).status().is_ok_and(|status| status.success())
}

/// Bytes of a page of memory.
pub fn page_bytes() -> u64 {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap();
    bytes as u64
}

/// Path of a compiled BPF object: one of `examples` or of `tests/fixtures/bpf`.
pub fn object(name: &str) -> String {
    static OBJECTS: OnceLock<PathBuf> = OnceLock::new();
    let objects = OBJECTS.get_or_init(|| {
        if let Some(dir) = std::env::var_os("SNOOP_OBJECTS") {
            return dir.into();
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objects");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Vec::new();
        for folder in ["examples", "tests/fixtures/bpf"] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                sources.extend(path.to_str().unwrap().ends_with(".bpf.c").then_some(path));
            }
        }
        let include = Path::new(env!("OUT_DIR")).join("include");
        let mut build = Command::new(root.join("examples/build.sh"));
        let status = build.arg(&dir).arg(include).args(sources).status().unwrap();
        assert!(status.success(), "examples/build.sh: {status}");
        dir
    });
    objects.join(format!("{name}.bpf.o")).to_str().unwrap().to_owned()
}

/// A folder of a test's own, removed at its end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("snoop-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Left behind by one that was killed, and had our id.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// A fixture in it by another name, which is what the kernel calls its processes.
    pub fn alias(&self, name: &str, of: &str) -> String {
        std::os::unix::fs::symlink(fixture(of), self.path(name)).unwrap();
        self.path(name)
    }

    /// A copy of a program in it.
    pub fn copy(&self, name: &str, of: &str) -> String {
        // By a process of its own: nobody can execute a file that somebody has open for
        // writing, and what we have open, the processes have too that other tests start now.
        let status = Command::new("cp").args([of, &self.path(name)]).status().unwrap();
        assert!(status.success(), "cp {of}: {status}");
        self.path(name)
    }

    /// An executable file in it.
    pub fn program(&self, name: &str, content: &[u8]) -> String {
        use std::os::unix::fs::PermissionsExt;
        let draft = self.path(&format!("{name}.draft"));
        fs::write(&draft, content).unwrap();
        let path = self.copy(name, &draft);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a tool printed.
#[derive(Debug)]
pub struct Trace {
    pub start: Value,
    pub events: Vec<Value>,
    pub end: Value,
    pub status: i32,
}

/// The JSON Lines of a tool that has ended.
pub fn parse(output: &Output) -> Trace {
    let stderr = lossy(&output.stderr);
    let stdout = std::str::from_utf8(&output.stdout).expect("stdout is UTF-8");
    let mut events: Vec<Value> = stdout
        .lines()
        .map(|line| strict::parse(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(events.len() >= 2, "no start and end: {stdout} {stderr}");
    let start = events.remove(0);
    let end = events.pop().unwrap();
    assert_eq!(start["event"]["name"], "trace.start", "{stdout}");
    assert_eq!(end["event"]["name"], "trace.end", "{stdout}");
    let status = output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status));
    Trace { start, events, end, status }
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many events these records are. Those of a summary are one, with the total; processes that
/// are older than the tool are none.
pub fn count_events(records: &[Value]) -> usize {
    let others = [
        "memory.summary.process",
        "memory.summary.file",
        "memory.wx_summary.process",
        "process.running",
    ];
    let is_one =
        |event: &&Value| event["event"]["name"].as_str().is_none_or(|name| !others.contains(&name));
    records.iter().filter(is_one).count()
}

impl Trace {
    /// Fails unless nothing was lost and all rows are counted.
    pub fn is_complete(&self) -> &Self {
        assert_eq!(self.end["lost"], 0, "{self:?}");
        assert_eq!(self.end["events"], count_events(&self.events), "{self:?}");
        self
    }

    /// The events of programs with this name (`process.comm`).
    pub fn of(&self, comm: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["process"]["comm"] == comm).collect()
    }

    /// The only event of programs with this name.
    pub fn only(&self, comm: &str) -> &Value {
        let all = self.of(comm);
        assert_eq!(all.len(), 1, "{comm}: {self:?}");
        all[0]
    }
}

pub fn pid(event: &Value) -> u64 {
    event["process"]["pid"].as_u64().unwrap_or_else(|| panic!("{event}"))
}

/// A tool that runs in the background, attached. One that does not end is killed, so that its
/// test fails.
pub struct Running {
    pub child: Child,
    _watchdog: Sender<()>,
    stdout: Option<BufReader<ChildStdout>>,
    lines: Vec<String>,
}

impl Running {
    pub fn spawn(mut tool: Command) -> Self {
        let mut child = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self::new(child, stdout);
        let first = running.line();
        assert!(!first.is_empty(), "{}", running.finish().1);
        running
    }

    /// Likewise for a tool that prints nothing at first. `-v`, which has to be among its flags,
    /// makes it say on stderr when it is attached.
    pub fn spawn_silent(mut tool: Command) -> Self {
        let mut child = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !(said.contains(": backend ")
            && (said.ends_with(" buffer\n") || said.ends_with(" buffers\n")))
        {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
        }
        child.stderr = Some(stderr.into_inner());
        Self::new(child, stdout)
    }

    fn new(child: Child, stdout: BufReader<ChildStdout>) -> Self {
        let pid = child.id() as i32;
        let (_watchdog, end) = mpsc::channel();
        std::thread::spawn(move || {
            if end.recv_timeout(PATIENCE + soak()) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{pid} has not come to its end");
                // SAFETY: a child of ours; nobody has waited for it, or the channel were closed.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        });
        Self { child, _watchdog, stdout: Some(stdout), lines: Vec::new() }
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

    /// The first of the next JSON lines that `is_it`.
    pub fn wait_for(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "no {what}: {}{}", self.stderr(), self.lines.concat());
            let record = strict::parse(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if is_it(&record) {
                return record;
            }
        }
    }

    /// What it has said to its end.
    fn stderr(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
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

    /// Waits until it has done all that there is to do. What it has to say finds room: with a pipe that
    /// is full it would wait for us instead.
    pub fn settle(&self) {
        if let Some(stdout) = &self.stdout {
            fcntl(stdout.get_ref(), FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
        }
        self.rest();
    }

    /// Waits until it sleeps, and has hardly run meanwhile. (With a perf buffer it looks 40 times a
    /// second, which takes a slow machine some time.)
    pub fn rest(&self) {
        let stat = || fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        eventually("it has nothing more to do", || {
            let before = stat();
            std::thread::sleep(Duration::from_millis(200));
            // proc_pid_stat(5): state, and user and system time in hundredths, behind the name.
            let sleeps_after = |stat: &str| -> Option<u64> {
                let rest = stat.rsplit_once(')').unwrap().1;
                let fields: Vec<_> = rest.split_whitespace().collect();
                let times = fields[11..13].iter().map(|time| time.parse::<u64>().unwrap());
                (fields[0] == "S").then(|| times.sum())
            };
            let after = sleeps_after(&stat());
            sleeps_after(&before).zip(after).is_some_and(|(before, after)| after - before <= 4)
        });
    }

    /// Reads to the end; all lines of stdout, all of stderr, and the exit status.
    pub fn finish(mut self) -> (Vec<String>, String, i32) {
        while !self.line().is_empty() {}
        let stderr = self.stderr();
        let status = self.child.wait().unwrap();
        (
            std::mem::take(&mut self.lines),
            stderr,
            status.code().unwrap_or_else(|| panic!("{status}")),
        )
    }

    /// Waits for its end without reading; then all of stdout, which may end within a line, all of
    /// stderr, and the exit status.
    pub fn finish_unread(mut self) -> (String, String, i32) {
        let status = self.child.wait().unwrap();
        let (mut stdout, mut stderr) = (self.lines.concat(), String::new());
        self.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (stdout, stderr, status.code().unwrap_or_else(|| panic!("{status}")))
    }

    /// Interrupts it, and reads its JSON Lines to the end.
    pub fn stop(self) -> Trace {
        self.signal(libc::SIGINT);
        self.end()
    }

    /// Reads its JSON Lines to the end.
    pub fn end(self) -> Trace {
        let (lines, stderr, status) = self.finish();
        let output = Output {
            status: std::os::unix::process::ExitStatusExt::from_raw(status << 8),
            stdout: lines.concat().into_bytes(),
            stderr: stderr.into_bytes(),
        };
        parse(&output)
    }
}

/// A test that fails leaves no tool behind, which would trace all that follows.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a fixture to its end, outside of any tracer's command.
pub fn run(name: &str, args: &[&str]) {
    let status = Command::new(fixture(name)).args(args).current_dir(fixtures()).status().unwrap();
    assert!(status.success(), "{name} {args:?}: {status}");
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Major and minor number of the kernel's version.
pub fn kernel_release() -> (u32, u32) {
    let release = nix::sys::utsname::uname().unwrap().release().to_str().unwrap().to_owned();
    let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Where BPF memory counts as locked memory.
pub fn kernel_is_before_5_11() -> bool {
    kernel_release() < (5, 11)
}

/// CAP_BPF and CAP_PERFMON, and what old kernels want for memory, as numbers: what a tracer needs.
pub fn bpf_capabilities() -> &'static str {
    if kernel_is_before_5_11() { "24,38,39" } else { "38,39" }
}

/// Removes a cgroup. Newer kernels take a process out of it a moment after they have told its
/// parent.
pub fn remove_cgroup(folder: &str) {
    eventually("the cgroup is left", || fs::remove_dir(folder).is_ok());
}

/// Where the cgroup v2 hierarchy is mounted.
pub fn cgroup_mount() -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let point = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| point.to_owned())
    });
    point.expect("a cgroup v2 hierarchy is mounted")
}
