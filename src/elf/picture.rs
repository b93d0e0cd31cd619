//! Counters that are drawn as histograms: arrays of them in values of maps and in variables, maps
//! that are such arrays, and maps whose keys have the number of a slot.
//!
//! What the slots stand for is told by the program's own computation: [`crate::elf::dataflow::scale`].
//! Where that cannot be followed, a name and a size that bcc's tools have made common stand for powers
//! of two; where they do not either, slots have only numbers.

use super::dataflow::scale::{Rule, Scale, Scales, Told};
use super::dataflow::{Memory, Uses};
use super::map::Map;
use super::object::Object;
use super::types::{Encoding, Kind, TypeId, Types};

/// The fewest and the most slots of a histogram.
const LEAST: u64 = 8;
const MOST: u64 = 4096;

/// With a name such as `slots`, so many slots are powers of two: a `u32` has 32, a `u64` 64, and
/// tools leave out the last ones.
const POWERS: std::ops::RangeInclusive<u64> = 20..=64;

/// Structs in structs, and the most arrays of one type.
const MAX_DEPTH: usize = 8;
const MAX_ARRAYS: usize = 64;

/// How the meaning of slots is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The program computes it
    Computed,
    /// By their name and number
    Named,
    /// It is not
    Unknown,
}

impl How {
    /// One word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Named => "name",
            Self::Unknown => "unknown",
        }
    }
}

/// What the slots of a histogram are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// What they stand for, if that is known
    pub scale: Option<Scale>,
    /// How that is known
    pub how: How,
}

impl Slots {
    /// One word for the scale, for programs.
    pub fn word(&self) -> &'static str {
        match self.scale.map(|scale| scale.rule) {
            Some(Rule::Log2 { .. }) => "log2",
            Some(Rule::Linear { .. }) => "linear",
            None => "slot",
        }
    }
}

/// An array of counters in a value or a variable, or several at equal distances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// The name of the member; empty if the value is nothing else
    pub name: String,
    /// Bytes from the start of the value to the first slot
    pub at: u64,
    /// Bytes of a slot
    pub width: u64,
    /// Slots
    pub count: u64,
    /// How many such arrays there are
    pub times: u64,
    /// Bytes from one to the next
    pub every: u64,
    /// What the slots are
    pub slots: Slots,
}

/// A number of a slot in the keys of a map whose values are counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Its name; of the map, if it is the whole key
    pub name: String,
    /// Bytes from the start of the key
    pub at: u64,
    /// Bytes of it
    pub width: u64,
    /// What the slots are
    pub slots: Slots,
}

impl Keyed {
    /// A key with the slot as 0: the same for all slots of a histogram.
    pub fn rest(&self, key: &[u8]) -> Vec<u8> {
        let mut rest = key.to_vec();
        let (at, width) = (usize::try_from(self.at), usize::try_from(self.width));
        if let (Ok(at), Ok(width)) = (at, width) {
            rest.iter_mut().skip(at).take(width).for_each(|byte| *byte = 0);
        }
        rest
    }
}

/// Finds histograms in an object.
pub struct Pictures<'a> {
    object: &'a Object,
    uses: &'a Uses,
    scales: Scales<'a>,
}

impl<'a> Pictures<'a> {
    /// `uses`: what the programs of this object do.
    pub fn new(object: &'a Object, uses: &'a Uses) -> Self {
        Self { object, uses, scales: Scales::new(object) }
    }

    /// The arrays of counters in a memory of this type, `start` bytes from its beginning. `name`: of
    /// the map or the variable.
    pub fn arrays(&self, memory: Memory, start: u64, ty: TypeId, name: &str) -> Vec<Array> {
        let Some(btf) = &self.object.btf else { return Vec::new() };
        let mut found = Vec::new();
        self.search(&btf.types, memory, start, ty, &Place::new(name), &mut found);
        for array in &mut found {
            array.at -= start;
        }
        found
    }

    fn search(
        &self,
        types: &Types,
        memory: Memory,
        at: u64,
        ty: TypeId,
        place: &Place<'_>,
        found: &mut Vec<Array>,
    ) {
        if place.depth > MAX_DEPTH || found.len() >= MAX_ARRAYS {
            return;
        }
        let deeper = Place { depth: place.depth + 1, ..*place };
        match types.resolved(ty) {
            Kind::Struct(body) if types.steps.take(body.members.len()) => {
                for member in body.members.iter().filter(|member| member.bit_size.is_none()) {
                    let inner = member.name.as_deref().unwrap_or_default();
                    let path = match (place.path, inner) {
                        ("", inner) => inner.to_owned(),
                        (path, "") => path.to_owned(),
                        (path, inner) => format!("{path}.{inner}"),
                    };
                    let name = if inner.is_empty() { place.name } else { inner };
                    let at = at.saturating_add(u64::from(member.bit_offset / 8));
                    let inner = Place { name, path: &path, ..deeper };
                    self.search(types, memory, at, member.ty, &inner, found);
                }
            }
            &Kind::Array { element, count } => match number(types, element) {
                Some(width) => found.extend(self.array(memory, at, width, count, place)),
                None if place.depth == 0 && (1..=MOST).contains(&count) => {
                    let every = types.size(element).unwrap_or(0);
                    if matches!(types.resolved(element), Kind::Array { .. } | Kind::Struct(_)) {
                        let inner = Place { times: count, every, ..deeper };
                        self.search(types, memory, at, element, &inner, found);
                    }
                }
                None => {}
            },
            _ => {}
        }
    }

    fn array(
        &self,
        memory: Memory,
        at: u64,
        width: u64,
        count: u64,
        place: &Place<'_>,
    ) -> Option<Array> {
        let (times, every) = (place.times, place.every);
        let end = at.checked_add(width.checked_mul(count)?)?;
        let counted = self.uses.counted(memory).filter_map(|counted| {
            let from = u64::try_from(counted.offset).ok()?.checked_sub(at)?;
            // In which of several arrays it is does not matter.
            let nth = from.checked_div(every).unwrap_or(0);
            let start = at + nth * every;
            let inside = nth < times && start + (from - nth * every) < start + (end - at);
            (inside && counted.width as u64 == width).then_some((counted, start))
        });
        let told: Vec<_> =
            counted.map(|(counted, start)| self.scales.of_array(counted, start)).collect();
        let slots = judge(place.name, count, &told)?;
        Some(Array { name: place.path.to_owned(), at, width, count, times, every, slots })
    }

    /// Whether an array map of single counters is a histogram.
    pub fn map_of_slots(&self, index: usize, map: &Map) -> Option<Slots> {
        const KEY: u64 = 4;
        let is_array = matches!(
            map.kind,
            libbpf_sys::BPF_MAP_TYPE_ARRAY | libbpf_sys::BPF_MAP_TYPE_PERCPU_ARRAY
        );
        (is_array && self.is_counter(map)).then_some(())?;
        judge(&map.name, map.max_entries.into(), &self.told(index, 0, KEY))
    }

    /// The slot in the keys of a hash of single counters.
    pub fn keyed(&self, index: usize, map: &Map) -> Option<Keyed> {
        let is_hash = matches!(
            map.kind,
            libbpf_sys::BPF_MAP_TYPE_HASH
                | libbpf_sys::BPF_MAP_TYPE_PERCPU_HASH
                | libbpf_sys::BPF_MAP_TYPE_LRU_HASH
                | libbpf_sys::BPF_MAP_TYPE_LRU_PERCPU_HASH
        );
        (is_hash && self.is_counter(map)).then_some(())?;
        let types = &self.object.btf.as_ref()?.types;
        let key = map.key?;
        // The last one that is a slot: what comes before says whose.
        let members: Vec<(&str, u64, u64)> = match types.resolved(key) {
            Kind::Struct(body) => body
                .members
                .iter()
                .filter(|member| member.bit_size.is_none())
                .filter_map(|member| {
                    let width = number(types, member.ty)?;
                    let name = member.name.as_deref().unwrap_or_default();
                    Some((name, u64::from(member.bit_offset / 8), width))
                })
                .collect(),
            _ => vec![(&map.name, 0, number(types, key)?)],
        };
        members.into_iter().rev().take(MAX_ARRAYS).find_map(|(name, at, width)| {
            let told = self.told(index, at, width);
            // There is no number of slots that could speak for powers of two.
            let slots = judge(name, LEAST, &told)?;
            Some(Keyed { name: name.to_owned(), at, width, slots })
        })
    }

    /// Whether the values are single numbers.
    fn is_counter(&self, map: &Map) -> bool {
        match (&self.object.btf, map.value) {
            (Some(btf), Some(ty)) => number(&btf.types, ty).is_some(),
            _ => matches!(map.value_size, 4 | 8),
        }
    }

    fn told(&self, map: usize, at: u64, width: u64) -> Vec<Told> {
        self.uses.keyed(map).map(|call| self.scales.of_key(call, at, width)).collect()
    }
}

/// Where an array is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Its own name
    name: &'a str,
    /// With the members that it is in
    path: &'a str,
    times: u64,
    every: u64,
    depth: usize,
}

impl<'a> Place<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, path: "", times: 1, every: 0, depth: 0 }
    }
}

/// Bytes of a whole number that can count.
fn number(types: &Types, ty: TypeId) -> Option<u64> {
    match types.resolved(ty) {
        &Kind::Int { bytes: bytes @ (2 | 4 | 8), encoding, .. } => {
            matches!(encoding, Encoding::Unsigned | Encoding::Signed).then_some(bytes.into())
        }
        _ => None,
    }
}

/// Whether counters are a histogram, and of what. `told`: by each place in the programs that counts.
fn judge(name: &str, count: u64, told: &[Told]) -> Option<Slots> {
    let named = is_histogram(name);
    if !(LEAST..=MOST).contains(&count) {
        return None;
    }
    match Scales::all(told.iter().copied()) {
        // Numbers of something, in an array of any kind.
        Told::Scale(Scale { rule: Rule::Linear { step: 1 }, .. }) if !named => None,
        Told::Scale(scale) => Some(Slots { scale: Some(scale), how: How::Computed }),
        _ if !named => None,
        Told::Unknown
            if POWERS.contains(&count) && told.iter().all(|told| *told == Told::Unknown) =>
        {
            let scale =
                Scale { rule: Rule::Log2 { first: 0 }, zero: Some(0), last: Some(count - 1) };
            Some(Slots { scale: Some(scale), how: How::Named })
        }
        _ => Some(Slots { scale: None, how: How::Unknown }),
    }
}

/// Names of histograms.
fn is_histogram(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "slot",
        "slots",
        "hist",
        "hists",
        "histogram",
        "histograms",
        "bucket",
        "buckets",
        "dist",
        "distribution",
    ];
    let name = name.to_ascii_lowercase();
    name.split('_').any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_alone_stand_for_powers_of_two_if_nothing_speaks_against_it() {
        let judged = |name, count, told: &[Told]| {
            judge(name, count, told).map(|slots| (slots.word(), slots.how.word()))
        };
        let scale = |rule| Told::Scale(Scale { rule, zero: Some(0), last: None });
        let linear = |step| scale(Rule::Linear { step });
        let log2 = scale(Rule::Log2 { first: 0 });
        for (name, count, told, expected) in [
            ("slots", 26, &[][..], Some(("log2", "name"))),
            ("slots", 26, &[Told::Unknown], Some(("log2", "name"))),
            ("slots", 26, &[Told::Other], Some(("slot", "unknown"))),
            ("slots", 26, &[Told::Other, Told::Unknown], Some(("slot", "unknown"))),
            ("slots", 10, &[], Some(("slot", "unknown"))),
            ("slots", 26, &[linear(1)], Some(("linear", "computed"))),
            ("slots", 26, &[log2, log2], Some(("log2", "computed"))),
            ("slots", 26, &[log2, linear(1)], Some(("slot", "unknown"))),
            ("lat_hist", 26, &[log2], Some(("log2", "computed"))),
            ("whatever", 26, &[log2], Some(("log2", "computed"))),
            ("whatever", 26, &[linear(10)], Some(("linear", "computed"))),
            ("whatever", 26, &[linear(1)], None),
            ("whatever", 26, &[Told::Unknown], None),
            ("slots", 4, &[log2], None),
        ] {
            assert_eq!(judged(name, count, told), expected, "{name} {count} {told:?}");
        }
    }
}
