//! From the kernel's buffer to `&[u8]`: a ring buffer, or a perf buffer where the kernel has no
//! ring buffer or `--buffer perf` forces it.
//!
//! The programs wake the reader rarely (`event_wakeup_flags()` in `events.bpf.h` has the
//! rule), so the main loop looks by itself while events keep coming: it polls with
//! [`BUSY_TICK`] until a whole tick brought nothing, and only then for longer. A perf buffer, in
//! which programs cannot choose when to wake the reader, is looked at that often always.

mod perf;
pub(crate) mod perf_buffer;
pub(crate) mod ring;
pub(crate) mod rings;

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use libbpf_rs::{MapCore, MapType, OpenMapMut};
use nix::errno::Errno;

use perf::Perf;
use ring::Ring;
use rings::Rings;

/// How long to sleep while events come: longer than `WAKEUP_INTERVAL_NS` of `events.bpf.h`. The
/// reader finds an event without a wakeup after at most this time.
pub const BUSY_TICK: Duration = Duration::from_millis(25);

/// The sleeps while events come. The first is of 1 ms, each further one twice as long, up to
/// [`BUSY_TICK`]: who has just started a tool waits for its first row.
pub struct BusyTicks(Duration);

impl Default for BusyTicks {
    fn default() -> BusyTicks {
        BusyTicks(Duration::from_millis(1))
    }
}

impl BusyTicks {
    /// The next sleep.
    pub fn take(&mut self) -> Duration {
        let next = (2 * self.0).min(BUSY_TICK);
        std::mem::replace(&mut self.0, next)
    }
}

/// How long to sleep while nothing happens; the next event in a ring buffer wakes the reader.
pub const IDLE_TICK: Duration = Duration::from_millis(800);

/// Where there are several buffers, an event may take this long from its time stamp to its buffer
/// and still get its place in the order: younger events wait.
const SETTLE: Duration = Duration::from_millis(5);

/// `--buffer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BufferChoice {
    /// Ring buffer where the kernel has it (5.8), else perf buffer
    #[default]
    Auto,
    /// One ring for all CPUs, or on large machines several
    Ring,
    /// One buffer per CPU; at most 23 KiB of arguments per execution
    Perf,
}

/// The transport that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `BPF_MAP_TYPE_RINGBUF`
    Ring,
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`
    Perf,
}

impl Transport {
    /// What `choice` means on this kernel; a small map tries it out.
    pub fn choose(choice: BufferChoice) -> Self {
        match choice {
            BufferChoice::Ring => Self::Ring,
            BufferChoice::Perf => Self::Perf,
            // An error here (no privileges) comes back with its reason at loading.
            BufferChoice::Auto => match MapType::RingBuf.is_supported() {
                Ok(false) => Self::Perf,
                Ok(true) | Err(_) => Self::Ring,
            },
        }
    }

    /// The name in the JSON start record and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Perf => "perf",
        }
    }

    /// Turns the `events` map of an opened object into this transport's.
    pub fn prepare(self, events: &mut OpenMapMut<'_>, bytes: Option<u64>) -> Result<()> {
        match self {
            Self::Ring => {
                if let Some(bytes) = bytes {
                    events.set_max_entries(u32::try_from(ring::round_size(bytes))?)?;
                }
            }
            Self::Perf => {
                events.set_type(MapType::PerfEventArray)?;
                events.set_key_size(4)?;
                events.set_value_size(4)?;
                events.set_max_entries(0)?; // libbpf: one for each CPU
            }
        }
        Ok(())
    }
}

/// The reading end of the buffer.
pub enum Channel {
    /// See [`Transport::Ring`].
    Ring(Ring),
    /// Several of them: see [`Rings`].
    Rings(Rings),
    /// See [`Transport::Perf`].
    Perf(Perf),
}

impl Channel {
    /// Opens the loaded `events` map for reading, or the maps in its place. `bytes`:
    /// `--buffer-size`.
    ///
    /// # Errors
    ///
    /// The errno of open or mmap.
    pub(crate) fn open(
        transport: Transport,
        events: &impl MapCore,
        rings: Option<&rings::Maps>,
        bytes: Option<u64>,
    ) -> Result<Self, Errno> {
        Ok(match transport {
            Transport::Ring => match rings {
                Some(maps) => Self::Rings(Rings::open(maps)?),
                None => Self::Ring(Ring::open(events)?),
            },
            Transport::Perf => Self::Perf(Perf::open(events, bytes)?),
        })
    }

    /// Which transport it reads.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Ring(_) | Self::Rings(_) => Transport::Ring,
            Self::Perf(_) => Transport::Perf,
        }
    }

    /// In words: `ring buffer`.
    pub fn describe(&self) -> String {
        match self {
            Self::Rings(rings) => format!("{} ring buffers", rings.count()),
            Self::Ring(_) | Self::Perf(_) => format!("{} buffer", self.transport().name()),
        }
    }

    /// Becomes readable at a wakeup.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Ring(ring) => ring.poll_fd(),
            Self::Rings(rings) => rings.poll_fd(),
            Self::Perf(perf) => perf.poll_fd(),
        }
    }

    /// How long to sleep while nothing happens.
    pub fn idle_tick(&self) -> Duration {
        match self {
            Self::Ring(_) | Self::Rings(_) => IDLE_TICK,
            Self::Perf(_) => BUSY_TICK,
        }
    }

    /// Hands every record in the buffer to `each`, in the order of the events, until `each` breaks.
    /// Returns whether there was any. `last`: nothing more will come, so hold nothing back.
    pub fn drain(
        &mut self,
        last: bool,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool> {
        match self {
            Self::Ring(ring) => ring.drain(each),
            Self::Rings(rings) => rings.drain(last, each),
            Self::Perf(perf) => perf.drain(last, each),
        }
    }

    /// Whether every record that programs reserved has been read.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.is_empty(),
            Self::Rings(rings) => rings.is_empty(),
            Self::Perf(perf) => perf.is_empty(),
        }
    }
}
