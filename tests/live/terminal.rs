//! On a terminal: rows cut at its width, and the counter of runs that show nothing.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};

use crate::harness::*;

const BPFRUN: Tool = Tool("bpfrun");
const EXECSNOOP: Tool = Tool("execsnoop");
const MMAPSNOOP: Tool = Tool("mmapsnoop");
const PROCSNOOP: Tool = Tool("procsnoop");
const TCPCONNECT: Tool = Tool("tcpconnect");

/// A pseudo-terminal: an end for a program, and a thread that reads all that it shows.
fn terminal(columns: u16) -> (File, std::thread::JoinHandle<String>) {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let mut master = File::from(pty.master);
    let reader = std::thread::spawn(move || {
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        // Ends with EIO once nobody has the other end.
        while let Ok(len @ 1..) = master.read(&mut buffer) {
            seen.extend_from_slice(&buffer[..len]);
        }
        String::from_utf8(seen).unwrap()
    });
    (File::from(pty.slave), reader)
}

/// What stderr shows of a run on a terminal, or without one.
fn words(tool: Tool, flags: &[&str], on_terminal: bool) -> String {
    let mut command = tool.command(flags);
    command.stdin(Stdio::null()).stdout(Stdio::null()).env("TERM", "xterm");
    if !on_terminal {
        return lossy(&command.output().unwrap().stderr);
    }
    let (end, reader) = terminal(80);
    let status = command.stderr(end).status().unwrap();
    drop(command); // it has the other end
    assert!(status.success());
    reader.join().unwrap()
}

#[test]
fn a_run_that_shows_nothing_counts() {
    let quiet = ["--comm", "no-such-name", "--duration", "0.5"];
    for (tool, flags, counter) in [
        (EXECSNOOP, &[][..], "tracing… no event yet, Ctrl-C ends"),
        (PROCSNOOP, &["-q", "--tree-view"], "tracing… no life yet, Ctrl-C ends"),
        (TCPCONNECT, &["--count"], "tracing… no attempt yet, Ctrl-C ends"),
        (MMAPSNOOP, &["--summary", "100"], "tracing… totals in 100 seconds, Ctrl-C ends"),
    ] {
        let flags = [&quiet[..], flags].concat();
        let seen = words(tool, &flags, true);
        assert!(seen.contains(counter), "{flags:?}: {seen:?}");
        let (_, after) = seen.rsplit_once("\r\x1b[K").unwrap();
        assert!(!after.contains("tracing"), "erased before the totals: {seen:?}");
        assert!(after.ends_with(" lost\r\n"), "{seen:?}");
        assert!(!words(tool, &flags, false).contains("tracing"), "only on a terminal");
    }
}

#[test]
fn the_terminal_of_a_command_is_its_own() {
    let seen = words(PROCSNOOP, &["-q", "--tree-view", "--", "sleep", "0.5"], true);
    assert!(!seen.contains("tracing"), "{seen:?}");
}

#[test]
fn rows_end_where_the_terminal_does() {
    for tool in [EXECSNOOP, PROCSNOOP] {
        let (end, reader) = terminal(60);
        let mut command: Command = tool.command(&["--color", "never", "--"]);
        command.arg(fixture("argv")).arg("x".repeat(200)).stdin(Stdio::null());
        let status = command.stdout(end).stderr(Stdio::null()).status().unwrap();
        drop(command);
        assert!(status.success());
        let seen = reader.join().unwrap();
        let rows: Vec<_> = seen.lines().filter(|line| line.contains("argv ")).collect();
        assert!(!rows.is_empty(), "{seen:?}");
        for row in rows {
            assert_eq!(row.chars().count(), 60, "{row:?}");
            assert!(row.ends_with('…'), "{row:?}");
        }
    }
}

#[test]
fn events_of_any_object_end_there_too() {
    for (flags, is_cut) in [(&[][..], true), (&["--wide"], false)] {
        let (end, reader) = terminal(60);
        let mut command: Command = BPFRUN.command(&["run", &object("07-ring-buffer")]);
        command.args(flags).args(["--", "/bin/true"]).stdin(Stdio::null());
        let status = command.stdout(end).stderr(Stdio::null()).status().unwrap();
        drop(command);
        assert!(status.success());
        let seen = reader.join().unwrap();
        let rows: Vec<_> = seen.lines().filter(|line| line.contains("duration_ns=")).collect();
        assert!(!rows.is_empty(), "{seen:?}");
        let ends_there = |row: &&str| row.chars().count() == 60 && row.ends_with('…');
        assert_eq!(rows.iter().all(ends_there), is_cut, "{rows:?}");
    }
}
