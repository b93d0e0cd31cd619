//! `-- COMMAND`: its first exec, its status, its terminal, its signals.

use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use super::*;

#[test]
fn the_first_execution_and_all_descendants_are_seen() {
    each_setup(|setup| {
        let dir = TempDir::new();
        let (go, done) = (dir.path("go"), dir.path("done"));
        for fifo in [&go, &done] {
            mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
        }
        let argv = fixture("argv");
        // One descendant outlives its parent.
        let orphan = format!("(read line <{go}; {argv} c; echo >{done}) &");
        let script = format!("{argv} a; sh -c '{argv} b; {orphan}'; echo >{go}; read line <{done}");
        let trace = trace(setup, &[], &["/bin/sh", "-c", &script]);
        trace.is_complete().check_argv();
        assert_eq!(args(&trace.events[0])[0], b"/bin/sh");
        let rows: Vec<_> = trace.of("argv").into_iter().map(|row| lossy(&args(row)[1])).collect();
        assert_eq!(rows, ["a", "b", "c"]);
    });
}

#[test]
fn inside_a_pid_namespace_too() {
    each_setup(|setup| {
        // The tool knows the command by another id there than the kernel does.
        let execsnoop = execsnoop();
        let argv = fixture("argv");
        let output = Command::new(fixture("execer"))
            .args(["pidns", execsnoop.to_str().unwrap(), "--json", "--backend", setup.backend])
            .args(["--buffer", setup.buffer, "--", "/bin/sh", "-c"])
            .arg(format!("{argv} one; {argv} two; true"))
            .output()
            .unwrap();
        let trace = parse(&output);
        trace.is_complete();
        assert_eq!(trace.events.len(), 3, "{trace:?}");
        assert_eq!(trace.of("argv").len(), 2);
        assert_eq!(trace.events[0]["process"]["vpid"], 2, "the tool is 1");
    });
}

#[test]
fn nothing_else_is_seen() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let mut noise = Command::new(fixture("execer"))
        .args(["spawn", "200", &fixture("argv"), "noise"])
        .spawn()
        .unwrap();
    let trace = trace(setup, &[], &["/bin/sh", "-c", "sleep 0.1"]);
    assert!(noise.wait().unwrap().success());
    assert_eq!(trace.of("argv").len(), 0);
}

#[test]
fn its_status_is_ours() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let status = |command: &str| EXECSNOOP.trace(setup, &[], &["/bin/sh", "-c", command]).status;
    for code in [0, 1, 2, 42, 255] {
        assert_eq!(status(&format!("exit {code}")), code);
    }
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, 64] {
        assert_eq!(status(&format!("kill -{signal} $$")), 128 + signal);
    }
}

#[test]
fn its_status_is_ours_also_where_nobody_waits_for_children() {
    use std::os::unix::process::CommandExt as _;
    for (script, status) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)] {
        let mut tool = EXECSNOOP.command(&["--", "/bin/sh", "-c", script]);
        let ignore = || {
            // SAFETY: ignoring runs no code of ours.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
            Ok(())
        };
        // SAFETY: it does nothing but a system call.
        unsafe { tool.pre_exec(ignore) };
        assert_eq!(tool.output().unwrap().status.code(), Some(status), "{script}");
    }
}

#[test]
fn a_command_that_cannot_run() {
    let dir = TempDir::new();
    let plain = dir.path("plain");
    fs::write(&plain, "").unwrap();
    for (command, status) in
        [("/no/such/program", 127), ("no-such-program", 127), ("", 127), (&plain, 126)]
    {
        let output = Command::new(execsnoop()).args(["--", command]).output().unwrap();
        assert_eq!(output.status.code(), Some(status));
        let stderr = lossy(&output.stderr);
        let shown = if command.is_empty() { "''" } else { command };
        assert!(stderr.contains(&format!("execsnoop: cannot run {shown}: ")), "{stderr}");
    }
}

#[test]
fn it_does_not_run_when_tracing_cannot_begin() {
    let dir = TempDir::new();
    let mark = dir.path("mark");
    let output = Command::new(fixture("execer"))
        .args(["user", "65534"])
        .arg(execsnoop())
        .args(["--", "/bin/sh", "-c", &format!("touch {mark}")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!std::path::Path::new(&mark).exists());
}

#[test]
fn stdin_belongs_to_it() {
    use std::io::Write;
    let mut tool = Command::new(execsnoop())
        .args([
            "--json",
            "--",
            "/bin/sh",
            "-c",
            "read line; exec \"$0\" \"$line\"",
            &fixture("argv"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(b"from stdin\n").unwrap();
    let trace = parse(&tool.wait_with_output().unwrap());
    assert_eq!(trace.only("argv")["process"]["command_args"][1], "from stdin");
}

#[test]
fn it_starts_with_the_signals_of_a_shell() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let dir = TempDir::new();
    let out = dir.path("status");
    let script = format!("grep -E '^Sig(Ign|Blk)' /proc/self/status > {out}");
    assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
    let untraced = fs::read_to_string(&out).unwrap();
    assert_eq!(trace(setup, &[], &["/bin/sh", "-c", &script]).status, 0);
    let traced = fs::read_to_string(out).unwrap();
    assert_eq!(traced, untraced);
}

#[test]
fn sigterm_is_passed_on() {
    let dir = TempDir::new();
    let mark = dir.path("mark");
    let ready = dir.path("ready");
    // Nothing in the way of the signal takes time: the tool waits for half a second only.
    let script = format!(
        "trap 'echo got >{mark}; kill $!; exit 7' TERM
         sleep 1000 >/dev/null 2>&1 & : >{ready}; wait"
    );
    let tool = start(&["--json", "--", "/bin/sh", "-c", &script]);
    eventually("the command runs", || std::path::Path::new(&ready).exists());
    tool.signal(libc::SIGTERM);
    let trace = tool.end();
    assert_eq!(trace.status, 7);
    assert_eq!(fs::read_to_string(mark).unwrap(), "got\n");
}

#[test]
fn on_a_terminal_ctrl_c_belongs_to_it() {
    use std::io::Write;
    let dir = TempDir::new();
    let out = dir.path("out");
    // The command survives one Ctrl-C; the tool must too.
    let script = "trap 'caught=1' INT; echo rea''dy; \
                  while [ -z \"$caught\" ]; do sleep 0.05; done; exit 9";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec \"$0\" --json -- /bin/sh -c \"$1\" 2>\"$2\""])
        .arg(execsnoop())
        .args([script, &out]);
    let (mut tool, mut master) = on_terminal(command);
    let mut seen = Vec::new();
    read_until(&mut master, &mut seen, "ready");
    master.write_all(b"\x03").unwrap();
    read_until(&mut master, &mut seen, "trace.end");
    assert_eq!(tool.wait().unwrap().code(), Some(9), "{}", lossy(&seen));
}

fn read_until(from: &mut fs::File, seen: &mut Vec<u8>, text: &str) {
    use std::io::Read;
    let until = Instant::now() + PATIENCE;
    while !lossy(seen).contains(text) {
        assert!(Instant::now() < until, "{text} in {}", lossy(seen));
        let mut buffer = [0; 4096];
        let n = from.read(&mut buffer).unwrap_or(0);
        seen.extend(&buffer[..n]);
    }
}

#[test]
fn other_limits_leave_it_alone() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let script = "true; true; /bin/true; /bin/true; exit 5";
    let limited = trace(setup, &["--max-events", "2"], &["/bin/sh", "-c", script]);
    assert_eq!(limited.events.len(), 2);
    assert_eq!(limited.end["events"], json!(2));
    assert_eq!(limited.status, 5);
    let timed = trace(setup, &["--duration", "0.1"], &["/bin/sh", "-c", "sleep 0.5; exit 6"]);
    assert_eq!(timed.status, 6);
}

#[test]
fn inherited_dispositions_are_passed_on() {
    use std::os::unix::process::CommandExt as _;
    // As a service (SIGPIPE), nohup(1) (SIGHUP), a script in the background (SIGINT, SIGQUIT).
    let ignored = [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGCHLD];
    let ignored = move || {
        for signal in ignored {
            // SAFETY: ignoring runs no code of ours.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(())
    };
    let dir = TempDir::new();
    let (traced, untraced) = (dir.path("traced"), dir.path("untraced"));
    let tool = execsnoop();
    let tool = tool.to_str().unwrap();
    for (out, words) in [(&untraced, &[][..]), (&traced, &[tool, "--json", "--"])] {
        let mut script =
            vec!["/bin/sh", "-c", "grep -E '^Sig(Ign|Blk)' /proc/self/status >$0", out];
        script.splice(0..0, words.iter().copied());
        let mut command = Command::new(script[0]);
        // SAFETY: it does nothing but system calls.
        unsafe { command.args(&script[1..]).pre_exec(ignored) };
        assert!(command.output().unwrap().status.success());
    }
    let untraced = fs::read_to_string(untraced).unwrap();
    let mask = untraced.split("SigIgn:").nth(1).unwrap().split_whitespace().next().unwrap();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    assert_eq!(mask & 0x1007, 0x1007, "{untraced}"); // the shell takes SIGCHLD back
    assert_eq!(fs::read_to_string(traced).unwrap(), untraced);
}

/// A pseudo terminal whose foreground is `command`, and its other end.
fn on_terminal(mut command: Command) -> (std::process::Child, fs::File) {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let pty = nix::pty::openpty(None, None).unwrap();
    let terminal = pty.slave.as_raw_fd();
    command.stdin(pty.slave.try_clone().unwrap()).stdout(pty.slave.try_clone().unwrap());
    let take_terminal = move || {
        nix::unistd::setsid()?;
        // Ignored where the tests run in the background; a shell cannot trap it then.
        // SAFETY: no handler.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        // SAFETY: an open terminal, and no pointer.
        let result = unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 0) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(take_terminal) };
    let child = command.spawn().unwrap();
    (child, fs::File::from(pty.master))
}

#[test]
fn ctrl_c_is_for_us_when_the_command_does_not_get_it() {
    use std::io::Write;
    let dir = TempDir::new();
    let out = dir.path("out");
    let mark = dir.path("mark");
    // A session of its own, as daemons have; it says which signal came to it.
    let script = format!("trap 'echo INT >{mark}; exit 4' INT; echo rea''dy; sleep 1000 & wait");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec \"$0\" --json -- \"$1\" session /bin/sh -c \"$2\" 2>\"$3\""])
        .arg(execsnoop())
        .args([&fixture("execer"), &script, &out]);
    let (mut tool, mut master) = on_terminal(command);
    let mut seen = Vec::new();
    read_until(&mut master, &mut seen, "ready");
    master.write_all(b"\x03").unwrap();
    read_until(&mut master, &mut seen, "trace.end");
    assert_eq!(tool.wait().unwrap().code(), Some(4), "{}", lossy(&seen));
    assert_eq!(fs::read_to_string(mark).unwrap(), "INT\n");
}

#[test]
fn a_command_that_ignores_the_signal_is_left_and_named() {
    let dir = TempDir::new();
    let ready = dir.path("ready");
    let script = format!(
        "trap '' TERM; exec >/dev/null 2>&1; echo $$ >{ready}.draft; mv {ready}.draft {ready}; \
                          while :; do sleep 0.1; done"
    );
    let tool = start(&["--json", "--", "/bin/sh", "-c", &script]);
    eventually("the command runs", || std::path::Path::new(&ready).exists());
    let pid: i32 = fs::read_to_string(ready).unwrap().trim().parse().unwrap();
    tool.signal(libc::SIGTERM);
    let (_, words, status) = tool.finish();
    // SAFETY: the shell of this test.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0, "it lives");
    assert_eq!(status, 128 + libc::SIGTERM);
    let line = format!("execsnoop: process {pid} does not end on SIGTERM and goes on, untraced");
    assert!(words.lines().any(|said| said == line), "{words}");
}

#[test]
fn with_follow_the_last_descendant_ends_it() {
    each_setup(|setup| {
        let dir = TempDir::new();
        let argv = fixture("argv");
        let go = dir.path("go");
        mkfifo(go.as_str(), Mode::S_IRWXU).unwrap();
        // An orphan in a session of its own outlives the command, whose status is ours.
        let execer = fixture("execer");
        let script = format!("{execer} session /bin/sh -c 'read line <{go}; {argv} last' & exit 3");
        let flags = [&["--json", "--follow"][..], &setup.flags()].concat();
        let mut tool = start(&[&flags[..], &["--", "/bin/sh", "-c", &script]].concat());
        let is_orphan = |row: &Value| {
            row["process"]["command_args"][0] == "/bin/sh"
                && row["process"]["command_args"].to_string().contains("read line")
        };
        // (Once for the command, whose script names it too, and once for the orphan.)
        tool.wait_for("the command", is_orphan);
        tool.wait_for("the orphan", is_orphan);
        fs::write(&go, "\n").unwrap();
        let trace = tool.end();
        trace.is_complete();
        assert_eq!(trace.of("argv").len(), 1, "{trace:?}");
        assert_eq!(trace.status, 3);
    });
}
