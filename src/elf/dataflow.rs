//! Finds for each event the sending instruction, the size, the data and the map.
//!
//! Follows each program along all paths, with sets of possible values instead of values
//! ([`domain`]), also into the object's own functions, with the values at the call. Numbers of
//! steps, states and writes bound time and memory; parts that are not reached by then are left out,
//! and [`Emissions::cut`] reports that.

mod domain;
mod helpers;
mod machine;
mod number;
mod pieces;
pub mod scale;
mod state;
mod uses;
mod written;

use std::collections::BTreeSet;

use super::object::Object;
use super::types::TypeId;
use super::value::Hint;

pub use number::{Number, Part, Source};
pub use uses::{Counted, Memory, Uses};

/// Something that a program sends to user space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// Index in [`Object::programs`]
    pub program: usize,
    /// The way of sending
    pub sink: Sink,
    /// The possible maps: indices in [`Object::maps`]. For a map of maps, the outer one
    pub maps: BTreeSet<usize>,
    /// Functions from the program's own to the sending one: indices in [`Object::functions`]
    pub functions: Vec<usize>,
    /// The instructions that reserve and send it: function and slot
    pub places: Vec<(usize, usize)>,
    /// All possible sizes; `None`: not constant
    pub sizes: Option<BTreeSet<u64>>,
    /// What is sent
    pub data: BTreeSet<Origin>,
    /// Writes into it on the way, as far as known; by offset
    pub writes: Vec<Write>,
}

/// How an event leaves the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// Copied into a perf or ring buffer
    Output,
    /// Built in a ring buffer
    Record,
    /// Read through an iterator
    Iterator,
}

/// The origin of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// On the stack
    Stack,
    /// A record of a ring buffer
    Record,
    /// In the value of a map
    MapValue {
        /// Index in [`Object::maps`]
        map: usize,
        /// Bytes from the value's start
        offset: i64,
    },
    /// A variable of the object
    Data {
        /// Index of the section
        section: usize,
        /// Bytes from its start
        offset: i64,
    },
    /// A function's parameter points to it: its type in BTF
    Parameter(TypeId),
    /// Something else
    Unknown,
}

/// A write of a program into an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Bytes from the event's start
    pub offset: u64,
    /// Bytes
    pub width: u64,
    /// The possible numbers, cut to the width; `None`: anything
    pub constants: Option<Vec<u64>>,
    /// A surely written value; not a clearing of the event, nor one of several places that a
    /// pointer may lead to
    pub sure: bool,
    /// Zeros were surely stored there, even if more may have come in their place
    pub cleared: bool,
    /// A copy from the value of this map, from this offset
    pub copied: Option<(usize, i64)>,
    /// What programs surely have stored there, if that is one thing
    pub stored: Option<Number>,
    /// A further hint
    pub hint: Option<Hint>,
    /// Filled by a helper: it may be only a part of a member
    pub filled: bool,
    /// What it can be made of, as far as that is known
    pub numbers: Vec<Number>,
    /// It can be nothing but [`Write::numbers`], the copy or zero
    pub only_known: bool,
    /// The instruction, or one of them: function and slot
    pub by: (usize, usize),
}

/// The argument, counted from 1, that points to the memory that a helper fills.
pub(super) fn filled_argument(number: i32) -> Option<u8> {
    match helpers::helper(number) {
        helpers::Helper::Fill { to, .. } => Some(to),
        _ => None,
    }
}

/// The events of an object.
#[derive(Clone, Debug, Default)]
pub struct Emissions {
    /// In the order of the programs
    pub all: Vec<Emission>,
    /// What programs do to maps and variables
    pub uses: Uses,
    /// Some program could not be followed to its end: others may be missing
    pub cut: bool,
}

/// All events that the programs of an object send.
pub fn emissions(object: &Object) -> Emissions {
    let mut found = Emissions::default();
    let mut limits = machine::Limits::default();
    for (index, program) in object.programs.iter().enumerate() {
        let all = machine::run(object, index, program.function, &mut limits, &mut found.uses);
        found.all.extend(all);
    }
    found.cut = limits.cut;
    found.uses.finish(found.cut);
    let Emissions { all, uses, .. } = &mut found;
    for write in all.iter_mut().flat_map(|sent| &mut sent.writes) {
        uses.follow(write);
    }
    found
}
