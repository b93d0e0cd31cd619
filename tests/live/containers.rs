//! Names of containers and paths of their cgroups: of a real podman, and of files made by hand.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::sys::stat::Mode;
use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

const EXECSNOOP: Tool = Tool("execsnoop");

/// `podman ARGUMENT…`. It insists on the network that its first run chose, also once the packages of
/// that one are gone; no container here has a network.
fn podman(arguments: &[&str]) -> Command {
    static OLDER_NETWORK: OnceLock<bool> = OnceLock::new();
    let refused = || !Command::new("podman").arg("info").output().unwrap().status.success();
    let mut podman = Command::new("podman");
    if *OLDER_NETWORK.get_or_init(refused) {
        podman.arg("--network-backend=cni");
    }
    podman.args(arguments);
    podman
}

/// An image with nothing but `argv` and `lives`; `None`: there is no podman that works here.
fn image() -> Option<&'static str> {
    const IMAGE: &str = "localhost/snoop-test:v1";
    static THERE: OnceLock<bool> = OnceLock::new();
    let make = || {
        if in_vm() || Command::new("podman").arg("--version").output().is_err() {
            return false;
        }
        let folder = TempDir::new();
        let tar = folder.path("image.tar");
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(fixtures()).args(["-cf", &tar, "argv", "lives"]);
        assert!(pack.status().unwrap().success());
        // That of an earlier run would stay for ever, without a name.
        podman(&["rmi", "--force", "--ignore", IMAGE]).output().unwrap();
        let output = podman(&["import", "-q", &tar, IMAGE]).output().unwrap();
        assert!(output.status.success(), "podman import: {}", lossy(&output.stderr));
        true
    };
    THERE.get_or_init(make).then_some(IMAGE)
}

/// `podman run --name NAME IMAGE COMMAND`, for a machine without systemd, without networks of its own
/// and without CAP_SYS_RESOURCE, whose cgroups may be of version 1 elsewhere.
fn podman_run(name: &str, command: &[&str]) -> Command {
    const FLAGS: [&str; 13] = [
        "--cgroup-manager=cgroupfs",
        "--events-backend=none",
        "run",
        "--rm",
        "--privileged",
        "--network=none",
        "--log-driver=none",
        "--pull=never",
        "--pids-limit=0",
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1000:1000",
        "--security-opt=seccomp=unconfined",
        "--name",
    ];
    let podman = podman(&FLAGS);
    let script = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let mut run = Command::new("unshare");
    run.args(["--mount", "sh", "-c", script, "sh"]).arg(podman.get_program());
    run.args(podman.get_args()).args([name, image().unwrap()]).args(command).stdin(Stdio::null());
    run
}

fn name_of(kind: &str) -> String {
    format!("snoop-{kind}-{}", std::process::id())
}

/// Whether `row` is of the container with this name, which podman made of our image.
fn is_of(row: &Value, name: &str) {
    let container = &row["container"];
    assert_eq!(container["name"], name, "{row}");
    assert_eq!(container["runtime"]["name"], "podman", "{row}");
    assert_eq!(container["image"]["name"], "localhost/snoop-test", "{row}");
    assert_eq!(container["image"]["tags"], serde_json::json!(["v1"]), "{row}");
    assert_eq!(container["id"].as_str().unwrap().len(), 64, "{row}");
    let path = row["process"]["linux"]["cgroup"].as_str().unwrap();
    assert!(path.contains(container["id"].as_str().unwrap()), "{row}");
}

#[test]
fn a_container_that_lives_for_a_moment_keeps_its_name() {
    if image().is_none() {
        skip!(skip::NO_PODMAN);
    }
    over(&EXECSNOOP.backends(&["tp_btf", "raw_tp"], &[]), |setup| {
        let name = name_of("moment");
        let flags = [&setup.flags()[..], &["--json", "--containers"]].concat();
        let running = EXECSNOOP.start(&flags);
        let output = podman_run(&name, &["/argv", "inside", &name]).output().unwrap();
        assert!(output.status.success(), "podman: {}", lossy(&output.stderr));
        // Beside it the same program, in no container.
        run("argv", &["outside", &name]);
        let trace = running.stop();
        let of_ours = |row: &&Value| row["process"]["command_args"].as_array().unwrap().len() == 3;
        let rows: Vec<_> = trace.of("argv").into_iter().filter(of_ours).collect();
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|row| row["process"]["command_args"][2] == name.as_str())
            .collect();
        assert_eq!(rows.len(), 2, "{trace:?}");
        is_of(rows[0], &name);
        assert_eq!(rows[1].get("container"), None, "{}", rows[1]);
    });
}

#[test]
fn a_container_that_is_older_than_the_tool_has_a_name_and_recordings_keep_it() {
    if image().is_none() {
        skip!(skip::NO_PODMAN);
    }
    let name = name_of("older");
    let mut container =
        podman_run(&name, &["/lives", "pause"]).stdout(Stdio::null()).spawn().unwrap();
    let pid = || {
        let mut inspect = podman(&["inspect", "-f", "{{.State.Pid}}", &name]);
        lossy(&inspect.output().unwrap().stdout).trim().parse().unwrap_or(0)
    };
    while pid() == 0 {
        assert_eq!(container.try_wait().unwrap(), None, "podman ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let number: i32 = pid();
    let pid = number.to_string();
    let filter = format!("container.name == '{name}'");
    let running = Tool("procsnoop").start(&["--json", "--filter", &filter]);
    // SAFETY: the first process of the container, which nobody has waited for.
    assert_eq!(unsafe { libc::kill(number, libc::SIGKILL) }, 0);
    container.wait().unwrap();
    running.settle();
    running.signal(libc::SIGINT);
    let (lines, stderr, _) = running.finish();
    let lines = lines.concat();
    let ends: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = ends.iter().find(|row| row["process"]["pid"] == number);
    is_of(end.unwrap_or_else(|| panic!("{lines}{stderr}")), &name);
    assert!(
        ends.iter()
            .filter(|row| row.get("process").is_some())
            .all(|row| row["container"]["name"] == *name)
    );

    // It is gone: the name is that of the recording.
    let folder = TempDir::new();
    let file = folder.path("recording.jsonl");
    fs::write(&file, &lines).unwrap();
    let flags = ["--from", &file, "-o", "pid,container,container.image.name,unit"];
    let table = lossy(&Tool("procsnoop").command(&flags).output().unwrap().stdout);
    let row = table.lines().find(|row| row.split_whitespace().next() == Some(&pid)).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, [&*pid, &name, "localhost/snoop-test", "-"], "{table}");
    let again = Tool("procsnoop").command(&["--from", &file, "--json"]).output().unwrap();
    assert_eq!(lossy(&again.stdout), lines);
}

/// The tool stops while a cgroup comes and goes, so that it can only know what the kernel told it.
#[test]
fn a_cgroup_that_is_gone_has_its_path() {
    let name = name_of("gone");
    let folder = format!("{}/{name}", cgroup_mount());
    over(&EXECSNOOP.backends(&["tp_btf", "raw_tp"], &[]), |setup| {
        for (more, is_known) in [(&["--containers"][..], true), (&[], false)] {
            let flags = [&setup.flags()[..], &["--json", "--comm", "argv"], more].concat();
            let running = EXECSNOOP.start(&flags);
            running.signal(libc::SIGSTOP);
            fs::create_dir(&folder).unwrap();
            let script =
                format!("echo $$ > {folder}/cgroup.procs; exec {} {name}", fixture("argv"));
            let status = Command::new("/bin/sh").args(["-c", &script]).status().unwrap();
            assert!(status.success());
            remove_cgroup(&folder);
            running.signal(libc::SIGCONT);
            let trace = running.stop();
            let row = trace.events.iter().find(|row| row["process"]["command_args"][1] == *name);
            let path = &row.unwrap_or_else(|| panic!("{trace:?}"))["process"]["linux"]["cgroup"];
            let expected = if is_known { Value::from(format!("/{name}")) } else { Value::Null };
            assert_eq!(*path, expected, "{setup:?}");
        }
    });
}

const DOCKER: &str = "/var/lib/docker/containers";

/// Files as Docker has them, in the machine's own folder; two of them are a trap.
#[test]
fn files_of_the_machine_give_names_and_do_not_hold_the_tool_up() {
    if !in_vm() || Path::new(DOCKER).exists() {
        skip!(skip::OWN_MACHINE);
    }
    let id = |digit: &str| digit.repeat(64);
    let file = |digit: &str| {
        let folder = format!("{DOCKER}/{}", id(digit));
        fs::create_dir_all(&folder).unwrap();
        format!("{folder}/config.v2.json")
    };
    let config =
        serde_json::json!({"ID": id("a"), "Name": "/we b\u{1b}", "Config": {"Image": "i:t"}});
    fs::write(file("a"), config.to_string()).unwrap();
    nix::unistd::mkfifo(Path::new(&file("b")), Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", file("c")).unwrap();
    let point = cgroup_mount();
    for digit in ["a", "b", "c"] {
        fs::create_dir_all(format!("{point}/docker/{}", id(digit))).unwrap();
    }
    let work = || {
        for digit in ["a", "b", "c"] {
            let folder = format!("{point}/docker/{}", id(digit));
            let script = format!("echo $$ > {folder}/cgroup.procs; exec {} x", fixture("argv"));
            assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
        }
    };
    for demo in tracers().iter().filter(|demo| ["execsnoop", "procsnoop"].contains(&demo.tool.0)) {
        let running = demo.tool.start(&["--json", "--comm", "argv", "--containers"]);
        work();
        let trace = running.stop();
        let event = "process.exec";
        let rows: Vec<_> =
            trace.events.iter().filter(|row| row["event"]["name"] == event).collect();
        let names: Vec<_> = rows.iter().map(|row| row["container"]["name"].as_str()).collect();
        assert_eq!(names, [Some("we b\u{1b}"), None, None], "{trace:?}");
        assert!(
            rows.iter().all(|row| row["container"]["runtime"]["name"] == "docker"),
            "{trace:?}"
        );
        assert_eq!(trace.end.get("notes"), None, "all was read in time: {:?}", trace.end);
    }
    let running = Tool("mmapsnoop").start(&["--all", "--comm", "argv", "--containers"]);
    work();
    running.signal(libc::SIGINT);
    let (lines, _, _) = running.finish();
    for shown in ["we\\040b\\033 ", "bbbbbbbbbbbb ", "cccccccccccc "] {
        assert!(lines.iter().any(|line| line.contains(shown)), "{shown}: {lines:?}");
    }
    for digit in ["a", "b", "c"] {
        remove_cgroup(&format!("{point}/docker/{}", id(digit)));
    }
    remove_cgroup(&format!("{point}/docker"));
    fs::remove_dir_all(DOCKER).unwrap();
}
