//! The filter of the packet socket, as a classic BPF program.

use libc::{
    BPF_ABS, BPF_ALU, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K,
    BPF_LD, BPF_LDX, BPF_MSH, BPF_RET, BPF_RSH, BPF_W, ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP,
    IPPROTO_UDP, SKF_AD_OFF, SKF_AD_PKTTYPE, SKF_AD_PROTOCOL, sock_filter,
};

/// The port that DNS servers answer from.
pub(super) const DNS_PORT: u16 = 53;

/// Passes whole packets from port 53, UDP and TCP, that are meant for this machine.
///
/// A packet on the loopback interface comes twice, as outgoing and as incoming; only the latter is
/// `PACKET_HOST`. The filter drops fragments: later ones do not show the port, and the first one is
/// useless alone. It also drops IPv6 with extension headers, which would need a loop, and which no
/// DNS server sends.
///
/// Offsets count from the IP header, as a socket of type `SOCK_DGRAM` sees packets.
/// The numbers in front are the targets of the jumps, which count from the next line.
#[rustfmt::skip]
pub(super) const FILTER: [sock_filter; 22] = [
    /*  0 */ load(BPF_W, BPF_ABS, ancillary(SKF_AD_PKTTYPE)),
    /*  1 */ jump(BPF_JEQ, libc::PACKET_HOST as u32, 0, 18),
    /*  2 */ load(BPF_W, BPF_ABS, ancillary(SKF_AD_PROTOCOL)),
    /*  3 */ jump(BPF_JEQ, ETH_P_IP as u32, 1, 0),
    /*  4 */ jump(BPF_JEQ, ETH_P_IPV6 as u32, 0, 15),
    // The version decides, not the link layer's protocol.
    /*  5 */ load(BPF_B, BPF_ABS, 0),
    /*  6 */ instruction(BPF_ALU | BPF_RSH | BPF_K, 4),
    /*  7 */ jump(BPF_JEQ, 4, 0, 5),
    // IPv4: no "more fragments", no fragment offset; header length into X.
    /*  8 */ load(BPF_H, BPF_ABS, 6),
    /*  9 */ jump(BPF_JSET, 0x3fff, 10, 0),
    /* 10 */ instruction(BPF_LDX | BPF_B | BPF_MSH, 0),
    /* 11 */ load(BPF_B, BPF_ABS, 9),
    /* 12 */ instruction(BPF_JMP | BPF_JA, 3),
    // IPv6: the next header must be UDP or TCP.
    /* 13 */ jump(BPF_JEQ, 6, 0, 6),
    /* 14 */ instruction(BPF_LDX | BPF_W | BPF_IMM, 40),
    /* 15 */ load(BPF_B, BPF_ABS, 6),
    // Both: the source port is the first member of either header.
    /* 16 */ jump(BPF_JEQ, IPPROTO_UDP as u32, 1, 0),
    /* 17 */ jump(BPF_JEQ, IPPROTO_TCP as u32, 0, 2),
    /* 18 */ load(BPF_H, BPF_IND, 0),
    /* 19 */ jump(BPF_JEQ, DNS_PORT as u32, 1, 0),
    /* 20 */ instruction(BPF_RET | BPF_K, 0),
    /* 21 */ instruction(BPF_RET | BPF_K, u32::MAX),
];

const fn instruction(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn load(size: u32, mode: u32, offset: u32) -> sock_filter {
    instruction(BPF_LD | size | mode, offset)
}

const fn jump(condition: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | condition | BPF_K) as u16, jt: if_true, jf: if_false, k }
}

/// The address of facts that are not in the packet's bytes.
const fn ancillary(what: i32) -> u32 {
    (SKF_AD_OFF + what) as u32
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::net::UnixDatagram;

    use proptest::prelude::*;

    use super::super::socket::attach;
    use super::super::testing::{ipv4, ipv6, tcp, udp};
    use super::*;

    /// The first instructions need facts that only packets of a network device have.
    const FROM_VERSION: usize = 5;

    /// Lets the kernel run the filter: sockets of any kind have filters, and Unix sockets need
    /// neither rights nor a network.
    struct Kernel(UnixDatagram, UnixDatagram);

    impl Kernel {
        fn new() -> Self {
            let (sender, receiver) = UnixDatagram::pair().unwrap();
            attach(&receiver, &FILTER[FROM_VERSION..]).unwrap();
            receiver.set_nonblocking(true).unwrap();
            Self(sender, receiver)
        }

        fn passes(&self, packet: &[u8]) -> bool {
            // A dropped packet may or may not be an error for the sender.
            let _ = self.0.send(packet);
            let mut received = vec![0; 70_000];
            match self.1.recv(&mut received) {
                Ok(len) => {
                    assert_eq!(&received[..len], packet, "the whole packet");
                    true
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    false
                }
            }
        }
    }

    #[test]
    fn only_answers_pass() {
        let kernel = Kernel::new();
        for (ip, tcp_offset) in [(ipv4 as fn(u8, &[u8]) -> Vec<u8>, 20), (ipv6, 40)] {
            assert!(kernel.passes(&ip(17, &udp(53, b"answer"))));
            assert!(kernel.passes(&ip(6, &tcp(53, 1, 0x10, b"answer"))));
            assert!(kernel.passes(&ip(17, &udp(53, &[7; 60_000]))));
            for other in [0, 52, 54, 443, 5353, 53 << 8] {
                assert!(!kernel.passes(&ip(17, &udp(other, b"answer"))));
                assert!(!kernel.passes(&ip(6, &tcp(other, 1, 0x10, b"answer"))));
            }
            // A packet to port 53 is a question.
            let mut question = ip(17, &udp(1234, b"question"));
            question[tcp_offset + 2..tcp_offset + 4].copy_from_slice(&53u16.to_be_bytes());
            assert!(!kernel.passes(&question));
            for protocol in [0, 1, 43, 44, 58, 60, 132] {
                assert!(!kernel.passes(&ip(protocol, &udp(53, b"answer"))));
            }
        }
    }

    #[test]
    fn options_are_skipped_and_fragments_dropped() {
        let kernel = Kernel::new();
        let mut options = ipv4(17, &udp(53, b"answer"));
        options.splice(20..20, [1; 8]);
        options[0] = 0x47;
        assert!(kernel.passes(&options));
        options[0] = 0x46;
        assert!(!kernel.passes(&options), "an option is no port");
        for (high, low, whole) in
            [(0x40, 0, true), (0x20, 0, false), (0, 1, false), (0x1f, 0, false)]
        {
            let mut packet = ipv4(17, &udp(53, b"answer"));
            packet[6..8].copy_from_slice(&[high, low]);
            assert_eq!(kernel.passes(&packet), whole, "{high:#x} {low:#x}");
        }
    }

    #[test]
    fn short_packets_are_dropped() {
        let kernel = Kernel::new();
        for whole in [ipv4(17, &udp(53, b"")), ipv6(17, &udp(53, b""))] {
            let port_end = whole.len() - 6;
            for len in 0..whole.len() {
                assert_eq!(kernel.passes(&whole[..len]), len >= port_end, "{len}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_parser_takes_nothing_that_is_dropped(
            is_ipv4: bool,
            is_udp: bool,
            payload: Vec<u8>,
            edits in proptest::collection::vec((0usize..60, any::<u8>()), 0..4),
        ) {
            let ip = if is_ipv4 { ipv4 } else { ipv6 };
            let mut packet = if is_udp {
                ip(17, &udp(53, &payload))
            } else {
                ip(6, &tcp(53, 0, 0, &payload))
            };
            for (at, value) in edits {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = value;
                }
            }
            if super::super::packet::parse(&packet).is_some() {
                prop_assert!(Kernel::new().passes(&packet));
            }
        }
    }
}
