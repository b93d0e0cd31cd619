//! The totals of `--count` and `--summary`, as tables or as JSON Lines.

use anyhow::Result;
use serde::Serialize;

use super::Endpoint;
use super::json::EndpointJson;
use super::names::Names;
use super::summary::{Caller, Counts, Destination, Percentiles, Summary, Tally, micros_text};
use crate::json::{Bytes, EventName};
use crate::out::{Column, FAILURE, Line, count};
use crate::session::Session;
use crate::summary::Bucket;
use crate::time::{Millis, boot_now_ns};

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
        for (caller, tally) in counts.sorted() {
            session.out.object(&CountJson::new(&timestamp, Some(caller), names, tally))?;
        }
        if counts.others.attempts > 0 {
            session.out.object(&CountJson::new(&timestamp, None, names, &counts.others))?;
        }
        return Ok(());
    }
    session.out.heading(&COUNT_COLUMNS);
    for (caller, tally) in counts.sorted() {
        let mut line = session.out.line(&COUNT_COLUMNS);
        line.value(caller.pid).name(&caller.comm);
        peer_cells(&mut line, caller.peer, names);
        tally_cells(&mut line, tally);
        line.text(&tally.failures_text());
    }
    if counts.others.attempts > 0 {
        let mut line = session.out.line(&COUNT_COLUMNS);
        line.text("-").text("others").text("-").text("-");
        tally_cells(&mut line, &counts.others);
        line.text(&counts.others.failures_text());
    }
    Ok(())
}

/// The columns DADDR and DPORT, with names where they are known.
pub fn peer_cells(line: &mut Line<'_>, peer: Endpoint, names: &Names) {
    match names.host(peer) {
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
    let time = session.clock.local_time(now);
    let attempts = count(total.attempts, "attempt");
    session.out.raw(format!("{time}  {attempts}, {} failed\n", total.failed()))?;
    if total.attempts == 0 {
        return Ok(());
    }
    session.out.heading(&SUMMARY_COLUMNS);
    for (peer, destination) in summary.sorted() {
        let mut line = session.out.line(&SUMMARY_COLUMNS);
        peer_cells(&mut line, *peer, names);
        tally_cells(&mut line, &destination.tally);
        percentile_cells(&mut line, destination);
        line.text(&destination.tally.failures_text());
    }
    if summary.others.attempts > 0 {
        let mut line = session.out.line(&SUMMARY_COLUMNS);
        line.text("others").text("-");
        tally_cells(&mut line, &summary.others);
        line.text("-").text("-").text("-").text(&summary.others.failures_text());
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

fn peer_json(peer: Endpoint, names: &Names) -> EndpointJson<'_> {
    EndpointJson::new(peer, names.host(peer), names.service(peer))
}

#[derive(Serialize)]
struct TallyJson<'a> {
    attempts: u64,
    failed: u64,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    errors: &'a std::collections::BTreeMap<std::borrow::Cow<'static, str>, u64>,
}

impl<'a> TallyJson<'a> {
    fn new(tally: &'a Tally) -> Self {
        Self { attempts: tally.attempts, failed: tally.failed(), errors: &tally.failures }
    }
}

impl<'a> CountJson<'a> {
    fn new(
        timestamp: &'a str,
        caller: Option<&'a Caller>,
        names: &'a Names,
        tally: &'a Tally,
    ) -> Self {
        let comm =
            |caller: &'a Caller| Bytes { keys: ("comm", "comm_base64"), value: Some(&caller.comm) };
        Self {
            timestamp,
            event: EventName { name: "network.connect.count" },
            process: caller.map(|caller| CallerJson { pid: caller.pid, comm: comm(caller) }),
            network: caller.map(|caller| Network { peer: peer_json(caller.peer, names) }),
            connect: TallyJson::new(tally),
        }
    }
}

/// `network.connect.summary`: a destination in one interval; all of them have the same
/// timestamp. Without `network`: all that found no row of their own.
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
            tally: TallyJson::new(&destination.tally),
            latency_ns: destination.percentiles().map(Into::into),
        };
        let network = Some(Network { peer: peer_json(*peer, names) });
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
