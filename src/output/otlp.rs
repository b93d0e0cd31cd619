//! `--json=otlp`: lines of OpenTelemetry's `LogsData`, as the Collector's otlpjsonfile receiver takes
//! them. Each is made of a line of `--json`, so that both say the same, and `--json` pays nothing.
//!
//! Members of objects become attributes: those of OpenTelemetry's registry under their name, all
//! others with `snoop.` in front. docs/opentelemetry.md says the rest.

mod names;
mod record;
mod value;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserializer as _;

use crate::output::digits::push_number;
use crate::output::json::push_string;
use record::{Record, Whole};
use value::{push_attribute, push_text};

/// The version of the semantic conventions whose names these are.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// What each such line begins with.
pub const BEGINNING: &[u8] = br#"{"resourceLogs":["#;

/// Makes lines of `LogsData`.
#[derive(Debug)]
pub struct Encoder {
    tool: &'static str,
    /// A line from its beginning to the log record
    head: Vec<u8>,
    /// Lines of JSON that are not whole yet
    pending: Vec<u8>,
    record: Record,
}

impl Encoder {
    /// For the lines of this tool. What they say of the machine is known from `trace.start` on.
    pub fn new(tool: &'static str) -> Self {
        let mut encoder =
            Self { tool, head: Vec::new(), pending: Vec::new(), record: Record::default() };
        encoder.set_resource(env!("CARGO_PKG_VERSION"), |_| ());
        encoder
    }

    /// Lets `write` append lines of JSON, or pieces of them, and appends those that are whole now.
    pub fn lines<T>(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut pending = std::mem::take(&mut self.pending);
        let from = pending.len();
        let written = write(&mut pending);
        let mut begin = 0;
        let ends = pending.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n');
        for (end, _) in ends {
            self.line(out, pending.get(begin..end).unwrap_or_default());
            begin = end + 1;
        }
        pending.drain(..begin);
        self.pending = pending;
        written
    }

    /// Appends what one line of JSON says, and a newline.
    fn line(&mut self, out: &mut Vec<u8>, line: &[u8]) {
        self.record.clear();
        let mut json = serde_json::Deserializer::from_slice(line);
        if json.deserialize_map(Whole(&mut self.record)).is_err() {
            // No tool writes such a line. Should one do so, nothing of it is dropped.
            self.record.clear();
            push_text(&mut self.record.body, &String::from_utf8_lossy(line));
        }
        if self.record.event == "trace.start" {
            self.note_start();
        }
        out.extend_from_slice(&self.head);
        self.record.push(out, now_ns());
        out.extend_from_slice(br#"],"schemaUrl":"#);
        push_string(out, SCHEMA_URL);
        out.extend_from_slice(br#"}],"schemaUrl":"#);
        push_string(out, SCHEMA_URL);
        out.extend_from_slice(b"}]}\n");
    }

    /// From now on, lines are of the machine that this record names.
    fn note_start(&mut self) {
        let Record { resource, version, .. } = &mut self.record;
        let (resource, version) = (std::mem::take(resource), std::mem::take(version));
        self.set_resource(&version, |out| out.extend_from_slice(&resource));
    }

    /// `machine` appends attributes, each with a comma before it.
    fn set_resource(&mut self, version: &str, machine: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.head;
        out.clear();
        out.extend_from_slice(BEGINNING);
        out.extend_from_slice(br#"{"resource":{"attributes":["#);
        push_attribute(out, "service.name", |out| push_text(out, self.tool));
        out.push(b',');
        if !version.is_empty() {
            push_attribute(out, "service.version", |out| push_text(out, version));
            out.push(b',');
        }
        push_attribute(out, "os.type", |out| push_text(out, "linux"));
        machine(out);
        out.extend_from_slice(br#"]},"scopeLogs":[{"scope":{"name":"snoop-tools","version":"#);
        push_string(out, version);
        out.extend_from_slice(br#"},"logRecords":["#);
    }
}

/// The time of the wall clock.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A number of 64 bits: a string in this form of JSON.
fn push_quoted(out: &mut Vec<u8>, number: impl itoa::Integer + Copy + TryInto<u32>) {
    out.push(b'"');
    push_number(out, number);
    out.push(b'"');
}

#[cfg(test)]
mod tests;
