//! Several ring buffers, each for some of the CPUs. A ring buffer has one lock: where many CPUs send
//! events at once, they wait for each other there for longer than all the rest takes.
//!
//! Each ring keeps the order of its events. The reader merges them by the time of the events, and
//! hands over nothing that is younger than [`SETTLE`]: that long an event may take from its time
//! stamp to its ring and still get its place.

mod plan;

use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use libbpf_sys::bpf_map_create_opts;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::SETTLE;
use super::ring::{Batch, Next, Ring};
use crate::output::time::boot_now_ns;

pub(crate) use plan::{MOST, Plan, plan};

/// The maps: `event_rings` of the programs, and those in it.
pub(crate) struct Maps {
    /// `event_rings`
    pub(crate) outer: MapHandle,
    inner: Vec<MapHandle>,
    pub(crate) plan: Plan,
}

impl Maps {
    /// Creates them.
    ///
    /// # Errors
    ///
    /// The errno of `bpf()`.
    pub(crate) fn create(plan: Plan) -> Result<Self, Errno> {
        let ring = || create(MapType::RingBuf, "events", (0, 0), plan.bytes, 0);
        let inner: Result<Vec<_>, _> = (0..plan.count).map(|_| ring()).collect();
        let inner = inner?;
        let first = inner.first().map_or(0, |ring| ring.as_fd().as_raw_fd());
        let outer = create(MapType::ArrayOfMaps, "event_rings", (4, 4), plan.count, first)?;
        for (index, ring) in (0..plan.count).zip(&inner) {
            let fd = ring.as_fd().as_raw_fd().to_ne_bytes();
            outer.update(&index.to_ne_bytes(), &fd, MapFlags::ANY).map_err(|_| Errno::last())?;
        }
        Ok(Self { outer, inner, plan })
    }
}

fn create(
    kind: MapType,
    name: &str,
    (key, value): (u32, u32),
    entries: u32,
    inner: i32,
) -> Result<MapHandle, Errno> {
    let options = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as libbpf_sys::size_t,
        inner_map_fd: inner.unsigned_abs(),
        ..bpf_map_create_opts::default()
    };
    MapHandle::create(kind, Some(name), key, value, entries, &options).map_err(|_| Errno::last())
}

/// All rings, opened for reading.
pub struct Rings {
    rings: Vec<Ring>,
    epoll: Epoll,
}

/// A ring while it is being read.
struct Reading {
    batch: Batch,
    /// The length of its next record, and the time of that event in nanoseconds
    next: Option<(usize, u64)>,
}

impl Rings {
    /// Opens the rings. The error is the errno of open, mmap or epoll.
    pub(super) fn open(maps: &Maps) -> Result<Self, Errno> {
        let fds = maps.inner.iter().map(|map| map.as_fd().try_clone_to_owned());
        let fds = fds.collect::<Result<Vec<_>, _>>().map_err(|_| Errno::last())?;
        Self::over(fds, maps.plan.bytes)
    }

    fn over(fds: Vec<OwnedFd>, bytes: u32) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut rings = Vec::new();
        for fd in fds {
            // At an edge: records that are held back must not wake the reader again.
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
            epoll.add(&fd, event)?;
            rings.push(Ring::over(fd, bytes)?);
        }
        Ok(Self { rings, epoll })
    }

    pub(super) fn count(&self) -> usize {
        self.rings.len()
    }

    /// Becomes readable at a wakeup.
    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rings.iter().all(Ring::is_empty)
    }

    /// Hands over the records by the time of their events; whether there were any, or are any left.
    pub(super) fn drain(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool> {
        self.forget_wakeups()?;
        let settled = if last { u64::MAX } else { boot_now_ns() - SETTLE.as_nanos() as u64 };
        self.drain_until(settled, each)
    }

    /// Those that happened until then (boot time in nanoseconds).
    fn drain_until(
        &mut self,
        settled: u64,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool> {
        let begin = |ring: &Ring| Reading { batch: ring.begin_batch(), next: None };
        let mut reading: Vec<_> = self.rings.iter().map(begin).collect();
        let outcome = self.merge(&mut reading, settled, each);
        let mut busy = false;
        for (ring, reading) in self.rings.iter_mut().zip(&reading) {
            busy |= ring.end_batch(&reading.batch) | reading.next.is_some();
        }
        outcome.map(|()| busy)
    }

    fn merge(
        &mut self,
        reading: &mut [Reading],
        settled: u64,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        for (ring, reading) in self.rings.iter_mut().zip(reading.iter_mut()) {
            reading.look(ring)?;
        }
        loop {
            let times = reading.iter().map(|reading| reading.next.map_or(u64::MAX, |next| next.1));
            let Some((first, time)) = times.clone().enumerate().min_by_key(|&(_, time)| time)
            else {
                return Ok(());
            };
            if time > settled || time == u64::MAX {
                return Ok(());
            }
            // The same ring until another one has an older event.
            let others = times.enumerate().filter(|&(index, _)| index != first);
            let until = others.map(|(_, time)| time).min().unwrap_or(u64::MAX).min(settled);
            let (Some(ring), Some(reading)) = (self.rings.get_mut(first), reading.get_mut(first))
            else {
                return Ok(());
            };
            while let Some((len, time)) = reading.next {
                if time > until {
                    break;
                }
                let keep_on = ring.take(&mut reading.batch, len, each);
                reading.look(ring)?;
                if keep_on.is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// Takes note of all wakeups up to now, so that [`Rings::poll_fd`] waits for the next one.
    fn forget_wakeups(&self) -> Result<()> {
        let mut events = [EpollEvent::empty(); MOST as usize];
        match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno).context("epoll_wait"),
        }
    }
}

impl Reading {
    fn look(&mut self, ring: &mut Ring) -> Result<()> {
        self.next = match ring.next(&mut self.batch)? {
            // A task_id leads every event, and the time leads that.
            Next::Record(len) => Some((len, ring.first_number(&self.batch))),
            Next::Nothing => None,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use nix::sys::memfd::{MFdFlags, memfd_create};
    use proptest::prelude::*;

    use super::*;
    use crate::host::memory::page_size;

    const BYTES: u64 = 4096;
    const RECORD: u64 = 24; // with its header

    /// Memory that looks like a ring: its records are times.
    fn memory(times: &[u64]) -> OwnedFd {
        let page = page_size();
        let file = File::from(memfd_create(c"ring", MFdFlags::empty()).unwrap());
        file.set_len(2 * page + BYTES).unwrap();
        let write = |at, number: u64| file.write_all_at(&number.to_ne_bytes(), at).unwrap();
        for (place, time) in (2 * page..).step_by(RECORD as usize).zip(times) {
            write(place, 16);
            write(place + 8, *time);
        }
        write(page, RECORD * times.len() as u64);
        file.into()
    }

    /// Rings with events of these times. (A file cannot be waited for.)
    fn rings(times: &[Vec<u64>]) -> Rings {
        let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
        let ring = |times: &Vec<u64>| Ring::over(memory(times), BYTES as u32).unwrap();
        Rings { rings: times.iter().map(ring).collect(), epoll }
    }

    /// What comes out, up to a time, and at most so many; and whether more is to come.
    fn read(rings: &mut Rings, settled: u64, most: usize) -> (Vec<u64>, bool) {
        let mut times = Vec::new();
        let busy = rings.drain_until(settled, &mut |record| {
            times.push(u64::from_ne_bytes(record[..8].try_into().unwrap()));
            if times.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (times, busy.unwrap())
    }

    proptest! {
        #[test]
        fn events_come_once_and_in_the_order_of_their_times(
            mut times in prop::collection::vec(prop::collection::vec(1u64..500, 0..100), 1..5),
            (settled, most) in (0u64..500, 1usize..50),
        ) {
            times.iter_mut().for_each(|times| times.sort_unstable());
            let mut rings = rings(&times);
            let mut all = times.concat();
            all.sort_unstable();
            let ready = all.partition_point(|&time| time <= settled);
            let mut got = Vec::new();
            loop {
                let (more, busy) = read(&mut rings, settled, most);
                let is_last = more.is_empty();
                got.extend(more);
                prop_assert_eq!(busy, !is_last || got.len() < all.len());
                if is_last {
                    break;
                }
            }
            prop_assert_eq!(&got, &all[..ready]);
            got.extend(read(&mut rings, u64::MAX, usize::MAX).0);
            prop_assert_eq!(got, all);
            prop_assert!(rings.is_empty());
        }
    }

    #[test]
    fn a_ring_keeps_its_own_order() {
        // An interrupt came between the time stamp of the first one and its place.
        let mut rings = rings(&[vec![9, 5, 12], vec![7, 10]]);
        assert_eq!(read(&mut rings, 11, 10), (vec![7, 9, 5, 10], true));
        assert_eq!(read(&mut rings, 12, 10), (vec![12], true));
        assert_eq!(read(&mut rings, 12, 10), (vec![], false));
    }
}
