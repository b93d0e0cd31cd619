//! Which instruction sends how many bytes of what to which map.
//!
//! Each program is followed through all its paths with sets of possible values instead of
//! values ([`domain`]). Calls of the object's own functions are followed with what is known
//! at the call. Time is bounded by a number of steps: what is not reached by then is not
//! told.

mod domain;
mod helpers;
mod machine;

use std::collections::BTreeSet;

use super::object::Object;
use super::types::TypeId;
use super::value::Hint;

/// Something that a program sends to user space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// Index in [`Object::programs`]
    pub program: usize,
    /// How it is sent
    pub sink: Sink,
    /// Indices in [`Object::maps`]: where it can go. Of a map of maps the outer one
    pub maps: BTreeSet<usize>,
    /// Functions from the program's own to the one that sends: indices in
    /// [`Object::functions`]
    pub functions: Vec<usize>,
    /// The instructions that send it, and that made room for it: function and slot
    pub places: Vec<(usize, usize)>,
    /// All sizes that it can have; `None`: not constant
    pub sizes: Option<BTreeSet<u64>>,
    /// What is sent
    pub data: BTreeSet<Origin>,
    /// What was written into it on the way, as far as that can be told; by offset
    pub writes: Vec<Write>,
}

/// How an event leaves the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// Copied into a perf or ring buffer
    Output,
    /// Put together in a ring buffer
    Record,
    /// Read through an iterator
    Iterator,
}

/// What data is.
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

/// What a program writes into an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Bytes from the event's start
    pub offset: u64,
    /// Bytes
    pub width: u64,
    /// The numbers that it can be, cut to the width; `None`: anything
    pub constants: Option<Vec<u64>>,
    /// More than zeros are written just here; otherwise the event is cleared, or this is one
    /// of several places that a pointer may lead to
    pub sure: bool,
    /// It is copied from the value of this map, from this offset
    pub copied: Option<(usize, i64)>,
    /// What else is known of it
    pub hint: Option<Hint>,
    /// The instruction, or one of them: function and slot
    pub by: (usize, usize),
}

/// The argument, counted from 1, that points to what a helper fills.
pub(super) fn filled_argument(number: i32) -> Option<u8> {
    match helpers::helper(number) {
        helpers::Helper::Fill { to, .. } => Some(to),
        _ => None,
    }
}

/// All that the programs of an object send.
pub fn emissions(object: &Object) -> Vec<Emission> {
    let mut all = Vec::new();
    let mut steps = machine::MAX_STEPS;
    for (index, program) in object.programs.iter().enumerate() {
        all.extend(machine::run(object, index, program.function, &mut steps));
    }
    all
}
