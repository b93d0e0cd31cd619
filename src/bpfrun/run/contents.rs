//! `--maps`: the contents of the maps, by type.

use std::time::Duration;

use anyhow::Result;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use serde_json::{Map, Value, json};

use crate::bpfrun::run::row::hex;
use crate::elf::budget::{Budget, VALUES};
use crate::elf::global::Global;
use crate::elf::object::Object;
use crate::elf::types::{TypeId, Types};
use crate::elf::value::{Decoder, Options};
use crate::engine::interval::Interval;
use crate::engine::session::Session;
use crate::output::escape::push_text;
use crate::output::table::count;
use crate::output::time::boot_now_ns;

/// The most elements of one map to show.
const MANY: usize = 100_000;

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
}

/// A global variable.
struct Variable {
    name: String,
    /// In bytes from the start of the section
    offset: usize,
    bytes: usize,
    value: Option<Decoder>,
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
        let mut maps = Vec::new();
        for map in loaded.maps() {
            let name = map.name().to_string_lossy().into_owned();
            let section = name.find('.').and_then(|at| name.get(at..)); // see `apply` in run.rs
            let readable = matches!(
                map.map_type(),
                MapType::Hash
                    | MapType::Array
                    | MapType::PercpuHash
                    | MapType::PercpuArray
                    | MapType::LruHash
                    | MapType::LruPercpuHash
                    | MapType::LpmTrie
            );
            let constant = section.is_some_and(|section| {
                section.starts_with(".rodata") || section.starts_with(".kconfig")
            });
            // Maps that libbpf adds for USDT probes are not the object's own.
            let internal = name.starts_with("__bpf_usdt_");
            if !readable || constant || internal {
                continue;
            }
            let defined = object.maps.iter().find(|defined| defined.name == name);
            let decoder = |ty: Option<TypeId>| Some(Decoder::new(types, ty?, Options::default()));
            maps.push(Table {
                map: MapHandle::try_from(&map)?,
                key: decoder(defined.and_then(|defined| defined.key)),
                value: decoder(defined.and_then(|defined| defined.value)),
                per_cpu: map.map_type().is_percpu(),
                array: matches!(map.map_type(), MapType::Array | MapType::PercpuArray),
                globals: section.map(|section| variables(object, types, section)),
                name,
            });
        }
        Ok(Self { maps, interval: every.map(Interval::new) })
    }

    /// The time until the maps are due again.
    pub fn left(&self) -> Option<Duration> {
        self.interval.as_ref().map(Interval::left)
    }

    /// Shows the maps if they are due.
    pub fn tick(&mut self, session: &mut Session) -> Result<()> {
        if self.interval.as_mut().is_some_and(Interval::is_due) {
            self.show(session)
        } else {
            Ok(())
        }
    }

    /// Shows the maps for the last time.
    pub fn last(&mut self, session: &mut Session) -> Result<()> {
        self.show(session)
    }

    fn show(&mut self, session: &mut Session) -> Result<()> {
        session.clock.update();
        let now = boot_now_ns();
        for table in &self.maps {
            table.show(now, session)?;
        }
        Ok(())
    }
}

impl Table {
    fn show(&self, now: u64, session: &mut Session) -> Result<()> {
        let mut lines = String::new();
        let mut elements = 0;
        // One key at a time, so that a large map is not copied.
        for key in self.map.keys().take(MANY) {
            let Some(values) = self.values(&key) else { continue }; // gone by now
            if self.array
                && self.globals.is_none()
                && values.iter().flatten().all(|&byte| byte == 0)
            {
                continue;
            }
            elements += 1;
            if session.out.json {
                session.out.object(&self.json(now, &key, &values, session))?;
                session.out.flush_if_full()?;
            } else {
                self.text(&key, &values, &mut lines);
            }
        }
        if session.out.json {
            return Ok(());
        }
        let mut name = String::new();
        push_text(&mut name, self.name.as_bytes());
        let time = session.local_time(now);
        let heading = match self.globals {
            Some(_) => format!("-- {time} {name}\n"),
            None => format!("-- {time} {name}: {}\n", count(elements, "element")),
        };
        session.out.raw(heading)?;
        session.out.raw(lines)
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
            for variable in variables {
                push_text(out, variable.name.as_bytes());
                out.push_str(": ");
                push_value(&variable.value, variable.of(data), out);
                out.push('\n');
            }
            return;
        }
        let is_zero = |value: &[u8]| value.iter().all(|&byte| byte == 0);
        let mut line = |cpu: &str, value: &[u8]| {
            out.push('[');
            push_value(&self.key, key, out);
            out.push(']');
            out.push_str(cpu);
            out.push_str(": ");
            push_value(&self.value, value, out);
            out.push('\n');
        };
        match values {
            [value] if !self.per_cpu => line("", value),
            [first, _, ..] if values.iter().all(|value| is_zero(value)) => line(" each CPU", first),
            _ => {
                for (cpu, value) in values.iter().enumerate() {
                    if values.len() == 1 || !is_zero(value) {
                        line(&format!(" CPU {cpu}"), value);
                    }
                }
            }
        }
    }

    fn json(&self, now: u64, key: &[u8], values: &[Vec<u8>], session: &Session) -> Value {
        let mut record = Map::new();
        record.insert("timestamp".to_owned(), session.clock.rfc3339(now).into());
        record.insert("event".to_owned(), json!({ "name": "bpf.map" }));
        record.insert("bpf".to_owned(), json!({ "map": self.name }));
        if let (Some(variables), [data, ..]) = (&self.globals, values) {
            let each = variables.iter().map(|variable| {
                (variable.name.clone(), json_value(&variable.value, variable.of(data)))
            });
            record.insert("value".to_owned(), Value::Object(each.collect()));
            return record.into();
        }
        record.insert("key".to_owned(), json_value(&self.key, key));
        let mut each = values.iter().map(|value| json_value(&self.value, value));
        match self.per_cpu {
            true => record.insert("values".to_owned(), each.collect()),
            false => record.insert("value".to_owned(), each.next().unwrap_or_default()),
        };
        record.into()
    }
}

impl Variable {
    fn of<'a>(&self, section: &'a [u8]) -> &'a [u8] {
        let rest = section.get(self.offset..).unwrap_or_default();
        rest.get(..self.bytes).unwrap_or(rest)
    }
}

/// The variables of a section, in the order of their places.
fn variables(object: &Object, types: &Types, section: &str) -> Vec<Variable> {
    let here = |global: &&Global| {
        object.sections.get(global.section).is_some_and(|known| known.name == section)
    };
    let variables = object.globals.iter().filter(here).filter_map(|global| {
        Some(Variable {
            name: global.name.clone(),
            offset: usize::try_from(global.offset).ok()?,
            bytes: usize::try_from(global.size).ok()?,
            value: global.ty.map(|ty| Decoder::new(types, ty, Options::default())),
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
