//! Where tracefs is.

use std::path::{Path, PathBuf};

/// Where it is mounted by custom: by itself, or below debugfs.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The folder of all tracepoints, if tracefs is mounted.
pub fn events_folder() -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join("events")).find(|events| events.is_dir())
}
