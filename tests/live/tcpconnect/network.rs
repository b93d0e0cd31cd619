//! Two machines with a wire between them: what only happens on a network. Not for virtual
//! machines, whose kernels come without veth.

use std::net::IpAddr;
use std::process::Command;

use super::sockets::*;
use super::*;

const HERE: &str = "10.9.0.1";
const THERE: &str = "10.9.0.2";

/// Runs `test` in a network namespace with the interface `here`, whose other end is the
/// interface `there` in another one. What `at_peer` makes there first lives as long.
fn with_wire<T: Send>(at_peer: impl FnOnce() -> T + Send, test: impl FnOnce(&Netns) + Send) {
    in_new_netns(|netns| {
        // The peer is a thread only until it has its network; sockets keep it.
        let (tid, is_there) = std::sync::mpsc::channel();
        let (wired, is_wired) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let peer = scope.spawn(move || {
                leave_netns();
                // SAFETY: tells who we are.
                tid.send(unsafe { libc::gettid() }).unwrap();
                is_wired.recv().unwrap();
                ip(&format!("addr add {THERE}/24 dev there"));
                ip("link set there up");
                let made = at_peer();
                tid.send(0).unwrap();
                let _ = is_done.recv(); // the end of the test
                made
            });
            let there = is_there.recv().unwrap();
            ip("link add here type veth peer name there");
            ip(&format!("link set there netns {there}"));
            ip(&format!("addr add {HERE}/24 dev here"));
            ip("link set here up");
            wired.send(()).unwrap();
            is_there.recv().unwrap();
            // Interfaces are up a moment before they carry packets.
            let nobody = self::there(9);
            eventually("the wire works", || {
                connect(&tcp(nobody.ip()), nobody) == libc::ECONNREFUSED
            });
            test(netns);
            drop(done);
            drop(peer.join().unwrap());
        });
    });
}

fn there(port: u16) -> SocketAddr {
    SocketAddr::new(THERE.parse().unwrap(), port)
}

fn listen_at(address: SocketAddr) -> socket2::Socket {
    let socket = tcp(address.ip());
    socket.bind(&address.into()).unwrap();
    socket.listen(16).unwrap();
    socket
}

/// Rules for packets, in nftables' language.
fn nft(rules: &str) {
    let output = Command::new("nft").arg(rules).output().unwrap();
    assert!(output.status.success(), "{}", lossy(&output.stderr));
}

fn outcomes(trace: &Trace) -> Vec<(&str, u64)> {
    let retransmits = |row: &Value| row["connect"]["retransmits"].as_u64().unwrap();
    trace.is_complete();
    trace.events.iter().map(|row| (result(row), retransmits(row))).collect()
}

#[test]
fn a_listener_and_none() {
    each_backend(|setup| {
        with_wire(
            || listen_at(there(80)),
            |netns| {
                let to = there(80);
                let mut locals = Vec::new();
                let trace = watch(setup, netns, &[], || {
                    let socket = tcp(to.ip());
                    assert_eq!(connect(&socket, to), 0);
                    locals.push(Some(local_addr(&socket)));
                    assert_eq!(connect(&tcp(to.ip()), there(9)), libc::ECONNREFUSED);
                });
                assert_eq!(outcomes(&trace), [("OK", 0), ("ECONNREFUSED", 0)]);
                assert_eq!(local(&trace.events[0]), locals[0]);
                assert_eq!(local(&trace.events[1]).unwrap().ip().to_string(), HERE);
            },
        );
    });
}

/// The same link-local address on two links is two destinations: in rows and in totals.
#[test]
fn one_address_on_two_links() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let address: std::net::Ipv6Addr = "fe80::53".parse().unwrap();
            let mut links = Vec::new();
            for number in 0..2 {
                ip(&format!("link add here{number} type veth peer name there{number}"));
                for end in ["here", "there"] {
                    ip(&format!("link set {end}{number} up"));
                }
                ip(&format!("-6 addr add {address}/64 dev there{number} nodad"));
                let index =
                    nix::net::if_::if_nametoindex(format!("here{number}").as_str()).unwrap();
                links.push((format!("here{number}"), index));
            }
            let connect_both = || {
                for (_, index) in &links {
                    let to = std::net::SocketAddrV6::new(address, 7500, 0, *index);
                    eventually("the link works", || {
                        let socket = tcp(address.into());
                        errno(socket.connect(&to.into())) == libc::ECONNREFUSED
                    });
                }
            };
            connect_both();
            let link = |row: &Value| {
                let interface = &row["network"]["interface"];
                assert_eq!(row["network"]["peer"]["address"], address.to_string(), "{row}");
                let index = u32::try_from(interface["index"].as_u64().unwrap()).unwrap();
                (interface["name"].as_str().unwrap().to_owned(), index)
            };
            for flags in [&[][..], &["-c"]] {
                let inode = netns.inode.to_string();
                let mut all = vec!["--json", "--netns", &inode];
                all.extend(setup.flags());
                all.extend(flags);
                let running = TCPCONNECT.start(&all);
                connect_both();
                let mut seen: Vec<_> = running.stop().events.iter().map(link).collect();
                seen.sort();
                assert_eq!(seen, links, "{flags:?}");
            }
        });
    });
}

/// A neighbour that is known, and is nobody: SYNs go out and nothing comes back.
#[test]
fn nobody_answers() {
    each_backend(|setup| {
        with_wire(
            || (),
            |netns| {
                ip("neigh add 10.9.0.7 lladdr 02:00:00:00:00:07 nud permanent dev here");
                let to = SocketAddr::new("10.9.0.7".parse().unwrap(), 80);
                let mut seen = 0;
                let trace = watch_interrupts(setup, netns, &[], || {
                    let socket = tcp(to.ip());
                    short_timeout(&socket);
                    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
                    assert_eq!(outcome(&socket), libc::ETIMEDOUT);
                    seen = retransmits(&socket);
                });
                assert!(seen > 0);
                assert_eq!(outcomes(&trace), [("ETIMEDOUT", seen)]);
            },
        );
    });
}

/// Lost, and sent again until somebody is there: a slow connect explained.
#[test]
fn the_first_syn_is_lost() {
    each_backend(|setup| {
        with_wire(
            || listen_at(there(80)),
            |netns| {
                let to = there(80);
                let wrong = format!("neigh replace {THERE} lladdr 02:00:00:00:00:07 dev here");
                let mut seen = 0;
                let trace = watch_interrupts(setup, netns, &[], || {
                    ip(&format!("{wrong} nud permanent"));
                    let socket = tcp(to.ip());
                    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
                    ip(&format!("neigh del {THERE} dev here"));
                    assert_eq!(outcome(&socket), 0);
                    seen = retransmits(&socket);
                });
                assert!(seen > 0);
                assert_eq!(outcomes(&trace), [("OK", seen)]);
                let waited = trace.events[0]["connect"]["duration_ns"].as_u64().unwrap();
                let round_trip = trace.events[0]["connect"]["rtt_ns"].as_u64().unwrap();
                assert!(waited > 900_000_000 && round_trip < waited, "{:?}", trace.events);
            },
        );
    });
}

/// No neighbour of that address: the kernel gives up asking.
#[test]
fn the_neighbour_is_missing() {
    each_backend(|setup| {
        with_wire(
            || (),
            |netns| {
                sysctl("net/ipv4/neigh/here/mcast_solicit", "1");
                sysctl("net/ipv4/neigh/here/retrans_time_ms", "100");
                let to = SocketAddr::new("10.9.0.8".parse().unwrap(), 80);
                let trace = watch_interrupts(setup, netns, &[], || {
                    assert_eq!(connect(&tcp(to.ip()), to), libc::EHOSTUNREACH);
                });
                assert_eq!(
                    outcomes(&trace).iter().map(|row| row.0).collect::<Vec<_>>(),
                    ["EHOSTUNREACH"]
                );
                assert_eq!(trace.events[0]["connect"]["no_syn"], Value::Null);
            },
        );
    });
}

/// A router says no: by ICMP, some time after the call.
#[test]
fn a_router_says_no() {
    each_backend(|setup| {
        with_wire(
            || {
                sysctl("net/ipv4/ip_forward", "1");
                sysctl("net/ipv4/icmp_ratelimit", "0");
                ip("route add unreachable 10.21.0.0/16");
                ip("route add prohibit 10.22.0.0/16");
            },
            |netns| {
                ip(&format!("route add default via {THERE}"));
                let far = |net: u8| SocketAddr::new(IpAddr::from([10, net, 0, 1]), 80);
                let trace = watch_interrupts(setup, netns, &[], || {
                    for to in [far(21), far(22)] {
                        // The first answer comes while the call still has the socket, and is
                        // not final; one to a later SYN is.
                        assert_eq!(connect(&tcp(to.ip()), to), libc::EHOSTUNREACH);
                    }
                });
                let rows: Vec<_> = outcomes(&trace).iter().map(|row| row.0).collect();
                assert_eq!(rows, ["EHOSTUNREACH", "EHOSTUNREACH"]);
                let peers: Vec<_> = trace.events.iter().map(peer).collect();
                assert_eq!(peers, [far(21), far(22)]);
            },
        );
    });
}

/// A firewall resets, or is silent, or refuses on the way out.
#[test]
fn a_firewall_says_no() {
    each_backend(|setup| {
        with_wire(
            || {
                nft("add table ip t; \
                     add chain ip t in { type filter hook input priority 0; }; \
                     add rule ip t in tcp dport 81 reject with tcp reset; \
                     add rule ip t in tcp dport 82 drop; \
                     add rule ip t in tcp dport 83 reject with icmp type admin-prohibited");
            },
            |netns| {
                let trace = watch_interrupts(setup, netns, &[], || {
                    let to = there(81);
                    assert_eq!(connect(&tcp(to.ip()), to), libc::ECONNREFUSED);
                    assert_eq!(connect(&tcp(to.ip()), there(83)), libc::EHOSTUNREACH);
                    let socket = tcp(to.ip());
                    short_timeout(&socket);
                    assert_eq!(connect(&socket, there(82)), libc::ETIMEDOUT);
                });
                let rows: Vec<_> = outcomes(&trace).iter().map(|row| row.0).collect();
                assert_eq!(rows, ["ECONNREFUSED", "EHOSTUNREACH", "ETIMEDOUT"]);
            },
        );
    });
}

/// A process that tells the path manager of another address does not connect from there itself.
#[test]
fn the_path_manager_is_told() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            ip("mptcp limits set subflow 2 add_addr_accepted 2");
            let mut connection = None;
            let trace = watch(setup, netns, &[], || {
                let made = connection.insert(multipath::Connection::new());
                ip("mptcp endpoint add 127.0.0.77 dev lo subflow");
                made.wait_for_second();
            });
            let rows = connection.unwrap().rows(&trace);
            let [first, second] = rows[..] else { panic!("{trace:?}") };
            for row in [first, second] {
                assert_eq!((result(row), pid(row)), ("OK", std::process::id().into()), "{row}");
            }
            assert_eq!(second["connect"]["origin"], "kernel", "{second}");
            assert_eq!(local(second).unwrap().ip().to_string(), "127.0.0.77");
        });
    });
}
