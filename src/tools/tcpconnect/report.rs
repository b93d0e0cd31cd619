//! The totals of `--count` and `--summary`, as tables or as JSON Lines.

use std::net::IpAddr;

use anyhow::Result;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::Endpoint;
use super::names::Names;
use super::summary::{
    Caller, Counts, Destination, Named, Percentiles, Summary, Tally, micros_text,
};
use crate::engine::session::Session;
use crate::output::histogram::Bucket;
use crate::output::json::{Bytes, EventName};
use crate::output::table::{Column, FAILURE, Line, count};
use crate::output::time::{Millis, boot_now_ns};

const COUNT_COLUMNS: [Column; 7] = [
    Column::left("PID", 7),
    Column::left("COMM", 16),
    Column::left("DADDR", 15),
    Column::left("DPORT", 5),
    Column::right("CONNECTS", 8),
    Column::right("FAILED", 8),
    Column::left("ERRORS", 0),
];

const SUMMARY_COLUMNS: [Column; 8] = [
    Column::left("DADDR", 15),
    Column::left("DPORT", 5),
    Column::right("CONNECTS", 8),
    Column::right("FAILED", 8),
    Column::right("P50(ms)", 9),
    Column::right("P90(ms)", 9),
    Column::right("P99(ms)", 9),
    Column::left("ERRORS", 0),
];

/// `--count`: one row for each process and destination.
pub fn counts(counts: &Counts, names: &Names, session: &mut Session) -> Result<()> {
    if session.out.json {
        let timestamp = session.clock.rfc3339(boot_now_ns());
        let mut row = |caller, host: &Option<Box<str>>, tally| {
            let row = CountJson::new(&timestamp, caller, host.as_deref(), names, tally);
            session.out.object(&row)
        };
        for (caller, Named { tally, host }) in counts.sorted() {
            row(Some(caller), host, tally)?;
        }
        if counts.others.attempts > 0 {
            row(None, &None, &counts.others)?;
        }
        return Ok(());
    }
    let sorted = counts.sorted();
    let peers = sorted.iter().map(|(caller, named)| (caller.peer, *named));
    let columns = fit(COUNT_COLUMNS, peers, names);
    session.out.heading(&columns);
    for (caller, Named { tally, host }) in sorted {
        let mut line = session.out.line(&columns);
        line.value(caller.pid).name(&caller.comm);
        peer_cells(&mut line, caller.peer, host.as_deref(), names);
        tally_cells(&mut line, tally);
        line.text(&tally.others_text());
    }
    if counts.others.attempts > 0 {
        let mut line = session.out.line(&columns);
        line.text("-").text("others").text("-").text("-");
        tally_cells(&mut line, &counts.others);
        line.text(&counts.others.others_text());
    }
    Ok(())
}

/// Makes DADDR and DPORT as wide as their contents.
fn fit<'a, const N: usize>(
    mut columns: [Column; N],
    peers: impl Iterator<Item = (Endpoint, &'a Named)>,
    names: &Names,
) -> [Column; N] {
    let (mut host, mut port) = (0, 0);
    for (peer, named) in peers {
        host = host.max(match &named.host {
            Some(name) => name.len(), // ASCII
            None => peer.address.to_string().len(),
        });
        port = port.max(names.service(peer).map_or(0, UnicodeWidthStr::width));
    }
    for column in &mut columns {
        column.width = match column.title {
            "DADDR" => column.width.max(host),
            "DPORT" => column.width.max(port),
            _ => column.width,
        };
    }
    columns
}

/// The columns DADDR and DPORT, with names where known.
fn peer_cells(line: &mut Line<'_>, peer: Endpoint, host: Option<&str>, names: &Names) {
    match host {
        Some(name) => line.text(name),
        None => line.value(peer.address),
    };
    match names.service(peer) {
        Some(name) => line.text(name),
        None => line.value(peer.port),
    };
}

fn tally_cells(line: &mut Line<'_>, tally: &Tally) {
    line.value(tally.attempts);
    match tally.failed() {
        0 => line.text("0"),
        failed => line.styled(&failed.to_string(), FAILURE),
    };
}

/// `--summary`: one row for each destination, and a histogram of all latencies.
pub fn summary(summary: &Summary, names: &Names, session: &mut Session) -> Result<()> {
    let now = boot_now_ns();
    if session.out.json {
        return summary_json(summary, names, &session.clock.rfc3339(now), session);
    }
    let total = &summary.total;
    let time = session.local_time(now);
    let attempts = count(total.attempts, "attempt");
    let failed = total.failed();
    let pending = match total.pending {
        0 => String::new(),
        pending => format!(", {pending} pending"),
    };
    session.out.raw(format!("{time}  {attempts}, {failed} failed{pending}\n"))?;
    if total.attempts == 0 {
        return Ok(());
    }
    let sorted = summary.sorted();
    let peers = sorted.iter().map(|(peer, destination)| (**peer, &destination.named));
    let columns = fit(SUMMARY_COLUMNS, peers, names);
    session.out.heading(&columns);
    for (peer, destination) in sorted {
        let Named { tally, host } = &destination.named;
        let mut line = session.out.line(&columns);
        peer_cells(&mut line, *peer, host.as_deref(), names);
        tally_cells(&mut line, tally);
        percentile_cells(&mut line, destination);
        line.text(&tally.others_text());
    }
    if summary.others.attempts > 0 {
        let mut line = session.out.line(&columns);
        line.text("others").text("-");
        tally_cells(&mut line, &summary.others);
        line.text("-").text("-").text("-").text(&summary.others.others_text());
    }
    let mut histogram = String::new();
    summary.latencies.draw(&mut histogram, micros_text);
    if !histogram.is_empty() {
        session.out.raw(format!("\n{:>24} {:>9}\n{histogram}", "latency   ", "connects"))?;
    }
    session.out.raw("\n")?;
    Ok(())
}

fn percentile_cells(line: &mut Line<'_>, destination: &Destination) {
    match destination.percentiles() {
        Some(percentiles) => percentiles.iter().for_each(|ns| {
            line.value(Millis(*ns));
        }),
        None => {
            line.text("-").text("-").text("-");
        }
    }
}

/// `network.connect.count`
#[derive(Serialize)]
struct CountJson<'a> {
    timestamp: &'a str,
    event: EventName,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<CallerJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    connect: TallyJson<'a>,
}

#[derive(Serialize)]
struct CallerJson<'a> {
    pid: u32,
    #[serde(flatten)]
    comm: Bytes<'a>,
}

#[derive(Serialize)]
struct Network<'a> {
    peer: EndpointJson<'a>,
}

/// `address`, `port`, and what people call them.
#[derive(Serialize)]
struct EndpointJson<'a> {
    address: IpAddr,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
}

fn peer_json<'a>(peer: Endpoint, host: Option<&'a str>, names: &'a Names) -> EndpointJson<'a> {
    let Endpoint { address, port } = peer;
    EndpointJson { address, port, name: host, service: names.service(peer) }
}

#[derive(Serialize)]
struct TallyJson<'a> {
    attempts: u64,
    failed: u64,
    pending: u64,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    errors: &'a std::collections::BTreeMap<std::borrow::Cow<'static, str>, u64>,
}

impl<'a> TallyJson<'a> {
    fn new(tally: &'a Tally) -> Self {
        Self {
            attempts: tally.attempts,
            failed: tally.failed(),
            pending: tally.pending,
            errors: &tally.failures,
        }
    }
}

impl<'a> CountJson<'a> {
    fn new(
        timestamp: &'a str,
        caller: Option<&'a Caller>,
        host: Option<&'a str>,
        names: &'a Names,
        tally: &'a Tally,
    ) -> Self {
        let comm =
            |caller: &'a Caller| Bytes { keys: ("comm", "comm_base64"), value: Some(&caller.comm) };
        Self {
            timestamp,
            event: EventName { name: "network.connect.count" },
            process: caller.map(|caller| CallerJson { pid: caller.pid, comm: comm(caller) }),
            network: caller.map(|caller| Network { peer: peer_json(caller.peer, host, names) }),
            connect: TallyJson::new(tally),
        }
    }
}

/// `network.connect.summary`: a destination in one interval; all of them have the same timestamp.
/// Without `network`: all destinations that found no row of their own.
#[derive(Serialize)]
struct DestinationJson<'a> {
    timestamp: &'a str,
    event: EventName,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    connect: DestinationTally<'a>,
}

#[derive(Serialize)]
struct DestinationTally<'a> {
    #[serde(flatten)]
    tally: TallyJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ns: Option<PercentilesJson>,
}

#[derive(Serialize)]
struct PercentilesJson {
    p50: u64,
    p90: u64,
    p99: u64,
}

impl From<Percentiles> for PercentilesJson {
    fn from([p50, p90, p99]: Percentiles) -> Self {
        Self { p50, p90, p99 }
    }
}

/// `network.connect.latency`: the histogram of one interval, over all destinations.
#[derive(Serialize)]
struct LatencyJson<'a> {
    timestamp: &'a str,
    event: EventName,
    connect: LatencyTally<'a>,
}

#[derive(Serialize)]
struct LatencyTally<'a> {
    #[serde(flatten)]
    tally: TallyJson<'a>,
    histogram_us: Vec<Bucket>,
}

fn summary_json(
    summary: &Summary,
    names: &Names,
    timestamp: &str,
    session: &mut Session,
) -> Result<()> {
    let event = EventName { name: "network.connect.summary" };
    for (peer, destination) in summary.sorted() {
        let connect = DestinationTally {
            tally: TallyJson::new(&destination.named.tally),
            latency_ns: destination.percentiles().map(Into::into),
        };
        let peer = peer_json(*peer, destination.named.host.as_deref(), names);
        let network = Some(Network { peer });
        session.out.object(&DestinationJson { timestamp, event, network, connect })?;
    }
    if summary.others.attempts > 0 {
        let connect = DestinationTally { tally: TallyJson::new(&summary.others), latency_ns: None };
        session.out.object(&DestinationJson { timestamp, event, network: None, connect })?;
    }
    session.out.object(&LatencyJson {
        timestamp,
        event: EventName { name: "network.connect.latency" },
        connect: LatencyTally {
            tally: TallyJson::new(&summary.total),
            histogram_us: summary.latencies.buckets(),
        },
    })
}
