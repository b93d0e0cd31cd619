//! The settings of all tools in an opened object, before it is loaded.

use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{MapType, OpenMapMut, OpenObject};
use nix::errno::Errno;

use super::Setup;
use crate::engine::backend::{self, is_for_seccomp};
use crate::engine::channel::{Transport, rings};
use crate::engine::refusal::Refused;
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
            // See use_rings().
            Some("event_rings") => leave_out(&mut map)?,
            Some("perf_records") if setup.transport != Transport::Perf => leave_out(&mut map)?,
            // It comes with a header, also where no backend has a job for its programs.
            Some(backend::SECCOMP_MAP) if !plan.iter().any(|name| is_for_seccomp(name)) => {
                leave_out(&mut map)?;
            }
            Some(name) if unused.contains(&name) || setup.filters.is_unused(name) => {
                leave_out(&mut map)?;
            }
            Some(".rodata.common") => {
                let config = config(&mut map)?;
                setup.filters.configure(config)?;
                config.perf = u32::from(setup.transport == Transport::Perf);
                config.wakeup_bytes = wakeup_bytes(setup.buffer_bytes);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts several ring buffers in the place of `events`, if that is wanted, or if this machine is large
/// and lets us. `None`: there is one. To be called when `events` has its size.
pub(super) fn use_rings(
    object: &mut OpenObject,
    setup: &Setup<'_>,
) -> Result<Option<rings::Maps>, Refused> {
    if setup.transport != Transport::Ring {
        return Ok(None);
    }
    let events = object.maps().find(|map| map.name() == "events");
    let bytes = events.map_or(0, |map| map.max_entries());
    let Some(plan) = rings::plan(setup.rings, bytes, setup.buffer_bytes) else { return Ok(None) };
    let rings = match rings::Maps::create(plan) {
        Ok(rings) => rings,
        Err(_) if setup.rings.is_none() => return Ok(None),
        Err(errno) => {
            let (name, kind) = ("event_rings".to_owned(), "array_of_maps".to_owned());
            return Err(Refused::Map { name, kind, errno });
        }
    };
    put(object, &rings).map_err(Refused::other)?;
    Ok(Some(rings))
}

fn put(object: &mut OpenObject, rings: &rings::Maps) -> Result<()> {
    let rings::Plan { count, bytes, scale } = rings.plan;
    for mut map in object.maps_mut() {
        match map.name().to_str() {
            Some("events") => {
                leave_out(&mut map)?;
                map.set_value_size(4)?; // a ring buffer has none, an array must
            }
            Some("event_rings") => map.reuse_fd(rings.outer.as_fd())?,
            Some(".rodata.common") => {
                let config = config(&mut map)?;
                (config.rings, config.ring_scale) = (count, scale);
                config.wakeup_bytes = wakeup_bytes(Some(bytes.into()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The configuration that all programs have in common.
fn config<'a>(map: &'a mut OpenMapMut<'_>) -> Result<&'a mut snoop_config> {
    let bytes = map.initial_value_mut().context("no .rodata.common")?;
    plain::from_mut_bytes(bytes).map_err(|_| anyhow!("struct snoop_config has another size"))
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

/// All maps that will be created, but for maps of maps, which exist already; maps of variables come
/// first, since every program needs them.
pub(super) fn maps(object: &OpenObject) -> Vec<MapPlan> {
    let plan = |map: libbpf_rs::OpenMap<'_>| MapPlan {
        name: map.name().to_string_lossy().into_owned(),
        kind: map.map_type(),
        key_bytes: map.key_size(),
        value_bytes: map.value_size(),
        entries: map.max_entries(),
        flags: map.map_flags(),
    };
    let is_new =
        |map: &libbpf_rs::OpenMap<'_>| map.autocreate() && map.map_type() != MapType::ArrayOfMaps;
    let mut maps: Vec<_> = object.maps().filter(is_new).map(plan).collect();
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
