//! What every tracer does: flags, loading and attaching, reading records, accounting, ending.

pub mod allowance;
pub mod attach;
pub mod backend;
pub mod channel;
pub mod cli;
pub mod command;
pub mod context;
pub mod errand;
pub mod explain;
pub mod file_limit;
pub mod filter;
pub mod generate;
pub mod help;
pub mod interval;
pub mod manual;
pub mod progress;
pub mod recorded;
pub mod refusal;
pub mod replay;
pub mod session;
pub mod stack;
pub mod stop;
mod targets;
pub mod tool;
pub mod tracer;
