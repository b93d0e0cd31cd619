//! `--from FILE`: what a tool recorded with `--json` looks as its table did.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::harness::*;

/// A file with the JSON Lines of a run, removed at the end.
struct Recording(PathBuf);

impl Recording {
    fn new(name: &str, lines: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("snoop-{}-{name}.json", std::process::id()));
        fs::write(&path, lines).unwrap();
        Self(path)
    }

    fn shown(&self, tool: Tool, flags: &[&str]) -> Output {
        let mut tool = tool.command(&["--from", self.0.to_str().unwrap()]);
        tool.args(flags).output().unwrap()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Each tool's flags for all that it can record, and columns without a time, which two tools that
/// look at one event at the same time measure each by itself.
const TOOLS: [(&str, &[&str], &str); 5] = [
    ("execsnoop", &["-x"], "pcomm,pid,ppid,ret,exe,args"),
    ("killsnoop", &["--kernel"], "pid,comm,signal,tpid,tcomm,result"),
    (
        "mmapsnoop",
        &["--all", "--vma"],
        "pid,comm,call,addr,len,prot,flags,fd,offset,vma,path/result",
    ),
    ("procsnoop", &["--fork", "--threads"], "event,comm,pid,ppid,tid,status,args"),
    ("tcpconnect", &["--sync-errors"], "pid,comm,ip,saddr,sport,daddr,dport,result"),
];

#[test]
fn a_recording_gives_the_same_bytes_again() {
    for &(name, flags, _) in &TOOLS {
        let tool = Tool(name);
        let demo = tracers().iter().find(|demo| demo.tool.0 == name).unwrap();
        let script = format!("{{ {}; }} >/dev/null 2>&1; true", demo.command);
        let mut run = tool.command(&[flags, &["--json", "--", "sh", "-c", &script]].concat());
        let output = run.output().unwrap();
        let trace = parse(&output);
        assert!(!trace.events.is_empty(), "{name}");
        let recording = Recording::new(name, &output.stdout);
        let again = recording.shown(tool, &[flags, &["--json"]].concat());
        assert_eq!(lossy(&again.stdout), lossy(&output.stdout), "{}", lossy(&again.stderr));
        assert_eq!(again.status.code(), Some(trace.status), "{}", lossy(&again.stderr));
    }
}

#[test]
fn a_recording_looks_as_the_table_did() {
    for &(name, flags, columns) in &TOOLS {
        let tool = Tool(name);
        // Both see the process of this name, whatever else happens.
        let comm = format!("look{}{}", std::process::id() % 100_000, &name[..2]);
        let program = std::env::temp_dir().join(&comm);
        let (original, args) = match name {
            "tcpconnect" => (PathBuf::from(fixture("dial")), ["127.0.0.1", "1"]),
            _ => (PathBuf::from("/bin/sh"), ["-c", "kill -CONT $$; exit 3"]),
        };
        fs::copy(original, &program).unwrap();
        let chosen = ["--comm", &comm];
        let json = tool.start(&[flags, &chosen, &["--json"]].concat());
        let table = tool.start(&[flags, &chosen, &["-o", columns]].concat());
        // A shell may be one of many programs in a file, which looks at the name.
        Command::new(&program).arg0("sh").args(args).status().unwrap();
        json.settle();
        table.settle();
        json.signal(libc::SIGINT);
        table.signal(libc::SIGINT);
        let (lines, stderr, _) = json.finish();
        let (rows, said, _) = table.finish();
        fs::remove_file(&program).unwrap();
        assert!(rows.len() > 1, "{name}: {rows:?} {stderr} {said}");
        let recording = Recording::new(&format!("{name}-table"), lines.concat().as_bytes());
        let again = recording.shown(tool, &[flags, &["-o", columns]].concat());
        assert_eq!(lossy(&again.stdout), rows.concat(), "{name}: {}", lossy(&again.stderr));
        assert_eq!(lossy(&again.stderr), said, "{name}");
    }
}

#[test]
fn the_pictures_of_a_recording() {
    let tool = Tool("procsnoop");
    let folder = std::env::temp_dir();
    let svg = |name: &str| folder.join(format!("snoop-{}-{name}.svg", std::process::id()));
    let (live, later) = (svg("live"), svg("later"));
    let script = "/bin/true; (/bin/false); sh -c 'kill -9 $$'; /bin/sleep 0.1 & wait";
    let picture = |path: &PathBuf| format!("--plot={}", path.display());
    let flags = ["--fork", "--json", "--critical-path", &picture(&live), "--", "sh", "-c", script];
    let output = tool.command(&flags).output().unwrap();
    let recording = Recording::new("pictures", &output.stdout);
    let again = recording.shown(tool, &["-q", &picture(&later)]);
    assert!(lossy(&again.stderr).contains("processes, 0 lost"), "{}", lossy(&again.stderr));
    let [drawn, drawn_later] = [&live, &later].map(|path| fs::read_to_string(path).unwrap());
    assert_eq!(drawn_later, drawn);
    [live, later].iter().for_each(|path| fs::remove_file(path).unwrap());
    let path = recording.shown(tool, &["-q", "--critical-path"]);
    assert!(lossy(&path.stdout).contains("/bin/sleep 0.1"), "{}", lossy(&path.stderr));
    let lines = |output: &[u8]| {
        let all = lossy(output);
        let path = all.lines().filter(|line| line.contains("process.critical_path"));
        path.map(str::to_owned).collect::<Vec<_>>()
    };
    let path = recording.shown(tool, &["-q", "--json", "--critical-path"]);
    assert!(!lines(&path.stdout).is_empty());
    assert_eq!(lines(&path.stdout), lines(&output.stdout));
    let tree = recording.shown(tool, &["-q", "--tree-view"]);
    let tree = lossy(&tree.stdout);
    assert!(tree.contains("SIGKILL") && tree.contains("└ "), "{tree}");
    let without = tool.command(&["--json", "--", "true"]).output().unwrap();
    let refused = Recording::new("no-births", &without.stdout).shown(tool, &["-q", "--tree-view"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(lossy(&refused.stderr).contains("has no births"), "{}", lossy(&refused.stderr));
}

#[test]
fn two_builds_compared() {
    let folder = std::env::temp_dir().join(format!("snoop-{}-builds", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    // What it runs stands for a compiler, which virtual machines do not have.
    write("cc", "#!/bin/sh\n[ \"$4\" != broken.c ] && touch \"$2\"\n");
    write(
        "build",
        "#!/bin/sh\nfor file in one two three; do\n  sh ./cc -o $file.o $1 $file.c\ndone\n",
    );
    let tool = Tool("procsnoop");
    let record = |name: &str, script: &str| {
        let mut run = tool.command(&["--json", "--", "sh", "-c", script]);
        let output = run.current_dir(&folder).output().unwrap();
        parse(&output);
        Recording::new(name, &output.stdout)
    };
    let a = record("a", "sh ./build -O2; sh ./cc -o b.o -g broken.c || true");
    write(
        "build",
        "#!/bin/sh\nfor file in one two broken; do\n  sh ./cc -o $file.o $1 $file.c\ndone\ntrue\n",
    );
    let b = record("b", "sh ./build -O3; true; sh ./cc -o b.o -g broken.c");
    fs::remove_dir_all(&folder).unwrap();
    let files = [a.0.to_str().unwrap(), b.0.to_str().unwrap()];
    let diff = |flags: &[&str]| {
        let output = tool.command(&["--diff", files[0], files[1]]).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", lossy(&output.stderr));
        lossy(&output.stdout)
    };
    let text = diff(&[]);
    assert!(text.contains("sh ./cc -o one.o {-O2 -> -O3} one.c\n"), "{text}");
    assert!(text.contains("sh ./cc -o two.o {-O2 -> -O3} two.c\n"), "{text}");
    // (How many commands, depends on the shell: some run touch(1) by themselves.)
    assert!(text.contains(" commands, 1 failed, "), "{text}");
    let totals: Vec<_> = text.lines().rev().take(3).collect();
    let begins = ["1 fails in B, ", "B: ", "A: "];
    assert!(totals.iter().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{text}");
    let rows = diff(&["--json"]);
    let rows: Vec<serde_json::Value> =
        rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let total = rows.last().unwrap();
    assert_eq!(total["event"]["name"], "diff.total");
    assert_eq!(total["a"]["failed"], 1, "{total}");
    assert!(rows.iter().any(|row| row["diff"]["what"] == "arguments"), "{rows:?}");
    let same = tool.command(&["--diff", files[0], files[0]]).output().unwrap();
    assert!(lossy(&same.stdout).ends_with("no difference\n"), "{}", lossy(&same.stdout));
}
