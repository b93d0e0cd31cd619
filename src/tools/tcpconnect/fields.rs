//! The fields of `network.connect`: columns of the table and keys of JSON Lines.

use super::args::Args;
use super::destination::{Host, addresses, ports, zoned};
use super::{Connect, Endpoint};
use crate::output::row::{Field, Slot, View};
use crate::skel::{connect_flag, connect_outcome};

/// One attempt, and the names that belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The attempt
    pub connect: &'a Connect,
    /// Name of the destination, for `--dns`
    pub host: Option<&'a Host>,
    /// Name of the destination port, for `--services`
    pub service: Option<&'a str>,
    /// Name of the port that was asked for, likewise
    pub asked_service: Option<&'a str>,
    /// Whether another attempt made up for it
    pub is_superseded: bool,
}

impl Row<'_> {
    /// The interface of a link-local destination.
    fn interface(&self) -> Option<u32> {
        Some(self.connect.peer().interface).filter(|index| *index != 0)
    }

    /// The interface of another end, if it is not that of the destination.
    fn other_interface(&self, end: Option<Endpoint>) -> Option<u32> {
        let index = end.map(|end| end.interface).filter(|index| *index != 0)?;
        (Some(index) != self.interface()).then_some(index)
    }

    fn ports(&self) -> String {
        let peer = self.connect.peer();
        let service = |end: Endpoint| match end == peer {
            true => self.service,
            false => self.asked_service,
        };
        ports(peer, self.connect.asked(), service)
    }
}

/// Writes a field.
pub type Put = fn(&Row<'_>, &mut Slot<'_, '_>);

/// All fields, in the order of the columns.
pub const FIELDS: &[Field<Put>] = &[
    Field::TIME,
    Field::SINCE,
    Field::UID,
    Field::LOGIN,
    Field::CONTAINER,
    Field::UNIT,
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
                // Both ends of a connection between link-local addresses have one link.
                let interface = row.connect.interface_name();
                slot.cell(|line| line.name(&zoned(local, interface)));
                slot.value(local.address);
            }
        },
    ),
    Field::left(
        "SPORT",
        5,
        "network.local.port",
        "local port; absent if the kernel had not chosen one yet, or found none",
        |row, slot| {
            slot.optional_number(row.connect.local().and_then(|local| local.known_port()));
        },
    ),
    Field::left(
        "DADDR",
        15,
        "network.peer.address",
        "destination address of the socket; in the table a link-local one with its interface, and \
         in front of it, as in 10.88.0.1->10.0.0.7, the address that the application asked for, \
         if that is another one",
        |row, slot| {
            let (peer, asked) = (row.connect.peer(), row.connect.asked());
            if peer.interface == 0 && asked.is_none() {
                return slot.value(peer.address);
            }
            let interface = row.connect.interface_name();
            slot.cell(|line| line.name(&addresses(peer, asked, interface)));
            slot.value(peer.address);
        },
    ),
    Field::left(
        "DPORT",
        5,
        "network.peer.port",
        "destination port of the socket; in the table with --services its name instead, if there \
         is one, and in front of it the port that the application asked for, if that is another \
         one; absent if the call was refused, and only the address is known",
        |row, slot| {
            if row.service.is_some() || row.connect.asked().is_some() {
                slot.cell(|line| line.text(&row.ports()));
            }
            slot.optional_number(row.connect.peer_port());
        },
    ),
    Field::json(
        "server.address",
        "address that the application asked for, if the socket got another one: from a BPF \
         program of the cgroup, such as a load balancer's, or from the kernel in place of 0.0.0.0 \
         or ::; otherwise absent",
        |row, slot| {
            if let Some(asked) = row.connect.asked() {
                slot.value(asked.address);
            }
        },
    ),
    Field::json(
        "server.port",
        "port that the application asked for; present if server.address is",
        |row, slot| slot.optional_number(row.connect.asked().and_then(|end| end.known_port())),
    ),
    Field::json(
        "network.local.interface_index",
        "index of the interface of a link-local source address, if it is not network.interface.index",
        |row, slot| slot.optional_number(row.other_interface(row.connect.local())),
    ),
    Field::json(
        "server.interface_index",
        "likewise of the address that the application asked for",
        |row, slot| slot.optional_number(row.other_interface(row.connect.asked())),
    ),
    Field::json(
        "network.interface.name",
        "interface that a link-local destination address belongs to; otherwise absent",
        |row, slot| {
            slot.optional_name(row.interface().and_then(|_| row.connect.interface_name()));
        },
    ),
    Field::json("network.interface.index", "index of that interface", |row, slot| {
        slot.optional_number(row.interface());
    }),
    Field::left(
        "HOST",
        30,
        "network.peer.name",
        "host name that was asked for, and whose DNS answer had the destination address: the last \
         one before the attempt, by the process itself if it asked; only with --dns",
        |row, slot| slot.optional_text(row.host.map(|host| &*host.name)),
    ),
    Field::json(
        "network.peer.name_age_ns",
        "age of that answer when the attempt began",
        |row, slot| slot.optional_number(row.host.map(|host| host.age_ns)),
    ),
    Field::json(
        "network.peer.name_expired",
        "true if its time to live was over by then; otherwise absent",
        |row, slot| slot.flag(row.host.is_some_and(|host| host.has_expired)),
    ),
    Field::json(
        "network.peer.name_asked_by",
        "process if this process asked for the name, other if another one did or it is not known",
        |row, slot| {
            slot.optional_text(row.host.map(|host| match host.by_process {
                true => "process",
                false => "other",
            }));
        },
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
         ended; FAILED if the kernel did not report an error; in parentheses, as in (ABORTED), if \
         another attempt made up for it: see connect.superseded",
        |row, slot| match (row.connect.has_failed(), row.is_superseded) {
            (true, true) => slot.text(&format!("({})", row.connect.result())),
            (true, false) => slot.failure(&row.connect.result()),
            (false, _) => slot.text(&row.connect.result()),
        },
    ),
    Field::json(
        "connect.superseded",
        "true if the same process, at the same time or just after this attempt failed, connected \
         to another address of the same host name: this attempt's end mattered little; otherwise \
         absent; only with --dns",
        |row, slot| slot.flag(row.is_superseded),
    ),
    Field::json(
        "connect.aborted_by",
        "of an aborted attempt: exit if a process that ended closed the socket, otherwise close; \
         connect.duration_ns is how long it waited",
        |row, slot| {
            if row.connect.event.outcome == connect_outcome::CONNECT_ABORTED {
                let died = row.connect.is(connect_flag::CONNECT_EXITED);
                slot.text(if died { "exit" } else { "close" });
            }
        },
    ),
    Field::json(
        "connect.outcome",
        "established, failed, aborted (the caller closed the socket, gave up or died), pending (no \
         answer when tracing ended) or unknown (too many were pending to follow it)",
        |row, slot| slot.text(row.connect.outcome()),
    ),
    Field::right(
        "LAT(ms)",
        9,
        "connect.duration_ns",
        "time from the first SYN to the outcome, of an aborted attempt until the caller gave up, \
         in milliseconds, in JSON nanoseconds; absent if no SYN was sent",
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
        "connect.unsure",
        "true if the destination is what stood in the caller's memory after the call, which others may \
         have written to, or if that differs from what the socket says; otherwise absent",
        |row, slot| slot.flag(row.connect.is(connect_flag::CONNECT_UNSURE)),
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
    Field::ANCESTORS,
];

/// The fields that `args` ask for.
///
/// # Errors
///
/// A chosen column that does not exist, in one line.
pub fn view(args: &Args) -> Result<View<Put>, String> {
    // An IPv6 address has up to 39 characters, but mostly much less.
    let address = if args.ipv6 { 39 } else { 15 };
    View::choose(FIELDS, &args.common.columns, |column| {
        column.width = match column.title {
            "SADDR" => address,
            "DADDR" => address,
            "RESULT" if args.dns => 15, // with parentheses
            "DPORT" if args.services => 12,
            _ => column.width,
        };
        match column.title {
            "TID" => Some(args.print_tid),
            "SPORT" => Some(args.lport),
            "RTT(ms)" => Some(args.print_rtt),
            "RETRIES" => Some(args.print_retries),
            "NETNS" => Some(args.print_netns),
            "CGROUP" => Some(args.print_cgroup),
            "HOST" => Some(args.dns),
            _ => args.common.by_flag(column),
        }
    })
}

/// Whether a column needs the names of hosts.
pub fn needs_hosts(view: &View<Put>) -> bool {
    let names = ["name_age_ns", "name_expired", "name_asked_by"];
    let mut names = names.iter().map(|name| format!("network.peer.{name}"));
    view.shows("HOST") || view.shows("connect.superseded") || names.any(|name| view.shows(&name))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::output::row::Common;
    use crate::skel::connect_outcome;
    use crate::tools::tcpconnect::testing::{attempt, end, endpoint};

    fn row(connect: &Connect) -> Row<'_> {
        Row { connect, host: None, service: None, asked_service: None, is_superseded: false }
    }

    fn host() -> Host {
        Host { name: "example.org".into(), age_ns: 5, has_expired: false, by_process: true }
    }

    fn refused() -> Connect {
        attempt(endpoint("10.0.0.1", 443), |event| {
            event.outcome = connect_outcome::CONNECT_FAILED;
            event.error = 111;
            event.local = end(endpoint("10.0.0.0", 40000));
            event.netns = 7;
            event.id.pid = 12;
            event.id.vpid = 12;
            event.id.comm[0] = b'x';
        })
    }

    fn shown(flags: &[&str], row: &Row<'_>) -> String {
        let args = Args::try_parse_from(["tcpconnect"].iter().chain(flags)).unwrap();
        let id = &row.connect.id;
        let common = Common { event: "network.connect", time: "now", ..Common::of(id) };
        view(&args).unwrap().line(args.common.json.is_some(), &common, row)
    }

    #[test]
    fn keys_follow_the_contract() {
        let host = host();
        let connect = refused();
        let row = Row { host: Some(&host), service: Some("https"), ..row(&connect) };
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
                    "address": "10.0.0.1", "port": 443, "name": "example.org", "name_age_ns": 5,
                    "name_asked_by": "process", "service": "https"
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
                    | connect_flag::CONNECT_KERNEL.0
                    | connect_flag::CONNECT_EXITED.0,
            );
            event.asked = end(endpoint("10.0.0.1", 2));
        });
        let host = Host { has_expired: true, by_process: false, ..host() };
        let row = Row { host: Some(&host), is_superseded: true, ..row(&connect) };
        let value: Value = serde_json::from_str(&shown(&["--json"], &row)).unwrap();
        let network = json!({
            "transport": "tcp", "type": "ipv6",
            "peer": {
                "address": "::1", "port": 1, "name": "example.org", "name_age_ns": 5,
                "name_expired": true, "name_asked_by": "other"
            },
            "namespace": { "inode": 0 }
        });
        assert_eq!(value["server"], json!({ "address": "10.0.0.1", "port": 2 }));
        let connect = json!({
            "outcome": "aborted", "rtt_ns": 3000, "no_syn": true, "mptcp": true, "earlier": true,
            "origin": "kernel", "superseded": true, "aborted_by": "exit"
        });
        assert_eq!((&value["network"], &value["connect"]), (&network, &connect));
        assert_eq!(value.get("error"), None);
    }

    #[test]
    fn link_local_destinations_name_their_interface() {
        let connect = attempt(Endpoint { interface: 3, ..endpoint("fe80::1", 1) }, |event| {
            event.interface_name[..4].copy_from_slice(b"eth0");
            event.local = end(Endpoint { interface: 3, ..endpoint("fe80::2", 0) });
        });
        let value: Value = serde_json::from_str(&shown(&["--json"], &row(&connect))).unwrap();
        let network = &value["network"];
        assert_eq!(network["interface"], json!({ "name": "eth0", "index": 3 }));
        assert_eq!(network["peer"]["address"], "fe80::1");
        assert_eq!(network["local"], json!({ "address": "fe80::2" }), "no port was left");
        assert_eq!(
            shown(&["-L"], &row(&connect)),
            "0       -                6  fe80::2%eth0    -     fe80::1%eth0    1     OK                \
             1.500\n"
        );
    }

    #[test]
    fn cells_of_the_table() {
        let connect = refused();
        let plain = row(&connect);
        assert_eq!(
            shown(&[], &plain),
            "12      x                4  10.0.0.0        10.0.0.1        443   \
             ECONNREFUSED      1.500\n"
        );
        let host = host();
        let named = Row { host: Some(&host), service: Some("https"), is_superseded: true, ..plain };
        let flags =
            ["--dns", "--services", "-L", "--print-retries", "--print-netns", "--print-cgroup"];
        assert_eq!(
            shown(&flags, &named),
            "12      x                4  10.0.0.0        40000 10.0.0.1        https        \
             example.org                    (ECONNREFUSED)      1.500       0 7          -\n"
        );
        let pending = attempt(endpoint("::1", 1), |event| {
            event.outcome = connect_outcome::CONNECT_PENDING;
            event.flags =
                connect_flag(connect_flag::CONNECT_NO_SYN.0 | connect_flag::CONNECT_UNSEEN.0);
        });
        let flags = ["-T", "-t", "-U", "-L", "--print-tid", "--print-rtt", "--print-retries"];
        assert_eq!(
            shown(&flags, &row(&pending)),
            "now          0.000    0      0       0       -                6  -               -     \
             ::1             1     PENDING               -         -       -\n"
        );
        let sent_on = attempt(endpoint("10.0.0.7", 8443), |event| {
            event.asked = end(endpoint("10.88.0.1", 443));
        });
        let sent_on = Row { asked_service: Some("https"), ..row(&sent_on) };
        assert_eq!(
            shown(&[], &sent_on),
            "0       -                4  -               10.88.0.1->10.0.0.7 https->8443 OK                \
             1.500\n"
        );
    }
}
