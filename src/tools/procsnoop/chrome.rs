//! `--chrome-trace`: the processes of a run as a trace in Chrome's JSON format, which Chrome's own
//! viewer and others open.

use std::io::{self, Write};

use serde::Serialize;

use super::history::{History, Past};
use super::labels::Labels;
use super::lanes::Lanes;
use crate::output::json;

/// A slice, or a name of something.
#[derive(Serialize)]
struct Event<'a> {
    ph: &'static str,
    name: &'a str,
    pid: u32,
    tid: usize,
    /// Microseconds
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    /// A colour of the viewer's
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<&'static str>,
    args: Details<'a>,
}

#[derive(Default, Serialize)]
struct Details<'a> {
    /// Of a name
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<f64>,
}

/// The colour of what failed.
const FAILED: &str = "terrible";

/// The most characters of a slice's name.
const MOST_NAME: usize = 70;

/// All lanes belong to one process of this number, as the format has it.
const LANES: u32 = 1;

/// Writes the trace. `title`: what was traced.
pub fn write(out: &mut dyn Write, history: &History, title: &str) -> io::Result<()> {
    let (first, last) = history.span().unwrap_or((0, 0));
    let lanes = Lanes::of_history(history, last);
    let all = history.processes();
    let labels = Labels::new(history);
    write!(out, "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
    let name = Event {
        ph: "M",
        name: "process_name",
        pid: LANES,
        tid: 0,
        ts: None,
        dur: None,
        cname: None,
        args: Details { name: Some(title), ..Details::default() },
    };
    json::write(&mut *out, &name)?;
    for (past, lane) in all.iter().zip(&lanes.of) {
        let label = labels.label(past, MOST_NAME);
        let command = past.label();
        let us = |ns: u64| ns as f64 / 1000.0;
        let (start_ns, end_ns) = history.drawn(past, last);
        writeln!(out, ",")?;
        let slice = Event {
            ph: "X",
            name: &label,
            pid: LANES,
            tid: lane + 1,
            ts: Some(us(start_ns.saturating_sub(first))),
            dur: Some(us(end_ns.saturating_sub(start_ns))),
            cname: past.end.filter(|end| end.status.is_failure()).map(|_| FAILED),
            args: Details { command: Some(&command), ..details(past, all) },
        };
        json::write(&mut *out, &slice)?;
    }
    writeln!(out, "]}}")
}

fn details(past: &Past, all: &[Past]) -> Details<'static> {
    let parent = past.parent.and_then(|parent| all.get(parent));
    Details {
        pid: Some(past.pid),
        parent_pid: parent.map(|parent| parent.pid),
        status: Some(past.end.map_or("running".to_owned(), |end| end.status.to_string())),
        cpu_ms: past.end.map(|end| end.cpu_ns() as f64 / 1e6),
        ..Details::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::testing::history;
    use super::*;

    #[test]
    fn one_slice_for_each_process() {
        let history = history(&[(1, 0, 1000, 9000, 0, 500), (2, 1, 2000, 3000, 9, 0)]);
        let mut out = Vec::new();
        write(&mut out, &history, "a \"title\"").unwrap();
        let trace: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        assert_eq!(events.len(), 3);
        assert_eq!(events[0]["args"]["name"], "a \"title\"");
        assert_eq!((events[1]["ts"].as_f64(), events[1]["dur"].as_f64()), (Some(0.0), Some(8.0)));
        let expected = serde_json::json!(
            { "command": "sh", "pid": 2, "parent_pid": 1, "status": "SIGKILL", "cpu_ms": 0.0 });
        assert_eq!(events[2]["args"], expected);
        assert_eq!(events[2]["tid"], 2);
        assert_eq!(
            (&events[1]["cname"], &events[2]["cname"]),
            (&serde_json::Value::Null, &"terrible".into())
        );
    }

    #[test]
    fn a_terminal_only_shows_it() {
        let mut out = Vec::new();
        write(&mut out, &history(&[]), "\u{9b}31m \u{202e}\u{1b}\u{7}").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().all(|c| c == '\n' || crate::output::escape::is_plain(c)), "{text:?}");
    }
}
