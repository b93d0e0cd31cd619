//! The packet socket: answers as the machine receives them, from all interfaces.

use std::io::{self, IoSliceMut};
use std::mem::{offset_of, size_of};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use libc::{c_int, c_void, sock_filter, socklen_t};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, TimestampingFlag, Timestamps,
    recvmsg, setsockopt, socket, sockopt,
};

use super::filter::FILTER;

/// Bytes of the receive buffer. The kernel doubles this number for its bookkeeping of about a
/// kilobyte for each packet: room for some ten thousand answers.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The counts of `PACKET_STATISTICS`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Packets that passed the filter, including the lost ones
    pub(super) passed: u64,
    /// Packets that found the receive buffer full
    pub(super) lost: u64,
}

/// A packet socket with the filter in place.
pub(super) struct PacketSocket {
    fd: OwnedFd,
    counts: Counts,
}

impl PacketSocket {
    /// Needs `CAP_NET_RAW` in the user namespace that owns the network namespace.
    pub(super) fn open() -> Result<Self> {
        // Protocol 0 receives nothing: not one packet comes in before the filter is there.
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Packet, SockType::Datagram, flags, None).map_err(refused)?;
        attach(&fd, &FILTER).context("attach the filter for DNS answers")?;
        // The filter drops outgoing packets too, but this way the kernel does not even copy them.
        let on: c_int = 1;
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on)
            .context("have no outgoing packets (PACKET_IGNORE_OUTGOING)")?;
        // More than net.core.rmem_max needs CAP_NET_ADMIN.
        setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER))
            .context("set the size of the receive buffer for DNS answers")?;
        setsockopt(&fd, sockopt::Timestamping, &TIMES).context("have the times of DNS answers")?;
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)
            .context("have what is known of packets (PACKET_AUXDATA)")?;
        wait_for_times();
        bind(&fd).context("receive DNS answers from all interfaces")?;
        Ok(Self { fd, counts: Counts::default() })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The next packet; `None` if there is none now. One that does not fit into `buffer` is empty.
    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Packet<'a>>> {
        let mut control = nix::cmsg_space!(Timestamps, libc::tpacket_auxdata);
        let mut parts = [IoSliceMut::new(buffer)];
        // MSG_TRUNC: the length that the packet had.
        let flags = MsgFlags::MSG_TRUNC;
        let received = recvmsg::<()>(self.fd.as_raw_fd(), &mut parts, Some(&mut control), flags);
        let mut packet = Packet::default();
        let len = match received {
            Ok(message) => {
                message.cmsgs().into_iter().flatten().for_each(|known| packet.note(known));
                message.bytes
            }
            Err(Errno::EAGAIN) => return Ok(None),
            // ENETDOWN: an interface went away, and others stay.
            Err(Errno::EINTR | Errno::ENETDOWN) => 0,
            Err(error) => return Err(error.into()),
        };
        packet.bytes = buffer.get(..len).unwrap_or_default();
        Ok(Some(packet))
    }

    /// The counts since the start.
    pub(super) fn counts(&mut self) -> Counts {
        // Each call resets the kernel's counts. It cannot fail.
        let new = statistics(&self.fd).unwrap_or((0, 0));
        self.counts.passed = self.counts.passed.saturating_add(new.0.into());
        self.counts.lost = self.counts.lost.saturating_add(new.1.into());
        self.counts
    }
}

/// A packet, and what the kernel knows of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packet<'a> {
    /// From the IP header on
    pub(super) bytes: &'a [u8],
    /// When it was received, by the wall clock in nanoseconds, if the kernel has noted that
    pub(super) received_ns: Option<i128>,
    /// Whether its checksum behind the IP header needs no look: hardware has verified it, or will make it
    pub(super) is_checked: bool,
    /// It belongs to a VLAN. If this machine takes part in that, the packet comes once more, without
    /// this; if not, nobody gets it.
    pub(super) is_tagged: bool,
}

impl Packet<'_> {
    /// A control message.
    fn note(&mut self, known: ControlMessageOwned) {
        match known {
            ControlMessageOwned::ScmTimestampsns(times) => {
                let time = times.system;
                let ns = i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec());
                self.received_ns = Some(ns);
            }
            ControlMessageOwned::Unknown(other)
                if (other.cmsg_header.cmsg_level, other.cmsg_header.cmsg_type)
                    == (libc::SOL_PACKET, libc::PACKET_AUXDATA) =>
            {
                self.note_auxdata(&other.data_bytes);
            }
            _ => {}
        }
    }

    /// A `struct tpacket_auxdata`.
    fn note_auxdata(&mut self, data: &[u8]) -> Option<()> {
        /// Of a tag; the rest is a priority. 0: no VLAN
        const VLAN_ID: u16 = 0xfff;
        let status = data.get(offset_of!(libc::tpacket_auxdata, tp_status)..)?.first_chunk()?;
        let tag = data.get(offset_of!(libc::tpacket_auxdata, tp_vlan_tci)..)?.first_chunk()?;
        let has = |bits| u32::from_ne_bytes(*status) & bits != 0;
        self.is_checked = has(libc::TP_STATUS_CSUM_VALID | libc::TP_STATUS_CSUMNOTREADY);
        self.is_tagged = has(libc::TP_STATUS_VLAN_VALID) && u16::from_ne_bytes(*tag) & VLAN_ID != 0;
        Some(())
    }
}

/// The times that the kernel notes when packets come in. Packets without have none, unlike with
/// SO_TIMESTAMPNS, where they have the time at which they are read.
const TIMES: TimestampingFlag = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
    .union(TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE);

/// The kernel begins to note times a moment after the first socket wants that, and may leave it for a
/// moment if another socket has just ceased to; longer while it loads many BPF programs, which change
/// its code, too. So wait for a packet of our own that has one. Where no packet can be sent none is
/// waited for.
fn wait_for_times() {
    const LONGEST: Duration = Duration::from_secs(2);
    let until = Instant::now() + LONGEST;
    let Ok(probe) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return };
    let timeout = Some(Duration::from_millis(100));
    let is_ready = setsockopt(&probe, sockopt::Timestamping, &TIMES).is_ok()
        && probe.set_read_timeout(timeout).is_ok()
        && probe.local_addr().and_then(|own| probe.connect(own)).is_ok();
    let has_time = || {
        probe.send(&[0]).ok()?;
        let mut control = nix::cmsg_space!(Timestamps);
        let message =
            recvmsg::<()>(probe.as_raw_fd(), &mut [], Some(&mut control), MsgFlags::empty())
                .ok()?;
        let mut packet = Packet::default();
        message.cmsgs().ok()?.for_each(|known| packet.note(known));
        Some(packet.received_ns.is_some())
    };
    while Instant::now() < until {
        if !is_ready || has_time() != Some(false) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The reason for having no packet socket, and the remedy.
fn refused(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::EPERM | Errno::EACCES => anyhow!(
            "not permitted to receive DNS answers: CAP_NET_RAW missing; run it with sudo, or grant \
             the capability"
        ),
        Errno::EAFNOSUPPORT => anyhow!(
            "this kernel has no packet sockets, which DNS answers are received with: modprobe \
             af_packet, or use one that is built with CONFIG_PACKET"
        ),
        other => anyhow!("open a packet socket for DNS answers: {other}"),
    }
}

/// Attaches a classic BPF program to a socket of any kind.
pub(super) fn attach(socket: &impl AsFd, filter: &[sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        // The kernel copies it and writes nothing.
        filter: filter.as_ptr().cast_mut(),
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// `value` must be of the type that the option takes.
fn set_option<T>(socket: &impl AsFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let value: *const T = value;
    // SAFETY: the kernel reads no more than the size given of a value that is borrowed here.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            value.cast::<c_void>(),
            size_of::<T>() as socklen_t,
        )
    };
    Errno::result(result).map(drop).map_err(Into::into)
}

/// Packets that passed the filter, and the lost ones among them, since the last call.
fn statistics(socket: &OwnedFd) -> io::Result<(u32, u32)> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut size = size_of::<libc::tpacket_stats>() as socklen_t;
    // SAFETY: the kernel writes no more than `size` bytes, which is that of the struct.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast::<c_void>(),
            &raw mut size,
        )
    };
    Errno::result(result)?;
    Ok((statistics.tp_packets, statistics.tp_drops))
}

/// Receives packets of all protocols and interfaces from now on, as the filter allows.
fn bind(socket: &OwnedFd) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: 0, // all
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: an address of the size that is given with it.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    Errno::result(result).map(drop).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_one_line_with_the_way_out() {
        for (errno, way_out) in [
            (Errno::EPERM, "CAP_NET_RAW missing; run it with sudo"),
            (Errno::EAFNOSUPPORT, "modprobe af_packet"),
            (Errno::EMFILE, "EMFILE"),
        ] {
            let line = format!("{:#}", refused(errno));
            assert!(line.contains(way_out), "{line}");
            assert_eq!(line.lines().count(), 1);
        }
    }
}
