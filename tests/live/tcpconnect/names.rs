//! Names of destinations, by what processes asked DNS servers for.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::sockets::*;
use super::*;
use crate::dns::network::{address, alias, answer, ask_udp, inject, query, udp_server};

const SERVER: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn names_that_were_asked_for() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let home = loopback(9);
            let (_listener, unnamed) = listener(loopback(8));
            let well_known = SocketAddr::new(home.into(), 80);
            let trace = watch(setup, netns, &["--dns", "--services"], || {
                let records = [
                    alias("www.example.org", 60, "edge.example.net"),
                    address("edge.example.net", 60, home),
                ];
                ask_udp(SERVER, "www.example.org", &records);
                assert_eq!(connect(&tcp(home.into()), well_known), libc::ECONNREFUSED);
                assert_eq!(connect(&tcp(unnamed.ip()), unnamed), 0);
            });
            trace.is_complete();
            let [named, other] = &trace.events[..] else { panic!("{trace:?}") };
            assert_eq!(named["network"]["peer"]["name"], "www.example.org");
            assert_eq!(named["network"]["peer"]["address"], "127.1.9.1", "it stays");
            let has_services = std::path::Path::new("/etc/services").exists();
            assert_eq!(named["network"]["peer"]["service"] == "http", has_services);
            assert_eq!(peer(other), unnamed);
            assert!(other["network"]["peer"]["name"].is_null());
        });
    });
}

/// Packets from port 53 that answer nobody's question, as anybody may send them.
#[test]
fn forged_answers_name_nothing() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let home = loopback(9);
            let to = SocketAddr::new(home.into(), 80);
            let trace = watch(setup, netns, &["--dns"], || {
                let forged = query("forged.example.org");
                inject([0; 6], &answer(&forged, &[address("forged.example.org", 60, home)]));
                assert_eq!(connect(&tcp(home.into()), to), libc::ECONNREFUSED);
            });
            trace.is_complete();
            let [row] = &trace.events[..] else { panic!("{trace:?}") };
            assert!(row["network"]["peer"]["name"].is_null(), "{row}");
        });
    });
}

/// Name and address of each row.
fn named(trace: &Trace) -> Vec<(Option<&str>, SocketAddr)> {
    let name = |row: &'_ Value| row["network"]["peer"]["name"].as_str().map(str::to_owned);
    trace.is_complete();
    assert!(trace.events.iter().all(|row| name(row).is_none_or(|name| !name.is_empty())));
    trace.events.iter().map(|row| (row["network"]["peer"]["name"].as_str(), peer(row))).collect()
}

/// Two names share an address: each connect has the name that was asked for before it, although
/// the tool reads both answers later.
#[test]
fn names_that_share_an_address() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, to) = listener(loopback(1));
            let inode = netns.inode.to_string();
            let flags = [&["--json", "--dns", "--netns", &inode][..], &setup.flags()].concat();
            let running = TCPCONNECT.start(&flags);
            running.signal(libc::SIGSTOP);
            let hosts = ["one.example.org", "two.example.org", "three.example.org"];
            for number in 0..60 {
                let host = hosts[number % 3];
                ask_udp(SERVER, host, &[address(host, 60, to.ip())]);
                assert_eq!(connect(&tcp(to.ip()), to), 0);
            }
            running.signal(libc::SIGCONT);
            let trace = running.stop();
            let expected: Vec<_> = (0..60).map(|number| (Some(hosts[number % 3]), to)).collect();
            assert_eq!(named(&trace), expected);
            for row in &trace.events {
                let peer = &row["network"]["peer"];
                assert_eq!(peer["name_asked_by"], "process", "{row}");
                assert!(peer["name_age_ns"].as_u64().unwrap() < 60_000_000_000, "{row}");
                assert!(peer["name_expired"].is_null(), "{row}");
            }
        });
    });
}

/// `ask`, which has its answer and has yet to connect.
struct Asker(Child, BufReader<ChildStdout>);

impl Asker {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }
}

/// A process that asks for `host`, and is answered with the address of `to`.
fn ask(host: &str, to: SocketAddr) -> Asker {
    let server = udp_server(SERVER);
    let mut child = Command::new(fixture("ask"))
        .args([host, &to.ip().to_string(), &to.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut buffer = [0; 1500];
    let (len, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&answer(&buffer[..len], &[address(host, 60, to.ip())]), from).unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut asker = Asker(child, stdout);
    assert_eq!(asker.line(), "asked\n");
    asker
}

#[test]
fn each_process_has_the_name_that_it_asked_for() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, to) = listener(loopback(1));
            let hosts = ["one.example.org", "two.example.org", "three.example.org"];
            let mut pids = Vec::new();
            let trace = watch(setup, netns, &["--dns"], || {
                let askers: Vec<_> = hosts.into_iter().map(|host| ask(host, to)).collect();
                // All have asked before the first one connects.
                for mut asker in askers {
                    asker.0.stdin.take().unwrap().write_all(b"\n").unwrap();
                    pids.push(u64::from(asker.0.id()));
                    assert!(asker.line().ends_with(" 0\n"));
                    assert!(asker.0.wait().unwrap().success());
                }
                // One that asked nobody takes what was asked for last.
                assert_eq!(connect(&tcp(to.ip()), to), 0);
            });
            let all = hosts.into_iter().chain(["three.example.org"]);
            let expected: Vec<_> = all.map(|host| (Some(host), to)).collect();
            assert_eq!(named(&trace), expected);
            assert_eq!(trace.events[..3].iter().map(pid).collect::<Vec<_>>(), pids);
            let by: Vec<_> =
                trace.events.iter().map(|row| &row["network"]["peer"]["name_asked_by"]).collect();
            assert_eq!(by, ["process", "process", "process", "other"]);
        });
    });
}

/// What the application asked for has the name, not where a load balancer sent it.
#[test]
fn names_of_services() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, to) = listener(loopback(1));
            let service = Ipv4Addr::new(10, 88, 0, 1);
            let SocketAddr::V4(backend) = to else { unreachable!() };
            let hooked = hooks::Hooked::new();
            let program = hooks::send_on(service, backend);
            hooked.attach(&program, libbpf_sys::BPF_CGROUP_INET4_CONNECT);
            let trace = watch_interrupts(setup, netns, &["--dns"], || {
                ask_udp(SERVER, "service.example", &[address("service.example", 60, service)]);
                ask_udp(SERVER, "backend.example", &[address("backend.example", 60, to.ip())]);
                assert_eq!(hooked.dial(&["10.88.0.1 443"]), [0]);
            });
            assert_eq!(named(&trace), [(Some("service.example"), to)]);
        });
    });
}

#[test]
fn totals_are_by_name_and_address() {
    in_new_netns(|netns| {
        let (_listener, to) = listener(loopback(1));
        let setup = Setup { backend: "tp_btf", buffer: "ring" };
        let work = || {
            for (host, times) in [("one.example.org", 2), ("two.example.org", 3)] {
                ask_udp(SERVER, host, &[address(host, 60, to.ip())]);
                for _ in 0..times {
                    assert_eq!(connect(&tcp(to.ip()), to), 0);
                }
            }
        };
        let total = |row: &Value| {
            let peer = &row["network"]["peer"];
            assert_eq!(peer["address"], "127.1.1.1", "{row}");
            (peer["name"].as_str().unwrap().to_owned(), row["connect"]["attempts"].as_u64())
        };
        for (flags, kind) in [
            (&["--dns", "-c"][..], "network.connect.count"),
            (&["--dns", "--summary", "3600"], "network.connect.summary"),
        ] {
            let inode = netns.inode.to_string();
            let mut all = vec!["--json", "--netns", &inode, "-v"];
            all.extend(setup.flags());
            all.extend(flags);
            let running = TCPCONNECT.start(&all);
            work();
            let trace = running.stop();
            let rows = trace.events.iter().filter(|row| row["event"]["name"] == kind);
            let expected =
                [("two.example.org".to_owned(), Some(3)), ("one.example.org".to_owned(), Some(2))];
            assert_eq!(rows.map(total).collect::<Vec<_>>(), expected);
        }
    });
}

/// Sibling attempts: one of two is enough.
#[test]
fn attempts_that_a_sibling_made_up_for() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, open) = listener(loopback(1));
            let silent = SocketAddr::new(loopback(2).into(), open.port());
            let refusing = SocketAddr::new(loopback(3).into(), open.port());
            let hole = black_hole_at(silent);
            let asks = |host: &str, to: &[SocketAddr]| {
                let records: Vec<_> = to.iter().map(|to| address(host, 60, to.ip())).collect();
                ask_udp(SERVER, host, &records);
            };
            let work = || {
                // Two at once, of which the slower one is closed.
                asks("pair.example.org", &[silent, open]);
                let slower = tcp(silent.ip());
                assert_eq!(begin(&slower, silent), libc::EINPROGRESS);
                assert_eq!(connect(&tcp(open.ip()), open), 0);
                drop(slower);
                // One after the other.
                asks("next.example.org", &[refusing, open]);
                assert_eq!(connect(&tcp(open.ip()), refusing), libc::ECONNREFUSED);
                assert_eq!(connect(&tcp(open.ip()), open), 0);
                // Nothing made up for these.
                asks("alone.example.org", &[refusing, silent]);
                assert_eq!(connect(&tcp(open.ip()), refusing), libc::ECONNREFUSED);
                assert_eq!(begin(&tcp(open.ip()), silent), libc::EINPROGRESS);
            };
            let rows = |trace: &Trace| -> Vec<(String, String, bool)> {
                let row = |row: &Value| {
                    let name = row["network"]["peer"]["name"].as_str();
                    let name = name.unwrap_or_else(|| panic!("{trace:?}")).to_owned();
                    (name, result(row).to_owned(), row["connect"]["superseded"] == true)
                };
                trace.is_complete().events.iter().map(row).collect()
            };
            let row = |name: &str, result: &str, superseded| {
                (format!("{name}.example.org"), result.to_owned(), superseded)
            };
            let failed = [
                row("pair", "ABORTED", true),
                row("next", "ECONNREFUSED", true),
                row("alone", "ECONNREFUSED", false),
                row("alone", "ABORTED", false),
            ];
            let trace = watch(setup, netns, &["--dns"], work);
            let all = rows(&trace);
            assert_eq!(all.iter().filter(|row| row.1 != "OK").cloned().collect::<Vec<_>>(), failed);
            assert_eq!(all.iter().filter(|row| row.1 == "OK").count(), 2);
            // The kernel leaves the connections out, or their addresses: still they count.
            assert_eq!(rows(&watch(setup, netns, &["--dns", "--failed"], work)), failed);
            let only = ["--dns", "--cidr", "127.1.2.0/24", "--cidr", "127.1.3.0/24"];
            assert_eq!(rows(&watch(setup, netns, &only, work)), failed);

            let trace = watch(setup, netns, &["--dns", "--summary", "3600"], work);
            let total = trace.events.last().unwrap();
            let count = |key: &str| total["connect"][key].as_u64().unwrap();
            let counts = ["attempts", "failed", "superseded"].map(count);
            assert_eq!(counts, [6, 2, 2], "{total}");
            let waited = &trace.events.last().unwrap()["connect"]["gave_up_after_ns"];
            assert!(waited["min"].as_u64() > Some(0), "{total}");
            drop(hole);
        });
    });
}
