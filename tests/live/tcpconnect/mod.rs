//! tcpconnect: what is shown is what the application saw. Each test has network namespaces
//! of its own, and the tool shows only these.

mod accounting;
mod asked;
mod cases;
pub mod errors;
mod filters;
mod hooks;
mod memory;
mod multipath;
mod names;
mod network;
mod outcomes;
mod output;
mod reuse;
pub mod sockets;

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde_json::Value;

use crate::harness::*;
use crate::netns::*;
use crate::skip::{self, skip};

const TCPCONNECT: Tool = Tool("tcpconnect");

fn backends() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&str>> = OnceLock::new();
    FOUND.get_or_init(|| TCPCONNECT.backends(&["fexit", "tp_btf", "raw_tp"], &[]))
}

/// Those that see calls fail without a SYN.
fn error_backends() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&str>> = OnceLock::new();
    let all = ["fexit", "tracepoint", "raw_tp"];
    FOUND.get_or_init(|| TCPCONNECT.backends(&all, &["--sync-errors"]))
}

/// Runs `test` over the backends and both transports.
fn each_setup(test: impl Fn(Setup)) {
    over(backends(), test);
}

/// Runs `test` over the backends that see calls fail without a SYN, and both transports.
fn each_error_setup(test: impl Fn(Setup)) {
    over(error_backends(), test);
}

/// Runs `test` over the backends only: what it tests is the same on both transports.
fn each_backend(test: impl Fn(Setup)) {
    over_ring(backends(), test);
}

/// Likewise, over those that see calls fail without a SYN.
fn each_error_backend(test: impl Fn(Setup)) {
    over_ring(error_backends(), test);
}

/// `tcpconnect --json FLAGS` on one network namespace, while `work` is done.
fn watch(setup: Setup, netns: &Netns, flags: &[&str], work: impl FnOnce()) -> Trace {
    let inode = netns.inode.to_string();
    let mut all = vec!["--json", "--netns", &inode];
    all.extend(setup.flags());
    all.extend(flags);
    let running = TCPCONNECT.start(&all);
    work();
    running.stop()
}

/// Likewise, for attempts that end in interrupts. Sandboxes may hide their own processes: no
/// program runs while one of them does, nor in an interrupt then. What was missed for that is
/// counted as lost, and tried once more; in a machine of the tests' own nothing may be lost.
fn watch_interrupts(setup: Setup, netns: &Netns, flags: &[&str], mut work: impl FnMut()) -> Trace {
    for _ in 0..4 {
        let trace = watch(setup, netns, flags, &mut work);
        if trace.end["lost"] == 0 || in_vm() {
            return trace;
        }
        eprintln!("lost: {:?}", trace.end);
    }
    watch(setup, netns, flags, work)
}

/// The rows among the events: gaps are no rows.
fn rows_of(trace: &Trace) -> impl Iterator<Item = &Value> {
    trace.events.iter().filter(|event| event["event"]["name"] == "network.connect")
}

/// Where a row's attempt went to.
fn peer(row: &Value) -> SocketAddr {
    end(&row["network"]["peer"]).unwrap_or_else(|| panic!("{row}"))
}

/// Where it came from, if it says so.
fn local(row: &Value) -> Option<SocketAddr> {
    end(&row["network"]["local"])
}

fn end(end: &Value) -> Option<SocketAddr> {
    let port = u16::try_from(end["port"].as_u64()?).unwrap();
    Some(SocketAddr::new(end["address"].as_str()?.parse().unwrap(), port))
}

/// Its result, as the column RESULT has it.
fn result(row: &Value) -> &str {
    match row["connect"]["outcome"].as_str().unwrap() {
        "established" => "OK",
        "aborted" => "ABORTED",
        "pending" => "PENDING",
        "failed" => row["error"]["type"].as_str().unwrap_or("FAILED"),
        other => panic!("{other}"),
    }
}
