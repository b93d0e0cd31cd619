//! The command lines, without privileges: help, version, and values that are refused before
//! anything is loaded.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bpfrun;
mod execsnoop;
mod generate;
mod mmapsnoop;
mod output;
mod procsnoop;
mod recorded;
mod shells;
mod tcpconnect;

use std::path::Path;
use std::process::{Command, Output};

/// A tool's name is its file's: cargo puts all of them into one folder.
fn run(tool: &str, args: &[&str]) -> Output {
    let path = Path::new(env!("CARGO_BIN_EXE_execsnoop")).with_file_name(tool);
    Command::new(path).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `--help` has these words, `--version` the version.
fn describes_itself(tool: &str, help_flags: &[&str], words: &[&str]) {
    for flag in help_flags {
        let output = run(tool, &[flag]);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for word in words {
            assert!(help.contains(word), "{word}: {help}");
        }
    }
    let version = text(&run(tool, &["--version"]).stdout);
    assert_eq!(version, format!("{tool} {}\n", env!("CARGO_PKG_VERSION")));
}

/// Each of these command lines is refused with status 2 and a reason on stderr.
fn refuses(tool: &str, wrong: &[(&[&str], &str)]) {
    for (args, reason) in wrong {
        assert!(!reason.is_empty(), "{args:?}: any reason would do");
        let output = run(tool, args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{args:?}: {stderr}");
        assert!(stderr.contains(reason), "{args:?}: {stderr}");
        // What stands behind that is run.
        assert!(!stderr.contains("'-- "), "{args:?}: {stderr}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
}

#[test]
fn an_empty_command_is_refused() {
    // `tool -- $UNSET` in a script: not a trace of the whole machine.
    for tool in generate::programs().iter().filter(|name| *name != "bpfrun") {
        for args in [&["--"][..], &["--json", "--"]] {
            let output = run(tool, args);
            assert_eq!(output.status.code(), Some(2), "{tool} {args:?}");
            assert_eq!(text(&output.stderr), "error: no command after --\n", "{tool} {args:?}");
            assert_eq!(text(&output.stdout), "");
        }
    }
    for args in [&["run", "x.o", "--"][..], &["x.o", "map", "--"]] {
        let output = run("bpfrun", args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(text(&output.stderr), "error: no command after --\n", "{args:?}");
    }
    // Which has no COMMAND.
    let output = run("bpfrun", &["inspect", "/no/such/file", "--"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn an_unknown_column_is_refused_in_one_line_that_lists_them() {
    for tool in generate::programs().iter().filter(|name| *name != "bpfrun") {
        let output = run(tool, &["-o", "PID,nope"]);
        assert_eq!(output.status.code(), Some(2), "{tool}");
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("error: no column 'nope': there are time, "), "{stderr}");
        assert!(stderr.contains(" pid, ") && stderr.contains(" uid, "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let output = run(tool, &["-o", "pid", "--json"]);
        assert_eq!(output.status.code(), Some(2), "{tool}");
    }
}

/// These are taken by every tracer: what is refused is the flag behind them.
#[test]
fn flags_are_the_same_in_every_tool() {
    for tool in generate::programs().iter().filter(|name| *name != "bpfrun") {
        for flag in [
            "--failed",
            "--fails",
            "-x",
            "--time",
            "--utc",
            "--date",
            "--print-uid",
            "-U",
            "-t",
            "--quiet",
        ] {
            let output = run(tool, &[flag, "--no-such-flag"]);
            let stderr = text(&output.stderr);
            assert!(stderr.contains("'--no-such-flag'"), "{tool} {flag}: {stderr}");
        }
        for (flag, instead) in [("--cgroupmap", "--cgroup takes"), ("--mntnsmap", "--tree select")]
        {
            let output = run(tool, &[flag, "/sys/fs/bpf/x"]);
            assert_eq!(output.status.code(), Some(2), "{tool} {flag}");
            let stderr = text(&output.stderr);
            assert!(stderr.lines().next().unwrap().contains(instead), "{tool} {flag}: {stderr}");
        }
    }
    for flags in [&["-c", "-s"][..], &["-d"], &["-L"], &["-c", "--per-process"]] {
        let output = run("tcpconnect", &[flags, &["--no-such-flag"]].concat());
        assert!(text(&output.stderr).contains("'--no-such-flag'"), "{flags:?}");
    }
    for flag in ["-C", "-M"] {
        let output = run("tcpconnect", &[flag, "/sys/fs/bpf/x"]);
        assert!(text(&output.stderr).contains(" --cgroup "), "{flag}");
    }
}

/// Help of a tool as a terminal of this width has it.
fn help(tool: &str, flag: &str, width: usize) -> String {
    help_of(&[tool, flag], width)
}

/// The same for a whole command line.
fn help_of(words: &[&str], width: usize) -> String {
    let (tool, flags) = words.split_first().unwrap();
    let path = Path::new(env!("CARGO_BIN_EXE_execsnoop")).with_file_name(tool);
    let output = Command::new(path)
        .args(flags)
        .env("COLUMNS", width.to_string())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    text(&output.stdout)
}

#[test]
fn short_help_fits_a_screen() {
    for tool in generate::programs().iter().filter(|name| *name != "bpfrun") {
        for width in [80, 100] {
            let help = help(tool, "-h", width);
            assert!(help.lines().count() <= 25, "{tool}, {} lines:\n{help}", help.lines().count());
            for word in ["--help", "--json", "--columns", "--pid", "-- COMMAND"] {
                assert!(help.contains(word), "{tool}: {word}:\n{help}");
            }
            assert!(!help.contains("--buffer-size"), "{help}");
        }
    }
}

#[test]
fn short_help_of_tasks_fits_a_screen() {
    for (task, words) in [
        ("run", &["--help", "--attach", "--set", "--maps", "[MAP]..."][..]),
        ("inspect", &["--help", "--disasm", "--schema", "<FILE>"]),
    ] {
        for width in [80, 100] {
            let help = help_of(&["bpfrun", task, "-h"], width);
            assert!(help.lines().count() <= 25, "{task}, {} lines:\n{help}", help.lines().count());
            assert!(words.iter().all(|word| help.contains(word)), "{task}:\n{help}");
            let whole = help_of(&["bpfrun", task, "--help"], width);
            assert!(whole.lines().count() > 40 && whole.contains("Examples:"), "{task}:\n{whole}");
            assert_eq!(help_of(&["bpfrun", "help", task], width), whole, "{task}");
        }
        assert!(!help_of(&["bpfrun", task, "-h"], 80).contains("--type-from"), "{task}");
    }
    assert!(help_of(&["bpfrun", "inspect", "-h"], 60).lines().all(|line| line.len() <= 60));
}

#[test]
fn help_ends_where_the_terminal_does() {
    for tool in generate::programs() {
        for flag in ["-h", "--help"] {
            for width in [60, 80, 100] {
                let help = help(&tool, flag, width);
                // What cannot be broken: examples, and the longest flags.
                let is_text = |line: &&str| line.split_whitespace().count() > 3;
                let is_example = |line: &str| line.trim_start().starts_with(&tool);
                let lines = help.lines().filter(is_text).filter(|line| !is_example(line));
                for line in lines {
                    assert!(line.chars().count() <= width, "{tool} {flag} at {width}:\n{line}");
                }
            }
        }
    }
}

#[test]
fn help_lists_notes_columns_and_keys() {
    for (tool, lines) in [
        ("execsnoop", &["  exe=PATH ", "  ARGS ", "  process.command_args "][..]),
        ("procsnoop", &["  no exec ", "  STATUS ", "  process.exit.code "]),
        ("mmapsnoop", &["  deleted ", "  PATH/RESULT ", "  mmap.length_bytes "]),
        ("tcpconnect", &["  DADDR ", "  network.peer.address "]),
        ("killsnoop", &["  TPID ", "  signal.target.pid "]),
    ] {
        let help = help(tool, "--help", 100);
        for start in lines {
            let found = help.lines().filter(|line| line.starts_with(start)).count();
            assert_eq!(found, 1, "{tool}: {start}:\n{help}");
        }
    }
}
