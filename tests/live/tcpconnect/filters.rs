//! What filters let through. (Those that all tools have are tested with execsnoop; here it
//! is seen that they ask about the caller, not about whoever brings the answer.)

use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;

use super::sockets::*;
use super::*;

/// Destinations of `flags`, of those that `work` connects to.
fn shown(setup: Setup, netns: &Netns, flags: &[&str], work: impl FnOnce()) -> Vec<SocketAddr> {
    let trace = watch(setup, netns, flags, work);
    assert_eq!(trace.end["lost"], 0);
    trace.events.iter().map(peer).collect()
}

fn connect_all(to: &[SocketAddr]) {
    for to in to {
        connect(&tcp(to.ip()), *to);
    }
}

fn home(number: u8, port: u16) -> SocketAddr {
    SocketAddr::new(loopback(number).into(), port)
}

#[test]
fn by_port() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let to: Vec<_> = [1, 80, 443, 7999, 8000, 8500, 8999, 9000, 65535]
                .map(|port| home(1, port))
                .to_vec();
            let ports = |flags: &[&str]| -> Vec<u16> {
                let rows = shown(setup, netns, flags, || connect_all(&to));
                rows.iter().map(SocketAddr::port).collect()
            };
            assert_eq!(ports(&["-P", "80"]), [80]);
            assert_eq!(ports(&["-P", "80,443", "--port", "65535"]), [80, 443, 65535]);
            assert_eq!(ports(&["-P", "8000-8999"]), [8000, 8500, 8999]);
            assert_eq!(ports(&["-P", "1-65535"]).len(), to.len());
        });
    });
}

#[test]
fn by_network_and_family() {
    let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 80);
    each_backend(|setup| {
        in_new_netns(|netns| {
            let mapped = |to: SocketAddr| {
                let IpAddr::V4(v4) = to.ip() else { unreachable!() };
                SocketAddr::new(v4.to_ipv6_mapped().into(), to.port())
            };
            let (one, two, three) = (home(1, 80), home(2, 80), home(3, 80));
            let rows = |flags: &[&str]| {
                shown(setup, netns, flags, || connect_all(&[one, two, mapped(three), v6]))
            };
            assert_eq!(rows(&["--cidr", "127.1.1.0/24"]), [one]);
            assert_eq!(rows(&["--cidr", "127.1.2.1", "--cidr", "127.1.3.0/25"]), [two, three]);
            assert_eq!(rows(&["--cidr", "::ffff:127.1.2.0/120"]), [two]);
            assert_eq!(rows(&["--cidr", "0.0.0.0/0"]), [one, two, three]);
            assert_eq!(rows(&["--cidr", "::/0"]), [v6]);
            assert_eq!(rows(&["--cidr", "::1"]), [v6]);
            assert_eq!(rows(&["-4"]), [one, two, three]);
            assert_eq!(rows(&["-6"]), [v6]);
            assert_eq!(rows(&["-6", "--cidr", "127.0.0.0/8"]), []);
            assert_eq!(rows(&["-P", "81", "--cidr", "127.0.0.0/8"]), []);
        });
    });
}

#[test]
fn by_network_namespace() {
    each_backend(|setup| {
        let inode = |netns: &Netns| netns.inode;
        in_new_netns(|outer| {
            connect_all(&[home(1, 80)]); // before tracing: not shown
            let mut inner = 0;
            let rows = watch(setup, outer, &[], || {
                inner = in_new_netns(|netns| {
                    connect_all(&[home(2, 80)]);
                    inode(netns)
                });
                connect_all(&[home(3, 80)]);
            });
            assert_ne!(inner, inode(outer));
            let seen: Vec<_> = rows.events.iter().map(peer).collect();
            assert_eq!(seen, [home(3, 80)]);
        });
    });
}

#[test]
fn calls_without_a_syn_are_filtered_too() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let nowhere = |last: u8, port| SocketAddr::new([10, 1, 0, last].into(), port);
            let to = [nowhere(1, 80), nowhere(2, 81), nowhere(3, 80)];
            let rows = |flags: &[&str]| {
                let flags = [&["--sync-errors"], flags].concat();
                shown(setup, netns, &flags, || connect_all(&to))
            };
            assert_eq!(rows(&[]), to);
            assert_eq!(rows(&["-P", "80"]), [to[0], to[2]]);
            assert_eq!(rows(&["--cidr", "10.1.0.2"]), [to[1]]);
            assert_eq!(rows(&["-6"]), []);
            assert_eq!(rows(&["--pending"]), []);
            assert_eq!(rows(&["--comm", "somebody-else"]), []);
        });
    });
}

#[test]
fn by_latency() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, fast) = listener(loopback(1));
            let (_hole, slow) = black_hole(loopback(2));
            let trace = watch_interrupts(setup, netns, &["--min-latency", "900"], || {
                for _ in 0..10 {
                    assert_eq!(connect(&tcp(fast.ip()), fast), 0);
                    assert_eq!(begin(&tcp(slow.ip()), slow), libc::EINPROGRESS); // and closed
                }
                let socket = tcp(slow.ip());
                short_timeout(&socket);
                assert_eq!(connect(&socket, slow), libc::ETIMEDOUT);
            });
            let rows = &trace.is_complete().events;
            let latency = |row: &Value| row["connect"]["duration_ns"].as_u64().unwrap();
            assert!(rows.iter().all(|row| latency(row) >= 900_000_000), "{trace:?}");
            let with = |what| rows.iter().filter(|row| result(row) == what).count();
            assert_eq!(with("ETIMEDOUT"), 1, "{trace:?}");
            // Of the others, some are quick on any machine.
            assert!(with("OK") < 10 && with("ABORTED") < 10, "{trace:?}");
        });
    });
}

/// `dial` connects to `to` as this user; its process id.
pub(super) fn dial(user: u32, to: SocketAddr) -> u32 {
    use std::os::unix::process::CommandExt;
    let child = Command::new(fixture("dial"))
        .args([to.ip().to_string(), to.port().to_string()])
        .uid(user)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    assert!(child.wait_with_output().unwrap().status.success());
    pid
}

#[test]
fn by_caller() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (one, two) = (home(1, 80), home(2, 80));
            let work = || {
                dial(0, one);
                dial(65534, two);
                connect_all(&[home(3, 80)]);
            };
            assert_eq!(shown(setup, netns, &["--comm", "dial"], work), [one, two]);
            assert_eq!(shown(setup, netns, &["--comm", "dial", "-u", "nobody"], work), [two]);
            let me = std::process::id().to_string();
            assert_eq!(shown(setup, netns, &["--ppid", &me], work), [one, two]);
            assert_eq!(shown(setup, netns, &["-p", &me], work), [home(3, 80)]);
        });
    });
}

#[test]
fn by_command() {
    each_setup(|setup| {
        in_new_netns(|_| {
            let (_listener, to) = listener(loopback(1));
            let port = to.port().to_string();
            let script = format!("{} 127.1.1.1 {port}; exit 7", fixture("dial"));
            let mut tool = TCPCONNECT.command(&setup.flags());
            let output = tool
                .args(["--json", "--", "/bin/sh", "-c", &format!("({script}) >/dev/null")])
                .output()
                .unwrap();
            connect_all(&[to]);
            let trace = parse(&output);
            trace.is_complete();
            assert_eq!(trace.status, 7);
            assert_eq!(peer(trace.only("dial")), to);
            assert_eq!(trace.events.len(), 1);
        });
    });
}

/// The kernel gives the number of a namespace to the next one.
#[test]
fn a_namespace_that_was_left_is_not_mistaken_for_another() {
    use std::os::unix::fs::MetadataExt;
    in_new_netns(|netns| {
        let inode = netns.inode.to_string();
        let running = TCPCONNECT.start(&["--json", "--netns", &inode]);
        for _ in 0..20 {
            leave_netns();
            std::thread::sleep(std::time::Duration::from_millis(20));
            let now = std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
            assert_ne!(now, u64::from(netns.inode));
        }
        assert_eq!(running.stop().status, 0);
    });
}
