//! `--summary`: the numbers add up to what the programs did.

use nix::sys::stat::Mode;

use super::*;

/// Adds up `key` over the rows of a list.
fn sum(rows: &Value, key: &str) -> u64 {
    rows.as_array().unwrap().iter().map(|row| row[key].as_u64().unwrap()).sum()
}

/// The only summary of `mmapsnoop --json --summary -- COMMAND`: the command takes less time.
fn summary(setup: Setup, command: &[&str]) -> Value {
    let (mut all, _) = checked(MMAPSNOOP.trace(setup, &["--summary", "3600"], command));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The summaries of a trace, and how many calls may be missing in them since the kernel skipped
/// a program.
fn checked(trace: Trace) -> (Vec<Value>, u64) {
    assert_eq!(trace.status, 0);
    trace.is_complete();
    for event in &trace.events {
        let summary = &event["summary"];
        assert_eq!(event["event"]["name"], "memory.summary");
        for key in ["calls", "failed", "mapped_bytes"] {
            let total = summary[key].as_u64().unwrap();
            let others = |name: &str| summary[name][key].as_u64().unwrap();
            assert_eq!(sum(&summary["processes"], key) + others("other_processes"), total);
            let files = sum(&summary["files"], key) + others("other_files");
            assert_eq!(files + others("no_file"), total, "{key} {summary}");
            assert_eq!(sum(&summary["lengths"], key), total);
        }
    }
    let unseen = trace.end["unseen"].as_u64().unwrap_or(0);
    (trace.events.into_iter().map(|mut event| event["summary"].take()).collect(), unseen)
}

#[test]
fn every_call_is_counted_once() {
    let count = scaled(400_000);
    each_backend(|setup| {
        let dir = TempDir::new();
        let fifo = dir.path("fifo");
        nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
        // Many intervals, and two threads that count at the same time; half of it is done when
        // there has been a summary.
        let work = format!("{} threads {}", fixture("mapper"), count / 4);
        let script = format!("{work}; read line <{fifo}; {work}");
        let interval = if in_vm() { "0.5" } else { "0.05" };
        let flags = ["--json", "--summary", interval, "--", "/bin/sh", "-c", &script];
        let mut running = MMAPSNOOP.start(&[&setup.flags()[..], &flags].concat());
        running.wait_for("summary", |row| row["event"]["name"] == "memory.summary");
        fs::write(fifo, "").unwrap();
        let (all, unseen) = checked(running.end());
        let rows = all.iter().flat_map(|summary| summary["processes"].as_array().unwrap());
        let rows = rows.filter(|row| row["comm"] == "mapper");
        let counted: u64 = rows.map(|row| row["failed"].as_u64().unwrap()).sum();
        assert!((counted..=counted + unseen).contains(&u64::from(count)), "{counted} {unseen}");
        assert!(all.len() > 1, "{}", all.len());
    });
}

#[test]
fn files_and_lengths() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let folder = dir.path(".");
        let summary = summary(setup, &[&fixture("mapper"), "files", &folder]);
        let files = summary["files"].as_array().unwrap();
        let named = |end: &str| {
            let found = files.iter().find(|file| file["path"].as_str().unwrap().ends_with(end));
            found.unwrap_or_else(|| panic!("no {end}: {files:?}"))
        };
        let file = named("/a file\n");
        let numbers = ["calls", "failed", "mapped_bytes"].map(|key| file[key].as_u64().unwrap());
        assert_eq!(numbers, [7, 2, 7 * 4096], "{file}");
        assert_eq!(named("/read-only")["failed"], 1);
        assert_eq!(named("/gone")["deleted"], true);
        assert_eq!(named("memfd:jit")["calls"], 1);
        let lengths = summary["lengths"].as_array().unwrap();
        let pages = lengths.iter().find(|length| length["low"] == 4096).unwrap();
        assert!(pages["calls"].as_u64().unwrap() >= 11, "{pages}");
    });
}

#[test]
fn what_finds_no_room_is_counted_as_other() {
    // More files than the map has room for.
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let dir = TempDir::new();
    let summary = summary(setup, &[&fixture("mapper"), "many", &dir.path("."), "10500"]);
    let other = summary["other_files"]["calls"].as_u64().unwrap();
    let known = summary["files"].as_array().unwrap().len() as u64;
    assert!(other > 0 && known + other >= 10_500, "{known} known, {other} others");
}

#[test]
fn tables() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let mut tool = MMAPSNOOP.command(&setup.flags());
    tool.args(["--summary", "3600", "--"]);
    let output = tool.arg(fixture("mapper")).args(["loop", "1000"]).output().unwrap();
    let text = lossy(&output.stdout);
    assert!(text.lines().any(|line| line.contains("1000       1000") && line.ends_with("mapper")));
    assert!(text.contains("(no file)") && text.contains("CALLS"), "{text}");
    assert!(lossy(&output.stderr).ends_with("mmapsnoop: 1 event, 0 lost\n"));
}
