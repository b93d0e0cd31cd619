//! Text, totals and summaries.

use std::net::Ipv6Addr;

use super::sockets::*;
use super::*;

/// Lines of text of `tcpconnect FLAGS` on this network namespace, while `work` is done.
fn text(netns: &Netns, flags: &[&str], work: impl FnOnce()) -> Vec<String> {
    text_of(netns, flags, |_| work())
}

/// Likewise; `work` may read the first of them.
fn text_of(netns: &Netns, flags: &[&str], work: impl FnOnce(&mut Running)) -> Vec<String> {
    let inode = netns.inode.to_string();
    let mut tool = TCPCONNECT.command(&["--netns", &inode, "-v"]);
    tool.args(flags);
    let mut running = Running::spawn_silent(tool);
    work(&mut running);
    running.signal(libc::SIGTERM);
    let (lines, stderr, status) = running.finish();
    assert_eq!(status, 0, "{stderr}");
    lines.iter().map(|line| line.trim_end_matches('\n').to_owned()).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn columns_hold_the_longest_values_apart() {
    in_new_netns(|netns| {
        let address = "2001:db8:1111:2222:3333:4444:5555:6666";
        let far: std::net::IpAddr = address.parse().unwrap();
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        ip(&format!("-6 addr add {address}/128 dev lo"));
        eventually("the address is usable", || {
            socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None)
                .unwrap()
                .bind(&SocketAddr::new(far, 0).into())
                .is_ok()
        });
        let (listening, to) = listener(far);
        let flags = ["-T", "-t", "-U", "-L", "--print-tid", "--print-rtt", "--print-retries"];
        let flags = [&flags[..], &["--print-netns", "--print-cgroup", "-6"]].concat();
        let lines = text(netns, &flags, || assert_eq!(connect(&tcp(far), to), 0));
        drop(listening);
        let heading = [
            "TIME", "TIME(s)", "UID", "PID", "TID", "COMM", "IP", "SADDR", "SPORT", "DADDR",
            "DPORT", "RESULT", "LAT(ms)", "RTT(ms)", "RETRIES", "NETNS", "CGROUP",
        ];
        assert_eq!(cells(&lines[0]), heading);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let row = cells(&lines[1]);
        assert_eq!(row.len(), heading.len(), "{row:?}");
        let shown: Vec<_> = [5, 6, 7, 9, 10, 11, 14].iter().map(|&at| row[at]).collect();
        let port = to.port().to_string();
        let name = comm.trim_end().replace(' ', "\\040");
        assert_eq!(shown, [&name, "6", address, address, &port, "OK", "0"]);
        assert_eq!(row[15], netns.inode.to_string());
        // Numbers end, and names begin, where their headings do.
        for title in ["DADDR", "RESULT"] {
            let at = lines[0].find(title).unwrap();
            assert_eq!(lines[1].as_bytes()[at - 1], b' ');
            assert_ne!(lines[1].as_bytes()[at], b' ');
        }
    });
}

#[test]
fn what_is_not_known_is_a_dash() {
    let flags = ["--sync-errors", "--backend", "tracepoint"];
    in_new_netns(|netns| {
        let nowhere: SocketAddr = "10.1.0.1:80".parse().unwrap();
        let lines = text(netns, &flags, || {
            assert_eq!(connect(&tcp(nowhere.ip()), nowhere), libc::ENETUNREACH);
        });
        let row = cells(&lines[1]);
        assert_eq!(row[row.len() - 6..], ["4", "-", "10.1.0.1", "80", "ENETUNREACH", "-"]);
    });
}

#[test]
fn counts_at_the_end() {
    in_new_netns(|netns| {
        let (_listener, open) = listener(loopback(1));
        let (_closed, nobody) = closed_port(loopback(2));
        let work = || {
            for _ in 0..3 {
                connect(&tcp(open.ip()), open);
            }
            connect(&tcp(nobody.ip()), nobody);
        };
        let lines = text(netns, &["-c"], work);
        let heading = ["SADDR", "DADDR", "DPORT", "CONNECTS", "FAILED", "ERRORS"];
        assert_eq!(cells(&lines[0]), heading);
        let rows: Vec<_> = lines[1..].iter().map(|line| cells(line)[1..].join(" ")).collect();
        let (one, two) = (open.port(), nobody.port());
        let expected =
            [format!("127.1.1.1 {one} 3 0"), format!("127.1.2.1 {two} 1 1 ECONNREFUSED 1")];
        assert_eq!(rows, expected);

        let json = text(netns, &["-c", "--json"], work);
        let rows: Vec<Value> =
            json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1]["event"]["name"], "network.connect.count");
        assert_eq!(rows[1]["connect"]["attempts"], 3);
        assert_eq!(rows[1]["process"], Value::Null);
        assert_eq!(rows[1]["network"]["local"]["address"], "127.0.0.1");
        let errors = serde_json::json!([{ "type": "ECONNREFUSED", "count": 1 }]);
        assert_eq!(rows[2]["connect"]["errors"], errors);
        assert_eq!(rows[3]["events"], 4);
    });
}

#[test]
fn summaries_add_up() {
    in_new_netns(|netns| {
        let (_listener, open) = listener(loopback(1));
        let (_closed, nobody) = closed_port(Ipv6Addr::LOCALHOST);
        let connect_five = || {
            for _ in 0..5 {
                connect(&tcp(open.ip()), open);
            }
        };
        // Some attempts, and when they have been summed up some more.
        let work = |running: &mut Running, has_attempts: &dyn Fn(&str) -> bool| {
            connect_five();
            loop {
                let line = running.line();
                assert!(!line.is_empty(), "no summary");
                if has_attempts(&line) {
                    break;
                }
            }
            connect_five();
            connect(&tcp(nobody.ip()), nobody);
        };
        let attempts = |line: &str| match line.contains(" attempt") {
            true => cells(line)[1].parse::<u32>().unwrap(),
            false => 0,
        };
        let flags = ["--summary", "0.25"];
        let lines = text_of(netns, &flags, |running| work(running, &|line| attempts(line) > 0));
        assert_eq!(lines.iter().map(|line| attempts(line)).sum::<u32>(), 11, "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("P50(ms)")));
        assert!(lines.iter().any(|line| line.ends_with('█')), "a histogram: {lines:?}");
        assert!(lines.iter().any(|line| line.ends_with("ECONNREFUSED 1")));

        let flags = ["--summary", "0.25", "--json"];
        let has_attempts = |line: &str| line.contains("\"network.connect.summary\"");
        let json = text_of(netns, &flags, |running| work(running, &has_attempts));
        let rows: Vec<Value> =
            json.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let named = |name: &'static str| rows.iter().filter(move |r| r["event"]["name"] == name);
        let sum = |rows: &mut dyn Iterator<Item = &Value>| {
            rows.map(|row| row["connect"]["attempts"].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(sum(&mut named("network.connect.summary")), 11);
        assert_eq!(sum(&mut named("network.connect.latency")), 11);
        let in_histogram: u64 = named("network.connect.latency")
            .flat_map(|row| row["connect"]["histogram_ns"].as_array().unwrap())
            .map(|bucket| bucket["count"].as_u64().unwrap())
            .sum();
        assert_eq!(in_histogram, 10, "connections that were made");
        for row in named("network.connect.summary") {
            let latency = &row["connect"]["latency_ns"];
            if row["network"]["peer"]["address"] == "127.1.1.1" {
                assert!(latency["p50"].as_u64() <= latency["p99"].as_u64(), "{row}");
            } else {
                assert!(latency.is_null(), "{row}");
            }
        }
    });
}
