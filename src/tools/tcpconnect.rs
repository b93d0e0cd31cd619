//! Attempts to connect by TCP: from a record of `tcpconnect.bpf.c` to its parts.

pub mod args;
pub mod destination;
pub mod earlier;
pub mod fields;
pub mod filter;
pub mod names;
pub mod pending;
pub mod recorded;
pub mod replay;
pub mod report;
pub mod siblings;
pub mod summary;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::host::dns::Asker;
use crate::host::errno;
use crate::output::escape::until_nul;
use crate::skel::{Event as _, connect_end, connect_event, connect_flag, connect_outcome, task_id};

/// One attempt.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The record
    pub event: connect_event,
    /// The caller, and the time of the end
    pub id: task_id,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address
    pub address: IpAddr,
    /// The index of the interface to which a link-local address belongs; otherwise 0
    pub interface: u32,
    /// Its port; 0 if it is not known, or not chosen yet
    pub port: u16,
}

impl Endpoint {
    /// `None`: there is no such end.
    fn new(end: &connect_end) -> Option<Self> {
        let address = match i32::from(end.family) {
            libc::AF_INET => {
                let [a, b, c, d, ..] = end.address.bytes;
                Ipv4Addr::new(a, b, c, d).into()
            }
            libc::AF_INET6 => Ipv6Addr::from(end.address.bytes).into(),
            _ => return None,
        };
        Some(Self { address, interface: end.interface, port: end.port })
    }

    /// The port, if it is known.
    pub fn known_port(&self) -> Option<u16> {
        (self.port != 0).then_some(self.port)
    }
}

impl Connect {
    /// Decodes a record, which may have padding behind it.
    pub fn decode(record: &[u8]) -> Result<Self> {
        let (id, event) = connect_event::decode(record)?;
        Ok(Self { event, id })
    }

    /// Whether `flag` is set.
    pub fn is(&self, flag: connect_flag) -> bool {
        self.event.flags.0 & flag.0 != 0
    }

    /// The destination of the socket.
    pub fn peer(&self) -> Endpoint {
        const NOWHERE: Endpoint =
            Endpoint { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), interface: 0, port: 0 };
        Endpoint::new(&self.event.peer).unwrap_or(NOWHERE)
    }

    /// Its port; `None` if the call was refused, and only the address is known.
    pub fn peer_port(&self) -> Option<u16> {
        let port = self.peer().port;
        (port != 0 || !self.is(connect_flag::CONNECT_NO_SYN)).then_some(port)
    }

    /// What the application asked for, if that is another destination.
    pub fn asked(&self) -> Option<Endpoint> {
        Endpoint::new(&self.event.asked)
    }

    /// The name of the interface that a link-local destination belongs to.
    pub fn interface_name(&self) -> Option<&[u8]> {
        Some(until_nul(&self.event.interface_name)).filter(|name| !name.is_empty())
    }

    /// The source; `None` if the kernel had not chosen it yet.
    pub fn local(&self) -> Option<Endpoint> {
        let local = Endpoint::new(&self.event.local)?;
        (local.port != 0 || !local.address.is_unspecified()).then_some(local)
    }

    /// The process, as one that may have asked for names.
    pub fn process(&self) -> Asker {
        Asker { pid: self.id.pid, start_ns: self.id.start_ns }
    }

    /// Whether a connection was made.
    pub fn is_established(&self) -> bool {
        self.event.outcome == connect_outcome::CONNECT_ESTABLISHED
    }

    /// Whether the attempt failed, or was given up.
    pub fn has_failed(&self) -> bool {
        matches!(
            self.event.outcome,
            connect_outcome::CONNECT_FAILED | connect_outcome::CONNECT_ABORTED
        )
    }

    /// Whether there was no answer yet when tracing ended, or when it was last looked at.
    pub fn is_pending(&self) -> bool {
        matches!(
            self.event.outcome,
            connect_outcome::CONNECT_PENDING | connect_outcome::CONNECT_UNKNOWN
        )
    }

    /// When it began: `CLOCK_BOOTTIME` in nanoseconds.
    pub fn began_ns(&self) -> u64 {
        self.id.time_ns.saturating_sub(self.event.duration_ns)
    }

    /// Name of the error; `None` also if the kernel does not reveal it.
    pub fn error(&self) -> Option<Cow<'static, str>> {
        (self.event.error != 0).then(|| errno::name(self.event.error as i32))
    }

    /// `connect.outcome` in JSON.
    pub fn outcome(&self) -> &'static str {
        match self.event.outcome {
            connect_outcome::CONNECT_ESTABLISHED => "established",
            connect_outcome::CONNECT_ABORTED => "aborted",
            connect_outcome::CONNECT_PENDING => "pending",
            connect_outcome::CONNECT_UNKNOWN => "unknown",
            _ => "failed",
        }
    }

    /// The outcome in one word: `OK`, the error's name, `FAILED` if the error is unknown, `ABORTED`
    /// by the owner, `PENDING` when tracing ended, `UNKNOWN` if it was not followed.
    pub fn result(&self) -> Cow<'static, str> {
        match self.event.outcome {
            connect_outcome::CONNECT_ESTABLISHED => "OK".into(),
            connect_outcome::CONNECT_ABORTED => "ABORTED".into(),
            connect_outcome::CONNECT_PENDING => "PENDING".into(),
            connect_outcome::CONNECT_UNKNOWN => "UNKNOWN".into(),
            _ => self.error().unwrap_or("FAILED".into()),
        }
    }

    /// From beginning to end, in nanoseconds; `None` if no SYN was sent, or the end is unknown.
    pub fn duration_ns(&self) -> Option<u64> {
        let has_none = self.is(connect_flag::CONNECT_NO_SYN)
            || self.event.outcome == connect_outcome::CONNECT_UNKNOWN;
        (!has_none).then_some(self.event.duration_ns)
    }

    /// How long the application waited before it gave up; `None` if it did not, or died.
    pub fn gave_up_ns(&self) -> Option<u64> {
        let gave_up = self.event.outcome == connect_outcome::CONNECT_ABORTED
            && !self.is(connect_flag::CONNECT_EXITED);
        self.duration_ns().filter(|_| gave_up)
    }

    /// The number of SYNs sent again; `None` if the socket could not be read.
    pub fn retransmits(&self) -> Option<u32> {
        (!self.is(connect_flag::CONNECT_UNSEEN)).then_some(self.event.retransmits)
    }

    /// The round trip of the handshake, as TCP measured it, in nanoseconds.
    pub fn rtt_ns(&self) -> Option<u64> {
        (self.event.rtt_us != 0).then(|| u64::from(self.event.rtt_us) * 1000)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A record of an attempt to `peer`.
    pub(crate) fn attempt(peer: Endpoint, edit: impl FnOnce(&mut connect_event)) -> Connect {
        let mut event = connect_event {
            peer: end(peer),
            flags: connect_flag(0),
            duration_ns: 1_500_000,
            ..connect_event::default()
        };
        edit(&mut event);
        // SAFETY: integers without padding.
        let record = unsafe { plain::as_bytes(&event) };
        Connect::decode(record).unwrap()
    }

    pub(crate) fn end(endpoint: Endpoint) -> connect_end {
        let Endpoint { address, interface, port } = endpoint;
        let mut end = connect_end { interface, port, ..connect_end::default() };
        match address {
            IpAddr::V4(v4) => {
                end.family = libc::AF_INET as u16;
                end.address.bytes[..4].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                end.family = libc::AF_INET6 as u16;
                end.address.bytes = v6.octets();
            }
        }
        end
    }

    pub(crate) fn endpoint(address: &str, port: u16) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), interface: 0, port }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{attempt, end, endpoint};
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        for peer in [endpoint("10.1.2.3", 80), endpoint("2001:db8::1", 443)] {
            let connect = attempt(peer, |_| {});
            assert_eq!(connect.peer(), peer);
            assert_eq!((connect.local(), connect.asked()), (None, None));
        }
        let bound = endpoint("0.0.0.0", 7);
        let asked = endpoint("2001:db8::1", 443);
        let connect = attempt(endpoint("10.1.2.3", 80), |event| {
            event.local = end(bound);
            event.asked = end(asked);
        });
        assert_eq!((connect.local(), connect.asked()), (Some(bound), Some(asked)));
    }

    #[test]
    fn results_have_names() {
        let result = |outcome, error| {
            let edit = |event: &mut connect_event| {
                event.outcome = outcome;
                event.error = error;
            };
            attempt(endpoint("::1", 1), edit).result().into_owned()
        };
        assert_eq!(result(connect_outcome::CONNECT_ESTABLISHED, 0), "OK");
        assert_eq!(result(connect_outcome::CONNECT_FAILED, 111), "ECONNREFUSED");
        assert_eq!(result(connect_outcome::CONNECT_FAILED, 0), "FAILED");
        assert_eq!(result(connect_outcome::CONNECT_ABORTED, 0), "ABORTED");
        assert_eq!(result(connect_outcome::CONNECT_PENDING, 0), "PENDING");
        assert_eq!(result(connect_outcome::CONNECT_UNKNOWN, 0), "UNKNOWN");
    }

    #[test]
    fn without_a_syn_there_is_no_latency() {
        let connect = attempt(endpoint("::1", 1), |event| {
            event.flags = connect_flag::CONNECT_NO_SYN;
        });
        assert_eq!(connect.duration_ns(), None);
        assert_eq!(attempt(endpoint("::1", 1), |_| {}).duration_ns(), Some(1_500_000));
    }

    proptest! {
        #[test]
        fn any_record_can_be_shown(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(connect) = Connect::decode(&bytes) {
                let _ = (connect.result(), connect.peer(), connect.local(), connect.outcome());
            } else {
                prop_assert!(bytes.len() < size_of::<connect_event>());
            }
        }
    }
}
