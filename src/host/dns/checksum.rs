//! Checksums of packets, which the kernel verifies behind the packet socket: what it drops is no
//! answer.

/// Whether the kernel's own stack would take a packet from the IP header on, by its checksums.
/// `is_checked`: the checksum behind the IP header was verified, or the packet was made on this
/// machine, which leaves that to hardware.
pub(super) fn is_right(packet: &[u8], is_checked: bool) -> bool {
    verify(packet, is_checked).is_some()
}

fn verify(packet: &[u8], is_checked: bool) -> Option<()> {
    let first = packet.first()?;
    if first >> 4 == 6 {
        let (header, behind) = packet.split_at_checked(40)?;
        let transport = behind.get(..be16(header, 4)?.into())?;
        let is_right =
            is_checked || transport_is_right(header.get(8..)?, *header.get(6)?, transport, false)?;
        return is_right.then_some(());
    }
    let header_len = usize::from(first & 0xf) * 4;
    let header = packet.get(..header_len)?;
    let transport = packet.get(header_len..be16(packet, 2)?.into())?;
    let is_right = sums_up(sum(header))
        && (is_checked
            || transport_is_right(header.get(12..20)?, *header.get(9)?, transport, true)?);
    is_right.then_some(())
}

/// `may_be_zero`: UDP over IPv4 works without a checksum, over IPv6 it does not (RFC 8200, 8.1).
fn transport_is_right(
    addresses: &[u8],
    protocol: u8,
    ip: &[u8],
    may_be_zero: bool,
) -> Option<bool> {
    let is_udp = i32::from(protocol) == libc::IPPROTO_UDP;
    let len = if is_udp { be16(ip, 4)?.into() } else { ip.len() };
    if is_udp && be16(ip, 6)? == 0 {
        return Some(may_be_zero);
    }
    let pseudo_header = sum(addresses) + u64::from(protocol) + len as u64;
    Some(sums_up(pseudo_header + sum(ip.get(..len)?)))
}

/// RFC 1071: words of 16 bits are added up, the checksum among them.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    words.sum()
}

/// In ones' complement the right sum is zero, all of whose bits are set: zero itself is the sum of zeros only.
fn sums_up(sum: u64) -> bool {
    sum != 0 && sum % 0xffff == 0
}

fn be16(from: &[u8], at: usize) -> Option<u16> {
    from.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{ipv4, ipv6, tcp, udp};
    use super::*;

    /// From port 53, with "hello": UDP over IPv4 and IPv6, TCP over IPv4. Their checksums are another
    /// program's.
    const PACKETS: [&[u8]; 3] = [
        b"\x45\0\0\x21\0\x01\x40\0\x40\x11\xb6\x94\xc0\0\x02\x35\xc0\0\x02\x01\
          \0\x35\x04\0\0\x0d\x33\x96hello",
        b"\x60\0\0\0\0\x0d\x11\x40\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x53\
          \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x35\x04\0\0\x0d\x5c\x07hello",
        b"\x45\0\0\x2d\0\x01\x40\0\x40\x06\xb6\x93\xc0\0\x02\x35\xc0\0\x02\x01\
          \0\x35\x04\0\0\0\0\x07\0\0\0\x09\x50\x18\x02\0\xe1\x79\0\0hello",
    ];

    /// Bytes of the IP header that the checksums do not cover: IPv6 has none of its own.
    fn is_uncovered(packet: &[u8], at: usize) -> bool {
        packet[0] >> 4 == 6 && matches!(at, 1..4 | 7)
    }

    #[test]
    fn one_wrong_bit_is_one_too_many() {
        for packet in PACKETS {
            assert!(is_right(packet, false));
            for at in 0..packet.len() {
                let mut edited = packet.to_vec();
                edited[at] ^= 0x40;
                assert_eq!(is_right(&edited, false), is_uncovered(packet, at), "{at}: {packet:?}");
            }
            let mut padded = packet.to_vec();
            padded.extend([7; 13]);
            assert!(is_right(&padded, false), "padding of Ethernet");
            assert!(!is_right(&packet[..packet.len() - 1], false), "cut");
        }
    }

    /// Whoever verified the data did not look at the header of IPv4.
    #[test]
    fn what_was_verified_is_not_looked_at() {
        for packet in PACKETS {
            let mut edited = packet.to_vec();
            *edited.last_mut().unwrap() ^= 1;
            assert!(is_right(&edited, true) && !is_right(&edited, false));
            let mut edited = packet.to_vec();
            edited[8] ^= 1; // IPv4: the time to live
            assert_eq!(is_right(&edited, true), packet[0] >> 4 == 6);
        }
    }

    #[test]
    fn only_ipv4_does_without() {
        for (packet, is_taken) in PACKETS.iter().zip([true, false, false]) {
            let mut without = packet.to_vec();
            let at = if packet[0] >> 4 == 6 {
                46
            } else if packet[9] == 6 {
                36
            } else {
                26
            };
            without[at..at + 2].copy_from_slice(&[0, 0]);
            assert_eq!(is_right(&without, false), is_taken, "{packet:?}");
        }
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(packet: Vec<u8>, is_checked: bool) {
            is_right(&packet, is_checked);
            is_right(&ipv4(17, &udp(53, &packet)), is_checked);
            is_right(&ipv6(6, &tcp(53, 0, 0, &packet)), is_checked);
        }
    }
}
