//! Beginning and end of a tool: privileges, signals, limits, stdout, what is left behind.

use std::fs::File;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::*;

#[test]
fn signals_end_it_in_order() {
    each_setup(|setup| {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let running = start(&["--json", "--backend", setup.backend, "--buffer", setup.buffer]);
            let mark = format!("end-{}-{}-{signal}", setup.backend, setup.buffer);
            run("argv", &[&mark]);
            running.signal(signal);
            let (lines, stderr, status) = running.finish();
            assert_eq!(status, 0, "{stderr}");
            assert!(lines.iter().any(|line| line.contains(&mark)), "drained: {lines:?}");
            assert!(lines.last().unwrap().contains("trace.end"));
            assert_eq!(stderr, "");
        }
    });
}

#[test]
fn stopped_and_continued_it_goes_on() {
    let argv = OwnArgv::new();
    let mut running = start(&["--json", "--comm", &argv.comm]);
    for round in ["one", "two", "three"] {
        running.signal(libc::SIGSTOP);
        running.signal(libc::SIGCONT);
        argv.spawn(1, round);
        assert!(running.line().contains(round));
    }
    running.stop();
}

#[test]
fn rows_come_at_any_rate_and_wait_for_no_others() {
    each_setup(|setup| {
        let argv = OwnArgv::new();
        let mut running = start(&[
            "--json",
            "--comm",
            &argv.comm,
            "--backend",
            setup.backend,
            "--buffer",
            setup.buffer,
        ]);
        for pause_ms in [0, 5, 30, 900] {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(pause_ms));
                argv.spawn(1, "now");
                assert!(running.line().contains("now"));
            }
        }
        running.stop();
    });
}

#[test]
fn limits_end_it() {
    each_setup(|setup| {
        let tool = |flags: &[&str]| {
            let mut command = Command::new(execsnoop());
            command
                .args(["--json", "--backend", setup.backend, "--buffer", setup.buffer])
                .args(flags);
            command
        };
        let start = Instant::now();
        let trace = parse(&tool(&["--duration", "0.3"]).output().unwrap());
        assert_eq!(trace.status, 0);
        assert!(start.elapsed() >= Duration::from_millis(300));

        let argv = OwnArgv::new();
        let child = tool(&["--max-events", "3", "--comm", &argv.comm])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::scope(|scope| {
            let output = scope.spawn(|| child.wait_with_output().unwrap());
            while !output.is_finished() {
                argv.spawn(100, "x");
            }
            let trace = parse(&output.join().unwrap());
            assert_eq!((trace.status, trace.events.len()), (0, 3));
            assert_eq!(trace.end["events"], 3);
        });
    });
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    for with_events in [true, false] {
        let argv = OwnArgv::new();
        let mut running = start(&["--comm", &argv.comm]);
        running.close_stdout();
        if with_events {
            argv.spawn(1, "unseen");
        }
        let (_, stderr, status) = running.finish();
        assert_eq!((stderr.as_str(), status), ("", 0));
    }
}

#[test]
fn a_full_disk_is_an_error() {
    for flags in [&["--json"][..], &[]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(execsnoop()).args(flags).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected = "execsnoop: cannot write to stdout: ENOSPC: No space left on device\n";
        assert_eq!(lossy(&output.stderr), expected);
    }
}

#[test]
fn a_limit_of_file_size_is_an_error_after_a_whole_line() {
    use std::os::unix::process::CommandExt as _;
    const MOST: u64 = 5000;
    let limited = || {
        Ok(nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE, MOST, MOST)?)
    };
    for flags in [&["--json"][..], &[]] {
        let dir = TempDir::new();
        let path = dir.path("rows");
        // Behind what is there already.
        fs::write(&path, "a line\n").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        let mut tool = Command::new(execsnoop());
        tool.args(flags).args(["--", &fixture("execer"), "spawn", "50", &fixture("argv")]);
        tool.arg("x".repeat(200)).stdin(Stdio::null()).stdout(file);
        // SAFETY: a system call between fork and exec.
        let output = unsafe { tool.pre_exec(limited) }.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let expected = "execsnoop: cannot write to stdout: EFBIG: File too large\n";
        assert_eq!(lossy(&output.stderr), expected);
        let text = fs::read_to_string(&path).unwrap();
        let longest = text.lines().map(str::len).max().unwrap() + 1;
        assert!(text.len() as u64 <= MOST && text.len() + longest > MOST as usize, "{text}");
        assert!(text.starts_with("a line\n") && text.ends_with('\n'), "{text}");
        let is_whole = |line: &str| match flags {
            [] => line.ends_with('x') || line.ends_with("ARGS") || line.contains("execer"),
            _ => serde_json::from_str::<Value>(line).is_ok(),
        };
        assert!(text.lines().skip(1).all(is_whole), "{text}");
    }
}

#[test]
fn a_command_has_the_signal_of_that_limit_as_it_was() {
    let ignored = |trap: &str| {
        let script = format!("{trap} exec \"$0\" -- grep SigIgn: /proc/self/status");
        let mut shell = Command::new("/bin/sh");
        let output = shell.args(["-c", &script]).arg(execsnoop()).output().unwrap();
        let text = lossy(&output.stdout);
        let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
        mask >> (libc::SIGXFSZ - 1) & 1 == 1
    };
    assert!(!ignored(""));
    assert!(ignored("trap '' XFSZ;"));
}

#[test]
fn text_can_be_pasted_into_a_shell() {
    each_setup(|setup| {
        let argv = fixture("argv");
        let output = Command::new(execsnoop())
            .args(["--comm", "argv", "--backend", setup.backend, "--buffer", setup.buffer, "--"])
            .args([&argv, "two words", "new\nline", "it's", "$HOME", "", "-x", "a\\b"])
            .output()
            .unwrap();
        let stdout = lossy(&output.stdout);
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["PCOMM", "PID", "PPID", "RET", "ARGS"]
        );
        assert_eq!(lines.len(), 2, "{stdout}");
        let row = lines[1];
        let command = &row[lines[0].find("ARGS").unwrap()..];
        assert_eq!(row.split_whitespace().take(4).last(), Some("0"));
        let expected = format!(r"{argv} 'two words' $'new\nline' 'it'\''s' '$HOME' '' -x 'a\b'");
        assert_eq!(command, expected);
    });
}

#[test]
fn text_columns_by_flag() {
    let start = Instant::now();
    let output = Command::new(execsnoop())
        .args(["-T", "-t", "-U", "-e", "-q", "--comm", "argv", "--", &fixture("argv"), "plain"])
        .output()
        .unwrap();
    let took = start.elapsed();
    let stdout = lossy(&output.stdout);
    let lines: Vec<Vec<_>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TIME", "TIME(s)", "UID", "PCOMM", "PID", "PPID", "RET", "EXE", "ARGS"]);
    let row = &lines[1];
    assert_eq!(row[0].len(), "12:00:00.000".len(), "{row:?}");
    assert!(row[1].parse::<f64>().unwrap() <= took.as_secs_f64(), "{row:?} {took:?}");
    assert_eq!(row[2], "0");
    assert_eq!(row[7], fs::canonicalize(fixture("argv")).unwrap().to_str().unwrap());
    assert_eq!(row[8..], [format!("'{}'", fixture("argv")), "'plain'".to_owned()]);
}

#[test]
fn verbose_names_the_backend_and_the_refused_ones() {
    each_failure_setup(|setup| {
        let output = Command::new(execsnoop())
            .args(["-v", "-x", "--duration", "0.01", "--buffer", setup.buffer])
            .output()
            .unwrap();
        let stderr = lossy(&output.stderr);
        let chosen = format!(", {} buffer\n", setup.buffer);
        assert!(stderr.contains(&chosen), "{stderr}");
        for line in stderr.lines() {
            assert!(line.starts_with("execsnoop: "), "{line}");
        }
    });
}

#[test]
fn the_start_record_names_the_refused_backends() {
    let output =
        Command::new(execsnoop()).args(["--json", "-x", "--duration", "0.01"]).output().unwrap();
    let trace = parse(&output);
    let refused = trace.start["backends_refused"].as_array();
    let refused = refused.map_or(0, |refused| {
        assert!(refused.iter().all(|r| r["reason"].as_str().is_some_and(|why| !why.is_empty())));
        refused.len()
    });
    let names = ["fexit", "tracepoint", "raw_tp"];
    assert_eq!(trace.start["backend"], names[refused], "{:?}", trace.start);
}

/// Runs the tool as nobody with these capabilities.
fn as_nobody(capabilities: &str, flags: &[&str]) -> Output {
    Command::new(fixture("execer"))
        .args(["caps", "65534", capabilities])
        .arg(execsnoop())
        .args(flags)
        .output()
        .unwrap()
}

const CAP_SETPCAP: &str = "8"; // some capability that does not help
const CAP_PERFMON: &str = "38";
const CAP_BPF_AND_PERFMON: &str = "38,39";

#[test]
fn without_privileges_one_line_names_the_way_out() {
    for (capabilities, missing) in
        [(CAP_SETPCAP, "CAP_BPF and CAP_PERFMON"), (CAP_PERFMON, "CAP_BPF")]
    {
        for flags in [&["-x"][..], &[], &["--buffer", "perf"]] {
            let output = as_nobody(capabilities, flags);
            assert_eq!(output.status.code(), Some(1));
            let expected = format!(
                "execsnoop: not permitted: {missing} missing; run it with sudo, or grant the capability\n"
            );
            assert_eq!(lossy(&output.stderr), expected);
            assert_eq!(lossy(&output.stdout), "");
        }
    }
}

#[test]
fn two_capabilities_suffice() {
    each_setup(|setup| {
        let argv = fixture("argv");
        let flags = [
            "--json",
            "--backend",
            setup.backend,
            "--buffer",
            setup.buffer,
            "--",
            argv.as_str(),
            "x",
        ];
        let mut output = as_nobody(CAP_BPF_AND_PERFMON, &flags);
        if kernel_is_before_5_11() {
            // There BPF memory counts as locked memory, of which nobody may have little.
            assert_eq!(output.status.code(), Some(1));
            assert!(lossy(&output.stderr).contains("grant CAP_SYS_RESOURCE"));
            output = as_nobody("24,38,39", &flags);
        }
        let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
        if setup.buffer == "perf" && paranoid.trim().parse::<i32>().unwrap() >= 3 {
            // Debian's kernels keep perf buffers for CAP_SYS_ADMIN.
            assert_eq!(output.status.code(), Some(1));
            assert!(lossy(&output.stderr).contains("use --buffer ring"));
            return;
        }
        let trace = parse(&output);
        trace.is_complete();
        assert_eq!(trace.only("argv")["process"]["real_user"]["id"], 65534);
    });
}

#[test]
fn nothing_stays_loaded() {
    // Other tests have programs loaded at the same time: look for those of one process.
    each_failure_setup(|setup| {
        let running =
            start(&["--json", "-x", "--backend", setup.backend, "--buffer", setup.buffer]);
        let ids = programs_of(running.child.id());
        assert!(!ids.is_empty());
        running.stop();
        // The kernel frees them after a grace period.
        eventually("all programs are unloaded", || {
            let mut loaded = libbpf_rs::query::ProgInfoIter::default();
            !loaded.any(|program| ids.contains(&program.id))
        });
    });
}

/// Ids of the BPF programs that a process holds.
fn programs_of(pid: u32) -> Vec<u32> {
    fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .filter_map(|info| {
            let id = info.lines().find_map(|line| line.strip_prefix("prog_id:"))?;
            id.trim().parse().ok()
        })
        .collect()
}
