//! The struct of each map's events, and the source of that knowledge.
//!
//! Object files rarely name it outright. The sources, in the order of trust: the user; an
//! annotation; the type of the copied data; debug information; BTF. None of them counts against the
//! instructions: a struct must have the size that is sent, and a member wherever something is
//! written. If two candidates fit, neither is used.

mod annotation;
mod choose;
mod infer;
mod known;
mod layout;
mod lines;
mod select;
mod source;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use anyhow::Result;
use object::Endianness;

pub use known::Known;
pub use select::{Alternative, EventDecoder, When};
pub use user::{UserSchemas, can_have_types};

use self::layout::{begins, is_exact};
use self::lines::Lines;
use super::dataflow::{Emission, Sink, emissions};
use super::dwarf::Dwarf;
use super::map::Map;
use super::object::Object;
use super::types::{Encoding, Kind, Type, TypeId, Types};
use super::value::{Clocks, Decoder, Hint, Options};

/// The source of a schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provenance {
    /// The user named it
    User(String),
    /// The object names it
    Annotation(String),
    /// The type of the copied data
    Dataflow(String),
    /// The only variable that fits, in debug information
    Dwarf(String),
    /// The only struct in BTF that fits
    Btf(String),
    /// A number of this size
    Scalar,
    /// Made of the stores into the record
    Inferred(String),
    /// Unknown, for this reason
    Unknown(String),
}

impl Provenance {
    /// One word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Annotation(_) => "annotation",
            Self::Dataflow(_) => "dataflow",
            Self::Dwarf(_) => "dwarf",
            Self::Btf(_) => "btf",
            Self::Scalar => "scalar",
            Self::Inferred(_) => "inferred",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(how) | Self::Annotation(how) | Self::Dataflow(how) => f.write_str(how),
            Self::Dwarf(how) => write!(f, "debug information: {how}"),
            Self::Btf(how) => write!(f, "BTF: {how}"),
            Self::Scalar => f.write_str("a number, by its size"),
            Self::Inferred(how) => write!(f, "inferred {how}"),
            Self::Unknown(why) => write!(f, "not known: {why}"),
        }
    }
}

/// One kind of record that is sent to a map.
#[derive(Clone, Debug)]
pub struct EventSchema<'a> {
    /// The map; for maps in a map of maps, the outer one; for an iterator, the program
    pub map: String,
    /// Written by an iterator
    pub iterator: bool,
    /// The type in [`EventSchema::types`]; `None`: shown as bytes
    pub ty: Option<TypeId>,
    /// Where the type is
    pub types: Known<'a>,
    /// The source of this knowledge
    pub provenance: Provenance,
    /// Records may be longer than the type
    pub tail: bool,
    /// The names of the programs that send it
    pub senders: Vec<String>,
    /// Where they send it, as far as the object has source lines
    pub sites: Vec<Site>,
    /// The difference from other records in the same map
    pub when: When,
    /// Hints from the writes of programs
    pub hints: Vec<(u64, Hint)>,
}

/// A place in the source that sends a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The name of the program
    pub program: String,
    /// The source file, as the compiler wrote it
    pub file: String,
    /// Counted from 1
    pub line: u32,
}

impl EventSchema<'_> {
    /// The C name of the type.
    pub fn type_name(&self) -> Option<String> {
        Some(self.types.c_name(self.ty?))
    }

    /// The decoder for this schema.
    pub fn decoder(&self, endian: Endianness, clocks: &Clocks) -> Option<Decoder> {
        let options = Options {
            big_endian: endian == Endianness::Big,
            hints: self.hints.clone(),
            tail: self.tail,
            clocks: clocks.clone(),
        };
        Some(Decoder::new(&self.types, self.ty?, options))
    }
}

/// The schemas of all events of an object, in the order of the maps. A map with several kinds of
/// records has several. An error is a wrong command line: a struct or a map that does not exist.
pub fn schemas<'a>(
    object: &'a Object,
    dwarf: Option<&'a Dwarf>,
    user: &'a UserSchemas,
) -> Result<Vec<EventSchema<'a>>> {
    let named = user.resolve(object, dwarf)?;
    let sources = Sources { object, dwarf, user };
    let emissions = emissions(object);
    let mut schemas = Vec::new();
    for (index, map) in object.maps.iter().enumerate().filter(|(_, map)| map.takes_events()) {
        let sent: Vec<_> = emissions.iter().filter(|sent| sent.maps.contains(&index)).collect();
        let chosen = named.iter().find(|named| named.map == map.name);
        if let Some(chosen) = chosen {
            let how = Provenance::User(chosen.how.clone());
            let size = chosen.types.size(chosen.ty);
            let tail = sent.is_empty() || sent.iter().any(|sent| only_size(sent) != size);
            let found = Found { types: chosen.types.into(), ty: Some(chosen.ty), how, tail };
            schemas.push(new_schema(object, &map.name, found, &sent));
        } else if sent.is_empty() {
            schemas.push(new_schema(object, &map.name, sources.unsent(map), &sent));
        } else {
            let mut found: Vec<_> =
                sent.iter().map(|sent| (sources.find(Some(map), sent), *sent)).collect();
            sources.share(&mut found);
            sources.infer(&mut found);
            schemas.extend(grouped(object, &map.name, found));
        }
    }
    share_with_inner(object, &mut schemas);
    for (index, program) in object.programs.iter().enumerate() {
        let written: Vec<_> = emissions
            .iter()
            .filter(|sent| sent.program == index && sent.sink == Sink::Iterator)
            .collect();
        if let Some(chosen) = named.iter().find(|named| named.map == program.name) {
            let how = Provenance::User(chosen.how.clone());
            let found = Found { types: chosen.types.into(), ty: Some(chosen.ty), how, tail: false };
            schemas.push(EventSchema {
                iterator: true,
                ..new_schema(object, &program.name, found, &written)
            });
            continue;
        }
        let mut found: Vec<_> =
            written.iter().map(|sent| (sources.find(None, sent), *sent)).collect();
        sources.infer(&mut found);
        schemas.extend(
            grouped(object, &program.name, found)
                .into_iter()
                .map(|schema| EventSchema { iterator: true, ..schema }),
        );
    }
    Ok(schemas)
}

/// Records sent to a map of maps go to the maps that the object puts into it.
fn share_with_inner(object: &Object, schemas: &mut Vec<EventSchema<'_>>) {
    for outer in &object.maps {
        for (_, inner) in &outer.values {
            let own = |schema: &&EventSchema<'_>| schema.map == *inner;
            if !schemas.iter().filter(own).all(|schema| schema.senders.is_empty()) {
                continue;
            }
            let of_outer = schemas.iter().filter(|schema| schema.map == outer.name);
            let copies: Vec<_> = of_outer
                .map(|schema| EventSchema { map: inner.clone(), ..schema.clone() })
                .collect();
            if !copies.is_empty() {
                schemas.retain(|schema| schema.map != *inner);
                schemas.extend(copies);
            }
        }
    }
}

/// The findings about one event.
#[derive(Clone)]
struct Found<'a> {
    types: Known<'a>,
    ty: Option<TypeId>,
    how: Provenance,
    tail: bool,
}

/// The C name of a found type, behind typedefs.
fn type_name(found: &Found<'_>) -> Option<String> {
    found.ty.map(|ty| found.types.c_name(found.types.resolve(ty)))
}

/// The sources of types.
struct Sources<'a> {
    object: &'a Object,
    dwarf: Option<&'a Dwarf>,
    user: &'a UserSchemas,
}

impl<'a> Sources<'a> {
    /// The type of an event, from the most trusted source that has it.
    fn find(&self, map: Option<&Map>, sent: &Emission) -> Found<'a> {
        let mut doubts = Vec::new();
        let lines = Lines::new(self.object, sent);
        let object = self.object;
        choose::by_header(self.user, sent, &lines, &mut doubts)
            .or_else(|| self.annotated(map, sent, &lines))
            .or_else(|| source::by_dataflow(object, sent, false))
            .or_else(|| choose::by_variables(object, self.dwarf, sent, &lines, &mut doubts))
            .or_else(|| choose::by_btf(self.object, sent, &lines, &mut doubts))
            .or_else(|| scalar(sent).filter(|_| doubts.is_empty()))
            .unwrap_or_else(|| {
                if self.dwarf.is_none() {
                    doubts.push("the object has no debug information".to_owned());
                }
                let why = match &doubts[..] {
                    [] => "no struct fits the record".to_owned(),
                    doubts => doubts.join("; "),
                };
                unknown(why)
            })
    }

    /// Gives a record of unknown type the type that another sender of the same map has, if only one
    /// fits and no source line contradicts it.
    fn share(&self, found: &mut [(Found<'a>, &Emission)]) {
        let mut known: Vec<Found<'a>> = Vec::new();
        for (found, sent) in found.iter() {
            // An annotated type that other records surely go on behind is a header.
            let header = found.tail && matches!(found.how, Provenance::Annotation(_));
            let exact = |ty| {
                let whole = header || is_exact(&found.types, ty, sent);
                whole && found.types.composite(ty).is_some()
            };
            let same = |known: &&mut Found<'_>| type_name(known) == type_name(found);
            if !found.ty.is_some_and(exact) {
                continue;
            }
            match known.iter_mut().find(same) {
                Some(known) => known.tail |= header,
                None => known.push(found.clone()),
            }
        }
        for (found, sent) in found.iter_mut().filter(|(found, _)| found.ty.is_none()) {
            let lines = Lines::new(self.object, sent);
            let mut fitting = known.iter().filter(|known| {
                let fits = |ty| match known.tail {
                    true => begins(&known.types, ty, sent),
                    false => is_exact(&known.types, ty, sent),
                };
                let named = |ty| lines.for_struct(&known.types, ty).is_some();
                known.ty.is_some_and(|ty| fits(ty) && named(ty))
            });
            if let (Some(only), None) = (fitting.next(), fitting.next()) {
                *found = only.clone();
            }
        }
    }

    /// Makes structs for the records that are still unknown: one for all senders of a size, unless
    /// they fill it in different ways.
    fn infer(&self, found: &mut [(Found<'a>, &Emission)]) {
        let mut by_size: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, (found, sent)) in found.iter().enumerate() {
            if let (None, Some(size)) = (found.ty, only_size(sent)) {
                by_size.entry(size).or_default().push(index);
            }
        }
        for (size, indices) in by_size {
            let sent = |index: &usize| found.get(*index).map(|&(_, sent)| sent);
            let all: Vec<_> = indices.iter().filter_map(sent).collect();
            let lines: Vec<_> =
                all.iter().map(|sent| Lines::with_neighbours(self.object, sent)).collect();
            let joint: Vec<_> = all.iter().copied().zip(&lines).collect();
            let each = |one| infer::by_stores(self.object, std::slice::from_ref(one), size);
            let made: Vec<_> = match infer::by_stores(self.object, &joint, size) {
                Some(one) => vec![Some(one); joint.len()],
                None => joint.iter().map(each).collect(),
            };
            for (index, made) in indices.into_iter().zip(made) {
                if let (Some((found, _)), Some(made)) = (found.get_mut(index), made) {
                    *found = made;
                }
            }
        }
    }

    /// What the object itself says about an event, unless the instructions or the debug information
    /// know better: an annotation may be for another event, or only fill a place.
    fn annotated(
        &self,
        map: Option<&Map>,
        sent: &Emission,
        lines: &Lines<'_>,
    ) -> Option<Found<'a>> {
        let object = self.object;
        let found = annotation::of_event(object, map, sent, lines).or_else(|| {
            let found = annotation::by_pointer(object, sent, lines)?;
            let mut doubts = Vec::new();
            let other = choose::by_variables(object, self.dwarf, sent, lines, &mut doubts);
            (other.is_none_or(|other| other.tail || type_name(&other) == type_name(&found)))
                .then_some(found)
        })?;
        let exact = source::by_dataflow(object, sent, true);
        exact.is_none_or(|exact| type_name(&exact) == type_name(&found)).then_some(found)
    }

    /// The type of a map's events if no sending program was found.
    fn unsent(&self, map: &Map) -> Found<'a> {
        annotation::of_map(self.object, map)
            .unwrap_or_else(|| unknown("no program is seen to send any".to_owned()))
    }
}

fn unknown<'a>(why: String) -> Found<'a> {
    Found { types: Known::Borrowed(&SCALARS), ty: None, how: Provenance::Unknown(why), tail: false }
}

/// `__u8`, `__u16`, `__u32` and `__u64`.
static SCALARS: LazyLock<Types> = LazyLock::new(|| {
    let mut types = Types::new();
    for bytes in [1_u32, 2, 4, 8] {
        let name = Some(format!("__u{}", bytes * 8));
        let encoding = Encoding::Unsigned;
        let kind = Kind::Int { bytes, encoding, bits: bytes * 8, bit_offset: 0 };
        _ = types.push(Type { name, kind });
    }
    types
});

/// A number, if the record is no larger.
fn scalar<'a>(sent: &Emission) -> Option<Found<'a>> {
    let size = only_size(sent)?;
    // A record written in parts is not a number.
    if sent.writes.iter().any(|write| write.width < size) {
        return None;
    }
    let (ty, _) = SCALARS
        .iter()
        .find(|&(_, ty)| matches!(ty.kind, Kind::Int { bytes, .. } if u64::from(bytes) == size))?;
    Some(Found {
        types: Known::Borrowed(&SCALARS),
        ty: Some(ty),
        how: Provenance::Scalar,
        tail: false,
    })
}

/// The size of an event, if it is always the same.
fn only_size(sent: &Emission) -> Option<u64> {
    let sizes = sent.sizes.as_ref()?;
    sizes.first().copied().filter(|_| sizes.len() == 1)
}

/// One schema for each type, from the findings about each event of a map.
fn grouped<'a>(
    object: &Object,
    map: &str,
    found: Vec<(Found<'a>, &Emission)>,
) -> Vec<EventSchema<'a>> {
    let mut groups: Vec<(Found<'a>, Vec<&Emission>)> = Vec::new();
    for (found, sent) in found {
        let same = |known: &Found<'a>| match (known.ty, found.ty) {
            (Some(one), Some(other)) => {
                let made = |found: &Found<'_>| matches!(found.how, Provenance::Inferred(_));
                // Inferred structs all have one name.
                known.types.c_name(one) == found.types.c_name(other)
                    && known.types.size(one) == found.types.size(other)
                    && (!made(known)
                        || known.types.c_declaration(one) == found.types.c_declaration(other))
            }
            (None, None) => true,
            _ => false,
        };
        match groups.iter_mut().find(|(known, _)| same(known)) {
            Some((known, group)) => {
                known.tail |= found.tail;
                if found.how < known.how {
                    *known = Found { tail: known.tail, ..found };
                }
                group.push(sent);
            }
            None => groups.push((found, vec![sent])),
        }
    }
    let sent: Vec<_> = groups.iter().map(|(_, sent)| &sent[..]).collect();
    let whens = select::tell_apart(&sent, object.endian);
    groups
        .into_iter()
        .zip(whens)
        .map(|((found, sent), when)| EventSchema { when, ..new_schema(object, map, found, &sent) })
        .collect()
}

fn new_schema<'a>(
    object: &Object,
    map: &str,
    found: Found<'a>,
    sent: &[&Emission],
) -> EventSchema<'a> {
    let programs: BTreeSet<_> = sent.iter().map(|sent| sent.program).collect();
    let senders = programs.into_iter().filter_map(|index| object.programs.get(index));
    EventSchema {
        map: map.to_owned(),
        iterator: false,
        ty: found.ty,
        types: found.types,
        provenance: found.how,
        tail: found.tail,
        senders: senders.map(|program| program.name.clone()).collect(),
        sites: sites(object, sent),
        when: When::default(),
        hints: hints(sent),
    }
}

/// The most places of one kind of record.
const MAX_SITES: usize = 64;

/// The places that send, by program and line.
fn sites(object: &Object, sent: &[&Emission]) -> Vec<Site> {
    let Some(btf) = &object.btf else { return Vec::new() };
    let mut sites = BTreeSet::new();
    for emission in sent {
        let Some(program) = object.programs.get(emission.program) else { continue };
        let Some(&(function, slot)) = emission.places.first() else { continue };
        let Some(info) = object.functions.get(function).and_then(|f| f.line(slot)) else {
            continue;
        };
        let (program, file) = (program.name.clone(), btf.string(info.file).to_string());
        sites.insert(Site { program, file, line: info.line });
        if sites.len() >= MAX_SITES {
            break;
        }
    }
    sites.into_iter().collect()
}

/// The hints on which all programs agree.
fn hints(sent: &[&Emission]) -> Vec<(u64, Hint)> {
    let mut hints = BTreeMap::new();
    for write in sent.iter().flat_map(|sent| &sent.writes) {
        let Some(hint) = write.hint else { continue };
        hints
            .entry(write.offset)
            .and_modify(|known: &mut Option<Hint>| *known = known.filter(|&known| known == hint))
            .or_insert(Some(hint));
    }
    hints.into_iter().filter_map(|(offset, hint)| Some((offset, hint?))).collect()
}
