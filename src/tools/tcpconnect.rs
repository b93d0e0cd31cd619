//! Attempts to connect by TCP: from a record of `tcpconnect.bpf.c` to its parts.

pub mod args;
pub mod earlier;
pub mod fields;
pub mod filter;
pub mod names;
pub mod pending;
pub mod report;
pub mod summary;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::host::errno;
use crate::skel::{
    Event as _, connect_address, connect_event, connect_flag, connect_outcome, task_id,
};

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
    /// Its port
    pub port: u16,
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

    /// The destination.
    pub fn peer(&self) -> Endpoint {
        Endpoint { address: self.address(&self.event.peer), port: self.event.peer_port }
    }

    /// The source; `None` if the kernel had not chosen it yet.
    pub fn local(&self) -> Option<Endpoint> {
        let local =
            Endpoint { address: self.address(&self.event.local), port: self.event.local_port };
        (local.port != 0 || !local.address.is_unspecified()).then_some(local)
    }

    fn address(&self, address: &connect_address) -> IpAddr {
        if i32::from(self.event.family) == libc::AF_INET6 {
            return Ipv6Addr::from(address.bytes).into();
        }
        let [a, b, c, d, ..] = address.bytes;
        Ipv4Addr::new(a, b, c, d).into()
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

    /// Whether there was no answer yet when tracing ended.
    pub fn is_pending(&self) -> bool {
        self.event.outcome == connect_outcome::CONNECT_PENDING
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
            _ => "failed",
        }
    }

    /// The outcome in one word: `OK`, the error's name, `FAILED` if the error is unknown, `ABORTED`
    /// by the owner, `PENDING` when tracing ended.
    pub fn result(&self) -> Cow<'static, str> {
        match self.event.outcome {
            connect_outcome::CONNECT_ESTABLISHED => "OK".into(),
            connect_outcome::CONNECT_ABORTED => "ABORTED".into(),
            connect_outcome::CONNECT_PENDING => "PENDING".into(),
            _ => self.error().unwrap_or("FAILED".into()),
        }
    }

    /// From beginning to end, in nanoseconds; `None` if no SYN was sent.
    pub fn duration_ns(&self) -> Option<u64> {
        (!self.is(connect_flag::CONNECT_NO_SYN)).then_some(self.event.duration_ns)
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
            peer_port: peer.port,
            flags: connect_flag(0),
            ..connect_event::default()
        };
        match peer.address {
            IpAddr::V4(v4) => {
                event.family = libc::AF_INET as u16;
                event.peer.bytes[..4].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                event.family = libc::AF_INET6 as u16;
                event.peer.bytes = v6.octets();
            }
        }
        event.duration_ns = 1_500_000;
        edit(&mut event);
        // SAFETY: integers without padding.
        let record = unsafe { plain::as_bytes(&event) };
        Connect::decode(record).unwrap()
    }

    pub(crate) fn endpoint(address: &str, port: u16) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), port }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{attempt, endpoint};
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        for peer in [endpoint("10.1.2.3", 80), endpoint("2001:db8::1", 443)] {
            let connect = attempt(peer, |_| {});
            assert_eq!(connect.peer(), peer);
            assert_eq!(connect.local(), None);
        }
        let bound = attempt(endpoint("10.1.2.3", 80), |event| event.local_port = 7);
        assert_eq!(bound.local(), Some(endpoint("0.0.0.0", 7)));
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
