//! Values as they are meant, whatever the program did to their bytes.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::*;

/// The lines of the fixture from each `bpf_ringbuf_reserve()` to its `bpf_ringbuf_submit()`. Compilers
/// send the records of both places by one instruction.
fn places() -> Vec<std::ops::RangeInclusive<u64>> {
    let source = include_str!("../../fixtures/bpf/values.bpf.c");
    let lines = |word: &'static str| {
        let lines = source.lines().enumerate().filter(move |(_, line)| line.contains(word));
        lines.map(|(at, _)| at as u64 + 1)
    };
    lines("ringbuf_reserve").zip(lines("ringbuf_submit")).map(|(from, to)| from..=to).collect()
}

/// Connections to this machine over IPv4 and IPv6; their port.
fn connect(listener: &TcpListener) -> u16 {
    let port = listener.local_addr().unwrap().port();
    for address in ["127.0.0.1", "::1"] {
        _ = Command::new(fixture("dial")).args([address, &port.to_string()]).output().unwrap();
    }
    port
}

/// Seconds of the day of a time in RFC 3339.
fn seconds(time: &str) -> f64 {
    let clock = time.split_once('T').unwrap().1.trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

/// The object without debug information, where the tools for that are.
fn stripped(path: &str) -> Option<PathBuf> {
    let copy = std::env::temp_dir().join(format!("snoop-{}-values.bpf.o", std::process::id()));
    std::fs::copy(path, &copy).unwrap();
    let strip = Command::new("llvm-strip").arg("-g").arg(&copy).status();
    strip.is_ok_and(|status| status.success()).then_some(copy)
}

fn check(object: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let set = format!("port={port}");
    let tool = BPFRUN.start(&["--json", "--set", &set, object]);
    // It reads long after the connections were made.
    tool.signal(libc::SIGSTOP);
    connect(&listener);
    std::thread::sleep(Duration::from_secs(2));
    tool.signal(libc::SIGCONT);
    let trace = tool.stop();
    let events = named(&trace, "bpf.event");
    let of = |kind: u64| {
        let mut found = events.iter().filter(|event| event["data"]["kind"] == kind);
        found.next().unwrap_or_else(|| panic!("{kind}: {trace:?}"))
    };
    let v4 = of(4);
    let data = &v4["data"];
    assert_eq!(data["host_daddr_text"], "127.0.0.1", "{data}");
    assert_eq!(data["wire_daddr_text"], "127.0.0.1", "{data}");
    assert_eq!((&data["host_port"], &data["wire_port"]), (&port.into(), &port.into()), "{data}");
    assert_eq!(v4["bpf"]["program"], "connecting");
    assert!(places()[0].contains(&v4["code"]["line"]["number"].as_u64().unwrap()), "{v4}");
    let (row, made) = (&v4["timestamp"], &data["made_text"]);
    let apart = seconds(row.as_str().unwrap()) - seconds(made.as_str().unwrap());
    assert!(apart.abs() < 0.5, "the row has the time of the record: {row} {made}");
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    if addresses.contains("00000000000000000000000000000001") {
        let v6 = of(6);
        assert!(places()[1].contains(&v6["code"]["line"]["number"].as_u64().unwrap()), "{v6}");
        assert_eq!(v6["data"]["wire_port"], port, "{v6}");
    }
}

#[test]
fn addresses_ports_times_and_places() {
    check(&object("values"));
    if let Some(stripped) = stripped(&object("values")) {
        check(stripped.to_str().unwrap());
        std::fs::remove_file(stripped).unwrap();
    }
}

#[test]
fn one_member_of_a_union_by_its_family() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let set = format!("port={}", listener.local_addr().unwrap().port());
    let tool = BPFRUN.start(&["--json", "--set", &set, &object("values")]);
    connect(&listener);
    let trace = tool.stop();
    let events = named(&trace, "bpf.event");
    let v4 = events.iter().find(|event| event["data"]["kind"] == 4).unwrap();
    assert_eq!(v4["data"]["peer_v4_text"], "127.0.0.1", "{v4}");
    assert!(v4["data"].get("peer_v6").is_none(), "{v4}");
    if let Some(v6) = events.iter().find(|event| event["data"]["kind"] == 6) {
        assert_eq!(v6["data"]["peer_v6_text"], "::1", "{v6}");
        assert!(v6["data"].get("peer_v4").is_none(), "{v6}");
    }
}

#[test]
fn corrected_types_are_used_and_wrong_ones_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let set = format!("port={}", listener.local_addr().unwrap().port());
    let inspect = BPFRUN.command(&["inspect", "--json", "--schema", &object("values")]).output();
    let mut schema: Value = serde_json::from_slice(&inspect.unwrap().stdout).unwrap();
    let file = std::env::temp_dir().join(format!("snoop-{}-values.json", std::process::id()));
    let path = file.to_str().unwrap().to_owned();
    schema["events"][0]["fields"][1]["name"] = "of_person".into();
    std::fs::write(&file, schema.to_string()).unwrap();
    let tool = BPFRUN.start(&["--json", "--schema", &path, "--set", &set, &object("values")]);
    connect(&listener);
    let trace = tool.stop();
    let events = named(&trace, "bpf.event");
    assert!(events.iter().any(|event| event["data"]["of_person"] == 4), "{trace:?}");
    assert_eq!(trace.start["maps"]["connects"][0]["provenance"], "user", "{trace:?}");

    schema["events"][0]["fields"][3]["offset"] = 13.into();
    std::fs::write(&file, schema.to_string()).unwrap();
    let output = BPFRUN.command(&["run", "--schema", &path, &object("values")]).output().unwrap();
    std::fs::remove_file(&file).unwrap();
    let stderr = lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("overlap") && stderr.lines().count() == 1, "{stderr}");
}
