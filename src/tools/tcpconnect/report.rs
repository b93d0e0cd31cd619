//! The totals of `--count` and `--summary`, as tables or as JSON Lines.

use std::net::IpAddr;

use anyhow::Result;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::destination::{Destination as Key, zoned};
use super::names::Names;
use super::summary::{
    By, Counts, Destination, Group, Percentiles, Process, Summary, Tally, micros_text,
};
use crate::engine::session::Session;
use crate::output::histogram::Bucket;
use crate::output::json::{Bytes, EventName, is_zero};
use crate::output::table::{Column, FAILURE, Line, count};
use crate::output::time::{Epoch, Millis};

const COUNT_COLUMNS: [Column; 10] = [
    Column::left("PID", 7),
    Column::left("COMM", 16),
    Column::left("SADDR", 15),
    Column::left("SPORT", 5),
    Column::left("DADDR", 15),
    Column::left("DPORT", 5),
    Column::left("HOST", 4),
    Column::right("CONNECTS", 8),
    Column::right("FAILED", 8),
    Column::left("ERRORS", 0),
];

const SUMMARY_COLUMNS: [Column; 9] = [
    Column::left("DADDR", 15),
    Column::left("DPORT", 5),
    Column::left("HOST", 4),
    Column::right("CONNECTS", 8),
    Column::right("FAILED", 8),
    Column::right("P50(ms)", 9),
    Column::right("P90(ms)", 9),
    Column::right("P99(ms)", 9),
    Column::left("ERRORS", 0),
];

/// `--count`: one row for each group. `now`: on the clock of events.
pub fn counts(counts: &Counts, names: &Names, now: u64, session: &mut Session) -> Result<()> {
    let sorted = counts.sorted();
    if session.out.json {
        let timestamp = session.clock.rfc3339(now);
        let epoch = session.clock.epoch();
        for (group, tally) in sorted {
            session.out.object(&CountJson::new(&timestamp, Some(group), names, tally, epoch))?;
        }
        if counts.others.attempts > 0 {
            let others = CountJson::new(&timestamp, None, names, &counts.others, epoch);
            session.out.object(&others)?;
        }
        return Ok(());
    }
    let By { source_port, process } = counts.by();
    let mut columns =
        fit(&COUNT_COLUMNS, sorted.iter().map(|(group, _)| &group.destination), names);
    columns.retain(|column| match column.title {
        "PID" | "COMM" => process,
        "SPORT" => source_port,
        _ => true,
    });
    let sources = sorted.iter().map(|(group, _)| source_text(group).len()).max();
    for column in columns.iter_mut().filter(|column| column.title == "SADDR") {
        column.width = column.width.max(sources.unwrap_or(0));
    }
    session.out.heading(&columns);
    for (group, tally) in sorted {
        let mut line = session.out.line(&columns);
        if let Some(process) = &group.process {
            line.value(process.pid).name(&process.comm);
        }
        line.name(&source_text(group));
        if source_port {
            match group.source.and_then(|source| source.known_port()) {
                Some(port) => line.number(port),
                None => line.text("-"),
            };
        }
        key_cells(&mut line, Some(&group.destination), names);
        tally_cells(&mut line, tally);
        line.text(&tally.others_text());
    }
    if counts.others.attempts > 0 {
        let mut line = session.out.line(&columns);
        if process {
            line.text("-").text("others").text("-");
        } else {
            line.text("others");
        }
        if source_port {
            line.text("-");
        }
        key_cells(&mut line, None, names);
        tally_cells(&mut line, &counts.others);
        line.text(&counts.others.others_text());
    }
    Ok(())
}

/// SADDR of a group.
fn source_text(group: &Group) -> Vec<u8> {
    let zoned = |source| zoned(source, group.destination.interface.as_deref());
    group.source.map_or_else(|| b"-".to_vec(), zoned)
}

/// Makes DADDR, DPORT and HOST as wide as their contents. HOST is there only with `--dns`.
fn fit<'a>(columns: &[Column], keys: impl Iterator<Item = &'a Key>, names: &Names) -> Vec<Column> {
    let keys: Vec<_> = keys.collect();
    let widest = |width: fn(&Key, &Names) -> usize| {
        keys.iter().map(|key| width(key, names)).max().unwrap_or(0)
    };
    let address = widest(|key, _| key.addresses().len());
    let port = widest(|key, names| key.ports(|end| names.service(end)).width());
    let host = widest(|key, _| key.host.as_ref().map_or(0, |host| host.len())); // ASCII
    let shown = columns.iter().filter(|column| column.title != "HOST" || names.has_hosts());
    let mut columns: Vec<_> = shown.copied().collect();
    for column in &mut columns {
        column.width = match column.title {
            "DADDR" => column.width.max(address),
            "DPORT" => column.width.max(port),
            "HOST" => column.width.max(host),
            _ => column.width,
        };
    }
    columns
}

/// The columns DADDR, DPORT and, if it is there, HOST. `None`: of all others.
fn key_cells(line: &mut Line<'_>, key: Option<&Key>, names: &Names) {
    match key {
        Some(key) => line.name(&key.addresses()).text(&key.ports(|end| names.service(end))),
        None => line.text("-").text("-"),
    };
    if names.has_hosts() {
        line.text(key.and_then(|key| key.host.as_deref()).unwrap_or("-"));
    }
}

fn tally_cells(line: &mut Line<'_>, tally: &Tally) {
    line.value(tally.attempts);
    match tally.failed() {
        0 => line.text("0"),
        failed => line.styled(&failed.to_string(), FAILURE),
    };
}

/// `--summary`: one row for each destination, and a histogram of all latencies.
pub fn summary(summary: &Summary, names: &Names, now: u64, session: &mut Session) -> Result<()> {
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
    let superseded = match total.superseded() {
        0 => String::new(),
        superseded => format!(", {superseded} superseded"),
    };
    session.out.raw(format!("{time}  {attempts}, {failed} failed{superseded}{pending}\n"))?;
    if total.attempts == 0 {
        return Ok(());
    }
    let sorted = summary.sorted();
    let columns = fit(&SUMMARY_COLUMNS, sorted.iter().map(|(key, _)| *key), names);
    session.out.heading(&columns);
    for (key, destination) in sorted {
        let mut line = session.out.line(&columns);
        key_cells(&mut line, Some(key), names);
        tally_cells(&mut line, &destination.tally);
        percentile_cells(&mut line, destination);
        line.text(&destination.tally.others_text());
    }
    if summary.others.attempts > 0 {
        let mut line = session.out.line(&columns);
        line.text("others").text("-");
        if names.has_hosts() {
            line.text("-");
        }
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
    process: Option<ProcessJson<'a>>,
    #[serde(flatten)]
    key: Option<KeyJson<'a>>,
    connect: TallyJson<'a>,
}

#[derive(Serialize)]
struct ProcessJson<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation: Option<CreationJson>,
    #[serde(skip_serializing_if = "is_zero")]
    start_boot_ns: u64,
    #[serde(flatten)]
    comm: Bytes<'a>,
}

#[derive(Serialize)]
struct CreationJson {
    time: String,
}

impl<'a> ProcessJson<'a> {
    fn new(process: &'a Process, epoch: Epoch) -> Self {
        let comm = Bytes { keys: ("comm", "comm_base64"), value: Some(&process.comm) };
        let start_boot_ns = process.start_ns;
        let time = || CreationJson { time: epoch.rfc3339(start_boot_ns) };
        let creation = (start_boot_ns != 0).then(time);
        Self { pid: process.pid, creation, start_boot_ns, comm }
    }
}

/// A destination, by the keys that it has in `network.connect`.
#[derive(Serialize)]
struct KeyJson<'a> {
    network: Network<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerJson>,
}

#[derive(Serialize)]
struct Network<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<EndpointJson<'a>>,
    peer: EndpointJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<InterfaceJson<'a>>,
}

/// `address`, `port`, and what people call them.
#[derive(Serialize)]
struct EndpointJson<'a> {
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
}

/// The link of a link-local address.
#[derive(Serialize)]
struct InterfaceJson<'a> {
    #[serde(flatten)]
    name: Bytes<'a>,
    index: u32,
}

/// What the application asked for.
#[derive(Serialize)]
struct ServerJson {
    address: IpAddr,
    port: u16,
}

impl<'a> KeyJson<'a> {
    fn of_group(group: &'a Group, names: &'a Names) -> Self {
        let mut json = Self::new(&group.destination, names);
        json.network.local = group.source.map(|source| EndpointJson {
            address: source.address,
            port: source.known_port(),
            name: None,
            service: None,
        });
        json
    }

    fn new(key: &'a Key, names: &'a Names) -> Self {
        let peer = EndpointJson {
            address: key.peer.address,
            port: key.peer.known_port(),
            name: key.host.as_deref(),
            service: names.service(key.peer),
        };
        let interface = (key.peer.interface != 0).then_some(InterfaceJson {
            name: Bytes { keys: ("name", "name_base64"), value: key.interface.as_deref() },
            index: key.peer.interface,
        });
        let server = key.asked.map(|end| ServerJson { address: end.address, port: end.port });
        Self { network: Network { local: None, peer, interface }, server }
    }
}

#[derive(Serialize)]
struct TallyJson<'a> {
    attempts: u64,
    failed: u64,
    superseded: u64,
    pending: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gave_up_after_ns: Option<SpanJson>,
}

/// How often attempts had this result.
#[derive(Serialize)]
struct ErrorJson<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct SpanJson {
    min: u64,
    max: u64,
}

impl<'a> TallyJson<'a> {
    fn new(tally: &'a Tally) -> Self {
        Self {
            attempts: tally.attempts,
            failed: tally.failed(),
            superseded: tally.superseded(),
            pending: tally.pending,
            errors: tally.errors().map(|(name, count)| ErrorJson { name, count }).collect(),
            gave_up_after_ns: tally.gave_up_ns.map(|(min, max)| SpanJson { min, max }),
        }
    }
}

impl<'a> CountJson<'a> {
    fn new(
        timestamp: &'a str,
        group: Option<&'a Group>,
        names: &'a Names,
        tally: &'a Tally,
        epoch: Epoch,
    ) -> Self {
        Self {
            timestamp,
            event: EventName { name: "network.connect.count" },
            process: group
                .and_then(|group| group.process.as_ref())
                .map(|process| ProcessJson::new(process, epoch)),
            key: group.map(|group| KeyJson::of_group(group, names)),
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
    #[serde(flatten)]
    key: Option<KeyJson<'a>>,
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
    histogram_ns: Vec<Bucket>,
}

/// A bucket of microseconds.
fn in_ns(Bucket { low, high, count }: Bucket) -> Bucket {
    let ns = |us: u64| us.saturating_mul(1000);
    Bucket { low: ns(low), high: ns(high), count }
}

fn summary_json(
    summary: &Summary,
    names: &Names,
    timestamp: &str,
    session: &mut Session,
) -> Result<()> {
    let event = EventName { name: "network.connect.summary" };
    for (key, destination) in summary.sorted() {
        let connect = DestinationTally {
            tally: TallyJson::new(&destination.tally),
            latency_ns: destination.percentiles().map(Into::into),
        };
        let key = Some(KeyJson::new(key, names));
        session.out.object(&DestinationJson { timestamp, event, key, connect })?;
    }
    if summary.others.attempts > 0 {
        let connect = DestinationTally { tally: TallyJson::new(&summary.others), latency_ns: None };
        session.out.object(&DestinationJson { timestamp, event, key: None, connect })?;
    }
    session.out.object(&LatencyJson {
        timestamp,
        event: EventName { name: "network.connect.latency" },
        connect: LatencyTally {
            tally: TallyJson::new(&summary.total),
            histogram_ns: summary.latencies.buckets().into_iter().map(in_ns).collect(),
        },
    })
}
