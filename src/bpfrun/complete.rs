//! Values for completions: what is in the object that the command line names. The file may be
//! anybody's, and whatever is wrong with it, there is no value then.

use std::path::PathBuf;

use crate::bpfrun::choose::{self, Choice};
use crate::bpfrun::run::set::variables;
use crate::elf::hook::map_type_name;
use crate::elf::map::Map;
use crate::elf::object::Object;
use crate::engine::manual::{Candidate, Given};

/// Values of the flag with this id, or of a word without a flag.
pub fn values(id: &str, given: &Given<'_>) -> Option<Vec<Candidate>> {
    if id == "object" {
        return Some(objects(given));
    }
    let names = match id {
        "prog" | "attach" => |object: &Object| programs(object, ""),
        "type_of" => |object: &Object| programs(object, "="),
        "events" | "maps_to_show" => |object: &Object| maps(object, "", Map::takes_events),
        "map" => |object: &Object| maps(object, "", |map| !map.takes_events()),
        "prog_array" => |object: &Object| maps(object, "", is_prog_array),
        "types" | "wanted" => {
            |object: &Object| [maps(object, "=", Map::takes_events), programs(object, "=")].concat()
        }
        "set" => {
            |object: &Object| variables(object).map(|(name, ty)| (format!("{name}="), ty)).collect()
        }
        _ => return None,
    };
    Some(object(given).map_or_else(Vec::new, |object| names(&object)))
}

/// The names of the programs, with their sections. `end`: what stands behind a name.
fn programs(object: &Object, end: &str) -> Vec<Candidate> {
    let programs = object.programs.iter();
    programs.map(|program| (format!("{}{end}", program.name), program.section.clone())).collect()
}

/// The names of some maps, with their types.
fn maps(object: &Object, end: &str, takes: fn(&Map) -> bool) -> Vec<Candidate> {
    let maps = object.maps.iter().filter(|map| takes(map));
    maps.map(|map| (format!("{}{end}", map.name), kind(map))).collect()
}

fn is_prog_array(map: &Map) -> bool {
    map.kind == libbpf_sys::BPF_MAP_TYPE_PROG_ARRAY
}

fn kind(map: &Map) -> String {
    map_type_name(map.kind).map_or_else(String::new, str::to_owned)
}

/// The file: never stdin, which is the terminal's.
fn file(given: &Given<'_>) -> Option<PathBuf> {
    let word = given.words.first().filter(|word| **word != "-")?;
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    match word.strip_prefix("~/") {
        Some(rest) => home().map(|home| home.join(rest)),
        None => Some(word.into()),
    }
}

fn object(given: &Given<'_>) -> Option<Object> {
    let wanted = given.values.iter().rev().find(|(id, _)| *id == "object");
    match choose::open(&file(given)?, wanted.map(|(_, value)| *value), false).ok()? {
        Choice::One(chosen) => Object::parse(&chosen.data).ok(),
        Choice::Several(_) | Choice::Wrong(_) => None,
    }
}

fn objects(given: &Given<'_>) -> Vec<Candidate> {
    let choice = file(given).and_then(|file| choose::open(&file, None, true).ok());
    let Some(Choice::Several(objects)) = choice else { return Vec::new() };
    let named = |name: Option<&str>| name.unwrap_or_default().to_owned();
    objects.all.iter().map(|one| (one.number.to_string(), named(one.name()))).collect()
}
