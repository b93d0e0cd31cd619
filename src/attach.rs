//! Backends: the ways into the kernel that a tool knows, best first. Which one works is
//! found out by loading and attaching it for real, never by version numbers: BTF may
//! be there and fentry refused, a kprobe may load and not attach.

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{
    Link, MapCore, MapFlags, Object, OpenMapMut, OpenObject, PrintLevel, ProgramImpl, set_print,
};

use crate::channel::{Channel, Transport};
use crate::filter::{Filters, TREE_PROGRAMS};
use crate::skel::{snoop_config, snoop_counters};
use crate::trampoline;

/// One way into the kernel.
#[derive(Clone, Debug, Default)]
pub struct Backend {
    /// For `--backend`, `-v` and the JSON start record
    pub name: &'static str,
    /// Programs that must load and attach
    pub programs: Vec<&'static str>,
    /// Programs that add something where the kernel has their hook; each may be missing
    pub optional: Vec<&'static str>,
    /// Programs that must load, and that the tool itself attaches when it needs them, such as
    /// iterators
    pub iterators: Vec<&'static str>,
    /// Those of the programs that also run for much that is no event
    pub broad: Vec<&'static str>,
    /// Said with `-v` when an optional program had to be left out
    pub without_optional: &'static str,
}

/// What is set before loading, the same for each backend that is tried.
pub struct Setup<'a> {
    /// See [`Filters`]
    pub filters: &'a Filters,
    /// See [`Transport`]
    pub transport: Transport,
    /// `--buffer-size`
    pub buffer_bytes: Option<u64>,
    /// `-v`
    pub verbose: bool,
}

/// Why a backend was not used.
#[derive(Debug)]
pub struct Refusal {
    /// The backend
    pub backend: &'static str,
    /// What failed, with its cause
    pub error: anyhow::Error,
}

/// A backend at work. Dropping it detaches and unloads everything.
pub struct Attached<S> {
    /// Which
    pub backend: &'static str,
    /// The better ones that were refused
    pub refused: Vec<Refusal>,
    /// The reading end of its buffer
    pub channel: Channel,
    /// The loaded object
    pub skeleton: S,
    broad: Vec<&'static str>,
    /// See [`crate::tool::Tool::uncounted`]
    pub(crate) uncounted: Vec<&'static str>,
    links: Vec<Link>,
}

/// Runs of our programs that the kernel skipped: see [`Attached::skipped`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Skipped {
    /// By programs that run for nothing but events: so many were lost
    pub events: u64,
    /// By programs that run for much else too ([`Backend::broad`]): any may have been one
    pub perhaps_events: u64,
}

/// What libbpf said since the last [`take_libbpf_words`].
static LIBBPF_WORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep_libbpf_words(_: PrintLevel, text: String) {
    LIBBPF_WORDS.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

fn take_libbpf_words() -> String {
    std::mem::take(&mut *LIBBPF_WORDS.lock().unwrap_or_else(PoisonError::into_inner)).concat()
}

/// The loaded object of a skeleton.
type Loaded<B> = <<B as SkelBuilder<'static>>::Output as OpenSkel<'static>>::Output;

/// The first of `backends` that loads and attaches. Before loading, `configure` sets the
/// tool's own constants; before attaching, `fill` its maps. The error tells what each of
/// them met.
pub fn attach_first<B: SkelBuilder<'static> + Default>(
    backends: &[Backend],
    setup: &Setup<'_>,
    configure: &dyn Fn(&mut B::Output) -> Result<()>,
    fill: &dyn Fn(&Loaded<B>) -> Result<()>,
    say: &dyn Fn(&str),
) -> Result<Attached<Loaded<B>>, Vec<Refusal>> {
    set_print(Some((PrintLevel::Info, keep_libbpf_words)));
    let mut refused = Vec::new();
    for backend in backends {
        let mut optional = backend.optional.clone();
        loop {
            let programs: Vec<_> = backend.programs.iter().chain(&optional).copied().collect();
            match attach::<B>(&programs, &backend.iterators, setup, configure, fill) {
                Ok((skeleton, channel, links)) => {
                    let missing = |name: &&&str| !optional.contains(name);
                    for name in backend.optional.iter().filter(missing) {
                        let lack = backend.without_optional;
                        say(&format!("backend {}: without {name}: {lack}", backend.name));
                    }
                    return Ok(Attached {
                        backend: backend.name,
                        refused,
                        channel,
                        skeleton,
                        broad: backend.broad.clone(),
                        uncounted: Vec::new(),
                        links,
                    });
                }
                Err(error) => {
                    let words = take_libbpf_words();
                    if setup.verbose {
                        words.lines().filter(|line| !is_misleading(line)).for_each(say);
                    }
                    let error = with_libbpf_reason(error, &words);
                    say(&format!("backend {}: refused: {error:#}", backend.name));
                    // Once more without the optional programs that are to blame.
                    let before = optional.len();
                    optional.retain(|name| !words.contains(&format!("'{name}'")));
                    if optional.len() < before {
                        continue;
                    }
                    refused.push(Refusal { backend: backend.name, error });
                    break;
                }
            }
        }
    }
    Err(refused)
}

/// libbpf guesses at a memory limit whenever root is refused something.
pub(crate) fn is_misleading(line: &str) -> bool {
    line.contains("ulimit -l")
}

/// Adds the line in which libbpf named the program or map that failed.
fn with_libbpf_reason(error: anyhow::Error, words: &str) -> anyhow::Error {
    let reason = words
        .lines()
        .filter_map(|line| line.strip_prefix("libbpf: "))
        .find(|line| line.contains("failed to") && !line.contains("BPF program load failed"))
        .or_else(|| words.lines().find_map(|line| line.strip_prefix("libbpf: ")));
    match reason {
        Some(reason) => error.context(reason.trim().to_owned()),
        None => error,
    }
}

fn attach<B: SkelBuilder<'static> + Default>(
    programs: &[&str],
    iterators: &[&str],
    setup: &Setup<'_>,
    configure: &dyn Fn(&mut B::Output) -> Result<()>,
    fill: &dyn Fn(&Loaded<B>) -> Result<()>,
) -> Result<(Loaded<B>, Channel, Vec<Link>)> {
    let tree: &[&str] = if setup.filters.follows_tree() { &TREE_PROGRAMS } else { &[] };
    let wanted = |name: &str| [programs, iterators, tree].iter().any(|all| all.contains(&name));

    // A few bytes that stay until the end; the object itself is freed with the skeleton.
    let storage: &'static mut MaybeUninit<OpenObject> = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut open = B::default().open(storage).context("open the BPF object")?;
    let object = open.open_object();
    if let Some(function) = programs.iter().find_map(|name| trampoline::function_of(object, name)) {
        trampoline::try_on(&function).with_context(|| format!("a program on {function}()"))?;
    }
    prepare(open.open_object_mut(), setup, &wanted)?;
    configure(&mut open)?;
    let skeleton = open.load().context("load")?;

    fill(&skeleton)?;
    let object = skeleton.object();
    setup.filters.fill_maps(object)?;
    // Before anything happens: a perf buffer takes nothing until it is open.
    let events = object.maps().find(|map| map.name() == "events").context("no map 'events'")?;
    let channel = Channel::open(setup.transport, &events, setup.buffer_bytes)?;
    // Forks first: what the tree's processes do must not be missed.
    let mut links = Vec::new();
    for name in tree.iter().chain(programs) {
        let program = object.progs_mut().find(|program| program.name() == *name);
        if program.is_none() && tree.contains(name) {
            continue; // the tool's own programs do that
        }
        let program = program.with_context(|| format!("no program {name}"))?;
        let link = program.attach().with_context(|| format!("attach {name}"))?;
        links.push(link);
    }
    setup.filters.add_descendants(object)?;
    Ok((skeleton, channel, links))
}

/// Sets what all tools have in common in an opened object.
fn prepare(
    object: &mut OpenObject,
    setup: &Setup<'_>,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<()> {
    for mut program in object.progs_mut() {
        let load = program.name().to_str().is_some_and(wanted);
        program.set_autoload(load);
    }
    setup.filters.size_maps(object)?;
    for mut map in object.maps_mut() {
        match map.name().to_str() {
            Some("events") => setup.transport.prepare(&mut map, setup.buffer_bytes)?,
            Some("perf_records") if setup.transport != Transport::Perf => leave_out(&mut map)?,
            Some(".rodata.common") => {
                let bytes = map.initial_value_mut().context("no .rodata.common")?;
                let config: &mut snoop_config = plain::from_mut_bytes(bytes)
                    .map_err(|_| anyhow!("struct snoop_config has another size"))?;
                setup.filters.configure(config);
                config.perf = u32::from(setup.transport == Transport::Perf);
                config.wakeup_bytes = wakeup_bytes(setup.buffer_bytes);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Does not create a map, if libbpf can: before 1.4 (some distributions' own) a map that was
/// not created has no descriptor, and skeletons want one for each.
fn leave_out(map: &mut OpenMapMut<'_>) -> Result<()> {
    // SAFETY: it returns a constant.
    let major = unsafe { libbpf_sys::libbpf_major_version() };
    // SAFETY: it returns a constant.
    let minor = unsafe { libbpf_sys::libbpf_minor_version() };
    if (major, minor) >= (1, 4) {
        map.set_autocreate(false)?;
    }
    Ok(())
}

/// Unread bytes at which the reader is woken before its next look: 64 KiB, or less where
/// the whole buffer is small.
fn wakeup_bytes(buffer_bytes: Option<u64>) -> u32 {
    let quarter = buffer_bytes.map_or(u64::MAX, |bytes| bytes / 4);
    quarter.min(64 * 1024) as u32
}

/// How often the kernel skipped this program because another instance of it was still running
/// on that CPU; 0 where it does not tell.
pub fn recursion_misses<T>(program: &ProgramImpl<'_, T>) -> u64 {
    use std::os::fd::{AsFd, AsRawFd};
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `len` bytes of plain integers.
    let err = unsafe {
        // (The function for programs alone came with libbpf 1.2.)
        libbpf_sys::bpf_obj_get_info_by_fd(
            program.as_fd().as_raw_fd(),
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    if err == 0 { info.recursion_misses } else { 0 }
}

impl<S: Skel<'static>> Attached<S> {
    /// The loaded object.
    pub fn object(&self) -> &Object {
        self.skeleton.object()
    }

    /// Detaches all programs: from here on nothing new happens.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// What the programs counted so far.
    pub fn counters(&self) -> Result<snoop_counters> {
        let map = self.object().maps().find(|map| map.name() == ".data.common");
        let map = map.context("no .data.common")?;
        let bytes = map
            .lookup(&0u32.to_ne_bytes(), MapFlags::ANY)
            .context("read the counters")?
            .context("no counters")?;
        let mut counters = snoop_counters::default();
        plain::copy_from_bytes(&mut counters, &bytes)
            .map_err(|_| anyhow!("struct snoop_counters has another size"))?;
        Ok(counters)
    }

    /// How often the kernel skipped one of our programs because another instance of it was
    /// still running on that CPU. Kernels before 5.12 do not tell (and mostly do not skip).
    pub fn skipped(&self) -> Skipped {
        let mut skipped = Skipped::default();
        for program in self.object().progs() {
            let follows_tree = program.name().to_str().is_some_and(|n| TREE_PROGRAMS.contains(&n));
            let uncounted = self.uncounted.iter().any(|name| program.name() == *name);
            if !program.autoload() || follows_tree || uncounted {
                continue;
            }
            let misses = recursion_misses(&program);
            if self.broad.iter().any(|name| program.name() == *name) {
                skipped.perhaps_events += misses;
            } else {
                skipped.events += misses;
            }
        }
        skipped
    }
}
