//! What the tools of `snoop-tools` share. Each tool is a file in `src/bin`; it implements
//! [`tool::Tool`] and hands itself to [`tool::main`].

pub mod bpfrun;
pub mod elf;
pub mod engine;
pub mod host;
pub mod output;
pub mod pages;
pub mod skel;
pub mod tools;

pub use bpfrun::glob;
pub use bpfrun::inspect;
pub use bpfrun::run;
pub use engine::attach;
pub use engine::backend;
pub use engine::channel;
pub use engine::cli;
pub use engine::command;
pub use engine::explain;
pub use engine::filter;
pub use engine::manual;
pub use engine::refusal;
pub use engine::session;
pub use engine::tool;
pub use host::cgroup;
pub(crate) use host::descriptor;
pub use host::dns;
pub use host::errno;
pub use host::kernel;
pub use host::perf_event;
pub use host::pidns;
pub use host::proc;
pub use host::services;
pub use host::signal;
pub use host::tracefs;
pub use host::tracepoint;
pub use output::digits;
pub use output::escape;
pub use output::histogram as summary;
pub use output::json;
pub use output::table as out;
pub use output::time;
pub use tools::execsnoop as exec;
pub use tools::mmapsnoop as mmap;
pub use tools::procsnoop as process;
pub use tools::tcpconnect as connect;
