//! What the machine says: files of /proc and of the kernel, names of numbers, cgroups, answers of DNS servers.

pub mod cgroup;
pub mod chosen;
pub(crate) mod cpus;
pub(crate) mod descriptor;
pub(crate) mod disposition;
pub mod dns;
pub mod errno;
pub mod heap;
pub mod kernel;
pub mod memory;
pub mod perf_event;
pub mod pidns;
pub mod proc;
pub mod services;
pub mod signal;
pub mod timens;
pub mod tracefs;
pub mod tracepoint;
pub mod user;
