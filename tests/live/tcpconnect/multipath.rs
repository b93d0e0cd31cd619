//! Further subflows of multipath connections, which the kernel's path manager opens: they belong to
//! the connection's owner.

use std::net::Ipv4Addr;

use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::*;
use super::*;

/// Where further subflows come from.
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// What the path manager is told, by netlink: the `ip` of busybox cannot.
mod path_manager {
    use std::net::Ipv4Addr;
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
        socket,
    };

    const CONTROLLER: u16 = 0x10;
    const GET_FAMILY: u8 = 3;
    const FAMILY_ID: u16 = 1;
    const FAMILY_NAME: u16 = 2;
    const ADD_ENDPOINT: u8 = 1;
    const SET_LIMITS: u8 = 5;
    const IS_SUBFLOW: u32 = 2;

    /// Further subflows of each connection: two.
    pub fn allow() {
        let two = 2u32.to_ne_bytes();
        let limits = [attribute(2, &two), attribute(3, &two)].concat();
        request(family(), SET_LIMITS, &limits);
    }

    /// Another address that connections have subflows from.
    pub fn add_endpoint(from: Ipv4Addr) {
        let endpoint = [
            attribute(1, &(libc::AF_INET as u16).to_ne_bytes()),
            attribute(3, &from.octets()),
            attribute(6, &IS_SUBFLOW.to_ne_bytes()),
        ]
        .concat();
        request(family(), ADD_ENDPOINT, &attribute(1 | libc::NLA_F_NESTED as u16, &endpoint));
    }

    fn family() -> u16 {
        let reply = request(CONTROLLER, GET_FAMILY, &attribute(FAMILY_NAME, b"mptcp_pm\0"));
        let mut rest = &reply[20..];
        loop {
            let word = |at: usize| u16::from_ne_bytes([rest[at], rest[at + 1]]);
            if word(2) == FAMILY_ID {
                return word(4);
            }
            rest = &rest[usize::from(word(0)).next_multiple_of(4)..];
        }
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// The first message that comes back; the kernel has to be content.
    fn request(kind: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut message = (20 + attributes.len() as u32).to_ne_bytes().to_vec();
        message.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        message.extend([0; 8]); // sequence number, port
        message.extend([command, 1, 0, 0]);
        message.extend(attributes);
        let family = AddressFamily::Netlink;
        let generic = SockProtocol::NetlinkGeneric;
        let fd = socket(family, SockType::Raw, SockFlag::empty(), generic).unwrap();
        let kernel = NetlinkAddr::new(0, 0);
        sendto(fd.as_raw_fd(), &message, &kernel, MsgFlags::empty()).unwrap();
        let mut reply = vec![0; 4096];
        let len = recv(fd.as_raw_fd(), &mut reply, MsgFlags::empty()).unwrap();
        reply.truncate(len);
        if reply[4..6] == (libc::NLMSG_ERROR as u16).to_ne_bytes() {
            assert_eq!(reply[16..20], [0; 4], "the kernel refuses");
        }
        reply
    }
}

/// False where the kernel has no Multipath TCP.
fn has_multipath() -> bool {
    std::path::Path::new("/proc/sys/net/mptcp/enabled").exists()
}

fn socket() -> Socket {
    let protocol = Some(Protocol::from(libc::IPPROTO_MPTCP));
    Socket::new(Domain::IPV4, Type::STREAM, protocol).unwrap()
}

/// A multipath connection of this process, whose peer knows that it is one.
pub(super) struct Connection {
    client: Socket,
    to: SocketAddr,
    _server: [Socket; 2],
}

impl Connection {
    pub(super) fn new() -> Self {
        let server = socket();
        server.bind(&SocketAddr::new(loopback(1).into(), 0).into()).unwrap();
        server.listen(16).unwrap();
        let to = local_addr(&server);
        let client = socket();
        assert_eq!(connect(&client, to), 0);
        let (accepted, _) = server.accept().unwrap();
        for (one, other) in [(&accepted, &client), (&client, &accepted)] {
            one.send(b"hello").unwrap();
            let mut buffer = [std::mem::MaybeUninit::uninit(); 5];
            assert_eq!(other.recv(&mut buffer).unwrap(), 5);
        }
        Self { client, to, _server: [server, accepted] }
    }

    /// Waits until the second subflow is there.
    pub(super) fn wait_for_second(&self) {
        let from = format!(" {:08X}:", u32::from(SECOND).swap_bytes());
        let to = format!("{:04X} 01 ", self.to.port());
        eventually("the second subflow", || {
            let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
            table.lines().any(|line| line.contains(&from) && line.contains(&to))
        });
    }

    /// Rows of the connection itself. Its server may try a subflow of its own, to a port where nobody
    /// listens.
    pub(super) fn rows<'a>(&self, trace: &'a Trace) -> Vec<&'a Value> {
        trace.is_complete();
        let (ours, theirs): (Vec<_>, Vec<_>) =
            trace.events.iter().partition(|row| peer(row) == self.to);
        for row in theirs {
            assert_eq!(peer(row), local_addr(&self.client), "{row}");
            assert_eq!(row["connect"]["origin"], "kernel", "{row}");
        }
        ours
    }
}

fn is_ours(row: &Value) -> bool {
    pid(row) == u64::from(std::process::id())
}

#[test]
fn subflows_pass_the_filters_of_the_owner() {
    if !has_multipath() {
        skip!(skip::NO_MPTCP);
    }
    let me = std::process::id().to_string();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    // One answer counts for all filters: that of when the connection was opened.
    let own = [&[][..], &["-p", &me], &["--comm", comm.trim_end()], &["--tree", &me]];
    let others = [&["-p", "1"][..], &["-u", "nobody"]];
    each_backend(|setup| {
        in_new_netns(|netns| {
            path_manager::allow();
            path_manager::add_endpoint(SECOND);
            let rows = |flags: &[&str]| {
                let mut connection = None;
                let trace = watch(setup, netns, flags, || {
                    let made = connection.insert(Connection::new());
                    made.wait_for_second();
                });
                let rows = connection.unwrap().rows(&trace);
                rows.into_iter().cloned().collect::<Vec<_>>()
            };
            for flags in own {
                let rows = rows(flags);
                let [first, second] = &rows[..] else { panic!("{flags:?}: {rows:?}") };
                assert!(is_ours(first) && is_ours(second), "{flags:?}: {rows:?}");
                assert!(first["connect"]["origin"].is_null(), "{first}");
                assert_eq!(second["connect"]["origin"], "kernel", "{second}");
                assert_eq!(local(second).unwrap().ip(), SECOND, "{second}");
                assert_eq!(second["process"]["comm"], first["process"]["comm"], "{second}");
            }
            for flags in others {
                assert_eq!(rows(flags), [] as [Value; 0], "{flags:?}");
            }
        });
    });
}

/// Of a connection that is older than tracing it is known who has it open.
#[test]
fn subflows_of_earlier_connections() {
    if !has_multipath() {
        skip!(skip::NO_MPTCP);
    }
    let me = std::process::id().to_string();
    each_backend(|setup| {
        in_new_netns(|netns| {
            path_manager::allow();
            let connection = Connection::new();
            let trace = watch(setup, netns, &["-p", &me], || {
                path_manager::add_endpoint(SECOND);
                connection.wait_for_second();
            });
            let [row] = connection.rows(&trace)[..] else { panic!("{trace:?}") };
            assert!(is_ours(row), "{row}");
            assert_eq!(row["connect"]["origin"], "kernel", "{row}");
            assert_eq!(local(row).unwrap().ip(), SECOND, "{row}");
        });
    });
}
