//! The struct of each map's events, and the source of that knowledge.
//!
//! Object files rarely name it outright. The sources, in the order of trust: the user; an
//! annotation; the type of the copied data; debug information; BTF. None of them counts against the
//! instructions: a struct must have the size that is sent, and a member wherever something is
//! written. If two candidates fit, neither is used. If nothing fits, a struct is made of the stores.

mod annotation;
mod arms;
mod attribute;
mod choose;
mod clang;
mod correct;
mod describe;
mod described;
mod evidence;
mod group;
mod infer;
mod known;
mod layout;
mod lines;
mod origin;
mod select;
mod senders;
mod source;
mod user;

use std::cell::OnceCell;
use std::fmt;
use std::sync::LazyLock;

use anyhow::Result;
use object::Endianness;

pub use attribute::Origin;
pub use evidence::Evidence;
pub use group::{Site, hints_of};
pub use known::Known;
pub use select::{Alternative, EventDecoder, When};
pub use user::{UserSchemas, can_have_types};

use self::choose::NoEvents;
use self::lines::{Assignments, Lines};
use super::budget::{Budget, MATCH_STEPS, SCHEMAS};
use super::dataflow::{Emission, Sink, emissions};
use super::dwarf::Dwarf;
use super::map::Map;
use super::object::Object;
use super::types::{Encoding, Kind, Type, TypeId, Types};
use super::value::{Choice, Clocks, Decoder, Hint, Options};

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
    /// What is known of the records of each of these places; empty if there are very many
    pub origins: Vec<Origin>,
    /// The instructions that send it, as `FUNCTION:SLOT`; empty if there are very many
    pub sent_at: Vec<String>,
    /// The difference from other records in the same map
    pub when: When,
    /// Hints from the writes of programs
    pub hints: Vec<(u64, Hint)>,
    /// Which member of a union a record has, where that can be told
    pub choices: Vec<Choice>,
}

/// The most bytes of all lists in all schemas, and of all types made for them.
const MAX_COPIED: usize = 16 << 20;
/// What a part of a list takes.
const LIST_BYTES: usize = 64;
/// The reading of the source lines of an event, in steps.
const LINES_STEPS: usize = 1 << 14;

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
            choices: self.choices.clone(),
            tail: self.tail,
            clocks: clocks.clone(),
            hidden: Vec::new(),
        };
        Some(Decoder::new(&self.types, self.ty?, options))
    }
}

/// The events of an object.
#[derive(Clone, Debug)]
pub struct Schemas<'a> {
    /// In the order of the maps, then of the iterators. A map with several kinds of records has
    /// several
    pub all: Vec<EventSchema<'a>>,
    /// Why some are missing or unknown, if that is not due to the object but to limits: one line each
    pub cut: Vec<&'static str>,
}

/// The schemas of all events of an object. An error is a wrong command line: a struct or a map that
/// does not exist.
pub fn schemas<'a>(
    object: &'a Object,
    dwarf: Option<&'a Dwarf>,
    user: &'a UserSchemas,
) -> Result<Schemas<'a>> {
    let named = user.resolve(object, dwarf)?;
    let sources = Sources::new(object, dwarf, user);
    let emissions = emissions(object);
    let (by_map, by_iterator) = by_place(object, &emissions.all);
    sources.check_described(&emissions.all)?;
    let mut schemas = Vec::new();
    for (index, map) in object.maps.iter().enumerate() {
        let sent = by_map.get(index).map_or(&[][..], |sent| sent);
        if !map.takes_events() && (sent.is_empty() || !map.is_unknown()) {
            continue;
        }
        let chosen = named.iter().find(|named| named.map == map.name);
        if let Some(chosen) = chosen {
            let how = Provenance::User(chosen.how.clone());
            let size = chosen.types.size(chosen.ty);
            let tail = sent.is_empty() || sent.iter().any(|sent| only_size(sent) != size);
            let found = Found { types: chosen.types.into(), ty: Some(chosen.ty), how, tail };
            schemas.push(sources.schema(&map.name, found, sent));
        } else if sent.is_empty() {
            let found = sources.described_unsent(&map.name);
            let found = found.unwrap_or_else(|| sources.unsent(map));
            schemas.push(sources.schema(&map.name, found, sent));
        } else {
            let mut found = sources.find_all(&map.name, Some(map), sent)?;
            sources.share(&mut found);
            sources.infer(&mut found);
            schemas.extend(sources.grouped(&map.name, found));
        }
    }
    sources.share_with_inner(&mut schemas);
    for (program, written) in object.programs.iter().zip(&by_iterator) {
        let new = |schema| EventSchema { iterator: true, ..schema };
        if let Some(chosen) = named.iter().find(|named| named.map == program.name) {
            let how = Provenance::User(chosen.how.clone());
            let found = Found { types: chosen.types.into(), ty: Some(chosen.ty), how, tail: false };
            schemas.push(new(sources.schema(&program.name, found, written)));
            continue;
        }
        let mut found = sources.find_all(&program.name, None, written)?;
        sources.infer(&mut found);
        schemas.extend(sources.grouped(&program.name, found).into_iter().map(new));
    }
    let mut cut = Vec::new();
    if emissions.cut {
        cut.push("events: the programs are too large to follow to their ends: some may be missing");
    }
    if sources.is_cut() {
        cut.push("events: too many types, writes and senders to compare: some stay unknown");
    }
    if schemas.len() > SCHEMAS {
        schemas.truncate(SCHEMAS);
        cut.push("events: too many kinds: only the first are shown");
    }
    Ok(Schemas { all: schemas, cut })
}

/// The events of each map, and those of each program that is an iterator.
type ByPlace<'e> = (Vec<Vec<&'e Emission>>, Vec<Vec<&'e Emission>>);

fn by_place<'e>(object: &Object, emissions: &'e [Emission]) -> ByPlace<'e> {
    let mut by_map = vec![Vec::new(); object.maps.len()];
    let mut by_iterator = vec![Vec::new(); object.programs.len()];
    for sent in emissions {
        for &map in &sent.maps {
            by_map.get_mut(map).into_iter().for_each(|known| known.push(sent));
        }
        if sent.sink == Sink::Iterator {
            by_iterator.get_mut(sent.program).into_iter().for_each(|known| known.push(sent));
        }
    }
    (by_map, by_iterator)
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
    no_events: OnceCell<NoEvents>,
    assignments: Assignments,
    /// For comparisons that need no types
    steps: Budget,
    /// Bytes of all lists in all schemas
    copied: Budget,
}

impl<'a> Sources<'a> {
    fn new(object: &'a Object, dwarf: Option<&'a Dwarf>, user: &'a UserSchemas) -> Self {
        let (steps, copied) = (Budget::new(MATCH_STEPS), Budget::new(MAX_COPIED));
        let (no_events, assignments) = (OnceCell::new(), Assignments::default());
        Self { object, dwarf, user, no_events, assignments, steps, copied }
    }

    /// Whether a limit was reached anywhere.
    fn is_cut(&self) -> bool {
        self.is_search_cut() || self.copied.is_cut()
    }

    /// Whether a search has not gone through all candidates, or a name is not whole: what it found
    /// may be wrong.
    fn is_search_cut(&self) -> bool {
        let own = self.object.btf.iter().map(|btf| &btf.types);
        let all = own.chain(self.dwarf.map(|dwarf| &dwarf.types));
        let files = self.user.described().iter().map(|file| &file.types);
        let mut all = all.chain(files).chain(self.user.headers().map(|(types, _)| types));
        self.steps.is_cut() || all.any(|types| types.steps.is_cut() || types.is_c_cut())
    }

    /// What is found about each event by itself.
    fn find_all<'e>(
        &self,
        name: &str,
        map: Option<&Map>,
        sent: &[&'e Emission],
    ) -> Result<Vec<(Found<'a>, &'e Emission)>> {
        let find = |&sent: &&'e Emission| {
            let found = self.described(name, sent)?;
            Ok((found.unwrap_or_else(|| self.find(map, sent)), sent))
        };
        sent.iter().map(find).collect()
    }

    /// The type of an event, from the most trusted source that has it. Unknown from the moment when
    /// there is too much to compare.
    fn find(&self, map: Option<&Map>, sent: &Emission) -> Found<'a> {
        let too_much = || unknown("too many types and writes to compare".to_owned());
        if self.is_search_cut() || !self.steps.take(LINES_STEPS) {
            return too_much();
        }
        let found = self.search(map, sent);
        if self.is_search_cut() { too_much() } else { found }
    }

    fn search(&self, map: Option<&Map>, sent: &Emission) -> Found<'a> {
        let mut doubts = Vec::new();
        let lines = Lines::new(self.object, sent);
        choose::by_header(self.user, sent, &lines, &mut doubts)
            .or_else(|| self.annotated(map, sent, &lines))
            .or_else(|| source::by_dataflow(self.object, sent, false))
            .or_else(|| choose::by_variables(self.object, self.dwarf, sent, &lines, &mut doubts))
            .or_else(|| choose::by_btf(self.object, &self.no_events, sent, &lines, &mut doubts))
            .or_else(|| scalar(sent).filter(|_| doubts.is_empty()))
            .unwrap_or_else(|| {
                if self.object.btf.is_none() && self.dwarf.is_none() {
                    doubts.push("the object has neither BTF nor debug information".to_owned());
                } else if self.dwarf.is_none() {
                    doubts.push("the object has no debug information".to_owned());
                }
                let why = match &doubts[..] {
                    [] => "no struct fits the record".to_owned(),
                    doubts => doubts.join("; "),
                };
                unknown(why)
            })
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
        let name = Some(format!("__u{}", bytes * 8).into());
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
    let types = Known::Borrowed(&SCALARS);
    Some(Found { types, ty: Some(ty), how: Provenance::Scalar, tail: false })
}

/// The size of an event, if it is always the same.
fn only_size(sent: &Emission) -> Option<u64> {
    let sizes = sent.sizes.as_ref()?;
    sizes.first().copied().filter(|_| sizes.len() == 1)
}
