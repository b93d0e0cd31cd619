//! What the events of each map are: asked of the library's readers.

use anyhow::Result;

use crate::elf::dwarf::Dwarf;
use crate::elf::object::Object;
use crate::elf::schema::{self, EventDecoder, UserSchemas};
use crate::elf::value::Clocks;
use crate::run::args::Args;
use crate::run::row::Schemas;
use crate::session::say;

/// For all event maps and iterators of an object in `image`. An error is the user's.
pub fn schemas(args: &Args, image: &[u8], object: &Object) -> Result<Schemas> {
    let wanted: Vec<_> = args.types.iter().map(|(map, ty)| format!("{map}={ty}")).collect();
    let user = UserSchemas::new(&wanted, &args.type_from)?;
    // Damaged debug information is no reason not to run.
    let dwarf = Dwarf::parse(image).unwrap_or_else(|error| {
        say("bpfrun", &format!("debug information: {error:#}"));
        None
    });
    let found = schema::schemas(object, dwarf.as_ref(), &user)?;
    let clocks = Clocks::default();
    let mut schemas = Schemas::new();
    for kind in &found {
        schemas.entry(kind.map.clone()).or_insert_with(|| {
            let kinds = found.iter().filter(|other| other.map == kind.map);
            EventDecoder::new(kinds, object.endian, &clocks)
        });
    }
    Ok(schemas)
}
