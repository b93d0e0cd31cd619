//! Summaries as tables with a histogram, and as JSON Lines: `memory.summary.process`,
//! `memory.summary.file` and `memory.summary.total`.

use std::fmt::Write as _;

use super::flags::push_size;
use super::summary::{FileSum, Length, ProcessSum, Sum, Summary};
use crate::output::escape::push_cell;
use crate::output::json::{Bytes, EventName, is_false};
use crate::output::table::{Column, Line, count};

/// Rows of each table; the rest is one row.
const TOP: usize = 20;

const PROCESSES: [Column; 5] = [
    Column::right("CALLS", 10),
    Column::right("FAILED", 10),
    Column::right("BYTES", 10),
    Column::left("PID", 7),
    Column::left("COMM", 0),
];

const FILES: [Column; 4] = [
    Column::right("CALLS", 10),
    Column::right("FAILED", 10),
    Column::right("BYTES", 10),
    Column::left("FILE", 0),
];

fn size(bytes: u64, exact: bool) -> String {
    let mut text = Vec::new();
    if exact {
        return bytes.to_string();
    }
    push_size(&mut text, bytes);
    String::from_utf8_lossy(&text).into_owned()
}

fn heading(out: &mut Vec<u8>, columns: &[Column]) {
    let mut line = Line::new(out, columns);
    for column in columns {
        line.text(column.title);
    }
}

fn numbers<'a, 'b>(line: &'b mut Line<'a>, sum: &Sum, exact: bool) -> &'b mut Line<'a> {
    line.number(sum.calls).number(sum.failed).text(&size(sum.bytes, exact))
}

/// `summary` as tables. `time`: when its interval ended. `exact`: sizes in bytes.
pub fn text(summary: &Summary, time: &str, exact: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let total = &summary.total;
    let calls = count(total.calls, "call");
    let mut mapped = size(total.bytes, exact);
    if exact {
        mapped.push_str(" bytes");
    }
    let mut head = format!("{time}  {calls}, {} failed, {mapped} mapped", total.failed);
    head.push('\n');
    out.extend_from_slice(head.as_bytes());
    if total.calls == 0 {
        return out;
    }
    out.push(b'\n');
    heading(&mut out, &PROCESSES);
    let mut rest = summary.other_processes;
    for (at, ProcessSum { sum, pid, comm }) in summary.processes.iter().enumerate() {
        if at >= TOP {
            rest.add(*sum);
            continue;
        }
        let mut line = Line::new(&mut out, &PROCESSES);
        numbers(&mut line, sum, exact).number(*pid).name(comm);
    }
    if rest.calls > 0 {
        let mut line = Line::new(&mut out, &PROCESSES);
        numbers(&mut line, &rest, exact).text("-").text("(others)");
    }
    out.push(b'\n');
    heading(&mut out, &FILES);
    let mut rest = summary.other_files;
    if summary.anonymous.calls > 0 {
        let mut line = Line::new(&mut out, &FILES);
        numbers(&mut line, &summary.anonymous, exact).text("(no file)");
    }
    for (at, file) in summary.files.iter().enumerate() {
        if at >= TOP {
            rest.add(file.sum);
            continue;
        }
        let mut line = Line::new(&mut out, &FILES);
        numbers(&mut line, &file.sum, exact).text(&file_name(file));
    }
    if rest.calls > 0 {
        let mut line = Line::new(&mut out, &FILES);
        numbers(&mut line, &rest, exact).text("(others)");
    }
    let mut histogram = String::new();
    let _ = writeln!(histogram, "\n{:>10} .. {:<10} {:>9}", "LENGTH", "", "CALLS");
    summary.sizes.draw(&mut histogram, bound);
    out.extend_from_slice(histogram.as_bytes());
    out.push(b'\n');
    out
}

/// A bound of the histogram.
fn bound(bytes: u64) -> String {
    // The end of the last bucket is 2^64, which no u64 can hold.
    if bytes == u64::MAX { "16E".to_owned() } else { size(bytes, false) }
}

fn file_name(file: &FileSum) -> String {
    let mut name = String::new();
    if file.cut {
        name.push_str("...");
    }
    push_cell(&mut name, &file.path);
    if file.deleted {
        name.push_str("  # deleted");
    }
    name
}

/// A line of JSON: of a process, of a file, or of all calls.
#[derive(serde::Serialize)]
pub struct SummaryJson<'a> {
    timestamp: &'a str,
    event: EventName,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileJson<'a>>,
    summary: Numbers<'a>,
}

#[derive(serde::Serialize)]
struct Numbers<'a> {
    #[serde(flatten)]
    sum: Sum,
    #[serde(flatten)]
    of_all: Option<OfAll<'a>>,
}

/// What has no line of its own, and the lengths.
#[derive(serde::Serialize)]
struct OfAll<'a> {
    other_processes: Sum,
    other_files: Sum,
    no_file: Sum,
    lengths: &'a [Length],
}

/// The process that a line of sums is about.
#[derive(serde::Serialize)]
pub(super) struct ProcessJson<'a> {
    pid: u32,
    #[serde(flatten)]
    comm: Bytes<'a>,
}

impl<'a> ProcessJson<'a> {
    /// `comm`: its name, without a NUL.
    pub(super) fn new(pid: u32, comm: &'a [u8]) -> Self {
        Self { pid, comm: Bytes { keys: ("comm", "comm_base64"), value: Some(comm) } }
    }
}

#[derive(serde::Serialize)]
struct FileJson<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    #[serde(skip_serializing_if = "is_false")]
    path_cut: bool,
    #[serde(skip_serializing_if = "is_false")]
    deleted: bool,
    device: String,
    inode: String,
}

impl<'a> FileJson<'a> {
    fn new(row: &'a FileSum) -> Self {
        let path = Some(&*row.path).filter(|path| !path.is_empty());
        Self {
            path: Bytes { keys: ("path", "path_base64"), value: path },
            path_cut: row.cut,
            deleted: row.deleted,
            device: row.id.device.to_string(),
            inode: row.id.inode.to_string(),
        }
    }
}

/// `summary` as lines of JSON: one for each process, one for each file, and the totals last. All
/// have this timestamp, RFC 3339.
pub fn json<'a>(summary: &'a Summary, timestamp: &'a str) -> impl Iterator<Item = SummaryJson<'a>> {
    let line = move |name, sum| SummaryJson {
        timestamp,
        event: EventName { name },
        process: None,
        file: None,
        summary: Numbers { sum, of_all: None },
    };
    let processes = summary.processes.iter().map(move |row| SummaryJson {
        process: Some(ProcessJson::new(row.pid, &row.comm)),
        ..line("memory.summary.process", row.sum)
    });
    let files = summary.files.iter().map(move |row| SummaryJson {
        file: Some(FileJson::new(row)),
        ..line("memory.summary.file", row.sum)
    });
    let of_all = OfAll {
        other_processes: summary.other_processes,
        other_files: summary.other_files,
        no_file: summary.anonymous,
        lengths: &summary.lengths,
    };
    let total = SummaryJson {
        summary: Numbers { sum: summary.total, of_all: Some(of_all) },
        ..line("memory.summary.total", summary.total)
    };
    processes.chain(files).chain([total])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::mmapsnoop::{Device, FileId};

    fn rows(summary: &Summary) -> Vec<serde_json::Value> {
        json(summary, "now").map(|row| serde_json::to_value(row).unwrap()).collect()
    }

    fn example(processes: u32) -> Summary {
        let mut summary = Summary::default();
        for pid in 0..processes {
            let sum = Sum { calls: 10, failed: 1, bytes: 4096 };
            summary.total.add(sum);
            (0..10).for_each(|_| summary.sizes.add(4096));
            summary.processes.push(ProcessSum { sum, pid, comm: b"a b".to_vec() });
        }
        summary.anonymous = summary.total;
        summary
    }

    #[test]
    fn a_quiet_interval_is_one_line() {
        let quiet = text(&Summary::default(), "12:00:00", false);
        assert_eq!(String::from_utf8(quiet).unwrap(), "12:00:00  0 calls, 0 failed, 0 mapped\n");
    }

    #[test]
    fn sizes_have_their_units() {
        let mut summary = example(1);
        summary.sizes.add(u64::MAX);
        let head = |exact| {
            let text = String::from_utf8(text(&summary, "12:00:00", exact)).unwrap();
            assert!(text.contains("        8E .. 16E "), "{text}");
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(head(true), "12:00:00  10 calls, 1 failed, 4096 bytes mapped");
        assert_eq!(head(false), "12:00:00  10 calls, 1 failed, 4K mapped");
    }

    #[test]
    fn what_has_no_path_says_none() {
        let mut summary = example(1);
        summary.files.push(FileSum {
            sum: Sum::default(),
            id: FileId { device: Device(8), inode: 7 },
            path: Vec::new(),
            cut: false,
            deleted: false,
        });
        let rows = rows(&summary);
        assert_eq!(rows[1]["file"].get("path"), None, "{rows:?}");
    }

    #[test]
    fn rows_add_up_to_the_total() {
        for processes in [1, 20, 21, 500] {
            let summary = example(processes);
            let text = String::from_utf8(text(&summary, "12:00:00", true)).unwrap();
            let table = text.split("\n\n").nth(1).unwrap();
            let rows = table.lines().skip(1).map(|row| {
                let calls = row.split_whitespace().next().unwrap();
                calls.parse::<u64>().unwrap()
            });
            assert_eq!(rows.sum::<u64>(), summary.total.calls, "{text}");
            assert_eq!(text.contains("(others)"), processes > 20, "{text}");
        }
    }

    #[test]
    fn json_has_everything() {
        let mut summary = example(30);
        summary.lengths.push(Length::new(13, summary.total));
        summary.files.push(FileSum {
            sum: Sum { calls: 3, failed: 0, bytes: 3 },
            id: FileId { device: Device(8 << 20 | 1), inode: 7 },
            path: b"/x\xff".to_vec(),
            cut: true,
            deleted: false,
        });
        let rows = rows(&summary);
        let names: Vec<_> = rows.iter().filter_map(|row| row["event"]["name"].as_str()).collect();
        let mut expected = vec!["memory.summary.process"; 30];
        expected.extend(["memory.summary.file", "memory.summary.total"]);
        assert_eq!(names, expected);
        assert_eq!(
            rows[0],
            serde_json::json!({"timestamp": "now", "event": {"name": "memory.summary.process"},
                "process": {"pid": 0, "comm": "a b"},
                "summary": {"calls": 10, "failed": 1, "mapped_bytes": 4096}})
        );
        let file = serde_json::json!({"path": "/x\u{fffd}", "path_base64": "L3j/",
            "path_cut": true, "device": "8:1", "inode": "7"});
        assert_eq!(rows[30]["file"], file);
        let sum = serde_json::json!({"calls": 3, "failed": 0, "mapped_bytes": 3});
        assert_eq!(rows[30]["summary"], sum);
        let row = &rows[31];
        assert_eq!(row["summary"]["calls"], 300);
        let lengths = serde_json::json!([{
            "low": 4096, "high": 8192, "calls": 300, "failed": 30, "mapped_bytes": 122_880
        }]);
        assert_eq!(row["summary"]["lengths"], lengths);
    }
}
