//! A field of an event, defined once: the column in the table, the key in JSON Lines, and the line
//! in the manual page.
//!
//! A tool has one list of its fields. A [`View`] is made from it at the start; each event then goes
//! through the list, as cells or as members. A field that writes nothing for an event is `-` in the
//! table and absent in JSON, so no cell can get under the heading of another one.

mod choose;
mod context;
mod object;

use std::fmt::Display;

use crate::host::cgroup::container_id;
use crate::host::container::Container;
use crate::host::context::Context;
use crate::host::unit::{self, Units};
use crate::output::escape::{push_cell, until_nul};
use crate::output::json::{push_object, push_string};
use crate::output::table::{Column, FAILURE, Line, Output};
use crate::output::time::{Epoch, Millis, Seconds};
use crate::skel::task_id;
pub use choose::{titles, unknown, without_unit};
pub use context::{ANCESTORS, LOGIN, ancestors_text, login_text};
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
    /// From what is known of the container: text that others choose
    OfContainer(fn(&Container) -> Option<&String>),
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
    /// What is known of its container
    pub container: Option<&'a Container>,
    /// For times of birth
    pub epoch: Epoch,
    /// What `--login` and `--ancestors` tell
    pub context: Option<&'a Context>,
}

impl<'a> Common<'a> {
    /// Of this process; nothing else is known.
    pub fn of(id: &'a task_id) -> Self {
        let epoch = Epoch::default();
        Self {
            id,
            event: "",
            time: "",
            since_ns: 0,
            cgroup: None,
            container: None,
            epoch,
            context: None,
        }
    }

    fn units(&self) -> Units<'_> {
        self.cgroup.map(Units::of).unwrap_or_default()
    }

    /// What people call the container.
    fn container_name(&self) -> Option<String> {
        container_name(self.cgroup, self.container)
    }
}

/// What people call the container of a cgroup: its name, in Kubernetes with its pod, or else the
/// beginning of its id. Others choose it.
pub fn container_name(cgroup: Option<&[u8]>, container: Option<&Container>) -> Option<String> {
    const SHORT_ID: usize = 12;
    let found = container.and_then(|it| match (&it.pod_name, &it.name_in_pod) {
        (Some(pod), name) => {
            let parts = [it.namespace.as_ref(), Some(pod), name.as_ref()];
            Some(parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/"))
        }
        _ => it.name.clone(),
    });
    let id = || cgroup.and_then(container_id)?.get(..SHORT_ID).map(str::to_owned);
    found.or_else(id)
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

    /// The container, by its name.
    pub const CONTAINER: Self = Self::common(
        Column::left("CONTAINER", 20),
        "",
        "the container: its name, in Kubernetes NAMESPACE/POD/CONTAINER, or else the beginning of its id",
        |common, slot| slot.optional_name(common.container_name().as_ref().map(String::as_bytes)),
    );

    /// systemd's unit.
    pub const UNIT: Self = Self::common(
        Column::left("UNIT", 24),
        "systemd.unit",
        "systemd's unit, from the path of the cgroup; in the table that of the user's own \
         manager, if there is one",
        |common, slot| {
            let units = common.units();
            slot.cell_of(|line| units.user_unit.or(units.unit).map(|unit| line.name(unit)));
            slot.optional_json_name(units.unit);
        },
    );

    /// Members of each line of JSON, in this order.
    const ALWAYS: [Self; 30] = [
        Self::common(NO_COLUMN, "timestamp", "time of the event, RFC 3339", |common, slot| {
            slot.text(common.time);
        }),
        Self::common(NO_COLUMN, "event.name", "kind of the event", |common, slot| {
            slot.text(common.event);
        }),
        Self::PID,
        Self::json_common(
            "process.creation.time",
            "birth of the process, RFC 3339: with process.pid its identity, the same in all rows of \
             all tools as long as nobody sets the wall clock",
            |common, slot| slot.birth(common.id.start_ns),
        ),
        Self::json_common(
            "process.start_boot_ns",
            "the same, nanoseconds on the clock CLOCK_BOOTTIME, which nobody can set",
            |common, slot| slot.birth_ns(common.id.start_ns),
        ),
        Self::PPID,
        Self::json_common(
            "process.parent.creation.time",
            "birth of the parent, likewise",
            |common, slot| slot.birth(common.id.parent_start_ns),
        ),
        Self::json_common(
            "process.parent_start_boot_ns",
            "birth of the parent on the clock CLOCK_BOOTTIME",
            |common, slot| slot.birth_ns(common.id.parent_start_ns),
        ),
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
        Self::UNIT,
        Self::common(NO_COLUMN, "systemd.slice", "the slice of that unit", |common, slot| {
            slot.optional_name(common.units().slice);
        }),
        Self::common(
            NO_COLUMN,
            "systemd.user_unit",
            "the unit of the user's own manager, below user@UID.service",
            |common, slot| slot.optional_name(common.units().user_unit),
        ),
        Self::common(NO_COLUMN, "systemd.user_slice", "the slice of that unit", |common, slot| {
            slot.optional_name(common.units().user_slice);
        }),
        Self::common(
            NO_COLUMN,
            "container.runtime.name",
            "what made the container: docker, containerd, cri-o or podman, as far as the name of \
             its cgroup or its files tell",
            |common, slot| {
                let found = common.container.and_then(|found| found.runtime.as_deref());
                slot.optional_untrusted(found.or_else(|| common.cgroup.and_then(unit::runtime)));
            },
        ),
        Self::of_container(
            "container.name",
            "its name; this and the rest with --containers",
            |it| it.name.as_ref(),
        ),
        Self::of_container("container.image.name", "its image, without tag and digest", |it| {
            it.image_name.as_ref()
        }),
        Self::common(
            NO_COLUMN,
            "container.image.tags",
            "list of the image's tag",
            |common, slot| {
                if let Some(tag) = common.container.and_then(|it| it.image_tag.as_ref()) {
                    slot.names([tag.as_bytes()].into_iter());
                }
            },
        ),
        Self::of_container("container.image.id", "the image's own id", |it| it.image_id.as_ref()),
        Self::common(
            NO_COLUMN,
            "container.label",
            "the container's labels, those of --container-labels",
            |common, slot| slot.pairs(common.container.map_or(&[], |it| &it.labels)),
        ),
        Self::of_container("k8s.pod.name", "its pod in Kubernetes", |it| it.pod_name.as_ref()),
        Self::common(
            NO_COLUMN,
            "k8s.pod.uid",
            "uid of the pod, from the path of the cgroup",
            |common, slot| {
                let uid = common.cgroup.and_then(unit::pod_uid);
                let found = common.container.and_then(|found| found.pod_uid.as_deref());
                slot.optional_untrusted(uid.as_deref().or(found));
            },
        ),
        Self::common(
            NO_COLUMN,
            "k8s.pod.label",
            "the pod's labels, those of --container-labels; only with CRI-O",
            |common, slot| slot.pairs(common.container.map_or(&[], |it| &it.pod_labels)),
        ),
        Self::of_container("k8s.namespace.name", "namespace of the pod", |it| {
            it.namespace.as_ref()
        }),
        Self::of_container("k8s.container.name", "the container's name within the pod", |it| {
            it.name_in_pod.as_ref()
        }),
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

    /// A member of JSON.
    const fn json_common(
        key: &'static str,
        about: &'static str,
        put: fn(&Common<'_>, &mut Slot<'_, '_>),
    ) -> Self {
        Self::common(NO_COLUMN, key, about, put)
    }

    /// A member about the container.
    const fn of_container(
        key: &'static str,
        about: &'static str,
        get: fn(&Container) -> Option<&String>,
    ) -> Self {
        Self { column: NO_COLUMN, key, about, put: Put::OfContainer(get) }
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

    /// Members that flags add, which also show these columns.
    fn asked_for(shows: impl Fn(&str) -> bool) -> Vec<Self> {
        let mut fields = Vec::new();
        if shows(LOGIN) {
            fields.extend(Self::OF_LOGIN);
        }
        if shows(ANCESTORS) {
            fields.extend(Self::OF_ANCESTORS);
        }
        if !fields.is_empty() {
            fields.push(Self::OF_BOTH);
        }
        fields
    }
}

/// Keys of durations, and of what an event is counted by as a failure. The first one counts that an
/// event has.
const DURATIONS: [&str; 2] = ["connect.duration_ns", "process.duration_ns"];
const ERRORS: [&str; 2] = ["error.type", "process.exit.signal"];

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
    let asked_for = Field::<F>::asked_for(|_| true);
    let mut docs: Vec<FieldDoc> = Vec::new();
    for field in columns.into_iter().chain(&always).chain(others).chain(&asked_for) {
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
        let shows = |title: &str| columns.iter().any(|column: &Column| column.title == title);
        let asked_for = Field::asked_for(shows);
        for field in Field::ALWAYS.iter().chain(&fields).chain(&asked_for) {
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
        const OF_CGROUP: [&str; 3] = ["CGROUP", "CONTAINER", "UNIT"];
        const OBJECTS: [&str; 3] = ["container.", "k8s.", "systemd."];
        let is_of_cgroup = |title: &str| {
            OF_CGROUP.contains(&title) || OBJECTS.iter().any(|object| title.starts_with(object))
        };
        self.columns.iter().any(|column| is_of_cgroup(column.title))
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

    /// The error and the duration that an event has in JSON, for sums. `scratch` is for the values.
    pub fn measure<'s, E>(
        &self,
        common: &Common<'_>,
        event: &E,
        scratch: &'s mut Vec<u8>,
    ) -> (Option<&'s str>, Option<u64>)
    where
        F: Fn(&E, &mut Slot<'_, '_>),
    {
        let probe = |keys: &[&str], scratch: &mut Vec<u8>| {
            keys.iter().any(|key| {
                scratch.clear();
                let member = self.members.iter().find(|(member, _)| member.dotted == *key);
                if let Some((_, put)) = member {
                    let mut slot = Slot {
                        place: Place::Probe(scratch),
                        is_filled: false,
                        epoch: common.epoch,
                    };
                    put.put(common, event, &mut slot);
                }
                !scratch.is_empty()
            })
        };
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        let duration = probe(&DURATIONS, scratch).then(|| number(scratch)).flatten();
        let has_error = probe(&ERRORS, scratch);
        let error = std::str::from_utf8(scratch).ok().filter(|_| has_error);
        (error.map(|error| error.trim_matches('"')), duration)
    }

    /// Fills a line of the table.
    pub fn cells<E>(&self, mut line: Line<'_>, common: &Common<'_>, event: &E)
    where
        F: Fn(&E, &mut Slot<'_, '_>),
    {
        for put in &self.cells {
            let place = Place::Cell(&mut line);
            let mut slot = Slot { place, is_filled: false, epoch: common.epoch };
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
            let place = Place::Member(&mut object, key);
            let mut slot = Slot { place, is_filled: false, epoch: common.epoch };
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
        Self::new(|_| false)
    }
}

impl ProcessMembers {
    /// With those of the flags that show such columns.
    pub fn new(shows: impl Fn(&str) -> bool) -> Self {
        let columns = [Field::LOGIN, Field::ANCESTORS];
        let mut view = View::new(columns, |column| shows(column.title));
        let objects = ["process.", "container.", "k8s.", "systemd."];
        view.members.retain(|(key, _)| objects.iter().any(|object| key.dotted.starts_with(object)));
        Self(view)
    }

    /// Appends `,"process":{…},"container":{…}`, as each line has them.
    pub fn push(&self, out: &mut Vec<u8>, common: &Common<'_>) {
        let start = out.len();
        self.0.object(out, common, &());
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
            Self::OfContainer(get) => {
                slot.optional_untrusted(common.container.and_then(get).map(String::as_str));
            }
            Self::Own(put) => put(event, slot),
        }
    }
}

/// Where a field writes its value, once: of several calls the first one that applies counts, so that
/// [`Slot::cell`] can come before the value of JSON.
pub struct Slot<'s, 'o> {
    place: Place<'s, 'o>,
    is_filled: bool,
    epoch: Epoch,
}

enum Place<'s, 'o> {
    /// Nobody reads it: see [`View::measure`]
    Probe(&'s mut Vec<u8>),
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

    /// In a table: the next cell, if `write` writes one.
    fn cell_of(
        &mut self,
        write: impl for<'l> FnOnce(&'l mut Line<'o>) -> Option<&'l mut Line<'o>>,
    ) {
        if let (Place::Cell(line), false) = (&mut self.place, self.is_filled) {
            self.is_filled = write(line).is_some();
        }
    }

    /// In JSON: bytes that others choose, if there are any.
    fn optional_json_name(&mut self, name: Option<&[u8]>) {
        if let (Place::Member(..), Some(name)) = (&self.place, name) {
            self.name(name);
        }
    }

    /// Text that others choose, if there is any.
    fn optional_untrusted(&mut self, text: Option<&str>) {
        self.optional_name(text.map(str::as_bytes));
    }

    /// Names with values: in a table with `=` and commas, in JSON an object. None: nothing.
    fn pairs(&mut self, pairs: &[(String, String)]) {
        if pairs.is_empty() {
            return;
        }
        self.cell(|line| {
            let texts = pairs.iter().map(|(name, value)| format!("{name}={value}"));
            line.name(texts.collect::<Vec<_>>().join(",").as_bytes())
        });
        self.member(|out| {
            push_object(out, |out| {
                for (name, value) in pairs {
                    out.push(b',');
                    push_string(out, name);
                    out.push(b':');
                    push_string(out, value);
                }
            });
        });
    }

    /// In JSON: `write` appends the value.
    fn member(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let (Place::Probe(out), false) = (&mut self.place, self.is_filled) {
            write(out);
            self.is_filled = true;
            return;
        }
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

    /// A time of birth, `CLOCK_BOOTTIME` in nanoseconds, as RFC 3339; 0: it is not known.
    pub fn birth(&mut self, start_ns: u64) {
        if start_ns != 0 {
            let epoch = self.epoch;
            self.cell(|line| line.text(&epoch.rfc3339(start_ns)));
            self.member(|out| push_string(out, &epoch.rfc3339(start_ns)));
        }
    }

    /// The same as a number.
    pub fn birth_ns(&mut self, start_ns: u64) {
        self.optional_number(Some(start_ns).filter(|ns| *ns != 0));
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) {
        let text = if value { "true" } else { "false" };
        self.cell(|line| line.text(text));
        self.member(|out| out.extend_from_slice(text.as_bytes()));
    }

    /// A value of JSON that `write` appends.
    fn json_value(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.member(write);
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
            Common { event: "file.seen", time: "now", cgroup: Some(b"/a"), ..Common::of(&id) };
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
    fn errors_and_durations_are_measured() {
        let fields: [Field<Put>; 2] = [
            Field::json("error.type", "", |event, slot| match event.size {
                Some(_) => slot.failure("ENOENT"),
                None => slot.error(None),
            }),
            Field::right("MS", 5, "process.duration_ns", "", |event, slot| {
                slot.optional_millis(event.size.map(u64::from));
            }),
        ];
        let view = View::new(fields, |_| true);
        let id = task_id::default();
        let common = Common::of(&id);
        let mut scratch = Vec::new();
        let failed = Event { name: b"", size: Some(7) };
        assert_eq!(view.measure(&common, &failed, &mut scratch), (Some("ENOENT"), Some(7)));
        let fine = Event { name: b"", size: None };
        assert_eq!(view.measure(&common, &fine, &mut scratch), (None, None));
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
