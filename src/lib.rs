//! What the tools of `snoop-tools` share. Each tool is a file in `src/bin`; it implements
//! [`tool::Tool`] and hands itself to [`tool::main`].

#[cfg(test)]
extern crate self as snoop_tools; // for killsnoop, in tests

pub mod bpfrun;
pub mod elf;
pub mod engine;
pub mod host;
pub mod output;
pub mod skel;
pub mod tools;
