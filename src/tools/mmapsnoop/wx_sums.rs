//! `--wx --summary`: the calls of an interval, added up by process, kind of call, file and notes. A
//! JIT compiler that makes its memory writable and executable in turn is one row.

use std::collections::HashMap;

use super::summary_rows::ProcessJson;
use super::text::name;
use super::{Call, summary::ENTRIES};
use crate::output::escape::push_cell;
use crate::output::json::{Bytes, EventName};
use crate::output::table::{Column, Line, count};

/// Rows of the table; the rest is one row.
const TOP: usize = 20;

const COLUMNS: [Column; 7] = [
    Column::right("CALLS", 10),
    Column::right("FAILED", 10),
    Column::left("PID", 7),
    Column::left("COMM", 16),
    Column::left("CALL", 8),
    Column::left("ADDRESSES", 29),
    Column::left("PATH", 0),
];

/// What belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    start_ns: u64,
    call: &'static str,
    path: Vec<u8>,
    reasons: Vec<String>,
}

/// The calls of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sum {
    calls: u64,
    failed: u64,
    comm: Vec<u8>,
    /// From the lowest address to the end of the highest memory, if known
    range: Option<(u64, u64)>,
}

/// The calls of an interval.
#[derive(Debug, Default)]
pub struct Sums {
    rows: HashMap<Key, Sum>,
    /// Calls for which there was no room
    others: u64,
    others_failed: u64,
}

impl Sums {
    /// Adds a call, which is shown for these reasons.
    pub fn add(&mut self, call: &Call<'_>, reasons: Vec<String>) {
        let key = Key {
            pid: call.id.pid,
            start_ns: call.id.start_ns,
            call: name(call),
            path: call.path.to_vec(),
            reasons,
        };
        let failed = u64::from(call.errno().is_some());
        if self.rows.len() >= ENTRIES as usize && !self.rows.contains_key(&key) {
            self.others += 1;
            self.others_failed += failed;
            return;
        }
        let sum = self.rows.entry(key).or_insert_with(|| Sum {
            calls: 0,
            failed: 0,
            comm: call.id.comm().to_vec(),
            range: None,
        });
        sum.calls += 1;
        sum.failed += failed;
        sum.range = joined(sum.range, range(call));
    }

    fn sorted(&self) -> Vec<(&Key, &Sum)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(key, sum)| {
            (std::cmp::Reverse(sum.calls), key.pid, key.call, &key.path, &key.reasons)
        });
        rows
    }

    /// A table. `time`: when the interval ended.
    pub fn text(&self, time: &str) -> Vec<u8> {
        let rows = self.sorted();
        let total = rows.iter().fold(self.others, |all, (_, sum)| all + sum.calls);
        let mut out = format!("{time}  {}\n", count(total, "call")).into_bytes();
        if total == 0 {
            return out;
        }
        out.push(b'\n');
        let mut heading = Line::new(&mut out, &COLUMNS);
        COLUMNS.iter().for_each(|column| {
            heading.text(column.title);
        });
        let (mut others, mut others_failed) = (self.others, self.others_failed);
        for (at, (key, sum)) in rows.into_iter().enumerate() {
            if at >= TOP {
                others += sum.calls;
                others_failed += sum.failed;
                continue;
            }
            let mut line = Line::new(&mut out, &COLUMNS);
            line.number(sum.calls).number(sum.failed).number(key.pid).name(&sum.comm);
            line.text(key.call).text(&addresses(sum.range)).text(&place(key));
        }
        if others > 0 {
            let mut line = Line::new(&mut out, &COLUMNS);
            line.number(others).number(others_failed).text("-").text("(others)");
            line.text("-").text("-").text("-");
        }
        out.push(b'\n');
        out
    }

    /// As lines of JSON: one for each row, and the totals last. `timestamp`: RFC 3339.
    pub fn json<'a>(&'a self, timestamp: &'a str) -> impl Iterator<Item = SumsJson<'a>> {
        let rows = self.sorted();
        let total = TotalJson {
            calls: rows.iter().fold(self.others, |all, (_, sum)| all + sum.calls),
            failed: rows.iter().fold(self.others_failed, |all, (_, sum)| all + sum.failed),
            other_calls: self.others,
        };
        let rows = rows.into_iter().map(move |(key, sum)| {
            let event = EventName { name: "memory.wx_summary.process" };
            let process = ProcessJson::new(key.pid, &sum.comm);
            let path = Bytes { keys: ("path", "path_base64"), value: Some(&key.path) };
            let file = (!key.path.is_empty()).then_some(FileJson { path });
            let wx_summary = Numbers::Row(RowJson::new(key, sum));
            SumsJson { timestamp, event, process: Some(process), file, wx_summary }
        });
        let event = EventName { name: "memory.wx_summary.total" };
        let wx_summary = Numbers::Total(total);
        rows.chain([SumsJson { timestamp, event, process: None, file: None, wx_summary }])
    }
}

/// The memory of a call that did not fail.
fn range(call: &Call<'_>) -> Option<(u64, u64)> {
    let start = call.address().filter(|_| call.errno().is_none())?;
    Some((start, start.saturating_add(call.length().unwrap_or(0))))
}

fn joined(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (one, other) {
        (Some((start, end)), Some((low, high))) => Some((start.min(low), end.max(high))),
        _ => one.or(other),
    }
}

fn addresses(range: Option<(u64, u64)>) -> String {
    range.map_or_else(|| "-".to_owned(), |(start, end)| format!("{start:x}-{end:x}"))
}

/// The path, if any, and the notes.
fn place(key: &Key) -> String {
    let mut text = String::new();
    push_cell(&mut text, &key.path);
    text.push_str("  # ");
    text.push_str(&key.reasons.join(", "));
    text
}

/// A line of JSON.
#[derive(serde::Serialize)]
pub struct SumsJson<'a> {
    timestamp: &'a str,
    event: EventName,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileJson<'a>>,
    wx_summary: Numbers<'a>,
}

#[derive(serde::Serialize)]
struct FileJson<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    Row(RowJson<'a>),
    Total(TotalJson),
}

#[derive(serde::Serialize)]
struct TotalJson {
    calls: u64,
    failed: u64,
    /// Calls for which there was no room
    other_calls: u64,
}

#[derive(serde::Serialize)]
struct RowJson<'a> {
    call: &'static str,
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    calls: u64,
    failed: u64,
}

impl<'a> RowJson<'a> {
    fn new(key: &'a Key, sum: &'a Sum) -> Self {
        Self {
            call: key.call,
            notes: &key.reasons,
            start: sum.range.map(|(start, _)| format!("{start:#x}")),
            end: sum.range.map(|(_, end)| format!("{end:#x}")),
            calls: sum.calls,
            failed: sum.failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;
    use crate::skel::{mmap_event, mmap_kind};

    fn rows(sums: &Sums) -> Vec<serde_json::Value> {
        sums.json("now").map(|row| serde_json::to_value(row).unwrap()).collect()
    }

    fn protect(pid: u32, addr: u64, ret: i64) -> Vec<u8> {
        let kind = mmap_kind::MMAP_PROTECT;
        let mut event = mmap_event { kind, addr, len: 4096, ret, fd: -1, ..mmap_event::default() };
        event.id.pid = pid;
        event.id.comm[0] = b'j';
        record(event)
    }

    fn add(sums: &mut Sums, record: &[u8], reason: &str) {
        sums.add(&Call::decode(record).unwrap(), vec![reason.to_owned()]);
    }

    #[test]
    fn flips_of_a_process_are_one_row() {
        let mut sums = Sums::default();
        for page in [3u64, 1, 2] {
            add(&mut sums, &protect(7, page * 4096, 0), "written");
        }
        add(&mut sums, &protect(7, 0x9000, -13), "both");
        add(&mut sums, &protect(8, 0x1000, 0), "written");
        let json = rows(&sums);
        assert_eq!(
            json[0],
            serde_json::json!({"timestamp": "now", "event": {"name": "memory.wx_summary.process"},
                "process": {"pid": 7, "comm": "j"},
                "wx_summary": {"call": "mprotect", "notes": ["written"],
                    "start": "0x1000", "end": "0x4000", "calls": 3, "failed": 0}})
        );
        let total = serde_json::json!({"calls": 5, "failed": 1, "other_calls": 0});
        assert_eq!(json.len(), 4);
        assert_eq!(json[3]["event"]["name"], "memory.wx_summary.total");
        assert_eq!(json[3]["wx_summary"], total);
        let text = String::from_utf8(sums.text("12:00:00")).unwrap();
        assert!(text.starts_with("12:00:00  5 calls\n"), "{text}");
        let rows: Vec<Vec<_>> =
            text.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
        let expected = ["3", "0", "7", "j", "mprotect", "1000-4000", "-", "#", "written"];
        assert_eq!(rows[0], expected, "{text}");
        assert_eq!(rows[1], ["1", "1", "7", "j", "mprotect", "-", "-", "#", "both"], "{text}");
    }

    #[test]
    fn rows_add_up_and_are_bounded() {
        let mut sums = Sums::default();
        for pid in 0..ENTRIES + 5 {
            add(&mut sums, &protect(pid, 0, 0), "x");
        }
        assert_eq!(sums.rows.len(), ENTRIES as usize);
        let total = u64::from(ENTRIES) + 5;
        let json = rows(&sums).pop().unwrap();
        assert_eq!(
            (&json["wx_summary"]["calls"], &json["wx_summary"]["other_calls"]),
            (&total.into(), &5.into())
        );
        let text = String::from_utf8(sums.text("12:00:00")).unwrap();
        let calls = text.lines().skip(3).filter_map(|line| line.split_whitespace().next());
        assert_eq!(calls.map(|calls| calls.parse::<u64>().unwrap()).sum::<u64>(), total, "{text}");
    }

    #[test]
    fn a_quiet_interval_is_one_line() {
        let quiet = Sums::default().text("12:00:00");
        assert_eq!(String::from_utf8(quiet).unwrap(), "12:00:00  0 calls\n");
    }
}
