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
//! An answer counts only if its question left this machine: by UDP with the same addresses, ports,
//! id and name, by TCP on a connection that began here; and only if its checksums are right, and it
//! is of no VLAN that this machine has not joined: the kernel drops others. So others cannot invent names unless they
//! see the questions, or answer them.
//!
//! A name is a hint, not a proof: it is the last name that was asked for, by this process or else
//! by any on this machine, and that had this address in the answer. A user of this machine may ask a
//! server of their own for any name, and so give it to an address that nobody else has asked for.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

mod answer;
mod cache;
mod checksum;
mod clock;
mod filter;
#[cfg_attr(not(feature = "dns"), path = "dns/no_message.rs")]
mod message;
mod packet;
mod question;
mod socket;
mod stream;
#[cfg(test)]
mod testing;

use cache::Cache;
use clock::Clock;
use packet::Received;
use socket::PacketSocket;
use stream::Streams;

/// Whether this build reads answers.
pub const IS_BUILT: bool = cfg!(feature = "dns");

/// The longest IPv6 packet, except for jumbograms, which DNS does not use.
const MAX_PACKET: usize = 40 + 65_535;

/// The most packets that one call reads, so that a flood of packets does not keep the caller from
/// other work.
const MAX_PACKETS: usize = 1024;

/// A question to a DNS server, by what its answer says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// By TCP: the connection is meant, and `id` is 0
    pub is_tcp: bool,
    /// Address of the client
    pub client: IpAddr,
    /// Address of the server
    pub server: IpAddr,
    /// Port of the client
    pub client_port: u16,
    /// Id of the message
    pub id: u16,
    /// The beginning of the name, as [`question`] makes it; zeros for TCP
    pub beginning: [u8; question::BEGINNING],
}

/// What is known of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Questions cannot be seen here: any answer counts
    Unseen,
    /// Nobody asked
    No,
    /// It left this machine
    Yes {
        /// Who asked, if that is known
        asker: Option<Asker>,
        /// UDP: the name as on the wire, and what is behind it in the message
        name: Vec<u8>,
        /// TCP: the sequence number of the SYN
        first_seq: u32,
    },
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
    /// the descriptor then stays readable. `boot_ns` reads `CLOCK_BOOTTIME`; `asked` tells whether
    /// a question was asked. `time`: what this call may take of the processor's time, from which it
    /// takes what it took.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to hand over packets; no reason for that is known.
    pub fn drain(
        &mut self,
        boot_ns: fn() -> u64,
        asked: impl Fn(Question) -> Asked,
        time: &mut Duration,
    ) -> Result<bool> {
        let begin = worked();
        let all = self.read_until(boot_ns, asked, begin + *time);
        *time = time.saturating_sub(worked().saturating_sub(begin));
        all
    }

    fn read_until(
        &mut self,
        boot_ns: fn() -> u64,
        asked: impl Fn(Question) -> Asked,
        until: Duration,
    ) -> Result<bool> {
        self.clock.read(boot_ns);
        for _ in 0..MAX_PACKETS {
            match self.socket.receive(&mut self.buffer).context("receive DNS answers")? {
                Some(packet) => {
                    let at_ns = self.clock.boot_ns(packet.received_ns, boot_ns());
                    if !packet.is_tagged && checksum::is_right(packet.bytes, packet.is_checked) {
                        self.learner.learn(packet.bytes, at_ns, &asked);
                    }
                }
                None => {
                    self.clock.all_read();
                    return Ok(true);
                }
            }
            if worked() >= until {
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

/// The time for which this thread has worked: on a busy machine others take much of the rest.
fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
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
        checksum::is_right(packet, false);
        learner.learn(packet, 1, &|_| Asked::Unseen);
        packets = rest;
    }
}

impl Learner {
    fn new() -> Self {
        Self { cache: Cache::new(), streams: Streams::default() }
    }

    fn learn(&mut self, packet: &[u8], at_ns: u64, asked: &impl Fn(Question) -> Asked) {
        let cache = &mut self.cache;
        let mut learn = |message: &[u8], asker: Option<Asker>| {
            let Some(answer) = message::parse(message) else { return };
            for (address, ttl) in answer.addresses {
                cache.learn(address, &answer.name, ttl, asker, at_ns);
            }
        };
        match packet::parse(packet) {
            Some(Received::Datagram { server, client, client_port, message }) => {
                let id = message.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                let beginning = question::beginning(message);
                let question =
                    Question { is_tcp: false, client, server, client_port, id, beginning };
                match asked(question) {
                    Asked::Unseen => learn(message, None),
                    Asked::Yes { asker, name, .. } if question::is_for(message, &name) => {
                        learn(message, asker);
                    }
                    Asked::Yes { .. } | Asked::No => {}
                }
            }
            Some(Received::Segment(segment)) => {
                let packet::Flow { server, client, client_port } = segment.flow;
                let (id, beginning) = (0, [0; question::BEGINNING]);
                let question =
                    Question { is_tcp: true, client, server, client_port, id, beginning };
                // Those that begin no connection belong to one that was asked for, or to none.
                let known = asked(question);
                let is_answer = match &known {
                    Asked::Unseen => true,
                    Asked::No => false,
                    Asked::Yes { first_seq, .. } => {
                        !segment.syn || segment.ack == Some(first_seq.wrapping_add(1))
                    }
                };
                let asker = match known {
                    Asked::Yes { asker, .. } => asker,
                    _ => None,
                };
                if is_answer {
                    self.streams.take(&segment, |message| learn(message, asker));
                }
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

    const PROCESS: Asker = Asker { pid: 7, start_ns: 1 };

    /// Packets of `testing` answer such a question, for "a" by UDP.
    fn asked(question: Question) -> Asked {
        let (four, six) = (question.server.is_ipv4(), question.server.is_ipv6());
        let server = if four { "192.0.2.53" } else { "2001:db8::53" };
        let client = if six { "2001:db8::1" } else { "192.0.2.1" };
        let is_it = (question.server.to_string().as_str(), question.client.to_string().as_str())
            == (server, client)
            && (question.client_port, question.id) == (1024, 0);
        if !is_it {
            return Asked::No;
        }
        let name = b"\x01a\0\0\x01\0\x01".to_vec();
        Asked::Yes { asker: Some(PROCESS), name, first_seq: 8 }
    }

    fn segments(message: &[u8], ack: u32) -> Vec<Vec<u8>> {
        let stream = [&(message.len() as u16).to_be_bytes()[..], message].concat();
        let (one, two) = stream.split_at(7);
        let mut begin = tcp(53, 9, 0x12, b"");
        begin[8..12].copy_from_slice(&ack.to_be_bytes());
        [begin, tcp(53, 10, 0x10, one), tcp(53, 17, 0x10, two)]
            .iter()
            .map(|segment| ipv4(6, segment))
            .collect()
    }

    #[test]
    fn names_are_learnt_over_udp_and_tcp() {
        let mut learner = Learner::new();
        let mut learn = |packet: &[u8]| learner.learn(packet, 5, &asked);
        learn(&ipv4(17, &udp(53, &answer(b'a', 1))));
        learn(&ipv6(17, &udp(53, &answer(b'A', 2))));
        segments(&answer(b'c', 3), 9).iter().for_each(|segment| learn(segment));
        for (last, name) in [(1, Some("a")), (2, Some("a")), (3, Some("c")), (4, None)] {
            let known = learner.cache.name([192, 0, 2, last].into(), 5, PROCESS);
            assert_eq!(known.map(|known| known.name), name);
            assert!(known.is_none_or(|known| known.by_process));
        }
    }

    /// What an answer must have in common with a question.
    #[test]
    fn what_nobody_asked_for_names_nothing() {
        let good = ipv4(17, &udp(53, &answer(b'a', 1)));
        let edited = |at: usize, value: u8| {
            let mut packet = good.clone();
            packet[at] = value;
            packet
        };
        let mut packets = vec![
            edited(15, 54),            // of another server
            edited(19, 2),             // to another address
            edited(23, 1),             // to another port
            edited(29, 1),             // with another id
            edited(20 + 8 + 13, b'b'), // for another name
        ];
        packets.extend(segments(&answer(b'a', 1), 10)); // of no connection of ours
        packets.extend(segments(&answer(b'a', 1), 9).split_off(1)); // or without its beginning
        let mut learner = Learner::new();
        for packet in &packets {
            learner.learn(packet, 5, &asked);
            assert_eq!(learner.cache.name([192, 0, 2, 1].into(), 5, PROCESS), None, "{packet:?}");
        }
        learner.learn(&good, 5, &asked);
        assert!(learner.cache.name([192, 0, 2, 1].into(), 5, PROCESS).is_some());
    }

    #[test]
    fn where_questions_cannot_be_seen_all_answers_count() {
        let mut learner = Learner::new();
        learner.learn(&ipv4(17, &udp(53, &answer(b'x', 1))), 5, &|_| Asked::Unseen);
        let known = learner.cache.name([192, 0, 2, 1].into(), 5, PROCESS).unwrap();
        assert_eq!((known.name, known.by_process), ("x", false));
    }
}
