//! Names learnt from the answers of DNS servers: what the client of a real server got is
//! what is known. No tool is needed for that, and nothing of BPF but the socket's filter.

pub mod network;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use snoop_tools::host::dns::{Asked, Asker, PassiveDns};
use snoop_tools::output::time::boot_now_ns;

use crate::harness::scaled;
use crate::netns::{in_new_netns, leave_netns, set_loopback_mtu};
use network::*;

const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// An address that nobody has, for an answer.
fn some_address(number: u32) -> IpAddr {
    IpAddr::from((0xc633_6400 + number).to_be_bytes()) // from 198.51.100.0 on
}

/// Reads all that has come in. How much of it one call reads depends on the machine too.
fn drain(dns: &mut PassiveDns) {
    while !read_some(dns) {}
}

/// Whether that was all.
fn read_some(dns: &mut PassiveDns) -> bool {
    let mut time = Duration::from_millis(5);
    dns.drain(boot_now_ns, |_| Asked::Unseen, &mut time).unwrap()
}

fn name(dns: &PassiveDns, address: impl Into<IpAddr>) -> Option<String> {
    name_at(dns, address, boot_now_ns())
}

fn name_at(dns: &PassiveDns, address: impl Into<IpAddr>, at_ns: u64) -> Option<String> {
    const NOBODY: Asker = Asker { pid: 0, start_ns: 0 };
    dns.name(address.into(), at_ns, NOBODY).map(|known| known.name.to_owned())
}

fn is_readable(dns: &PassiveDns) -> bool {
    let mut fds = [PollFd::new(dns.fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
}

#[test]
fn answers_over_udp_are_learnt() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        let six: Ipv6Addr = "2001:db8::7".parse().unwrap();
        for (asked, server) in [FOUR, SIX].into_iter().enumerate() {
            assert!(!is_readable(&dns));
            let question = format!("WwW{asked}.Example.ORG");
            let canonical = "cdn.example.net";
            ask_udp(
                server,
                &question,
                &[
                    alias(&question, 300, canonical),
                    address(canonical, 60, some_address(1)),
                    address(canonical, 60, some_address(2)),
                    address(canonical, 0, six),
                    address("other.example.net", 60, some_address(3)),
                ],
            );
            assert!(is_readable(&dns));
            drain(&mut dns);
            // The server's packet went over the loopback interface, out and in again; the
            // question is not among those.
            assert_eq!((dns.received(), dns.lost()), (asked as u64 + 1, 0));

            let expected = format!("www{asked}.example.org");
            for known in [some_address(1), some_address(2), six.into()] {
                assert_eq!(name(&dns, known).as_ref(), Some(&expected), "{known}");
            }
            assert_eq!(name(&dns, some_address(3)), None, "nobody asked for it");
        }
    });
}

/// However late they are read.
#[test]
fn answers_count_from_the_time_at_which_they_came() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        let mut times = vec![boot_now_ns()];
        let hosts = ["one", "two", "one", "three"];
        for host in hosts {
            ask_udp(FOUR, host, &[address(host, 60, some_address(1))]);
            times.push(boot_now_ns());
        }
        drain(&mut dns);
        assert_eq!(name_at(&dns, some_address(1), times[0]), None);
        for (host, time) in hosts.into_iter().zip(&times[1..]) {
            assert_eq!(name_at(&dns, some_address(1), *time).as_deref(), Some(host));
        }
    });
}

#[test]
fn answers_over_tcp_are_learnt_in_any_pieces() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        let message = |host: &str, number: u32| {
            let records = [address(host, 60, some_address(number))];
            with_length(&answer(&query(host), &records))
        };
        for server in [FOUR, SIX] {
            let [one, two, three] =
                [("one", 1), ("two", 2), ("three", 3)].map(|m| message(m.0, m.1));
            // Two at once; then one byte for byte, its length too.
            let together = [one, two].concat();
            let mut pieces = vec![&together[..]];
            pieces.extend(three.chunks(1));
            answer_tcp(server, &pieces, || {});
            drain(&mut dns);
            for (number, host) in [(1, "one"), (2, "two"), (3, "three")] {
                assert_eq!(name(&dns, some_address(number)).as_deref(), Some(host), "{server}");
            }
            // Who begins to listen in the middle of a connection reads nothing of it.
            let mut late = None;
            let four = message("four", 4);
            answer_tcp(server, &[&four, &four], || late = PassiveDns::open().ok());
            let mut late = late.unwrap();
            drain(&mut late);
            drain(&mut dns);
            assert!(late.received() > 0);
            assert_eq!(name(&late, some_address(4)), None);
            assert_eq!(name(&dns, some_address(4)).as_deref(), Some("four"));
        }
        assert_eq!(dns.lost(), 0);
    });
}

#[test]
fn other_traffic_does_not_come_in() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        let host = "other.example.org";
        let message = answer(&query(host), &[address(host, 60, some_address(1))]);
        for server in [FOUR, SIX] {
            let client = UdpSocket::bind((server, 0)).unwrap();
            let to = client.local_addr().unwrap();
            for port in [52, 54, 5353, 53 << 8] {
                let other = UdpSocket::bind((server, port)).unwrap();
                other.send_to(&message, to).unwrap();
            }
            // To port 53, from where it is not.
            let _resolver = UdpSocket::bind((server, 53)).unwrap();
            client.send_to(&message, (server, 53)).unwrap();
        }
        drain(&mut dns);
        assert_eq!(dns.received(), 0);
        assert_eq!(name(&dns, some_address(1)), None);
    });
}

#[test]
fn packets_for_other_machines_do_not_come_in() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        for (station, host) in [([0; 6], "ours"), ([2, 0, 0, 0, 0, 1], "theirs")] {
            let records = [address(host, 60, some_address(1))];
            inject(station, &answer(&query(host), &records));
        }
        drain(&mut dns);
        assert_eq!(dns.received(), 1);
        assert_eq!(name(&dns, some_address(1)).as_deref(), Some("ours"));
    });
}

/// The kernel drops those behind the packet socket.
#[test]
fn wrong_checksums_name_nothing() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        let message = |host: &str| answer(&query(host), &[address(host, 60, some_address(1))]);
        let with_checksum = |host: &str, wrong: u8| {
            let mut packet = packet(&message(host));
            let transport = packet[20..].to_vec();
            let len = (transport.len() as u16).to_be_bytes();
            let covered = [&packet[12..20], &[0, 17], &len, &transport].concat();
            packet[26..28].copy_from_slice(&checksum(&covered));
            packet[26] ^= wrong;
            packet
        };
        let mut header = packet(&message("header"));
        header[10] ^= 1;
        let mut received = 0;
        for (packet, expected) in [
            (header, None),
            (with_checksum("wrong", 1), None),
            (packet(&message("none")), Some("none")),
            (with_checksum("wrong", 1), Some("none")),
            (with_checksum("right", 0), Some("right")),
        ] {
            inject_frame([0; 6], &[], &packet);
            drain(&mut dns);
            received += 1;
            assert_eq!(dns.received(), received);
            assert_eq!(name(&dns, some_address(1)).as_deref(), expected);
        }
    });
}

/// Nobody here takes part in that VLAN. A tag may also give a priority alone.
#[test]
fn packets_of_an_unknown_vlan_name_nothing() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        for (host, id, expected) in [("vlan", 5, None), ("priority", 0, Some("priority"))] {
            let message = answer(&query(host), &[address(host, 60, some_address(1))]);
            inject_frame([0; 6], &[0x81, 0, 0x60, id], &packet(&message));
            drain(&mut dns);
            assert_eq!(name(&dns, some_address(1)).as_deref(), expected, "{}", dns.received());
        }
        assert_eq!(dns.received(), 2);
    });
}

#[test]
fn fragments_do_not_come_in() {
    in_new_netns(|_| {
        set_loopback_mtu(1500);
        let mut dns = PassiveDns::open().unwrap();
        let host = "large.example.org";
        let records: Vec<_> = (0..100).map(|n| address(host, 60, some_address(n))).collect();
        for server in [FOUR, SIX] {
            ask_udp(server, host, &records);
        }
        drain(&mut dns);
        assert_eq!(dns.received(), 0);
        ask_udp(FOUR, host, &records[..10]);
        drain(&mut dns);
        assert_eq!((dns.received(), name(&dns, some_address(9)).as_deref()), (1, Some(host)));
    });
}

#[test]
fn what_is_lost_is_counted() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        let client = UdpSocket::bind((FOUR, 0)).unwrap();
        let resolver = UdpSocket::bind((FOUR, 53)).unwrap();
        let send = |number: u32, padding: usize| {
            let host = format!("host{number}.example.org");
            let records = [address(&host, 3600, some_address(number))];
            let mut message = answer(&query(&host), &records);
            message.resize(message.len() + padding, 0);
            resolver.send_to(&message, client.local_addr().unwrap()).unwrap();
        };
        // More than there is room for: 16 MiB with the kernel's share.
        const SENT: u64 = 500;
        let numbers = 0..SENT as u32;
        for number in numbers.clone() {
            send(number, 60_000);
        }
        drain(&mut dns);
        let known = numbers.filter(|&number| {
            let known = name(&dns, some_address(number));
            assert!(known.is_none() || known == Some(format!("host{number}.example.org")));
            known.is_some()
        });
        let known = known.count() as u64;
        assert_eq!(dns.received(), SENT);
        assert_eq!(known + dns.lost(), SENT);
        assert!(known > 100, "{known}");
        assert!(dns.lost() > 0);

        // There is room again, for many small ones, which are not all read at once.
        let lost = dns.lost();
        let many = 1_025..1_025 + scaled(20_000).max(2_000);
        for number in many.clone() {
            send(number, 0);
        }
        assert!(!read_some(&mut dns));
        assert!(is_readable(&dns));
        drain(&mut dns);
        assert!(!is_readable(&dns));
        let known = many.clone().filter(|&number| name(&dns, some_address(number)).is_some());
        assert_eq!(known.count() as u64 + (dns.lost() - lost), many.len() as u64);
    });
}

#[test]
fn other_network_namespaces_are_not_seen() {
    in_new_netns(|_| {
        let mut dns = PassiveDns::open().unwrap();
        let host = "inside.example.org";
        let records = [address(host, 60, some_address(1))];
        ask_udp(FOUR, host, &records);
        leave_netns();
        ask_udp(FOUR, "outside.example.org", &[address(host, 60, some_address(1))]);
        let mut other = PassiveDns::open().unwrap();
        drain(&mut dns);
        drain(&mut other);
        assert_eq!((dns.received(), other.received()), (1, 0));
        assert_eq!(name(&dns, some_address(1)).as_deref(), Some(host));
    });
}

#[test]
fn without_the_right_it_says_so() {
    thread::scope(|scope| {
        scope.spawn(|| {
            let nobody = 65_534;
            // SAFETY: no memory is involved. Unlike that of the C library, the system call
            // itself is for the calling thread alone, which loses its capabilities with it.
            let result = unsafe { libc::syscall(libc::SYS_setresuid, nobody, nobody, nobody) };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
            let line = format!("{:#}", PassiveDns::open().err().unwrap());
            assert!(line.contains("CAP_NET_RAW missing; run it with sudo"), "{line}");
            assert_eq!(line.lines().count(), 1);
        });
    });
}
