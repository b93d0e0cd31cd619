//! `bpfrun inspect`, as people call it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::compile::{compile, kinds, run, scratch, strip};

/// A file that is gone at the end.
pub(crate) struct File(pub(crate) PathBuf);

impl File {
    pub(crate) fn new(data: &[u8]) -> Self {
        let path = scratch("object.bpf.o");
        std::fs::write(&path, data).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) fn inspect(path: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bpfrun"))
        .arg("inspect")
        .arg(path)
        .args(flags)
        .output()
        .unwrap()
}

/// What it shows of an object, which has to be all.
fn shown(data: &[u8], flags: &[&str]) -> String {
    let file = File::new(data);
    let output = inspect(&file.0, flags);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the line that begins with this one.
fn line<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.first() == Some(&first)).unwrap_or_else(|| panic!("{first}: {text}"))
}

#[test]
fn tables() {
    let text = shown(kinds(), &[]);
    let (summary, _) = text.split_once('\n').unwrap();
    for words in ["little-endian", "licence \"GPL\"", "BTF with", "source lines", "DWARF"] {
        assert!(summary.contains(words), "{summary}");
    }
    let exec = line(&text, "handle_exec");
    assert_eq!(exec[1..4], ["tp", "sched/sched_process_exec", "tracepoint"]);
    assert_eq!(line(&text, "handle_mkdir")[1..4], ["?fentry.s", "do_mkdirat", "tracing"]);
    assert_eq!(line(&text, "no_kind")[1], r"something\040else");
    assert_eq!(line(&text, "in_text")[1], ".text");
    assert_eq!(
        line(&text, "started").join(" "),
        "started hash 4 32 1024 __u32 -> struct event, NO_PREALLOC, pinned by name"
    );
    assert_eq!(
        line(&text, "outer").join(" "),
        "outer array_of_maps 4 0 3 key __u32, \
         each: array, key 4, value 8, entries 2, __u32 -> __u64, holds 0=first 2=second"
    );
    assert_eq!(line(&text, "least_ns").join(" "), "least_ns .rodata 8 const volatile __u64 = 1000");
    assert!(line(&text, "last").join(" ").contains("struct event = pid=7 comm="), "{text}");
    assert_eq!(
        line(&text, "bpf_prog_active")[1..],
        [".ksyms", "const", "int", "(may", "be", "missing)"]
    );
}

#[test]
fn legacy_objects() {
    let text = shown(&compile("legacy", "bpfeb", &["-g0"]), &[]);
    let (summary, _) = text.split_once('\n').unwrap();
    assert!(summary.contains("big-endian") && summary.contains("for Linux 4.19.7"), "{summary}");
    assert!(summary.contains("no BTF"), "{summary}");
    assert_eq!(line(&text, "counts").join(" "), "counts hash 4 8 100 NO_PREALLOC, legacy");
    assert!(line(&text, "shared").join(" ").contains("pinned global namespace"), "{text}");
}

#[test]
fn disassembly() {
    let text = shown(&strip(kinds()), &["--disasm"]);
    for words in [
        "handle_exec: section tp/sched/sched_process_exec, ",
        "int handle_exec(struct trace_event_raw_sched_process_exec *ctx);",
        "event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);",
        "= map[events] ll ",
        "call bpf_ringbuf_reserve ",
        "# helper 131",
        "# CO-RE: struct task_struct.real_parent (byte offset)",
        "# \"exec of %d\"",
        "call in_text\n",
        "= each ll",
        "call bpf_rcu_read_lock ",
        "# kernel function",
        "# kernel configuration",
        "\nL1:\n",
        " goto L1\n",
        "int in_text(int x);",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let text = shown(kinds(), &["-d", "--prog", "drop_*"]);
    assert!(text.starts_with("drop_none: section xdp.frags, 2 instructions\n"), "{text}");
    assert!(!text.contains("handle_exec"), "{text}");
}

#[test]
fn types() {
    let text = shown(kinds(), &["--types"]);
    assert!(text.contains("struct event {\n\t__u32 pid; /* 0 */\n"), "{text}");
    let text = shown(kinds(), &["--types=ev?nt"]);
    assert!(text.starts_with("struct event {"), "{text}");
    assert!(!text.contains("struct task_struct {"), "{text}");
}

#[test]
fn events() {
    let text = shown(kinds(), &[]);
    assert_eq!(line(&text, "perf")[1], "perf_event_array");
    let (_, events) = text.split_once("\nEVENTS ").unwrap();
    assert_eq!(line(events, "events")[1..], ["struct", "event", "32", "annotation", "handle_exec"]);
    assert_eq!(line(events, "perf")[1..], ["struct", "event", "32", "dwarf", "handle_unlink"]);

    let all: Value = serde_json::from_str(&shown(kinds(), &["--json", "--schema"])).unwrap();
    let event = &all["events"][0];
    assert_eq!((&event["map"], &event["type"]), (&"events".into(), &"struct event".into()));
    assert_eq!(event["provenance"]["kind"], "annotation");
    assert_eq!(event["programs"], serde_json::json!(["handle_exec"]));
    assert_eq!(event["members"][1]["type"], "char [16]");

    // The user's word counts more.
    let text = shown(&strip(kinds()), &["--schema", "--type", "perf=inner"]);
    assert!(text.contains("/* perf: struct inner"), "{text}");
    let file = File::new(kinds());
    let output = inspect(&file.0, &["--schema", "--type", "perf=no_such_struct"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("no_such_struct") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn a_compiler_takes_schemas() {
    let source = scratch("schema.c");
    let mut text = String::from(
        "typedef unsigned char __u8; typedef unsigned short __u16, __be16;\n\
         typedef unsigned int __u32, __be32; typedef int __s32;\n\
         typedef unsigned long long __u64; typedef long long __s64;\n",
    );
    text += &shown(&compile("several", "bpfel", &[]), &["--schema"]);
    text += "_Static_assert(sizeof(struct open_event) == 24, \"\");\n\
             _Static_assert(sizeof(struct connect_event) == 40, \"\");\n\
             _Static_assert(__builtin_offsetof(struct connect_event, dport) == 32, \"\");\n";
    std::fs::write(&source, text).unwrap();
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    run(Command::new(clang).args(["-fsyntax-only", "-target", "bpf"]).arg(&source));
    std::fs::remove_file(source).unwrap();
}

#[test]
fn json() {
    let text = shown(kinds(), &["--json"]);
    assert_eq!(text.lines().count(), 1);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["byte_order"], "little");
    assert_eq!(all["license"], "GPL");
    assert_eq!(all["programs"][0]["name"], "handle_exec");
    assert_eq!(all["programs"][0]["type"], "tracepoint");
    assert!(all["programs"][0].get("instructions").is_none());
    let find = |list: &str, name: &str| {
        let list = all[list].as_array().unwrap();
        list.iter().find(|item| item["name"] == name).unwrap().clone()
    };
    let started = find("maps", "started");
    assert_eq!(started["value"]["type"], "struct event");
    assert_eq!(started["flags"], serde_json::json!(["NO_PREALLOC"]));
    assert_eq!(find("maps", "outer")["inner"]["type"], "array");
    assert_eq!(find("variables", "last")["value"]["pid"], 7);
    assert_eq!(find("externs", "bpf_prog_active")["weak"], true);
    assert!(!text.contains("null"), "absent beats null");

    let all = shown(kinds(), &["--json", "-d", "--types=event"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["types"][0]["members"][2]["name"], "at_ns");
    assert_eq!(all["types"][0]["members"][2]["bit_offset"], 192);
    let insns = all["programs"][0]["instructions"].as_array().unwrap();
    assert_eq!(insns[0]["text"], "call bpf_get_current_task");
    assert_eq!(insns[0]["bytes"], "8500000023000000");
    assert!(insns[0]["source"]["line"].as_u64().unwrap() > 50);
    assert!(insns.iter().any(|insn| insn["refers_to"]["map"] == "events"));
}

/// What it says of a file that it cannot show: one line on stderr, and status 1.
fn refused(path: &Path) -> String {
    let output = inspect(path, &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(output.stdout, b"");
    stderr
}

#[test]
fn what_is_no_object_is_refused_in_one_line() {
    let empty = File::new(b"");
    let half = File::new(&kinds()[..kinds().len() / 2]);
    let pipe = scratch("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let missing = scratch("missing\n");
    for (path, words) in [
        (empty.0.as_path(), ": the file is empty"),
        (&half.0, ": damaged or truncated ELF file"),
        (Path::new("/"), "cannot inspect /: it is a directory"),
        (Path::new("/dev/null"), ": it is not a regular file"),
        (&pipe, ": it is not a regular file"),
        (Path::new("/bin/sh"), ", not for BPF"),
        (&missing, r"missing\n: No such file or directory"),
    ] {
        let stderr = refused(path);
        assert!(stderr.starts_with("bpfrun: cannot inspect "), "{stderr}");
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    std::fs::remove_file(pipe).unwrap();
}

#[test]
fn damaged_parts_are_told_of_and_the_rest_is_shown() {
    let mut data = strip(kinds());
    let at = data.windows(8).position(|bytes| bytes == b"\x9f\xeb\x01\0\x18\0\0\0").unwrap();
    data[at + 12] ^= 1;
    let file = File::new(&data);
    let output = inspect(&file.0, &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("bpfrun: damaged BTF: ") && stderr.lines().count() == 1, "{stderr}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("handle_exec"));
}

/// Puts other bytes in the place of these, wherever they are.
fn replace(data: &mut [u8], old: &[u8; 5], new: &[u8; 5]) {
    let mut at = 0;
    while let Some(found) = data[at..].windows(5).position(|bytes| bytes == old) {
        data[at + found..][..5].copy_from_slice(new);
        at += found + 5;
    }
}

#[test]
fn names_cannot_reach_the_terminal() {
    let mut data = strip(kinds());
    // In names of functions, maps, variables, types, members, sections, in source lines, in
    // strings, in the licence.
    for old in [b"event", b"handl", b"start", b"sched", b"least", b"exec ", b"inner", b"real_"] {
        replace(&mut data, old, b"\x1b[2J\n");
    }
    let file = File::new(&data);
    for flags in
        [&[][..], &["--disasm"], &["--types"], &["--schema"], &["--json", "-d", "-t", "-s"]]
    {
        let output = inspect(&file.0, flags);
        let (text, errors) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
        let told = String::from_utf8(errors).unwrap();
        assert!(text.contains("[2J"), "{text}");
        assert!(!text.contains('\x1b') && !told.contains('\x1b'), "{text}{told}");
        assert!(told.lines().all(|line| line.starts_with("bpfrun: ")), "{told}");
    }
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let file = File::new(kinds());
    let mut child = Command::new(env!("CARGO_BIN_EXE_bpfrun"))
        .arg("inspect")
        .arg(&file.0)
        .args(["--types", "--disasm"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_the_object_does_not_have_is_refused() {
    for (data, flags, words) in [
        (kinds().to_vec(), &["--types=no_such*"][..], "no type in BTF is like no_such*"),
        (kinds().to_vec(), &["--types=_Bool"], "_Bool has no members or values to show"),
        (kinds().to_vec(), &["-d", "-p", "nope"], "no function is like nope: there are "),
        (kinds().to_vec(), &["--json", "-d", "-p", "nope"], "no function is like nope"),
        (compile("legacy", "bpfel", &["-g0"]), &["--types=x"], "it has no BTF"),
    ] {
        let file = File::new(&data);
        let output = inspect(&file.0, flags);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with(&format!("error: {words}")), "{words}: {stderr}");
        assert_eq!((output.stdout.len(), stderr.lines().count()), (0, 1), "{stderr}");
    }
    // All types of none.
    let file = File::new(&compile("legacy", "bpfel", &["-g0"]));
    let output = inspect(&file.0, &["--types"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "bpfrun: it has no BTF, so there are no types\n");
    assert_eq!(output.status.code(), Some(0));
    // No map that a type could be of.
    let file = File::new(&compile("legacy", "bpfel", &["-g0"]));
    let output = inspect(&file.0, &["--type", "rb=x"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.ends_with("--type rb=x: none of its maps takes events\n"), "{stderr}");
}

#[test]
fn columns_are_as_wide_as_what_is_in_them() {
    let text = shown(kinds(), &[]);
    let mut cells = 0;
    for table in text.split("\n\n").skip(1) {
        let mut rows = table.lines();
        let heading = rows.next().unwrap();
        // A column of numbers ends where its heading does.
        let Some(at) = heading.find("INSNS").or(heading.find("BYTES")) else { continue };
        let end = at + 5;
        for row in rows {
            let cell = row[..end].rsplit(' ').next().unwrap();
            assert!(row.len() == end || row[end..].starts_with(' '), "{text}");
            assert!(cell.is_empty() || cell.parse::<u64>().is_ok(), "{cell}: {text}");
            cells += usize::from(!cell.is_empty());
        }
    }
    assert!(cells >= 7, "one for each program at least: {text}");
}

#[test]
fn zero_is_shown_by_its_type() {
    let text = shown(kinds(), &[]);
    assert_eq!(line(&text, "verbose").join(" "), "verbose .rodata 1 const volatile bool = false");
    let all: Value = serde_json::from_str(&shown(kinds(), &["--json"])).unwrap();
    let variables = all["variables"].as_array().unwrap();
    let verbose = variables.iter().find(|variable| variable["name"] == "verbose").unwrap();
    assert_eq!(verbose["value"], false);
}

#[test]
fn wrong_usage() {
    for (flags, words) in [
        (&["--prog", "x"][..], "--disasm"),
        (&["--disasm", "--prog", ""], "an empty pattern"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = inspect(Path::new("x.bpf.o"), flags);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
}

#[test]
fn what_acts_is_listed() {
    let data = crate::compile::compile_fixture("acts");
    let text = shown(&data, &[]);
    let line = text.lines().find(|line| line.starts_with("writes ") && line.contains("probe_w"));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[..2], ["writes", "probe_write_user"], "{text}");
    assert!(line.unwrap().ends_with("writes into the memory of a process"), "{text}");
    let json: Value = serde_json::from_str(&shown(&data, &["--json"])).unwrap();
    let programs = json["programs"].as_array().unwrap();
    let program = programs.iter().find(|program| program["name"] == "itself").unwrap();
    assert_eq!(program["acts"][0]["name"], "send_signal", "{program}");
    assert_eq!(program["acts"][0]["what"], "sends a signal", "{program}");
}
