//! One schema for each kind of record, from what is known about each event.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::attribute::Origin;
use super::{
    EventSchema, Found, Known, LIST_BYTES, Provenance, Sources, When, arms, origin, select,
};
use crate::elf::dataflow::{Emission, Write};
use crate::elf::object::Object;
use crate::elf::types::TypeId;
use crate::elf::value::{Choice, Hint};

/// The most places of one kind of record.
const MAX_SITES: usize = 64;

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

impl Site {
    fn bytes(&self) -> usize {
        self.program.len() + self.file.len() + LIST_BYTES
    }
}

impl EventSchema<'_> {
    /// What a copy takes, about.
    fn bytes(&self) -> usize {
        let senders: usize = self.senders.iter().map(|sender| sender.len() + LIST_BYTES).sum();
        let sizes = self.when.sizes.as_ref().map_or(0, BTreeSet::len);
        let values = self.when.number.as_ref().map_or(0, |number| number.values.len());
        let places = self.sent_at.iter().map(|place| place.len() + LIST_BYTES);
        let sites: usize = self.sites.iter().map(Site::bytes).chain(places).sum();
        let made = self.ty.map_or(0, |ty| made_bytes(&self.types, ty));
        let lists = senders + sites + made + arms_bytes(&self.choices);
        let origins: usize = self.origins.iter().map(Origin::bytes).sum();
        size_of::<Self>() + lists + origins + (self.hints.len() + sizes + values) * LIST_BYTES
    }
}

/// What choices take.
fn arms_bytes(choices: &[Choice]) -> usize {
    choices.iter().map(|choice| choice.arms.len() + 1).sum::<usize>() * LIST_BYTES
}

/// What a type takes that was made for a schema, about. Its decoders take the same.
pub(super) fn made_bytes(types: &Known<'_>, ty: TypeId) -> usize {
    match types {
        Known::Borrowed(_) => 0,
        Known::Own(made) => {
            made.types.composite(ty).map_or(0, |body| body.members.len()) * 3 * LIST_BYTES
        }
    }
}

/// The name by which a found type is the same as another one.
fn name(found: &Found<'_>, ty: TypeId) -> String {
    // Inferred structs all have one name, and the user's can have any.
    if matches!(found.how, Provenance::Inferred(_) | Provenance::User(_)) {
        return found.types.c_declaration(ty);
    }
    // The same struct may have several numbers.
    let name = found.types.c_name(ty);
    if found.types.is_c_cut() { ty.0.to_string() } else { name }
}

impl<'a> Sources<'a> {
    /// One schema for each type, from the findings about each event of a map.
    pub(super) fn grouped(
        &self,
        map: &str,
        found: Vec<(Found<'a>, &Emission)>,
    ) -> Vec<EventSchema<'a>> {
        let mut groups: Vec<(Found<'a>, Vec<&Emission>)> = Vec::new();
        let mut by_key: HashMap<Option<(String, Option<u64>)>, usize> = HashMap::new();
        for (found, sent) in found {
            let key = found.ty.map(|ty| (name(&found, ty), found.types.size(ty)));
            let next = groups.len();
            match groups.get_mut(*by_key.entry(key).or_insert(next)) {
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
        let whens = select::tell_apart(&sent, self.object.endian, &self.steps);
        groups
            .into_iter()
            .zip(whens)
            .map(|((found, sent), when)| EventSchema { when, ..self.schema(map, found, &sent) })
            .collect()
    }

    pub(super) fn schema(
        &self,
        map: &str,
        found: Found<'a>,
        sent: &[&Emission],
    ) -> EventSchema<'a> {
        let programs: BTreeSet<_> = sent.iter().map(|sent| sent.program).collect();
        let programs = programs.into_iter().filter_map(|index| self.object.programs.get(index));
        let mut senders = Vec::new();
        for program in programs {
            if !self.copied.take(program.name.len() + LIST_BYTES) {
                senders.push("…".to_owned());
                break;
            }
            senders.push(program.name.clone());
        }
        let choices = found.ty.map(|ty| arms::choices(self.object, &found.types, ty, sent));
        // What is not kept is shown as what cannot be told.
        let choices = choices.filter(|choices| self.copied.take(arms_bytes(choices)));
        EventSchema {
            map: map.to_owned(),
            iterator: false,
            ty: found.ty,
            types: found.types,
            provenance: found.how,
            tail: found.tail,
            senders,
            sites: self.sites(sent),
            sent_at: self.places(sent),
            origins: self.origins(sent),
            when: When::default(),
            hints: hints(self.object, sent),
            choices: choices.unwrap_or_default(),
        }
    }

    /// Records sent to a map of maps go to the maps that the object puts into it.
    pub(super) fn share_with_inner(&self, schemas: &mut Vec<EventSchema<'_>>) {
        for outer in &self.object.maps {
            for (_, inner) in &outer.values {
                if !self.steps.take(schemas.len()) {
                    return;
                }
                let own = |schema: &&EventSchema<'_>| schema.map == *inner;
                if !schemas.iter().filter(own).all(|schema| schema.senders.is_empty()) {
                    continue;
                }
                let of_outer: Vec<_> =
                    schemas.iter().filter(|schema| schema.map == outer.name).collect();
                let bytes = of_outer.iter().map(|schema| schema.bytes()).sum();
                if of_outer.is_empty() || !self.copied.take(bytes) {
                    continue;
                }
                let copies: Vec<_> = of_outer
                    .into_iter()
                    .map(|schema| EventSchema { map: inner.clone(), ..schema.clone() })
                    .collect();
                schemas.retain(|schema| schema.map != *inner);
                schemas.extend(copies);
            }
        }
    }

    /// The instructions that send. None if there are very many.
    fn places(&self, sent: &[&Emission]) -> Vec<String> {
        let places: BTreeSet<_> = sent.iter().filter_map(|sent| self.sent_at(sent)).collect();
        let bytes = places.iter().map(|place| place.len() + LIST_BYTES).sum();
        let few = places.len() <= MAX_SITES && self.copied.take(bytes);
        if few { places.into_iter().collect() } else { Vec::new() }
    }

    /// The places that send, by program and line.
    pub(super) fn sites(&self, sent: &[&Emission]) -> Vec<Site> {
        let Some(btf) = &self.object.btf else { return Vec::new() };
        let places: BTreeSet<_> = sent
            .iter()
            .filter_map(|sent| {
                // Where a compiler sends records of several places at once, it has no line: then
                // the one that reserves the record tells.
                let mut lines = sent.places.iter().filter_map(|&(function, slot)| {
                    self.object.functions.get(function)?.line(slot)
                });
                let line = lines.find(|line| line.line > 0)?;
                Some((sent.program, line.file, line.line))
            })
            .collect();
        let mut sites = Vec::new();
        for (program, file, line) in places.into_iter().take(MAX_SITES) {
            let Some(program) = self.object.programs.get(program) else { continue };
            let (program, file) = (program.name.clone(), btf.string(file).into_owned());
            let site = Site { program, file, line };
            if !self.copied.take(site.bytes()) {
                break;
            }
            sites.push(site);
        }
        sites
    }
}

/// The hints on which all programs agree.
fn hints(object: &Object, sent: &[&Emission]) -> Vec<(u64, Hint)> {
    hints_of(object, sent.iter().flat_map(|sent| sent.writes.iter().cloned()))
}

/// The hints on which these writes agree, by their places.
pub fn hints_of(object: &Object, writes: impl IntoIterator<Item = Write>) -> Vec<(u64, Hint)> {
    let mut hints = BTreeMap::new();
    for write in &writes.into_iter().collect::<Vec<_>>() {
        let Some(hint) = write.hint.or_else(|| origin::hint(object, write)) else { continue };
        hints
            .entry(write.offset)
            .and_modify(|known: &mut Option<Hint>| *known = known.and_then(|k| k.agrees(hint)))
            .or_insert(Some(hint));
    }
    hints.into_iter().filter_map(|(offset, hint)| Some((offset, hint?))).collect()
}
