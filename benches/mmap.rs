//! Micro-benchmarks of mmapsnoop's rows: from the bytes of a record to the bytes of a row.
//! Millions of calls a second may have to be shown; divan's items per second are rows.
#![expect(clippy::unwrap_used, reason = "the records are made here, and are whole")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

use snoop_tools::engine::session::Place;
use snoop_tools::output::filter::Expr;
use snoop_tools::output::otlp::Encoder;
use snoop_tools::output::table::Line;
use snoop_tools::output::time::{WallClock, boot_now_ns};
use snoop_tools::skel::{mmap_event, mmap_kind};
use snoop_tools::tools::mmapsnoop::Call;
use snoop_tools::tools::mmapsnoop::json::{Context, Lines};
use snoop_tools::tools::mmapsnoop::testing::{record, with_path};
use snoop_tools::tools::mmapsnoop::text::{self, Options, Table};

fn main() {
    divan::main();
}

/// What is mapped.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// As malloc() does it
    Anonymous,
    /// A library
    File,
    /// EINVAL: the call that costs its program least, so that most of them fit in a second
    Failed,
}

const KINDS: [Kind; 3] = [Kind::Anonymous, Kind::File, Kind::Failed];

/// Rows of one round, as from one look at the buffer.
const ROWS: usize = 512;

fn example(kind: Kind) -> Vec<u8> {
    let mut event = mmap_event {
        kind: mmap_kind::MMAP_MAP,
        len: 135_168,
        prot: 3,
        flags: 0x22,
        fd: -1,
        ret: 0x7fe2_8385_2000,
        ..mmap_event::default()
    };
    event.id.time_ns = boot_now_ns();
    event.id.pid = 1_234_567;
    event.id.tid = 1_234_567;
    event.id.vpid = 1_234_567;
    event.id.ppid = 4321;
    event.id.cgroup = 1;
    event.id.comm.iter_mut().zip(b"program").for_each(|(to, from)| *to = *from);
    match kind {
        Kind::Anonymous => record(event),
        Kind::Failed => record(mmap_event { ret: -22, len: 0, ..event }),
        Kind::File => {
            let event = mmap_event { flags: 0x812, prot: 5, fd: 3, offset: 155_648, ..event };
            with_path(event, b"/usr/lib/x86_64-linux-gnu/libc.so.6")
        }
    }
}

#[divan::bench(args = KINDS)]
fn decode(bencher: Bencher<'_, '_>, kind: Kind) {
    let record = example(kind);
    bencher
        .counter(ItemsCount::new(1u32))
        .bench(|| Call::decode(black_box(&record)).unwrap().event.len);
}

/// A row as mmapsnoop shows it without flags.
#[divan::bench(args = KINDS)]
fn text_row(bencher: Bencher<'_, '_>, kind: Kind) {
    let record = example(kind);
    let table = Table::new(Options::default());
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        out.clear(); // as after a flush: the memory is kept
        for _ in 0..ROWS {
            let call = Call::decode(black_box(&record)).unwrap();
            let mut line = Line::new(&mut out, &table.columns);
            table.row(&mut line, &call, &text::Context::default());
        }
        black_box(&out);
    });
}

/// A row of `--json`, its time included.
#[divan::bench(args = KINDS)]
fn json_row(bencher: Bencher<'_, '_>, kind: Kind) {
    let record = example(kind);
    let mut clock = WallClock::default();
    let mut lines = Lines::default();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        out.clear();
        for _ in 0..ROWS {
            let call = Call::decode(black_box(&record)).unwrap();
            let context = Context {
                timestamp: clock.stamp(call.id.time_ns),
                place: Place { cgroup: Some(b"/system.slice/example.service"), ..Place::default() },
                ..Context::default()
            };
            lines.push(&mut out, &call, &context);
            out.push(b'\n');
        }
        black_box(&out);
    });
}

/// A line of `--json`, without its end.
fn example_line(kind: Kind) -> Vec<u8> {
    let record = example(kind);
    let call = Call::decode(&record).unwrap();
    let place = Place { cgroup: Some(b"/system.slice/example.service"), ..Place::default() };
    let context =
        Context { timestamp: "2026-11-20T14:47:21.359380100Z", place, ..Context::default() };
    let mut line = Vec::new();
    Lines::default().push(&mut line, &call, &context);
    line
}

/// `--json=otlp`, on top of the line that it is made of.
#[divan::bench(args = KINDS)]
fn otlp(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut line = example_line(kind);
    line.push(b'\n');
    let mut encoder = Encoder::new("mmapsnoop");
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        out.clear();
        for _ in 0..ROWS {
            encoder.lines(&mut out, |out| out.extend_from_slice(black_box(&line)));
        }
        black_box(&out);
    });
}

/// `--filter`, on top of the line that it looks at.
#[divan::bench(args = [
    "process.pid == 7",
    "process.comm == \"no-such\" || mmap.length_bytes > 1048576 && !(file.path ~ \"^/usr/\")",
])]
fn filter(bencher: Bencher<'_, '_>, text: &str) {
    let expr = Expr::parse(text).unwrap();
    let line = example_line(Kind::File);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        for _ in 0..ROWS {
            black_box(expr.is_true_of(black_box(&line)));
        }
    });
}
