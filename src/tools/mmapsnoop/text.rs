//! Calls as rows of a table. Nothing is allocated for a row without notes: millions a
//! second go through here.

use super::Call;
pub use super::cells::{Context, name};
use super::cells::{
    NONE, address, ancestors, descriptor, flags_of, length, login, offset, prot, push_micros,
    push_result, push_vma,
};
use super::fields::FIELDS;
use crate::host::unit::Units;
use crate::output::row::{ANCESTORS, Field, LOGIN, View, titles, unknown};
use crate::output::table::{Column, Line};
use crate::output::time::{Seconds, TimeForm};

/// The columns, and the form of sizes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The local time
    pub time: bool,
    /// The form of that
    pub time_form: TimeForm,
    /// Seconds since the start
    pub timestamp: bool,
    /// The real user
    pub uid: bool,
    /// The container
    pub container: bool,
    /// Who logged in
    pub login: bool,
    /// The processes above
    pub ancestors: bool,
    /// The name of the call, since there are several, and its address, by which they belong together
    pub calls: bool,
    /// The resulting mapping
    pub vma: bool,
    /// How long it took
    pub latency: bool,
    /// Sizes in bytes
    pub bytes: bool,
}

impl Options {
    /// Whether a flag asks for this column, which becomes as wide as its values need.
    fn by_flag(&self, column: &mut Column) -> Option<bool> {
        match column.title {
            "TIME" => {
                column.width = self.time_form.width();
                Some(self.time)
            }
            "TIME(s)" => Some(self.timestamp),
            "UID" => Some(self.uid),
            "CONTAINER" => Some(self.container),
            "UNIT" => Some(false),
            LOGIN => Some(self.login),
            ANCESTORS => Some(self.ancestors),
            "CALL" => Some(self.calls),
            "ADDR" => Some(self.calls || self.vma),
            "LEN" if self.bytes => {
                column.width = 10;
                None
            }
            "FD" | "OFFSET" => Some(false),
            "LAT(us)" => Some(self.latency),
            "VMA" => Some(self.vma),
            _ => None,
        }
    }
}

/// The table of these options.
#[derive(Clone, Debug)]
pub struct Table {
    /// Heading and widths
    pub columns: Vec<Column>,
    options: Options,
    /// Columns were chosen by name: these and no others
    is_chosen: bool,
}

/// Columns of any tool that this one has no field for.
const MORE: [Field<()>; 3] = [Field::PPID, Field::TID, Field::CGROUP];

/// Columns by the keys that their values have in JSON.
const KEYS: [(&str, &str); 10] = [
    ("process.parent_pid", "PPID"),
    ("thread.id", "TID"),
    ("mmap.address", "ADDR"),
    ("mmap.length_bytes", "LEN"),
    ("mmap.prot", "PROT"),
    ("mmap.flags", "FLAGS"),
    ("mmap.fd", "FD"),
    ("mmap.offset_bytes", "OFFSET"),
    ("file.path", "PATH/RESULT"),
    ("error.type", "PATH/RESULT"),
];

impl Table {
    /// A table with the columns that `options` ask for.
    pub fn new(options: Options) -> Self {
        let shows = |column: &mut Column| options.by_flag(column).unwrap_or(true);
        let view = View::new(FIELDS.iter().copied(), shows);
        Self { columns: view.columns().to_vec(), options, is_chosen: false }
    }

    /// A table with the columns of `names`, or without names the usual ones.
    ///
    /// # Errors
    ///
    /// A column that does not exist, in one line.
    pub fn choose(options: Options, names: &[String]) -> Result<Self, String> {
        if names.is_empty() {
            return Ok(Self::new(options));
        }
        let fields: Vec<_> = FIELDS.iter().copied().chain(MORE).collect();
        let known = |name: &String| {
            let key = KEYS.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            key.map_or_else(|| name.clone(), |(_, title)| (*title).to_owned())
        };
        let titles_of: Vec<_> = names.iter().map(known).collect();
        let view = View::choose(&fields, &titles_of, |column| options.by_flag(column))?;
        let titles = titles(&fields);
        // What is only in JSON is written by code of its own.
        let other = view.columns().iter().find(|column| !titles.contains(&column.title));
        match other {
            Some(column) => Err(unknown(column.title, titles)),
            None => Ok(Self { columns: view.columns().to_vec(), options, is_chosen: true }),
        }
    }

    /// Whether there is a column with this heading.
    pub fn shows(&self, title: &str) -> bool {
        self.columns.iter().any(|column| column.title == title)
    }

    /// Appends the row of `call` to `line`, which has just begun.
    pub fn row(&self, line: &mut Line<'_>, call: &Call<'_>, context: &Context<'_>) {
        if self.is_chosen {
            return self.chosen_row(line, call, context);
        }
        let Options { time, timestamp, uid, container, calls, vma, latency, bytes, .. } =
            self.options;
        let Options { login: with_login, ancestors: with_ancestors, .. } = self.options;
        if time {
            line.text(context.time);
        }
        if timestamp {
            line.value(Seconds(context.since_ns));
        }
        if uid {
            line.number(call.id.uid);
        }
        if with_login {
            login(line, context);
        }
        if container {
            line.name(context.container.unwrap_or("-").as_bytes());
        }
        line.number(call.id.pid).comms(call.id.comm(), call.id.thread_comm());
        if calls {
            line.ascii(|out| out.extend_from_slice(name(call).as_bytes()));
        }
        if calls || vma {
            address(line, call);
        }
        flags_of(prot(length(line, call, bytes), call), call);
        if latency {
            line.ascii(|out| push_micros(out, call.duration_ns()));
        }
        if vma {
            line.ascii(|out| push_vma(out, call));
        }
        line.ascii(|out| push_result(out, call, context));
        if with_ancestors {
            ancestors(line, context);
        }
    }

    /// The same for columns in any order.
    #[cold]
    fn chosen_row(&self, line: &mut Line<'_>, call: &Call<'_>, context: &Context<'_>) {
        for column in &self.columns {
            match column.title {
                "TIME" => line.text(context.time),
                "TIME(s)" => line.value(Seconds(context.since_ns)),
                "UID" => line.number(call.id.uid),
                LOGIN => login(line, context),
                ANCESTORS => ancestors(line, context),
                "PID" => line.number(call.id.pid),
                "PPID" => line.number(call.id.ppid),
                "TID" => line.number(call.id.tid),
                "COMM" => line.comms(call.id.comm(), call.id.thread_comm()),
                "CGROUP" => line.name(context.cgroup.unwrap_or(b"-")),
                "CONTAINER" => line.name(context.container.unwrap_or("-").as_bytes()),
                "UNIT" => line.name(unit(context.cgroup).unwrap_or(b"-")),
                "CALL" => line.ascii(|out| out.extend_from_slice(name(call).as_bytes())),
                "ADDR" => address(line, call),
                "LEN" => length(line, call, self.options.bytes),
                "PROT" => prot(line, call),
                "FLAGS" => flags_of(line, call),
                "FD" => descriptor(line, call),
                "OFFSET" => offset(line, call),
                "LAT(us)" => line.ascii(|out| push_micros(out, call.duration_ns())),
                "VMA" => line.ascii(|out| push_vma(out, call)),
                "PATH/RESULT" => line.ascii(|out| push_result(out, call, context)),
                _ => line.short(NONE),
            };
        }
    }
}

/// As in other tools: of the user's own manager, if there is one.
fn unit(cgroup: Option<&[u8]>) -> Option<&[u8]> {
    let units = Units::of(cgroup?);
    units.user_unit.or(units.unit)
}

#[cfg(test)]
impl Options {
    /// Every column that a flag asks for.
    pub(super) const ALL: Self = Self {
        time: true,
        time_form: TimeForm { utc: false, date: false },
        timestamp: true,
        uid: true,
        container: true,
        login: true,
        ancestors: true,
        calls: true,
        vma: true,
        latency: true,
        bytes: true,
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{any_record, record, with_extra, with_path};
    use super::*;
    use crate::skel::{mmap_event, mmap_extra, mmap_kind, mmap_note};

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
        assert_eq!(ok, ["0", "-", "8K", "rw-", "PRIVATE|ANONYMOUS", "-"]);
        let failed = mmap_event { ret: -22, len: 0, addr: 0x1000, ..event };
        assert!(
            row(plain, &record(failed))
                .ends_with(" PRIVATE|ANONYMOUS       EINVAL  # asked for 0x1000\n"),
            "{}",
            row(plain, &record(failed))
        );
        let file = mmap_event { flags: 2, fd: 3, offset: 4096, ..event };
        let shown = row(plain, &with_path(file, b"/tmp/a b"));
        assert!(shown.ends_with(" /tmp/a\\040b\n"), "{shown}");
        let exact = fields(Options { bytes: true, ..plain }, &record(event));
        assert_eq!(exact[2], "8192");
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
            "0 - mremap 0x5000 8K - MAYMOVE - # was 0x1000 4K"
        );
        let event = mmap_event { kind: mmap_kind::MMAP_BREAK, addr: 0x2000, ret: 0x1000, ..event };
        assert_eq!(
            fields(all, &record(event)).join(" "),
            "0 - brk 0x1000 - - - refused # asked for 0x2000"
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
        let (time, container) = ("12:00:00", Some("web"));
        let context = Context { time, since_ns: 2_000_000_000, container, ..Context::default() };
        let mut out = Vec::new();
        let call = Call::decode(&record).unwrap();
        table.row(&mut Line::new(&mut out, &table.columns), &call, &context);
        let text = String::from_utf8(out).unwrap();
        let titles = table.columns.iter().map(|column| column.title);
        let cells: Vec<_> = titles.zip(text.split_whitespace()).collect();
        let expected = [
            ("TIME", "12:00:00"),
            ("TIME(s)", "2.000"),
            ("UID", "0"),
            ("LOGIN", "-"),
            ("CONTAINER", "web"),
            ("PID", "0"),
            ("COMM", "-"),
            ("CALL", "mmap"),
            ("ADDR", "0x7f0000001000"),
            ("LEN", "8192"),
            ("PROT", "rw-"),
            ("FLAGS", "PRIVATE|ANONYMOUS"),
            ("LAT(us)", "1.5"),
            ("VMA", "7f0000001000-7f0000003000,rw-p"),
            ("PATH/RESULT", "-"),
            ("ANCESTORS", "-"),
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn chosen_columns_are_the_same_cells() {
        let chosen = |names: &str| {
            let names: Vec<_> = names.split(',').map(str::to_owned).collect();
            Table::choose(Options::default(), &names)
        };
        let shown = |table: &Table, record: &[u8]| {
            let mut out = Vec::new();
            let call = Call::decode(record).unwrap();
            table.row(&mut Line::new(&mut out, &table.columns), &call, &Context::default());
            String::from_utf8(out).unwrap()
        };
        let file = with_path(mmap_event { flags: 2, fd: 3, offset: 4096, ..anonymous() }, b"/x");
        let usual = chosen("pid,comm,len,prot,flags,path/result").unwrap();
        let remap = mmap_event { kind: mmap_kind::MMAP_REMAP, flags: 1, ..anonymous() };
        for record in [&record(anonymous()), &file, &record(remap)] {
            assert_eq!(shown(&usual, record), row(Options::default(), record));
        }
        let table =
            chosen("mmap.fd,offset,ADDR,file.path,ppid,tid,cgroup,uid,call,lat,vma").unwrap();
        let cells = shown(&table, &file);
        let cells: Vec<_> = cells.split_whitespace().collect();
        let expected = ["3", "4096", "0x7f0000001000", "/x", "0", "0", "-", "0", "mmap", "-", "-"];
        assert_eq!(cells, expected);
        for wrong in ["pid,nope", "stack.kernel"] {
            assert!(chosen(wrong).unwrap_err().starts_with("no column '"), "{wrong}");
        }
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
