//! The records of a run that are no events.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::limit::{Counts, Loud};
use crate::output::json::{BytesList, EventName, is_zero};

/// The first JSON line of a file.
#[derive(Serialize)]
pub(super) struct StartRecord<'a> {
    pub(super) timestamp: String,
    pub(super) event: EventName,
    pub(super) schema: u32,
    pub(super) tool: &'static str,
    pub(super) version: &'static str,
    #[serde(flatten)]
    pub(super) how: &'a Map<String, Value>,
    pub(super) kernel: String,
    pub(super) host: Host,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<Part>,
}

/// The machine.
#[derive(Serialize)]
pub(super) struct Host {
    pub(super) name: String,
    /// Of the installation: machine-id(5)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// By OpenTelemetry's name
    pub(super) arch: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<Boot>,
}

/// From one start of the kernel to the next: process ids and times of birth are unique in it.
#[derive(Serialize)]
pub(super) struct Boot {
    pub(super) id: String,
}

/// Which part of a run a file has.
#[derive(Serialize)]
pub(super) struct Part {
    /// Counted from 1
    pub(super) sequence: u32,
    /// When the run began, on the clock of events: with `host.boot.id` its identity
    pub(super) began_boot_ns: u64,
}

/// How a tool traces.
#[derive(Serialize)]
pub(super) struct BackendRecord<'a> {
    pub(super) backend: &'static str,
    /// Better backends that the kernel refused
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) backends_refused: Vec<RefusedRecord>,
    /// Parts that the user asked for and that cannot be shown
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_shown: Vec<NotShownRecord>,
    pub(super) buffer: &'static str,
    /// The time of the record on the clock of events
    pub(super) boot_ns: u64,
    /// Long names of the given flags
    pub(super) flags: &'a [String],
    /// COMMAND
    #[serde(flatten)]
    pub(super) command: BytesList<'a>,
}

#[derive(Serialize)]
pub(super) struct RefusedRecord {
    pub(super) name: &'static str,
    pub(super) reason: String,
}

#[derive(Serialize)]
pub(super) struct NotShownRecord {
    pub(super) what: &'static str,
    pub(super) reason: String,
}

/// A gap, at its place.
#[derive(Serialize)]
pub(super) struct LostRecord {
    pub(super) timestamp: String,
    pub(super) event: EventName,
    pub(super) count: u64,
}

/// Rows that limits have dropped.
#[derive(Serialize)]
pub(super) struct Dropped<'a> {
    #[serde(flatten)]
    counts: Counts,
    /// By programs, processes and users with limits of their own
    #[serde(skip_serializing_if = "Vec::is_empty")]
    loudest: Vec<Loud<'a>>,
}

impl<'a> Dropped<'a> {
    /// `None`: nothing was dropped.
    pub(super) fn new(counts: Counts, loudest: Vec<Loud<'a>>) -> Option<Self> {
        (counts.all() > 0).then_some(Self { counts, loudest })
    }
}

/// The last JSON line.
#[derive(Serialize)]
pub(super) struct EndRecord<'a> {
    pub(super) timestamp: String,
    pub(super) event: EventName,
    pub(super) events: u64,
    pub(super) lost: u64,
    /// Events that `--filter` left out
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) filtered: u64,
    /// Runs of our programs that the kernel skipped: each may be a missing event
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) unseen: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dropped: Option<Dropped<'a>>,
    /// The status of COMMAND, if it has ended
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_began_boot_ns: Option<u64>,
    /// What is said on stderr besides
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) notes: &'a [String],
}

/// How the run stands. Also the last line of a file that another one continues.
#[derive(Serialize)]
pub(super) struct StatusRecord<'a> {
    pub(super) timestamp: String,
    pub(super) event: EventName,
    /// Of all files so far
    pub(super) events: u64,
    pub(super) lost: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) filtered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dropped: Option<Dropped<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<Part>,
    #[serde(flatten)]
    pub(super) usage: Option<Usage>,
}

/// What the tool needs.
#[derive(Serialize)]
pub(super) struct Usage {
    pub(super) uptime_ns: u64,
    pub(super) tracer: TracerRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<OutputRecord>,
}

/// The process of the tool.
#[derive(Serialize)]
pub(super) struct TracerRecord {
    pub(super) cpu_ns: u64,
    pub(super) memory_bytes: u64,
    /// What is left out by `--max-cpu`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shed: Option<String>,
}

/// The file of `--output`.
#[derive(Serialize)]
pub(super) struct OutputRecord {
    pub(super) bytes: u64,
    pub(super) waiting_bytes: u64,
    /// Why nothing can be written
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}
