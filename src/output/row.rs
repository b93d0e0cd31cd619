//! A field of an event, defined once: the column in the table, the key in JSON Lines, and the line
//! in the manual page.
//!
//! A tool has one list of its fields. A [`View`] is made from it at the start; each event then goes
//! through the list, as cells or as members. A field that writes nothing for an event is `-` in the
//! table and absent in JSON, so no cell can get under the heading of another one.

mod choose;
mod object;

use std::fmt::Display;

use crate::host::cgroup::container_id;
use crate::output::escape::{push_cell, until_nul};
use crate::output::json::{push_object, push_string};
use crate::output::table::{Column, FAILURE, Line, Output};
use crate::output::time::{Millis, Seconds};
use crate::skel::task_id;
pub use choose::{titles, unknown, without_unit};
use object::{Key, Object};

/// One field. `F`: a function that takes the tool's event and a [`Slot`] for its value; `()` for a
/// tool that writes its rows by hand.
#[derive(Clone, Copy, Debug)]
pub struct Field<F> {
    /// The column. Without a title the field is in JSON only.
    pub column: Column,
    /// Key in JSON, nested on its dots. Empty: the field is in the table only.
    pub key: &'static str,
    /// The description in the manual
    pub about: &'static str,
    put: Put<F>,
}

/// A field of an event of this type. For a type that borrows, write the function type out, so that
/// it covers all lifetimes.
pub type FieldOf<E> = Field<fn(&E, &mut Slot<'_, '_>)>;

/// Writes the value.
#[derive(Clone, Copy, Debug)]
enum Put<F> {
    /// From the members of all events
    Common(fn(&Common<'_>, &mut Slot<'_, '_>)),
    /// From the tool's own event
    Own(F),
}

/// The members of all events.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// The process and the time
    pub id: &'a task_id,
    /// `event.name`
    pub event: &'static str,
    /// Local time in a table, RFC 3339 in JSON
    pub time: &'a str,
    /// Time since tracing began
    pub since_ns: u64,
    /// Path of the cgroup, if known
    pub cgroup: Option<&'a [u8]>,
}

const NO_COLUMN: Column = Column::left("", 0);

impl<F> Field<F> {
    /// The local time.
    pub const TIME: Self = Self::common(
        Column::left("TIME", 12),
        "",
        "local time, to the millisecond",
        |common, slot| {
            slot.text(common.time);
        },
    );
    /// The time since tracing began.
    pub const SINCE: Self = Self::common(
        Column::left("TIME(s)", 8),
        "",
        "seconds since tracing began",
        |common, slot| slot.optional_seconds(Some(common.since_ns)),
    );
    /// The real user.
    pub const UID: Self = Self::common(
        Column::left("UID", 6),
        "process.real_user.id",
        "real user id of the process",
        |common, slot| slot.number(common.id.uid),
    );
    /// The process.
    pub const PID: Self =
        Self::common(Column::left("PID", 7), "process.pid", "process id", |common, slot| {
            slot.number(common.id.pid);
        });
    /// The parent.
    pub const PPID: Self = Self::common(
        Column::left("PPID", 7),
        "process.parent_pid",
        "process id of the parent",
        |common, slot| slot.number(common.id.ppid),
    );
    /// The thread.
    pub const TID: Self =
        Self::common(Column::left("TID", 7), "thread.id", "thread id", |common, slot| {
            slot.number(common.id.tid);
        });
    /// The time of birth, which tells processes apart that have the same id one after another.
    pub const START: Self = Self::common(
        NO_COLUMN,
        "process.start_boot_ns",
        "birth of the process, nanoseconds on the clock CLOCK_BOOTTIME: with process.pid its identity",
        |common, slot| slot.optional_number(Some(common.id.start_ns).filter(|ns| *ns != 0)),
    );
    /// The name of the process, and in the table also that of the thread.
    pub const COMM: Self = Self::common(
        Column::left("COMM", 16),
        "process.comm",
        "name of the process, which is its first thread's; in the table with the name of the \
         thread in brackets, if that is another one and there is room",
        |common, slot| {
            slot.cell(|line| line.comms(common.id.comm(), common.id.thread_comm()));
            slot.name(common.id.comm());
        },
    );
    /// The cgroup.
    pub const CGROUP: Self = Self::common(
        Column::left("CGROUP", 0),
        "process.linux.cgroup",
        "path of the process in the cgroup v2 hierarchy",
        |common, slot| slot.optional_name(common.cgroup),
    );

    /// Members of each line of JSON, in this order.
    const ALWAYS: [Self; 11] = [
        Self::common(NO_COLUMN, "timestamp", "time of the event, RFC 3339", |common, slot| {
            slot.text(common.time);
        }),
        Self::common(NO_COLUMN, "event.name", "kind of the event", |common, slot| {
            slot.text(common.event);
        }),
        Self::PID,
        Self::PPID,
        Self::common(
            NO_COLUMN,
            "process.vpid",
            "process id in the process's own PID namespace, if it is another one",
            |common, slot| {
                let vpid = common.id.vpid;
                slot.optional_number((vpid != common.id.pid).then_some(vpid));
            },
        ),
        Self::COMM,
        Self::common(
            NO_COLUMN,
            "process.user.id",
            "effective user id of the process",
            |common, slot| slot.number(common.id.euid),
        ),
        Self::UID,
        Self::CGROUP,
        Self::common(
            NO_COLUMN,
            "container.id",
            "id of the container, if the cgroup is one's",
            |common, slot| slot.optional_text(common.cgroup.and_then(container_id)),
        ),
        Self::common(
            NO_COLUMN,
            "thread.name",
            "name of the thread; for the first one that of the process",
            |common, slot| slot.comm(&common.id.thread_comm),
        ),
    ];

    const fn common(
        column: Column,
        key: &'static str,
        about: &'static str,
        put: fn(&Common<'_>, &mut Slot<'_, '_>),
    ) -> Self {
        Self { column, key, about, put: Put::Common(put) }
    }

    /// A column, and a member of each JSON line under `key`.
    const fn new(column: Column, key: &'static str, about: &'static str, put: F) -> Self {
        Self { column, key, about, put: Put::Own(put) }
    }

    /// A column of names, and a member under `key`.
    pub const fn left(
        title: &'static str,
        width: usize,
        key: &'static str,
        about: &'static str,
        put: F,
    ) -> Self {
        Self::new(Column::left(title, width), key, about, put)
    }

    /// A column of numbers, and a member under `key`.
    pub const fn right(
        title: &'static str,
        width: usize,
        key: &'static str,
        about: &'static str,
        put: F,
    ) -> Self {
        Self::new(Column::right(title, width), key, about, put)
    }

    /// A member of each JSON line that has no column.
    pub const fn json(key: &'static str, about: &'static str, put: F) -> Self {
        Self::new(NO_COLUMN, key, about, put)
    }
}

impl<F: Copy> Field<F> {
    /// The same field under another heading, or of another width.
    pub const fn in_column(self, column: Column) -> Self {
        Self { column, ..self }
    }
}

/// The manual's entry for a field.
#[derive(Clone, Copy, Debug)]
pub struct FieldDoc {
    /// Heading of the column; may be empty
    pub title: &'static str,
    /// Its key in JSON; may be empty
    pub key: &'static str,
    /// What it is
    pub about: &'static str,
}

/// Entries for the manual: columns first, in their order, then fields that are only in JSON.
pub fn docs<F: Copy>(fields: &[Field<F>]) -> Vec<FieldDoc> {
    let (columns, others): (Vec<_>, Vec<_>) =
        fields.iter().partition(|field| !field.column.title.is_empty());
    // Members of each line of JSON need not have a column.
    let always = Field::<F>::ALWAYS.map(|field| field.in_column(NO_COLUMN));
    let mut docs: Vec<FieldDoc> = Vec::new();
    for field in columns.into_iter().chain(&always).chain(others) {
        if field.key.is_empty() || docs.iter().all(|doc| doc.key != field.key) {
            let &Field { column: Column { title, .. }, key, about, .. } = field;
            docs.push(FieldDoc { title, key, about });
        }
    }
    docs
}

/// The shown fields of a list, and their form.
#[derive(Debug)]
pub struct View<F> {
    columns: Vec<Column>,
    cells: Vec<Put<F>>,
    members: Vec<(Key, Put<F>)>,
}

impl<F: Copy> View<F> {
    /// A view of these fields, with the columns that `is_shown` accepts and may widen.
    pub fn new(
        fields: impl IntoIterator<Item = Field<F>>,
        is_shown: impl Fn(&mut Column) -> bool,
    ) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        let mut columns = Vec::new();
        let mut cells = Vec::new();
        for field in &fields {
            let mut column = field.column;
            if !column.title.is_empty() && is_shown(&mut column) {
                columns.push(column);
                cells.push(field.put);
            }
        }
        let mut members: Vec<(Key, Put<F>)> = Vec::new();
        for field in Field::ALWAYS.iter().chain(&fields) {
            if !field.key.is_empty() && members.iter().all(|(key, _)| key.dotted != field.key) {
                members.push((Key::new(field.key), field.put));
            }
        }
        Self { columns, cells, members: object::grouped(members, 0) }
    }

    /// For the heading.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether a column with this title is shown.
    #[inline]
    pub fn shows(&self, title: &str) -> bool {
        self.columns.iter().any(|column| column.title == title)
    }

    /// Whether a column needs the path of the cgroup.
    pub fn shows_cgroup(&self) -> bool {
        self.shows("CGROUP") || self.shows("container.id")
    }

    /// Appends the row of `event`: a line of the table or of JSON.
    pub fn row<E>(&self, out: &mut Output, common: &Common<'_>, event: &E)
    where
        F: Fn(&E, &mut Slot<'_, '_>),
    {
        if out.json {
            out.json_lines(|out| {
                self.object(out, common, event);
                out.push(b'\n');
            });
        } else {
            self.cells(out.line(&self.columns), common, event);
        }
    }

    /// Fills a line of the table.
    pub fn cells<E>(&self, mut line: Line<'_>, common: &Common<'_>, event: &E)
    where
        F: Fn(&E, &mut Slot<'_, '_>),
    {
        for put in &self.cells {
            let mut slot = Slot { place: Place::Cell(&mut line), is_filled: false };
            put.put(common, event, &mut slot);
            if !slot.is_filled {
                line.text("-");
            }
        }
    }

    /// Appends an object of JSON.
    pub fn object<E>(&self, out: &mut Vec<u8>, common: &Common<'_>, event: &E)
    where
        F: Fn(&E, &mut Slot<'_, '_>),
    {
        let mut object = Object::begin(out);
        for (key, put) in &self.members {
            let mut slot = Slot { place: Place::Member(&mut object, key), is_filled: false };
            put.put(common, event, &mut slot);
        }
        object.end();
    }
}

/// The members `process` and `container` of a line that is not made by a [`View`].
#[derive(Debug)]
pub struct ProcessMembers(View<fn(&(), &mut Slot<'_, '_>)>);

impl Default for ProcessMembers {
    fn default() -> Self {
        let mut view = View::new([], |_| false);
        let objects = ["process.", "container."];
        view.members.retain(|(key, _)| objects.iter().any(|object| key.dotted.starts_with(object)));
        Self(view)
    }
}

impl ProcessMembers {
    /// Appends `,"process":{…},"container":{…}`, as each line has them.
    pub fn push(&self, out: &mut Vec<u8>, id: &task_id, cgroup: Option<&[u8]>) {
        let common = Common { id, event: "", time: "", since_ns: 0, cgroup };
        let start = out.len();
        self.0.object(out, &common, &());
        out.pop();
        if let Some(bracket) = out.get_mut(start) {
            *bracket = b',';
        }
    }
}

impl<F> Put<F> {
    fn put<E>(&self, common: &Common<'_>, event: &E, slot: &mut Slot<'_, '_>)
    where
        F: Fn(&E, &mut Slot<'_, '_>),
    {
        match self {
            Self::Common(put) => put(common, slot),
            Self::Own(put) => put(event, slot),
        }
    }
}

/// Where a field writes its value, once: of several calls the first one that applies counts, so that
/// [`Slot::cell`] can come before the value of JSON.
pub struct Slot<'s, 'o> {
    place: Place<'s, 'o>,
    is_filled: bool,
}

enum Place<'s, 'o> {
    Cell(&'s mut Line<'o>),
    Member(&'s mut Object<'o>, &'o Key),
}

impl<'o> Slot<'_, 'o> {
    /// In a table: the next cell. `write` must write exactly one.
    pub fn cell(&mut self, write: impl for<'l> FnOnce(&'l mut Line<'o>) -> &'l mut Line<'o>) {
        if let (Place::Cell(line), false) = (&mut self.place, self.is_filled) {
            write(line);
            self.is_filled = true;
        }
    }

    /// In JSON: `write` appends the value.
    fn member(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let (Place::Member(object, key), false) = (&mut self.place, self.is_filled) {
            write(object.member(key));
            self.is_filled = true;
        }
    }

    /// In JSON: a list of names; if one is not valid UTF-8, all names again in base64 under a
    /// second key.
    pub fn json_names<'b>(&mut self, names: impl Iterator<Item = &'b [u8]> + Clone) {
        if let (Place::Member(object, key), false) = (&mut self.place, self.is_filled) {
            object.names(key, names);
            self.is_filled = true;
        }
    }

    /// In JSON: an object of strings.
    pub fn json_strings<'b>(&mut self, members: impl Iterator<Item = (&'b str, &'b str)>) {
        self.member(|out| {
            push_object(out, |out| {
                for (key, value) in members {
                    out.push(b',');
                    push_string(out, key);
                    out.push(b':');
                    push_string(out, value);
                }
            });
        });
    }

    /// The same, and in a table the names with commas between them.
    pub fn names<'b>(&mut self, names: impl Iterator<Item = &'b [u8]> + Clone) {
        self.cell(|line| {
            let mut text = String::new();
            for name in names.clone() {
                text.push_str(if text.is_empty() { "" } else { "," });
                push_cell(&mut text, name);
            }
            line.text(if text.is_empty() { "-" } else { &text })
        });
        self.json_names(names);
    }

    /// A whole number.
    pub fn number<N>(&mut self, number: N)
    where
        N: itoa::Integer + Copy + TryInto<u32>,
    {
        self.cell(|line| line.number(number));
        self.member(|out| crate::output::digits::push_number(out, number));
    }

    /// A whole number, if there is one.
    pub fn optional_number<N>(&mut self, number: Option<N>)
    where
        N: itoa::Integer + Copy + TryInto<u32>,
    {
        if let Some(number) = number {
            self.number(number);
        }
    }

    /// The tool's own words.
    pub fn text(&mut self, text: &str) {
        self.cell(|line| line.text(text));
        self.member(|out| push_string(out, text));
    }

    /// The tool's own words, if there are any.
    pub fn optional_text(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// A value whose characters nobody else can choose, such as an address.
    pub fn value(&mut self, value: impl Display) {
        self.cell(|line| line.value(&value));
        self.member(|out| push_string(out, &value.to_string()));
    }

    /// Bytes that others choose: escaped in a cell, exact in JSON.
    pub fn name(&mut self, name: &[u8]) {
        self.cell(|line| line.name(name));
        if let (Place::Member(object, key), false) = (&mut self.place, self.is_filled) {
            object.name(key, name);
            self.is_filled = true;
        }
    }

    /// Bytes that others choose, if there are any.
    pub fn optional_name(&mut self, name: Option<&[u8]>) {
        if let Some(name) = name {
            self.name(name);
        }
    }

    /// The name of a process as the kernel keeps it, if there is one.
    pub fn comm(&mut self, comm: &[u8; 16]) {
        self.optional_name(Some(until_nul(comm)).filter(|comm| !comm.is_empty()));
    }

    /// In a cell `0` or the name of an error, in JSON only the name.
    pub fn error(&mut self, name: Option<&str>) {
        match name {
            None => self.cell(|line| line.text("0")),
            Some(name) => self.failure(name),
        }
    }

    /// Words for a failure.
    pub fn failure(&mut self, text: &str) {
        self.cell(|line| line.styled(text, FAILURE));
        self.member(|out| push_string(out, text));
    }

    /// Nanoseconds, if known: in a cell seconds.
    pub fn optional_seconds(&mut self, ns: Option<u64>) {
        if let Some(ns) = ns {
            self.cell(|line| line.value(Seconds(ns)));
            self.number(ns);
        }
    }

    /// Nanoseconds, if known: in a cell milliseconds.
    pub fn optional_millis(&mut self, ns: Option<u64>) {
        if let Some(ns) = ns {
            self.cell(|line| line.value(Millis(ns)));
            self.number(ns);
        }
    }

    /// `true`, or nothing.
    pub fn flag(&mut self, flag: bool) {
        if flag {
            self.cell(|line| line.text("true"));
            self.member(|out| out.extend_from_slice(b"true"));
        }
    }
}

#[cfg(test)]
impl<F: Copy> View<F> {
    /// The row as text: a line of the table, or an object.
    pub(crate) fn line<E>(&self, json: bool, common: &Common<'_>, event: &E) -> String
    where
        F: Fn(&E, &mut Slot<'_, '_>),
    {
        let mut out = Vec::new();
        match json {
            true => self.object(&mut out, common, event),
            false => self.cells(Line::new(&mut out, &self.columns), common, event),
        }
        String::from_utf8(out).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Event<'a> {
        name: &'a [u8],
        size: Option<u32>,
    }

    type Put = fn(&Event<'_>, &mut Slot<'_, '_>);

    const FIELDS: &[Field<Put>] = &[
        Field::PID,
        Field::COMM.in_column(Column::left("WHO", 4)),
        Field::right("SIZE", 5, "file.size", "its size", |event, slot| {
            slot.optional_number(event.size);
        }),
        // A mistake: a second cell would get under the next heading.
        Field::left("NAME", 8, "file.name", "its name", |event, slot| {
            slot.name(event.name);
            slot.text("twice");
        }),
        Field::json("process.extra", "in the object of the process", |_, slot| slot.flag(true)),
        Field::left("LAST", 0, "", "nothing", |_, _| {}),
    ];

    fn shown(json: bool, event: &Event<'_>) -> String {
        let id = task_id {
            pid: 7,
            vpid: 7,
            comm: *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ..task_id::default()
        };
        let common =
            Common { id: &id, event: "file.seen", time: "now", since_ns: 0, cgroup: Some(b"/a") };
        View::new(FIELDS.iter().copied(), |_| true).line(json, &common, event)
    }

    #[test]
    fn each_cell_is_in_its_column() {
        let row = shown(false, &Event { name: b"a b", size: Some(12) });
        assert_eq!(row, "7       sh      12 a\\040b   -\n");
        let row = shown(false, &Event { name: b"x", size: None });
        assert_eq!(row, "7       sh       - x        -\n");
    }

    #[test]
    fn members_stand_in_their_objects() {
        let line = shown(true, &Event { name: b"\xff", size: None });
        let value: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "timestamp": "now",
            "event": { "name": "file.seen" },
            "process": {
                "pid": 7, "parent_pid": 0, "comm": "sh", "user": { "id": 0 },
                "real_user": { "id": 0 }, "linux": { "cgroup": "/a" }, "extra": true
            },
            "file": { "name": "\u{fffd}", "name_base64": "/w==" }
        });
        assert_eq!(value, expected);
        assert_eq!(line.matches("\"process\"").count(), 1, "{line}");
    }

    #[test]
    fn hidden_columns_stay_in_json() {
        let view = View::new(FIELDS.iter().copied(), |column| {
            column.width += 1;
            column.title != "SIZE"
        });
        let titles: Vec<_> = view.columns().iter().map(|column| column.title).collect();
        assert_eq!(titles, ["PID", "WHO", "NAME", "LAST"]);
        assert_eq!(view.columns()[0].width, 8);
        assert!(view.members.iter().any(|(key, _)| key.dotted == "file.size"));
    }

    #[test]
    fn the_manual_says_each_field_once() {
        let docs = docs(FIELDS);
        let titles: Vec<_> = docs.iter().map(|doc| doc.title).take(5).collect();
        assert_eq!(titles, ["PID", "WHO", "SIZE", "NAME", "LAST"]);
        let pids = docs.iter().filter(|doc| doc.key == "process.pid");
        assert_eq!(pids.count(), 1);
        assert!(docs.iter().any(|doc| doc.key == "process.extra" && doc.title.is_empty()));
    }
}
