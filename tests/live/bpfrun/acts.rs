//! What a program does decides whether it is attached unasked, not its kind.

use super::*;

/// Runs the victim of the programs of `acts` while they are what bpfrun attaches.
fn run(flags: &[&str]) -> Trace {
    let dir = TempDir::new();
    let victim = dir.alias("act-victim", "argv");
    let mut tool = BPFRUN.command(&["run", "--json", &object("acts")]);
    parse(&tool.args(flags).args(["--", &victim]).output().unwrap())
}

#[test]
fn nothing_that_acts_is_attached_unasked() {
    let trace = run(&[]);
    assert_eq!(trace.status, 0, "the victim lives: {trace:?}");
    assert_eq!(program(&trace, "looks")["state"], "attached", "{trace:?}");
    for (name, by) in [
        ("itself", "send_signal (sends a signal)"),
        ("by_function", "send_signal (sends a signal)"),
        ("by_callback", "send_signal_thread (sends a signal)"),
        ("via_tail", "send_signal (sends a signal)"),
        ("by_tail_call", "send_signal (sends a signal)"),
        ("writes", "probe_write_user (writes into the memory of a process)"),
    ] {
        let program = program(&trace, name);
        // A map of programs holds one of them, so it has to be loaded.
        let state = if name == "via_tail" { "loaded" } else { "skipped" };
        assert_eq!(program["state"], state, "{program}");
        assert_eq!(program["reason"], format!("acts on the system: {by}"), "{program}");
        assert_eq!(program["advice"], format!("attach it with --attach {name}"), "{program}");
    }
}

#[test]
fn one_that_is_named_acts() {
    let trace = run(&["--attach", "itself"]);
    assert_eq!(program(&trace, "itself")["state"], "attached", "{trace:?}");
    assert_eq!(program(&trace, "by_function")["state"], "skipped", "{trace:?}");
    assert_eq!(trace.status, 128 + libc::SIGKILL, "{trace:?}");
}
