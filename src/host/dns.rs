//! Host names of addresses, learnt from the answers of DNS servers as they come in.
//!
//! Nobody is asked. A packet socket sees each answer from port 53 (UDP and TCP, IPv4 and
//! IPv6) that this machine receives, those of a local resolver on the loopback interface
//! too; the kernel drops all other packets before they cost anything more. What a process
//! connects to after its question was answered can so be named as the process did.
//!
//! What cannot be seen:
//!
//! - other network namespaces than that in which the socket was opened: containers with
//!   their own network ask and are answered there (their answers are seen on their way
//!   only where this machine itself receives them)
//! - encrypted DNS (TLS, HTTPS, QUIC), other ports, and answers from a cache that does
//!   not answer by DNS (nscd, a browser's own, `nss-resolve`): but what fills a cache on
//!   this machine by plain DNS was seen
//! - answers from before the start, UDP answers in several IP fragments, and TCP
//!   connections of which a piece was lost (see [`PassiveDns::lost`])
//!
//! A name is a hint, not a proof: it is what somebody on this machine asked for last and
//! got this address, and whoever can send packets from port 53 to this machine can make
//! up names.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

mod cache;
mod filter;
mod message;
mod packet;
mod socket;
mod stream;
#[cfg(test)]
mod testing;

use cache::Cache;
use packet::Received;
use socket::PacketSocket;
use stream::Streams;

/// The longest IPv6 packet but for jumbograms, which DNS has no use for.
const MAX_PACKET: usize = 40 + 65_535;

/// Packets that one call reads at the most, so that a flood of them does not keep the
/// caller from its other work.
const MAX_PACKETS: usize = 1024;

/// For the same reason: no other packet is begun after that time. Ordinary answers take a
/// microsecond each; forged ones, full of compressed names, up to some 20 ms for 64 KiB.
const MAX_TIME: Duration = Duration::from_millis(5);

/// Names of addresses, as far as answers that came in told them.
pub struct PassiveDns {
    socket: PacketSocket,
    learner: Learner,
    buffer: Vec<u8>,
}

impl PassiveDns {
    /// Begins to listen in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// In one line for people: without `CAP_NET_RAW`, and on a kernel without packet sockets.
    pub fn open() -> Result<Self> {
        let socket = PacketSocket::open()?;
        Ok(Self { socket, learner: Learner::new(), buffer: vec![0; MAX_PACKET] })
    }

    /// Readable when there is something to [drain](Self::drain).
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }

    /// Reads the answers that have come in, without waiting. False if there may be more
    /// than one call reads; the descriptor stays readable then.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to give packets, for which no reason is known.
    pub fn drain(&mut self) -> Result<bool> {
        let now = Instant::now();
        for _ in 0..MAX_PACKETS {
            match self.socket.receive(&mut self.buffer).context("receive DNS answers")? {
                Some(packet) => self.learner.learn(packet, now),
                None => return Ok(true),
            }
            if now.elapsed() > MAX_TIME {
                break;
            }
        }
        Ok(false)
    }

    /// The name that was asked for when `addr` was the answer, the last one if there were
    /// several. Only if it was good `at` that instant: for its time to live since it was
    /// received, but for ten seconds at least and a day at most.
    ///
    /// In lower case, without the last dot, at most 255 bytes. All of it is visible ASCII:
    /// whatever else a name may contain is written as `\DDD`, a dot within a label as `\.`
    /// (RFC 1035, 5.1). International names are as on the wire, `xn--...`.
    pub fn name(&self, addr: IpAddr, at: Instant) -> Option<&str> {
        self.learner.cache.name(addr, at)
    }

    /// Packets from port 53 that have come in since the start, with those [lost](Self::lost).
    pub fn received(&mut self) -> u64 {
        self.socket.counts().passed
    }

    /// Packets from port 53 that came in since the start when there was no room for them,
    /// because `drain` was not called often enough.
    pub fn lost(&mut self) -> u64 {
        self.socket.counts().lost
    }
}

/// What becomes of packets.
struct Learner {
    cache: Cache,
    streams: Streams,
}

impl Learner {
    fn new() -> Self {
        Self { cache: Cache::new(), streams: Streams::default() }
    }

    fn learn(&mut self, packet: &[u8], now: Instant) {
        let cache = &mut self.cache;
        let mut learn = |message: &[u8]| {
            let Some(answer) = message::parse(message) else { return };
            for (address, ttl) in answer.addresses {
                cache.learn(address, &answer.name, ttl, now);
            }
        };
        match packet::parse(packet) {
            Some(Received::Datagram(message)) => learn(message),
            Some(Received::Segment(segment)) => self.streams.take(&segment, learn),
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
        let now = Instant::now();
        let mut learner = Learner::new();
        learner.learn(&ipv4(17, &udp(53, &answer(b'a', 1))), now);
        learner.learn(&ipv6(17, &udp(53, &answer(b'b', 2))), now);
        learner.learn(&ipv4(6, &tcp(53, 9, 0x12, b"")), now);
        let message = answer(b'c', 3);
        let stream = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        let (one, two) = stream.split_at(7);
        learner.learn(&ipv4(6, &tcp(53, 10, 0x10, one)), now);
        assert_eq!(learner.cache.name([192, 0, 2, 3].into(), now), None);
        learner.learn(&ipv4(6, &tcp(53, 17, 0x10, two)), now);
        for (last, name) in [(1, Some("a")), (2, Some("b")), (3, Some("c")), (4, None)] {
            assert_eq!(learner.cache.name([192, 0, 2, last].into(), now), name);
        }
    }
}
