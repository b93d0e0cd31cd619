//! shown + lost == happened, whatever the reader does; and nothing grows.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::*;

fn flags<'a>(setup: Setup, argv: &'a OwnArgv, more: &[&'a str]) -> Vec<&'a str> {
    let mut flags = vec!["--json", "--backend", setup.backend, "--buffer", setup.buffer];
    flags.extend(["--comm", &argv.comm]);
    flags.extend(more);
    flags
}

/// Lost events by the gap records in the stream.
fn gaps(trace: &Trace) -> u64 {
    let lost = |e: &&Value| e["event"]["name"] == "events.lost";
    trace.events.iter().filter(lost).map(|e| e["count"].as_u64().unwrap()).sum()
}

fn check_sum(trace: &Trace, argv: &OwnArgv, happened: u32) -> u64 {
    let lost = trace.end["lost"].as_u64().unwrap();
    let shown = trace.of(&argv.comm).len() as u64;
    assert_eq!(trace.end["events"], shown);
    assert_eq!(shown + lost, u64::from(happened), "{:?}", trace.end);
    assert_eq!(gaps(trace), lost, "each loss has its place in the stream");
    lost
}

#[test]
fn a_reader_that_does_not_read_loses_nothing() {
    let count = scaled(5000);
    each_setup(|setup| {
        let argv = OwnArgv::new();
        // Nobody takes anything out of the pipe meanwhile: it fills, and the tool waits.
        let running = start(&flags(setup, &argv, &[]));
        argv.spawn(count, "x");
        let lost = check_sum(&running.stop(), &argv, count);
        assert_eq!(lost, 0, "with the default buffer");
    });
}

#[test]
fn a_stopped_tool_loses_nothing() {
    each_setup(|setup| stopped_it_loses_nothing(setup, &[]));
}

#[test]
fn several_rings_lose_nothing() {
    over_rings(backends(), 4096, stopped_it_loses_nothing);
}

fn stopped_it_loses_nothing(setup: Setup, more: &[&str]) {
    let count = scaled(5000);
    let argv = OwnArgv::new();
    let running = start(&flags(setup, &argv, more));
    running.signal(libc::SIGSTOP);
    argv.spawn(count, "x");
    running.signal(libc::SIGCONT);
    let lost = check_sum(&running.stop(), &argv, count);
    assert_eq!(lost, 0, "with the default buffer");
}

#[test]
fn losses_are_counted_exactly() {
    let count = scaled(5000).max(500);
    each_setup(|setup| {
        let argv = OwnArgv::new();
        let running = start(&flags(setup, &argv, &["--buffer-size", "16K"]));
        running.signal(libc::SIGSTOP);
        argv.spawn(count, "x");
        running.signal(libc::SIGCONT);
        // Further events come after the gap.
        running.settle();
        argv.spawn(3, "after");
        let trace = running.stop();
        let lost = check_sum(&trace, &argv, count + 3);
        assert!(lost > 0, "a buffer this small cannot hold them");
        let last = trace.events.last().unwrap();
        assert_eq!(lossy(&args(last)[1]), "after");
    });
}

#[test]
fn text_says_what_was_lost_too() {
    let count = scaled(2000).max(500);
    each_setup(|setup| {
        let argv = OwnArgv::new();
        let mut flags = flags(setup, &argv, &["--buffer-size", "16K"]);
        flags.remove(0); // --json
        let running = start(&flags);
        running.signal(libc::SIGSTOP);
        argv.spawn(count, "x");
        running.signal(libc::SIGCONT);
        running.settle();
        running.signal(libc::SIGTERM);
        let (lines, stderr, status) = running.finish();
        assert_eq!(status, 0);
        let shown = lines.len() as u32 - 1;
        let lost = count - shown;
        assert!(lost > 0);
        let in_place = stderr.lines().filter_map(|line| line.strip_prefix("-- lost "));
        let counts = in_place.map(|rest| rest.split(' ').next().unwrap().parse::<u32>().unwrap());
        assert_eq!(counts.sum::<u32>(), lost, "{stderr}");
        assert!(stderr.contains(&format!("{shown} events, {lost} lost")), "{stderr}");
    });
}

#[test]
fn a_full_buffer_cuts_before_it_loses() {
    over_ring(backends(), |setup| {
        // 64 KiB hold no record with 100,000 bytes of arguments, but a shorter one.
        let command = [&fixture("execer"), "long", &fixture("argv"), "10000", "10"];
        let trace = trace(setup, &["--buffer-size", "64K"], &command.map(|s| s as &str));
        trace.is_complete();
        let row = trace.only("argv");
        let cut = row["process"]["command_args_cut"]["bytes"].as_u64().unwrap();
        let shown: usize = args(row).iter().map(|arg| arg.len() + 1).sum();
        let truth: usize = trace.truth[0].args.iter().map(|arg| arg.len() + 1).sum();
        // The last argument is shown in part, without its NUL.
        assert_eq!(shown as u64 - 1 + cut, truth as u64);
        assert!(shown > 30_000);
    });
}

#[test]
fn executions_by_twelve_thousand_threads_leave_memory_flat() {
    let count = scaled(12_000);
    each_setup(|setup| {
        let argv = OwnArgv::new();
        let mut running = start(&flags(setup, &argv, &[]));
        let before = running.status_kib("VmRSS:");
        let mut work = Command::new(fixture("execer"))
            .args(["thread", &count.to_string(), &argv.path(), "x"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut rows = 0;
        while rows < count {
            let line: Value = serde_json::from_str(&running.line()).unwrap();
            assert_eq!(line["event"]["name"], "process.exec", "{line}");
            assert_ne!(line["thread"]["id"], line["process"]["pid"], "{line}");
            rows += 1;
        }
        assert!(work.wait().unwrap().success());
        let after = running.status_kib("VmRSS:");
        assert!(after < before + 1024, "resident: {before} KiB before, {after} KiB after");
        let trace = running.stop();
        assert_eq!(trace.end["events"], count);
        assert_eq!(trace.end["lost"], 0);
    });
}

#[test]
fn failures_are_accounted_for_too() {
    let count = scaled(1000);
    each_failure_setup(|setup| {
        let script = format!(
            "i=0; while [ $i -lt {count} ]; do {} exec /no/such x; i=$((i+1)); done; true",
            fixture("execer")
        );
        let trace = trace(setup, &["-x", "--comm", "execer"], &["/bin/sh", "-c", &script]);
        trace.is_complete();
        assert_eq!(trace.events.len() as u32, 2 * count);
    });
}
