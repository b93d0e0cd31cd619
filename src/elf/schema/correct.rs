//! The types of `--schema FILE`, held against what the object sends.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use super::annotation::fits;
use super::described::{Described, DescribedEvent};
use super::layout::{contradiction, extent};
use super::{Found, Provenance, Sources, only_size};
use crate::elf::dataflow::Emission;
use crate::elf::types::{TypeId, Types};

impl<'a> Sources<'a> {
    /// The types that the user's files have for a map or an iterator.
    fn described_of(&self, map: &str) -> impl Iterator<Item = (&'a Described, &'a DescribedEvent)> {
        let files = self.user.described().iter();
        let events = files.flat_map(|file| file.events.iter().map(move |event| (file, event)));
        events.filter(move |(_, event)| event.map == map)
    }

    /// The user's type of an event. An error: it contradicts the stores or the size.
    pub(super) fn described(&self, map: &str, sent: &Emission) -> Result<Option<Found<'a>>> {
        let place = self.sent_at(sent);
        let program = self.object.programs.get(sent.program).map(|program| &*program.name);
        let is = |list: &[String], own: Option<&str>| {
            list.is_empty() || list.iter().any(|item| Some(&**item) == own)
        };
        let all = self.described_of(map);
        let meant: Vec<_> = all
            .filter(|(_, event)| {
                is(&event.sent_at, place.as_deref()) && is(&event.programs, program)
            })
            .collect();
        let fitting: Vec<_> = meant
            .iter()
            .filter_map(|(file, event)| Some((*file, event.ty, fits(&file.types, event.ty, sent)?)))
            .collect();
        match (&meant[..], &fitting[..]) {
            ([], _) => Ok(None),
            (_, &[(file, ty, tail)]) => Ok(Some(found(file, ty, tail))),
            (&[(file, event), ..], []) => {
                let why = self.contradiction(&file.types, event.ty, sent);
                bail!("--schema {}: map {map}: {why}", file.file)
            }
            ([(file, _), ..], _) => {
                let program = program.unwrap_or_default();
                bail!(
                    "--schema {}: map {map}: several of its types fit what {program} sends",
                    file.file
                )
            }
        }
    }

    /// The user's type of the events of a map that no program is seen to send.
    pub(super) fn described_unsent(&self, map: &str) -> Option<Found<'a>> {
        let mut all = self.described_of(map);
        let (file, event) = all.next()?;
        all.next().is_none().then(|| found(file, event.ty, true))
    }

    /// Refuses files for another object.
    pub(super) fn check_described(&self, emissions: &[Emission]) -> Result<()> {
        let object = self.object;
        if self.user.described().is_empty() {
            return Ok(());
        }
        let places: BTreeSet<_> = emissions.iter().filter_map(|sent| self.sent_at(sent)).collect();
        for file in self.user.described() {
            for DescribedEvent { map, programs, sent_at, .. } in &file.events {
                let name = &file.file;
                let known = object
                    .maps
                    .iter()
                    .any(|own| own.name == *map && (own.takes_events() || own.is_unknown()));
                let is_program = |name: &String| object.programs.iter().any(|p| p.name == *name);
                ensure!(known || is_program(map), "--schema {name}: no map {map} takes events");
                if let Some(program) = programs.iter().find(|program| !is_program(program)) {
                    bail!("--schema {name}: map {map}: there is no program {program}");
                }
                if let Some(place) = sent_at.iter().find(|place| !places.contains(*place)) {
                    bail!(
                        "--schema {name}: map {map}: nothing is sent at {place}: \
                        the file is for another object"
                    );
                }
            }
        }
        Ok(())
    }

    /// The instruction that sends an event.
    pub(super) fn sent_at(&self, sent: &Emission) -> Option<String> {
        let &(function, slot) = sent.places.first()?;
        Some(format!("{}:{slot}", self.object.functions.get(function)?.name))
    }

    /// Why a type cannot be that of an event.
    fn contradiction(&self, types: &Types, ty: TypeId, sent: &Emission) -> String {
        let program = self.object.programs.get(sent.program);
        let program = program.map_or("a program", |program| &program.name);
        let bytes = types.size(ty).unwrap_or(0);
        if types.steps.is_cut() {
            return "there are too many types and writes to compare".to_owned();
        }
        if let Some(write) = contradiction(types, ty, sent) {
            let (width, at) = (write.width, write.offset);
            let (where_, place) = match at < bytes {
                true => ("where no such field is", self.line_of(write.by)),
                false => ("behind its end", self.line_of(write.by)),
            };
            return format!("{program} stores {width} bytes at offset {at}, {where_}{place}");
        }
        match (only_size(sent), extent(types, ty, sent)) {
            (Some(size), _) => format!("it has {bytes} bytes, and {program} sends {size}"),
            _ => format!("its {bytes} bytes do not fit what {program} sends"),
        }
    }

    /// ` (FILE:LINE)`, if the object has it.
    fn line_of(&self, (function, slot): (usize, usize)) -> String {
        let line = self.object.functions.get(function).and_then(|function| function.line(slot));
        match line.zip(self.object.btf.as_ref()) {
            Some((line, btf)) => format!(" ({}:{})", btf.string(line.file), line.line),
            None => String::new(),
        }
    }
}

fn found(file: &Described, ty: TypeId, tail: bool) -> Found<'_> {
    let how = Provenance::User(format!("--schema {}", file.file));
    Found { types: (&file.types).into(), ty: Some(ty), how, tail }
}
