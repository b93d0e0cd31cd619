//! killsnoop: each signal with its sender, its target and its fate.

use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::*;
use crate::skip::{self, skip};

const KILLSNOOP: Tool = Tool("killsnoop");

fn each_backend(test: impl Fn(Setup)) {
    over(&KILLSNOOP.backends(&["tp_btf", "raw_tp"], &[]), test);
}

/// A process that waits, and sends no signal.
struct Target(Child);

impl Target {
    fn new() -> Self {
        Self(Command::new(fixture("lives")).arg("pause").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id() as i32)
    }

    fn send(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Traces what this process sends while `work` runs. Other tests send signals from it, too.
fn trace(setup: Setup, flags: &[&str], work: impl Fn()) -> Trace {
    let own = std::process::id().to_string();
    let flags = [&setup.flags()[..], &["--json", "--pid", &own], flags].concat();
    let running = KILLSNOOP.start(&flags);
    work();
    running.stop()
}

/// Signals for this target.
fn for_target<'t>(trace: &'t Trace, target: &Target) -> Vec<&'t Value> {
    let pid = target.pid().as_raw();
    trace.events.iter().filter(|row| row["signal"]["target"]["pid"] == pid).collect()
}

fn names(rows: &[&Value]) -> Vec<String> {
    rows.iter().map(|row| row["signal"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sender_target_and_fate() {
    each_backend(|setup| {
        let target = Target::new();
        let trace = trace(setup, &[], || {
            target.send(Signal::SIGCONT); // it is not stopped
            target.send(Signal::SIGSTOP);
            target.send(Signal::SIGKILL);
        });
        let rows = for_target(trace.is_complete(), &target);
        assert_eq!(names(&rows), ["SIGCONT", "SIGSTOP", "SIGKILL"], "{trace:?}");
        let fates: Vec<_> = rows.iter().map(|row| &row["signal"]["result"]).collect();
        assert_eq!(fates, ["ignored", "delivered", "delivered"]);
        for row in rows {
            assert_eq!(row["event"]["name"], "signal.sent");
            assert_eq!(pid(row), u64::from(std::process::id()));
            assert_eq!(row["signal"]["target"]["comm"], "lives", "{row}");
            assert_eq!(row["signal"]["code"], 0, "SI_USER: {row}");
        }
    });
}

#[test]
fn calls_that_fail() {
    if kernel_release() < (5, 15) {
        skip!(skip::BEFORE_5_15);
    }
    const NOBODY: i32 = i32::MAX;
    each_backend(|setup| {
        let trace = trace(setup, &["--failed"], || {
            assert_eq!(kill(Pid::from_raw(NOBODY), Signal::SIGWINCH), Err(Errno::ESRCH));
        });
        let is_ours = |row: &&Value| row["signal"]["target"]["pid"] == NOBODY;
        let rows: Vec<_> = trace.events.iter().filter(is_ours).collect();
        assert_eq!(names(&rows), ["SIGWINCH"], "{trace:?}");
        assert_eq!(rows[0]["signal"]["result"], "ESRCH");
        assert_eq!(rows[0]["signal"]["target"], json!({ "pid": NOBODY }), "it has no name");
    });
}

#[test]
fn filters() {
    each_backend(|setup| {
        let (target, other) = (Target::new(), Target::new());
        let work = || {
            for target in [&target, &other] {
                target.send(Signal::SIGURG); // ignored by default
                target.send(Signal::SIGSTOP);
                target.send(Signal::SIGCONT);
            }
        };
        let pid = target.pid().to_string();
        let by_target = trace(setup, &["--target", &pid], work);
        assert_eq!(names(&for_target(&by_target, &target)), ["SIGURG", "SIGSTOP", "SIGCONT"]);
        assert_eq!(names(&for_target(&by_target, &other)), [""; 0]);

        let by_signal = trace(setup, &["-s", "URG", "-s", "stop"], work);
        assert_eq!(names(&for_target(&by_signal, &target)), ["SIGURG", "SIGSTOP"]);
        assert_eq!(names(&for_target(&by_signal, &other)), ["SIGURG", "SIGSTOP"]);

        let failed = trace(setup, &["-x"], work);
        assert!(names(&for_target(&failed, &target)).contains(&"SIGURG".to_owned()));
        assert!(!names(&for_target(&failed, &target)).contains(&"SIGSTOP".to_owned()));
    });
}

#[test]
fn signals_of_the_kernel_are_shown_if_asked_for() {
    each_backend(|setup| {
        // Among others its children end by a fault.
        let faults = [&fixture("lives"), "killed"];
        let of_kernel = |trace: &Trace| {
            let is_kernels = |row: &&Value| row["signal"]["code"].as_i64().unwrap() > 0;
            let rows: Vec<_> = trace.is_complete().events.iter().filter(is_kernels).collect();
            names(&rows)
        };
        let trace = KILLSNOOP.trace(setup, &[], &faults);
        assert!(!trace.events.is_empty());
        assert_eq!(of_kernel(&trace), [""; 0], "{trace:?}");
        let trace = KILLSNOOP.trace(setup, &["--kernel"], &faults);
        assert!(of_kernel(&trace).contains(&"SIGSEGV".to_owned()), "{trace:?}");
    });
}

#[test]
fn signals_without_information() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let shown = |flags: &[&str]| {
            let mut tool = KILLSNOOP.command(&setup.flags());
            tool.arg("--json").args(flags).args(["--", &fixture("lives"), "by-kernel"]);
            let trace = parse(&tool.current_dir(&dir.0).output().unwrap());
            names(&trace.is_complete().events.iter().collect::<Vec<_>>())
        };
        // The kernel sends these to the process that makes the call.
        let to_itself = ["-s", "XFSZ", "-s", "PIPE"];
        assert_eq!(shown(&to_itself), [""; 0]);
        assert_eq!(shown(&[&to_itself[..], &["--kernel"]].concat()), ["SIGXFSZ", "SIGPIPE"]);
    });
}

#[test]
fn shown_and_lost_are_what_happened() {
    let count = scaled(20_000);
    each_backend(|setup| {
        let target = Target::new();
        let pid = target.pid().to_string();
        for size in ["4K", "1M"] {
            let flags = ["--target", &pid, "-s", "URG", "--buffer-size", size];
            let trace = trace(setup, &flags, || {
                for _ in 0..count {
                    target.send(Signal::SIGURG);
                }
            });
            let shown = for_target(&trace, &target).len() as u64;
            let lost = trace.end["lost"].as_u64().unwrap();
            assert_eq!(shown + lost, u64::from(count), "{:?}", trace.end);
        }
    });
}
