//! The origin and size of events.

use std::collections::{BTreeMap, BTreeSet};

use super::helper_calls::dynptr;
use super::{EVENT_WRITES, Here, MAX_RECORD, Machine};
use crate::elf::dataflow::domain::{Atom, Value, place};
use crate::elf::dataflow::state::{Cell, State};
use crate::elf::dataflow::{Emission, Origin, Sink, Write};
use crate::elf::dataflow::{pieces, written};

/// A place that reserves room for a record.
#[derive(Debug, Default)]
pub(super) struct Site {
    maps: BTreeSet<usize>,
    size: Option<Value>,
    functions: Vec<usize>,
    place: (usize, usize),
    /// Origins copied into the record as a whole
    sources: BTreeSet<Origin>,
    sent: bool,
}

impl Machine<'_> {
    /// The maps that a value can be.
    pub(super) fn maps(&self, value: &Value) -> BTreeSet<usize> {
        let map = |&atom: &Atom| match atom {
            Atom::Map(map) | Atom::InnerMap(map) => Some(map),
            _ => None,
        };
        value.atoms().iter().filter_map(map).collect()
    }

    pub(super) fn reserve(&mut self, here: Here, state: &State) -> usize {
        let next = self.sites.len();
        let number = *self.site_numbers.entry((here.frame, here.slot)).or_insert(next);
        if number == next {
            let functions = self.chain.clone();
            let place = (here.function, here.slot);
            self.sites.push(Site { functions, place, ..Site::default() });
            self.keep(0);
        }
        let maps = self.maps(state.register(1));
        if let Some(site) = self.sites.get_mut(number) {
            site.maps.extend(maps);
            let size = state.register(2);
            match &mut site.size {
                Some(known) => _ = known.join(size),
                None => site.size = Some(size.clone()),
            }
        }
        number
    }

    pub(super) fn write_dynptr(&mut self, state: &mut State) {
        let (offset, size) = (state.register(2).constant(), state.register(4).constant());
        let (Some(offset), Some(size)) = (offset, size) else { return };
        let (to, source) = (dynptr(state), state.register(3).clone());
        for &atom in to.atoms() {
            let Atom::Dynptr(site) = atom else { continue };
            let record = Value::from(Atom::Record { site, offset });
            for (base, start) in source.atoms().iter().filter_map(|&atom| place(atom)) {
                let cells: Vec<_> = state
                    .region(base, start, size.clamp(0, MAX_RECORD))
                    .into_iter()
                    .map(|(at, cell)| (at, cell.clone()))
                    .collect();
                for (at, cell) in cells {
                    state.write(&record, at, &cell);
                }
            }
            let origins = self.origins(&source);
            if let Some(site) = self.sites.get_mut(site).filter(|_| offset == 0) {
                site.sources.extend(origins);
            }
        }
    }

    pub(super) fn submit(&mut self, here: Here, site_number: usize, state: &State) {
        let record = Value::from(Atom::Record { site: site_number, offset: 0 });
        let mut data = self.origins(&record);
        let sizes = self.sites.get(site_number).and_then(|site| site.size.as_ref()).and_then(sizes);
        let writes = self.writes(state, &record, sizes.as_ref());
        let Some(site) = self.sites.get_mut(site_number) else { return };
        site.sent = true;
        data.extend(&site.sources);
        let mut functions = self.chain.clone();
        functions.extend(&site.functions);
        let mut seen = BTreeSet::new();
        functions.retain(|&function| seen.insert(function));
        let emission = Emission {
            program: self.program,
            sink: Sink::Record,
            maps: site.maps.clone(),
            functions,
            places: vec![(here.function, here.slot), site.place],
            writes,
            sizes,
            data,
        };
        self.found((here.frame, here.slot, site_number), emission);
    }

    pub(super) fn output(
        &mut self,
        here: Here,
        sink: Sink,
        maps: BTreeSet<usize>,
        [data, size]: [u8; 2],
        state: &State,
    ) {
        let (data, sizes) = (state.register(data), sizes(state.register(size)));
        let emission = Emission {
            program: self.program,
            sink,
            maps,
            functions: self.chain.clone(),
            places: vec![(here.function, here.slot)],
            writes: self.writes(state, data, sizes.as_ref()),
            sizes,
            data: self.origins(data),
        };
        self.found((here.frame, here.slot, usize::MAX), emission);
    }

    /// The known writes into the sent bytes.
    fn writes(&mut self, state: &State, data: &Value, sizes: Option<&BTreeSet<u64>>) -> Vec<Write> {
        let cells = cells(state, data, sizes);
        for &(function, _) in cells.values().map(|cell| &cell.by) {
            self.find_pieces(function);
        }
        let piece = |(function, slot): (usize, usize)| {
            self.pieces.get(&function).and_then(|pieces| pieces.get(&slot)).copied()
        };
        let joined = pieces::join(cells, self.object.endian, piece).into_iter();
        joined.map(|((offset, width), cell)| written::write(offset, width, &cell)).collect()
    }

    /// Keeps an event, in the place of what was known of it when it was last seen.
    fn found(&mut self, place: (usize, usize, usize), emission: Emission) {
        if let Some(known) = self.found.remove(&place) {
            self.writes += known.writes.len() + EVENT_WRITES;
        }
        self.keep(emission.writes.len());
        if !self.cut {
            self.found.insert(place, emission);
        }
    }

    /// The origins behind a pointer.
    fn origins(&self, pointer: &Value) -> BTreeSet<Origin> {
        let mut origins = BTreeSet::new();
        for &atom in pointer.atoms() {
            let Some(place) = place(atom) else {
                origins.insert(Origin::Unknown);
                continue;
            };
            if let Some(types) = self.typed.get(&place) {
                origins.extend(types.iter().map(|&ty| Origin::Parameter(ty)));
            }
            origins.insert(match atom {
                Atom::MapValue { map, offset } => Origin::MapValue { map, offset },
                Atom::Data { section, offset } => Origin::Data { section, offset },
                Atom::Stack { .. } => Origin::Stack,
                _ => Origin::Record,
            });
        }
        if origins.is_empty() {
            origins.insert(Origin::Unknown);
        }
        origins
    }

    /// All events found, with records whose sending was not seen.
    pub(super) fn finish(self) -> Vec<Emission> {
        let mut found: Vec<_> = self.found.into_values().collect();
        for site in self.sites.into_iter().filter(|site| !site.sent) {
            found.push(Emission {
                program: self.program,
                sink: Sink::Record,
                maps: site.maps,
                functions: site.functions,
                places: vec![site.place],
                sizes: site.size.as_ref().and_then(sizes),
                data: site.sources.into_iter().chain([Origin::Record]).collect(),
                writes: Vec::new(),
            });
        }
        found
    }
}

/// Constant sizes.
pub(super) fn sizes(value: &Value) -> Option<BTreeSet<u64>> {
    value.constants()?.into_iter().map(|size| u64::try_from(size).ok()).collect()
}

/// The known writes into the sent bytes, by offset and width.
fn cells(state: &State, data: &Value, sizes: Option<&BTreeSet<u64>>) -> BTreeMap<(u64, u64), Cell> {
    let largest = sizes.and_then(|sizes| sizes.last().copied());
    let bytes = largest.and_then(|size| i64::try_from(size).ok()).unwrap_or(MAX_RECORD);
    let mut all: BTreeMap<(u64, u64), Cell> = BTreeMap::new();
    for (base, start) in data.atoms().iter().filter_map(|&atom| place(atom)) {
        for (offset, cell) in state.region(base, start, bytes.min(MAX_RECORD)) {
            let (Ok(offset), Ok(width)) = (u64::try_from(offset), u64::try_from(cell.width)) else {
                continue;
            };
            match all.get_mut(&(offset, width)) {
                Some(known) => _ = known.join(cell),
                None => _ = all.insert((offset, width), cell.clone()),
            }
        }
    }
    all
}
