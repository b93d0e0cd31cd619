//! What the tools of `snoop-tools` share. Each tool is a file in `src/bin`; it implements
//! [`tool::Tool`] and hands itself to [`tool::main`].

pub mod attach;
pub mod bpfrun;
pub mod cgroup;
pub mod channel;
pub mod cli;
pub mod command;
pub mod connect;
pub mod digits;
pub mod dns;
pub mod elf;
pub mod errno;
pub mod escape;
pub mod exec;
pub mod explain;
pub mod filter;
pub mod inspect;
pub mod json;
pub mod kernel;
pub mod manual;
pub mod mmap;
pub mod out;
pub mod perf_event;
pub mod proc;
pub mod process;
pub mod run;
pub mod services;
pub mod session;
pub mod signal;
pub mod skel;
pub mod summary;
pub mod time;
pub mod tool;
pub mod tracefs;
pub mod tracepoint;
pub mod trampoline;
