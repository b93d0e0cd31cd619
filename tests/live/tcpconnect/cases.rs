//! Ways to connect, each with what the application saw of it. They run at the same time,
//! each with addresses of its own.

use std::mem::ManuallyDrop;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, FromRawFd};

use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::*;
use crate::netns::loopback;
use crate::skip::{self, skip};

/// A row that has to be there.
#[derive(Debug)]
pub struct Expected {
    pub peer: SocketAddr,
    pub local: Local,
    pub result: &'static str,
    pub retransmits: RangeInclusive<u64>,
    pub mptcp: bool,
}

/// What a row says of the local end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    Is(SocketAddr),
    /// The application could not see it; the row has to have one.
    Some,
}

fn row(peer: SocketAddr, local: Local, result: &'static str) -> Expected {
    Expected { peer, local, result, retransmits: 0..=0, mptcp: false }
}

/// An attempt that was given up: TCP may have repeated its SYN until then, if this machine
/// was slow.
fn given_up(peer: SocketAddr, local: Local, result: &'static str) -> Expected {
    Expected { retransmits: 0..=6, ..row(peer, local, result) }
}

fn ok(socket: &Socket, peer: SocketAddr) -> Expected {
    row(peer, Local::Is(local_addr(socket)), "OK")
}

/// A case, and a number for its addresses.
pub type Case = fn(u8) -> Vec<Expected>;

/// All of them, by name.
pub const CASES: [(&str, Case); 22] = [
    ("blocking", blocking),
    ("non-blocking", non_blocking),
    ("refused", refused),
    ("refused, then asked by connect()", refused_asked_by_connect),
    ("no port chosen by hand", refused_unbound),
    ("v6", v6),
    ("v4-mapped", v4_mapped),
    ("timed out", timed_out),
    ("given up by timeout of the call", send_timeout),
    ("host unreachable by ICMP", unreachable),
    ("closed while connecting", closed),
    ("killed while connecting", killed),
    ("dissolved while connecting", dissolved),
    ("interrupted, then connected", interrupted),
    ("the same socket again", again),
    ("already connected", no_attempts),
    ("to itself", itself),
    ("Fast Open by sendto()", fast_open_sendto),
    ("Fast Open by option", fast_open_option),
    ("Multipath TCP", mptcp),
    ("io_uring", io_uring),
    ("no attempts at all", others),
];

fn blocking(number: u8) -> Vec<Expected> {
    let (_listener, to) = listener(loopback(number));
    let socket = tcp(to.ip());
    assert_eq!(connect(&socket, to), 0);
    vec![ok(&socket, to)]
}

fn non_blocking(number: u8) -> Vec<Expected> {
    let (_listener, to) = listener(loopback(number));
    let socket = tcp(to.ip());
    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
    assert_eq!(outcome(&socket), 0);
    let mut rows = vec![ok(&socket, to)];

    let (_closed, to) = closed_port(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
    assert_eq!(outcome(&socket), libc::ECONNREFUSED);
    rows.push(row(to, Local::Is(local), "ECONNREFUSED"));
    rows
}

fn refused(number: u8) -> Vec<Expected> {
    let (_closed, to) = closed_port(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    assert_eq!(connect(&socket, to), libc::ECONNREFUSED);
    vec![row(to, Local::Is(local), "ECONNREFUSED")]
}

fn refused_asked_by_connect(number: u8) -> Vec<Expected> {
    let (_closed, to) = closed_port(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
    wait_writable(&socket);
    assert_eq!(connect(&socket, to), libc::ECONNREFUSED, "told now");
    vec![row(to, Local::Is(local), "ECONNREFUSED")]
}

fn refused_unbound(number: u8) -> Vec<Expected> {
    let (_closed, to) = closed_port(loopback(number));
    assert_eq!(connect(&tcp(to.ip()), to), libc::ECONNREFUSED);
    vec![row(to, Local::Some, "ECONNREFUSED")]
}

fn v6(_: u8) -> Vec<Expected> {
    let home = IpAddr::from(Ipv6Addr::LOCALHOST);
    let (_listener, to) = listener(home);
    let socket = tcp(home);
    assert_eq!(connect(&socket, to), 0);
    let (_closed, nobody) = closed_port(home);
    let (refused, local) = bound(home);
    assert_eq!(connect(&refused, nobody), libc::ECONNREFUSED);
    vec![ok(&socket, to), row(nobody, Local::Is(local), "ECONNREFUSED")]
}

/// Shown as what it is: IPv4.
fn v4_mapped(number: u8) -> Vec<Expected> {
    let (_listener, to) = listener(loopback(number));
    let mapped = |to: SocketAddr| match to.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
        IpAddr::V6(_) => unreachable!(),
    };
    let socket = tcp(Ipv6Addr::LOCALHOST.into());
    assert_eq!(connect(&socket, mapped(to)), 0);
    let local = local_addr(&socket);
    let local = SocketAddr::new(local.ip().to_canonical(), local.port());
    let (_closed, nobody) = closed_port(loopback(number));
    assert_eq!(connect(&tcp(Ipv6Addr::LOCALHOST.into()), mapped(nobody)), libc::ECONNREFUSED);
    vec![row(to, Local::Is(local), "OK"), row(nobody, Local::Some, "ECONNREFUSED")]
}

fn timed_out(number: u8) -> Vec<Expected> {
    let (_hole, to) = black_hole(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    short_timeout(&socket);
    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
    assert_eq!(outcome(&socket), libc::ETIMEDOUT);
    let retransmits = retransmits(&socket);
    // An emulated machine may be so late that there is no time left for one.
    assert!(retransmits > 0 || crate::harness::in_vm());
    vec![Expected {
        retransmits: retransmits..=retransmits,
        ..row(to, Local::Is(local), "ETIMEDOUT")
    }]
}

/// SO_SNDTIMEO ends the call, not the attempt; closing the socket does.
fn send_timeout(number: u8) -> Vec<Expected> {
    let (_hole, to) = black_hole(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    socket.set_write_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    assert_eq!(connect(&socket, to), libc::EINPROGRESS);
    vec![given_up(to, Local::Is(local), "ABORTED")]
}

fn unreachable(number: u8) -> Vec<Expected> {
    let (_hole, to) = black_hole(loopback(number));
    let sniffer = Sniffer::new();
    let (socket, local) = bound(Ipv4Addr::LOCALHOST.into());
    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
    sniffer.answer_unreachable(to, 1);
    assert_eq!(outcome(&socket), libc::EHOSTUNREACH);
    vec![given_up(to, Local::Is(local), "EHOSTUNREACH")]
}

fn closed(number: u8) -> Vec<Expected> {
    let (_hole, to) = black_hole(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
    drop(socket);
    vec![given_up(to, Local::Is(local), "ABORTED")]
}

/// A process that dies inside connect().
fn killed(number: u8) -> Vec<Expected> {
    let (_hole, to) = black_hole(loopback(number));
    let address = to.ip().to_string();
    let mut dial = std::process::Command::new(crate::harness::fixture("dial"))
        .args(["stay", &address, &to.port().to_string()])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let in_syn_sent = || {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", dial.id())).unwrap();
        let port = format!(":{:04X} 02 ", to.port());
        table.lines().any(|line| line.contains(&port))
    };
    crate::harness::eventually("it connects", in_syn_sent);
    dial.kill().unwrap();
    dial.wait().unwrap();
    vec![given_up(to, Local::Some, "ABORTED")]
}

fn dissolved(number: u8) -> Vec<Expected> {
    let (_hole, to) = black_hole(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    assert_eq!(begin(&socket, to), libc::EINPROGRESS);
    assert_eq!(begin(&socket, to), libc::EALREADY);
    assert_eq!(dissolve(&socket), 0);
    vec![given_up(to, Local::Is(local), "ABORTED")]
}

/// A signal ends the call, not the attempt.
fn interrupted(number: u8) -> Vec<Expected> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: i32) {}
    let (hole, to) = black_hole(loopback(number));
    let socket = tcp(to.ip());
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
    // SAFETY: tells who we are.
    let caller = unsafe { libc::pthread_self() };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::sleep(std::time::Duration::from_millis(20));
                // SAFETY: that thread waits for this one.
                unsafe { libc::pthread_kill(caller, libc::SIGUSR2) };
            }
        });
        assert_eq!(connect(&socket, to), libc::EINTR);
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    // Now somebody answers; a second call waits for the same attempt.
    set_option(&hole, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0i32);
    assert_eq!(outcome(&socket), 0);
    let retransmits = retransmits(&socket);
    vec![Expected { retransmits: retransmits..=retransmits, ..ok(&socket, to) }]
}

/// Each attempt has the port that it really used.
fn again(number: u8) -> Vec<Expected> {
    let (_closed, nobody) = closed_port(loopback(number));
    let (_listener, to) = listener(loopback(number));
    let socket = tcp(to.ip());
    let mut rows = Vec::new();
    for _ in 0..3 {
        assert_eq!(connect(&socket, nobody), libc::ECONNREFUSED);
        rows.push(row(nobody, Local::Some, "ECONNREFUSED"));
    }
    assert_eq!(connect(&socket, to), 0);
    rows.push(ok(&socket, to));
    rows
}

fn no_attempts(number: u8) -> Vec<Expected> {
    let (_listener, to) = listener(loopback(number));
    let socket = tcp(to.ip());
    assert_eq!(connect(&socket, to), 0);
    let rows = vec![ok(&socket, to)];
    assert_eq!(connect(&socket, to), libc::EISCONN);
    assert_eq!(dissolve(&socket), 0);
    rows
}

/// Both ends are the same socket.
fn itself(number: u8) -> Vec<Expected> {
    let (socket, local) = bound(loopback(number).into());
    assert_eq!(connect(&socket, local), 0);
    vec![row(local, Local::Is(local), "OK")]
}

fn fast_open_sendto(number: u8) -> Vec<Expected> {
    let (_listener, to) = listener(loopback(number));
    let mut rows = Vec::new();
    for _ in 0..2 {
        let socket = tcp(to.ip());
        let sent = socket.send_to_with_flags(b"hello", &to.into(), libc::MSG_FASTOPEN);
        assert_eq!(sent.unwrap(), 5);
        rows.push(ok(&socket, to));
    }
    let (_closed, nobody) = closed_port(loopback(number));
    let (socket, local) = bound(loopback(number).into());
    let sent = socket.send_to_with_flags(b"hello", &nobody.into(), libc::MSG_FASTOPEN);
    assert_eq!(errno(sent.map(drop)), libc::ECONNREFUSED);
    rows.push(row(nobody, Local::Is(local), "ECONNREFUSED"));
    rows
}

fn fast_open_option(number: u8) -> Vec<Expected> {
    use std::io::Write;
    let (listener, to) = listener(loopback(number));
    set_option(&listener, libc::SOL_TCP, libc::TCP_FASTOPEN, &16i32);
    let mut rows = Vec::new();
    // The first one fetches the cookie, the later ones send data with the SYN.
    for _ in 0..3 {
        let mut socket = tcp(to.ip());
        set_option(&socket, libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, &1i32);
        assert_eq!(connect(&socket, to), 0);
        socket.write_all(b"hello").unwrap();
        wait_writable(&socket);
        rows.push(ok(&socket, to));
    }
    rows
}

/// One row, not one for the connection and one for its subflow.
fn mptcp(number: u8) -> Vec<Expected> {
    let protocol = Some(Protocol::from(libc::IPPROTO_MPTCP));
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, protocol);
    let Ok(server) = socket() else {
        assert!(!std::path::Path::new("/proc/sys/net/mptcp/enabled").exists());
        skip!(skip::NO_MPTCP, Vec::new());
    };
    server.bind(&SocketAddr::new(loopback(number).into(), 0).into()).unwrap();
    server.listen(16).unwrap();
    let to = local_addr(&server);
    let client = socket().unwrap();
    assert_eq!(connect(&client, to), 0);
    let mut rows = vec![Expected { mptcp: true, ..ok(&client, to) }];

    let (_closed, nobody) = closed_port(loopback(number));
    let client = socket().unwrap();
    assert_eq!(connect(&client, nobody), libc::ECONNREFUSED);
    rows.push(Expected { mptcp: true, ..row(nobody, Local::Some, "ECONNREFUSED") });

    let (_hole, silent) = black_hole(loopback(number));
    let client = socket().unwrap();
    assert_eq!(begin(&client, silent), libc::EINPROGRESS);
    drop(client);
    rows.push(Expected { mptcp: true, ..given_up(silent, Local::Some, "ABORTED") });
    rows
}

fn io_uring(number: u8) -> Vec<Expected> {
    let Ok(mut ring) = io_uring::IoUring::new(4) else {
        assert!(crate::harness::in_vm(), "io_uring has to work here");
        skip!(skip::NO_IO_URING, Vec::new());
    };
    let (_listener, to) = listener(loopback(number));
    let (_closed, nobody) = closed_port(loopback(number));
    let mut rows = Vec::new();
    for (to, expected) in [(to, 0), (nobody, -libc::ECONNREFUSED)] {
        let (socket, local) = bound(loopback(number).into());
        let address = socket2::SockAddr::from(to);
        let fd = io_uring::types::Fd(socket.as_raw_fd());
        let entry = io_uring::opcode::Connect::new(fd, address.as_ptr().cast(), address.len());
        // SAFETY: the address lives until the call is complete.
        unsafe { ring.submission().push(&entry.build()) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        assert_eq!(ring.completion().next().unwrap().result(), expected);
        rows.push(row(to, Local::Is(local), if expected == 0 { "OK" } else { "ECONNREFUSED" }));
    }
    rows
}

/// What must not show: other protocols, the accepting side, sockets handed over.
fn others(number: u8) -> Vec<Expected> {
    let udp = std::net::UdpSocket::bind((loopback(number), 0)).unwrap();
    udp.connect((loopback(number), 9)).unwrap();
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(one);
    let path = format!("\0snoop-test-{}-{number}", std::process::id());
    let unix = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let name = socket2::SockAddr::unix(&path).unwrap();
    unix.bind(&name).unwrap();
    unix.listen(1).unwrap();
    Socket::new(Domain::UNIX, Type::STREAM, None).unwrap().connect(&name).unwrap();
    let missing = socket2::SockAddr::unix("\0snoop-test-nobody").unwrap();
    assert!(Socket::new(Domain::UNIX, Type::STREAM, None).unwrap().connect(&missing).is_err());

    // Of a connection only the side that connects shows.
    let (server, to) = listener(loopback(number));
    let client = tcp(to.ip());
    assert_eq!(connect(&client, to), 0);
    let (accepted, _) = server.accept().unwrap();
    // SAFETY: borrowed; `accepted` closes it.
    let same = ManuallyDrop::new(unsafe { Socket::from_raw_fd(accepted.as_raw_fd()) });
    assert_eq!(local_addr(&same), to);
    vec![ok(&client, to)]
}
