//! The types of each map's events, from the readers in `elf`.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;

use crate::bpfrun::run::args::Args;
use crate::elf::dataflow::{Sink, emissions};
use crate::elf::dwarf::Dwarf;
use crate::elf::object::Object;
use crate::elf::schema::{self, EventDecoder, UserSchemas};
use crate::elf::value::Clocks;
use crate::engine::session::say;

/// Decoders: of events by map, of iterators by program.
pub type Schemas = HashMap<String, EventDecoder>;

/// Decoders for all event maps and iterators of the object in `image`. An error is a wrong command
/// line.
pub fn schemas(args: &Args, image: &[u8], object: &Object) -> Result<Schemas> {
    let wanted: Vec<_> = args.types.iter().map(|(map, ty)| format!("{map}={ty}")).collect();
    let user = UserSchemas::new(&wanted, &args.type_from)?.with_schema(&args.schema)?;
    // Damaged debug information is not a reason to stop.
    let dwarf = Dwarf::parse(image).unwrap_or_else(|error| {
        say("bpfrun", &format!("debug information: {error:#}"));
        None
    });
    let schema::Schemas { all: found, cut } = schema::schemas(object, dwarf.as_ref(), &user)?;
    cut.iter().for_each(|line| say("bpfrun", line));
    let clocks = Clocks::default();
    let mut schemas = Schemas::new();
    for kind in &found {
        schemas.entry(kind.map.clone()).or_insert_with(|| {
            let kinds = found.iter().filter(|other| other.map == kind.map);
            let mut decoder = EventDecoder::new(kinds, object.endian, &clocks);
            // Names are shown below the row.
            decoder.hide_frames();
            decoder
        });
    }
    Ok(schemas)
}

/// All sizes of the records of a map or an iterator, in bytes, by name. Only for maps with some
/// records shown as bytes, and only if all sizes are known.
pub type Sizes = HashMap<String, BTreeSet<u64>>;

/// The sizes of the records that [`schemas`] does not know.
pub fn sizes(object: &Object, schemas: &Schemas) -> Sizes {
    let unknown = |name: &str| {
        let kinds = schemas.get(name).map_or(&[][..], |decoder| &decoder.alternatives);
        kinds.iter().any(|kind| kind.decoder.is_none())
    };
    let mut all: HashMap<String, Option<BTreeSet<u64>>> = HashMap::new();
    if !schemas.keys().any(|name| unknown(name)) {
        return Sizes::new();
    }
    for sent in emissions(object).all {
        let maps = sent.maps.iter().filter_map(|&map| object.maps.get(map));
        let program = object.programs.get(sent.program).filter(|_| sent.sink == Sink::Iterator);
        let names = maps.map(|map| &map.name).chain(program.map(|program| &program.name));
        for name in names.filter(|name| unknown(name)) {
            let known = all.entry(name.clone()).or_insert_with(|| Some(BTreeSet::new()));
            match (known.as_mut(), &sent.sizes) {
                (Some(known), Some(sizes)) => known.extend(sizes),
                _ => *known = None,
            }
        }
    }
    all.into_iter().filter_map(|(name, sizes)| Some((name, sizes?))).collect()
}
