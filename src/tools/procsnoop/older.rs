//! What the programs and /proc know of processes that are older than the tool, from one to the
//! other.

use std::io::Read as _;

use anyhow::{Context, Result};
use libbpf_rs::{ErrorKind, Iter, MapCore as _, MapFlags};

use super::elders::{Chosen, Ids};
use crate::host::proc::{NS_PER_TICK, first_ns};
use crate::skel::bootstrap::BootstrapSkel;
use crate::skel::{decode, process_ids, process_told, told_state};

/// Which id in /proc is which id in events, for a PID namespace; `None` if the kernel refuses the
/// program that knows.
///
/// # Errors
///
/// The program could not be run.
pub fn ids(object: &BootstrapSkel<'_>) -> Result<Option<Ids>> {
    let program = &object.progs.older;
    if !program.autoload() {
        return Ok(None);
    }
    let mut records = Vec::new();
    Iter::new(&program.attach()?)?.read_to_end(&mut records)?;
    let records = records.chunks_exact(size_of::<process_ids>());
    let ids = records.map(|record| decode(record).map(|ids: process_ids| (ids.pid_here, ids.pid)));
    Ok(Some(ids.collect::<Result<_>>()?))
}

/// Tells the programs of older processes that passed the filters when tracing began. `state`:
/// whether they are drawn. Returns for how many there was no room.
///
/// # Errors
///
/// The map could not be written.
pub fn remember(object: &BootstrapSkel<'_>, older: &[Chosen], state: told_state) -> Result<u64> {
    let mut left_out = 0;
    for chosen in older {
        let told = process_told {
            start_ns: first_ns(chosen.born_ticks),
            within_ns: NS_PER_TICK as u32 - 1,
            state,
        };
        // SAFETY: plain integers without padding.
        let bytes = unsafe { plain::as_bytes(&told) };
        // What the programs have meanwhile seen of it is newer.
        match object.maps.filter_told.update(&chosen.pid.to_ne_bytes(), bytes, MapFlags::NO_EXIST) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::TooBig => left_out += 1,
            Err(error) => return Err(error).context("set filter_told"),
        }
    }
    Ok(left_out)
}
