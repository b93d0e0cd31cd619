//! Maps, set right before loading so that objects load that were made for their own loader,
//! and what of them are event maps.

use std::ptr::NonNull;

use anyhow::{Context, Result};
use libbpf_rs::{AsRawLibbpf, MapType, OpenMapMut, OpenObject};

/// Entries of a map of which the object says nothing: its loader would have chosen.
const ENTRIES: u32 = 10_240;

/// Bytes of a ring buffer of which the object says nothing.
const RING_BYTES: u32 = 4 * 1024 * 1024;

/// Frames of a stack: the kernel's `PERF_MAX_STACK_DEPTH`.
const FRAMES: u32 = 127;

/// A map through which programs send events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMap {
    /// Its name
    pub name: String,
    /// Which
    pub kind: EventMapKind,
}

/// How an event map carries its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventMapKind {
    /// A ring buffer
    Ring,
    /// A perf buffer
    Perf,
    /// A map of ring buffers, each of that many bytes
    Rings {
        /// An array, not a hash
        array: bool,
        /// Of each
        bytes: u32,
    },
}

/// Sets right all maps of an opened object, and returns those that carry events. Leaves out
/// those in `without`, and those of `struct_ops` that `--attach` did not ask for.
pub fn prepare(
    object: &mut OpenObject,
    without: &[String],
    asked: &dyn Fn(&str) -> bool,
) -> Result<Vec<EventMap>> {
    let mut events = Vec::new();
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let unasked = map.map_type() == MapType::StructOps && !asked(&name);
        if unasked || without.contains(&name) {
            map.set_autocreate(false)?; // and libbpf loads no program of a struct_ops map either
            continue;
        }
        unpin(&mut map);
        fix(&mut map).with_context(|| format!("map {name}"))?;
        let kind = match map.map_type() {
            MapType::RingBuf => Some(EventMapKind::Ring),
            MapType::PerfEventArray => Some(EventMapKind::Perf),
            outer @ (MapType::ArrayOfMaps | MapType::HashOfMaps) => match inner(&mut map) {
                Some(mut inner) => {
                    fix(&mut inner).with_context(|| format!("inner map of {name}"))?;
                    let bytes = inner.max_entries();
                    let array = outer == MapType::ArrayOfMaps;
                    (inner.map_type() == MapType::RingBuf)
                        .then_some(EventMapKind::Rings { array, bytes })
                }
                None => None,
            },
            _ => None,
        };
        events.extend(kind.map(|kind| EventMap { name, kind }));
    }
    Ok(events)
}

/// Nothing stays behind in the BPF file system.
fn unpin(map: &mut OpenMapMut<'_>) {
    // SAFETY: the map is open; without a path it is not pinned.
    let _ = unsafe {
        libbpf_sys::bpf_map__set_pin_path(map.as_libbpf_object().as_ptr(), std::ptr::null())
    };
}

/// The template of what a map of maps holds.
fn inner<'a>(map: &'a mut OpenMapMut<'_>) -> Option<OpenMapMut<'a>> {
    // SAFETY: the map is open.
    let inner = unsafe { libbpf_sys::bpf_map__inner_map(map.as_libbpf_object().as_ptr()) };
    let mut inner = NonNull::new(inner)?;
    // SAFETY: it lives as long as the map that is borrowed, and nobody else uses it meanwhile.
    Some(OpenMapMut::new_mut(unsafe { inner.as_mut() }))
}

/// What libbpf refuses, or the kernel would refuse, although it is clear what is meant.
fn fix(map: &mut OpenMapMut<'_>) -> Result<()> {
    let entries = map.max_entries();
    match map.map_type() {
        // A typed value there is only to say what the events are.
        MapType::RingBuf | MapType::UserRingBuf => {
            map.set_key_size(0)?;
            map.set_value_size(0)?;
            if entries == 0 {
                map.set_max_entries(RING_BYTES)?;
            }
        }
        MapType::PerfEventArray => {
            map.set_key_size(4)?;
            map.set_value_size(4)?; // libbpf: one entry for each CPU
        }
        MapType::StackTrace => {
            if map.key_size() == 0 {
                map.set_key_size(4)?;
            }
            if map.value_size() == 0 {
                map.set_value_size(FRAMES * 8)?;
            }
            if entries == 0 {
                map.set_max_entries(ENTRIES)?;
            }
        }
        // One for each CPU, at the most.
        MapType::Cpumap if entries == 0 => {
            map.set_max_entries(u32::try_from(libbpf_rs::num_possible_cpus()?)?)?;
        }
        // The kernel wants none, or libbpf knows how many.
        MapType::CgroupStorage
        | MapType::PercpuCgroupStorage
        | MapType::SkStorage
        | MapType::InodeStorage
        | MapType::TaskStorage
        | MapType::CGrpStorage
        | MapType::StructOps => {}
        _ if entries == 0 => map.set_max_entries(ENTRIES)?,
        _ => {}
    }
    Ok(())
}
