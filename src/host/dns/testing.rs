//! Packets for tests.

/// An IPv4 packet from 192.0.2.53 to 192.0.2.1.
pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 53, 192, 0, 2, 1]);
    packet.extend(payload);
    packet
}

/// An IPv6 packet from 2001:db8::53 to 2001:db8::1.
pub(super) fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([protocol, 64]);
    for last in [0x53, 1] {
        packet.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(payload);
    packet
}

/// A UDP packet to port 1024.
pub(super) fn udp(from_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    for field in [from_port, 1024, 8 + payload.len() as u16, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
    packet
}

/// A TCP segment to port 1024.
pub(super) fn tcp(from_port: u16, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(from_port.to_be_bytes());
    packet.extend(1024u16.to_be_bytes());
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}
