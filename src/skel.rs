//! The skeletons that `build.rs` generates from `src/bpf/*.bpf.c`, and the event
//! types in them. The C headers are the only definition of an event; nothing is copied.

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

skeleton!(execve, "execve");

pub use execve::types::{
    exec_cold, exec_event, exec_flag, exec_kind, snoop_config, snoop_counters, snoop_filter,
    task_id,
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
