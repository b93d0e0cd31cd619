//! The sources of events: all ring buffers and perf buffers of an object, also those in maps of
//! maps, which may come and go.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, Object};

use crate::bpfrun::run::maps::{EventMap, EventMapKind};
use crate::bpfrun::run::perf::{Content, Perf};
use crate::engine::channel::ring::Ring;
use crate::engine::channel::{BUSY_TICK, IDLE_TICK};
use crate::output::time::boot_now_ns;

/// The time between two searches of maps of maps for new ring buffers.
const RESCAN: Duration = Duration::from_secs(1);

/// The most ring buffers of one map of maps to read.
const MANY: usize = 1024;

/// The most memory for filling the empty places of one map of maps.
const FILL_BYTES: u64 = 64 * 1024 * 1024;

/// A header of the kernel's in front of each record of a ring buffer, and its alignment.
const RECORD_EXTRA: u64 = 16;

/// One arrival.
#[derive(Debug)]
pub struct Event<'a> {
    /// The map
    pub map: &'a str,
    /// `CLOCK_BOOTTIME` in nanoseconds: the time of sending through a perf buffer, or of reading
    /// this record from a ring buffer, which has no times
    pub time_ns: u64,
    /// The sender's CPU; unknown for ring buffers
    pub cpu: Option<u32>,
    /// What
    pub content: Received<'a>,
}

/// A record or a gap.
#[derive(Debug)]
pub enum Received<'a> {
    /// A record
    Record(&'a [u8]),
    /// A gap: this many events were lost here
    Lost(u64),
}

/// One buffer.
struct Source {
    map: String,
    reader: Reader,
    /// Bytes of the longest record yet
    longest: u64,
    /// How often there was no room for another record of that size
    full: u64,
}

enum Reader {
    Ring(Ring),
    Perf(Perf),
}

/// A map of ring buffers.
struct Outer {
    name: String,
    map: MapHandle,
    seen: HashSet<u32>,
}

/// All sources.
pub struct Sources {
    sources: Vec<Source>,
    outer: Vec<Outer>,
    scanned: Instant,
}

impl Sources {
    /// Opens the buffers of a loaded object. Perf buffers take nothing until they are open.
    pub fn open(object: &Object, events: &[EventMap]) -> Result<Self> {
        let mut all = Self { sources: Vec::new(), outer: Vec::new(), scanned: Instant::now() };
        for EventMap { name, kind } in events {
            let Some(map) = object.maps().find(|map| *map.name() == **name) else {
                continue; // refused, as the table says
            };
            match *kind {
                EventMapKind::Ring => {
                    let ring = Ring::over(map.as_fd().try_clone_to_owned()?, map.max_entries());
                    all.add(name, Reader::Ring(ring.with_context(|| format!("map {name}"))?));
                }
                EventMapKind::Perf => {
                    let perf = Perf::open(&map).with_context(|| format!("map {name}"))?;
                    all.add(name, Reader::Perf(perf));
                }
                EventMapKind::Rings { array, bytes } => {
                    let map = MapHandle::try_from(&map)?;
                    if array {
                        fill(&map, bytes).with_context(|| format!("fill map {name}"))?;
                    }
                    all.outer.push(Outer { name: name.clone(), map, seen: HashSet::new() });
                }
            }
        }
        all.scan();
        Ok(all)
    }

    fn add(&mut self, map: &str, reader: Reader) {
        self.sources.push(Source { map: map.to_owned(), reader, longest: 0, full: 0 });
    }

    /// Whether there is anything to read from, now or later.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.outer.is_empty()
    }

    /// Become readable at wakeups.
    pub fn poll_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sources.iter().map(|source| match &source.reader {
            Reader::Ring(ring) => ring.poll_fd(),
            Reader::Perf(perf) => perf.poll_fd(),
        })
    }

    /// How long to sleep while nothing happens: perf buffers do not wake their reader at once.
    pub fn idle_tick(&self) -> Duration {
        let is_perf = |source: &Source| matches!(source.reader, Reader::Perf(_));
        if self.sources.iter().any(is_perf) { BUSY_TICK } else { IDLE_TICK }
    }

    /// Hands over all waiting records until `each` breaks. `last`: nothing more will come. Returns
    /// whether there was anything.
    pub fn drain(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<bool> {
        if !self.outer.is_empty() && (last || self.scanned.elapsed() >= RESCAN) {
            self.scan();
        }
        let mut busy = false;
        let mut broken = false;
        for source in &mut self.sources {
            if broken {
                break;
            }
            busy |= source.drain(last, &mut |event| {
                let flow = each(event);
                broken = flow.is_break();
                flow
            })?;
        }
        Ok(busy)
    }

    /// Whether every record that programs reserved has been read.
    pub fn are_empty(&self) -> bool {
        self.sources.iter().all(|source| match &source.reader {
            Reader::Ring(ring) => ring.is_empty(),
            Reader::Perf(_) => true, // a record is there as soon as it is sent
        })
    }

    /// Ring buffers that had no room for another long record when they were read, and how often.
    /// Events may be lost there, but only the programs know.
    pub fn full(&self) -> impl Iterator<Item = (&str, u64)> {
        let full = self.sources.iter().filter(|source| source.full > 0);
        full.map(|source| (source.map.as_str(), source.full))
    }

    /// Looks for new ring buffers in maps of maps.
    fn scan(&mut self) {
        self.scanned = Instant::now();
        let mut found = Vec::new();
        for outer in &mut self.outer {
            let keys: Vec<_> = outer.map.keys().take(MANY).collect();
            for key in keys {
                let id = outer.map.lookup(&key, MapFlags::ANY).ok().flatten();
                let id = id.and_then(|id| Some(u32::from_ne_bytes(*id.first_chunk()?)));
                let Some(id) = id.filter(|id| !outer.seen.contains(id)) else { continue };
                if outer.seen.len() < MANY {
                    outer.seen.insert(id);
                    // The ring buffer may be gone by now.
                    found.extend(inner_ring(id).ok().map(|ring| (outer.name.clone(), ring)));
                }
            }
        }
        for (name, ring) in found {
            self.add(&name, Reader::Ring(ring));
        }
    }
}

fn inner_ring(id: u32) -> Result<Ring> {
    let map = MapHandle::from_map_id(id)?;
    Ok(Ring::over(map.as_fd().try_clone_to_owned()?, map.max_entries())?)
}

/// Puts ring buffers into the empty places of an array of maps, as its loader would.
fn fill(map: &MapHandle, bytes: u32) -> Result<()> {
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let places = u64::from(map.max_entries()).min(FILL_BYTES / u64::from(bytes.max(1)));
    for place in 0..u32::try_from(places)? {
        let key = place.to_ne_bytes();
        if map.lookup(&key, MapFlags::ANY).ok().flatten().is_some() {
            continue;
        }
        let inner = MapHandle::create(MapType::RingBuf, Some("bpfrun"), 0, 0, bytes, &options)?;
        let fd = inner.as_fd().as_raw_fd();
        map.update(&key, &fd.to_ne_bytes(), MapFlags::ANY)?;
    }
    Ok(())
}

impl Source {
    fn drain(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<bool> {
        let Self { map, reader, longest, full } = self;
        match reader {
            Reader::Ring(ring) => {
                let busy = ring.drain(&mut |record| {
                    *longest = (*longest).max(record.len() as u64);
                    let content = Received::Record(record);
                    each(Event { map, time_ns: boot_now_ns(), cpu: None, content })
                })?;
                let used = ring.take_most_used();
                *full += u64::from(used > 0 && used + *longest + RECORD_EXTRA > ring.size());
                Ok(busy)
            }
            Reader::Perf(perf) => {
                let (records, busy) = perf.drain(last)?;
                for record in records {
                    let content = match &record.content {
                        Content::Event(data) => Received::Record(data),
                        Content::Lost(count) => Received::Lost(*count),
                    };
                    let cpu = Some(record.cpu);
                    if each(Event { map, time_ns: record.time_ns, cpu, content }).is_break() {
                        break;
                    }
                }
                Ok(busy)
            }
        }
    }
}
