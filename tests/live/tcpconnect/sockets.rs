//! Sockets as the tests use them: errors are numbers, addresses are `SocketAddr`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::{PATIENCE, eventually};

/// A TCP socket for addresses of this kind.
pub fn tcp(address: IpAddr) -> Socket {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap()
}

/// A TCP socket with a local port that is known beforehand.
pub fn bound(address: IpAddr) -> (Socket, SocketAddr) {
    let socket = tcp(address);
    socket.bind(&SocketAddr::new(address, 0).into()).unwrap();
    let local = local_addr(&socket);
    (socket, local)
}

/// Somebody who listens at `address`.
pub fn listener(address: impl Into<IpAddr>) -> (Socket, SocketAddr) {
    let (socket, local) = bound(address.into());
    socket.listen(1024).unwrap();
    (socket, local)
}

/// Somebody who listens at `address` and answers nobody: a filter drops all that comes.
pub fn black_hole(address: impl Into<IpAddr>) -> (Socket, SocketAddr) {
    let socket = black_hole_at(SocketAddr::new(address.into(), 0));
    let local = local_addr(&socket);
    (socket, local)
}

/// Likewise, with this port.
pub fn black_hole_at(address: SocketAddr) -> Socket {
    let socket = tcp(address.ip());
    socket.bind(&address.into()).unwrap();
    let drop_all = libc::sock_filter { code: libc::BPF_RET as u16, jt: 0, jf: 0, k: 0 };
    let filter = libc::sock_fprog { len: 1, filter: (&raw const drop_all).cast_mut() };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter);
    socket.listen(1024).unwrap();
    socket
}

/// A port of `address` where nobody listens, and nobody will.
pub fn closed_port(address: impl Into<IpAddr>) -> (Socket, SocketAddr) {
    bound(address.into())
}

pub fn local_addr(socket: &Socket) -> SocketAddr {
    socket.local_addr().unwrap().as_socket().unwrap()
}

/// `connect()`; its errno, 0 for success.
pub fn connect(socket: &Socket, to: SocketAddr) -> i32 {
    errno(socket.connect(&to.into()))
}

/// What connect() would say at once: EINPROGRESS, mostly. The socket stays non-blocking.
pub fn begin(socket: &Socket, to: SocketAddr) -> i32 {
    socket.set_nonblocking(true).unwrap();
    connect(socket, to)
}

/// Waits until a non-blocking connect has an outcome, and takes it: `SO_ERROR`.
pub fn outcome(socket: &Socket) -> i32 {
    const TCP_CLOSE: u8 = 7;
    wait_writable(socket);
    let error = socket.take_error().unwrap().map_or(0, |error| error.raw_os_error().unwrap());
    // An error is told a moment before the socket is closed.
    eventually("it is closed", || error == 0 || tcp_info(socket).tcpi_state == TCP_CLOSE);
    error
}

pub fn wait_writable(socket: &Socket) {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let millis = PATIENCE.as_millis() as i32;
    // SAFETY: one structure of ours.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, millis) }, 1, "no outcome");
}

pub fn errno(result: io::Result<()>) -> i32 {
    result.err().map_or(0, |error| error.raw_os_error().unwrap())
}

pub fn set_option<T>(socket: &Socket, level: i32, name: i32, value: &T) {
    let size = size_of::<T>() as u32;
    let value: *const T = value;
    // SAFETY: the value is as long as we say.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), size) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// See [`short_timeout`].
pub const SHORT_TIMEOUT: Duration = Duration::from_millis(2500);

/// Gives up after one retransmission or two. The first one comes after a second, which leaves
/// time for it where timers are late.
pub fn short_timeout(socket: &Socket) {
    socket.set_tcp_user_timeout(Some(SHORT_TIMEOUT)).unwrap();
}

/// SYNs that were sent again, as TCP tells the application.
pub fn retransmits(socket: &Socket) -> u64 {
    tcp_info(socket).tcpi_total_retrans.into()
}

fn tcp_info(socket: &Socket) -> libc::tcp_info {
    // SAFETY: all bit patterns of this structure are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size_of_val(&info) as u32;
    // SAFETY: the structure is as long as we say.
    let result = unsafe {
        let to = (&raw mut info).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_TCP, libc::TCP_INFO, to, &raw mut size)
    };
    assert_eq!(result, 0);
    info
}

/// `connect()` to AF_UNSPEC: dissolves what there is.
pub fn dissolve(socket: &Socket) -> i32 {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as u16, sa_data: [0; 14] };
    // SAFETY: a whole address.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, 16) };
    if result == 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap() }
}

/// Sees TCP packets, as a router on their way would.
pub struct Sniffer(Socket);

impl Sniffer {
    pub fn new() -> Self {
        Self(Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap())
    }

    /// Answers the next packet to port `to` with an ICMP message "destination unreachable".
    pub fn answer_unreachable(&self, to: SocketAddr, code: u8) {
        let (packet, from) = loop {
            let mut buffer = [std::mem::MaybeUninit::new(0); 1500];
            let (size, from) = self.0.recv_from(&mut buffer).unwrap();
            // SAFETY: initialised above.
            let packet = buffer.map(|byte| unsafe { byte.assume_init() });
            assert!(size >= 28, "headers of IP and TCP");
            if packet[22..24] == to.port().to_be_bytes() {
                break (packet, from);
            }
        };
        let mut icmp = vec![3, code, 0, 0, 0, 0, 0, 0];
        icmp.extend(&packet[..28]);
        let words = icmp.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
        raw.send_to(&icmp, &from).unwrap();
    }
}
