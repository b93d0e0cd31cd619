//! Which programs of `mmap.bpf.c` serve which flags.

use anyhow::{Context, Result};

use libbpf_rs::MapType;

use super::summary::ENTRIES;
use crate::engine::attach::leave_out;
use crate::engine::backend::{Backend, Job, refused_by_seccomp, refused_by_seccomp_as};
use crate::skel::mmap::OpenMmapMaps;

/// Threads inside mmap() at once, for `--latency`.
const ENTERED: u32 = 10_240;

/// The ring buffer's size: 40 ms of three million calls a second, enough for a reader that has to
/// wait for its CPU.
const RING_BYTES: u32 = 16 * 1024 * 1024;

/// The parts that the flags ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// All calls that change mappings
    pub all: bool,
    /// Calls that make memory writable and executable
    pub wx: bool,
    /// The resulting mapping
    pub vma: bool,
    /// The duration
    pub latency: bool,
    /// The file of the mapping, for calls that do not name a file
    pub file: bool,
    /// Not every call is shown, so a skipped run is not necessarily a lost event
    pub filtered: bool,
}

/// Calls that only some of the ways see.
const CALLS_32: &str = "calls of 32-bit programs";

/// The ways into the kernel, best first.
pub fn backends(wanted: Wanted) -> Vec<Backend> {
    let ways = [fexit(wanted), tracepoint(wanted).without_32_bit(CALLS_32), tp_btf(wanted)];
    ways.map(|mut backend| {
        for job in &mut backend.jobs {
            job.is_broad |= wanted.filtered;
        }
        backend
    })
    .into()
}

/// The programs for a call whose mapping may be looked up, best first: with the kernel's help, by
/// themselves, and not at all. The second three are for `--wx`.
#[derive(Clone, Copy)]
struct Ways {
    usual: [&'static str; 3],
    wx: [&'static str; 3],
}

macro_rules! ways {
    ($name:literal) => {
        Ways {
            usual: [concat!($name, "_vma"), concat!($name, "_list"), $name],
            wx: [concat!($name, "_wx_vma"), concat!($name, "_wx_list"), concat!($name, "_wx")],
        }
    };
}

/// The programs of the backend `tracepoint` that [`ways!`] would name. With `--wx` one program serves
/// all calls.
macro_rules! tracepoint_ways {
    ($name:literal) => {
        Ways { wx: ways!("tp").wx, ..ways!($name) }
    };
}

impl Wanted {
    /// A job for a program that looks up the mapping or, if the kernel refuses it, for one that
    /// does not.
    fn with_vma(self, job: fn(&'static str) -> Job, ways: Ways) -> Job {
        let [vma, list, plain] = if self.wx { ways.wx } else { ways.usual };
        let job = job(vma).or(list);
        if self.vma {
            return job.or_without(plain, "the mapping that a call made");
        }
        // Without the mapping, --wx shows more than it should, and --path leaves mprotect() out.
        if self.wx { job.or(plain) } else { job.or_without(plain, "mprotect() by the file's path") }
    }

    /// A call whose arguments are enough: the mapping is looked up only to be shown.
    fn call(self, job: fn(&'static str) -> Job, ways: Ways) -> Job {
        if self.vma || self.wx { self.with_vma(job, ways) } else { job(ways.usual[2]) }
    }

    /// A call whose file is known only from the mapping.
    fn protection(self, job: fn(&'static str) -> Job, ways: Ways) -> Job {
        let is_asked = self.vma || self.wx || (self.all && self.file);
        if is_asked { self.with_vma(job, ways) } else { job(ways.usual[2]) }
    }

    /// brk(), whose mapping only `--wx` asks for.
    fn brk(self, job: fn(&'static str) -> Job, ways: Ways) -> Job {
        if self.wx { self.with_vma(job, ways) } else { job(ways.usual[2]) }
    }

    /// Whether calls are shown that make nothing executable: `--wx` shows none of them.
    fn harmless(self) -> bool {
        self.all && !self.wx
    }

    fn refused_by_seccomp(self) -> [Job; 2] {
        if !self.wx {
            return refused_by_seccomp();
        }
        refused_by_seccomp_as([
            "seccomp_wx_refused",
            "seccomp_wx_refused_behind_argument",
            "seccomp_wx_killed",
        ])
    }
}

/// Calls of 32-bit programs.
fn compat(program: &'static str) -> Job {
    Job::adds(program, CALLS_32).if_there()
}

/// Needed for the duration.
fn enter(program: &'static str) -> Job {
    Job::adds(program, "latency").with_map("mmap_entered")
}

fn mprotect(program: &'static str) -> Job {
    Job::adds(program, "mprotect()")
}

fn pkey(program: &'static str) -> Job {
    Job::adds(program, "pkey_mprotect()").if_there()
}

fn munmap(program: &'static str) -> Job {
    Job::adds(program, "munmap()")
}

fn brk(program: &'static str) -> Job {
    Job::adds(program, "brk()")
}

fn madvise(program: &'static str) -> Job {
    Job::adds(program, "madvise()")
}

fn mremap(program: &'static str) -> Job {
    Job::adds(program, "mremap()")
}

fn shmat(program: &'static str) -> Job {
    Job::adds(program, "shmat()").if_there()
}

fn fexit(wanted: Wanted) -> Backend {
    let mut jobs = vec![
        wanted.call(Job::main, ways!("fexit_mmap")),
        wanted.call(compat, ways!("fexit32_mmap")),
        wanted.call(compat, ways!("fexit32_old_mmap")),
    ];
    if wanted.all || wanted.wx {
        jobs.push(wanted.protection(mprotect, ways!("fexit_mprotect")));
        jobs.push(wanted.protection(pkey, ways!("fexit_pkey")));
        jobs.push(wanted.protection(compat, ways!("fexit32_mprotect")));
        jobs.push(wanted.brk(brk, ways!("fexit_brk")));
        jobs.push(wanted.brk(compat, ways!("fexit32_brk")));
    }
    if wanted.wx {
        jobs.push(wanted.call(shmat, ways!("fexit_shmat")));
    }
    if wanted.harmless() {
        jobs.extend([munmap("fexit_munmap"), madvise("fexit_madvise")]);
        jobs.push(wanted.call(mremap, ways!("fexit_mremap")));
        let others = ["fexit32_munmap", "fexit32_madvise", "fexit32_mremap"];
        jobs.extend(others.map(compat));
    }
    if wanted.latency {
        jobs.push(enter("fentry_mmap"));
        jobs.extend(
            ["fentry32_mmap", "fentry32_old_mmap"].map(|program| enter(program).if_there()),
        );
    }
    jobs.extend(wanted.refused_by_seccomp());
    Backend::new("fexit", jobs)
}

fn tracepoint(wanted: Wanted) -> Backend {
    let mut jobs = vec![wanted.call(Job::main, tracepoint_ways!("tp_mmap"))];
    if wanted.all || wanted.wx {
        let others = [
            wanted
                .protection(mprotect, tracepoint_ways!("tp_mprotect"))
                .at("syscalls/sys_exit_mprotect"),
            wanted
                .protection(pkey, tracepoint_ways!("tp_pkey"))
                .at("syscalls/sys_exit_pkey_mprotect"),
            wanted.brk(brk, tracepoint_ways!("tp_brk")).at("syscalls/sys_exit_brk"),
        ];
        jobs.extend(others);
    }
    if wanted.wx {
        jobs.push(wanted.call(shmat, tracepoint_ways!("tp")).at("syscalls/sys_exit_shmat"));
    }
    if wanted.harmless() {
        jobs.extend([munmap("tp_munmap"), madvise("tp_madvise")]);
        jobs.push(wanted.call(mremap, ways!("tp_mremap")));
    }
    if wanted.latency {
        jobs.push(enter("tp_enter_mmap"));
    }
    Backend::new("tracepoint", jobs)
}

fn tp_btf(wanted: Wanted) -> Backend {
    let mut jobs = vec![wanted.protection(Job::main, ways!("btf_sys_exit")).broad()];
    if wanted.latency {
        jobs.push(enter("btf_sys_enter").broad());
    }
    Backend::new("tp_btf", jobs)
}

/// Sizes the maps that these flags need. `buffer`: `--buffer-size` was given.
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
    } else {
        leave_out(&mut maps.mmap_processes)?;
        leave_out(&mut maps.mmap_files)?;
    }
    if !latency {
        leave_out(&mut maps.mmap_entered)?;
    } else if maps.mmap_entered.map_type() == MapType::LruHash {
        maps.mmap_entered.set_max_entries(ENTERED).context("size mmap_entered")?;
    }
    Ok(())
}
