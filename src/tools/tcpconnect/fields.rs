//! The fields of `network.connect`: columns of the table and keys of JSON Lines.

use super::Connect;
use super::args::Args;
use crate::output::row::{Field, Slot, View};
use crate::skel::connect_flag;

/// One attempt, and the names that belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The attempt
    pub connect: &'a Connect,
    /// Name of the destination, for `--dns`
    pub host: Option<&'a str>,
    /// Name of the destination port, for `--services`
    pub service: Option<&'a str>,
}

/// Writes a field.
pub type Put = fn(&Row<'_>, &mut Slot<'_, '_>);

/// All fields, in the order of the columns.
pub const FIELDS: &[Field<Put>] = &[
    Field::TIME,
    Field::SINCE,
    Field::UID,
    Field::PID,
    Field::TID,
    Field::COMM,
    Field::json("network.transport", "always tcp", |_, slot| slot.text("tcp")),
    Field::left(
        "IP",
        2,
        "network.type",
        "version of IP: 4 or 6, in JSON ipv4 or ipv6; IPv4 through an IPv6 socket is 4",
        |row, slot| {
            let is_ipv4 = row.connect.peer().address.is_ipv4();
            slot.cell(|line| line.text(if is_ipv4 { "4" } else { "6" }));
            slot.text(if is_ipv4 { "ipv4" } else { "ipv6" });
        },
    ),
    Field::left(
        "SADDR",
        15,
        "network.local.address",
        "local address; absent if the kernel had not chosen one yet",
        |row, slot| {
            if let Some(local) = row.connect.local() {
                slot.value(local.address);
            }
        },
    ),
    Field::left(
        "SPORT",
        5,
        "network.local.port",
        "local port; absent if the local address is",
        |row, slot| slot.optional_number(row.connect.local().map(|local| local.port)),
    ),
    Field::left(
        "DADDR",
        15,
        "network.peer.address",
        "destination address; with --dns the table has the host name instead, if it is known",
        |row, slot| {
            if let Some(host) = row.host {
                slot.cell(|line| line.text(host));
            }
            slot.value(row.connect.peer().address);
        },
    ),
    Field::left(
        "DPORT",
        5,
        "network.peer.port",
        "destination port; with --services the table has its name instead, if there is one",
        |row, slot| {
            if let Some(service) = row.service {
                slot.cell(|line| line.text(service));
            }
            slot.number(row.connect.peer().port);
        },
    ),
    Field::json(
        "network.peer.name",
        "host name whose DNS answer had the destination address; only with --dns",
        |row, slot| slot.optional_text(row.host),
    ),
    Field::json(
        "network.peer.service",
        "name of the destination port in /etc/services; only with --services",
        |row, slot| slot.optional_text(row.service),
    ),
    Field::left(
        "RESULT",
        13,
        "",
        "outcome in one word: OK; the name of the error that the caller gets; ABORTED if the \
         caller closed the socket, gave up or died; PENDING if there was no answer when tracing \
         ended; FAILED if the kernel did not report an error",
        |row, slot| match row.connect.has_failed() {
            true => slot.failure(&row.connect.result()),
            false => slot.text(&row.connect.result()),
        },
    ),
    Field::json(
        "connect.outcome",
        "established, failed, aborted (the caller closed the socket, gave up or died) or pending \
         (no answer when tracing ended)",
        |row, slot| slot.text(row.connect.outcome()),
    ),
    Field::right(
        "LAT(ms)",
        9,
        "connect.duration_ns",
        "time from the first SYN to the outcome, in milliseconds, in JSON nanoseconds; absent if \
         no SYN was sent",
        |row, slot| slot.optional_millis(row.connect.duration_ns()),
    ),
    Field::right(
        "RTT(ms)",
        9,
        "connect.rtt_ns",
        "round-trip time of the handshake as TCP measured it, in milliseconds, in JSON \
         nanoseconds; absent if TCP did not measure it",
        |row, slot| slot.optional_millis(row.connect.rtt_ns()),
    ),
    Field::right(
        "RETRIES",
        7,
        "connect.retransmits",
        "number of SYNs that were sent again; absent if the socket could not be read",
        |row, slot| slot.optional_number(row.connect.retransmits()),
    ),
    Field::json(
        "connect.no_syn",
        "true if this machine refused the attempt before it sent a SYN; otherwise absent",
        |row, slot| slot.flag(row.connect.is(connect_flag::CONNECT_NO_SYN)),
    ),
    Field::json(
        "connect.mptcp",
        "true if the attempt was for Multipath TCP; otherwise absent",
        |row, slot| slot.flag(row.connect.is(connect_flag::CONNECT_MPTCP)),
    ),
    Field::json(
        "connect.earlier",
        "true if the attempt began before tracing did, so that connect.duration_ns is a few \
         milliseconds off; otherwise absent",
        |row, slot| slot.flag(row.connect.is(connect_flag::CONNECT_EARLIER)),
    ),
    Field::json(
        "connect.origin",
        "kernel if a thread of the kernel made the attempt; otherwise absent",
        |row, slot| {
            let is_kernel = row.connect.is(connect_flag::CONNECT_KERNEL);
            slot.optional_text(is_kernel.then_some("kernel"));
        },
    ),
    Field::left(
        "NETNS",
        10,
        "network.namespace.inode",
        "inode number of the network namespace, as in /proc/PID/ns/net",
        |row, slot| slot.number(row.connect.event.netns),
    ),
    Field::CGROUP,
    Field::json(
        "error.type",
        "name of the error, such as ECONNREFUSED; absent if there was none, or the kernel did not \
         report it",
        |row, slot| slot.optional_text(row.connect.error().as_deref()),
    ),
];

/// The fields that `args` ask for.
pub fn view(args: &Args) -> View<Put> {
    // An IPv6 address has up to 39 characters, but mostly much less.
    let address = if args.ipv6 { 39 } else { 15 };
    View::new(FIELDS.iter().copied(), |column| {
        column.width = match column.title {
            "SADDR" => address,
            "DADDR" if args.dns => address.max(30),
            "DADDR" => address,
            "DPORT" if args.services => 12,
            _ => column.width,
        };
        match column.title {
            "TIME" => args.time,
            "TIME(s)" => args.common.timestamp,
            "UID" => args.print_uid,
            "TID" => args.print_tid,
            "RTT(ms)" => args.print_rtt,
            "RETRIES" => args.print_retries,
            "NETNS" => args.print_netns,
            "CGROUP" => args.print_cgroup,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::output::row::Common;
    use crate::skel::connect_outcome;
    use crate::tools::tcpconnect::testing::{attempt, endpoint};

    fn refused() -> Connect {
        attempt(endpoint("10.0.0.1", 443), |event| {
            event.outcome = connect_outcome::CONNECT_FAILED;
            event.error = 111;
            event.local_port = 40000;
            event.local.bytes[0] = 10;
            event.netns = 7;
            event.id.pid = 12;
            event.id.vpid = 12;
            event.id.comm[0] = b'x';
        })
    }

    fn shown(flags: &[&str], row: &Row<'_>) -> String {
        let args = Args::try_parse_from(["tcpconnect"].iter().chain(flags)).unwrap();
        let id = &row.connect.id;
        let common =
            Common { id, event: "network.connect", time: "now", since_ns: 0, cgroup: None };
        view(&args).line(args.common.json, &common, row)
    }

    #[test]
    fn keys_follow_the_contract() {
        let row = Row { connect: &refused(), host: Some("example.org"), service: Some("https") };
        let value: Value = serde_json::from_str(&shown(&["--json"], &row)).unwrap();
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

    #[test]
    fn members_that_are_not_always_there() {
        let connect = attempt(endpoint("::1", 1), |event| {
            event.outcome = connect_outcome::CONNECT_ABORTED;
            event.rtt_us = 3;
            event.flags = connect_flag(
                connect_flag::CONNECT_NO_SYN.0
                    | connect_flag::CONNECT_UNSEEN.0
                    | connect_flag::CONNECT_MPTCP.0
                    | connect_flag::CONNECT_EARLIER.0
                    | connect_flag::CONNECT_KERNEL.0,
            );
        });
        let row = Row { connect: &connect, host: None, service: None };
        let value: Value = serde_json::from_str(&shown(&["--json"], &row)).unwrap();
        let network = json!({
            "transport": "tcp", "type": "ipv6", "peer": { "address": "::1", "port": 1 },
            "namespace": { "inode": 0 }
        });
        let connect = json!({
            "outcome": "aborted", "rtt_ns": 3000, "no_syn": true, "mptcp": true, "earlier": true,
            "origin": "kernel"
        });
        assert_eq!((&value["network"], &value["connect"]), (&network, &connect));
        assert_eq!(value.get("error"), None);
    }

    #[test]
    fn cells_of_the_table() {
        let row = Row { connect: &refused(), host: None, service: None };
        assert_eq!(
            shown(&[], &row),
            "12      x                4  10.0.0.0        40000 10.0.0.1        443   \
             ECONNREFUSED      1.500\n"
        );
        let named = Row { host: Some("example.org"), service: Some("https"), ..row };
        let flags = ["--dns", "--services", "--print-retries", "--print-netns", "--print-cgroup"];
        assert_eq!(
            shown(&flags, &named),
            "12      x                4  10.0.0.0        40000 example.org                    \
             https        ECONNREFUSED      1.500       0 7          -\n"
        );
        let pending = attempt(endpoint("::1", 1), |event| {
            event.outcome = connect_outcome::CONNECT_PENDING;
            event.flags =
                connect_flag(connect_flag::CONNECT_NO_SYN.0 | connect_flag::CONNECT_UNSEEN.0);
        });
        let row = Row { connect: &pending, host: None, service: None };
        let flags = ["-T", "-t", "-U", "--print-tid", "--print-rtt", "--print-retries"];
        assert_eq!(
            shown(&flags, &row),
            "now      0.000    0      0       0       -                6  -               -     \
             ::1             1     PENDING               -         -       -\n"
        );
    }
}
