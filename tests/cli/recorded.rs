//! `--from FILE`: files that others wrote, cut or broke. No privilege is needed, and nothing in a
//! file makes a tool do more than say so.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{run, text};

const START: &str = r#"{"timestamp":"2026-01-31T12:00:00.000000000Z","event":{"name":"trace.start"},"schema":2,"tool":"execsnoop","version":"0.1.0","backend":"tp_btf","not_shown":[{"what":"colours","reason":"it is dark"}],"buffer":"ring","boot_ns":1000000000,"flags":["json","failed"],"kernel":"6.18","host":{"name":"h"}}"#;
const EXEC: &str = r#"{"timestamp":"2026-01-31T12:00:01.500000000Z","event":{"name":"process.exec"},"process":{"pid":7,"parent_pid":3,"comm":"ls","user":{"id":0},"real_user":{"id":5},"linux":{"cgroup":"/a/b"},"executable":{"path":"/bin/ls"},"command_args":["ls","a b"],"args_count":2},"thread":{"name":"ls","id":7},"exec":{"filename":"/bin/ls"}}"#;
const FAILED: &str = r#"{"timestamp":"2026-01-31T12:00:02.000000000Z","event":{"name":"process.exec_failed"},"process":{"pid":8,"parent_pid":3,"comm":"sh","user":{"id":0},"real_user":{"id":0},"command_args":["x"],"args_count":1},"thread":{"name":"sh","id":8},"error":{"type":"ENOENT"},"exec":{"filename":"/x"}}"#;
const LOST: &str =
    r#"{"timestamp":"2026-01-31T12:00:02.000000000Z","event":{"name":"events.lost"},"count":3}"#;
const END: &str = r#"{"timestamp":"2026-01-31T12:00:09.000000000Z","event":{"name":"trace.end"},"events":2,"lost":3,"unseen":1,"exit_status":7,"notes":["a note"]}"#;

/// A file that is removed again.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("snoop-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn of(name: &str, lines: &[&str]) -> Self {
        Self::new(name, lines.join("\n") + "\n")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Status, stdout and stderr, in which the name of the file is F.
fn shown(file: &File, flags: &[&str]) -> (i32, String, String) {
    let path = file.0.to_str().unwrap();
    let output = run("execsnoop", &[&["--from", path], flags].concat());
    let stderr = text(&output.stderr).replace(path, "F");
    (output.status.code().unwrap(), text(&output.stdout), stderr)
}

#[test]
fn a_recording_is_shown_as_it_would_have_been() {
    let file = File::of("whole", &[START, EXEC, LOST, FAILED, END]);
    let (status, stdout, stderr) = shown(&file, &["-x", "-t", "--utc"]);
    let rows = "TIME          TIME(s)  PCOMM            PID     PPID    RET     ARGS\n\
                12:00:01.500Z 1.500    ls               7       3       0       ls 'a b'\n\
                12:00:02.000Z 2.000    sh               8       3       ENOENT  x  # file=/x\n";
    assert_eq!(stdout, rows);
    let said = "execsnoop: not shown: colours: it is dark\n\
                -- lost 3 events --\n\
                execsnoop: 2 events, 3 lost\n\
                execsnoop: up to 1 event may be missing: the kernel skipped a BPF program\n\
                execsnoop: a note\n";
    assert_eq!(stderr, said);
    assert_eq!(status, 7, "that of COMMAND");
    let whole = fs::read_to_string(&file.0).unwrap();
    assert_eq!(shown(&file, &["-x", "--json"]).1, whole, "the same bytes");
}

/// mmapsnoop's, as schema 1 had it; -1 is absent by now.
const MAP: &str = r#"{"timestamp":"2026-01-31T12:00:01.500000000Z","event":{"name":"memory.map"},"process":{"pid":7,"parent_pid":3,"comm":"ls","user":{"id":0},"real_user":{"id":5}},"thread":{"id":7,"name":"ls"},"mmap":{"length_bytes":4096,"prot":["READ"],"flags":["PRIVATE","ANONYMOUS"],"fd":-1,"offset_bytes":0,"address":"0x7f0000001000"}}"#;

#[test]
fn older_recordings_are_written_as_of_now() {
    let start = START.replace("execsnoop", "mmapsnoop");
    let old = start.replace("\"schema\":2", "\"schema\":1");
    let now = MAP.replace("\"fd\":-1,", "");
    let mut shown = Vec::new();
    for (start, map) in [(&old, MAP), (&start, &now)] {
        let file = File::of("schema", &[start, map, END]);
        let from = ["--from", file.0.to_str().unwrap()];
        let json = run("mmapsnoop", &[&from[..], &["--json"]].concat());
        let table = run("mmapsnoop", &[&from[..], &["-o", "pid,call,fd,len"]].concat());
        assert_eq!(
            text(&table.stdout).lines().nth(1).unwrap().split_whitespace().nth(2),
            Some("-1")
        );
        shown.push((text(&json.stdout), text(&table.stdout)));
    }
    assert_eq!(shown[0], shown[1]);
    let mut lines = shown[0].0.lines();
    assert_eq!((lines.next(), lines.next()), (Some(&*start), Some(&*now)));
}

#[test]
fn a_recording_becomes_opentelemetrys() {
    let file = File::of("otlp", &[START, EXEC, LOST, FAILED, END]);
    let (status, stdout, stderr) = shown(&file, &["-x", "--json=otlp"]);
    assert_eq!(status, 7, "{stderr}");
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |at: usize| &lines[at]["resourceLogs"][0];
    let record = |at: usize| &of(at)["scopeLogs"][0]["logRecords"][0];
    let names: Vec<_> =
        (0..lines.len()).map(|at| record(at)["eventName"].as_str().unwrap()).collect();
    let expected =
        ["trace.start", "process.exec", "events.lost", "process.exec_failed", "trace.end"];
    assert_eq!(names, expected.map(|name| format!("snoop.{name}")));
    let severities: Vec<_> =
        (0..lines.len()).map(|at| record(at)["severityNumber"].clone()).collect();
    assert_eq!(severities, [9, 9, 13, 13, 13]);
    let host = serde_json::json!({ "key": "host.name", "value": { "stringValue": "h" } });
    for at in 0..lines.len() {
        assert!(of(at)["resource"]["attributes"].as_array().unwrap().contains(&host), "{stdout}");
    }
    assert_eq!(record(1)["timeUnixNano"], "1769860801500000000");
    let attributes = record(1)["attributes"].as_array().unwrap();
    let has = |key: &str, value: serde_json::Value| {
        attributes.contains(&serde_json::json!({ "key": key, "value": value }))
    };
    assert!(has("process.pid", serde_json::json!({ "intValue": "7" })), "{stdout}");
    assert!(has("snoop.process.comm", serde_json::json!({ "stringValue": "ls" })), "{stdout}");
    // Filters are about the keys of --json.
    let filtered = shown(&file, &["-x", "--json=otlp", "--filter", "process.comm == \"sh\""]).1;
    assert_eq!(filtered.lines().count(), 4);

    let otlp = File::new("lines", &stdout);
    let (status, stdout, stderr) = shown(&otlp, &[]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    let said = "execsnoop: F: not a recording of execsnoop: a line of --json=otlp, which --from does \
                not read\n";
    assert_eq!(stderr, said);
}

#[test]
fn forms_of_json() {
    for flags in [&["--json=xml"][..], &["--json=otlp", "-o", "pid"], &["--json="]] {
        let output = run("execsnoop", flags);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    }
    let file = File::of("forms", &[START, EXEC, END]);
    assert_eq!(shown(&file, &["--json"]), shown(&file, &["--json=lines"]));
    let path = file.0.to_str().unwrap();
    let diff = run("procsnoop", &["--json=otlp", "--diff", path, path]);
    let stderr = text(&diff.stderr);
    assert_eq!(diff.status.code(), Some(2));
    assert!(stderr.contains("--diff cannot be used with --json=otlp"), "{stderr}");
}

#[test]
fn filters_look_at_recorded_values() {
    let file = File::of("filters", &[START, EXEC, FAILED, END]);
    let rows = |flags: &[&str]| shown(&file, flags).1.lines().count() - 1;
    assert_eq!(rows(&[]), 1, "failures are for -x");
    assert_eq!(rows(&["-x"]), 2);
    // Process 7 may be another one now, or none.
    for flags in [["--pid", "7"], ["--ppid", "3"], ["--comm", "ls"], ["--uid", "5"], ["-l", "a b"]]
    {
        assert_eq!(rows(&flags), 1, "{flags:?}");
    }
    for flags in [["--pid", "9"], ["--ppid", "7"], ["--comm", "l"], ["--uid", "0"], ["-l", "c"]] {
        assert_eq!(rows(&flags), 0, "{flags:?}");
    }
    assert_eq!((rows(&["--cgroup", "/a"]), rows(&["--cgroup", "/a/b/c"])), (1, 0));
    let (_, stdout, stderr) = shown(&file, &["-x", "--cgroup", "/a"]);
    assert_eq!(stdout.lines().count(), 2);
    assert!(stderr.contains("1 event not shown: the cgroup was not recorded"), "{stderr}");
    assert_eq!(rows(&["-x", "--max-events", "1"]), 1);
    assert_eq!(rows(&["-x", "--duration", "1.6"]), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let file = File::of("refused", &[START, END]);
    for flags in [
        &["--backend", "tp_btf"][..],
        &["--buffer", "ring"],
        &["--buffer-size", "1M"],
        &["--rings", "2"],
        &["--tree", "1"],
        &["--", "ls"],
    ] {
        let (status, stdout, stderr) = shown(&file, flags);
        assert_eq!((status, stdout.as_str()), (2, ""), "{flags:?}: {stderr}");
    }
    let (status, _, stderr) = shown(&file, &["-x", "--all"]);
    assert_eq!(status, 1);
    assert!(stderr.ends_with("it was recorded without --all\n"), "{stderr}");
}

#[test]
fn files_that_are_no_recordings() {
    let said = |bytes: &[u8]| {
        let file = File::new("none", bytes);
        let (status, stdout, stderr) = shown(&file, &[]);
        assert_eq!((status, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
        stderr
    };
    assert_eq!(said(b""), "execsnoop: F is empty\n");
    assert_eq!(said(b"\x7fELF"), "execsnoop: F: not a recording of execsnoop: not JSON\n");
    let other = START.replace("execsnoop", "killsnoop");
    assert!(said(other.as_bytes()).contains("it is one of killsnoop"));
    let newer = START.replace("\"schema\":2", "\"schema\":3");
    assert!(said(newer.as_bytes()).contains("newer version"));
    assert!(said(EXEC.as_bytes()).contains("does not begin with trace.start"));
    for path in ["/nonexistent/file", "/"] {
        let output = run("execsnoop", &["--from", path]);
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with(&format!("execsnoop: cannot read {path}: ")), "{stderr}");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1));
    }
}

#[test]
fn bad_lines_are_counted_and_named() {
    let no_pid = EXEC.replace("\"pid\":7,", "");
    let file = File::of("bad", &[START, "", &no_pid, "[]", EXEC, "{", "\u{1b}[31m", "x", "y", END]);
    let (status, stdout, stderr) = shown(&file, &["-q"]);
    assert_eq!((status, stdout.lines().count()), (1, 2), "{stderr}");
    for said in ["F:2: not JSON", "F:3: no process.pid", "F:4: not an object", "F:6: not JSON"] {
        assert!(stderr.contains(said), "{stderr}");
    }
    assert!(stderr.contains("execsnoop: F has 2 more such lines\n"), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
    let kind = EXEC.replace("process.exec", "process.later");
    let (status, _, stderr) = shown(&File::of("kind", &[START, &kind, END]), &[]);
    assert_eq!(status, 1);
    assert!(stderr.contains("F has 1 line of kinds that this version does not know"), "{stderr}");
}

#[test]
fn a_cut_file_says_so() {
    let whole = format!("{START}\n{EXEC}\n{EXEC}\n");
    let file = File::new("half", &whole[..whole.len() - 40]);
    let (status, stdout, stderr) = shown(&file, &[]);
    assert_eq!((status, stdout.lines().count()), (1, 2), "{stderr}");
    assert!(stderr.contains("F ends within line 3: its writer was killed, or had no room"));
    let (status, stdout, stderr) = shown(&File::new("open", &whole), &["--json"]);
    assert_eq!((status, stdout), (1, whole), "no end is made up");
    assert!(
        stderr.contains("F has no end: its writer was killed, or is still at work"),
        "{stderr}"
    );
    let twice = File::of("twice", &[START, EXEC, END, START, EXEC, END]);
    let (status, stdout, stderr) = shown(&twice, &[]);
    assert_eq!((status, stdout.lines().count()), (7, 3), "one after the other: {stderr}");
    assert!(stderr.contains("execsnoop: 2 events, 6 lost\n"), "{stderr}");
    let open = File::of("open", &[START, EXEC, START, EXEC, END]);
    let (status, stdout, stderr) = shown(&open, &[]);
    assert_eq!((status, stdout.lines().count()), (1, 3));
    assert!(stderr.contains("F:3: the recording before this one has no end"), "{stderr}");
    // Lives do not go on in another run.
    let lives = [START, END, START, END].map(|line| line.replace("execsnoop", "procsnoop"));
    let lives = File::of("lives", &lives.each_ref().map(String::as_str));
    let output = run("procsnoop", &["--from", lives.0.to_str().unwrap()]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains(":3: another recording begins here: it is not shown"), "{stderr}");
}

/// A start of a part of a run.
fn part(sequence: u32) -> String {
    let part = format!(r#""trace":{{"sequence":{sequence},"began_boot_ns":1000000000}}}}"#);
    START.replace(
        r#""host":{"name":"h"}}"#,
        &format!(r#""host":{{"name":"h","boot":{{"id":"b"}}}},{part}"#),
    )
}

const CONTINUED: &str = r#"{"timestamp":"2026-01-31T12:00:03.000000000Z","event":{"name":"trace.continued"},"events":1,"lost":0,"trace":{"sequence":1,"began_boot_ns":1000000000}}"#;
const STATUS: &str = r#"{"timestamp":"2026-01-31T12:00:02.000000000Z","event":{"name":"trace.status"},"events":1,"lost":0,"uptime_ns":5,"tracer":{"cpu_ns":1,"memory_bytes":1}}"#;

#[test]
fn parts_of_a_run_are_read_one_by_one_and_in_a_row() {
    let first = File::of("first", &[&part(1), EXEC, STATUS, CONTINUED]);
    let second = File::of("second", &[&part(2), FAILED, END]);
    let (status, stdout, stderr) = shown(&first, &["-x"]);
    assert_eq!((status, stdout.lines().count()), (0, 2), "{stderr}");
    assert!(stderr.contains("F is continued by another file\n"), "{stderr}");
    let (status, stdout, _) = shown(&second, &["-x", "-t"]);
    assert_eq!(status, 7);
    assert!(stdout.lines().nth(1).unwrap().starts_with("2.000 "), "of the run: {stdout}");
    let paths = [&first, &second].map(|file| file.0.to_str().unwrap());
    let both = run("execsnoop", &["-x", "--from", paths[0], paths[1]]);
    let stderr = text(&both.stderr);
    assert_eq!((both.status.code(), text(&both.stdout).lines().count()), (Some(7), 3), "{stderr}");
    assert!(stderr.contains("execsnoop: 2 events, 3 lost\n"), "{stderr}");
    assert!(!stderr.contains("continued"), "{stderr}");
    let swapped = run("execsnoop", &["-x", "--from", paths[1], paths[0]]);
    let stderr = text(&swapped.stderr);
    assert!(stderr.contains(":1: a part of the recording is missing before this one"), "{stderr}");
    let one = File::of("one", &[&part(1), EXEC, CONTINUED, &part(2), FAILED, END]);
    let (status, stdout, _) = shown(&one, &["-x"]);
    assert_eq!((status, stdout.lines().count()), (7, 3), "in one file, too");
    let missing = run("execsnoop", &["-x", "--from", paths[0], "/nonexistent"]);
    assert!(text(&missing.stderr).contains("/nonexistent cannot be read: No such file"));
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn stdin_and_zstd() {
    let whole = [START, EXEC, END].map(|line| format!("{line}\n")).concat();
    let (_, expected, _) = shown(&File::new("plain", &whole), &[]);
    let packed = zstd::encode_all(whole.as_bytes(), 0).unwrap();
    assert_eq!(shown(&File::new("zst", &packed), &[]).1, expected);
    let path = std::path::Path::new(env!("CARGO_BIN_EXE_execsnoop"));
    let mut tool = Command::new(path)
        .args(["--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(&packed).unwrap();
    let output = tool.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), expected);
    // Several blocks, of which the last one is cut.
    let many = format!("{START}\n{}", format!("{EXEC}\n").repeat(2000));
    let packed = zstd::encode_all(many.as_bytes(), 0).unwrap();
    let cut = File::new("cut", &packed[..packed.len() - 3]);
    let (status, _, stderr) = shown(&cut, &[]);
    assert_eq!(status, 1);
    assert!(stderr.contains("F cannot be read beyond line "), "{stderr}");
}

#[test]
fn a_file_of_any_bytes_sends_none_to_the_terminal() {
    let mut wild = EXEC.replace("\"ls\"", r#""\u001b]0;x\u0007\u202e\n""#);
    wild = wild.replace("/bin/ls", r"/\u009b31m");
    let (status, stdout, _) = shown(&File::of("wild", &[START, &wild, END]), &["-e"]);
    assert_eq!((status, stdout.lines().count()), (7, 2));
    assert!(stdout.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{stdout:?}");
}
