//! Calls as rows of a table. Nothing is allocated for a row without notes: millions a
//! second go through here.

use std::io::Write as _;

use super::fields::FIELDS;
use super::{Call, flags};
use crate::output::digits::{Short, push_hex, push_number};
use crate::output::escape::{is_plain_cell, push_cell};
use crate::output::row::View;
use crate::output::table::{Column, FAILURE, Line, NOTE};
use crate::output::time::Seconds;
use crate::skel::{mmap_kind, mmap_note};

/// The columns, and the form of sizes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The local time
    pub time: bool,
    /// Seconds since the start
    pub timestamp: bool,
    /// The name of the call, since there are several
    pub calls: bool,
    /// The resulting mapping
    pub vma: bool,
    /// How long it took
    pub latency: bool,
    /// Sizes in bytes
    pub bytes: bool,
}

impl Options {
    /// Whether the table has this column, which becomes as wide as its values need.
    fn shows(&self, column: &mut Column) -> bool {
        match column.title {
            "TIME" => self.time,
            "TIME(s)" => self.timestamp,
            "CALL" => self.calls,
            "LEN" if self.bytes => {
                column.width = 10;
                true
            }
            "LAT(us)" => self.latency,
            "VMA" => self.vma,
            _ => true,
        }
    }
}

/// A row's values that are not in its record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Local time, if there is a column for it
    pub time: &'a str,
    /// Since tracing began
    pub since_ns: u64,
    /// Why `--wx` shows it
    pub wx: &'a [String],
    /// Stdout is a terminal, and colours are wanted
    pub color: bool,
}

/// The table of these options.
#[derive(Clone, Debug)]
pub struct Table {
    /// Heading and widths
    pub columns: Vec<Column>,
    options: Options,
}

#[cfg(test)]
impl Options {
    /// Every column.
    pub(super) const ALL: Self =
        Self { time: true, timestamp: true, calls: true, vma: true, latency: true, bytes: true };
}

impl Table {
    /// A table with the columns that `options` ask for.
    pub fn new(options: Options) -> Self {
        let view = View::new(FIELDS.iter().copied(), |column| options.shows(column));
        Self { columns: view.columns().to_vec(), options }
    }

    /// Appends the row of `call` to `line`, which has just begun.
    pub fn row(&self, line: &mut Line<'_>, call: &Call<'_>, context: &Context<'_>) {
        let Options { time, timestamp, calls, vma, latency, bytes } = self.options;
        if time {
            line.text(context.time);
        }
        if timestamp {
            line.value(Seconds(context.since_ns));
        }
        line.number(call.id.pid).comms(call.id.comm(), call.id.thread_comm());
        if calls {
            line.ascii(|out| out.extend_from_slice(name(call).as_bytes()));
        }
        match call.address() {
            Some(address) => line.ascii(|out| push_hex(out, address)),
            None => line.short(NONE),
        };
        match call.length() {
            Some(len) if bytes => line.number(len),
            Some(len) => line.short(flags::size(len)),
            None => line.short(NONE),
        };
        self.arguments(line, call);
        if latency {
            line.ascii(|out| push_micros(out, call.duration_ns()));
        }
        if vma {
            line.ascii(|out| push_vma(out, call));
        }
        line.ascii(|out| push_result(out, call, context));
    }

    /// PROT, FLAGS, FD and OFFSET, of which most calls lack some.
    fn arguments(&self, line: &mut Line<'_>, call: &Call<'_>) {
        let event = &call.event;
        match event.kind {
            mmap_kind::MMAP_MAP => {
                prot(line, event.prot).ascii(|out| flags::push_map(out, event.flags));
                match event.fd {
                    -1 => line.short(NO_FILE),
                    fd => line.number(fd),
                }
                .number(event.offset)
            }
            mmap_kind::MMAP_PROTECT => {
                prot(line, event.prot).ascii(|out| push_key(out, event.fd)).short(NONE).short(NONE)
            }
            mmap_kind::MMAP_ATTACH => prot(line, event.prot)
                .ascii(|out| flags::push_shm(out, event.flags))
                .number(event.fd)
                .short(NONE),
            mmap_kind::MMAP_REMAP => line
                .short(NONE)
                .ascii(|out| flags::push_remap(out, event.flags))
                .short(NONE)
                .short(NONE),
            mmap_kind::MMAP_ADVISE => line
                .short(NONE)
                .ascii(|out| flags::advice(event.prot).push(out))
                .short(NONE)
                .short(NONE),
            _ => line.short(NONE).short(NONE).short(NONE).short(NONE),
        };
    }
}

/// A cell for values that a call does not have.
const NONE: Short = Short::new("-");

/// The descriptor of most calls.
const NO_FILE: Short = Short::new("-1");

/// Protections as a cell.
fn prot<'a, 'b>(line: &'b mut Line<'a>, value: u64) -> &'b mut Line<'a> {
    match flags::short_prot(value) {
        Some(short) => line.short(short),
        None => line.ascii(|out| flags::push_prot(out, value)),
    }
}

/// Which system call it is; pkey_mprotect() is an mprotect() with a key.
pub fn name(call: &Call<'_>) -> &'static str {
    match call.event.kind {
        mmap_kind::MMAP_UNMAP => "munmap",
        mmap_kind::MMAP_PROTECT => "mprotect",
        mmap_kind::MMAP_REMAP => "mremap",
        mmap_kind::MMAP_BREAK => "brk",
        mmap_kind::MMAP_ADVISE => "madvise",
        mmap_kind::MMAP_ATTACH => "shmat",
        _ => "mmap",
    }
}

fn push_key(out: &mut Vec<u8>, key: i32) {
    if key == -1 {
        out.push(b'-');
    } else {
        out.extend_from_slice(b"PKEY=");
        push_number(out, key);
    }
}

/// Microseconds with one digit behind the point.
fn push_micros(out: &mut Vec<u8>, duration_ns: Option<u64>) {
    let Some(ns) = duration_ns else { return out.push(b'-') };
    push_number(out, ns / 1000);
    out.extend_from_slice(&[b'.', b'0' + (ns / 100 % 10) as u8]);
}

/// As in `/proc/PID/maps`.
fn push_vma(out: &mut Vec<u8>, call: &Call<'_>) {
    let Some(vma) = call.vma() else { return out.push(b'-') };
    let _ = write!(out, "{:x}-{:x} ", vma.start, vma.end); // a Vec takes everything
    out.pop();
    out.push(b',');
    out.extend_from_slice(&vma.mode());
}

/// A name of any bytes, in the last column, whose width does not matter.
fn push_name(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain_cell(bytes) {
        return out.extend_from_slice(bytes);
    }
    let mut text = String::new();
    push_cell(&mut text, bytes);
    out.extend_from_slice(text.as_bytes());
}

/// The error, if any, the path, if any, and notes behind a `#`.
fn push_result(out: &mut Vec<u8>, call: &Call<'_>, context: &Context<'_>) {
    let error = call.errno_name().or_else(|| call.is_refused().then_some("refused".into()));
    if let Some(error) = &error {
        if context.color {
            let _ = write!(out, "{FAILURE}{error}{FAILURE:#}");
        } else {
            out.extend_from_slice(error.as_bytes());
        }
    }
    if !call.path.is_empty() {
        if error.is_some() {
            out.push(b' ');
        }
        push_name(out, call.path);
    } else if error.is_none() {
        out.push(b'-');
    }
    push_notes(out, call, context);
}

fn push_notes(out: &mut Vec<u8>, call: &Call<'_>, context: &Context<'_>) {
    let hint = call.hint();
    let remapped = call.event.kind == mmap_kind::MMAP_REMAP;
    let refused = call.is_refused();
    let quiet = call.event.notes.0 & SAID == 0 && context.wx.is_empty();
    if quiet && hint.is_none() && !remapped && !refused {
        return;
    }
    let mut first = true;
    let mut say = |out: &mut Vec<u8>, words: &[u8]| {
        if !first {
            out.extend_from_slice(b", ");
        } else if context.color {
            let _ = write!(out, "{NOTE}  # ");
        } else {
            out.extend_from_slice(b"  # ");
        }
        first = false;
        out.extend_from_slice(words);
    };
    for reason in context.wx {
        say(out, reason.as_bytes());
    }
    if remapped {
        say(out, b"was ");
        push_hex(out, call.event.addr);
        out.push(b' ');
        flags::push_size(out, call.event.len);
    }
    if let Some(hint) = hint {
        say(out, b"asked for ");
        push_hex(out, hint);
    }
    if refused {
        say(out, b"asked for ");
        push_hex(out, call.event.addr);
    }
    for (note, words) in [
        (mmap_note::MMAP_PATH_CUT, &b"beginning of its path cut"[..]),
        (mmap_note::MMAP_PATH_DELETED, b"deleted"),
        (mmap_note::MMAP_COMPAT, b"32-bit"),
    ] {
        if call.is(note) {
            say(out, words);
        }
    }
    for difference in call.differences() {
        say(out, difference.as_bytes());
    }
    if !first && context.color {
        let _ = write!(out, "{NOTE:#}");
    }
}

/// Flags of a record that may give notes behind the row.
const SAID: u32 = mmap_note::MMAP_PATH_CUT.0
    | mmap_note::MMAP_PATH_DELETED.0
    | mmap_note::MMAP_COMPAT.0
    | mmap_note::MMAP_VMA.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{any_record, record, with_extra, with_path};
    use super::*;
    use crate::skel::{mmap_event, mmap_extra};

    fn row(options: Options, record: &[u8]) -> String {
        let table = Table::new(options);
        let mut out = Vec::new();
        let call = Call::decode(record).unwrap();
        table.row(&mut Line::new(&mut out, &table.columns), &call, &Context::default());
        String::from_utf8(out).unwrap()
    }

    fn fields(options: Options, record: &[u8]) -> Vec<String> {
        row(options, record).split_whitespace().map(str::to_owned).collect()
    }

    fn anonymous() -> mmap_event {
        mmap_event {
            kind: mmap_kind::MMAP_MAP,
            len: 8192,
            prot: 3,
            flags: 0x22,
            fd: -1,
            ret: 0x7f00_0000_1000,
            ..mmap_event::default()
        }
    }

    #[test]
    fn rows() {
        let plain = Options::default();
        let event = anonymous();
        let ok = fields(plain, &record(event));
        assert_eq!(
            ok,
            ["0", "-", "0x7f0000001000", "8K", "rw-", "PRIVATE|ANONYMOUS", "-1", "0", "-"]
        );
        let failed = mmap_event { ret: -22, len: 0, addr: 0x1000, ..event };
        assert!(
            row(plain, &record(failed)).ends_with("-1        0 EINVAL  # asked for 0x1000\n"),
            "{}",
            row(plain, &record(failed))
        );
        let file = mmap_event { flags: 2, fd: 3, offset: 4096, ..event };
        let shown = row(plain, &with_path(file, b"/tmp/a b"));
        assert!(shown.ends_with("  3     4096 /tmp/a\\040b\n"), "{shown}");
        let exact = fields(Options { bytes: true, ..plain }, &record(event));
        assert_eq!(exact[3], "8192");
    }

    #[test]
    fn the_heading_of_a_duration_says_its_unit() {
        let table = Table::new(Options { latency: true, ..Options::default() });
        assert!(table.columns.iter().any(|column| column.title == "LAT(us)"));
    }

    #[test]
    fn rows_of_other_calls() {
        let all = Options { calls: true, ..Options::default() };
        let event = mmap_event {
            kind: mmap_kind::MMAP_REMAP,
            addr: 0x1000,
            len: 4096,
            offset: 8192,
            flags: 1,
            ret: 0x5000,
            ..mmap_event::default()
        };
        assert_eq!(
            fields(all, &record(event)).join(" "),
            "0 - mremap 0x5000 8K - MAYMOVE - - - # was 0x1000 4K"
        );
        let event = mmap_event { kind: mmap_kind::MMAP_BREAK, addr: 0x2000, ret: 0x1000, ..event };
        assert_eq!(
            fields(all, &record(event)).join(" "),
            "0 - brk 0x1000 - - - - - refused # asked for 0x2000"
        );
        let event = mmap_event { kind: mmap_kind::MMAP_ADVISE, prot: 4, ret: 0, ..event };
        assert_eq!(fields(all, &record(event))[6], "DONTNEED");
    }

    #[test]
    fn each_cell_is_under_its_heading() {
        let notes = mmap_note(mmap_note::MMAP_VMA.0 | mmap_note::MMAP_DURATION.0);
        let event = mmap_event { fd: 3, offset: 4096, notes, ..anonymous() };
        let extra = mmap_extra {
            vma_start: 0x7f00_0000_1000,
            vma_end: 0x7f00_0000_3000,
            vma_flags: 3,
            duration_ns: 1500,
            ..mmap_extra::default()
        };
        let record = with_extra(event, extra);
        let table = Table::new(Options::ALL);
        let context = Context { time: "12:00:00", since_ns: 2_000_000_000, ..Context::default() };
        let mut out = Vec::new();
        let call = Call::decode(&record).unwrap();
        table.row(&mut Line::new(&mut out, &table.columns), &call, &context);
        let text = String::from_utf8(out).unwrap();
        let titles = table.columns.iter().map(|column| column.title);
        let cells: Vec<_> = titles.zip(text.split_whitespace()).collect();
        let expected = [
            ("TIME", "12:00:00"),
            ("TIME(s)", "2.000"),
            ("PID", "0"),
            ("COMM", "-"),
            ("CALL", "mmap"),
            ("ADDR", "0x7f0000001000"),
            ("LEN", "8192"),
            ("PROT", "rw-"),
            ("FLAGS", "PRIVATE|ANONYMOUS"),
            ("FD", "3"),
            ("OFFSET", "4096"),
            ("LAT(us)", "1.5"),
            ("VMA", "7f0000001000-7f0000003000,rw-p"),
            ("PATH/RESULT", "-"),
        ];
        assert_eq!(cells, expected);
    }

    proptest! {
        #[test]
        fn any_record_is_one_line_of_separable_cells(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<mmap_event>()),
            rest: Vec<u8>,
            path_len in 0u8..64,
        ) {
            let record = any_record(&fixed, &rest, path_len);
            let options = Options {
                calls: true, vma: true, latency: true, timestamp: true, ..Options::default()
            };
            let Some(call) = Call::decode(&record) else { return Ok(()) };
            let table = Table::new(options);
            let mut out = Vec::new();
            table.row(&mut Line::new(&mut out, &table.columns), &call, &Context::default());
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.matches('\n').count(), 1);
            let before = text.split("  # ").next().unwrap();
            prop_assert!(before.split_whitespace().count() >= table.columns.len());
        }
    }
}
