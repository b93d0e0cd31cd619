//! The skeletons that `build.rs` generates from `src/bpf/*.bpf.c`, and the types in them that
//! `src/bpf` defines. The C sources are the only definition of an event; nothing is copied.
//!
//! Each skeleton has its own copy of the types that it includes. This module names each type once;
//! execve's copies stand for all.

use anyhow::{Context, Result};

/// A struct whose members `build.rs` has found to be integers that leave no gap in C.
macro_rules! plain {
    ($name:ident, $bytes:literal) => {
        const _: () = assert!(
            size_of::<types::$name>() == $bytes,
            concat!("struct ", stringify!($name), " has padding")
        );
        // SAFETY: its members are integers, and need all of its bytes.
        unsafe impl ::plain::Plain for types::$name {}
    };
}

/// The `task_id` of an object that is not the first.
macro_rules! copied_task_id {
    ($($member:ident),*) => {
        impl From<types::task_id> for $crate::skel::task_id {
            fn from(id: types::task_id) -> Self {
                Self { $($member: id.$member),* }
            }
        }

        impl From<$crate::skel::task_id> for types::task_id {
            fn from(id: $crate::skel::task_id) -> Self {
                Self { $($member: id.$member),* }
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/skeletons.rs"));

/// The object of a skeleton, with CO-RE relocations; `build.rs` implements it.
pub trait Relocated {
    /// The names of the kernel's types that the relocations begin with, without flavours
    const TYPES: &'static [&'static str];
}

/// A record that begins with a `struct task_id id`; `build.rs` implements it.
pub trait Event: plain::Plain + Default {
    /// The `task_id` and the event, from the start of a record.
    fn decode(record: &[u8]) -> Result<(task_id, Self)> {
        Ok((decode(record)?, decode(record)?))
    }
}

/// An event, or its first members, from the start of a record. Copied, because a record of a perf
/// buffer is not aligned; bytes behind it are ignored, because perf pads.
pub fn decode<T: plain::Plain + Default>(record: &[u8]) -> Result<T> {
    let mut event = T::default();
    plain::copy_from_bytes(&mut event, record)
        .ok()
        .with_context(|| format!("a record of only {} bytes", record.len()))?;
    Ok(event)
}

impl task_id {
    /// The process and time of any tool's event, from the start of its record.
    pub fn of(record: &[u8]) -> Result<Self> {
        decode(record)
    }
}
