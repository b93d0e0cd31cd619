//! Each program on its own: what is refused does not stop the others, and is explained.

use super::*;

#[test]
fn one_refused_program_does_not_stop_the_others() {
    let trace = trace("isolate", &[], &[&fixture("argv")]);
    assert_eq!(program(&trace, "good")["state"], "attached");
    assert!(messages(&trace).contains(&"level 1"), "{trace:?}");
    for (name, state, reason) in [
        ("reads_null", "refused", "verifier: "),
        ("no_tracepoint", "refused", "no tracepoint no_such_tracepoint"),
        ("no_function", "refused", "no function no_such_function"),
        ("no_classic", "loaded", "no tracepoint no_such/tracepoint"),
        ("no_raw", "loaded", "no tracepoint no_such_tracepoint"),
        ("no_section", "refused", "libbpf knows no programs of such a section"),
        ("no_target", "loaded", "its section names no target"),
        ("on_demand", "skipped", "optional"),
        ("drops", "skipped", "changes what the system does"),
        ("shoots", "skipped", "changes what the system does"),
        ("forbids", "skipped", "changes what the system does"),
        ("denies", "skipped", "changes what the system does"),
    ] {
        let program = program(&trace, name);
        assert_eq!(program["state"], state, "{program}");
        assert!(program["reason"].as_str().unwrap().contains(reason), "{program}");
    }
    let advice = |name| program(&trace, name)["advice"].as_str().unwrap();
    assert_eq!(advice("no_target"), "attach it with --attach no_target=FILE:FUNCTION");
    assert_eq!(advice("drops"), "attach it with --attach drops=INTERFACE");
    assert_eq!(advice("denies"), "attach it with --attach denies");
    assert_eq!(advice("on_demand"), "load it with --prog on_demand");
}

#[test]
fn the_table_says_the_same_to_people() {
    let mut tool = BPFRUN.command(&[&object("isolate"), "--", &fixture("argv")]);
    let output = tool.output().unwrap();
    let stderr = lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let line = |name: &str| {
        let line = stderr.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("{name}: {stderr}"))
    };
    assert!(line("good").ends_with("attached to raw_tp/sched_process_exec"), "{stderr}");
    assert!(line("reads_null").contains("refused: verifier: "), "{stderr}");
    assert!(line("drops").contains("--attach drops=INTERFACE"), "{stderr}");
    // With the source line that the verifier was at.
    assert!(line("reads_null").contains("(at: return *(volatile int *)"), "{stderr}");
}

#[test]
fn what_cannot_be_attached_is_said_at_once() {
    for flags in [&[][..], &["--attach", "called"], &["--attach", "called=x"]] {
        let trace = trace("mixed", flags, &["true"]);
        let program = program(&trace, "called");
        assert_eq!(program["state"], "skipped", "{program}");
        assert_eq!(program["reason"], "bpfrun cannot attach programs of this kind");
        assert!(program["advice"].is_null(), "{program}");
    }
}

#[test]
fn a_type_of_no_map_is_refused() {
    let output = BPFRUN.command(&[&object("isolate"), "--type", "rb=x"]).output().unwrap();
    let stderr = lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr, "error: --type rb=x: none of its maps takes events\n");
}

#[test]
fn programs_are_chosen_by_name() {
    let trace = trace("isolate", &["--prog", "on_*"], &[&fixture("argv")]);
    assert_eq!(program(&trace, "on_demand")["state"], "attached");
    assert_eq!(program(&trace, "good")["state"], "skipped");
    let output = BPFRUN.command(&[&object("isolate"), "--prog", "nothing*"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(lossy(&output.stderr).contains("no program is like nothing*: there are "));
}

#[test]
fn of_variants_only_the_best_is_attached() {
    let count = |flags: &[&str]| {
        let trace = trace("variants", flags, &[&fixture("argv")]);
        let states: Vec<_> = ["typed", "raw", "classic"]
            .iter()
            .map(|name| program(&trace, name)["state"].as_str().unwrap().to_owned())
            .collect();
        (states, variable(&trace, "seen").as_u64().unwrap())
    };
    let (states, _) = count(&["--maps"]);
    assert_eq!(states, ["attached", "loaded", "loaded"]);
    let (states, _) = count(&["--maps", "--prog", "raw", "--prog", "classic"]);
    assert_eq!(states, ["skipped", "attached", "loaded"]);
    let (states, seen) = count(&["--maps", "--all-variants"]);
    assert_eq!(states, ["attached"; 3]);
    assert!(seen >= 3, "{seen}");
}

#[test]
fn variables_are_set_by_their_types() {
    let trace = trace("isolate", &["--set", "level=0x10"], &[&fixture("argv")]);
    assert!(messages(&trace).contains(&"level 16"), "{trace:?}");
    for (wrong, reason) in [
        ("nope=1", "no variable nope: there are level (const volatile int)"),
        ("level=99999999999", "level: 99999999999 is not from -2147483648 to 2147483647"),
        ("level=x", "level: \"x\" is not a valid int: give a number"),
        ("level.a=1", "level.a: int has no member a"),
    ] {
        let output = BPFRUN.command(&[&object("isolate"), "--set", wrong]).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(reason), "{reason}: {stderr}");
    }
}

#[test]
fn names_that_the_object_does_not_have_are_refused() {
    for (args, reason) in [
        (["--events", "nope"], "map nope is not there: those for events are ring, "),
        (["--attach", "nope=x"], "no program nope: there are "),
    ] {
        let output = BPFRUN.command(&[&object("fixups")]).args(args).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
}
