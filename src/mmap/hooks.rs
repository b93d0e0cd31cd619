//! Which programs of `mmap.bpf.c` serve which flags.

use anyhow::{Context, Result};

use libbpf_rs::MapType;

use super::summary::ENTRIES;
use crate::attach::Backend;
use crate::skel::mmap::OpenMmapMaps;

/// Threads inside mmap() at once, for `--latency`.
const ENTERED: u32 = 10_240;

/// The ring buffer's size: 40 ms of three million calls a second, which is what a reader that
/// has to wait for its CPU may be late.
const RING_BYTES: u32 = 16 * 1024 * 1024;

/// What the flags ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// All calls that change mappings
    pub all: bool,
    /// mmap() and mprotect() that make memory writable and executable
    pub wx: bool,
    /// The resulting mapping
    pub vma: bool,
    /// The duration
    pub latency: bool,
    /// The file, where a call does not say it: that of the mapping
    pub file: bool,
    /// Not every call: so a run that the kernel skipped need not have been one to show
    pub filtered: bool,
}

/// The ways into the kernel, best first.
pub fn backends(wanted: Wanted) -> Vec<Backend> {
    // --wx can do without the mapping, if need be, and then shows more than it must.
    let vmas: &[bool] = match wanted {
        Wanted { vma: true, .. } => &[true],
        // Without them, --path leaves mprotect() out.
        Wanted { wx: true, .. } | Wanted { all: true, file: true, .. } => &[true, false],
        _ => &[false],
    };
    let ways = [fexit as fn(Wanted, bool) -> Backend, tracepoint, tp_btf];
    let backend = move |way: fn(Wanted, bool) -> Backend, vma| {
        let mut backend = way(wanted, vma);
        if wanted.filtered {
            backend.broad = [&backend.programs[..], &backend.optional[..]].concat();
        }
        backend
    };
    let each = |way| vmas.iter().map(move |&vma| backend(way, vma));
    ways.into_iter().flat_map(each).collect()
}

/// One of two programs: the second one looks up the mapping too.
fn pick(vma: bool, plain: &'static str, with_vma: &'static str) -> &'static str {
    if vma { with_vma } else { plain }
}

/// Programs that say themselves what they concern look for a mapping only to show it.
fn shows(wanted: Wanted, vma: bool) -> bool {
    vma && (wanted.vma || wanted.wx)
}

fn fexit(wanted: Wanted, found: bool) -> Backend {
    let vma = shows(wanted, found);
    let mut programs = vec![pick(vma, "fexit_mmap", "fexit_mmap_vma")];
    let mut optional = vec![
        pick(vma, "fexit32_mmap", "fexit32_mmap_vma"),
        pick(vma, "fexit32_old_mmap", "fexit32_old_mmap_vma"),
    ];
    if wanted.all || wanted.wx {
        programs.push(pick(found, "fexit_mprotect", "fexit_mprotect_vma"));
        programs.push(pick(found, "fexit_pkey", "fexit_pkey_vma"));
        optional.push(pick(found, "fexit32_mprotect", "fexit32_mprotect_vma"));
    }
    if wanted.all {
        programs.extend(["fexit_munmap", "fexit_brk", "fexit_madvise"]);
        programs.push(pick(vma, "fexit_mremap", "fexit_mremap_vma"));
        optional.extend(["fexit32_munmap", "fexit32_brk", "fexit32_madvise", "fexit32_mremap"]);
    }
    if wanted.latency {
        programs.push("fentry_mmap");
        optional.extend(["fentry32_mmap", "fentry32_old_mmap"]);
    }
    Backend {
        name: "fexit",
        programs,
        optional,
        without_optional: "such calls of 32-bit programs are not seen",
        ..Backend::default()
    }
}

fn tracepoint(wanted: Wanted, found: bool) -> Backend {
    let vma = shows(wanted, found);
    let mut programs = vec![pick(vma, "tp_mmap", "tp_mmap_vma")];
    if wanted.all || wanted.wx {
        programs.push(pick(found, "tp_mprotect", "tp_mprotect_vma"));
        programs.push(pick(found, "tp_pkey", "tp_pkey_vma"));
    }
    if wanted.all {
        programs.extend(["tp_munmap", "tp_brk", "tp_madvise"]);
        programs.push(pick(vma, "tp_mremap", "tp_mremap_vma"));
    }
    if wanted.latency {
        programs.push("tp_enter_mmap");
    }
    Backend { name: "tracepoint", programs, ..Backend::default() }
}

fn tp_btf(wanted: Wanted, vma: bool) -> Backend {
    let mut programs = vec![pick(vma, "btf_sys_exit", "btf_sys_exit_vma")];
    if wanted.latency {
        programs.push("btf_sys_enter");
    }
    Backend { name: "tp_btf", broad: programs.clone(), programs, ..Backend::default() }
}

/// Gives the maps that these flags need their room. `buffer`: `--buffer-size` was given.
pub fn size_maps(
    maps: &mut OpenMmapMaps<'_>,
    buffer: bool,
    latency: bool,
    summary: bool,
) -> Result<()> {
    if !buffer && maps.events.map_type() == MapType::RingBuf {
        maps.events.set_max_entries(RING_BYTES).context("size events")?;
    }
    if summary {
        maps.mmap_processes.set_max_entries(ENTRIES).context("size mmap_processes")?;
        maps.mmap_files.set_max_entries(ENTRIES).context("size mmap_files")?;
    }
    if latency {
        maps.mmap_entered.set_max_entries(ENTERED).context("size mmap_entered")?;
    }
    // A perf record is put together in the slot of its program.
    let slots = maps.mmap_scratch.max_entries();
    maps.perf_records.set_max_entries(slots).context("size perf_records")
}
