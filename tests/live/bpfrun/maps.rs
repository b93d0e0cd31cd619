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
fn contents_are_shown_again_and_again() {
    let flags = ["--json", "--maps=0.05", &object("fixups")];
    let mut tool = BPFRUN.start(&flags);
    for _ in 0..3 {
        tool.wait_for("value", |record| record["value"]["number"].is_u64());
    }
    assert_eq!(tool.stop().status, 0);
}
