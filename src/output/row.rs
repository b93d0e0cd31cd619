//! A field of an event, defined once: the column in the table, the key in JSON Lines, and the line
//! in the manual page.
//!
//! A tool has one list of its fields. A [`View`] is made from it at the start; each event then goes
//! through the list, as cells or as members. A field that writes nothing for an event is `-` in the
//! table and absent in JSON, so no cell can get under the heading of another one.

mod choose;
mod common;
mod context;
mod object;
mod slot;

use crate::host::container::Container;
use crate::output::table::{Column, Line, Output};
pub use choose::{titles, unknown, without_unit};
use common::NO_COLUMN;
pub use common::{Common, container_name};
pub use context::{ANCESTORS, LOGIN, ancestors_text, login_text};
use object::{Key, Object};
use slot::Place;
pub use slot::Slot;

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
mod tests;
