//! Reading compiled BPF objects: the project's own, and small ones that clang compiles here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod against;
mod amplify;
mod architectures;
mod arms;
mod command;
mod compile;
mod configure;
mod described;
mod disasm;
mod embedded;
mod events;
mod hostile;
mod hostile_events;
mod object;
mod orders;
mod own;
mod packed;
mod pictures;
mod plain;
mod schema;
mod stack;
mod survey;
mod through;
