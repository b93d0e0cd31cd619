//! The skeletons that `build.rs` generates from `src/bpf/*.bpf.c`, and the event
//! types in them. The C headers are the only definition of an event; nothing is copied.
//!
//! Each skeleton has its own copy of what `common.h` defines; execve's stand for all.

use anyhow::{Context, Result};

/// One skeleton in a module of its own. Generated code is not ours to lint.
macro_rules! skeleton {
    ($name:ident, $file:literal) => {
        #[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
        #[allow(clippy::pedantic, clippy::restriction)]
        #[allow(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", $file, ".skel.rs"));
        }
    };
}

skeleton!(bootstrap, "bootstrap");
skeleton!(execve, "execve");
skeleton!(tcpconnect, "tcpconnect");
skeleton!(mmap, "mmap");

pub use bootstrap::types::{
    process_command, process_config, process_counters, process_event, process_exit_event,
    process_flag, process_killer, process_kind, process_reaped_event, process_usage,
};
pub use execve::types::{
    exec_cold, exec_event, exec_flag, exec_kind, snoop_config, snoop_counters, snoop_filter,
    task_id,
};
pub use tcpconnect::types::{
    connect_address, connect_attempt, connect_config, connect_counters, connect_event,
    connect_flag, connect_look, connect_outcome, network_key,
};

pub use mmap::types::{
    mmap_backing, mmap_config, mmap_event, mmap_extra, mmap_file_key, mmap_file_sum, mmap_filter,
    mmap_kind, mmap_mode, mmap_note, mmap_process_key, mmap_process_sum, mmap_sum, mmap_totals,
};

// SAFETY: the C headers hold these types to fixed-width integers, arrays and structs of
// them without padding, so every bit pattern is a value (tests/layout.rs checks sizes).
unsafe impl plain::Plain for task_id {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for exec_event {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for exec_cold {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for snoop_config {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for snoop_counters {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for connect_event {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for connect_attempt {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for connect_look {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for tcpconnect::types::task_id {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for connect_counters {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for network_key {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for process_event {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for process_exit_event {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for process_reaped_event {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for process_counters {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for process_command {}

// SAFETY: as for task_id.
unsafe impl plain::Plain for mmap_event {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for mmap_extra {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for mmap_process_key {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for mmap_process_sum {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for mmap_file_key {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for mmap_file_sum {}
// SAFETY: as for task_id.
unsafe impl plain::Plain for mmap_totals {}

/// An event, or what leads it, from the start of a record. Copied, because a record of a
/// perf buffer is not aligned; bytes behind it are left alone, because perf pads.
pub fn decode<T: plain::Plain + Default>(record: &[u8]) -> Result<T> {
    let mut event = T::default();
    plain::copy_from_bytes(&mut event, record)
        .ok()
        .with_context(|| format!("a record of only {} bytes", record.len()))?;
    Ok(event)
}

impl task_id {
    /// Who and when, of any tool's event: it leads each record.
    pub fn of(record: &[u8]) -> Result<Self> {
        decode(record)
    }
}

/// Each skeleton has its own copy of the type.
macro_rules! task_id_of {
    ($skeleton:ident) => {
        impl From<$skeleton::types::task_id> for task_id {
            fn from(id: $skeleton::types::task_id) -> Self {
                let $skeleton::types::task_id {
                    time_ns,
                    lost,
                    start_ns,
                    cgroup,
                    pid,
                    tid,
                    ppid,
                    uid,
                    euid,
                    vpid,
                    comm,
                } = id;
                Self { time_ns, lost, start_ns, cgroup, pid, tid, ppid, uid, euid, vpid, comm }
            }
        }
    };
}

task_id_of!(bootstrap);
task_id_of!(tcpconnect);
