//! Micro-benchmarks of what is done for each event in user space: from the bytes of a
//! record to the bytes of a row. Rows per second are divan's items per second.
//!
//! `bench/` measures the whole, in the kernel and side by side with other tracers.
#![expect(clippy::unwrap_used, reason = "the records are made here, and are whole")]

use std::fmt::Write as _;

use clap::Parser as _;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

use snoop_tools::output::escape::{Quote, push_cell, push_shell_word};
use snoop_tools::output::row::Common;
use snoop_tools::output::table::Line;
use snoop_tools::output::time::{WallClock, boot_now_ns};
use snoop_tools::tools::execsnoop::args::Args;
use snoop_tools::tools::execsnoop::environment::Variables;
use snoop_tools::tools::execsnoop::fields::{self, Row};
use snoop_tools::tools::execsnoop::search::Searched;
use snoop_tools::tools::execsnoop::{Exec, testing};

fn main() {
    divan::main();
}

/// What the arguments look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// As in a shell loop
    Short,
    /// As a compiler is called: many, some with something to quote
    Long,
    /// Control and invisible characters, quotes, and bytes that are no UTF-8
    Hostile,
}

const KINDS: [Kind; 3] = [Kind::Short, Kind::Long, Kind::Hostile];

fn arguments(kind: Kind) -> Vec<Vec<u8>> {
    let short = ["grep", "-q", "needle", "haystack.txt"].map(|arg| arg.as_bytes().to_vec());
    match kind {
        Kind::Short => short.to_vec(),
        Kind::Long => {
            let common = ["rustc", "--crate-name", "example", "--edition=2024", "src/lib.rs"];
            let mut args: Vec<_> = common.map(|arg| arg.as_bytes().to_vec()).to_vec();
            for number in 0..12 {
                args.push(b"--extern".to_vec());
                let file = format!("dep{number}=/target/release/deps/libdep{number}.rmeta");
                args.push(file.into_bytes());
                args.push(format!("cfg(feature, values(\"f{number}\"))").into_bytes());
            }
            args
        }
        Kind::Hostile => [
            &b"sh\x1b[2J"[..],
            b"-c",
            b"echo 'it'\n\trm $HOME",
            "\u{202e}txt.exe \u{200b}\u{3164}".as_bytes(),
            b"\xff\xfe\x80binary",
            "gr\u{fc}n \u{65e5}\u{672c}".as_bytes(),
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
    }
}

fn record(kind: Kind) -> Vec<u8> {
    let args = arguments(kind);
    let args: Vec<_> = args.iter().map(Vec::as_slice).collect();
    let mut record = testing::record("/usr/bin/program", &args);
    testing::edit(&mut record, |event| {
        event.id.pid = 1_234_567;
        event.id.ppid = 4321;
        event.id.vpid = event.id.pid;
        event.caller_tid = event.id.pid;
        event.id.time_ns = boot_now_ns();
        for (to, from) in event.id.comm.iter_mut().zip(b"program") {
            *to = *from;
        }
    });
    record
}

#[divan::bench(args = KINDS)]
fn decode(bencher: Bencher<'_, '_>, kind: Kind) {
    let record = record(kind);
    bencher.counter(ItemsCount::new(1u32)).bench(|| Exec::decode(black_box(&record)).unwrap());
}

/// Walks over the arguments and finds out whether any are missing, as each row does.
#[divan::bench(args = KINDS)]
fn walk_arguments(bencher: Bencher<'_, '_>, kind: Kind) {
    let record = record(kind);
    bencher.counter(ItemsCount::new(1u32)).bench(|| {
        let exec = Exec::decode(black_box(&record)).unwrap();
        (exec.args().count(), exec.cut(60))
    });
}

fn row<'a>(exec: &'a Exec<'a>, searched: &'a Searched) -> Row<'a> {
    Row {
        exec,
        interpreter: None,
        is_unseen: false,
        searched,
        max_args: usize::MAX,
        quote: Quote::WhereNeeded,
        has_exe_column: false,
        variables: &Variables::All,
        shows_env: false,
    }
}

fn common<'a>(exec: &'a Exec<'_>, time: &'a str) -> Common<'a> {
    let cgroup = Some(&b"/system.slice/example.service"[..]);
    Common { event: "process.exec", time, cgroup, ..Common::of(&exec.event.id) }
}

/// A row as execsnoop shows it without flags.
#[divan::bench(args = KINDS)]
fn text_row(bencher: Bencher<'_, '_>, kind: Kind) {
    let record = record(kind);
    let nowhere = Searched::default();
    let view = fields::view(&Args::parse_from(["execsnoop"])).unwrap();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        out.clear(); // as after a flush: the memory is kept
        let exec = Exec::decode(black_box(&record)).unwrap();
        let line = Line::new(&mut out, view.columns());
        view.cells(line, &common(&exec, ""), &row(&exec, &nowhere));
        black_box(&out);
    });
}

/// A row of `--json`, its time included.
#[divan::bench(args = KINDS)]
fn json_row(bencher: Bencher<'_, '_>, kind: Kind) {
    let record = record(kind);
    let nowhere = Searched::default();
    let view = fields::view(&Args::parse_from(["execsnoop", "--json"])).unwrap();
    let clock = WallClock::default();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        out.clear();
        let exec = Exec::decode(black_box(&record)).unwrap();
        let timestamp = clock.rfc3339(exec.event.id.time_ns);
        view.object(&mut out, &common(&exec, &timestamp), &row(&exec, &nowhere));
        black_box(&out);
    });
}

/// Escapes all arguments of a row with `push`.
fn each_argument(bencher: Bencher<'_, '_>, kind: Kind, push: impl Fn(&mut String, &[u8])) {
    let args = arguments(kind);
    let bytes: usize = args.iter().map(Vec::len).sum();
    let mut out = String::new();
    let bencher = bencher.counter(ItemsCount::new(args.len())).counter(BytesCount::new(bytes));
    bencher.bench_local(|| {
        out.clear();
        for arg in black_box(&args) {
            push(&mut out, arg);
        }
        black_box(&out);
    });
}

/// All arguments of a row as words of a shell.
#[divan::bench(args = KINDS)]
fn shell_words(bencher: Bencher<'_, '_>, kind: Kind) {
    each_argument(bencher, kind, |out, arg| push_shell_word(out, arg, false, Quote::WhereNeeded));
}

/// The same bytes as cells of a table.
#[divan::bench(args = KINDS)]
fn cells(bencher: Bencher<'_, '_>, kind: Kind) {
    each_argument(bencher, kind, push_cell);
}

#[divan::bench]
fn time_rfc3339(bencher: Bencher<'_, '_>) {
    let clock = WallClock::default();
    let now = boot_now_ns();
    bencher.counter(ItemsCount::new(1u32)).bench(|| clock.rfc3339(black_box(now)));
}

#[divan::bench]
fn time_local(bencher: Bencher<'_, '_>) {
    let clock = WallClock::default();
    let now = boot_now_ns();
    bencher.counter(ItemsCount::new(1u32)).bench(|| clock.local_time(black_box(now)));
}

/// The column `TIME(s)`: a plain number, to compare the other two with.
#[divan::bench]
fn time_since_start(bencher: Bencher<'_, '_>) {
    let mut out = String::new();
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        out.clear();
        let since = black_box(12_345_678_901u64);
        let _ = write!(out, "{}.{:03}", since / 1_000_000_000, since / 1_000_000 % 1000);
        black_box(&out);
    });
}
