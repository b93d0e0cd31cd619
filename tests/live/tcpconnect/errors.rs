//! Calls that this machine refuses before a SYN is sent.

use super::sockets::*;
use super::*;

/// Destinations that this machine does not connect to, and what connect() says.
const REFUSED: [(&str, i32); 7] = [
    ("10.1.0.1:80", libc::ENETUNREACH),
    ("[2001:db8:1::1]:80", libc::ENETUNREACH),
    ("[::ffff:10.1.0.1]:81", libc::ENETUNREACH),
    ("10.2.0.1:80", libc::EACCES),
    ("10.3.0.1:80", libc::EHOSTUNREACH),
    ("10.4.0.1:80", libc::EINVAL),
    ("255.255.255.255:80", libc::ENETUNREACH),
];

fn add_routes() {
    ip("route add prohibit 10.2.0.0/16");
    ip("route add unreachable 10.3.0.0/16");
    ip("route add blackhole 10.4.0.0/16");
}

#[test]
fn each_has_its_errno() {
    each_error_setup(|setup| {
        in_new_netns(|netns| {
            add_routes();
            let trace = watch(setup, netns, &["--sync-errors"], || {
                for (to, errno) in REFUSED {
                    let to: SocketAddr = to.parse().unwrap();
                    assert_eq!(connect(&tcp(to.ip()), to), errno, "{to}");
                    assert_eq!(begin(&tcp(to.ip()), to), errno, "{to}, non-blocking");
                }
            });
            trace.is_complete();
            let mut rows = trace.events.iter();
            for (to, errno) in REFUSED {
                for _ in ["blocking", "non-blocking"] {
                    let row = rows.next().unwrap_or_else(|| panic!("{to}: {trace:?}"));
                    let to: SocketAddr = to.parse().unwrap();
                    let shown = SocketAddr::new(to.ip().to_canonical(), to.port());
                    assert_eq!(peer(row), shown);
                    assert_eq!(result(row), snoop_tools::host::errno::name(errno), "{row}");
                    assert_eq!(local(row), None, "{row}");
                    assert_eq!(row["connect"]["no_syn"], true);
                    assert!(row["connect"]["duration_ns"].is_null(), "there was no wait");
                    assert_eq!(pid(row), u64::from(std::process::id()));
                }
            }
            assert_eq!(rows.next(), None);
        });
    });
}

/// What connect() says is news only if no SYN was sent.
#[test]
fn no_attempt_is_told_twice() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            add_routes();
            let (_listener, open) = listener(loopback(1));
            let (_closed, nobody) = closed_port(loopback(1));
            let (_hole, silent) = black_hole(loopback(2));
            let refused: SocketAddr = "10.2.0.1:80".parse().unwrap();
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let socket = tcp(open.ip());
                assert_eq!(connect(&socket, nobody), libc::ECONNREFUSED);
                assert_eq!(connect(&socket, refused), libc::EACCES);
                assert_eq!(connect(&socket, refused), libc::EACCES);
                assert_eq!(connect(&socket, open), 0);
                assert_eq!(connect(&socket, open), libc::EISCONN);
                assert_eq!(connect(&socket, refused), libc::EISCONN);

                // Asked by SO_ERROR; the next call only ends the old story.
                let socket = tcp(open.ip());
                assert_eq!(begin(&socket, nobody), libc::EINPROGRESS);
                assert_eq!(outcome(&socket), libc::ECONNREFUSED);
                assert_eq!(connect(&socket, refused), libc::ECONNABORTED);
                assert_eq!(connect(&socket, refused), libc::EACCES);

                // Never asked: a new socket may lie where the old one was.
                for _ in 0..50 {
                    let socket = tcp(open.ip());
                    assert_eq!(begin(&socket, nobody), libc::EINPROGRESS);
                    assert_eq!(outcome(&socket), libc::ECONNREFUSED);
                    drop(socket);
                    assert_eq!(connect(&tcp(open.ip()), refused), libc::EACCES);
                }

                let socket = tcp(open.ip());
                assert_eq!(begin(&socket, silent), libc::EINPROGRESS);
                assert_eq!(begin(&socket, silent), libc::EALREADY);
                assert_eq!(begin(&socket, refused), libc::EALREADY);
            });
            trace.is_complete();
            let rows: Vec<_> = trace.events.iter().map(|row| (result(row), peer(row))).collect();
            let mut expected = vec![
                ("ECONNREFUSED", nobody),
                ("EACCES", refused),
                ("EACCES", refused),
                ("OK", open),
                ("ECONNREFUSED", nobody),
                ("EACCES", refused),
            ];
            for _ in 0..50 {
                expected.extend([("ECONNREFUSED", nobody), ("EACCES", refused)]);
            }
            expected.push(("ABORTED", silent));
            assert_eq!(rows, expected);
        });
    });
}

#[test]
fn addresses_that_name_no_destination_are_no_attempts() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let socket = tcp(loopback(1).into());
                let unix = socket2::SockAddr::unix("\0nowhere").unwrap();
                assert_eq!(errno(socket.connect(&unix)), libc::EINVAL, "too short");
                for (address, len) in [(std::ptr::null(), 16), (std::ptr::dangling(), 16)] {
                    use std::os::fd::AsRawFd;
                    // SAFETY: the kernel checks the address.
                    let result = unsafe { libc::connect(socket.as_raw_fd(), address, len) };
                    assert_eq!(result, -1);
                }
                assert_eq!(dissolve(&socket), 0);
            });
            assert_eq!(trace.is_complete().events, [] as [Value; 0]);
        });
    });
}

/// The first row of a multipath connection that is refused here.
#[test]
fn multipath_tcp() {
    let protocol = Some(socket2::Protocol::from(libc::IPPROTO_MPTCP));
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, protocol);
    if socket().is_err() {
        assert!(!std::path::Path::new("/proc/sys/net/mptcp/enabled").exists());
        skip!(skip::NO_MPTCP);
    }
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            add_routes();
            let to: SocketAddr = "10.1.0.1:80".parse().unwrap();
            let (_closed, nobody) = closed_port(loopback(1));
            let trace = watch(setup, netns, &["--sync-errors"], || {
                assert_eq!(connect(&socket().unwrap(), to), libc::ENETUNREACH);
                assert_eq!(connect(&socket().unwrap(), nobody), libc::ECONNREFUSED);
            });
            let rows: Vec<_> = trace.events.iter().map(|row| (result(row), peer(row))).collect();
            assert_eq!(rows, [("ENETUNREACH", to), ("ECONNREFUSED", nobody)]);
            assert!(trace.events.iter().all(|row| row["connect"]["mptcp"] == true), "{trace:?}");
        });
    });
}

#[test]
fn failed_ones_only() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, open) = listener(loopback(1));
            let (_closed, nobody) = closed_port(loopback(1));
            let (_hole, silent) = black_hole(loopback(2));
            let unreachable: SocketAddr = "10.1.0.1:80".parse().unwrap();
            let trace = watch(setup, netns, &["--failed"], || {
                assert_eq!(connect(&tcp(open.ip()), open), 0);
                assert_eq!(connect(&tcp(open.ip()), nobody), libc::ECONNREFUSED);
                assert_eq!(connect(&tcp(open.ip()), unreachable), libc::ENETUNREACH);
                assert_eq!(begin(&tcp(open.ip()), silent), libc::EINPROGRESS);
            });
            let rows: Vec<_> = trace.events.iter().map(|row| (result(row), peer(row))).collect();
            let expected =
                [("ECONNREFUSED", nobody), ("ENETUNREACH", unreachable), ("ABORTED", silent)];
            assert_eq!(rows, expected);
        });
    });
}

/// What a security module refuses: here Landlock, which also works without a policy.
#[test]
fn a_security_module_says_no() {
    if !may_restrict() {
        skip!(skip::BEFORE_6_7);
    }
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, to) = listener(loopback(1));
            let trace = watch(setup, netns, &["--sync-errors"], || {
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        restrict_this_thread();
                        assert_eq!(connect(&tcp(to.ip()), to), libc::EACCES);
                    });
                });
            });
            let rows: Vec<_> = trace.events.iter().map(|row| (result(row), peer(row))).collect();
            assert_eq!(rows, [("EACCES", to)]);
            assert_eq!(trace.events[0]["connect"]["no_syn"], true);
        });
    });
}

/// Whether Landlock has the version of its interface that knows TCP.
fn may_restrict() -> bool {
    kernel_release() >= (6, 7)
}

/// No TCP connections from here on.
pub fn restrict_this_thread() {
    const CONNECT_TCP: u64 = 1 << 1;
    let handled: [u64; 2] = [0, CONNECT_TCP]; // of files, of the network
    // SAFETY: the structure is as long as we say.
    let ruleset = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, handled.as_ptr(), size_of_val(&handled), 0)
    };
    assert!(ruleset >= 0);
    // SAFETY: numbers only.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A program of the cgroup refuses, as firewalls of containers do: EPERM.
#[test]
fn a_cgroup_says_no() {
    let hooked = hooks::Hooked::new();
    hooked.attach(&hooks::verdict(0), libbpf_sys::BPF_CGROUP_INET4_CONNECT);
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, to) = listener(loopback(1));
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let errors = hooked.dial(&[&format!("{} {}", to.ip(), to.port())]);
                assert_eq!(errors, [libc::EPERM]);
            });
            let rows: Vec<_> = trace.events.iter().map(|row| (result(row), peer(row))).collect();
            assert_eq!(rows, [("EPERM", to)]);
            assert_eq!(trace.events[0]["process"]["comm"], "dial");
            assert!(trace.events[0]["server"].is_null(), "{trace:?}");
        });
    });
}

/// By the tracepoint backend 32-bit calls are not seen, as the documentation says.
#[test]
fn calls_by_32_bit_programs() {
    if !runs_32_bit() {
        skip!(skip::NO_32_BIT);
    }
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let trace = watch(setup, netns, &["--sync-errors"], || run("dial32", &[]));
            let rows: Vec<_> = trace.events.iter().map(|row| (result(row), peer(row))).collect();
            let to = |last: u8| SocketAddr::new([10, 1, 0, last].into(), 80);
            let all = [("ENETUNREACH", to(1)), ("ENETUNREACH", to(2))];
            let seen = if setup.backend == "tracepoint" { &[][..] } else { &all };
            assert_eq!(rows, seen);
        });
    });
}
