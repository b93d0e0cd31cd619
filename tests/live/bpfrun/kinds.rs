//! Sections that libbpf does not know, other names of functions, and pairs of probes.

use std::net::UdpSocket;

use crate::netns::in_new_netns;

use super::*;

#[test]
fn programs_of_unknown_sections_are_what_they_are_said_to_be() {
    let flags = [
        "--type-of=on_exec=raw_tp/sched_process_exec",
        "--type-of=typed=tp_btf/sched_process_exec",
        "--all-variants",
    ];
    let trace = trace("foreign", &flags, &[&fixture("argv")]);
    let said = messages(&trace);
    assert!(said.contains(&"executed") && said.contains(&"typed 1"), "{said:?}");
    assert_eq!(program(&trace, "on_exec")["attached_to"], "raw_tp/sched_process_exec");
    assert_eq!(program(&trace, "on_exec")["section"], "my_tracepoint");
    let nobody = program(&trace, "nobody");
    assert_eq!(nobody["state"], "refused");
    let advice = nobody["advice"].as_str().unwrap();
    assert!(advice.starts_with("--type-of nobody=KIND says what it is"), "{advice}");
    // It could be attached, and changes what the system does.
    let classifies = program(&trace, "classifies");
    assert_eq!(classifies["advice"], "attach it with --attach classifies=INTERFACE");
}

#[test]
fn a_kind_without_a_place_gets_one() {
    let flags = [
        "--type-of=on_exec=raw_tracepoint",
        "--attach=on_exec=sched_process_exec",
        "--prog=on_exec",
    ];
    let trace = trace("foreign", &flags, &[&fixture("argv")]);
    assert!(messages(&trace).contains(&"executed"), "{trace:?}");
    assert_eq!(program(&trace, "on_exec")["attached_to"], "raw_tp sched_process_exec");
}

#[test]
fn packets_of_programs_that_libbpf_does_not_know() {
    in_new_netns(|_| {
        for (name, kind, message) in [
            ("packets", Some("--type-of=packets=sched_cls"), "packet of an interface"),
            ("classifies", None, "classified"),
        ] {
            let attach = format!("--attach={name}=lo");
            let object = object("foreign");
            let mut flags = vec!["--json", "--prog", name, &*attach, &*object];
            flags.extend(kind);
            if kernel_release() < (6, 6) {
                flags.retain(|flag| *flag != "--json");
                let output = BPFRUN.command(&flags).output().unwrap();
                let stderr = lossy(&output.stderr);
                assert!(stderr.contains("needs Linux 6.6 or newer"), "{stderr}");
                continue;
            }
            let mut tool = BPFRUN.start(&flags);
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            tool.wait_for(message, |record| record["message"] == message);
            let trace = tool.stop();
            assert_eq!(trace.status, 0);
            assert_eq!(program(&trace, name)["state"], "attached", "{trace:?}");
        }
    });
}

#[test]
fn kinds_that_do_not_exist_are_refused() {
    for (flag, reason) in [
        ("--type-of=on_exec=nope", "no kind nope: give the name of a section that libbpf knows"),
        ("--type-of=on_exec", "give a program and its kind, as PROG=KIND"),
        ("--type-of=nope=tc", "no program nope: there are on_exec, typed, "),
    ] {
        let output = BPFRUN.command(&["run", &object("foreign"), flag]).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
}

/// What unlinks a file is seen at both ends by the same kind of probe.
#[test]
fn both_halves_of_a_pair_are_of_one_kind() {
    let dir = TempDir::new();
    let file = dir.copy("file", &fixture("argv"));
    let trace = match trace_if_possible("pairs", &["--maps"], &["rm", &file]) {
        Ok(trace) => trace,
        Err(reason) => skip!(reason),
    };
    assert_eq!(program(&trace, "better_return")["state"], "refused", "{trace:?}");
    if program(&trace, "entry")["state"] != "attached" {
        // Half a pair is better than nothing.
        let entry = program(&trace, "better_entry");
        assert_eq!(entry["state"], "attached", "{trace:?}");
        skip!(skip::NO_KPROBES);
    }
    for name in ["entry", "exit_"] {
        assert_eq!(program(&trace, name)["state"], "attached", "{trace:?}");
    }
    let entry = program(&trace, "better_entry");
    if entry["state"] != "refused" {
        assert_eq!(entry["state"], "loaded", "{entry}");
        let reason = "better_return does not work here, and both are needed: \
                      instead of them entry and exit_";
        assert_eq!(entry["reason"], reason);
    }
    let number = |name: &str| variable(&trace, name).as_u64().unwrap();
    assert!(number("entries") > 0, "{trace:?}");
    assert_eq!((number("entries"), number("wrong")), (number("returns"), 0));
    let old = program(&trace, "by_old_name");
    let place = old["attached_to"].as_str().unwrap_or_else(|| panic!("{old}"));
    assert!(place.starts_with("kprobe/__") && place.ends_with("_sys_execve"), "{place}");
    assert!(messages(&trace).contains(&"old name"), "{trace:?}");
}
