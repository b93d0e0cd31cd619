//! One true line for each thing that a machine may lack or a limit refuse, each made to be so; and
//! what works without it nevertheless.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};

use crate::harness::*;
use crate::skip::{self, skip};

const EXECSNOOP: Tool = Tool("execsnoop");

/// A condition that a process makes for itself before it becomes the tool.
type Condition = fn() -> std::io::Result<()>;

fn under(mut command: Command, condition: Condition) -> Command {
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(condition) };
    command
}

/// Runs it: it must end with status 1, show nothing, and say one line, which is returned.
fn stops(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
    assert_eq!(lossy(&output.stdout), "", "{command:?}");
    let lines: Vec<_> = stderr.lines().collect();
    let [line] = lines[..] else { panic!("{command:?}: {stderr}") };
    let (_, message) = line.split_once(": ").unwrap();
    message.to_owned()
}

fn own_mounts() -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    Ok(())
}

fn hide(path: &str) -> std::io::Result<()> {
    own_mounts()?;
    mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    Ok(())
}

fn without_proc() -> std::io::Result<()> {
    hide("/proc")
}

fn without_sys() -> std::io::Result<()> {
    hide("/sys")
}

fn without_tracefs() -> std::io::Result<()> {
    own_mounts()?;
    for path in ["/sys/kernel/debug/tracing", "/sys/kernel/tracing", "/sys/kernel/debug"] {
        let _ = umount2(path, MntFlags::MNT_DETACH); // not mounted: just as well
    }
    Ok(())
}

fn with_files<const N: u64>() -> std::io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, N, N)?)
}

/// The other limits that a shell's `ulimit -v` sets, in KiB.
fn with_memory<const KIB: u64>() -> std::io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_AS, KIB * 1024, KIB * 1024)?)
}

#[test]
fn without_proc_executions_are_shown() {
    let argv = fixture("argv");
    let command = EXECSNOOP.command(&["--json", "--", &argv, "x"]);
    let trace = parse(&under(command, without_proc).output().unwrap());
    trace.is_complete();
    assert_eq!(trace.only("argv")["process"]["command_args"][1], "x");
    for &Demo { tool, .. } in tracers() {
        let output = under(tool.command(&["--duration", "0.01"]), without_proc).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{tool:?}: {}", lossy(&output.stderr));
    }
}

#[test]
fn a_pid_namespace_without_proc() {
    let script = "mount -t tmpfs none /proc; exec \"$0\" --json -- sh -c 'sh -c \"exit 3\"; true'";
    let mut command = Command::new("unshare");
    command.args(["-m", "-p", "-f", "sh", "-c", script]).arg(Tool("procsnoop").path());
    let trace = parse(&command.stdin(Stdio::null()).output().unwrap());
    trace.is_complete();
    let ends = trace.events.iter().filter(|event| event["event"]["name"] == "process.exit");
    let codes: Vec<_> = ends.map(|event| event["process"]["exit"]["code"].clone()).collect();
    assert_eq!(codes, [3, 0], "{trace:?}");
}

#[test]
fn without_sys_there_are_no_types() {
    for &Demo { tool, .. } in tracers() {
        let line = stops(under(tool.command(&["--duration", "0.01"]), without_sys));
        assert!(line.starts_with("/sys is not mounted"), "{line}");
        assert!(line.ends_with(": mount -t sysfs sysfs /sys"), "{line}");
    }
}

#[test]
fn root_of_a_user_namespace_is_not_enough() {
    for &Demo { tool, .. } in tracers() {
        let mut command = Command::new("unshare");
        command.args(["-U", "-r"]).arg(tool.path()).args(["--duration", "0.01"]);
        let line = stops(command);
        assert!(line.starts_with("not permitted: root of a user namespace"), "{line}");
    }
}

fn names_the_limit(line: &str, limit: u64) -> bool {
    line.starts_with(&format!("too many open files: the limit is {limit}, "))
}

#[test]
fn too_few_descriptors_are_named() {
    let conditions: [(Condition, u64); 2] = [(with_files::<5>, 5), (with_files::<8>, 8)];
    for (condition, limit) in conditions {
        for &Demo { tool, .. } in tracers() {
            let line = stops(under(tool.command(&["--", "true"]), condition));
            assert!(names_the_limit(&line, limit), "{tool:?}: {line}");
        }
    }
    // It depends on the kernel how many are needed: the tool works, or says so.
    let conditions: [(Condition, u64); 5] = [
        (with_files::<24>, 24),
        (with_files::<26>, 26),
        (with_files::<28>, 28),
        (with_files::<32>, 32),
        (with_files::<48>, 48),
    ];
    for (condition, limit) in conditions {
        for &Demo { tool, .. } in tracers() {
            let output = under(tool.command(&["--", "true"]), condition).output().unwrap();
            let stderr = lossy(&output.stderr);
            // Before it, a line may say what this kernel refuses.
            let last = stderr.lines().last().unwrap();
            let line = last.strip_prefix(&format!("{}: ", tool.0)).unwrap();
            match output.status.code() {
                Some(0) => {}
                Some(1) => assert!(names_the_limit(line, limit), "{tool:?}: {stderr}"),
                other => panic!("{tool:?}: {other:?}: {stderr}"),
            }
        }
    }
}

#[test]
fn too_little_memory_is_named() {
    // Enough to begin with, not for what a tool reads and maps.
    let line = stops(under(EXECSNOOP.command(&["--", "true"]), with_memory::<16_500>));
    assert!(line.starts_with("not enough memory: raise ulimit -v"), "{line}");
}

/// A memory cgroup with such a limit; removed when dropped.
struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    fn new(bytes: u64) -> Self {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let name = format!("snoop-{}", std::process::id());
        let (folder, limit) = if v1.exists() {
            (v1.join(name), "memory.limit_in_bytes")
        } else {
            fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").unwrap();
            (Path::new("/sys/fs/cgroup").join(name), "memory.max")
        };
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(limit), bytes.to_string()).unwrap();
        Self(folder)
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_small_memory_cgroup_is_named() {
    if kernel_is_before_5_11() {
        skip!(skip::BEFORE_5_11);
    }
    // Room for the tool itself, and not for its buffer.
    let cgroup = MemoryCgroup::new(64 << 20);
    let script = "echo 0 >\"$0/cgroup.procs\"; exec \"$1\" --duration 0.01 --buffer-size 256M";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&cgroup.0).arg(EXECSNOOP.path());
    let line = stops(command);
    assert!(line.starts_with("not enough memory: raise the limit of the cgroup"), "{line}");
}

const TRACEPOINTS: Setup = Setup { backend: "tracepoint", buffer: "ring" };

#[test]
fn tracefs_that_is_not_mounted_is_mounted_for_the_tool_alone() {
    if kernel_release() < (5, 15) {
        skip!(skip::BEFORE_5_15);
    }
    let command = ["--json", "-x", "--", "sh", "-c", "/no/such/program; true"];
    let flags = [&TRACEPOINTS.flags()[..], &command].concat();
    let command = under(EXECSNOOP.command(&flags), without_tracefs);
    let output = { command }.output().unwrap();
    let trace = parse(&output);
    assert_eq!(trace.start["backend"], "tracepoint");
    let failed = |event: &&serde_json::Value| event["event"]["name"] == "process.exec_failed";
    assert!(trace.events.iter().any(|event| failed(&event)), "{trace:?}");
}

#[test]
fn tracefs_that_may_not_be_mounted_is_named() {
    if kernel_release() < (5, 15) {
        skip!(skip::BEFORE_5_15);
    }
    let mut command = Command::new(fixture("execer"));
    command.args(["caps", "65534", "38,39"]).arg(EXECSNOOP.path());
    command.args(TRACEPOINTS.flags()).args(["-x", "--duration", "0.01"]);
    assert_eq!(
        stops(under(command, without_tracefs)),
        "nothing can be traced: tracefs is not mounted, and cannot be by us: Operation not \
         permitted; mount -t tracefs tracefs /sys/kernel/tracing"
    );
    // Left to itself the tool takes another way.
    let mut command = Command::new(fixture("execer"));
    command.args(["caps", "65534", "38,39"]).arg(EXECSNOOP.path());
    command.args(["-x", "--json", "--duration", "0.01"]);
    let trace = parse(&under(command, without_tracefs).output().unwrap());
    if trace.start["backend"] != "fexit" {
        assert_eq!(trace.start["backend"], "raw_tp", "{:?}", trace.start);
        let refused = trace.start["backends_refused"].as_array().unwrap();
        assert!(refused.iter().any(|way| way["name"] == "tracepoint"), "{refused:?}");
    }
}

#[test]
fn each_program_has_a_line_with_v() {
    for &Demo { tool, .. } in tracers() {
        let output = tool.command(&["-v", "--duration", "0.01"]).output().unwrap();
        let stderr = lossy(&output.stderr);
        let prefix = format!("{}: program ", tool.0);
        let states: Vec<_> = stderr
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix)?.split_once(": "))
            .collect();
        let is = |state: &str| states.iter().filter(|(_, it)| it.starts_with(state)).count();
        let known = is("loaded") + is("left out: ") + is("not needed");
        assert!(is("loaded and attached") > 0, "{stderr}");
        assert_eq!(known, states.len(), "{stderr}");
        let mut names: Vec<_> = states.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), states.len(), "{stderr}");
    }
}

#[test]
fn what_is_not_shown_is_said_and_recorded() {
    if kernel_release() < (5, 15) {
        skip!(skip::BEFORE_5_15);
    }
    let flags = [&TRACEPOINTS.flags()[..], &["-x", "--json", "--duration", "0.01"]].concat();
    let output = EXECSNOOP.command(&flags).output().unwrap();
    let trace = parse(&output);
    let what = "failed executions by 32-bit programs";
    assert_eq!(trace.start["not_shown"][0]["what"], what);
    let reason = trace.start["not_shown"][0]["reason"].as_str().unwrap();
    let line = format!("execsnoop: not shown: {what}: {reason}\n");
    assert!(lossy(&output.stderr).contains(&line), "{}", lossy(&output.stderr));
}
