//! What the machine says: files of /proc and of the kernel, names of numbers, cgroups, answers of DNS servers.

pub mod cgroup;
pub mod chosen;
pub mod container;
pub mod context;
pub(crate) mod cpus;
pub(crate) mod descriptor;
pub(crate) mod disposition;
pub mod dns;
pub mod errno;
pub(crate) mod flavour;
pub mod heap;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod perf_event;
pub mod pidns;
pub mod proc;
pub mod services;
pub mod signal;
pub mod timens;
pub mod tracefs;
pub mod tracepoint;
pub mod unit;
pub mod usage;
pub mod user;
pub mod users;
