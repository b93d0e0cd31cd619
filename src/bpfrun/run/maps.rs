//! Completes maps before loading, so that objects made for their own loader load; and finds the
//! event maps.

use std::os::fd::AsFd as _;
use std::ptr::NonNull;

use anyhow::{Context, Result};
use libbpf_rs::{AsRawLibbpf, MapHandle, MapType, OpenMap, OpenMapMut, OpenObject};

/// Entries of a map if the object leaves the number to its loader.
const ENTRIES: u32 = 10_240;

/// Bytes of a ring buffer if the object leaves the size to its loader.
const RING_BYTES: u32 = 4 * 1024 * 1024;

/// Frames of a stack: the kernel's `PERF_MAX_STACK_DEPTH`.
const FRAMES: u32 = 127;

/// A map through which programs send events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMap {
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

/// Completes all maps of an opened object, and returns the event maps. Leaves out the maps in
/// `without`, and `struct_ops` maps that `--attach` does not name. Also returns templates, which
/// must live until the object is loaded.
pub fn prepare(
    object: &mut OpenObject,
    without: &[String],
    asked: &dyn Fn(&str) -> bool,
) -> Result<(Vec<EventMap>, Vec<MapHandle>)> {
    let mut events = Vec::new();
    let mut templates = Vec::new();
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
            outer @ (MapType::ArrayOfMaps | MapType::HashOfMaps) => {
                let inner = prepare_inner(&mut map, &mut templates);
                let inner = inner.with_context(|| format!("inner map of {name}"))?;
                inner.filter(|(kind, _)| *kind == MapType::RingBuf).map(|(_, bytes)| {
                    EventMapKind::Rings { array: outer == MapType::ArrayOfMaps, bytes }
                })
            }
            _ => None,
        };
        events.extend(kind.map(|kind| EventMap { name, kind }));
    }
    Ok((events, templates))
}

/// Nothing stays behind in the BPF file system.
fn unpin(map: &mut OpenMapMut<'_>) {
    // SAFETY: the map is open; without a path it is not pinned.
    let _ = unsafe {
        libbpf_sys::bpf_map__set_pin_path(map.as_libbpf_object().as_ptr(), std::ptr::null())
    };
}

/// The type and the number of entries of the maps in a map of maps. If the kernel would refuse
/// libbpf's template, one in `templates` replaces it, to be kept until the object is loaded.
fn prepare_inner(
    map: &mut OpenMapMut<'_>,
    templates: &mut Vec<MapHandle>,
) -> Result<Option<(MapType, u32)>> {
    // SAFETY: the map is open.
    let inner = unsafe { libbpf_sys::bpf_map__inner_map(map.as_libbpf_object().as_ptr()) };
    let Some(inner) = NonNull::new(inner) else { return Ok(None) };
    // SAFETY: it lives as long as the map that is borrowed. It is only read: libbpf's setters
    // do not work with inner maps.
    let inner = OpenMap::new(unsafe { inner.as_ref() });
    let (kind, entries, flags) = (inner.map_type(), inner.max_entries(), inner.map_flags());
    let (key, value) = (inner.key_size(), inner.value_size());
    let ring = kind == MapType::RingBuf;
    let wrong = if ring { key + value > 0 || entries == 0 } else { entries == 0 };
    if !wrong {
        return Ok(Some((kind, entries)));
    }
    let (key, value) = if ring { (0, 0) } else { (key, value) };
    let default = if ring { RING_BYTES } else { ENTRIES };
    let entries = if entries == 0 { default } else { entries };
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        map_flags: flags,
        ..Default::default()
    };
    let template = MapHandle::create(kind, Some("bpfrun"), key, value, entries, &options)?;
    map.set_inner_map_fd(template.as_fd())?;
    templates.push(template);
    Ok(Some((kind, entries)))
}

/// Corrects settings that libbpf or the kernel would refuse, although their meaning is clear.
fn fix(map: &mut OpenMapMut<'_>) -> Result<()> {
    let entries = map.max_entries();
    match map.map_type() {
        // A typed value only describes the events.
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
        // At most one for each CPU.
        MapType::Cpumap if entries == 0 => {
            map.set_max_entries(u32::try_from(libbpf_rs::num_possible_cpus()?)?)?;
        }
        // The kernel wants 0 entries, or libbpf knows the number.
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
