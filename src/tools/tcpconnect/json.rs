//! Attempts as JSON Lines: `network.connect`.

use super::{Connect, Endpoint};
use crate::output::json::{Container, ErrorType, EventName, Id, Process, is_false};
use crate::skel::connect_flag;

/// What a row shows besides the record itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Event time, RFC 3339
    pub timestamp: &'a str,
    /// Path of the caller's cgroup if known
    pub cgroup: Option<&'a [u8]>,
    /// The host name, for `--dns`
    pub peer_name: Option<&'a str>,
    /// Name of the port, for `--services`
    pub service: Option<&'a str>,
}

/// `network.connect` of JSON Lines.
#[derive(serde::Serialize)]
pub struct ConnectJson<'a> {
    timestamp: &'a str,
    event: EventName,
    process: Process<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    thread: Id,
    network: Network<'a>,
    connect: Details,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorType>,
}

#[derive(serde::Serialize)]
struct Network<'a> {
    transport: &'static str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<EndpointJson<'a>>,
    peer: EndpointJson<'a>,
    namespace: Namespace,
}

/// `address`, `port`, and their names.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EndpointJson<'a> {
    address: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
}

impl<'a> EndpointJson<'a> {
    /// An address and a port, with their names if they are known.
    pub fn new(end: Endpoint, name: Option<&'a str>, service: Option<&'a str>) -> Self {
        Self { address: end.address.to_string(), port: end.port, name, service }
    }
}

#[derive(serde::Serialize)]
struct Namespace {
    inode: u32,
}

#[derive(serde::Serialize)]
struct Details {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ns: Option<u64>,
    /// This machine refused the attempt: no SYN was sent
    #[serde(skip_serializing_if = "is_false")]
    no_syn: bool,
    #[serde(skip_serializing_if = "is_false")]
    mptcp: bool,
    /// Begun before tracing: `duration_ns` is a few milliseconds off
    #[serde(skip_serializing_if = "is_false")]
    earlier: bool,
    /// `kernel` if the kernel called, not the process itself
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
}

/// The JSON form of a row.
pub fn row<'a>(connect: &'a Connect, context: &Context<'a>) -> ConnectJson<'a> {
    let peer = connect.peer();
    ConnectJson {
        timestamp: context.timestamp,
        event: EventName { name: "network.connect" },
        process: Process::new(&connect.id, context.cgroup),
        container: Container::of(context.cgroup),
        thread: Id { id: connect.id.tid },
        network: Network {
            transport: "tcp",
            r#type: if peer.address.is_ipv4() { "ipv4" } else { "ipv6" },
            local: connect.local().map(|local| EndpointJson::new(local, None, None)),
            peer: EndpointJson::new(peer, context.peer_name, context.service),
            namespace: Namespace { inode: connect.event.netns },
        },
        connect: Details {
            outcome: connect.outcome(),
            duration_ns: connect.duration_ns(),
            retransmits: connect.retransmits(),
            rtt_ns: connect.rtt_ns(),
            no_syn: connect.is(connect_flag::CONNECT_NO_SYN),
            mptcp: connect.is(connect_flag::CONNECT_MPTCP),
            earlier: connect.is(connect_flag::CONNECT_EARLIER),
            origin: connect.is(connect_flag::CONNECT_KERNEL).then_some("kernel"),
        },
        error: connect.error().map(|name| ErrorType { r#type: name }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::skel::connect_outcome;
    use crate::tools::tcpconnect::testing::{attempt, endpoint};

    #[test]
    fn keys_follow_the_contract() {
        let refused = attempt(endpoint("10.0.0.1", 443), |event| {
            event.outcome = connect_outcome::CONNECT_FAILED;
            event.error = 111;
            event.local_port = 40000;
            event.local.bytes[0] = 10;
            event.netns = 7;
            event.id.pid = 12;
            event.id.vpid = 12;
            event.id.comm[0] = b'x';
        });
        let context = Context {
            timestamp: "now",
            peer_name: Some("example.org"),
            service: Some("https"),
            ..Context::default()
        };
        let value = serde_json::to_value(row(&refused, &context)).unwrap();
        let expected = json!({
            "timestamp": "now",
            "event": { "name": "network.connect" },
            "process": {
                "pid": 12, "parent_pid": 0, "comm": "x", "user": { "id": 0 },
                "real_user": { "id": 0 }
            },
            "thread": { "id": 0 },
            "network": {
                "transport": "tcp", "type": "ipv4",
                "local": { "address": "10.0.0.0", "port": 40000 },
                "peer": {
                    "address": "10.0.0.1", "port": 443, "name": "example.org", "service": "https"
                },
                "namespace": { "inode": 7 }
            },
            "connect": { "outcome": "failed", "duration_ns": 1_500_000, "retransmits": 0 },
            "error": { "type": "ECONNREFUSED" }
        });
        assert_eq!(value, expected);
    }
}
