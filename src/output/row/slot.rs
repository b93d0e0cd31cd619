//! Where a field writes its value: a cell of the table, or a member of JSON.

use std::fmt::Display;

use super::object::{Key, Object};
use crate::output::escape::{push_cell, until_nul};
use crate::output::json::{push_object, push_string};
use crate::output::table::{FAILURE, Line};
use crate::output::time::{Epoch, Millis, Seconds};

/// Where a field writes its value, once: of several calls the first one that applies counts, so that
/// [`Slot::cell`] can come before the value of JSON.
pub struct Slot<'s, 'o> {
    pub(super) place: Place<'s, 'o>,
    pub(super) is_filled: bool,
    pub(super) epoch: Epoch,
}

pub(super) enum Place<'s, 'o> {
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
    pub(super) fn cell_of(
        &mut self,
        write: impl for<'l> FnOnce(&'l mut Line<'o>) -> Option<&'l mut Line<'o>>,
    ) {
        if let (Place::Cell(line), false) = (&mut self.place, self.is_filled) {
            self.is_filled = write(line).is_some();
        }
    }

    /// In JSON: bytes that others choose, if there are any.
    pub(super) fn optional_json_name(&mut self, name: Option<&[u8]>) {
        if let (Place::Member(..), Some(name)) = (&self.place, name) {
            self.name(name);
        }
    }

    /// Text that others choose, if there is any.
    pub(super) fn optional_untrusted(&mut self, text: Option<&str>) {
        self.optional_name(text.map(str::as_bytes));
    }

    /// Names with values: in a table with `=` and commas, in JSON an object. None: nothing.
    pub(super) fn pairs(&mut self, pairs: &[(String, String)]) {
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
    pub(super) fn member(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
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
    pub(super) fn json_value(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
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
