//! Several kinds of records in one map, and the differences between them.

use std::collections::BTreeSet;

use object::Endianness;

use super::{EventSchema, Origin, Provenance};
use crate::elf::budget::Budget;
use crate::elf::dataflow::{Emission, Sink, Write};
use crate::elf::value::{Clocks, Decoder};

/// The conditions for one kind of record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Its sizes in bytes; `None`: any
    pub sizes: Option<BTreeSet<u64>>,
    /// Perf buffers round sizes up: a record may be up to 7 bytes longer
    pub padded: bool,
    /// A number in it
    pub number: Option<Number>,
}

/// A number in a record that identifies its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Bytes from the record's start
    pub offset: u64,
    /// Bytes
    pub width: u64,
    /// What it can be
    pub values: BTreeSet<u64>,
}

impl When {
    /// How well a record fits; `None` if it cannot be of this kind.
    pub(super) fn fits(&self, data: &[u8], endian: Endianness) -> Option<usize> {
        let mut marks = 0;
        if let Some(sizes) = &self.sizes {
            let len = data.len() as u64;
            let slack = if self.padded { 7 } else { 0 };
            if !sizes.iter().any(|&size| size <= len && len - size <= slack) {
                return None;
            }
            marks += 1;
        }
        if let Some(number) = &self.number {
            if !number.is_in(data, endian) {
                return None;
            }
            marks += 2;
        }
        Some(marks)
    }
}

impl Number {
    /// Whether a record has one of these values.
    pub(super) fn is_in(&self, data: &[u8], endian: Endianness) -> bool {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let width = usize::try_from(self.width).unwrap_or(usize::MAX);
        let Some(bytes) = data.get(start..).and_then(|rest| rest.get(..width)) else {
            return false;
        };
        let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        let value = match endian {
            Endianness::Big => bytes.iter().fold(0, join),
            Endianness::Little => bytes.iter().rev().fold(0, join),
        };
        self.values.contains(&value)
    }
}

/// The conditions for each kind of record, from all its events.
pub(super) fn tell_apart(kinds: &[&[&Emission]], endian: Endianness, steps: &Budget) -> Vec<When> {
    let mut whens: Vec<When> = kinds.iter().map(|sent| sizes(sent)).collect();
    if kinds.len() < 2 {
        return vec![When::default(); kinds.len()];
    }
    if let Some(numbers) = numbers(kinds, endian, steps) {
        for (when, number) in whens.iter_mut().zip(numbers) {
            when.number = Some(number);
        }
    }
    whens
}

pub(super) fn sizes(sent: &[&Emission]) -> When {
    let mut all = Some(BTreeSet::new());
    for emission in sent {
        match (&mut all, &emission.sizes) {
            (Some(all), Some(sizes)) => all.extend(sizes),
            _ => all = None,
        }
    }
    When { sizes: all, padded: sent.iter().any(|e| e.sink == Sink::Output), number: None }
}

/// The first place where each kind has constants that no other kind has.
fn numbers(kinds: &[&[&Emission]], endian: Endianness, steps: &Budget) -> Option<Vec<Number>> {
    let (first, _) = kinds.split_first()?;
    let all = kinds.iter().copied().flatten();
    let mut places: Vec<(u64, u64)> = all
        .flat_map(|sent| &sent.writes)
        .filter(|write| write.width <= 8 && write.constants.is_some())
        .map(|write| (write.offset, write.width))
        .collect();
    places.sort_unstable();
    places.dedup();
    if first.is_empty() {
        return None;
    }
    places.into_iter().find_map(|(offset, width)| {
        let mut taken = BTreeSet::new();
        let mut numbers = Vec::new();
        for sent in kinds {
            let mut values = BTreeSet::new();
            for emission in *sent {
                if !steps.take(1 + emission.writes.len()) {
                    return None;
                }
                values.extend(constants(&emission.writes, offset, width, endian)?);
            }
            if values.is_empty() || !values.iter().all(|&value| taken.insert(value)) {
                return None;
            }
            numbers.push(Number { offset, width, values });
        }
        Some(numbers)
    })
}

/// The constants written to a place, also as part of a wider write, since compilers store
/// neighbours together.
pub(super) fn constants(
    writes: &[Write],
    offset: u64,
    width: u64,
    endian: Endianness,
) -> Option<BTreeSet<u64>> {
    let end = offset + width;
    // If two writes overlap, the last one is unknown.
    let mut touching =
        writes.iter().filter(|w| w.offset < end && w.offset.saturating_add(w.width) > offset);
    let (write, None) = (touching.next()?, touching.next()) else { return None };
    let constants = write.constants.as_ref()?;
    let before = offset.checked_sub(write.offset)?;
    let after = write.offset.saturating_add(write.width).checked_sub(end)?;
    let lower = match endian {
        Endianness::Little => before,
        Endianness::Big => after,
    };
    let shift = u32::try_from(lower.saturating_mul(8)).ok()?;
    let mask = if width >= 8 { u64::MAX } else { (1 << (width * 8)) - 1 };
    // If the write is wider than a number, only zeros are known.
    Some(constants.iter().map(|c| c.checked_shr(shift).unwrap_or(0) & mask).collect())
}

/// One kind of record, ready for decoding.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// `None`: shown as bytes
    pub decoder: Option<Decoder>,
    /// The C name of the type
    pub type_name: Option<String>,
    /// The source of that knowledge
    pub provenance: Provenance,
    /// The names of the programs that send it
    pub senders: Vec<String>,
    /// The places that send it; empty if there are very many
    pub origins: Vec<Origin>,
    when: When,
}

/// All kinds of records of one map, ready for decoding.
#[derive(Clone, Debug)]
pub struct EventDecoder {
    /// All kinds
    pub alternatives: Vec<Alternative>,
    /// Byte order of the events
    pub endian: Endianness,
}

impl EventDecoder {
    /// A decoder from the schemas of one map, or of one iterator.
    pub fn new<'s>(
        schemas: impl IntoIterator<Item = &'s EventSchema<'s>>,
        endian: Endianness,
        clocks: &Clocks,
    ) -> Self {
        let new = |schema: &EventSchema<'_>| Alternative {
            decoder: schema.decoder(endian, clocks),
            type_name: schema.type_name(),
            provenance: schema.provenance.clone(),
            senders: schema.senders.clone(),
            origins: schema.origins.clone(),
            when: schema.when.clone(),
        };
        Self { alternatives: schemas.into_iter().map(new).collect(), endian }
    }

    /// The kind of a record. `None`: unknown, or there are no schemas.
    pub fn pick(&self, data: &[u8]) -> Option<&Alternative> {
        if let [only] = &self.alternatives[..] {
            return Some(only);
        }
        let fitting = || {
            let fit = |kind: &Alternative| kind.when.fits(data, self.endian);
            self.alternatives.iter().filter_map(move |kind| Some((fit(kind)?, kind)))
        };
        let best = fitting().map(|(marks, _)| marks).max()?;
        let mut best = fitting().filter(|&(marks, _)| marks == best);
        let (_, kind) = best.next()?;
        best.next().is_none().then_some(kind)
    }

    /// From now on text has no return addresses.
    pub fn hide_frames(&mut self) {
        let decoders = self.alternatives.iter_mut().filter_map(|kind| kind.decoder.as_mut());
        decoders.for_each(Decoder::hide_frames);
    }

    /// Measures the clocks anew, so that a step of the wall clock shows.
    pub fn update_clocks(&mut self) {
        for kind in &mut self.alternatives {
            if let Some(decoder) = &mut kind.decoder {
                decoder.update_clocks();
            }
        }
    }
}
