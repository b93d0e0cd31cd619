//! The elements of one map, read and written out.

use std::collections::BTreeMap;

use anyhow::Result;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use serde_json::{Value, json};

use super::cpus::Sums;
use super::drawn::{Pictures, each_picture, element_name};
use super::globals::Variable;
use super::picture::{self, Counts};
use super::value::{json_value, push_value};
use crate::bpfrun::run::stacks::{Named, Stacks};
use crate::elf::picture::Slots;
use crate::elf::value::{Decoder, PlainNumber};
use crate::engine::session::Session;
use crate::output::escape::push_text;
use crate::output::table::count;

const BIG_ENDIAN: bool = cfg!(target_endian = "big");

/// The most elements of one map to show.
const MANY: usize = 100_000;

/// The most bytes of text of one map. JSON has no such limit, since it is written as it is read.
const TEXT: usize = 16 << 20;

/// One map.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) map: MapHandle,
    pub(super) key: Option<Decoder>,
    pub(super) value: Option<Decoder>,
    /// A value for each CPU
    pub(super) per_cpu: bool,
    /// Elements always exist: all-zero ones are left out
    pub(super) array: bool,
    /// A section of global variables: a single element without a key
    pub(super) globals: Option<Vec<Variable>>,
    /// Numbers that are added up over all CPUs
    pub(super) sums: Option<Sums>,
    /// What an element counts
    pub(super) count: Option<PlainNumber>,
    pub(super) pictures: Pictures,
}

/// What is seen of a map while it is read.
#[derive(Default)]
struct Seen {
    lines: String,
    elements: u64,
    /// Elements of which there is no room to show the lines
    left: u64,
    /// Histograms of single elements: by the rest of their keys
    counts: BTreeMap<Vec<u8>, Counts>,
}

impl Table {
    /// Counts the stacks that keys have.
    pub(super) fn fold(&self, now: u64, stacks: &mut Stacks, session: &mut Session) {
        let Some(decoder) = self.key.as_ref().filter(|key| key.has_stacks()) else { return };
        for key in self.map.keys().take(MANY) {
            let Some(values) = self.values(&key) else { continue };
            let errands = session.errands.as_mut();
            let named = stacks.of_event(decoder, &key, now, errands);
            let comm = decoder
                .comm(&key)
                .or_else(|| self.value.as_ref().and_then(|value| value.comm(values.first()?)));
            let times = self.count.as_ref().map_or(1, |number| {
                let each = values.iter().filter_map(|value| number.of(value, BIG_ENDIAN));
                u64::try_from(each.sum::<i128>()).unwrap_or(0)
            });
            if let Some(named) = named {
                stacks.fold(&comm.unwrap_or_default(), &named, times);
            }
        }
    }

    /// The stacks of an element, in its key or its value.
    fn stacks(
        &self,
        now: u64,
        stacks: Option<&Stacks>,
        (key, values): (&[u8], &[Vec<u8>]),
        session: &mut Session,
    ) -> Option<Named> {
        let (stacks, [value]) = (stacks?, values) else { return None };
        let decoders = [(self.key.as_ref(), key), (self.value.as_ref(), value.as_slice())];
        let decoders = decoders.map(|(decoder, data)| Some((decoder?, data)));
        let known = || decoders.iter().flatten();
        let traced: Vec<_> = known().flat_map(|(decoder, data)| decoder.stacks(data)).collect();
        let process = known().find_map(|(decoder, data)| decoder.process(data));
        stacks.of(&traced, process, now, session.errands.as_mut())
    }

    pub(super) fn show(
        &self,
        now: u64,
        stacks: Option<&Stacks>,
        session: &mut Session,
    ) -> Result<()> {
        let mut seen = Seen::default();
        let mut keys = self.map.keys();
        // One key at a time, so that a large map is not copied.
        for key in keys.by_ref().take(MANY) {
            let Some(values) = self.values(&key) else { continue }; // gone by now
            if self.array
                && self.globals.is_none()
                && values.iter().flatten().all(|&byte| byte == 0)
            {
                continue;
            }
            seen.elements += 1;
            let named = self.stacks(now, stacks, (&key, &values), session);
            if session.out.json {
                let mut record = self.json(now, &key, &values, session);
                named.iter().for_each(|named| named.insert(&mut record));
                session.out.object(&record)?;
                for record in self.drawn_json(&key, &values) {
                    self.histogram(now, record, session)?;
                }
                session.out.flush_if_full()?;
            }
            if let Some((whose, slot)) = self.slot(&key) {
                let all =
                    values.iter().filter_map(|value| picture::number(value, 0, value.len() as u64));
                let times = all.fold(0, u64::saturating_add);
                seen.counts.entry(whose).or_default().add(slot, times);
            } else if seen.lines.len() >= TEXT {
                seen.left += 1;
            } else if !session.out.json {
                self.text(&key, &values, &mut seen.lines);
                named.iter().for_each(|named| seen.lines.push_str(&named.text()));
            }
        }
        let cut = keys.next().is_some();
        if session.out.json {
            for (whose, counts) in &seen.counts {
                self.histogram(now, self.slots_json(whose, counts), session)?;
            }
            if cut {
                let mut record = self.record(now, session);
                record.insert("elements_cut".to_owned(), true.into());
                session.out.object(&record)?;
            }
            return Ok(());
        }
        self.draw_slots(&mut seen);
        if seen.left > 0 {
            seen.lines.push_str(&format!("… {} more\n", count(seen.left, "element")));
        }
        if cut {
            seen.lines.push_str("… and more: only so many are read\n");
        }
        let mut name = String::new();
        push_text(&mut name, self.name.as_bytes());
        let time = session.local_time(now);
        let heading = match self.globals {
            Some(_) => format!("-- {time} {name}\n"),
            None => format!("-- {time} {name}: {}\n", count(seen.elements, "element")),
        };
        session.out.raw(heading)?;
        session.out.raw(seen.lines)
    }

    /// The slot that an element is, and the key of its histogram.
    fn slot(&self, key: &[u8]) -> Option<(Vec<u8>, u64)> {
        if self.pictures.slots.is_some() {
            return Some((Vec::new(), picture::number(key, 0, key.len() as u64)?));
        }
        let keyed = self.pictures.keyed.as_ref()?;
        let slot = picture::number(key, keyed.at, keyed.width)?;
        Some((keyed.rest(key), slot))
    }

    /// What the slots are, if elements are slots.
    fn slots(&self) -> Option<&Slots> {
        let keyed = self.pictures.keyed.as_ref().map(|keyed| &keyed.slots);
        self.pictures.slots.as_ref().or(keyed)
    }

    fn draw_slots(&self, seen: &mut Seen) {
        let Some(slots) = self.slots() else { return };
        for (whose, counts) in &seen.counts {
            if seen.lines.len() >= TEXT {
                seen.left += 1;
                continue;
            }
            if let Some(whose) = self.whose(whose) {
                seen.lines.push('[');
                push_value(&self.key, &whose, &mut seen.lines);
                seen.lines.push_str("]:\n");
            }
            counts.text("", slots, &mut seen.lines);
        }
    }

    /// The key of a histogram, if it has one besides the slot.
    fn whose(&self, rest: &[u8]) -> Option<Vec<u8>> {
        let keyed = self.pictures.keyed.as_ref()?;
        (rest.len() as u64 > keyed.width).then(|| rest.to_vec())
    }

    fn slots_json(&self, whose: &[u8], counts: &Counts) -> serde_json::Map<String, Value> {
        let mut record = self.slots().map(|slots| counts.json("", slots)).unwrap_or_default();
        if let Some(whose) = self.whose(whose) {
            let mut key = json_value(&self.key, &whose);
            let slot = self.pictures.keyed.iter().zip(key.as_object_mut()).next();
            slot.and_then(|(keyed, key)| key.remove(&keyed.name));
            record.insert("key".to_owned(), key);
        }
        record
    }

    /// A record with a histogram.
    fn histogram(
        &self,
        now: u64,
        of: serde_json::Map<String, Value>,
        session: &mut Session,
    ) -> Result<()> {
        let mut record = self.record(now, session);
        record.insert("event".to_owned(), json!({ "name": "bpf.histogram" }));
        record.extend(of);
        session.out.object(&record)
    }

    /// All arrays of counters in an element.
    fn drawn_json(&self, key: &[u8], values: &[Vec<u8>]) -> Vec<serde_json::Map<String, Value>> {
        let mut all = Vec::new();
        if let (Some(variables), [data, ..]) = (&self.globals, values) {
            for variable in variables {
                let value = variable.of(data);
                each_picture(&variable.arrays, &[value], &mut |array, nth, counts| {
                    let name = element_name(&variable.name, array, nth);
                    all.push(counts.json(&name, &array.slots));
                });
            }
            return all;
        }
        let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
        each_picture(&self.pictures.arrays, &values, &mut |array, nth, counts| {
            let mut record = counts.json(&element_name("", array, nth), &array.slots);
            record.insert("key".to_owned(), json_value(&self.key, key));
            all.push(record);
        });
        all
    }

    /// The value, or one for each CPU.
    fn values(&self, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        if self.per_cpu {
            self.map.lookup_percpu(key, MapFlags::ANY).ok()?
        } else {
            Some(vec![self.map.lookup(key, MapFlags::ANY).ok()??])
        }
    }

    fn text(&self, key: &[u8], values: &[Vec<u8>], out: &mut String) {
        if let (Some(variables), [data, ..]) = (&self.globals, values) {
            variables.iter().for_each(|variable| variable.text(variable.of(data), out));
            return;
        }
        let start = |cpu: &str, out: &mut String| {
            out.push('[');
            push_value(&self.key, key, out);
            out.push(']');
            out.push_str(cpu);
            out.push_str(": ");
        };
        let line = |cpu: &str, value: &[u8], out: &mut String| {
            start(cpu, out);
            push_value(&self.value, value, out);
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        };
        if let Some(sums) = &self.sums {
            start("", out);
            sums.text(values, out);
            out.push('\n');
        }
        let rest: Vec<_> = values.iter().map(|value| self.not_drawn(value)).collect();
        let is_zero = |value: &[u8]| value.iter().all(|&byte| byte == 0);
        match &rest[..] {
            _ if self.sums.as_ref().is_some_and(|sums| sums.whole) => {}
            [value] if !self.per_cpu => line("", value, out),
            [first, _, ..] if rest.iter().all(|value| is_zero(value)) => {
                line(" each CPU", first, out);
            }
            _ => {
                for (cpu, value) in rest.iter().enumerate() {
                    if rest.len() == 1 || !is_zero(value) {
                        line(&format!(" CPU {cpu}"), value, out);
                    }
                }
            }
        }
        let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
        each_picture(&self.pictures.arrays, &values, &mut |array, nth, counts| {
            counts.text(&element_name("", array, nth), &array.slots, out);
        });
    }

    /// A value with zeros in the place of what is drawn.
    fn not_drawn(&self, value: &[u8]) -> Vec<u8> {
        let mut rest = value.to_vec();
        for array in &self.pictures.arrays {
            for nth in 0..array.times {
                let at = usize::try_from(array.at + nth * array.every).unwrap_or(usize::MAX);
                let bytes = usize::try_from(array.count * array.width).unwrap_or(usize::MAX);
                let drawn = rest.get_mut(at..).into_iter().flatten().take(bytes);
                drawn.for_each(|byte| *byte = 0);
            }
        }
        rest
    }

    /// The first keys of a record.
    fn record(&self, now: u64, session: &Session) -> serde_json::Map<String, Value> {
        let mut record = serde_json::Map::new();
        record.insert("timestamp".to_owned(), session.clock.rfc3339(now).into());
        record.insert("event".to_owned(), json!({ "name": "bpf.map" }));
        record.insert("bpf".to_owned(), json!({ "map": self.name }));
        record
    }

    fn json(
        &self,
        now: u64,
        key: &[u8],
        values: &[Vec<u8>],
        session: &Session,
    ) -> serde_json::Map<String, Value> {
        let mut record = self.record(now, session);
        if let (Some(variables), [data, ..]) = (&self.globals, values) {
            let each = variables.iter().map(|variable| {
                (variable.name.clone(), json_value(&variable.value, variable.of(data)))
            });
            record.insert("value".to_owned(), Value::Object(each.collect()));
            return record;
        }
        record.insert("key".to_owned(), json_value(&self.key, key));
        let mut each = values.iter().map(|value| json_value(&self.value, value));
        match self.per_cpu {
            true => record.insert("values".to_owned(), each.collect()),
            false => record.insert("value".to_owned(), each.next().unwrap_or_default()),
        };
        if let Some(sums) = &self.sums {
            sums.insert(values, &mut record);
        }
        record
    }
}
