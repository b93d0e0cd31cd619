//! `--maps`: what is in the maps, by their types.

use std::time::Duration;

use anyhow::Result;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use serde_json::{Value, json};

use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId, Types};
use crate::elf::value::{Decoder, Options};
use crate::escape::push_text;
use crate::out::count;
use crate::run::row::hex;
use crate::session::Session;
use crate::summary::Interval;
use crate::time::boot_now_ns;

/// Elements of one map that are shown.
const MANY: usize = 100_000;

/// Reads maps again and again.
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
    /// Elements are always there: those that are all zero are left out
    array: bool,
    /// Global variables: a single element without a key
    globals: bool,
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
            let section = name.find('.').and_then(|at| name.get(at..));
            let globals = section.and_then(|section| {
                types
                    .by_name(section)
                    .find(|&id| matches!(types.kind(id), Kind::DataSection { .. }))
            });
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
            if !readable || constant {
                continue;
            }
            let defined = object.maps.iter().find(|defined| defined.name == name);
            let decoder = |ty: Option<TypeId>| Some(Decoder::new(types, ty?, Options::default()));
            maps.push(Table {
                map: MapHandle::try_from(&map)?,
                key: decoder(defined.and_then(|defined| defined.key)),
                value: decoder(globals.or(defined.and_then(|defined| defined.value))),
                per_cpu: map.map_type().is_percpu(),
                array: matches!(map.map_type(), MapType::Array | MapType::PercpuArray),
                globals: section.is_some(),
                name,
            });
        }
        Ok(Self { maps, interval: every.map(Interval::new) })
    }

    /// How long until they are to be shown again.
    pub fn left(&self) -> Option<Duration> {
        self.interval.as_ref().map(Interval::left)
    }

    /// Shows them if it is time.
    pub fn tick(&mut self, session: &mut Session) -> Result<()> {
        if self.interval.as_mut().is_some_and(Interval::is_due) {
            self.show(session)
        } else {
            Ok(())
        }
    }

    /// Shows them for the last time.
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
        // Not all keys first: a large map would be copied.
        for key in self.map.keys().take(MANY) {
            let Some(values) = self.values(&key) else { continue }; // gone by now
            if self.array && !self.globals && values.iter().flatten().all(|&byte| byte == 0) {
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
        let time = session.clock.local_time(now);
        let heading = match self.globals {
            true => format!("-- {time} {name}\n"),
            false => format!("-- {time} {name}: {}\n", count(elements, "element")),
        };
        session.out.raw(heading)?;
        session.out.raw(lines)
    }

    /// One, or one for each CPU.
    fn values(&self, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        if self.per_cpu {
            self.map.lookup_percpu(key, MapFlags::ANY).ok()?
        } else {
            Some(vec![self.map.lookup(key, MapFlags::ANY).ok()??])
        }
    }

    fn text(&self, key: &[u8], values: &[Vec<u8>], out: &mut String) {
        for (cpu, value) in values.iter().enumerate() {
            if self.per_cpu && values.len() > 1 && value.iter().all(|&byte| byte == 0) {
                continue;
            }
            if !self.globals {
                out.push('[');
                push_value(&self.key, key, out);
                out.push(']');
                if self.per_cpu {
                    out.push_str(&format!(" CPU {cpu}"));
                }
                out.push_str(": ");
            }
            push_value(&self.value, value, out);
            out.push('\n');
        }
    }

    fn json(&self, now: u64, key: &[u8], values: &[Vec<u8>], session: &Session) -> Value {
        let mut record = json!({
            "timestamp": session.clock.rfc3339(now),
            "event": { "name": "bpf.map" },
            "bpf": { "map": self.name },
        });
        if !self.globals {
            record["key"] = json_value(&self.key, key);
        }
        let mut each = values.iter().map(|value| json_value(&self.value, value));
        match self.per_cpu {
            true => record["values"] = each.collect(),
            false => record["value"] = each.next().unwrap_or_default(),
        }
        record
    }
}

/// By its type, or in hexadecimal.
fn push_value(decoder: &Option<Decoder>, data: &[u8], out: &mut String) {
    match decoder {
        Some(decoder) => decoder.text(data, out),
        None => out.push_str(&hex(data)),
    }
}

fn json_value(decoder: &Option<Decoder>, data: &[u8]) -> Value {
    match decoder {
        Some(decoder) => decoder.json(data),
        None => json!({ "hex": hex(data) }),
    }
}
