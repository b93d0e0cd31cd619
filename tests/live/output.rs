//! `--output`, and what belongs to runs without an end: rotation, a full disk, status, limits. In
//! each test all events are somewhere: shown, lost or dropped.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::*;
use crate::strict;

const EXECSNOOP: Tool = Tool("execsnoop");

/// `execsnoop --json --output FILE` of programs of the name `comm`, attached.
fn start(file: &str, comm: &str, flags: &[&str]) -> Running {
    let own = ["-v", "--json", "--output", file, "--comm", comm];
    Running::spawn_silent(EXECSNOOP.command(&[&own, flags].concat()))
}

/// Executes `program` so often.
fn execute(program: &str, times: u32) {
    let mut work = Command::new(fixture("execer"));
    assert!(work.args(["spawn", &times.to_string(), program, "x"]).status().unwrap().success());
}

/// The lines of a plain file that is being written to. Who reads during a write() may see its beginning.
fn lines_so_far(path: &str) -> Vec<Value> {
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1));
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(|line| strict::parse(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The lines of a file, plain or compressed, each of which is JSON.
fn lines(path: &Path) -> Vec<Value> {
    let bytes = fs::read(path).unwrap();
    let bytes = match bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        true => zstd::decode_all(&bytes[..]).unwrap(),
        false => bytes,
    };
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{path:?} ends within a line");
    text.lines().map(|line| strict::parse(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn name(record: &Value) -> &str {
    record["event"]["name"].as_str().unwrap()
}

fn count(records: &[Value], event: &str) -> u64 {
    records.iter().filter(|record| name(record) == event).count() as u64
}

/// The files of a folder whose names begin so, in the order of their names.
fn files(dir: &TempDir, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(dir.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names.into_iter().map(|name| dir.path(&name)).collect()
}

/// Ends it by a signal; its stderr.
fn stop(running: Running) -> String {
    running.signal(libc::SIGTERM);
    let (stdout, stderr, status) = running.finish();
    assert_eq!((status, &stdout[..]), (0, &[][..]), "{stderr}");
    stderr
}

/// Events, losses and dropped rows, as a record says.
fn totals(record: &Value) -> (u64, u64, u64) {
    let dropped = record["dropped"].as_object().into_iter().flatten();
    let dropped = dropped.filter_map(|(_, count)| count.as_u64()).sum();
    (record["events"].as_u64().unwrap(), record["lost"].as_u64().unwrap(), dropped)
}

#[test]
fn the_commands_stdout_is_its_own() {
    for Demo { tool, event, command, .. } in tracers() {
        let dir = TempDir::new();
        let file = dir.path("a.jsonl");
        for run in 1..=2 {
            let mapper = fixture("mapper"); // a static program alone maps nothing
            let script = format!("{command}; {mapper} flags >/dev/null; echo of the command");
            let flags = ["--json", "--output", &file, "--", "/bin/sh", "-c", &script];
            let output = tool.command(&flags).output().unwrap();
            let stdout = lossy(&output.stdout);
            assert!(
                stdout.ends_with("of the command\n") && !stdout.contains("trace.start"),
                "{stdout}"
            );
            let all = lines(Path::new(&file));
            assert_eq!((count(&all, "trace.start"), count(&all, "trace.end")), (run, run));
            assert_eq!((name(&all[0]), name(all.last().unwrap())), ("trace.start", "trace.end"));
            assert!(count(&all, event) >= run, "{tool:?}: {all:?}");
            assert_eq!(all[0]["trace"]["sequence"], 1);
        }
        // In text, too.
        let file = dir.path("a.txt");
        let script = format!("{command}; {} flags >/dev/null", fixture("mapper"));
        let flags = ["--output", &file, "--", "/bin/sh", "-c", &script];
        assert!(tool.command(&flags).output().is_ok());
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.lines().count() >= 2 && text.contains("COMM"), "{tool:?}: {text}");
    }
}

#[test]
fn a_rotated_run_is_whole() {
    let dir = TempDir::new();
    let program = dir.alias("rotated", "argv");
    for (output, rotate) in
        [("a.jsonl", "16K,1000"), ("b.jsonl", "16K,1000,zstd"), ("c.jsonl.zst", "4K,1000")]
    {
        let file = dir.path(output);
        let running = start(&file, "rotated", &["--rotate", rotate, "--host-name", "node-7"]);
        for _ in 0..4 {
            execute(&program, 250);
            running.settle();
        }
        stop(running);
        let stem = output.trim_end_matches(".zst");
        let mut all = files(&dir, &format!("{stem}.0"));
        all.push(file.clone());
        assert!(all.len() > 1, "{all:?}");
        let mut events = 0;
        for (number, path) in all.iter().enumerate() {
            let lines = lines(Path::new(path));
            let first = &lines[0];
            assert_eq!(name(first), "trace.start", "{path}");
            assert_eq!(first["trace"]["sequence"], number + 1, "{path}");
            assert_eq!(first["host"]["name"], "node-7");
            assert_eq!(first["host"]["boot"]["id"].as_str().unwrap().len(), 36);
            let last = if path == &file { "trace.end" } else { "trace.continued" };
            assert_eq!(name(lines.last().unwrap()), last, "{path}");
            events += count(&lines, "process.exec");
            assert_eq!(totals(lines.last().unwrap()), (events, 0, 0), "{path}");
        }
        assert_eq!(events, 1000);
        // And it is read as one.
        let mut command = EXECSNOOP.command(&["--from"]);
        let output = command.args(&all).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert_eq!(stderr, "execsnoop: 1000 events, 0 lost\n");
        assert_eq!(lossy(&output.stdout).lines().count(), 1001, "with the heading");
        let output = EXECSNOOP.command(&["--from", &all[1], &all[0]]).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert!(stderr.contains("a part of the recording is missing"), "{stderr}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn no_line_is_lost_to_a_hangup() {
    let dir = TempDir::new();
    let program = dir.alias("hangup", "argv");
    let file = dir.path("a.jsonl");
    let running = start(&file, "hangup", &[]);
    let mut work = Command::new(fixture("execer"));
    let mut work = work.args(["spawn", "2000", &program, "x"]).spawn().unwrap();
    let mut moved = 0;
    while work.try_wait().unwrap().is_none() {
        if fs::rename(&file, dir.path(&format!("old.{moved:04}"))).is_ok() {
            moved += 1;
        }
        running.signal(libc::SIGHUP);
        std::thread::sleep(Duration::from_millis(1));
    }
    running.settle();
    stop(running);
    assert!(moved > 3, "{moved}");
    let mut all = files(&dir, "old.");
    all.push(file);
    let all: Vec<_> = all.iter().flat_map(|path| lines(Path::new(path))).collect();
    let sequences: Vec<_> =
        all.iter().filter_map(|line| line["trace"]["sequence"].as_u64()).collect();
    assert!(sequences.is_sorted(), "{sequences:?}");
    assert_eq!(count(&all, "process.exec"), 2000);
    assert_eq!(count(&all, "trace.continued") + 1, count(&all, "trace.start"));
    assert_eq!(totals(all.last().unwrap()), (2000, 0, 0));
}

#[test]
fn a_full_disk_costs_counted_events_only() {
    let dir = TempDir::new();
    let (folder, program) = (dir.path("disk"), dir.alias("full", "argv"));
    fs::create_dir(&folder).unwrap();
    let mount = |words: &[&str]| {
        let status = Command::new(words[0]).args(&words[1..]).status();
        assert!(status.unwrap().success(), "{words:?}");
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", &folder]);
    let (file, filler) = (format!("{folder}/a.jsonl"), format!("{folder}/filler"));
    fs::write(&filler, vec![0; 128 << 10]).unwrap();
    let running = start(&file, "full", &["--status", "0.2"]);
    execute(&program, 400); // some 200 KiB
    running.settle();
    let before = lines(Path::new(&file));
    assert!(before.len() < 400, "it was full");
    fs::remove_file(&filler).unwrap();
    // It is tried again within a second; all that waited is there then.
    let written = || count(&lines_so_far(&file), "process.exec");
    eventually("what waited is written", || written() == 400);
    let stderr = stop(running);
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert!(stderr.contains("can be written again: nothing is lost"), "{stderr}");
    let all = lines(Path::new(&file));
    assert_eq!(totals(all.last().unwrap()), (400, 0, 0));
    mount(&["umount", "-l", &folder]);
}

#[test]
fn a_disk_that_stays_full_is_an_error() {
    let dir = TempDir::new();
    let (folder, program) = (dir.path("disk"), dir.alias("stays", "argv"));
    fs::create_dir(&folder).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&folder)
        .status();
    assert!(mount.unwrap().success());
    let file = format!("{folder}/a.jsonl");
    let running = start(&file, "stays", &[]);
    execute(&program, 400);
    running.settle();
    running.signal(libc::SIGTERM);
    let (_, stderr, status) = running.finish();
    assert_eq!(status, 1, "{stderr}");
    let all = lines(Path::new(&file));
    let shown = count(&all, "process.exec");
    let said = format!("execsnoop: {shown} events, {} lost\n", 400 - shown);
    assert!(shown > 0 && shown < 400 && stderr.contains(&said), "{shown}: {stderr}");
    assert!(Command::new("umount").arg("-l").arg(&folder).status().unwrap().success());
}

#[test]
fn after_a_kill_the_file_is_gone_on_with() {
    let dir = TempDir::new();
    let program = dir.alias("killed", "argv");
    for output in ["a.jsonl", "a.jsonl.zst"] {
        let file = dir.path(output);
        let mut running = start(&file, "killed", &[]);
        execute(&program, 100);
        std::thread::sleep(Duration::from_millis(1500)); // a frame of zstd is written each second
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        // As a crash of the machine may leave it.
        let len = fs::metadata(&file).unwrap().len();
        fs::File::options().write(true).open(&file).unwrap().set_len(len - 5).unwrap();
        let running = start(&file, "killed", &[]);
        execute(&program, 10);
        running.settle();
        stop(running);
        let all = lines(Path::new(&file));
        assert_eq!(totals(all.last().unwrap()), (10, 0, 0));
        let starts = count(&all, "trace.start");
        assert!((1..=2).contains(&starts), "{all:?}");
        if output == "a.jsonl" {
            assert_eq!((starts, count(&all, "process.exec")), (2, 109));
            let read = EXECSNOOP.command(&["--from", &file]).output().unwrap();
            let stderr = lossy(&read.stderr);
            assert!(stderr.contains("the recording before this one has no end"), "{stderr}");
            assert!(stderr.ends_with("execsnoop: 109 events, 0 lost\n"), "{stderr}");
        }
    }
}

#[test]
fn one_file_has_one_writer() {
    let dir = TempDir::new();
    let file = dir.path("a.jsonl");
    let running = start(&file, "nothing", &[]);
    let second =
        EXECSNOOP.command(&["--json", "--output", &file, "--duration", "1"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(lossy(&second.stderr).contains("another tool writes to it"), "{second:?}");
    stop(running);
}

#[test]
fn silence_is_told_from_death() {
    let dir = TempDir::new();
    for Demo { tool, .. } in tracers() {
        let file = dir.path(&format!("{}.jsonl", tool.0));
        let flags = ["-v", "--json", "--output", &file, "--status", "0.1", "--comm", "no such"];
        let running = Running::spawn_silent(tool.command(&flags));
        let statuses = || count(&lines_so_far(&file), "trace.status");
        eventually("it says how it stands", || statuses() > 2);
        stop(running);
        let all = lines(Path::new(&file));
        let status = all.iter().find(|line| name(line) == "trace.status").unwrap();
        assert_eq!(totals(status), (0, 0, 0), "{status}");
        let number = |pointer: &str| status.pointer(pointer).unwrap().as_u64().unwrap();
        assert!(number("/uptime_ns") > 50_000_000 && number("/tracer/cpu_ns") > 0, "{status}");
        assert!(
            number("/tracer/memory_bytes") > 1 << 20 && number("/output/bytes") > 0,
            "{status}"
        );
        let read = tool.command(&["--from", &file]).output().unwrap();
        assert_eq!(read.status.code(), Some(0), "{}", lossy(&read.stderr));
    }
    // In text on stderr; without --output and --status never.
    let said = |flags: &[&str]| {
        let run = EXECSNOOP.command(&[&["--duration", "0.5"], flags].concat()).output().unwrap();
        lossy(&run.stderr)
    };
    let stderr = said(&["--status", "0.1", "--comm", "no such"]);
    assert!(stderr.contains("execsnoop: 0 events, 0 lost; "), "{stderr}");
    assert!(!said(&["--comm", "no such"]).contains(" of a CPU"));
}

#[test]
fn a_service_manager_is_told() {
    let dir = TempDir::new();
    let path = dir.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = EXECSNOOP.command(&["--comm", "no such", "--status", "0.2"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut told = String::new();
    let mut read_until = |what: &str| {
        while !told.contains(what) {
            let mut message = [0; 4096];
            let count = socket.recv(&mut message).unwrap();
            told += lossy(&message[..count]).trim_end();
            told.push('\n');
        }
        std::mem::take(&mut told)
    };
    let ready = read_until("READY=1");
    assert!(ready.contains("STATUS=traces by "), "{ready}");
    read_until("WATCHDOG=1");
    read_until("WATCHDOG=1");
    read_until("STATUS=0 events, 0 lost");
    // SAFETY: a child of ours that was not waited for yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    read_until("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_limits_drop_is_counted() {
    let dir = TempDir::new();
    let program = dir.alias("limited", "argv");
    let run = |flags: &[&str]| {
        let file = dir.path("a.jsonl");
        let _ = fs::remove_file(&file);
        let running = start(&file, "limited", flags);
        execute(&program, 500);
        running.settle();
        stop(running);
        let all = lines(Path::new(&file));
        let end = all.last().unwrap().clone();
        let (shown, lost, dropped) = totals(&end);
        assert_eq!(shown, count(&all, "process.exec"), "{end}");
        assert_eq!((shown + lost + dropped, lost), (500, 0), "{end}");
        let read = EXECSNOOP.command(&["--from", &file]).output().unwrap();
        let said = match dropped {
            0 => format!("execsnoop: {shown} events, 0 lost\n"),
            _ => format!("execsnoop: {shown} events, 0 lost, {dropped} dropped\n"),
        };
        assert_eq!(lossy(&read.stderr), said);
        end
    };
    assert_eq!(run(&["--rate-limit", "7/h"])["dropped"]["rate_limit"], 493);
    let end = run(&["--rate-limit", "7/h:comm", "--rate-limit", "100/h"]);
    assert_eq!(end["dropped"]["loudest"][0]["comm"], "limited");
    assert_eq!(end["dropped"]["loudest"][0]["count"], 493);
    assert_eq!(run(&["--rate-limit", "1/h:pid"])["dropped"], Value::Null, "each has its own");
    assert_eq!(run(&["--rate-limit", "3/h:uid"])["events"], 3);
    let end = run(&["--sample", "10"]);
    let shown = end["events"].as_u64().unwrap();
    assert!((10..150).contains(&shown), "{shown}");
    assert_eq!(run(&["--sample", "1"])["events"], 500);
    run(&["--max-cpu", "1000"]);
}

#[test]
fn a_sample_has_the_same_processes_in_each_tool() {
    let dir = TempDir::new();
    let program = dir.alias("sampled", "argv");
    let [execs, lives] = ["execs", "lives"].map(|name| dir.path(name));
    let running = [(EXECSNOOP, &execs), (Tool("procsnoop"), &lives)].map(|(tool, file)| {
        let flags = ["-v", "--json", "--output", file, "--comm", "sampled", "--sample", "5"];
        Running::spawn_silent(tool.command(&flags))
    });
    execute(&program, 300);
    running.iter().for_each(Running::settle);
    running.into_iter().for_each(|running| drop(stop(running)));
    let pids = |file: &str, event: &str| {
        let all = lines(Path::new(file));
        let of = all.iter().filter(|line| name(line) == event);
        let mut pids: Vec<_> = of.map(pid).collect();
        pids.sort_unstable();
        pids
    };
    let sampled = pids(&execs, "process.exec");
    assert!((20..150).contains(&sampled.len()), "{}", sampled.len());
    assert_eq!(sampled, pids(&lives, "process.exit"));
}

#[test]
fn too_much_cpu_costs_rows_and_all_are_counted() {
    let dir = TempDir::new();
    let file = dir.path("a.jsonl");
    let program = dir.alias("budget", "mapper");
    let flags = [
        "-v",
        "--json",
        "--output",
        &file,
        "--comm",
        "budget",
        "--max-cpu",
        "0.1",
        "--status",
        "1",
    ];
    let running = Running::spawn_silent(Tool("mmapsnoop").command(&flags));
    let runs = std::cell::Cell::new(0u64);
    eventually("rows are dropped", || {
        for _ in 0..20 {
            let run = Command::new(&program).arg("flags").stdout(Stdio::null()).status();
            assert!(run.unwrap().success());
            runs.set(runs.get() + 1);
        }
        let has_dropped =
            |line: &Value| name(line) == "trace.status" && line["dropped"].is_object();
        lines_so_far(&file).iter().any(has_dropped)
    });
    let runs = runs.get();
    let stderr = stop(running);
    assert!(stderr.contains("--max-cpu leaves out what takes time to look up"), "{stderr}");
    let all = lines(Path::new(&file));
    let (shown, lost, dropped) = totals(all.last().unwrap());
    assert_eq!((shown, lost), (count(&all, "memory.map"), 0));
    assert!(dropped > 0 && (shown + dropped) % runs == 0, "{shown} + {dropped} in {runs} runs");
}

#[test]
fn recordings_are_converted() {
    let dir = TempDir::new();
    let program = dir.alias("convert", "argv");
    let (file, copy) = (dir.path("a.jsonl"), dir.path("copy.jsonl.zst"));
    let running = start(&file, "convert", &[]);
    execute(&program, 50);
    running.settle();
    stop(running);
    let convert = |to: &str| {
        EXECSNOOP.command(&["--json", "--from", &file, "--output", to]).output().unwrap()
    };
    let output = convert(&copy);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", lossy(&output.stderr));
    let (mut from, mut to) = (lines(Path::new(&file)), lines(Path::new(&copy)));
    for all in [&mut from, &mut to] {
        all.retain(|line| name(line) == "process.exec");
    }
    assert_eq!(from, to);
    let same = convert(&file);
    assert!(lossy(&same.stderr).contains("is read, too"), "{}", lossy(&same.stderr));
}

#[test]
fn so_do_the_events_of_any_object() {
    let dir = TempDir::new();
    let file = dir.path("a.jsonl");
    let object = object("07-ring-buffer");
    for run in 1..=2 {
        let flags =
            ["run", "--json", "--output", &file, &object, "--", "/bin/echo", "of the command"];
        let output = Tool("bpfrun").command(&flags).output().unwrap();
        assert_eq!(lossy(&output.stdout), "of the command\n", "{}", lossy(&output.stderr));
        let all = lines(Path::new(&file));
        assert_eq!((count(&all, "trace.start"), count(&all, "trace.end")), (run, run));
        assert!(count(&all, "bpf.event") >= run, "{all:?}");
    }
}
