//! `--filter`: the same events as jq chooses, in tables as in JSON, and none of them uncounted.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::*;

/// Expressions, and what they are in the language of jq. Each is about keys of all tools.
const EXPRESSIONS: [(&str, &str); 5] = [
    ("process.pid > 0", ".process.pid > 0"),
    ("process.comm ~ \"^s\" || process.vpid", "(.process.comm | test(\"^s\")) or .process.vpid"),
    ("!(process.comm in ['sh', \"true\"])", ".process.comm | . != \"sh\" and . != \"true\""),
    ("process.user.id == 0 && gone_base64 == 'x'", "false"),
    ("event.name !~ 'exit$'", ".event.name | test(\"exit$\") | not"),
];

/// The lines of events for which jq's expression is true.
fn by_jq(expression: &str, lines: &str) -> Option<String> {
    let is_event = ".event.name | IN(\"trace.start\", \"trace.end\", \"events.lost\") | not";
    let mut jq = Command::new("jq");
    let program = format!("select(({is_event}) and ({expression}))");
    jq.args(["-c", &program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut jq = jq.spawn().ok()?;
    let mut stdin = jq.stdin.take().unwrap();
    let text = lines.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = jq.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    Some(lossy(&output.stdout))
}

fn values(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_recording_is_filtered_as_jq_does_it() {
    for demo in tracers() {
        let script = format!("{{ {0}; {0}; }} >/dev/null 2>&1; true", demo.command);
        let output = demo.tool.command(&["--json", "--", "sh", "-c", &script]).output().unwrap();
        let whole = parse(&output);
        let file = std::env::temp_dir().join(format!("snoop-filtered-{}", std::process::id()));
        std::fs::write(&file, &output.stdout).unwrap();
        let path = file.to_str().unwrap();
        for (ours, jq) in EXPRESSIONS {
            let ours = ours.replace("gone_base64", "process.comm_base64");
            let flags = ["--from", path, "--filter", &ours];
            let json = demo.tool.command(&[&flags[..], &["--json"]].concat()).output().unwrap();
            let chosen = parse(&json);
            if let Some(expected) = by_jq(jq, &lossy(&output.stdout)) {
                assert_eq!(chosen.events, values(&expected), "{} {ours}", demo.tool.0);
            }
            let left_out = whole.events.len() - chosen.events.len();
            let filtered = chosen.end["filtered"].as_u64().unwrap_or(0);
            assert_eq!(filtered, left_out as u64, "{} {ours}", demo.tool.0);
            assert_eq!(chosen.end["events"], chosen.events.len());
            let table = demo.tool.command(&[&flags[..], &["-o", "pid"]].concat()).output().unwrap();
            let rows = lossy(&table.stdout).lines().count().saturating_sub(1);
            assert_eq!(rows, chosen.events.len(), "{} {ours}", demo.tool.0);
            let said = format!("{left_out} left out by --filter");
            assert!(lossy(&table.stderr).contains(&said), "{}", lossy(&table.stderr));
        }
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_live_run_is_filtered() {
    let mut tried = 0;
    for demo in tracers() {
        let script = format!("{{ {0}; {0}; }} >/dev/null 2>&1; true", demo.command);
        let run = |expression: &str| {
            let flags = ["--json", "--filter", expression, "--", "sh", "-c", &script];
            parse(&demo.tool.command(&flags).output().unwrap())
        };
        let all = run("event");
        all.is_complete();
        assert_eq!(all.end["filtered"], Value::Null, "{all:?}");
        if all.events.is_empty() {
            continue; // a static shell maps nothing
        }
        tried += 1;
        let none = run("!event");
        assert_eq!((none.events.len(), &none.end["lost"]), (0, &Value::from(0)));
        let filtered = none.end["filtered"].as_u64().unwrap();
        assert!(filtered >= 2, "{}: {none:?}", demo.tool.0);
        let one =
            run("process.ppid == 1 || process.pid >= 1".replace("ppid", "parent_pid").as_str());
        assert!(!one.events.is_empty());
    }
    assert!(tried >= 3, "{tried} tools have shown something");
}

#[test]
fn totals_count_what_passes() {
    let dial = fixture("dial");
    let script = format!("{{ {dial} 127.0.0.1 1; {dial} 127.0.0.1 2; }} >/dev/null; true");
    let run = |flags: &[&str]| {
        let tool = Tool("tcpconnect");
        let flags = [&["--json", "--count"], flags, &["--", "sh", "-c", &script]].concat();
        parse(&tool.command(&flags).output().unwrap())
    };
    let ports = |trace: &Trace| -> Vec<Value> {
        let ports = trace.events.iter().map(|row| row["network"]["peer"]["port"].clone());
        ports.filter(|port| !port.is_null()).collect()
    };
    assert_eq!(ports(&run(&[])).len(), 2);
    let trace = run(&["--filter", "network.peer.port == 2"]);
    assert_eq!((ports(&trace), &trace.end["filtered"]), (vec![2.into()], &Value::from(1)));
}

#[test]
fn what_has_no_rows_has_no_filter() {
    for (tool, flags, expected) in [
        ("mmapsnoop", &["--summary", "1"][..], "--summary has only their numbers"),
        ("procsnoop", &["--tree-view"], "chooses rows, not what is drawn"),
        ("procsnoop", &["--live"], "cannot be used with"),
        ("execsnoop", &["--live"], "cannot be used with"),
    ] {
        let output =
            Tool(tool).command(&[flags, &["--filter", "process"]].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{tool} {flags:?}");
        let said = lossy(&output.stderr);
        assert!(said.contains(expected), "{said}");
    }
}
