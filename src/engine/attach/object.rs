//! The settings of all tools in an opened object, before it is loaded.

use std::os::fd::{FromRawFd as _, OwnedFd};

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{MapType, OpenMapImpl, OpenMapMut, OpenObject};
use nix::errno::Errno;

use super::Setup;
use crate::engine::backend::{self, is_for_seccomp};
use crate::engine::channel::Transport;
use crate::skel::snoop_config;

/// Sets what all tools have in common. `plan`: the programs to load; `unused`: maps for others.
pub(super) fn prepare(
    object: &mut OpenObject,
    setup: &Setup<'_>,
    plan: &[&str],
    unused: &[&str],
) -> Result<()> {
    for mut program in object.progs_mut() {
        let load = program.name().to_str().is_some_and(|name| plan.contains(&name));
        program.set_autoload(load);
    }
    setup.filters.size_maps(object)?;
    for mut map in object.maps_mut() {
        match map.name().to_str() {
            Some("events") => setup.transport.prepare(&mut map, setup.buffer_bytes)?,
            Some("perf_records") if setup.transport != Transport::Perf => leave_out(&mut map)?,
            // It comes with a header, also where no backend has a job for its programs.
            Some(backend::SECCOMP_MAP) if !plan.iter().any(|name| is_for_seccomp(name)) => {
                leave_out(&mut map)?;
            }
            Some(name) if unused.contains(&name) || setup.filters.is_unused(name) => {
                leave_out(&mut map)?;
            }
            Some(".rodata.common") => {
                let bytes = map.initial_value_mut().context("no .rodata.common")?;
                let config: &mut snoop_config = plain::from_mut_bytes(bytes)
                    .map_err(|_| anyhow!("struct snoop_config has another size"))?;
                setup.filters.configure(config)?;
                config.perf = u32::from(setup.transport == Transport::Perf);
                config.wakeup_bytes = wakeup_bytes(setup.buffer_bytes);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Turns a map that is not needed into the plainest one: the kernel may refuse the original type.
/// The code still names the map, so it must exist; the size of a value is the one that the code
/// expects.
///
/// # Errors
///
/// libbpf's, if the object is loaded already.
pub fn leave_out(map: &mut OpenMapMut<'_>) -> Result<()> {
    map.set_type(MapType::Array)?;
    map.set_map_flags(0)?;
    map.set_key_size(4)?;
    map.set_max_entries(1)?;
    Ok(())
}

/// Unread bytes that wake the reader before its next look: 64 KiB, or less if the whole buffer is
/// small.
fn wakeup_bytes(buffer_bytes: Option<u64>) -> u32 {
    let quarter = buffer_bytes.map_or(u64::MAX, |bytes| bytes / 4);
    quarter.min(64 * 1024) as u32
}

/// The properties of a map, to create it once more.
pub(super) struct MapPlan {
    pub(super) name: String,
    pub(super) kind: MapType,
    pub(super) key_bytes: u32,
    pub(super) value_bytes: u32,
    pub(super) entries: u32,
    pub(super) flags: u32,
}

/// All maps that will be created; maps of variables come first, since every program needs them.
pub(super) fn maps(object: &OpenObject) -> Vec<MapPlan> {
    let plan = |map: libbpf_rs::OpenMap<'_>| MapPlan {
        name: map.name().to_string_lossy().into_owned(),
        kind: map.map_type(),
        key_bytes: map.key_size(),
        value_bytes: map.value_size(),
        entries: map.max_entries(),
        flags: map.map_flags(),
    };
    let mut maps: Vec<_> = object.maps().filter(OpenMapImpl::autocreate).map(plan).collect();
    maps.sort_by_key(|map| !map.name.contains('.'));
    maps
}

impl MapPlan {
    /// Creates it, apart from any object.
    pub(super) fn create(&self) -> Result<OwnedFd, Errno> {
        let entries = match self.kind {
            // libbpf: one for each CPU
            MapType::PerfEventArray if self.entries == 0 => {
                libbpf_rs::num_possible_cpus().unwrap_or(1)
            }
            _ => self.entries as usize,
        };
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            map_flags: self.flags,
            ..libbpf_sys::bpf_map_create_opts::default()
        };
        // SAFETY: the options live, and the map has no name.
        let fd = unsafe {
            libbpf_sys::bpf_map_create(
                self.kind as u32,
                std::ptr::null(),
                self.key_bytes,
                self.value_bytes,
                entries as u32,
                &raw const options,
            )
        };
        if fd < 0 {
            return Err(Errno::from_raw(-fd));
        }
        // SAFETY: nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
