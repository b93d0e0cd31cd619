//! Attempts read from lines of JSON: the records that the programs would have sent.

use std::net::IpAddr;

use super::Connect;
use super::destination::Host;
use crate::engine::recorded::{Line, Reading};
use crate::engine::replay::Recorded;
use crate::host::errno;
use crate::skel::{connect_address, connect_end, connect_event, connect_flag, connect_outcome};

/// An attempt, and what a row shows besides its record.
#[derive(Clone, Debug)]
pub struct Told {
    pub connect: Connect,
    /// Name of the destination
    pub host: Option<Host>,
    /// Whether another attempt made up for it
    pub is_superseded: bool,
}

/// Reads `network.connect`.
pub fn read(event: &Recorded<'_>) -> Reading<Told> {
    let line = event.line;
    let interface = line.number("network.interface.index")?.unwrap_or(0);
    let peer = end(line, "network.peer", interface)?.ok_or("no network.peer.address")?;
    let mut fixed = connect_event {
        duration_ns: line.number("connect.duration_ns")?.unwrap_or(0),
        // Both ends of a connection between link-local addresses have one link.
        local: end(line, "network.local", interface)?.unwrap_or_default(),
        peer,
        asked: end(line, "server", interface)?.unwrap_or_default(),
        outcome: outcome(line)?,
        flags: flags(line)?,
        error: error(line)?,
        netns: line.number("network.namespace.inode")?.unwrap_or(0),
        rtt_us: line.number::<u64>("connect.rtt_ns")?.map_or(0, |ns| (ns / 1000) as u32),
        retransmits: line.number("connect.retransmits")?.unwrap_or(0),
        ..connect_event::default()
    };
    let name = line.bytes("network.interface.name")?.unwrap_or_default();
    if name.len() >= fixed.interface_name.len() {
        return Err("network.interface.name is too long".to_owned());
    }
    fixed.interface_name.iter_mut().zip(name).for_each(|(to, from)| *to = from);
    Ok(Told {
        connect: Connect { event: fixed, id: *event.id },
        host: host(line)?,
        is_superseded: line.flag("connect.superseded")?,
    })
}

/// One end. `interface`: of a link-local address.
fn end(line: &Line, key: &str, interface: u32) -> Reading<Option<connect_end>> {
    let address_key = format!("{key}.address");
    let Some(text) = line.text(&address_key)? else { return Ok(None) };
    let address: IpAddr = text.parse().map_err(|_| format!("{address_key} is not an address"))?;
    let mut bytes = [0; 16];
    let family = match address {
        IpAddr::V4(four) => {
            bytes.iter_mut().zip(four.octets()).for_each(|(to, from)| *to = from);
            libc::AF_INET
        }
        IpAddr::V6(six) => {
            bytes = six.octets();
            libc::AF_INET6
        }
    };
    let own = line.number(&format!("{key}.interface_index"))?;
    let is_link_local = matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
    Ok(Some(connect_end {
        address: connect_address { bytes },
        interface: if is_link_local { own.unwrap_or(interface) } else { 0 },
        port: line.number(&format!("{key}.port"))?.unwrap_or(0),
        family: family as u16,
    }))
}

fn outcome(line: &Line) -> Reading<connect_outcome> {
    Ok(match line.text("connect.outcome")?.ok_or("no connect.outcome")? {
        "established" => connect_outcome::CONNECT_ESTABLISHED,
        "failed" => connect_outcome::CONNECT_FAILED,
        "aborted" => connect_outcome::CONNECT_ABORTED,
        "pending" => connect_outcome::CONNECT_PENDING,
        "unknown" => connect_outcome::CONNECT_UNKNOWN,
        _ => return Err("connect.outcome is unknown".to_owned()),
    })
}

fn error(line: &Line) -> Reading<u32> {
    let Some(name) = line.text("error.type")? else { return Ok(0) };
    let number = errno::number(name).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| "error.type is not an error".to_owned())
}

fn flags(line: &Line) -> Reading<connect_flag> {
    let keys = [
        ("connect.no_syn", connect_flag::CONNECT_NO_SYN),
        ("connect.unsure", connect_flag::CONNECT_UNSURE),
        ("connect.mptcp", connect_flag::CONNECT_MPTCP),
        ("connect.earlier", connect_flag::CONNECT_EARLIER),
    ];
    let mut flags = 0;
    for (key, flag) in keys {
        flags |= if line.flag(key)? { flag.0 } else { 0 };
    }
    let more = [
        (line.text("connect.origin")? == Some("kernel"), connect_flag::CONNECT_KERNEL),
        (line.text("connect.aborted_by")? == Some("exit"), connect_flag::CONNECT_EXITED),
        (!line.has("connect.retransmits"), connect_flag::CONNECT_UNSEEN),
    ];
    let bits = more.iter().fold(flags, |all, (is, flag)| all | if *is { flag.0 } else { 0 });
    Ok(connect_flag(bits))
}

fn host(line: &Line) -> Reading<Option<Host>> {
    let Some(name) = line.text("network.peer.name")? else { return Ok(None) };
    // Names are shown without escaping: answers with others are not taken.
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("network.peer.name is not a name".to_owned());
    }
    Ok(Some(Host {
        name: name.into(),
        age_ns: line.number("network.peer.name_age_ns")?.unwrap_or(0),
        has_expired: line.flag("network.peer.name_expired")?,
        by_process: line.text("network.peer.name_asked_by")? == Some("process"),
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::recorded::testing::line;
    use crate::output::row::{Common, docs};
    use crate::skel::{decode, task_id};
    use crate::tools::tcpconnect::args::Args;
    use crate::tools::tcpconnect::fields::{FIELDS, Row, view};

    /// The row that these flags give.
    fn shown(flags: &[&str], told: &Told) -> String {
        let args = Args::try_parse_from(["tcpconnect"].iter().chain(flags)).unwrap();
        let common = Common {
            event: "network.connect",
            time: "1970-01-01T00:00:00.000000007Z",
            since_ns: 7,
            ..Common::of(&told.connect.id)
        };
        let row = Row {
            connect: &told.connect,
            host: told.host.as_ref(),
            service: None,
            asked_service: None,
            is_superseded: told.is_superseded,
        };
        view(&args).unwrap().line(args.common.json.is_some(), &common, &row)
    }

    fn columns() -> String {
        let titles = docs(FIELDS).into_iter().map(|doc| doc.title);
        titles.filter(|title| !title.is_empty()).collect::<Vec<_>>().join(",")
    }

    fn any_end() -> impl Strategy<Value = connect_end> {
        let address = prop_oneof![
            any::<[u8; 4]>().prop_map(|four| (IpAddr::from(four), libc::AF_INET)),
            any::<[u8; 16]>().prop_map(|six| (IpAddr::from(six), libc::AF_INET6)),
            any::<u8>().prop_map(|last| {
                let mut bytes = [0; 16];
                (bytes[0], bytes[1], bytes[15]) = (0xfe, 0x80, last);
                (IpAddr::from(bytes), libc::AF_INET6)
            }),
        ];
        (address, any::<u16>(), 1u32..3).prop_map(|((address, family), port, interface)| {
            let mut bytes = [0; 16];
            match address {
                IpAddr::V4(four) => bytes[..4].copy_from_slice(&four.octets()),
                IpAddr::V6(six) => bytes = six.octets(),
            }
            let is_link = matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
            let interface = if is_link { interface } else { 0 };
            connect_end {
                address: connect_address { bytes },
                interface,
                port,
                family: family as u16,
            }
        })
    }

    proptest! {
        #[test]
        fn a_line_has_all_that_rows_show(
            fixed in prop::collection::vec(any::<u8>(), size_of::<connect_event>()),
            local in prop::option::of(any_end()), peer in any_end(), asked in prop::option::of(any_end()),
            outcome in 0u32..5, error in 0u32..133, name in "[a-z]{0,5}",
            host in prop::option::of("[a-z.]{1,9}"), is_superseded: bool,
        ) {
            let mut event: connect_event = decode(&fixed).unwrap();
            let mut id: task_id = decode(&fixed).unwrap();
            id.time_ns = 7;
            (id.comm[15], id.thread_comm[15]) = (0, 0);
            (event.local, event.peer, event.asked) =
                (local.unwrap_or_default(), peer, asked.unwrap_or_default());
            (event.outcome, event.error) = (connect_outcome(outcome), error);
            event.interface_name = [0; 16];
            if peer.interface != 0 {
                event.interface_name[..name.len()].copy_from_slice(name.as_bytes());
            }
            let host = host.map(|name| Host { name: name.into(), age_ns: 5, has_expired: true, by_process: false });
            let told = Told { connect: Connect { event, id }, host, is_superseded };
            let json = shown(&["--json"], &told);
            let line = line(&json);
            let id = line.id().unwrap();
            let again = read(&Recorded { name: "network.connect", id: &id, cgroup: None, line: &line }).unwrap();
            prop_assert_eq!(shown(&["--json"], &again), json.clone());
            for flags in [&[][..], &["--dns", "-o", &columns()]] {
                prop_assert_eq!(shown(flags, &again), shown(flags, &told), "{}", json);
            }
            prop_assert_eq!(again.connect.began_ns(), told.connect.duration_ns().map_or(7, |ns| 7u64.saturating_sub(ns)));
        }
    }
}
