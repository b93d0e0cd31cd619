//! Executions that fail (-x): errno, file and arguments, and what is none.

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use super::*;
use crate::elf::elf;

/// The failures in a trace.
fn failures(trace: &Trace) -> Vec<&Value> {
    trace.events.iter().filter(|e| e["event"]["name"] == "process.exec_failed").collect()
}

fn only_failure(trace: &Trace) -> &Value {
    let all = failures(trace);
    assert_eq!(all.len(), 1, "{trace:?}");
    all[0]
}

#[test]
fn errnos_with_file_and_arguments() {
    let dir = TempDir::new();
    let plain = dir.path("not-executable");
    fs::write(&plain, "x").unwrap();
    let garbage = dir.program("garbage", b"\x00\x01\x02\x03");
    let under_file = format!("{plain}/below");
    each_failure_setup(|setup| {
        for (file, errno) in [
            ("/no/such/file", "ENOENT"),
            (plain.as_str(), "EACCES"),
            (under_file.as_str(), "ENOTDIR"),
            (garbage.as_str(), "ENOEXEC"),
            ("", "ENOENT"),
        ] {
            let command = [&fixture("execer"), "exec", file, "zero", "", "two\n"];
            let trace = trace(setup, &["-x"], &command.map(|s| s as &str));
            trace.is_complete();
            let row = only_failure(&trace);
            assert_eq!(row["error"]["type"], errno, "{row}");
            assert_eq!(row["exec"]["filename"], file);
            assert_eq!(row["process"]["command_args"], json!(["zero", "", "two\n"]));
            assert_eq!(row["process"]["args_count"], 3);
            assert_eq!(row["process"]["comm"], "execer");
            assert_eq!(row["process"]["pid"], trace.events[0]["process"]["pid"]);
            assert_eq!(trace.status, 1);
        }
    });
}

#[test]
fn a_lost_race_is_no_failure() {
    let count = scaled(300).max(50);
    each_failure_setup(|setup| {
        let command = [&fixture("execer"), "race", &count.to_string(), &fixture("argv"), "x"];
        let trace = trace(setup, &["-x"], &command.map(|s| s as &str));
        assert_eq!(trace.status, 0, "exec has returned");
        assert_eq!(failures(&trace), [&Value::Null; 0]);
        // Threads that race: preemptible kernels (7.0) skip a program now and then, and count it.
        let lost = trace.end["lost"].as_u64().unwrap() as usize;
        assert!(lost == 0 || kernel_release() >= (7, 0), "{:?}", trace.end);
        let shown = trace.of("argv").len();
        assert!(shown <= count as usize && shown + lost >= count as usize, "{:?}", trace.end);
    });
}

#[test]
fn many_and_long_arguments_are_cut() {
    // The kernel takes no longer argument than 32 pages.
    let too_long = (32 * page_bytes()).to_string();
    each_failure_setup(|setup| {
        let command = [&fixture("execer"), "long", &fixture("argv"), &too_long, "1"];
        let trace = trace(setup, &["-x"], &command.map(|s| s as &str));
        let row = only_failure(trace.is_complete());
        assert_eq!(row["error"]["type"], "E2BIG");
        assert_eq!(row["process"]["args_count"], 2);
        assert_eq!(row["process"]["command_args_cut"], json!({ "args": 1 }));
        let shown = args(row);
        assert_eq!(shown[0], fixture("argv").into_bytes());
        assert!(shown[1].len() > 8000 && shown[1].iter().all(|&b| b == b'b'));

        for (count, shown) in [(127, 127), (600, 128)] {
            let command = [&fixture("execer"), "many", "/no/such/file", &count.to_string()];
            let trace = self::trace(setup, &["-x"], &command.map(|s| s as &str));
            let row = only_failure(trace.is_complete());
            let expected: Vec<_> = (0..shown).map(|n| n.to_string().into_bytes()).collect();
            assert_eq!(args(row), expected);
            let cut = &row["process"]["command_args_cut"];
            let unknown = json!({ "args": 0, "at_least": true });
            assert_eq!(*cut, if count == shown { Value::Null } else { unknown });
        }
    });
}

#[test]
fn a_file_name_that_is_too_long_is_cut_and_says_so() {
    let name = format!("/{}", "n".repeat(5000));
    each_failure_setup(|setup| {
        let trace = trace(setup, &["-x"], &[&fixture("execer"), "exec", &name, "x"]);
        let row = only_failure(trace.is_complete());
        assert_eq!(row["error"]["type"], "ENAMETOOLONG");
        assert_eq!(row["exec"]["filename"], name[..4095]);
        assert_eq!(row["exec"]["filename_cut"], true);
        assert_eq!(row["process"]["command_args"], json!(["x"]));
    });
}

#[test]
fn strings_in_pages_never_touched() {
    each_failure_setup(|setup| {
        let dir = TempDir::new();
        let fifo = dir.path("fifo");
        mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
        let flags = ["--json", "-x", "--", &fixture("execer"), "cold-missing", &fifo];
        let mut running = start(&[&setup.flags()[..], &flags].concat());
        // The strings are read after the call, while the process is there.
        running.wait_for("failure", |row| row["event"]["name"] == "process.exec_failed");
        fs::write(fifo, "").unwrap();
        let trace = running.end();
        let row = only_failure(trace.is_complete());
        assert_eq!(row["exec"]["filename"], "/proc/self/cwd/no-such-file");
        assert_eq!(row["process"]["command_args"], json!(["COLD_ONE", "COLD_TWO"]), "{row}");
        assert_eq!(row["process"]["args_count"], 2);
    });
}

#[test]
fn bad_addresses() {
    each_failure_setup(|setup| {
        let trace = trace(setup, &["-x", "--all"], &[&fixture("execer"), "fault"]);
        let rows = failures(trace.is_complete());
        assert_eq!(rows.len(), 4, "{trace:?}");
        assert_eq!(rows[0]["error"]["type"], "EFAULT");
        assert_eq!(rows[0]["exec"]["filename"], Value::Null);
        assert_eq!(rows[0]["exec"]["args_unreadable"], true);
        for row in &rows[1..3] {
            // Depending on the kernel the file or the arguments are looked at first.
            assert!(["ENOENT", "EFAULT"].contains(&row["error"]["type"].as_str().unwrap()));
            assert_eq!(row["exec"]["filename"], "/no/such/file");
            assert_eq!(row["exec"]["args_unreadable"], true, "{row}");
        }
        assert_eq!(args(rows[1])[0], b"first");
        assert_eq!(rows[3]["process"]["args_count"], 0);
        assert_eq!(rows[3]["exec"]["args_unreadable"], Value::Null);
    });
}

#[test]
fn by_32_bit_programs() {
    if !runs_32_bit() {
        skip!(skip::NO_32_BIT);
    }
    each_failure_setup(|setup| {
        let trace = trace(setup, &["-x"], &[&fixture("tiny32"), "/no/such/file", "a", "b c"]);
        assert_eq!(trace.status, 1);
        if setup.backend == "tracepoint" {
            assert_eq!(failures(&trace).len(), 0, "documented: not seen");
            return;
        }
        let row = only_failure(trace.is_complete());
        assert_eq!(row["error"]["type"], "ENOENT");
        assert_eq!(row["exec"]["compat"], true);
        assert_eq!(row["exec"]["filename"], "/no/such/file");
        assert_eq!(row["process"]["command_args"], json!(["/no/such/file", "a", "b c"]));
    });
}

#[test]
fn relative_to_a_folder() {
    each_failure_setup(|setup| {
        let trace = trace(setup, &["-x"], &[&fixture("execer"), "at", "/", "no-such-file"]);
        let row = only_failure(trace.is_complete());
        let filename = row["exec"]["filename"].as_str().unwrap();
        assert!(filename.starts_with("/dev/fd/") && filename.ends_with("/no-such-file"), "{row}");
    });
}

#[test]
fn a_search_along_path_is_one_row() {
    let path = format!("PATH=/no/a:/no/b:{}", fixtures().to_str().unwrap());
    let env = ["/usr/bin/env", "/bin/env"].into_iter().find(|f| std::path::Path::new(f).exists());
    let command = [env.unwrap(), &path, &fixture("execer"), "search", "argv", "x"];
    each_failure_setup(|setup| {
        let folded = trace(setup, &["-x"], &command);
        folded.is_complete();
        assert_eq!(failures(&folded).len(), 0, "{folded:?}");
        let found = folded.only("argv");
        assert_eq!(found["exec"]["searched"], json!(["/no/a/argv", "/no/b/argv"]));

        let all = trace(setup, &["-x", "--all"], &command);
        let files: Vec<_> = failures(all.is_complete())
            .iter()
            .map(|row| row["exec"]["filename"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(files, ["/no/a/argv", "/no/b/argv"]);
        assert_eq!(all.only("argv")["exec"]["searched"], Value::Null);
    });
}

#[test]
fn a_search_in_vain_is_one_row() {
    each_failure_setup(|setup| {
        let path = "PATH=/no/a:/no/b";
        let env =
            if std::path::Path::new("/usr/bin/env").exists() { "/usr/bin/env" } else { "/bin/env" };
        let command = [env, path, &fixture("execer"), "search", "no-such-program"];
        let trace = trace(setup, &["-x"], &command);
        let row = only_failure(trace.is_complete());
        assert_eq!(row["exec"]["filename"], "/no/b/no-such-program");
        assert_eq!(row["exec"]["searched"], json!(["/no/a/no-such-program"]));
    });
}

#[test]
fn places_that_deny_or_are_no_folders() {
    let dir = TempDir::new();
    let file = dir.path("file");
    fs::write(&file, "").unwrap(); // nobody may execute it
    let folder = dir.0.to_str().unwrap();
    let env = ["/usr/bin/env", "/bin/env"].into_iter().find(|f| std::path::Path::new(f).exists());
    let search = |setup, path: &str, name: &str| {
        let path = format!("PATH={path}");
        trace(setup, &["-x"], &[env.unwrap(), &path, &fixture("execer"), "search", name])
    };
    each_failure_setup(|setup| {
        let folders = fixtures().to_str().unwrap();
        let found = search(setup, &format!("/no/a:{file}:/no/b:{folders}"), "argv");
        assert_eq!(failures(found.is_complete()).len(), 0, "{found:?}");
        let in_file = format!("{file}/argv");
        let searched = &found.only("argv")["exec"]["searched"];
        assert_eq!(*searched, json!(["/no/a/argv", in_file, "/no/b/argv"]));

        let denied = search(setup, &format!("/no/a:{folder}:/no/b:/no/c"), "file");
        let rows = failures(denied.is_complete());
        assert_eq!(rows.len(), 2, "{denied:?}");
        assert_eq!(
            (&rows[0]["error"]["type"], &rows[0]["exec"]["filename"]),
            (&json!("EACCES"), &json!(file))
        );
        assert_eq!(rows[1]["exec"]["filename"], "/no/c/file");
        assert_eq!(rows[1]["exec"]["searched"], json!(["/no/a/file", "/no/b/file"]));
    });
}

#[test]
fn a_missing_interpreter_is_told_from_a_missing_file() {
    let dir = TempDir::new();
    let script = dir.program("script", b"#!/no/such/interpreter -e\n");
    let program = dir.program("program", &elf_with_loader("/no/such/loader"));
    each_failure_setup(|setup| {
        for (file, missing) in [
            (script.as_str(), json!("/no/such/interpreter")),
            (program.as_str(), json!("/no/such/loader")),
            ("/no/such/file", Value::Null),
        ] {
            // The process goes on for a moment, as a shell that complains does.
            let command = format!("{} exec {file} x; true", fixture("execer"));
            let trace = trace(setup, &["-x"], &["/bin/sh", "-c", &command]);
            let row = only_failure(trace.is_complete());
            assert_eq!(row["error"]["type"], "ENOENT");
            assert_eq!(row["exec"]["missing_interpreter"], missing, "{row}");
        }
    });
}

/// Runs FILE, which fails, in a process that goes on for a moment, as a shell that complains does.
fn failed_run(setup: Setup, file: &str) -> Value {
    let command = format!("{} exec {file} x; true", fixture("execer"));
    let trace = trace(setup, &["-x"], &["/bin/sh", "-c", &command]);
    only_failure(trace.is_complete()).clone()
}

#[test]
fn interpreters_at_any_depth() {
    let dir = TempDir::new();
    let script = |name: &str, interpreter: &str| {
        dir.program(name, format!("#!{interpreter}\nexit 0\n").as_bytes())
    };
    let missing = script("missing", "/no/such/interpreter");
    let over_missing = script("over_missing", &missing);
    let third = script("third", &over_missing);
    let loader = dir.program("loader", &elf_with_loader("/no/such/loader"));
    let over_loader = script("over_loader", &loader);
    let dos = dir.program("dos", b"#!/bin/sh\r\nexit 0\r\n");
    each_failure_setup(|setup| {
        for (file, expected) in [
            (&over_missing, "/no/such/interpreter"),
            (&third, "/no/such/interpreter"),
            (&over_loader, "/no/such/loader"),
            (&dos, "/bin/sh\r"),
        ] {
            let row = failed_run(setup, file);
            assert_eq!(row["error"]["type"], "ENOENT");
            assert_eq!(row["exec"]["missing_interpreter"], expected, "{row}");
        }
        // The kernel follows five; what is missing behind them is no reason.
        let mut last = script("d0", "/no/such/interpreter");
        for depth in 1..=6 {
            let file = script(&format!("d{depth}"), &last);
            let row = failed_run(setup, &file);
            let exec = &row["exec"];
            match row["error"]["type"].as_str().unwrap() {
                "ENOENT" => assert_eq!(exec["missing_interpreter"], "/no/such/interpreter"),
                "ELOOP" => {
                    assert_eq!(exec["bad_interpreter"]["reason"], "after five others", "{row}");
                    assert!(depth > 4, "{row}");
                }
                other => panic!("{other}: {row}"),
            }
            last = file;
        }
    });
}

#[test]
fn interpreters_that_are_there() {
    let dir = TempDir::new();
    let plain = dir.path("plain");
    fs::write(&plain, "no program").unwrap();
    let text = dir.program("text", b"no program");
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    let over = |name: &str, interpreter: &str| {
        dir.program(name, format!("#!{interpreter} -x\n").as_bytes())
    };
    let cases = [
        (over("a", &plain), "EACCES", &plain, "not executable"),
        (over("b", &folder), "EACCES", &folder, "not a file"),
        (over("c", &text), "ENOEXEC", &text, "of unknown format"),
        (over("d", &dir.path("a")), "EACCES", &plain, "not executable"),
        (dir.program("e", &elf_with_loader(&plain)), "EACCES", &plain, "not executable"),
    ];
    each_failure_setup(|setup| {
        for (file, errno, path, reason) in &cases {
            let row = failed_run(setup, file);
            assert_eq!(row["error"]["type"], *errno, "{row}");
            let expected = json!({ "path": path, "reason": reason });
            assert_eq!(row["exec"]["bad_interpreter"], expected, "{row}");
        }
        // The fault of the file itself is none of an interpreter.
        for (file, errno) in [(&plain, "EACCES"), (&text, "ENOEXEC"), (&folder, "EACCES")] {
            let row = failed_run(setup, file);
            assert_eq!(row["error"]["type"], errno, "{row}");
            assert_eq!(row["exec"]["bad_interpreter"], Value::Null, "{row}");
        }
    });
}

fn elf_with_loader(loader: &str) -> Vec<u8> {
    let headers = 64 + 2 * 56;
    let name = format!("{loader}\0");
    let segments = [(3, headers, 0, name.len() as u64), (1, 0, 0x40_0000, 0x1000)];
    elf(&segments, name.as_bytes())
}

#[test]
fn past_the_point_of_no_return() {
    let dir = TempDir::new();
    // A segment above all user addresses: seen only when the old image is gone.
    let program = dir.program("fatal", &elf(&[(1, 0, 0x0080_0000_0000_0000, 0x1000)], b""));
    each_failure_setup(|setup| {
        let trace = trace(setup, &["-x"], &[&fixture("execer"), "exec", &program, "lost", "args"]);
        assert_eq!(trace.status, 128 + libc::SIGSEGV, "{trace:?}");
        let row = only_failure(trace.is_complete());
        assert_eq!(row["exec"]["fatal_signal"], "SIGSEGV", "{row}");
        assert_eq!(row["process"]["executable"]["path"], program.as_str());
        assert_eq!(row["process"]["command_args"], Value::Null, "they are gone");
        assert_eq!(row["exec"]["filename"], Value::Null);
    });
}

#[test]
fn a_mere_check_is_no_execution() {
    each_failure_setup(|setup| {
        for program in [&fixture("argv"), "/no/such/file"] {
            let trace = trace(setup, &["-x"], &[&fixture("execer"), "check", program]);
            trace.is_complete();
            assert_eq!(trace.events.len(), 1, "{trace:?}"); // execer itself
        }
    });
}

#[test]
fn without_x_no_failure_is_shown() {
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&fixture("execer"), "exec", "/no/such/file", "x"]);
        trace.is_complete();
        assert_eq!(failures(&trace).len(), 0);
    });
}
