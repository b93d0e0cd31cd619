//! Who killed it: exactly the signal that did.

use super::*;

/// A signal from `lives`, of which there is this row.
fn sent_by(row: &Value) -> Value {
    let process = &row["process"];
    assert!(process["start_boot_ns"].is_number(), "{row}");
    serde_json::json!({ "type": "process", "pid": process["pid"], "creation": process["creation"],
        "start_boot_ns": process["start_boot_ns"], "comm": "lives", "real_user": { "id": 0 } })
}

#[test]
fn of_several_signals_the_fatal_one() {
    each_backend(|setup| {
        let trace = lives(setup, &[], &["killed"]);
        let own = trace.check_ends();
        let by_parent = sent_by(own);
        let itself = serde_json::json!({ "type": "itself" });
        let fault = serde_json::json!({ "type": "fault", "address": "0x40" });
        let kernel = serde_json::json!({ "type": "kernel" });
        let expected = [
            ("SIGKILL", &by_parent),
            ("SIGUSR1", &by_parent), // blocked when it came
            ("SIGABRT", &itself),
            ("SIGSEGV", &fault),
            ("SIGALRM", &kernel),
            ("SIGQUIT", &by_parent),
        ];
        assert_eq!(trace.truth.len(), expected.len());
        for (truth, (signal, sender)) in trace.truth.iter().zip(expected) {
            let exit = &trace.end_of(truth)["process"]["exit"];
            assert_eq!(exit["signal"], signal);
            assert_eq!(&exit["sender"], sender, "{exit}");
        }
    });
}

#[test]
fn every_signal_has_its_sender() {
    each_backend(|setup| {
        let trace = lives(setup, &["--signal", "any"], &["signals", "0"]);
        let rows = trace.is_complete();
        assert_eq!(rows.events.len(), trace.truth.len());
        for row in &rows.events {
            let exit = &row["process"]["exit"];
            assert_eq!(exit["sender"]["pid"], row["process"]["parent_pid"], "{row}");
        }
    });
}

#[test]
fn what_the_kernel_sends_is_from_the_kernel() {
    each_backend(|setup| {
        let trace = lives(setup, &[], &["by-kernel"]);
        trace.check_ends();
        let kernel = serde_json::json!({ "type": "kernel" });
        // Its child is in another group of rows: the one that the parent's death ends.
        let by_parent = sent_by(trace.end_of(&trace.truth[2]));
        let expected = [
            (Some("SIGXFSZ"), &kernel),
            (Some("SIGPIPE"), &kernel),
            (None, &Value::Null),
            (Some("SIGTERM"), &by_parent),
            (Some("SIGUSR1"), &kernel), // the end of a child
            (None, &Value::Null),
            (Some("SIGUSR2"), &kernel), // data in a pipe
        ];
        assert_eq!(trace.truth.len(), expected.len(), "{:?}", trace.truth);
        for (truth, (signal, sender)) in trace.truth.iter().zip(expected) {
            let exit = &trace.end_of(truth)["process"]["exit"];
            assert_eq!(exit["signal"].as_str(), signal, "{exit}");
            assert_eq!(&exit["sender"], sender, "{exit}");
        }
    });
}

#[test]
fn when_memory_runs_out() {
    if !in_vm() {
        skip!(skip::OWN_MACHINE); // of whose processes the kernel kills one
    }
    each_backend(|setup| {
        let victim =
            format!("echo 1000 >/proc/self/oom_score_adj; exec {} pause", fixture("lives"));
        let is_there = "grep -q '^lives$' /proc/$!/comm";
        let script = format!(
            "sh -c '{victim}' & until {is_there}; do sleep 0.05; done
             echo f >/proc/sysrq-trigger; wait"
        );
        let trace = PROCSNOOP.trace(setup, &["--signal", "KILL"], &["sh", "-c", &script]);
        let row = trace.is_complete().only("lives");
        assert_eq!(row["process"]["exit"]["sender"], serde_json::json!({ "type": "oom" }), "{row}");
    });
}
