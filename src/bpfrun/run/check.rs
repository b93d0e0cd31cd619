//! Refusals before anything is loaded.

use anyhow::{Result, bail};
use object::Endianness;

use crate::bpfrun::list::list;
use crate::bpfrun::run::args::Args;
use crate::bpfrun::run::fill::{self, Fill};
use crate::bpfrun::run::set::{self, Patch};
use crate::bpfrun::run::shown;
use crate::elf::object::Object;
use crate::elf::schema::can_have_types;

/// Checks what no loader of today accepts.
pub(super) fn loadable(object: &Object) -> Result<()> {
    let native = if cfg!(target_endian = "big") { Endianness::Big } else { Endianness::Little };
    if object.endian != native {
        bail!("it is for machines of the other byte order; bpfrun inspect shows its contents");
    }
    if let Some(map) = object.maps.iter().find(|map| map.legacy) {
        let name = shown(&map.name);
        bail!(
            "its map {name} is defined in SEC(\"maps\"), which libbpf does not load since 1.0; \
             bpfrun inspect shows its contents"
        );
    }
    Ok(())
}

/// The values of the command line.
pub(super) struct Values {
    /// `--set`
    pub(super) patches: Vec<Patch>,
    /// `--map` and `--prog-array`
    pub(super) fills: Vec<Fill>,
}

/// Refuses names and values on the command line that the object has no place for.
pub(super) fn names(args: &Args, object: &Object) -> Result<Values, String> {
    let list = |names: &mut dyn Iterator<Item = &str>| match list(names, ", ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    };
    let maps = || object.maps.iter().map(|map| map.name.as_str());
    let programs = || object.programs.iter().map(|program| program.name.as_str());
    let takers = || object.maps.iter().filter(|map| map.takes_events()).map(|map| &*map.name);
    for name in args.events.iter().chain(&args.maps_to_show) {
        if takers().any(|map| map == name) {
            continue;
        }
        let what = if maps().any(|map| map == name) { "takes no events" } else { "is not there" };
        return Err(format!("map {name} {what}: those for events are {}", list(&mut takers())));
    }
    for attach in &args.attach {
        let name = &attach.program;
        if !maps().chain(programs()).any(|known| known == name) {
            return Err(format!("no program {name}: there are {}", list(&mut programs())));
        }
    }
    for (name, _) in &args.type_of {
        if !programs().any(|known| known == name) {
            return Err(format!("no program {name}: there are {}", list(&mut programs())));
        }
    }
    for glob in &args.prog {
        if !programs().any(|program| glob.matches(program)) {
            let programs = list(&mut programs());
            return Err(format!("no program is like {glob}: there are {programs}"));
        }
    }
    let wanted: Vec<_> = args.types.iter().map(|(map, ty)| format!("{map}={ty}")).collect();
    can_have_types(object, wanted.iter().map(String::as_str))?;
    let patches = args.set.iter().map(|(path, value)| set::patch(object, path, value));
    let fills = fill::plan(object, &args.map, &args.prog_array)?;
    Ok(Values { patches: patches.collect::<Result<_, _>>()?, fills })
}
