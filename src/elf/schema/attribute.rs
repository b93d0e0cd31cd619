//! Which program and which source line sent a record: the ones whose sizes and constants it has.

use std::collections::BTreeSet;

use object::Endianness;

use super::select::{Number, When, constants, sizes};
use super::{LIST_BYTES, Site, Sources};
use crate::elf::dataflow::Emission;

/// The most places that send one kind of record to tell apart, and numbers that tell them apart.
const MAX_ORIGINS: usize = 64;
const MAX_NUMBERS: usize = 8;

/// A place that sends records, and what all its records have in common.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The name of the program
    pub program: String,
    /// Its source line, if the object has it
    pub site: Option<Site>,
    /// Sizes
    pub(super) when: When,
    /// Numbers that it writes
    pub(super) numbers: Vec<Number>,
}

impl Origin {
    /// Whether it can have sent a record.
    pub fn can_have_sent(&self, data: &[u8], endian: Endianness) -> bool {
        self.when.fits(data, endian).is_some()
            && self.numbers.iter().all(|number| number.is_in(data, endian))
    }

    /// What a copy takes, about.
    pub(super) fn bytes(&self) -> usize {
        let site = self.site.as_ref().map_or(0, |site| site.file.len() + site.program.len());
        let values: usize = self.numbers.iter().map(|number| number.values.len() + 1).sum();
        let sizes = self.when.sizes.as_ref().map_or(0, BTreeSet::len);
        size_of::<Self>() + self.program.len() + site + (values + sizes) * LIST_BYTES
    }
}

impl Sources<'_> {
    /// The places that send one kind of record. None if there are too many.
    pub(super) fn origins(&self, sent: &[&Emission]) -> Vec<Origin> {
        if sent.len() > MAX_ORIGINS {
            return Vec::new();
        }
        let places = self.telling_places(sent);
        let mut origins = Vec::new();
        for emission in sent {
            let Some(origin) = self.origin(emission, &places) else { return Vec::new() };
            if !self.copied.take(origin.bytes()) {
                return Vec::new();
            }
            origins.push(origin);
        }
        origins
    }

    fn origin(&self, sent: &Emission, places: &BTreeSet<(u64, u64)>) -> Option<Origin> {
        let program = self.object.programs.get(sent.program)?.name.clone();
        let numbers = places.iter().filter_map(|&(offset, width)| {
            self.steps.take(1 + sent.writes.len()).then_some(())?;
            let values = constants(&sent.writes, offset, width, self.object.endian)?;
            Some(Number { offset, width, values })
        });
        let numbers = numbers.collect();
        let site = self.sites(&[sent]).into_iter().next();
        Some(Origin { program, site, when: sizes(&[sent]), numbers })
    }

    /// Places where senders write different constants. Zeros alone tell nothing: they are mostly a
    /// clearing of the record, before it is filled in ways that cannot be followed.
    fn telling_places(&self, sent: &[&Emission]) -> BTreeSet<(u64, u64)> {
        let mut places = BTreeSet::new();
        if sent.len() < 2 {
            return places;
        }
        for write in sent.iter().flat_map(|sent| &sent.writes) {
            if places.len() >= MAX_NUMBERS || !self.steps.take(1) {
                break;
            }
            if write.sure && write.width <= 8 && write.constants.is_some() {
                places.insert((write.offset, write.width));
            }
        }
        places
    }
}
