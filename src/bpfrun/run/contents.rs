//! `--maps`: the contents of the maps, by type, and histograms of what is counted in them.

mod cpus;
mod picture;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use serde_json::{Value, json};

use self::cpus::Sums;
use self::picture::Counts;
use crate::bpfrun::run::row::hex;
use crate::bpfrun::run::stacks::{Named, Stacks};
use crate::elf::budget::{Budget, VALUES};
use crate::elf::dataflow::{Memory, Uses, emissions};
use crate::elf::global::Global;
use crate::elf::map::Map;
use crate::elf::object::Object;
use crate::elf::picture::{Array, Keyed, Pictures as Finder, Slots};
use crate::elf::schema::hints_of;
use crate::elf::types::{TypeId, Types};
use crate::elf::value::{Decoder, Hint, Options, PlainNumber};
use crate::engine::interval::Interval;
use crate::engine::session::Session;
use crate::output::escape::push_text;
use crate::output::table::count;
use crate::output::time::boot_now_ns;

const BIG_ENDIAN: bool = cfg!(target_endian = "big");

/// The most elements of one map to show.
const MANY: usize = 100_000;

/// The most bytes of text of one map. JSON has no such limit, since it is written as it is read.
const TEXT: usize = 16 << 20;

/// Reads maps repeatedly.
pub struct Contents {
    maps: Vec<Table>,
    interval: Option<Interval>,
}

/// One map.
struct Table {
    name: String,
    map: MapHandle,
    key: Option<Decoder>,
    value: Option<Decoder>,
    /// A value for each CPU
    per_cpu: bool,
    /// Elements always exist: all-zero ones are left out
    array: bool,
    /// A section of global variables: a single element without a key
    globals: Option<Vec<Variable>>,
    /// Numbers that are added up over all CPUs
    sums: Option<Sums>,
    /// What an element counts
    count: Option<PlainNumber>,
    pictures: Pictures,
}

/// What of a map is drawn.
#[derive(Default)]
struct Pictures {
    /// Arrays of counters in each value
    arrays: Vec<Array>,
    /// Each element is a slot
    slots: Option<Slots>,
    /// Each element is a slot of the histogram that the rest of the key names
    keyed: Option<Keyed>,
}

/// A global variable.
struct Variable {
    name: String,
    /// In bytes from the start of the section
    offset: usize,
    bytes: usize,
    value: Option<Decoder>,
    /// It is nothing but what is drawn
    drawn: bool,
    arrays: Vec<Array>,
}

impl Contents {
    /// The maps of a loaded object that have contents to show. `every`: how often, or only at
    /// the end.
    pub fn new(
        loaded: &libbpf_rs::Object,
        object: &Object,
        every: Option<Duration>,
    ) -> Result<Self> {
        let empty = Types::new();
        let types = object.btf.as_ref().map_or(&empty, |btf| &btf.types);
        let uses = emissions(object).uses;
        let finder = Finder::new(object, &uses);
        let mut maps = Vec::new();
        for map in loaded.maps() {
            let name = map.name().to_string_lossy().into_owned();
            let section = name.find('.').and_then(|at| name.get(at..)); // see `apply` in run.rs
            let constant = section.is_some_and(|section| {
                section.starts_with(".rodata") || section.starts_with(".kconfig")
            });
            if constant || !is_readable(&map) {
                continue;
            }
            let defined = object.maps.iter().enumerate().find(|(_, defined)| defined.name == name);
            let pictures = defined.map(|(index, map)| Pictures::of(&finder, index, map));
            let pictures = pictures.unwrap_or_default();
            let (in_key, in_value) = pictures.hidden();
            let decoder = |ty: Option<TypeId>, hidden, memory: fn(usize) -> Memory| {
                let writes = defined.filter(|_| !uses.is_cut()).into_iter();
                let writes = writes.flat_map(|(index, _)| uses.writes(memory(index)));
                let mut hints = hints_of(object, writes);
                hints.retain(|(_, hint)| matches!(hint, Hint::Stack(_) | Hint::StackId { .. }));
                let mut decoder =
                    Decoder::new(types, ty?, Options { hints, hidden, ..Options::default() });
                decoder.hide_frames();
                Some(decoder)
            };
            let value =
                decoder(defined.and_then(|(_, defined)| defined.value), in_value, Memory::Value);
            let per_cpu = map.map_type().is_percpu();
            let sums = defined.zip(value.as_ref()).filter(|_| per_cpu);
            maps.push(Table {
                map: MapHandle::try_from(&map)?,
                key: decoder(defined.and_then(|(_, defined)| defined.key), in_key, Memory::Key),
                count: value.as_ref().and_then(|value| counted(value, defined.map(|d| d.0), &uses)),
                sums: sums.and_then(|((index, _), value)| Sums::new(value, index, &uses)),
                value,
                per_cpu,
                array: matches!(map.map_type(), MapType::Array | MapType::PercpuArray),
                globals: section.map(|section| variables(object, &finder, types, section)),
                pictures,
                name,
            });
        }
        Ok(Self { maps, interval: every.map(Interval::new) })
    }

    /// The time until the maps are due again.
    pub fn left(&self) -> Option<Duration> {
        self.interval.as_ref().map(Interval::left)
    }

    /// Whether keys of maps have stacks.
    pub fn have_stacks(&self) -> bool {
        self.maps.iter().any(|table| table.key.as_ref().is_some_and(Decoder::has_stacks))
    }

    /// Shows the maps if they are due.
    pub fn tick(&mut self, stacks: &mut Option<Stacks>, session: &mut Session) -> Result<()> {
        if self.interval.as_mut().is_some_and(Interval::is_due) {
            self.show(stacks, session)
        } else {
            Ok(())
        }
    }

    /// Shows the maps for the last time.
    pub fn last(&mut self, stacks: &mut Option<Stacks>, session: &mut Session) -> Result<()> {
        self.show(stacks, session)
    }

    fn show(&mut self, stacks: &mut Option<Stacks>, session: &mut Session) -> Result<()> {
        session.clock.update();
        let now = boot_now_ns();
        for table in &self.maps {
            match stacks {
                Some(stacks) if stacks.folded.is_some() => table.fold(now, stacks, session),
                _ => table.show(now, stacks.as_ref(), session)?,
            }
        }
        Ok(())
    }
}

/// Whether a map of this kind has contents to show.
fn is_readable(map: &libbpf_rs::Map<'_>) -> bool {
    // Maps that libbpf adds for USDT probes are not the object's own.
    let internal = map.name().to_string_lossy().starts_with("__bpf_usdt_");
    let is_table = matches!(
        map.map_type(),
        MapType::Hash
            | MapType::Array
            | MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::LpmTrie
    );
    is_table && !internal
}

/// Whether a loaded object has maps with contents, besides constants.
pub fn has_any(loaded: &libbpf_rs::Object) -> bool {
    loaded.maps().any(|map| {
        let name = map.name().to_string_lossy().into_owned();
        let constant = [".rodata", ".kconfig"].iter().any(|section| name.contains(section));
        !constant && is_readable(&map)
    })
}

/// The number of a value that says how often: the first one to which a program adds, or the only
/// one.
fn counted(value: &Decoder, map: Option<usize>, uses: &Uses) -> Option<PlainNumber> {
    let (numbers, _) = value.plain_numbers();
    let is_added = |number: &&PlainNumber| {
        map.is_some_and(|map| uses.is_added_to(Memory::Value(map), number.at, number.bytes.into()))
    };
    match &numbers[..] {
        [only] => Some(only.clone()),
        several => several.iter().find(is_added).cloned(),
    }
}

impl Pictures {
    fn of(finder: &Finder<'_>, index: usize, map: &Map) -> Self {
        let memory = Memory::Value(index);
        let arrays = map.value.map(|value| finder.arrays(memory, 0, value, &map.name));
        Self {
            arrays: arrays.unwrap_or_default(),
            slots: finder.map_of_slots(index, map),
            keyed: finder.keyed(index, map),
        }
    }

    /// The fields that are drawn, in keys and in values: bytes from their start.
    fn hidden(&self) -> (Vec<u64>, Vec<u64>) {
        let in_key = self.keyed.iter().map(|keyed| keyed.at).collect();
        (in_key, self.arrays.iter().map(|array| array.at).collect())
    }
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
    fn fold(&self, now: u64, stacks: &mut Stacks, session: &mut Session) {
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

    fn show(&self, now: u64, stacks: Option<&Stacks>, session: &mut Session) -> Result<()> {
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

/// Hands over each histogram with a count in arrays of a value, with the number of the array.
fn each_picture(arrays: &[Array], values: &[&[u8]], each: &mut dyn FnMut(&Array, u64, &Counts)) {
    for array in arrays {
        for nth in 0..array.times {
            let counts = Counts::of_array(array, nth, values);
            if !counts.is_empty() {
                each(array, nth, &counts);
            }
        }
    }
}

/// The name of an array: `hists[2].slots`.
fn element_name(outer: &str, array: &Array, nth: u64) -> String {
    let index = if array.times > 1 { format!("[{nth}]") } else { String::new() };
    let dot = if outer.is_empty() && index.is_empty() || array.name.is_empty() { "" } else { "." };
    format!("{outer}{index}{dot}{}", array.name)
}

impl Variable {
    fn text(&self, value: &[u8], out: &mut String) {
        if !self.drawn {
            push_text(out, self.name.as_bytes());
            out.push_str(": ");
            push_value(&self.value, value, out);
            out.push('\n');
        }
        let mut any = false;
        each_picture(&self.arrays, &[value], &mut |array, nth, counts| {
            any = true;
            counts.text(&element_name(&self.name, array, nth), &array.slots, out);
        });
        if self.drawn && !any {
            push_text(out, self.name.as_bytes());
            out.push_str(": nothing counted\n");
        }
    }

    fn of<'a>(&self, section: &'a [u8]) -> &'a [u8] {
        let rest = section.get(self.offset..).unwrap_or_default();
        rest.get(..self.bytes).unwrap_or(rest)
    }
}

/// The variables of a section, in the order of their places.
fn variables(object: &Object, finder: &Finder<'_>, types: &Types, section: &str) -> Vec<Variable> {
    let here = |global: &&Global| {
        object.sections.get(global.section).is_some_and(|known| known.name == section)
    };
    let variables = object.globals.iter().filter(here).filter_map(|global| {
        let memory = Memory::Data(global.section);
        let arrays = global.ty.map(|ty| finder.arrays(memory, global.offset, ty, &global.name));
        let arrays = arrays.unwrap_or_default();
        let hidden = arrays.iter().map(|array| array.at).collect();
        let options = Options { hidden, ..Options::default() };
        let covered: u64 = arrays.iter().map(|array| array.times * array.count * array.width).sum();
        Some(Variable {
            name: global.name.clone(),
            offset: usize::try_from(global.offset).ok()?,
            bytes: usize::try_from(global.size).ok()?,
            value: global.ty.map(|ty| Decoder::new(types, ty, options)),
            drawn: !arrays.is_empty() && covered == global.size,
            arrays,
        })
    });
    variables.collect()
}

/// Appends a value by its type, or in hexadecimal.
fn push_value(decoder: &Option<Decoder>, data: &[u8], out: &mut String) {
    let Some(decoder) = decoder else { return out.push_str(&hex(data)) };
    let mut text = String::new();
    decoder.text(data, &mut text);
    // A single value without a name.
    out.push_str(text.strip_prefix("value=").unwrap_or(&text));
}

fn json_value(decoder: &Option<Decoder>, data: &[u8]) -> Value {
    match decoder {
        Some(decoder) => decoder.json_value(data, &Budget::new(VALUES)),
        None => json!({ "hex": hex(data) }),
    }
}
