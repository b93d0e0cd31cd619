//! Definitions of maps: `SEC(".maps")`, whose content is in BTF, and the older
//! `SEC("maps")`, whose content is numbers.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use object::elf::STT_SECTION;

use super::cursor::Cursor;
use super::sections::{File, R_BPF_64_ABS64, Symbol, few};
use super::types::{Kind, TypeId, Types};

/// The size of iproute2's definitions, which have more members behind the flags.
const IPROUTE2_BYTES: usize = 36;

/// The most members of a map's definition: libbpf knows some dozen.
const MAX_MEMBERS: usize = 64;

/// A map as the object defines it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// Empty for the inner map of another one
    pub name: String,
    /// Index of its section
    pub section: usize,
    /// Bytes from the start of the section
    pub offset: u64,
    /// `BPF_MAP_TYPE_…`
    pub kind: u32,
    /// Bytes of a key; 0 if the object does not say
    pub key_size: u64,
    /// The key's type, if known
    pub key: Option<TypeId>,
    /// Bytes of a value; 0 if the object does not say
    pub value_size: u64,
    /// The value's type, if known
    pub value: Option<TypeId>,
    /// 0: left to the loader
    pub max_entries: u32,
    /// `BPF_F_…`
    pub flags: u32,
    /// `LIBBPF_PIN_…`: 1 is by name. iproute2's numbers for its own definitions
    pub pinning: u32,
    /// The memory node, if a flag enables it
    pub numa_node: u32,
    /// The meaning depends on the kind
    pub extra: u64,
    /// For a map of maps: the template of the inner maps
    pub inner: Option<Box<Map>>,
    /// For a map of maps or programs: initial contents, by index
    pub values: Vec<(u64, String)>,
    /// From `SEC("maps")`, which libbpf refuses
    pub legacy: bool,
}

/// Whether a section holds definitions of maps; `Some(true)` if old ones.
pub(super) fn is_map_section(name: &[u8]) -> Option<bool> {
    match name {
        b".maps" => Some(false),
        b"maps" => Some(true),
        // gobpf's sections.
        _ => name.starts_with(b"maps/").then_some(true),
    }
}

/// All maps of a file, in the order of their places.
pub(super) fn read(file: &File<'_>, types: Option<&Types>) -> Result<Vec<Map>> {
    let variables = types.map(variables).unwrap_or_default();
    let mut maps = Vec::new();
    for (index, section) in file.sections.iter().enumerate() {
        let Some(legacy) = is_map_section(section.name) else { continue };
        let mut symbols: Vec<_> =
            file.symbols_in(index).filter(|symbol| symbol.kind != STT_SECTION).collect();
        symbols.sort_by_key(|symbol| symbol.value);
        symbols.dedup_by_key(|symbol| symbol.value);
        let first = maps.len();
        let mut starts = Vec::new();
        for (number, symbol) in symbols.iter().enumerate() {
            let end = symbols.get(number + 1).map_or(section.size, |next| next.value);
            let ty = variables.get(symbol.name);
            let mut map = match (legacy, types.zip(ty)) {
                (true, _) => old(file, section.data, symbol, end)?,
                (false, Some((types, &ty))) => definition(types, ty, true)?,
                // Without BTF only the name is known.
                (false, None) => Map::default(),
            };
            starts.push(types.zip(ty).map_or(0, |(types, &ty)| values_start(types, ty)));
            map.name = file.name(symbol.name)?;
            map.section = index;
            map.offset = symbol.value;
            map.legacy = legacy;
            maps.push(map);
            few(maps.len(), "maps")?;
        }
        let read = maps.get_mut(first..).unwrap_or_default();
        fill(file, index, read, &starts)?;
    }
    Ok(maps)
}

/// `struct bpf_map_def`.
fn old(file: &File<'_>, data: &[u8], symbol: &Symbol<'_>, end: u64) -> Result<Map> {
    let damaged = "damaged ELF file: a map is not within its section";
    let bytes = usize::try_from(symbol.value)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| data.get(start..end))
        .context(damaged)?;
    let mut cursor = Cursor::new(bytes, file.endian);
    // The first versions had no flags.
    let Some([kind, key_size, value_size, max_entries]) = cursor.words() else { bail!(damaged) };
    let mut map = Map {
        kind,
        key_size: key_size.into(),
        value_size: value_size.into(),
        max_entries,
        flags: cursor.u32().unwrap_or_default(),
        ..Map::default()
    };
    if bytes.len() == IPROUTE2_BYTES {
        let [_id, pinning] = cursor.words().unwrap_or_default();
        map.pinning = pinning;
    }
    Ok(map)
}

/// The struct of each map variable in BTF.
fn variables(types: &Types) -> HashMap<&[u8], TypeId> {
    let sections = types.by_name(".maps").filter_map(|id| match types.kind(id) {
        Kind::DataSection { variables, .. } => Some(variables),
        _ => None,
    });
    let named = sections.flatten().filter_map(|variable| match *types.kind(variable.ty) {
        Kind::Var { ty, .. } => Some((types.name(variable.ty)?.as_bytes(), ty)),
        _ => None,
    });
    named.collect()
}

/// The definition in the members of a map's struct.
fn definition(types: &Types, ty: TypeId, outermost: bool) -> Result<Map> {
    let mut map = Map::default();
    let members = types.composite(ty).map_or(&[][..], |body| &body.members);
    // Many maps may share one definition, which is read for each.
    if members.len() > MAX_MEMBERS {
        bail!("damaged BTF: a map's definition has {} members", members.len());
    }
    for member in members {
        let number = || number(types, member.ty);
        let short = || u32::try_from(number()).unwrap_or(u32::MAX);
        let set = |size: &mut u64| {
            let ty = types.pointee(member.ty)?;
            *size = types.size(ty).unwrap_or_default();
            Some(ty)
        };
        match member.name.as_deref().unwrap_or_default() {
            "type" => map.kind = short(),
            "max_entries" => map.max_entries = short(),
            "map_flags" => map.flags = short(),
            "numa_node" => map.numa_node = short(),
            "pinning" => map.pinning = short(),
            "map_extra" => map.extra = number(),
            "key_size" => map.key_size = number(),
            "value_size" => map.value_size = number(),
            "key" => map.key = set(&mut map.key_size),
            "value" => map.value = set(&mut map.value_size),
            "values" if outermost && map.inner.is_none() => {
                let Kind::Array { element, .. } = *types.resolved(member.ty) else { continue };
                let Some(inner) = types.pointee(element) else { continue };
                if types.composite(inner).is_some() {
                    map.inner = Some(Box::new(definition(types, inner, false)?));
                }
            }
            _ => {}
        }
    }
    Ok(map)
}

/// A number is the length of an array behind a pointer, or an enum's only value.
fn number(types: &Types, ty: TypeId) -> u64 {
    if let Kind::Enum { values, .. } = types.resolved(ty) {
        return values.first().map_or(0, |&(_, value)| value as u64);
    }
    match types.pointee(ty).map(|array| types.resolved(array)) {
        Some(Kind::Array { count, .. }) => *count,
        _ => 0,
    }
}

/// Reads the initial contents of maps of maps or programs: addresses in the section. `starts`: the
/// bytes of each map before its values.
fn fill(file: &File<'_>, section: usize, maps: &mut [Map], starts: &[u64]) -> Result<()> {
    let relocations = file.sections.get(section).map_or(&[][..], |section| &section.relocations);
    for relocation in relocations {
        let after = maps.partition_point(|map| map.offset <= relocation.offset);
        let Some(number) = after.checked_sub(1) else { continue };
        if let (R_BPF_64_ABS64, Some(map), Some(start), Some(symbol)) = (
            relocation.kind,
            maps.get_mut(number),
            starts.get(number),
            file.symbols.get(relocation.symbol),
        ) {
            let place = (relocation.offset - map.offset).saturating_sub(*start);
            map.values.push((place / 8, file.name(symbol.name)?));
            few(map.values.len(), "contents of a map")?;
        }
    }
    Ok(())
}

/// The bytes of a map's struct before its `values`.
fn values_start(types: &Types, ty: TypeId) -> u64 {
    let members = types.composite(ty).map_or(&[][..], |body| &body.members);
    let values = members.iter().find(|member| member.name.as_deref() == Some("values"));
    values.map_or(0, |member| u64::from(member.bit_offset / 8))
}

impl Map {
    /// Whether the values are maps.
    pub fn is_of_maps(&self) -> bool {
        matches!(
            self.kind,
            libbpf_sys::BPF_MAP_TYPE_ARRAY_OF_MAPS | libbpf_sys::BPF_MAP_TYPE_HASH_OF_MAPS
        )
    }

    /// Whether user space reads events from it.
    pub fn is_of_events(&self) -> bool {
        matches!(
            self.kind,
            libbpf_sys::BPF_MAP_TYPE_RINGBUF | libbpf_sys::BPF_MAP_TYPE_PERF_EVENT_ARRAY
        )
    }

    /// Whether it takes events: a ring or perf buffer, or a map of such buffers.
    pub fn takes_events(&self) -> bool {
        self.is_of_events() || self.inner.as_ref().is_some_and(|inner| inner.is_of_events())
    }

    /// Only its name is known, since the object has no BTF: what programs do with it tells the rest.
    pub fn is_unknown(&self) -> bool {
        const UNSPECIFIED: u32 = 0;
        self.kind == UNSPECIFIED && !self.legacy
    }
}
