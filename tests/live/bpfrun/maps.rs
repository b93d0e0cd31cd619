//! Maps are set right, event maps are found, and contents are shown.

use std::path::Path;

use super::*;

#[test]
fn maps_that_libbpf_or_the_kernel_would_refuse_load() {
    let trace = trace("fixups", &["--maps"], &["sh", "-c", "true; /bin/true; /bin/true"]);
    assert_eq!(program(&trace, "handle_exec")["state"], "attached");
    // All events came through each of the three ways, and are decoded by the maps' types.
    let through = |map: &str| {
        let mut numbers: Vec<_> = named(&trace, "bpf.event")
            .iter()
            .filter(|event| event["bpf"]["map"] == map)
            .map(|event| event["data"]["number"].as_u64().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    let sent = variable(&trace, "number").as_u64().unwrap();
    assert!(sent >= 3, "{trace:?}");
    assert_eq!(through("ring").len() as u64, sent);
    assert_eq!(through("ring"), through("perf"));
    assert_eq!(through("ring"), through("rings"));
    assert!(!Path::new("/sys/fs/bpf/bpfrun_pinned").exists());
    let pinned = |event: &&&Value| event["bpf"]["map"] == "bpfrun_pinned";
    // By process: a shell may become its last command.
    let pinned = named(&trace, "bpf.map").iter().filter(pinned).count();
    assert!(pinned >= 1, "{trace:?}");
}

#[test]
fn only_the_named_event_map_is_shown() {
    for flags in [["--events", "ring"], ["ring", "--verbose"]] {
        let trace = trace("fixups", &flags, &["true"]);
        let events = named(&trace, "bpf.event");
        assert!(!events.is_empty(), "{trace:?}");
        assert!(events.iter().all(|event| event["bpf"]["map"] == "ring"), "{trace:?}");
    }
}

#[test]
fn with_a_map_named_nothing_else_is_shown() {
    let trace = trace("mixed", &["wanted"], &[&fixture("argv")]);
    let is_of_map = |event: &Value| event["bpf"]["map"] == "wanted";
    assert!(!trace.events.is_empty() && trace.events.iter().all(is_of_map), "{trace:?}");
    let iterator = program(&trace, "lists");
    assert_eq!(iterator["state"], "loaded");
    assert!(iterator["reason"].as_str().unwrap().contains("only what is sent to maps"));
    for (name, reason) in [("zeros", "takes no events"), ("nope", "is not there")] {
        let output = BPFRUN.command(&[&object("mixed"), name]).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with(&format!("error: map {name} {reason}: ")), "{stderr}");
        let takers = stderr.trim_end().rsplit("those for events are ").next().unwrap();
        let mut takers: Vec<_> = takers.split(", ").collect();
        takers.sort_unstable();
        assert_eq!(takers, ["other", "raw", "unheard", "wanted"], "{stderr}");
    }
}

#[test]
fn a_program_that_is_not_attached_is_no_sender() {
    let trace = trace("mixed", &[], &[&fixture("argv")]);
    let name = "sends_from_a_rather_long_named_program";
    let events = named(&trace, "bpf.event");
    assert!(events.iter().any(|event| event["bpf"]["map"] == "wanted"), "{trace:?}");
    assert!(events.iter().all(|event| event["bpf"]["program"] == name), "{trace:?}");
    let maps = &trace.start["maps"];
    assert_eq!(maps["wanted"][0]["programs"], serde_json::json!([name]));
    assert_eq!(maps["unheard"], serde_json::json!([]));
}

#[test]
fn bytes_without_a_type_are_those_that_were_sent() {
    let trace = trace("mixed", &[], &[&fixture("argv")]);
    let events = named(&trace, "bpf.event");
    let raw = events.iter().find(|event| event["bpf"]["map"] == "raw");
    let raw = raw.unwrap_or_else(|| panic!("{trace:?}"));
    assert_eq!(raw["data"]["bytes"], 16, "{raw}");
    assert_eq!(raw["data"]["hex"], format!("010203{}", "0".repeat(26)), "{raw}");
    let written = named(&trace, "bpf.iterator");
    assert_eq!(written.len(), 1, "{trace:?}");
    assert_eq!(written[0]["data"]["hex"], format!("ff{}fe", "0".repeat(44)), "{written:?}");
}

#[test]
fn tables_are_as_wide_as_their_names_and_zeros_are_shown() {
    let mut tool = BPFRUN.command(&["--maps", &object("mixed"), "--", &fixture("argv")]);
    let output = tool.output().unwrap();
    let (stdout, stderr) = (lossy(&output.stdout), lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let heading = stdout.lines().find(|line| line.starts_with("TIME ")).unwrap();
    let event = heading.find(" EVENT").unwrap();
    let row = stdout.lines().find(|line| line.contains(" other ")).unwrap();
    assert!(row.get(event..).unwrap().starts_with(" pid="), "{stdout}");
    let zero = stdout.lines().find(|line| line.starts_with("[7] ")).unwrap();
    assert!(zero.ends_with("CPU: 0") || zero.ends_with("CPU 0: 0"), "{zero}");
}

#[test]
fn a_file_name_with_dots_is_no_obstacle() {
    const USER: &str = "uid=54323"; // nobody
    let dir = TempDir::new();
    let path = dir.copy(".my.tool.bpf.o", &object("burst"));
    let flags = ["--json", "--maps", "--set", USER, &path, "--", &fixture("argv")];
    let output = BPFRUN.command(&flags).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", lossy(&output.stderr));
    let trace = parse(&output);
    assert_eq!(variable(&trace, "sent"), 0, "{trace:?}");
}

#[test]
fn contents_are_shown_again_and_again() {
    let flags = ["--json", "--maps=0.05", &object("fixups")];
    let mut tool = BPFRUN.start(&flags);
    for _ in 0..3 {
        tool.wait_for("value", |record| record["value"]["number"].is_u64());
    }
    assert_eq!(tool.stop().status, 0);
}
