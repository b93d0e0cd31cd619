//! What the application asked for, and what it got, where these are two destinations.

use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};

use super::hooks::{Hooked, send_on, send_on_v6};
use super::sockets::*;
use super::*;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

fn v4(address: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(v4) = address else { unreachable!() };
    v4
}

/// What the application asked for, if the row says that it was something else.
fn asked(row: &Value) -> Option<SocketAddr> {
    end(&row["server"])
}

/// Results and both ends of all rows.
fn rows(trace: &Trace) -> Vec<(&str, Option<SocketAddr>, SocketAddr)> {
    trace.is_complete();
    trace.events.iter().map(|row| (result(row), asked(row), peer(row))).collect()
}

#[test]
fn a_load_balancer_of_the_cgroup() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, open) = listener(loopback(1));
            let (_closed, nobody) = closed_port(loopback(2));
            let service = SocketAddr::new(SERVICE.into(), 443);
            for (backend, error) in [(open, 0), (nobody, libc::ECONNREFUSED)] {
                let hooked = Hooked::new();
                let program = send_on(SERVICE, v4(backend));
                hooked.attach(&program, libbpf_sys::BPF_CGROUP_INET4_CONNECT);
                let other = format!("{} {}", open.ip(), open.port());
                let work = || assert_eq!(hooked.dial(&["10.88.0.1 443", &other]), [error, 0]);
                let name = if error == 0 { "OK" } else { "ECONNREFUSED" };
                let sent_on = (name, Some(service), backend);
                let trace = watch(setup, netns, &[], work);
                assert_eq!(rows(&trace), [sent_on, ("OK", None, open)]);
                // Filters match either.
                let own = [backend.ip().to_string(), backend.port().to_string()];
                for flags in [
                    ["--cidr", "10.88.0.0/16"],
                    ["-P", "443"],
                    ["--cidr", &own[0]],
                    ["-P", &own[1]],
                ] {
                    let trace = watch(setup, netns, &flags, work);
                    assert_eq!(rows(&trace)[0], sent_on, "{flags:?}");
                    let is_both = backend == open && own.contains(&flags[1].to_owned());
                    assert_eq!(rows(&trace).len(), 1 + usize::from(is_both), "{flags:?}");
                }
                // One end has this port, the other one this address.
                let flags = ["-P", "443", "--cidr", &own[0]];
                assert_eq!(rows(&watch(setup, netns, &flags, work)), []);
            }
        });
    });
}

#[test]
fn a_load_balancer_for_ipv6() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, open) = listener(std::net::Ipv6Addr::LOCALHOST);
            let SocketAddr::V6(to) = open else { unreachable!() };
            let service: SocketAddr = "[2001:db8::88]:443".parse().unwrap();
            let hooked = Hooked::new();
            let program = send_on_v6("::88".parse().unwrap(), to);
            hooked.attach(&program, libbpf_sys::BPF_CGROUP_INET6_CONNECT);
            let trace =
                watch(setup, netns, &[], || assert_eq!(hooked.dial(&["2001:db8::88 443"]), [0]));
            assert_eq!(rows(&trace), [("OK", Some(service), open)]);
        });
    });
}

/// From IPv6 to IPv4: both have the network's type that they are of.
#[test]
fn a_load_balancer_between_families() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, open) = listener(loopback(1));
            let mapped = v4(open).ip().to_ipv6_mapped();
            let service: SocketAddr = "[2001:db8::88]:443".parse().unwrap();
            let hooked = Hooked::new();
            let to = SocketAddrV6::new(mapped, open.port(), 0, 0);
            let program = send_on_v6("::88".parse().unwrap(), to);
            hooked.attach(&program, libbpf_sys::BPF_CGROUP_INET6_CONNECT);
            let work = || assert_eq!(hooked.dial(&["2001:db8::88 443"]), [0]);
            for flags in [&[][..], &["-4"], &["-6"]] {
                let trace = watch(setup, netns, flags, work);
                assert_eq!(rows(&trace), [("OK", Some(service), open)], "{flags:?}");
                assert_eq!(trace.events[0]["network"]["type"], "ipv4");
            }
        });
    });
}

/// Sent to where no route leads: no SYN.
#[test]
fn a_load_balancer_that_leads_nowhere() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let nowhere = SocketAddr::new([10, 1, 0, 1].into(), 8443);
            let prohibited = SocketAddr::new([10, 2, 0, 1].into(), 8443);
            ip("route add prohibit 10.2.0.0/16");
            let service = SocketAddr::new(SERVICE.into(), 443);
            for (backend, error) in [(nowhere, libc::ENETUNREACH), (prohibited, libc::EACCES)] {
                let hooked = Hooked::new();
                let program = send_on(SERVICE, v4(backend));
                hooked.attach(&program, libbpf_sys::BPF_CGROUP_INET4_CONNECT);
                let work = || {
                    let errors = hooked.dial(&["10.88.0.1 443", "10.1.0.7 80"]);
                    assert_eq!(errors, [error, libc::ENETUNREACH]);
                };
                let trace = watch(setup, netns, &["--sync-errors"], work);
                let name = snoop_tools::host::errno::name(error);
                let plain = SocketAddr::new([10, 1, 0, 7].into(), 80);
                let expected = [(&*name, Some(service), backend), ("ENETUNREACH", None, plain)];
                assert_eq!(rows(&trace), expected);
                for network in ["10.88.0.1", &backend.ip().to_string()] {
                    let flags = ["--sync-errors", "--cidr", network];
                    assert_eq!(rows(&watch(setup, netns, &flags, work)), expected[..1]);
                }
            }
        });
    });
}

/// No address in particular means this machine.
#[test]
fn to_no_address_in_particular() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_listener, four) = listener(Ipv4Addr::LOCALHOST);
            let (_other, six) = listener(std::net::Ipv6Addr::LOCALHOST);
            let (_bound_to, at_home) = listener(loopback(3));
            let any = |to: SocketAddr| {
                let any: std::net::IpAddr = match to {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
                };
                SocketAddr::new(any, to.port())
            };
            let trace = watch(setup, netns, &[], || {
                for to in [four, six] {
                    assert_eq!(connect(&tcp(to.ip()), any(to)), 0);
                    assert_eq!(connect(&tcp(to.ip()), to), 0);
                }
                // Bound: to that address.
                let (socket, _) = bound(at_home.ip());
                assert_eq!(connect(&socket, any(at_home)), 0);
            });
            let expected = [
                ("OK", Some(any(four)), four),
                ("OK", None, four),
                ("OK", Some(any(six)), six),
                ("OK", None, six),
                ("OK", Some(any(at_home)), at_home),
            ];
            assert_eq!(rows(&trace), expected);
        });
    });
}

/// With Fast Open the address comes with the first data.
#[test]
fn fast_open_through_a_load_balancer() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            sysctl("net/ipv4/tcp_fastopen", "1");
            let (_listener, four) = listener(Ipv4Addr::LOCALHOST);
            let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), four.port());
            let trace = watch(setup, netns, &[], || {
                let socket = tcp(four.ip());
                let sent = socket.send_to_with_flags(b"hello", &any.into(), libc::MSG_FASTOPEN);
                assert_eq!(sent.unwrap(), 5);
            });
            assert_eq!(rows(&trace), [("OK", Some(any), four)]);
        });
    });
}
