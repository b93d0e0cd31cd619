//! From an IP packet to the DNS server's data in it.
//!
//! The filter in the kernel has looked at the packet already, but nothing here relies on
//! that. Fragments and IPv6 extension headers are not understood, see `filter.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::filter::DNS_PORT;

/// Data from port 53.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// A UDP packet
    Datagram {
        server: IpAddr,
        client: IpAddr,
        client_port: u16,
        /// Its payload
        message: &'a [u8],
    },
    /// A piece of a TCP connection
    Segment(Segment<'a>),
}

/// One direction of a TCP connection: the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) server: IpAddr,
    pub(super) client: IpAddr,
    pub(super) client_port: u16,
}

/// A TCP segment from a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) flow: Flow,
    /// Sequence number of the first byte, or of the SYN
    pub(super) seq: u32,
    /// What it acknowledges, if it does
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
}

/// The payload of a whole IPv4 or IPv6 packet from port 53. Bytes behind the packet's own length
/// are padding of Ethernet and are left out.
pub(super) fn parse(packet: &[u8]) -> Option<Received<'_>> {
    let first = packet.first()?;
    match first >> 4 {
        4 => {
            let header_len = usize::from(first & 0xf) * 4;
            // RFC 791: fragments have the flag "more", or an offset.
            if header_len < 20 || be16(packet, 6)? & 0x3fff != 0 {
                return None;
            }
            let ip = packet.get(header_len..be16(packet, 2)?.into())?;
            let server = Ipv4Addr::from(bytes(packet, 12)?).into();
            let client = Ipv4Addr::from(bytes(packet, 16)?).into();
            transport(*packet.get(9)?, server, client, ip)
        }
        6 => {
            let len = usize::from(be16(packet, 4)?);
            let ip = packet.get(40..40 + len)?;
            let server = Ipv6Addr::from(bytes(packet, 8)?).into();
            let client = Ipv6Addr::from(bytes(packet, 24)?).into();
            transport(*packet.get(6)?, server, client, ip)
        }
        _ => None,
    }
}

fn transport(protocol: u8, server: IpAddr, client: IpAddr, ip: &[u8]) -> Option<Received<'_>> {
    if be16(ip, 0)? != DNS_PORT {
        return None;
    }
    match i32::from(protocol) {
        libc::IPPROTO_UDP => {
            let message = ip.get(8..be16(ip, 4)?.into())?;
            Some(Received::Datagram { server, client, client_port: be16(ip, 2)?, message })
        }
        libc::IPPROTO_TCP => {
            let header_len = usize::from(ip.get(12)? >> 4) * 4;
            if header_len < 20 {
                return None;
            }
            let flags = *ip.get(13)?;
            Some(Received::Segment(Segment {
                flow: Flow { server, client, client_port: be16(ip, 2)? },
                seq: u32::from_be_bytes(bytes(ip, 4)?),
                ack: Some(u32::from_be_bytes(bytes(ip, 8)?)).filter(|_| flags & 0x10 != 0),
                fin: flags & 0x01 != 0,
                syn: flags & 0x02 != 0,
                rst: flags & 0x04 != 0,
                payload: ip.get(header_len..)?,
            }))
        }
        _ => None,
    }
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

fn be16(from: &[u8], at: usize) -> Option<u16> {
    bytes(from, at).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{ipv4, ipv6, tcp, udp};
    use super::*;

    #[test]
    fn the_payload_is_found() {
        for ip in [ipv4 as fn(u8, &[u8]) -> Vec<u8>, ipv6] {
            let mut packet = ip(17, &udp(53, b"message"));
            let is_it = |packet: &[u8]| match parse(packet) {
                Some(Received::Datagram { server, client, client_port, message }) => {
                    assert!(
                        server.to_string().ends_with("53") && client.to_string().ends_with('1')
                    );
                    (client_port, message) == (1024, b"message")
                }
                _ => false,
            };
            assert!(is_it(&packet));
            packet.extend([0; 20]);
            assert!(is_it(&packet), "padding");
            assert_eq!(parse(&ip(17, &udp(54, b"message"))), None);
            assert_eq!(parse(&ip(1, &udp(53, b"message"))), None);

            let packet = ip(6, &tcp(53, 7, 0x12, b"message"));
            let Some(Received::Segment(segment)) = parse(&packet) else { panic!() };
            assert_eq!((segment.seq, segment.payload), (7, &b"message"[..]));
            assert_eq!((segment.syn, segment.fin, segment.rst), (true, false, false));
            assert_eq!(segment.flow.client_port, 1024);
            assert_ne!(segment.flow.client, segment.flow.server);
        }
    }

    #[test]
    fn the_ends_of_a_flow_are_right() {
        let packet = ipv4(6, &tcp(53, 0, 0, b""));
        let Some(Received::Segment(segment)) = parse(&packet) else { panic!() };
        assert_eq!(segment.flow.server.to_string(), "192.0.2.53");
        assert_eq!(segment.flow.client.to_string(), "192.0.2.1");
        let packet = ipv6(6, &tcp(53, 0, 0, b""));
        let Some(Received::Segment(segment)) = parse(&packet) else { panic!() };
        assert_eq!(segment.flow.server.to_string(), "2001:db8::53");
        assert_eq!(segment.flow.client.to_string(), "2001:db8::1");
    }

    #[test]
    fn damaged_packets_are_refused() {
        for packet in [
            ipv4(17, &udp(53, b"message")),
            ipv6(17, &udp(53, b"message")),
            ipv4(6, &tcp(53, 7, 0, b"message")),
            ipv6(6, &tcp(53, 7, 0, b"message")),
        ] {
            for len in 0..packet.len() {
                assert_eq!(parse(&packet[..len]), None, "cut at {len}");
            }
        }
        let edited = |at: usize, value: u8| {
            let mut packet = ipv4(17, &udp(53, b"message"));
            packet[at] = value;
            assert_eq!(parse(&packet), None, "byte {at} is {value}");
        };
        edited(0, 0x44); // header shorter than a header
        edited(0, 0x55);
        edited(6, 0x20); // a fragment
        edited(7, 1);
        edited(3, 10); // packet shorter than its header
        edited(25, 7); // UDP likewise
        edited(25, 200); // UDP longer than the packet
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(packet: Vec<u8>, protocol in prop_oneof![Just(6u8), Just(17)]) {
            parse(&packet);
            parse(&ipv4(protocol, &packet));
            parse(&ipv6(protocol, &packet));
        }
    }
}
