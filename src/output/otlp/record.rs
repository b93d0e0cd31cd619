//! One log record: what a line of JSON says.

use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::names::{self, OWN};
use super::push_quoted;
use super::value::{
    Any, BASE64, Name, RAW, push_attribute, push_bool, push_bytes, push_double, push_text,
    push_unsigned,
};
use crate::output::json::push_string;

/// A log record in parts.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// `event.name`
    pub(super) event: String,
    /// An `AnyValue`, or nothing
    pub(super) body: Vec<u8>,
    /// In `trace.start`: attributes of the resource, each with a comma before it
    pub(super) resource: Vec<u8>,
    /// Likewise the version of the tool
    pub(super) version: String,
    time_ns: Option<u64>,
    /// Each with a comma before it
    attributes: Vec<u8>,
    severity: Severity,
    /// The name of the member that is being read, behind [`OWN`]
    path: String,
}

/// What makes a record a warning.
#[derive(Clone, Copy, Debug, Default)]
struct Severity {
    has_failed: bool,
    /// Another attempt made up for it
    is_superseded: bool,
}

/// Members that name a failure.
const FAILURES: [&str; 4] =
    ["error.type", "output.failure", "process.exit.signal", "thread.exit.signal"];
/// Numbers that do so unless they are 0.
const COUNTS: [&str; 4] = ["lost", "process.exit.code", "thread.exit.code", "unseen"];
/// Words that do so, by their member.
const WORDS: [(&str, &str); 2] = [("connect.outcome", "failed"), ("connect.outcome", "aborted")];
/// Results of a signal that do not.
const DELIVERED: [&str; 2] = ["delivered", "without information"];
/// What `trace.start` says of the machine.
const OF_RESOURCE: [&str; 4] = ["host.arch", "host.boot.id", "host.id", "host.name"];

impl Record {
    pub(super) fn clear(&mut self) {
        let Self { event, body, resource, version, attributes, path, .. } = self;
        for text in [event, version, path] {
            text.clear();
        }
        for bytes in [body, resource, attributes] {
            bytes.clear();
        }
        path.push_str(OWN);
        (self.time_ns, self.severity) = (None, Severity::default());
    }

    /// The name of the member that is being read.
    fn name(&self) -> &str {
        self.path.get(OWN.len()..).unwrap_or_default()
    }

    /// Appends it.
    pub(super) fn push(&self, out: &mut Vec<u8>, observed_ns: u64) {
        out.extend_from_slice(b"{");
        if let Some(ns) = self.time_ns {
            out.extend_from_slice(br#""timeUnixNano":"#);
            push_quoted(out, ns);
            out.push(b',');
        }
        out.extend_from_slice(br#""observedTimeUnixNano":"#);
        push_quoted(out, observed_ns);
        out.extend_from_slice(match self.is_warning() {
            true => br#","severityNumber":13,"severityText":"WARN""#,
            false => br#","severityNumber":9,"severityText":"INFO""#,
        });
        if !self.event.is_empty() {
            out.extend_from_slice(br#","eventName":"#);
            push_string(out, &format!("{OWN}{}", self.event));
        }
        if !self.body.is_empty() {
            out.extend_from_slice(br#","body":"#);
            out.extend_from_slice(&self.body);
        }
        out.extend_from_slice(br#","attributes":["#);
        out.extend_from_slice(self.attributes.get(1..).unwrap_or_default());
        out.extend_from_slice(b"]}");
    }

    fn is_warning(&self) -> bool {
        self.severity.has_failed && !self.severity.is_superseded || self.event == "events.lost"
    }

    fn note_text(&mut self, text: &str) {
        let name = self.name();
        let is_failure = FAILURES.contains(&name)
            || WORDS.contains(&(name, text))
            || name == "signal.result" && !DELIVERED.contains(&text);
        self.severity.has_failed |= is_failure;
    }

    /// Appends an attribute under the name of the member that is being read.
    fn attribute(&mut self, is_within: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let mut attributes = std::mem::take(&mut self.attributes);
        let (name, own) = (self.name(), self.path.as_str());
        let exact = own.strip_suffix(BASE64).filter(|_| !is_within);
        attributes.push(b',');
        match exact {
            Some(own) => push_attribute(&mut attributes, &format!("{own}{RAW}"), write),
            None if names::is_registered(name, is_within) => {
                push_attribute(&mut attributes, name, write);
            }
            None => push_attribute(&mut attributes, own, write),
        }
        self.attributes = attributes;
    }

    /// Takes what is no attribute. Returns whether it was.
    fn takes(&mut self, text: &str) -> bool {
        match (self.name(), self.event.as_str()) {
            ("timestamp", _) => {
                let ns = text.parse::<Timestamp>().ok().map(Timestamp::as_nanosecond);
                self.time_ns = ns.and_then(|ns| u64::try_from(ns).ok());
                return self.time_ns.is_some();
            }
            ("event.name", _) => self.event.push_str(text),
            ("message", "bpf.printk") | ("line", "bpf.iterator") => push_text(&mut self.body, text),
            ("version", "trace.start") => self.version.push_str(text),
            ("tool", "trace.start") => {} // the encoder knows it
            (name, "trace.start") if OF_RESOURCE.contains(&name) => {
                let is_registered = names::is_registered(name, false);
                let name = if is_registered { name } else { &self.path }.to_owned();
                self.resource.push(b',');
                push_attribute(&mut self.resource, &name, |out| push_text(out, text));
            }
            _ => return false,
        }
        true
    }
}

/// Reads a line.
pub(super) struct Whole<'r>(pub(super) &'r mut Record);

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        Member { record: self.0, is_within: false }.members(members)
    }
}

/// A member, whose name is in the record.
struct Member<'r> {
    record: &'r mut Record,
    /// Others chose its name
    is_within: bool,
}

impl Member<'_> {
    /// Reads the members of an object, each under its name behind a dot.
    fn members<'de, A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { record, is_within } = self;
        let len = record.path.len();
        while let Some(name) = members.next_key_seed(Name)? {
            if len > OWN.len() {
                record.path.push('.');
            }
            record.path.push_str(&name);
            members.next_value_seed(Member { record: &mut *record, is_within })?;
            record.path.truncate(len);
        }
        Ok(())
    }

    fn is_base64(&self) -> bool {
        !self.is_within && self.record.path.ends_with(BASE64)
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.record.severity.is_superseded |= value && self.record.name() == "connect.superseded";
        self.record.severity.has_failed |= value && self.record.name() == "brk.refused";
        self.record.attribute(self.is_within, |out| push_bool(out, value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.record.attribute(self.is_within, |out| super::value::push_int(out, value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let is_failure = value > 0 && COUNTS.contains(&self.record.name());
        self.record.severity.has_failed |= is_failure;
        self.record.attribute(self.is_within, |out| push_unsigned(out, value));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.record.attribute(self.is_within, |out| push_double(out, value));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.is_within || !self.record.takes(text) {
            let is_base64 = self.is_base64();
            self.record.note_text(text);
            self.record.attribute(self.is_within, |out| match is_base64 {
                true => push_bytes(out, text),
                false => push_text(out, text),
            });
        }
        Ok(())
    }

    /// What is null is absent.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        let is_of_others = names::is_whole(self.record.name());
        self.one(|any| Any { is_of_others, ..any }.visit_seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        if names::is_whole(self.record.name()) {
            return self.one(|any| Any { is_of_others: true, ..any }.visit_map(members));
        }
        let is_within = self.is_within || names::is_template(self.record.name());
        Member { record: self.record, is_within }.members(members)
    }
}

impl Member<'_> {
    /// An attribute of this member as it is.
    fn one<E>(self, write: impl FnOnce(Any<'_>) -> Result<(), E>) -> Result<(), E> {
        let is_base64 = self.is_base64();
        let mut written = Ok(());
        self.record.attribute(self.is_within, |out| {
            written = write(Any { out, is_base64, is_of_others: false });
        });
        written
    }
}
