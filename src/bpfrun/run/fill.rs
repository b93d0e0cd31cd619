//! `--map NAME[KEY]=VALUE` and `--prog-array NAME[N]=PROG`: contents of maps that an object expects
//! of its own loader, put there after loading and before anything is attached.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libbpf_rs::{MapCore as _, MapFlags, MapMut, Object};
use libbpf_sys as bpf;

use crate::bpfrun::list::list;
use crate::bpfrun::run::literal::{self, Nesting, encode, member};
use crate::elf::hook::map_type_name;
use crate::elf::map::Map;
use crate::elf::object::{self as contents};
use crate::elf::types::{TypeId, Types};

/// `NAME[KEY]PATH=VALUE`, as it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The map
    pub map: String,
    pub key: String,
    /// The member of the value, such as `.a[2]`; empty for all of it
    pub path: String,
    pub value: String,
}

/// An element to be put into a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The map
    pub map: String,
    /// For people: `NAME[KEY]`
    pub place: String,
    pub key: Vec<u8>,
    pub content: Content,
}

/// What is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes, in a map with a value for each CPU for all of them
    Value(Vec<u8>),
    /// This program
    Program(String),
    /// This folder of cgroups
    Cgroup(String),
}

/// How a map is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a key
    Keyed,
    /// By an index below its size
    Indexed,
    /// In the order of the command line
    Queue,
    /// By the length of a prefix, and an address
    Prefix,
    /// By an index, with folders of cgroups
    Cgroups,
}

/// The kinds of maps that can be filled.
const WAYS: &[(u32, Way)] = &[
    (bpf::BPF_MAP_TYPE_HASH, Way::Keyed),
    (bpf::BPF_MAP_TYPE_PERCPU_HASH, Way::Keyed),
    (bpf::BPF_MAP_TYPE_LRU_HASH, Way::Keyed),
    (bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH, Way::Keyed),
    (bpf::BPF_MAP_TYPE_DEVMAP_HASH, Way::Keyed),
    (bpf::BPF_MAP_TYPE_ARRAY, Way::Indexed),
    (bpf::BPF_MAP_TYPE_PERCPU_ARRAY, Way::Indexed),
    (bpf::BPF_MAP_TYPE_DEVMAP, Way::Indexed),
    (bpf::BPF_MAP_TYPE_CPUMAP, Way::Indexed),
    (bpf::BPF_MAP_TYPE_LPM_TRIE, Way::Prefix),
    (bpf::BPF_MAP_TYPE_CGROUP_ARRAY, Way::Cgroups),
    (bpf::BPF_MAP_TYPE_QUEUE, Way::Queue),
    (bpf::BPF_MAP_TYPE_STACK, Way::Queue),
    (bpf::BPF_MAP_TYPE_BLOOM_FILTER, Way::Queue),
];

/// Kinds of maps with a value for each CPU.
const PER_CPU: [u32; 3] = [
    bpf::BPF_MAP_TYPE_PERCPU_HASH,
    bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH,
    bpf::BPF_MAP_TYPE_PERCPU_ARRAY,
];

/// Parses `NAME[KEY]=VALUE`; the key and the value may have brackets, too.
pub fn assignment(text: &str) -> Result<Assignment, String> {
    const FORM: &str = "give a map, a key and a value, as NAME[KEY]=VALUE";
    let (map, rest) = text.split_once('[').filter(|(map, _)| !map.is_empty()).ok_or(FORM)?;
    if map.contains('=') {
        return Err(FORM.to_owned());
    }
    let mut nesting = Nesting::default();
    let end = rest.char_indices().find(|&(_, c)| {
        let is_end = c == ']' && nesting.is_outside();
        nesting.step(c);
        is_end
    });
    let (end, _) = end.ok_or(FORM)?;
    let (key, rest) = rest.split_at(end);
    let (path, value) = rest.get(1..).and_then(|rest| rest.split_once('=')).ok_or(FORM)?;
    let [map, key, path, value] = [map, key, path, value].map(str::to_owned);
    Ok(Assignment { map, key, path, value })
}

/// The elements to be put into maps. The error is one line.
pub fn plan(
    object: &contents::Object,
    values: &[Assignment],
    programs: &[Assignment],
) -> Result<Vec<Fill>, String> {
    let mut fills: Vec<Fill> = Vec::new();
    for given in values {
        let place = format!("{}[{}]", given.map, given.key);
        let in_place = |error: String| format!("{place}{}: {error}", given.path);
        let (map, way) = fillable(object, &given.map)?;
        let key = key(object, map, way, &given.key).map_err(|e| format!("{place}: {e}"))?;
        if way == Way::Cgroups {
            let content = Content::Cgroup(given.value.clone());
            if !Path::new(&given.value).is_dir() {
                return Err(in_place(format!("{} is not a folder of cgroups", given.value)));
            }
            fills.push(Fill { map: map.name.clone(), place, key, content });
            continue;
        }
        // Members of one element may come one by one.
        let known = fills.iter_mut().find(|fill| fill.map == map.name && fill.key == key);
        let known = known.filter(|_| way != Way::Queue);
        let mut value = match &known {
            Some(Fill { content: Content::Value(value), .. }) => value.clone(),
            _ => vec![0; value_size(object, map).map_err(in_place)?],
        };
        write(object, map, &given.path, &given.value, &mut value).map_err(in_place)?;
        match known {
            Some(fill) => fill.content = Content::Value(value),
            None => {
                let (map, content) = (map.name.clone(), Content::Value(value));
                fills.push(Fill { map, place, key, content });
            }
        }
    }
    few_enough(object, &fills)?;
    for given in programs {
        fills.push(program(object, given)?);
    }
    Ok(fills)
}

/// The map of this name, and how it is filled.
fn fillable<'a>(object: &'a contents::Object, name: &str) -> Result<(&'a Map, Way), String> {
    let way = |map: &Map| WAYS.iter().find(|(kind, _)| *kind == map.kind).map(|&(_, way)| way);
    let map = object.maps.iter().find(|map| map.name == name);
    if let Some(way) = map.and_then(way) {
        return map.map(|map| (map, way)).ok_or_else(String::new);
    }
    let others = object.maps.iter().filter(|map| way(map).is_some());
    let others = match list(others.map(|map| described(object, map)), ", ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    };
    Err(match map {
        Some(map) if map.kind == bpf::BPF_MAP_TYPE_PROG_ARRAY => {
            format!("{name} holds programs: --prog-array {name}[N]=PROG puts them there")
        }
        Some(map) if map.is_unknown() => {
            format!("map {name}: its kind is not known, since the object has no BTF")
        }
        Some(map) => {
            let kind = map_type_name(map.kind).unwrap_or("unknown");
            format!("map {name} ({kind}) takes no values: those that do are {others}")
        }
        None => format!("no map {name}: those that take values are {others}"),
    })
}

/// Such as `conf (u32 -> struct conf)`.
fn described(object: &contents::Object, map: &Map) -> String {
    let types = object.btf.as_ref().map(|btf| &btf.types);
    let name = |ty: Option<TypeId>, bytes| match types.zip(ty) {
        Some((types, ty)) => types.c_name(ty),
        None => format!("{bytes} bytes"),
    };
    let value = name(map.value, map.value_size);
    match map.key_size {
        0 => format!("{}[] ({value})", map.name),
        bytes => format!("{}[{}] ({value})", map.name, name(map.key, bytes)),
    }
}

/// The bytes of a key.
fn key(object: &contents::Object, map: &Map, way: Way, text: &str) -> Result<Vec<u8>, String> {
    if way == Way::Queue {
        return match text {
            "" => Ok(Vec::new()),
            _ => Err(format!("has no keys: --map {}[]=VALUE", map.name)),
        };
    }
    if let (Way::Prefix, Some((address, length))) = (way, text.split_once('/')) {
        return prefix(map, address, length);
    }
    let types = object.btf.as_ref().map(|btf| &btf.types);
    let key = match types.zip(map.key) {
        Some((types, ty)) => encode(types, ty, text),
        None => literal::raw(map.key_size, text),
    };
    let key = key.map_err(|error| format!("the key {error}"))?;
    let index = key.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let is_index = matches!(way, Way::Indexed | Way::Cgroups);
    match index.filter(|index| is_index && map.max_entries > 0 && *index >= map.max_entries) {
        Some(_) => Err(format!("has {} elements", map.max_entries)),
        None => Ok(key),
    }
}

/// `ADDRESS/LENGTH`, as in a table of routes.
fn prefix(map: &Map, address: &str, length: &str) -> Result<Vec<u8>, String> {
    let address: IpAddr = address.parse().map_err(|_| format!("{address} is not an address"))?;
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let most = bytes.len() * 8;
    let length: u32 = length
        .parse()
        .ok()
        .filter(|&length| length as usize <= most)
        .ok_or_else(|| format!("{length} is not the length of a prefix, from 0 to {most}"))?;
    let key = [&length.to_ne_bytes()[..], &bytes].concat();
    if key.len() as u64 != map.key_size {
        return Err(format!("the key has {} bytes, and such a prefix {}", map.key_size, key.len()));
    }
    Ok(key)
}

fn value_size(object: &contents::Object, map: &Map) -> Result<usize, String> {
    let size = match (map.value, &object.btf) {
        (Some(ty), Some(btf)) => btf.types.size(ty),
        _ => Some(map.value_size),
    };
    let size = size.and_then(|size| usize::try_from(size).ok());
    size.filter(|size| (1..=1 << 20).contains(size)).ok_or("its size is not known".to_owned())
}

/// Writes a value, or a member of it.
fn write(
    object: &contents::Object,
    map: &Map,
    path: &str,
    text: &str,
    value: &mut Vec<u8>,
) -> Result<(), String> {
    let types: Option<(&Types, TypeId)> = object.btf.as_ref().map(|btf| &btf.types).zip(map.value);
    let Some((types, ty)) = types else {
        if !path.is_empty() {
            return Err("its type is not known, so it has no members".to_owned());
        }
        *value = literal::raw(value.len() as u64, text)?;
        return Ok(());
    };
    let (ty, at) = member(types, ty, path)?;
    literal::put(value, at, &encode(types, ty, text)?)
}

/// No more elements than a map has room for.
fn few_enough(object: &contents::Object, fills: &[Fill]) -> Result<(), String> {
    for map in object.maps.iter().filter(|map| map.max_entries > 0) {
        let count = fills.iter().filter(|fill| fill.map == map.name).count();
        if count > map.max_entries as usize {
            return Err(format!("map {} has room for {} elements", map.name, map.max_entries));
        }
    }
    Ok(())
}

fn program(object: &contents::Object, given: &Assignment) -> Result<Fill, String> {
    let Assignment { map: name, key, path, value } = given;
    let place = format!("{name}[{key}]");
    let is_of_programs = |map: &&Map| map.kind == bpf::BPF_MAP_TYPE_PROG_ARRAY;
    let arrays = || object.maps.iter().filter(is_of_programs);
    let Some(map) = arrays().find(|map| map.name == *name) else {
        return Err(match list(arrays().map(|map| &map.name), ", ") {
            none if none.is_empty() => format!("no map of programs {name}: there are none"),
            some => format!("no map of programs {name}: there are {some}"),
        });
    };
    let index: u32 = key.parse().map_err(|_| format!("{place}: {key:?} is not an index"))?;
    if map.max_entries > 0 && index >= map.max_entries {
        return Err(format!("{place}: has {} elements", map.max_entries));
    }
    if !path.is_empty() || !object.programs.iter().any(|program| program.name == *value) {
        let programs = list(object.programs.iter().map(|program| &program.name), ", ");
        return Err(format!("{place}: no program {path}{value}: there are {programs}"));
    }
    let content = Content::Program(value.clone());
    Ok(Fill { map: name.clone(), place, key: index.to_ne_bytes().to_vec(), content })
}

/// Notes in an object which programs its maps of programs will hold: those are called, loaded, and
/// act through their callers.
pub fn note_programs(object: &mut contents::Object, fills: &[Fill]) {
    for fill in fills {
        let (Content::Program(program), Some(index)) = (&fill.content, fill.key.first_chunk())
        else {
            continue;
        };
        let index = u64::from(u32::from_ne_bytes(*index));
        if let Some(map) = object.maps.iter_mut().find(|map| map.name == fill.map) {
            map.values.retain(|(place, _)| *place != index);
            map.values.push((index, program.clone()));
        }
    }
}

/// Puts the elements into the maps of a loaded object. Returns one line for each program that is
/// missing because it was not loaded.
pub fn apply(object: &mut Object, fills: &[Fill]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    let cpus = libbpf_rs::num_possible_cpus()?;
    for fill in fills {
        let value = match &fill.content {
            Content::Value(value) => value.clone(),
            Content::Cgroup(folder) => {
                let folder = File::open(folder).with_context(|| format!("open {folder}"))?;
                put(object, fill, &folder.as_raw_fd().to_ne_bytes(), cpus)?;
                continue; // open until then
            }
            Content::Program(name) => {
                let program = object.progs().find(|program| *program.name() == **name);
                let fd = program.map_or(-1, |program| program.as_fd().as_raw_fd());
                if fd < 0 {
                    missing.push(format!("{}: {name} is not loaded", fill.place));
                    continue;
                }
                fd.to_ne_bytes().to_vec()
            }
        };
        put(object, fill, &value, cpus)?;
    }
    Ok(missing)
}

fn put(object: &mut Object, fill: &Fill, value: &[u8], cpus: usize) -> Result<()> {
    let mut maps = object.maps_mut();
    let map: Option<MapMut<'_>> = maps.find(|map| *map.name() == *fill.map);
    let map = map.filter(|map| map.as_fd().as_raw_fd() >= 0);
    let map = map.with_context(|| format!("{}: the map was not created", fill.place))?;
    let kind = u32::from(map.map_type());
    let done = if PER_CPU.contains(&kind) {
        ensure!(value.len() <= map.value_size() as usize, "{}: too long", fill.place);
        map.update_percpu(&fill.key, &vec![value.to_vec(); cpus], MapFlags::ANY)
    } else {
        map.update(&fill.key, value, MapFlags::ANY)
    };
    done.with_context(|| format!("cannot put a value into {}", fill.place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Assignment {
        assignment(text).unwrap()
    }

    #[test]
    fn maps_keys_and_values_are_told_apart() {
        let parts = |text: &str| {
            let Assignment { map, key, path, value } = given(text);
            [map, key, path, value].join("|")
        };
        assert_eq!(parts("m[1]=2"), "m|1||2");
        assert_eq!(parts("m[]=a=b"), "m|||a=b");
        assert_eq!(parts("m[{a=1,b=[2,3]}].x[4].y=z"), "m|{a=1,b=[2,3]}|.x[4].y|z");
        assert_eq!(parts("m[\"]=\"]=1"), "m|\"]=\"||1");
        for wrong in ["", "m", "m=1", "[1]=2", "m[1", "m[1]", "m=[1]=2", "m[[1]=2"] {
            assert!(assignment(wrong).unwrap_err().contains("NAME[KEY]=VALUE"), "{wrong}");
        }
    }

    #[test]
    fn prefixes_are_keys() {
        let map = Map { key_size: 8, ..Map::default() };
        let bytes = [&24_u32.to_ne_bytes()[..], &[10, 1, 2, 0]].concat();
        assert_eq!(prefix(&map, "10.1.2.0", "24"), Ok(bytes));
        for (address, length, error) in [
            ("10.0.0.0", "33", "from 0 to 32"),
            ("10.0.0", "8", "10.0.0 is not an address"),
            ("::", "8", "the key has 8 bytes, and such a prefix 20"),
        ] {
            assert!(prefix(&map, address, length).unwrap_err().contains(error), "{address}");
        }
    }

    #[test]
    fn maps_without_types_take_numbers() {
        let mut object = contents::Object::default();
        let named = |name: &str, kind, max_entries| Map {
            name: name.into(),
            kind,
            key_size: 4,
            value_size: 8,
            max_entries,
            ..Map::default()
        };
        object.maps = vec![
            named("conf", bpf::BPF_MAP_TYPE_ARRAY, 2),
            named("set", bpf::BPF_MAP_TYPE_HASH, 1),
            named("calls", bpf::BPF_MAP_TYPE_PROG_ARRAY, 2),
            named("ring", bpf::BPF_MAP_TYPE_RINGBUF, 4096),
            Map { key_size: 0, ..named("queue", bpf::BPF_MAP_TYPE_QUEUE, 3) },
        ];
        let plan = |text: &str| plan(&object, &[given(text)], &[]);
        let fills = plan("conf[1]=-2").unwrap();
        assert_eq!(fills[0].key, 1_u32.to_ne_bytes());
        assert_eq!(fills[0].content, Content::Value((-2_i64).to_ne_bytes().to_vec()));
        assert!(plan("queue[]=1").unwrap()[0].key.is_empty());
        for (text, error) in [
            ("conf[2]=1", "conf[2]: has 2 elements"),
            ("conf[x]=1", "conf[x]: the key \"x\" is not valid"),
            ("conf[0]=x", "conf[0]: \"x\" is not valid"),
            ("conf[0].a=1", "conf[0].a: its type is not known"),
            ("queue[1]=1", "has no keys: --map queue[]=VALUE"),
            ("calls[0]=1", "calls holds programs: --prog-array calls[N]=PROG"),
            (
                "ring[0]=1",
                "map ring (ringbuf) takes no values: those that do are conf[4 bytes] (8 bytes), set",
            ),
            ("nope[0]=1", "no map nope: those that take values are conf[4 bytes] (8 bytes), "),
        ] {
            let said = plan(text).unwrap_err();
            assert!(said.contains(error), "{text}: {said}");
        }
        let two = [given("set[1]=1"), given("set[2]=1")];
        let said = super::plan(&object, &two, &[]).unwrap_err();
        assert_eq!(said, "map set has room for 1 elements");
        let again = [given("set[1]=1"), given("set[1]=3"), given("queue[]=1"), given("queue[]=1")];
        let fills = super::plan(&object, &again, &[]).unwrap();
        assert_eq!(fills.len(), 3, "one element twice, two of a queue");
        assert_eq!(fills[0].content, Content::Value(3_u64.to_ne_bytes().to_vec()));
        for (text, error) in [
            ("calls[0]=p", "calls[0]: no program p: there are "),
            ("calls[2]=p", "calls[2]: has 2 elements"),
            ("calls[x]=p", "calls[x]: \"x\" is not an index"),
            ("conf[0]=p", "no map of programs conf: there are calls"),
        ] {
            let said = super::plan(&object, &[], &[given(text)]).unwrap_err();
            assert!(said.contains(error), "{text}: {said}");
        }
    }
}
