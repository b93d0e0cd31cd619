//! How many ring buffers a machine gets, and how large.

use nix::sys::sysinfo::sysinfo;

use crate::host::cpus;
use crate::host::memory::page_size;

/// The most of them.
pub(crate) const MOST: u32 = 64;

/// So many CPUs do not wait long for each other.
const CPUS_PER_RING: u32 = 4;

/// Unless the size is given, each ring has at least this many bytes, so that a burst on one CPU
/// finds room, and all together at most this part of the machine's memory.
const LEAST_BYTES: u64 = 1024 * 1024;
const PART_OF_MEMORY: u64 = 1024;

/// How many rings, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// At least 2
    pub(crate) count: u32,
    /// Of each
    pub(crate) bytes: u32,
    /// The number of a CPU times this, divided by 65536, is that of its ring
    pub(crate) scale: u32,
}

/// The machine.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// One more than the largest number of a CPU that is online
    cpus: u32,
    /// Bytes
    memory: u64,
}

impl Machine {
    fn this() -> Option<Self> {
        let last = cpus::online().ok()?.into_iter().max()?;
        let sizes = sysinfo().ok()?;
        Some(Self { cpus: u32::try_from(last).ok()? + 1, memory: sizes.ram_total() })
    }
}

/// The rings for this machine; `None`: one for all CPUs. `wanted`: `--rings`; `default_bytes`: of one
/// buffer for all CPUs; `given_bytes`: `--buffer-size`, which is the sum.
pub(crate) fn plan(
    wanted: Option<u32>,
    default_bytes: u32,
    given_bytes: Option<u64>,
) -> Option<Plan> {
    Machine::this().and_then(|machine| machine.plan(wanted, default_bytes, given_bytes))
}

impl Machine {
    fn plan(
        self,
        wanted: Option<u32>,
        default_bytes: u32,
        given_bytes: Option<u64>,
    ) -> Option<Plan> {
        let default = u64::from(default_bytes);
        let count = wanted.unwrap_or_else(|| self.count(given_bytes.unwrap_or(default)));
        if count < 2 {
            return None;
        }
        let share = given_bytes.unwrap_or(default) / u64::from(count);
        let bytes = if given_bytes.is_some() { share } else { share.max(LEAST_BYTES) };
        let bytes = bytes.clamp(page_size(), 1 << 30);
        // The kernel takes powers of two. The sum must not be more than what was given.
        let bytes = 1 << bytes.ilog2();
        let count = count.min(MOST);
        Some(Plan { count, bytes, scale: (count << 16) / self.cpus })
    }

    /// How many rings it should have, which share `bytes`, or more.
    fn count(self, bytes: u64) -> u32 {
        if self.cpus <= 2 * CPUS_PER_RING {
            return 1;
        }
        let room = bytes.max(self.memory / PART_OF_MEMORY) / LEAST_BYTES;
        let room = u32::try_from(room).unwrap_or(MOST);
        self.cpus.div_ceil(CPUS_PER_RING).min(room).clamp(1, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_have_one() {
        let machine = |cpus| Machine { cpus, memory: 64 << 30 };
        let count = |cpus| machine(cpus).plan(None, 4 << 20, None).map(|plan| plan.count);
        assert_eq!(
            [1, 2, 8, 9, 64, 4096].map(count),
            [None, None, None, Some(3), Some(16), Some(64)]
        );
        // As many as there is room for.
        let small = Machine { cpus: 64, memory: 1 << 30 };
        assert_eq!(small.plan(None, 4 << 20, None).map(|plan| plan.count), Some(4));
        assert_eq!(small.plan(None, 4 << 20, Some(1 << 20)), None);
        assert_eq!(small.plan(Some(1), 4 << 20, None), None, "if that is wanted");
    }

    #[test]
    fn sizes() {
        let machine = Machine { cpus: 2, memory: 64 << 30 };
        let bytes = |count, given| machine.plan(Some(count), 4 << 20, given).map(|plan| plan.bytes);
        assert_eq!(bytes(2, None), Some(2 << 20));
        assert_eq!(bytes(64, None), Some(1 << 20), "a burst on one CPU finds room");
        assert_eq!(bytes(3, Some(4 << 20)), Some(1 << 20), "the sum is what was given, or less");
        assert_eq!(bytes(64, Some(4096)).map(u64::from), Some(page_size()), "or what can be");
    }

    #[test]
    fn each_cpu_has_a_ring() {
        for cpus in [1, 2, 7, 16, 448] {
            for count in 2..=MOST {
                let machine = Machine { cpus, memory: 64 << 30 };
                let plan = machine.plan(Some(count), 4 << 20, None).unwrap();
                // As event_ring() does it.
                let ring = |cpu: u32| ((u64::from(cpu) * u64::from(plan.scale)) >> 16) as u32;
                assert_eq!(ring(0), 0);
                assert!(ring(cpus - 1) < count, "{cpus} {count}");
                let used: std::collections::BTreeSet<_> = (0..cpus).map(ring).collect();
                assert!(used.len() as u32 >= count.min(cpus) - 1, "{cpus} {count}: {used:?}");
            }
        }
    }
}
