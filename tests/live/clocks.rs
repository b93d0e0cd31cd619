//! Times of rows: in the zone of the user, and in any time namespace.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::*;

const EXECSNOOP: Tool = Tool("execsnoop");

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The time of `true` as execsnoop shows it, and what it says.
fn shown(zone: Option<&str>) -> (String, String) {
    let mut tool = EXECSNOOP.command(&["-T", "--", "true"]);
    match zone {
        Some(zone) => tool.env("TZ", zone),
        None => tool.env_remove("TZ"),
    };
    let output = tool.output().unwrap();
    let rows = lossy(&output.stdout);
    let row = rows.lines().nth(1).unwrap_or_else(|| panic!("no row: {rows}"));
    let (seconds, millis) = row.split_whitespace().next().unwrap().split_once('.').unwrap();
    assert_eq!(millis.len(), 3, "{row}");
    (seconds.to_owned(), lossy(&output.stderr))
}

/// The same moments as date(1) shows them.
fn expected(zone: Option<&str>, seconds: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let of = |second| {
        let mut date = Command::new("date");
        date.args(["-d", &format!("@{second}"), "+%H:%M:%S"]);
        match zone {
            Some(zone) => date.env("TZ", zone),
            None => date.env_remove("TZ"),
        };
        lossy(&date.output().unwrap().stdout).trim().to_owned()
    };
    seconds.map(of).collect()
}

#[test]
fn zones_as_date_takes_them() {
    for zone in [
        None,
        Some(""),
        Some("UTC"),
        Some("Asia/Kolkata"),
        Some(":America/New_York"),
        Some("/usr/share/zoneinfo/Asia/Tokyo"),
        Some(":/usr/share/zoneinfo/Australia/Eucla"),
        Some("IST-5:30"),
        Some("<+0545>-5:45"),
        Some("EST5EDT"),
        Some("AAA7BBB"),
        Some("CET-1CEST,M3.5.0,M10.5.0/3"),
    ] {
        let before = now_s();
        let (time, words) = shown(zone);
        let expected = expected(zone, before..=now_s());
        assert!(expected.contains(&time), "TZ={zone:?}: {time}, not {expected:?}");
        assert!(!words.contains("time zone"), "TZ={zone:?}: {words}");
    }
}

#[test]
fn an_unknown_zone_is_said() {
    for zone in ["Mars/Olympus", "/no/such/file", "x\ny"] {
        let before = now_s();
        let (time, words) = shown(Some(zone));
        assert!(expected(Some("UTC"), before..=now_s()).contains(&time), "{time}");
        let said: Vec<_> = words.lines().filter(|line| line.contains("time zone")).collect();
        let shown = zone.replace('\n', "\\n");
        let line = format!("execsnoop: TZ={shown} is no time zone: times are UTC");
        assert_eq!(said, [line], "{words}");
    }
}

/// In a time namespace whose clocks are ahead.
fn ahead(tool: Tool, flags: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--time", "--fork", "--boottime", "100000", "--monotonic", "5000"]);
    unshare.arg(tool.path()).args(flags);
    unshare
}

#[test]
fn a_time_namespace_shifts_nothing() {
    let stamp = |row: &serde_json::Value| {
        let text = row["timestamp"].as_str().unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_second() as u64
    };
    for transport in ["ring", "perf"] {
        let before = now_s();
        let flags = ["--json", "--buffer", transport, "--", "true"];
        let trace = parse(&ahead(EXECSNOOP, &flags).output().unwrap());
        let rows = [&trace.start, &trace.is_complete().events[0], &trace.end];
        for row in rows {
            assert!((before..=now_s()).contains(&stamp(row)), "{row}");
        }

        let text = ahead(EXECSNOOP, &["-t", "--", "true"]).output().unwrap();
        let text = lossy(&text.stdout);
        let row = text.lines().nth(1).unwrap();
        let seconds: f64 = row.split_whitespace().next().unwrap().parse().unwrap();
        assert!(seconds < 4000.0, "{text}");
    }
}

#[test]
fn processes_of_before_are_known_in_a_time_namespace() {
    // Their births come from /proc, which shows them by the clock of the namespace.
    let dir = TempDir::new();
    let script = dir.program("older", b"#!/bin/sh\nread line\nexit 3\n");
    let mut older = Command::new(&script);
    let mut older = older.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let pid = older.id().to_string();
    let running = Running::spawn(ahead(Tool("procsnoop"), &["--json", "--pid", &pid]));
    drop(older.stdin.take());
    assert_eq!(older.wait().unwrap().code(), Some(3));
    let trace = running.end();
    let exit = trace.events.iter().find(|row| row["event"]["name"] == "process.exit");
    let exit = exit.unwrap_or_else(|| panic!("{trace:?}"));
    let line = exit["process"]["command_args"].to_string();
    assert!(line.contains(&script), "the command line is of /proc: {exit}");
    let lived_ns = exit["process"]["duration_ns"].as_u64().unwrap();
    assert!(lived_ns < 50_000 * 1_000_000_000, "{exit}");
}
