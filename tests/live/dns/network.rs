//! DNS in a network of a test's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// A record of an answer: owner, type, seconds to live, data.
pub struct Record(pub Vec<u8>, pub u16, pub u32, pub Vec<u8>);

/// `www.example.org` as on the wire.
pub fn wire(name: &str) -> Vec<u8> {
    let labels =
        name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

pub fn alias(name: &str, ttl: u32, target: &str) -> Record {
    Record(wire(name), 5, ttl, wire(target))
}

pub fn address(name: &str, ttl: u32, address: impl Into<IpAddr>) -> Record {
    match address.into() {
        IpAddr::V4(a) => Record(wire(name), 1, ttl, a.octets().to_vec()),
        IpAddr::V6(a) => Record(wire(name), 28, ttl, a.octets().to_vec()),
    }
}

/// A question for all that is known of `name`, with EDNS.
pub fn query(name: &str) -> Vec<u8> {
    let header = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    let edns = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    [&header[..], &wire(name), &[0, 255, 0, 1], &edns].concat()
}

/// The answer to a `query`.
pub fn answer(query: &[u8], records: &[Record]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    let edns = answer.split_off(answer.len() - 11);
    for Record(owner, kind, ttl, data) in records {
        answer.extend(owner);
        answer.extend([kind.to_be_bytes(), [0, 1]].concat());
        answer.extend(ttl.to_be_bytes());
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    [answer, edns].concat()
}

/// A DNS server's socket. A process that another test starts just now may have the one before open,
/// until it executes its program.
pub fn udp_server(server: IpAddr) -> UdpSocket {
    let mut socket = UdpSocket::bind((server, 53));
    while socket.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse) {
        std::thread::sleep(Duration::from_millis(1));
        socket = UdpSocket::bind((server, 53));
    }
    socket.unwrap()
}

/// Asks a server at `server` for `name` over UDP; it answers with `records`. Returns when
/// who asked has the answer.
pub fn ask_udp(server: IpAddr, name: &str, records: &[Record]) {
    let resolver = udp_server(server);
    let client = UdpSocket::bind((server, 0)).unwrap();
    client.send_to(&query(name), (server, 53)).unwrap();
    let mut buffer = [0; 65_535];
    let (len, from) = resolver.recv_from(&mut buffer).unwrap();
    let sent = answer(&buffer[..len], records);
    resolver.send_to(&sent, from).unwrap();
    let (len, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from), (&sent[..], SocketAddr::new(server, 53)));
}

/// Connects to a server at `server`, which sends `pieces`, each in a segment of its own;
/// `after_first` is called behind the first. Returns when the client has them all.
pub fn answer_tcp(server: IpAddr, pieces: &[&[u8]], after_first: impl FnOnce()) {
    let listener = TcpListener::bind((server, 53)).unwrap();
    let mut client = TcpStream::connect((server, 53)).unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    connection.set_nodelay(true).unwrap();
    let mut after_first = Some(after_first);
    for piece in pieces {
        connection.write_all(piece).unwrap();
        let mut received = vec![0; piece.len()];
        client.read_exact(&mut received).unwrap();
        assert_eq!(received, *piece);
        if let Some(now) = after_first.take() {
            now();
        }
    }
    // Who closes first keeps the port busy for a minute.
    drop(client);
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
}

/// Puts a UDP packet from port 53 of nobody onto the loopback interface, on the Ethernet
/// level, for the station `to`. That of the interface itself is all zeros.
pub fn inject(to: [u8; 6], message: &[u8]) {
    inject_frame(to, &[], &packet(message));
}

/// A UDP packet over IPv4 from port 53 of nobody, without a checksum of the message.
pub fn packet(message: &[u8]) -> Vec<u8> {
    let mut packet = [&[0x45, 0][..], &(28 + message.len() as u16).to_be_bytes()].concat();
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 53, 192, 0, 2, 1]);
    let checksum = checksum(&packet);
    packet[10..12].copy_from_slice(&checksum);
    for field in [53, 1024, 8 + message.len() as u16, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(message);
    packet
}

/// RFC 1071
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words =
        bytes.chunks(2).map(|pair| u32::from_be_bytes([0, 0, pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Puts a packet onto the loopback interface, for the station `to`. `tag`: what stands in front of its
/// type.
pub fn inject_frame(to: [u8; 6], tag: &[u8], packet: &[u8]) {
    let frame = [&to[..], &[0; 6], tag, &[8, 0], packet].concat();
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).unwrap();
    // SAFETY: plain numbers and bytes, all of which may be zero.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = 1; // the loopback interface of each namespace
    let (data, len) = (frame.as_ptr().cast(), frame.len());
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the frame and the address are borrowed here, with their sizes.
    let sent = unsafe {
        libc::sendto(socket.as_raw_fd(), data, len, 0, (&raw const address).cast(), size)
    };
    assert_eq!(sent, len as isize, "{}", std::io::Error::last_os_error());
}

/// A message as it is sent over TCP.
pub fn with_length(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}
