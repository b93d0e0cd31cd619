//! What the tools of `snoop-tools` share. Each tool is a file in `src/bin`; it implements
//! [`tool::Tool`] and hands itself to [`tool::main`].

pub mod attach;
pub mod cgroup;
pub mod channel;
pub mod cli;
pub mod command;
pub mod escape;
pub mod exec;
pub mod explain;
pub mod filter;
pub mod json;
pub mod out;
pub mod session;
pub mod skel;
pub mod time;
pub mod tool;
