//! `--maps`: the contents of the maps, by type, and histograms of what is counted in them.

mod cpus;
mod drawn;
mod globals;
mod picture;
mod table;
mod value;

use std::time::Duration;

use anyhow::Result;
use libbpf_rs::{MapCore as _, MapHandle, MapType};

use self::cpus::Sums;
use self::drawn::Pictures;
use self::globals::variables;
use self::table::Table;
use crate::bpfrun::run::stacks::Stacks;
use crate::elf::dataflow::{Memory, Uses, emissions};
use crate::elf::object::Object;
use crate::elf::picture::Pictures as Finder;
use crate::elf::schema::hints_of;
use crate::elf::types::{TypeId, Types};
use crate::elf::value::{Decoder, Hint, Options, PlainNumber};
use crate::engine::interval::Interval;
use crate::engine::session::Session;
use crate::output::time::boot_now_ns;

/// Reads maps repeatedly.
pub struct Contents {
    maps: Vec<Table>,
    interval: Option<Interval>,
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
