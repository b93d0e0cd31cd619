//! Host names of addresses, learnt from the answers of DNS servers.
//!
//! We send no queries. A packet socket sees each answer from port 53 (UDP and TCP, IPv4 and IPv6)
//! that this machine receives, also from a local resolver on the loopback interface; the kernel
//! drops all other packets at once. So a process's destination gets the name for which the process
//! asked.
//!
//! Not visible are:
//!
//! - network namespaces other than that of the socket: the answers for containers with their own
//!   network go there (and pass us only if this machine itself receives them)
//! - encrypted DNS (TLS, HTTPS, QUIC), other ports, and caches that do not answer by DNS (nscd, a
//!   browser's own, `nss-resolve`); but the plain DNS answers that fill such a cache are visible
//! - answers from before the start, UDP answers in several IP fragments, and TCP
//!   connections of which a piece was lost (see [`PassiveDns::lost`])
//!
//! A name is a hint, not a proof: it is the last name that was asked for, by this process or else
//! by any on this machine, and that had this address in the answer. Anybody who can send packets from
//! port 53 to this machine can invent names.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

mod cache;
mod clock;
mod filter;
mod message;
mod packet;
mod socket;
mod stream;
#[cfg(test)]
mod testing;

use cache::Cache;
use clock::Clock;
use packet::Received;
use socket::PacketSocket;
use stream::Streams;

/// The longest IPv6 packet, except for jumbograms, which DNS does not use.
const MAX_PACKET: usize = 40 + 65_535;

/// The most packets that one call reads, so that a flood of packets does not keep the caller from
/// other work.
const MAX_PACKETS: usize = 1024;

/// For the same reason a call begins no packet after this time. Ordinary answers take a microsecond
/// each; forged ones, full of compressed names, up to some 20 ms for 64 KiB.
const MAX_TIME: Duration = Duration::from_millis(5);

/// A question to a DNS server, by what its answer says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// By TCP: the connection is meant, and `id` is 0
    pub is_tcp: bool,
    /// Port of the client
    pub client_port: u16,
    /// Id of the message
    pub id: u16,
}

/// The process that asked: its id, and the time of its birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Process id, initial PID namespace
    pub pid: u32,
    /// `CLOCK_BOOTTIME` in nanoseconds
    pub start_ns: u64,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// The name, in lower case, without the last dot, at most 255 bytes. All of it is visible
    /// ASCII: other characters are written as `\DDD`, a dot within a label as `\.` (RFC 1035, 5.1).
    /// International names are as on the wire, `xn--...`.
    pub name: &'a str,
    /// Time since the answer was received
    pub age_ns: u64,
    /// Whether the answer's time to live was over, which many programs do not heed. (It counts
    /// for at least ten seconds.)
    pub has_expired: bool,
    /// Whether this process asked, and not just any
    pub by_process: bool,
}

/// Names of addresses, from the answers so far.
pub struct PassiveDns {
    socket: PacketSocket,
    learner: Learner,
    buffer: Vec<u8>,
    clock: Clock,
}

impl PassiveDns {
    /// Begins to listen in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Without `CAP_NET_RAW`, or on a kernel without packet sockets; one line for people.
    pub fn open() -> Result<Self> {
        let socket = PacketSocket::open()?;
        Ok(Self {
            socket,
            learner: Learner::new(),
            buffer: vec![0; MAX_PACKET],
            clock: Clock::default(),
        })
    }

    /// Readable when there is something to [drain](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }

    /// Reads the waiting answers, without blocking. False if there may be more than one call reads;
    /// the descriptor then stays readable. `boot_ns` reads `CLOCK_BOOTTIME`; `who` tells which
    /// process asked, if it knows.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to hand over packets; no reason for that is known.
    pub fn drain(
        &mut self,
        boot_ns: fn() -> u64,
        who: impl Fn(Question) -> Option<Asker>,
    ) -> Result<bool> {
        let begin = Instant::now();
        self.clock.read(boot_ns);
        for _ in 0..MAX_PACKETS {
            match self.socket.receive(&mut self.buffer).context("receive DNS answers")? {
                Some((packet, received)) => {
                    self.learner.learn(packet, self.clock.boot_ns(received, boot_ns()), &who);
                }
                None => {
                    self.clock.all_read();
                    return Ok(true);
                }
            }
            if begin.elapsed() > MAX_TIME {
                break;
            }
        }
        Ok(false)
    }

    /// The last name that was answered with `address` before `at_ns`, `CLOCK_BOOTTIME`: one that
    /// `process` asked for, if there is any. Names are kept beyond their time to live, in a bounded
    /// number.
    pub fn name(&self, address: IpAddr, at_ns: u64, process: Asker) -> Option<Known<'_>> {
        self.learner.cache.name(address, at_ns, process)
    }

    /// Whether more than one address is known to be an answer for `name`.
    pub fn has_several_addresses(&self, name: &str) -> bool {
        self.learner.cache.has_several_addresses(name)
    }

    /// Packets from port 53 since the start, including the [lost](Self::lost) ones.
    pub fn received(&mut self) -> u64 {
        self.socket.counts().passed
    }

    /// Packets from port 53 since the start that found no room, because `drain` was not called
    /// often enough.
    pub fn lost(&mut self) -> u64 {
        self.socket.counts().lost
    }
}

/// From packets to the cache.
struct Learner {
    cache: Cache,
    streams: Streams,
}

/// Takes in packets, each with its length in two bytes before it, from wherever: for `make fuzz`.
#[cfg(fuzzing)]
pub fn learn_from(mut packets: &[u8]) {
    let mut learner = Learner::new();
    while let Some((&length, rest)) = packets.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(length)).min(rest.len());
        let (packet, rest) = rest.split_at(length);
        learner.learn(packet, 1, &|_| None);
        packets = rest;
    }
}

impl Learner {
    fn new() -> Self {
        Self { cache: Cache::new(), streams: Streams::default() }
    }

    fn learn(&mut self, packet: &[u8], at_ns: u64, who: &impl Fn(Question) -> Option<Asker>) {
        let cache = &mut self.cache;
        let mut learn = |message: &[u8], question: Question| {
            let Some(answer) = message::parse(message) else { return };
            let asker = who(question);
            for (address, ttl) in answer.addresses {
                cache.learn(address, &answer.name, ttl, asker, at_ns);
            }
        };
        match packet::parse(packet) {
            Some(Received::Datagram { client_port, message }) => {
                let id = message.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                learn(message, Question { is_tcp: false, client_port, id });
            }
            Some(Received::Segment(segment)) => {
                let client_port = segment.flow.client_port;
                let question = Question { is_tcp: true, client_port, id: 0 };
                self.streams.take(&segment, |message| learn(message, question));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{ipv4, ipv6, tcp, udp};
    use super::*;

    /// "a" is 192.0.2.`last`.
    fn answer(name: u8, last: u8) -> Vec<u8> {
        let mut message = b"\0\0\x80\0\0\x01\0\x01\0\0\0\0".to_vec();
        message.extend([1, name, 0, 0, 1, 0, 1]);
        message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02");
        message.push(last);
        message
    }

    #[test]
    fn names_are_learnt_over_udp_and_tcp() {
        const PROCESS: Asker = Asker { pid: 7, start_ns: 1 };
        let mut learner = Learner::new();
        let mut learn = |packet: Vec<u8>| {
            learner.learn(&packet, 5, &|question| {
                // Ports and ids of the packets of `testing` and of `answer`.
                let is_known = question.client_port == 1024 && question.id == 0;
                (is_known && question.is_tcp).then_some(PROCESS)
            });
        };
        let message = answer(b'c', 3);
        let stream = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        let (one, two) = stream.split_at(7);
        learn(ipv4(17, &udp(53, &answer(b'a', 1))));
        learn(ipv6(17, &udp(53, &answer(b'b', 2))));
        learn(ipv4(6, &tcp(53, 9, 0x12, b"")));
        learn(ipv4(6, &tcp(53, 10, 0x10, one)));
        learn(ipv4(6, &tcp(53, 17, 0x10, two)));
        for (last, name) in [(1, Some("a")), (2, Some("b")), (3, Some("c")), (4, None)] {
            let known = learner.cache.name([192, 0, 2, last].into(), 5, PROCESS);
            assert_eq!(known.map(|known| known.name), name);
            assert_eq!(known.is_some_and(|known| known.by_process), last == 3);
        }
    }
}
