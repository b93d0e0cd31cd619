//! `--summary`: the numbers add up to what the programs did.

use nix::sys::stat::Mode;

use super::*;

/// The records of one interval.
struct Summary {
    processes: Vec<Value>,
    files: Vec<Value>,
    total: Value,
}

/// Adds up `key` over records.
fn sum(rows: &[Value], key: &str) -> u64 {
    rows.iter().map(|row| row["summary"][key].as_u64().unwrap()).sum()
}

/// The only summary of `mmapsnoop --json --summary -- COMMAND`: the command takes less time.
fn summary(setup: Setup, command: &[&str]) -> Summary {
    let (mut all, _) = checked(MMAPSNOOP.trace(setup, &["--summary", "3600"], command));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The summaries of a trace, and how many calls may be missing in them since the kernel skipped
/// a program.
fn checked(trace: Trace) -> (Vec<Summary>, u64) {
    assert_eq!((trace.status, &trace.end["lost"]), (0, &0.into()));
    let unseen = trace.end["unseen"].as_u64().unwrap_or(0);
    let (mut all, mut processes, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for event in trace.events {
        match event["event"]["name"].as_str().unwrap() {
            "memory.summary.process" => processes.push(event),
            "memory.summary.file" => files.push(event),
            "memory.summary.total" => {
                let (processes, files) =
                    (std::mem::take(&mut processes), std::mem::take(&mut files));
                all.push(Summary { processes, files, total: event });
            }
            other => panic!("{other}"),
        }
    }
    assert!(processes.is_empty() && files.is_empty(), "the total comes last");
    assert_eq!(trace.end["events"], all.len());
    all.iter().for_each(adds_up);
    (all, unseen)
}

fn adds_up(Summary { processes, files, total }: &Summary) {
    let time = &total["timestamp"];
    assert!(processes.iter().chain(files).all(|row| row["timestamp"] == *time), "{total}");
    let of_all = &total["summary"];
    for key in ["calls", "failed", "mapped_bytes"] {
        let calls = of_all[key].as_u64().unwrap();
        let others = |name: &str| of_all[name][key].as_u64().unwrap();
        assert_eq!(sum(processes, key) + others("other_processes"), calls);
        let with_files = sum(files, key) + others("other_files");
        assert_eq!(with_files + others("no_file"), calls, "{key} {total}");
        let lengths = of_all["lengths"].as_array().unwrap().iter();
        assert_eq!(lengths.map(|row| row[key].as_u64().unwrap()).sum::<u64>(), calls);
    }
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
        running.wait_for("summary", |row| row["event"]["name"] == "memory.summary.total");
        fs::write(fifo, "").unwrap();
        let (all, unseen) = checked(running.end());
        let rows = all.iter().flat_map(|summary| &summary.processes);
        let rows = rows.filter(|row| row["process"]["comm"] == "mapper");
        let counted: u64 = rows.map(|row| row["summary"]["failed"].as_u64().unwrap()).sum();
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
        let files = &summary.files;
        let named = |end: &str| {
            let has_end = |row: &&Value| row["file"]["path"].as_str().unwrap().ends_with(end);
            files.iter().find(has_end).unwrap_or_else(|| panic!("no {end}: {files:?}"))
        };
        let sums = &named("/a file\n")["summary"];
        let numbers = ["calls", "failed", "mapped_bytes"].map(|key| sums[key].as_u64().unwrap());
        assert_eq!(numbers, [7, 2, 7 * 4096], "{sums}");
        assert_eq!(named("/read-only")["summary"]["failed"], 1);
        assert_eq!(named("/gone")["file"]["deleted"], true);
        assert_eq!(named("memfd:jit")["summary"]["calls"], 1);
        let lengths = summary.total["summary"]["lengths"].as_array().unwrap();
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
    let other = summary.total["summary"]["other_files"]["calls"].as_u64().unwrap();
    let known = summary.files.len() as u64;
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
