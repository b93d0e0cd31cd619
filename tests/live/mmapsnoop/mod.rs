//! mmapsnoop: what is shown is what was called, as the program itself says.

mod accounting;
mod calls;
mod files;
mod filters;
mod stacks;
mod summary;
mod wx;

use std::fs;
use std::process::Stdio;
use std::sync::OnceLock;

use base64::Engine as _;
use serde_json::Value;

use crate::harness::*;
use crate::skip::{self, skip};

const MMAPSNOOP: Tool = Tool("mmapsnoop");
const BACKENDS: [&str; 3] = ["fexit", "tracepoint", "tp_btf"];

/// The backends that work here.
fn backends() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&str>> = OnceLock::new();
    FOUND.get_or_init(|| MMAPSNOOP.backends(&BACKENDS, &[]))
}

/// Runs `test` over the backends, with the ring buffer. The transport is the same for all
/// calls: one test is enough for the other one.
fn each_backend(test: impl Fn(Setup)) {
    over_ring(backends(), test);
}

/// What `mapper` says that it did.
#[derive(Debug)]
struct Truth {
    name: String,
    args: [u64; 6],
    result: i64,
    path: String,
}

impl Truth {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let name = words.next().unwrap().to_owned();
        let args = std::array::from_fn(|_| u64::from_str_radix(words.next().unwrap(), 16).unwrap());
        let result = words.next().unwrap();
        let result = match result.strip_prefix('-') {
            Some(error) => -i64::from_str_radix(error, 16).unwrap(),
            None => i64::from_str_radix(result, 16).unwrap(),
        };
        let path = words.next().unwrap().replace("%20", " ").replace("%0a", "\n");
        Self { name, args, result, path }
    }

    fn errno(&self) -> Option<String> {
        let failed = (-4095..0).contains(&self.result);
        failed.then(|| format!("{:?}", nix::errno::Errno::from_raw(-self.result as i32)))
    }
}

/// What a traced `mapper` did: the rows of the tool, and what the program says itself.
#[derive(Debug)]
struct Traced {
    trace: Trace,
    truth: Vec<Truth>,
}

impl Traced {
    fn rows(&self) -> Vec<&Value> {
        self.trace.of("mapper")
    }
}

/// `mmapsnoop --json FLAGS -- mapper ARGS`, to its end.
fn trace(setup: Setup, flags: &[&str], args: &[&str]) -> Traced {
    let dir = TempDir::new();
    let truth = dir.path("truth");
    let mut tool = MMAPSNOOP.command(&setup.flags());
    tool.arg("--json").args(flags).arg("--").arg(fixture("mapper")).args(args);
    let trace = parse(&tool.env("MAPPER_OUT", &truth).stdin(Stdio::null()).output().unwrap());
    assert_eq!(trace.status, 0, "{trace:?}");
    trace.is_complete();
    assert_eq!(trace.start["backend"], setup.backend);
    let truth = fs::read_to_string(truth).unwrap_or_default();
    Traced { trace, truth: truth.lines().map(Truth::parse).collect() }
}

/// A number that is shown as `"0x…"`.
fn hex(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no number: {value}"));
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// The value that names stand for: an independent table, from the manual pages.
fn bits(list: &Value, names: &[(&str, u64)]) -> u64 {
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).iter().fold(0, |all, name| {
        let name = name.as_str().unwrap();
        let known = names.iter().find(|(known, _)| *known == name);
        all | known.map_or_else(|| hex(&Value::from(name)), |(_, bit)| *bit)
    })
}

const PROT: &[(&str, u64)] =
    &[("READ", 1), ("WRITE", 2), ("EXEC", 4), ("SEM", 8), ("GROWSDOWN", 0x100_0000)];

const MAP: &[(&str, u64)] = &[
    ("SHARED", 1),
    ("PRIVATE", 2),
    ("SHARED_VALIDATE", 3),
    ("DROPPABLE", 8),
    ("FIXED", 0x10),
    ("ANONYMOUS", 0x20),
    ("32BIT", 0x40),
    ("ABOVE4G", 0x80),
    ("GROWSDOWN", 0x100),
    ("DENYWRITE", 0x800),
    ("EXECUTABLE", 0x1000),
    ("LOCKED", libc::MAP_LOCKED as u64), // these two are others on ppc64le
    ("NORESERVE", libc::MAP_NORESERVE as u64),
    ("POPULATE", 0x8000),
    ("NONBLOCK", 0x10000),
    ("STACK", 0x20000),
    ("HUGETLB", 0x40000),
    ("SYNC", 0x80000),
    ("FIXED_NOREPLACE", 0x100000),
];

/// Compares the row of an mmap() with what the program says.
fn check_map(row: &Value, truth: &Truth) {
    let context = format!("{row}\n{truth:x?}");
    let [addr, len, prot, flags, fd, offset] = truth.args;
    let mmap = &row["mmap"];
    assert_eq!(row["event"]["name"], "memory.map", "{context}");
    assert_eq!(mmap["hint"].as_str().map_or(0, |_| hex(&mmap["hint"])), addr, "{context}");
    assert_eq!(mmap["length_bytes"], len, "{context}");
    assert_eq!(bits(&mmap["prot"], PROT), prot, "{context}");
    let huge = mmap["huge_page_bytes"].as_u64().map_or(0, |b| u64::from(b.ilog2()) << 26);
    assert_eq!(bits(&mmap["flags"], MAP) | huge, flags, "{context}");
    let without = || (fd as i32 == -1).then_some(-1);
    assert_eq!(mmap["fd"].as_i64().or_else(without), Some((fd as i32).into()), "{context}");
    assert_eq!(mmap["offset_bytes"], offset, "{context}");
    check_result(row, truth, &mmap["address"]);
}

fn check_result(row: &Value, truth: &Truth, address: &Value) {
    let context = format!("{row}\n{truth:x?}");
    match truth.errno() {
        Some(errno) => {
            assert_eq!(row["error"]["type"], *errno, "{context}");
            assert_eq!(*address, Value::Null, "{context}");
        }
        None => {
            assert_eq!(row["error"], Value::Null, "{context}");
            assert_eq!(hex(address), truth.result as u64, "{context}");
        }
    }
}

/// The exact path of a row's file; empty if there is none.
fn path(row: &Value) -> Vec<u8> {
    let file = &row["file"];
    match file["path_base64"].as_str() {
        Some(text) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
        None => file["path"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}
