//! bpfrun: what is in a compiled BPF object, and its programs at work.

pub mod args;
pub mod choose;
pub mod complete;
pub mod glob;
pub mod inspect;
pub mod list;
pub mod run;

pub use args::{Args, Task, pages};
