//! What programs tell about the values that they send: clocks, byte orders, members of unions.

use std::collections::BTreeMap;

use crate::elf::types::TypeId;
use crate::output::time::{WallClock, boot_now_ns, monotonic_now_ns};

/// A clock of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// `bpf_ktime_get_ns`: stands still during suspend
    Monotonic,
    /// `bpf_ktime_get_boot_ns`
    Boot,
}

/// A hint for a field besides its type, from the program's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A helper that writes strings filled it
    Text,
    /// This clock was read into it
    Time(Clock),
    /// This clock was read into it some time before the event: by way of a map
    Earlier(Clock),
    /// The program stores `bytes` in this order there. Not `sure`: the program swaps something
    /// unknown, and a type may know better
    Order {
        /// Which
        order: Order,
        /// How many bytes of the field
        bytes: u16,
        /// Whether the kernel's own types tell it
        sure: bool,
    },
    /// Sometimes in one order, sometimes in the other
    AnyOrder,
    /// A helper counted bytes there
    Bytes,
    /// A helper put return addresses there: of the program, or of the kernel, if that is constant
    Stack(Option<bool>),
    /// The number of a stack in a map
    StackId {
        /// The map: index in `Object::maps`
        map: u32,
        /// As in [`Hint::Stack`]
        user: Option<bool>,
    },
}

/// The byte order of a number in an event of a little-endian machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As in packets, and in the kernel's sockets
    Network,
    /// Any other number
    Host,
}

impl Hint {
    /// What becomes of a reading of a clock that waits in a map.
    pub fn earlier(self) -> Option<Self> {
        match self {
            Self::Time(clock) => Some(Self::Earlier(clock)),
            _ => None,
        }
    }

    /// What is known of numbers of which each can be in its own order.
    pub fn join(self, other: Self) -> Self {
        self.agrees(other).unwrap_or(Self::AnyOrder)
    }

    /// What is known if both are true, each of some events. `None`: nothing.
    pub fn agrees(self, other: Self) -> Option<Self> {
        match (self, other) {
            (
                Self::Order { order, bytes, sure },
                Self::Order { order: other, bytes: others, sure: both },
            ) if order == other && bytes == others => {
                Some(Self::Order { order, bytes, sure: sure && both })
            }
            (one, other) if one == other => Some(one),
            (one, other) => (one.is_order() && other.is_order()).then_some(Self::AnyOrder),
        }
    }

    fn is_order(self) -> bool {
        matches!(self, Self::Order { .. } | Self::AnyOrder)
    }
}

/// The distances from the kernel's clocks to the wall clock.
#[derive(Clone, Debug)]
pub struct Clocks {
    pub(super) wall: WallClock,
    /// Boot clock minus monotonic clock: how long the machine slept
    pub(super) suspended_ns: u64,
}

impl Default for Clocks {
    fn default() -> Self {
        let mut clocks = Self { wall: WallClock::default(), suspended_ns: 0 };
        clocks.update();
        clocks
    }
}

impl Clocks {
    /// Measures the distances between the clocks anew.
    pub fn update(&mut self) {
        self.wall.update();
        self.suspended_ns = boot_now_ns().saturating_sub(monotonic_now_ns());
        // A smaller difference is the time between the two readings.
        if self.suspended_ns < 1_000_000 {
            self.suspended_ns = 0;
        }
    }

    /// RFC 3339, if this can be a time.
    pub(super) fn rfc3339(&self, clock: Clock, ns: u64) -> Option<String> {
        self.boot_ns(clock, ns).map(|boot| self.wall.rfc3339(boot))
    }

    /// The boot clock's time, if this can be a time: neither zero nor in the future.
    pub(super) fn boot_ns(&self, clock: Clock, ns: u64) -> Option<u64> {
        const AHEAD_NS: u64 = 1_000_000_000;
        let boot = match clock {
            Clock::Boot => ns,
            Clock::Monotonic => ns.checked_add(self.suspended_ns)?,
        };
        (ns != 0 && boot <= boot_now_ns().saturating_add(AHEAD_NS)).then_some(boot)
    }
}

/// The choice of a member of a union, by a number beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The union: bytes from the start of the event
    pub union: u64,
    /// Its type
    pub ty: TypeId,
    /// The number: bytes from the start of the event
    pub at: u64,
    /// Bytes of the number
    pub bytes: u32,
    /// The member, counted from 0, by the number's value
    pub arms: BTreeMap<u64, usize>,
}
