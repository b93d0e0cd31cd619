//! Every way to connect, and every way in which that can end.

use std::collections::HashMap;

use serde_json::Value;

use super::cases::{CASES, Case, Expected, Local};
use super::*;

/// Runs all cases at once; the first number of their addresses.
fn run_cases(cases: &[(&'static str, Case)]) -> Vec<(&'static str, Expected)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases
            .iter()
            .zip(1u8..)
            .map(|(&(name, case), number)| (name, scope.spawn(move || case(number))))
            .collect();
        let expected = threads.into_iter().flat_map(|(name, thread)| {
            let rows = thread.join().unwrap_or_else(|_| panic!("case: {name}"));
            rows.into_iter().map(move |row| (name, row))
        });
        expected.collect()
    })
}

fn check(name: &str, expected: &Expected, row: &Value) {
    assert_eq!(result(row), expected.result, "{name}: {row}");
    match expected.local {
        Local::Is(address) => assert_eq!(local(row), Some(address), "{name}: {row}"),
        Local::Some => assert!(local(row).is_some_and(|end| end.port() != 0), "{name}: {row}"),
    }
    let kind = if expected.peer.is_ipv4() { "ipv4" } else { "ipv6" };
    assert_eq!(row["network"]["type"], kind, "{name}");
    assert_eq!(row["network"]["transport"], "tcp", "{name}");
    let retransmits = row["connect"]["retransmits"].as_u64().unwrap();
    assert!(expected.retransmits.contains(&retransmits), "{name}: {expected:?} {row}");
    assert_eq!(row["connect"]["mptcp"] == true, expected.mptcp, "{name}: {row}");
    let duration = row["connect"]["duration_ns"].as_u64().unwrap();
    assert!(duration < 60_000_000_000, "{name}: {row}");
    assert_eq!(row["connect"]["rtt_ns"].is_u64(), expected.result == "OK", "{name}: {row}");
}

#[test]
fn each_attempt_is_one_row_with_its_outcome() {
    each_setup(|setup| {
        in_new_netns(|netns| {
            sysctl("net/ipv4/tcp_fastopen", "1");
            let mut expected = Vec::new();
            let trace = watch_interrupts(setup, netns, &[], || expected = run_cases(&CASES));
            trace.is_complete();
            let mut rows: HashMap<_, Vec<&Value>> = HashMap::new();
            for row in &trace.events {
                rows.entry(peer(row)).or_default().push(row);
            }
            // In the order in which they were made, for each destination.
            for (name, expected) in &expected {
                let row = rows.get_mut(&expected.peer).filter(|rows| !rows.is_empty());
                let row = row.unwrap_or_else(|| panic!("{name}: no row {expected:?}")).remove(0);
                check(name, expected, row);
            }
            let surplus: Vec<_> = rows.into_values().flatten().collect();
            assert!(surplus.is_empty(), "{surplus:?}");
        });
    });
}

#[test]
fn the_row_names_the_caller() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, to) = sockets::listener(loopback(1));
            let (_hole, silent) = sockets::black_hole(loopback(2));
            // SAFETY: tells who we are.
            let tid = unsafe { libc::gettid() };
            let trace = watch_interrupts(setup, netns, &[], || {
                // The answer to the second one is a timer's, in nobody's context.
                assert_eq!(sockets::connect(&sockets::tcp(to.ip()), to), 0);
                let socket = sockets::tcp(silent.ip());
                sockets::short_timeout(&socket);
                assert_eq!(sockets::connect(&socket, silent), libc::ETIMEDOUT);
            });
            assert_eq!(trace.events.len(), 2, "{trace:?}");
            let comm = |of: &str| std::fs::read_to_string(format!("/proc/{of}/comm")).unwrap();
            let (process, thread) = (comm("self"), comm("thread-self"));
            for row in &trace.events {
                assert_eq!(pid(row), u64::from(std::process::id()));
                assert_eq!(row["thread"]["id"], tid);
                assert_eq!(row["process"]["comm"], process.trim_end());
                assert_eq!(row["thread"]["name"], thread.trim_end());
                assert_eq!(row["process"]["user"]["id"], 0);
                assert_eq!(row["network"]["namespace"]["inode"], netns.inode);
            }
        });
    });
}

#[test]
fn latency_is_what_the_application_waited() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_hole, to) = sockets::black_hole(loopback(1));
            let mut waited = 0;
            let trace = watch_interrupts(setup, netns, &[], || {
                let socket = sockets::tcp(to.ip());
                sockets::short_timeout(&socket);
                let before = snoop_tools::output::time::boot_now_ns();
                assert_eq!(sockets::begin(&socket, to), libc::EINPROGRESS);
                assert_eq!(sockets::outcome(&socket), libc::ETIMEDOUT);
                waited = snoop_tools::output::time::boot_now_ns() - before;
            });
            let shown = trace.events[0]["connect"]["duration_ns"].as_u64().unwrap();
            // The application is woken a moment before the socket is closed, or after: how long
            // after, depends on the machine.
            assert!(shown <= waited + 500_000_000, "{shown} {waited}");
            let timeout = sockets::SHORT_TIMEOUT.as_nanos() as u64;
            assert!(shown + 100_000_000 >= timeout, "{shown} {timeout}");
        });
    });
}

#[test]
fn pending_attempts_are_shown_at_the_end() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_hole, to) = sockets::black_hole(loopback(1));
            let (_listener, answered) = sockets::listener(loopback(2));
            let (socket, from) = sockets::bound(loopback(3).into());
            let unbound = sockets::tcp(to.ip());
            let trace = watch(setup, netns, &["--pending"], || {
                assert_eq!(sockets::begin(&socket, to), libc::EINPROGRESS);
                assert_eq!(sockets::begin(&unbound, to), libc::EINPROGRESS);
                assert_eq!(sockets::connect(&sockets::tcp(to.ip()), answered), 0);
                eventually("each SYN is sent again", || {
                    [&socket, &unbound].map(sockets::retransmits).into_iter().all(|n| n > 0)
                });
            });
            trace.is_complete();
            let mut ends: Vec<_> = trace.events.iter().map(local).collect();
            ends.sort();
            let mut expected = vec![Some(from), Some(sockets::local_addr(&unbound))];
            expected.sort();
            assert_eq!(ends, expected);
            for row in &trace.events {
                assert_eq!((result(row), peer(row)), ("PENDING", to));
                assert!(row["connect"]["retransmits"].as_u64().unwrap() > 0, "{row}");
                assert!(row["connect"]["duration_ns"].as_u64().unwrap() > 900_000_000, "{row}");
            }
        });
    });
}

#[test]
fn attempts_before_the_tool_are_shown_when_they_end() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (hole, to) = sockets::black_hole(loopback(1));
            let (answered, waiting) = (sockets::tcp(to.ip()), sockets::tcp(to.ip()));
            let begun = snoop_tools::output::time::boot_now_ns();
            for socket in [&answered, &waiting] {
                assert_eq!(sockets::begin(socket, to), libc::EINPROGRESS);
            }
            let trace = watch(setup, netns, &[], || {
                // Their next SYN is answered.
                drop(hole);
                assert_eq!(sockets::outcome(&answered), libc::ECONNREFUSED);
                assert_eq!(sockets::outcome(&waiting), libc::ECONNREFUSED);
            });
            let age = snoop_tools::output::time::boot_now_ns() - begun;
            trace.is_complete();
            assert_eq!(trace.events.len(), 2, "{trace:?}");
            for row in &trace.events {
                assert_eq!((result(row), peer(row)), ("ECONNREFUSED", to));
                assert_eq!(row["connect"]["earlier"], true);
                assert_eq!(pid(row), u64::from(std::process::id()));
                let duration = row["connect"]["duration_ns"].as_u64().unwrap();
                assert!(duration > 800_000_000 && duration < age, "{duration} {age}: {row}");
            }
        });
    });
}

/// A call that waits while tracing begins returns what its attempt has told by then.
#[test]
fn calls_before_the_tool_are_not_told_twice() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let (hole, to) = sockets::black_hole(loopback(1));
            let socket = sockets::tcp(to.ip());
            std::thread::scope(|scope| {
                let call = scope.spawn(|| sockets::connect(&socket, to));
                let port = || socket.local_addr().unwrap().as_socket().unwrap().port();
                while port() == 0 {
                    std::thread::yield_now();
                }
                let trace = watch(setup, netns, &["--sync-errors"], || {
                    drop(hole);
                    assert_eq!(call.join().unwrap(), libc::ECONNREFUSED);
                });
                let [row] = &trace.is_complete().events[..] else { panic!("{trace:?}") };
                assert_eq!((result(row), peer(row)), ("ECONNREFUSED", to));
                assert_eq!(row["connect"]["earlier"], true);
            });
        });
    });
}

#[test]
fn without_a_port_to_use() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, to) = sockets::listener(loopback(1));
            sysctl("net/ipv4/ip_local_port_range", "40000 40000");
            let home = SocketAddr::new(loopback(2).into(), 41000);
            let with_port = || {
                let socket = sockets::tcp(home.ip());
                socket.set_reuse_address(true).unwrap();
                socket.bind(&home.into()).unwrap();
                socket
            };
            let (unbound, other) = (sockets::tcp(to.ip()), sockets::tcp(to.ip()));
            let (bound, twin) = (with_port(), with_port());
            let trace = watch(setup, netns, &["--sync-errors"], || {
                assert_eq!(sockets::connect(&unbound, to), 0);
                assert_eq!(sockets::connect(&other, to), libc::EADDRNOTAVAIL, "none is left");
                assert_eq!(sockets::connect(&bound, to), 0);
                assert_eq!(sockets::connect(&twin, to), libc::EADDRNOTAVAIL, "it is taken");
            });
            trace.is_complete();
            let ports = |row| local(row).map_or(0, |end| end.port());
            let rows: Vec<_> =
                trace.events.iter().map(|row| (result(row), ports(row), peer(row))).collect();
            let refused = "EADDRNOTAVAIL";
            let expected =
                [("OK", 40000, to), (refused, 0, to), ("OK", 41000, to), (refused, 41000, to)];
            assert_eq!(rows, expected);
            for row in trace.events.iter().filter(|row| result(row) == refused) {
                assert_eq!(row["connect"]["no_syn"], true, "{row}");
                assert!(row["connect"]["duration_ns"].is_null(), "{row}");
            }
        });
    });
}

/// The way ends once the socket has a port: nobody but the caller is told why.
#[test]
fn given_up_inside_connect() {
    let test = |setup, flags: &[&str]| {
        in_new_netns(|netns| {
            let to: SocketAddr = "10.5.0.1:80".parse().unwrap();
            ip("address add 10.6.0.1/24 dev lo");
            ip("route add 10.5.0.0/16 dev lo");
            ip("rule add ipproto tcp sport 1024-65534 prohibit");
            let trace = watch(setup, netns, flags, || {
                assert_eq!(sockets::connect(&sockets::tcp(to.ip()), to), libc::EACCES);
            });
            let [row] = &trace.is_complete().events[..] else { panic!("{trace:?}") };
            assert_eq!((result(row), peer(row)), ("FAILED", to));
            assert_eq!(row["connect"]["outcome"], "failed");
            assert!(row["error"].is_null(), "{row}");
            assert!(row["connect"]["no_syn"].is_null(), "{row}");
            assert_eq!(local(row).map(|end| end.ip().to_string()).as_deref(), Some("10.6.0.1"));
        });
    };
    each_backend(|setup| test(setup, &[]));
    each_error_backend(|setup| test(setup, &["--sync-errors"]));
}

#[test]
fn with_ipv6_switched_off() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            sysctl("net/ipv6/conf/all/disable_ipv6", "1");
            let (_listener, to) = sockets::listener(loopback(1));
            let trace = watch(setup, netns, &[], || {
                assert_eq!(sockets::connect(&sockets::tcp(to.ip()), to), 0);
            });
            assert_eq!(trace.is_complete().events.len(), 1);
        });
    });
}
