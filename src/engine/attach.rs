//! From the backends that a tool declares to the one that works. To find it, each is really loaded
//! and attached; version numbers decide nothing: BTF may be present and fentry refused, a kprobe
//! may load and not attach. A refused program is left out, and the rest goes on.

mod kernel_types;
pub(crate) mod kind;
mod memory;
mod object;
mod opener;
mod plan;
mod progress;
pub(crate) mod variables;
pub(crate) mod verifier;

use std::fmt;

use anyhow::{Context, Result, anyhow};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Iter, Link, MapCore, MapFlags, Object, ProgramImpl, ProgramMut};
use nix::errno::Errno;

use crate::engine::backend::{Backend, Job};
use crate::engine::channel::rings;
use crate::engine::channel::{Channel, Transport};
use crate::engine::filter::Filters;
use crate::engine::refusal::Refused;
use crate::host::{errno, tracepoint};
use crate::skel::{Relocated, snoop_counters};

use kernel_types::KernelTypes;
use memory::Memory;
pub use object::leave_out;
use opener::Opener;
use plan::{check_names, has, of_this_architecture, plan, unused_maps};

/// Settings before loading, the same for each backend.
pub struct Setup<'a> {
    /// See [`Filters`]
    pub filters: &'a Filters,
    /// See [`Transport`]
    pub transport: Transport,
    /// `--buffer-size`
    pub buffer_bytes: Option<u64>,
    /// `--rings`
    pub rings: Option<u32>,
    /// `-v`
    pub verbose: bool,
}

/// Why a backend was not used.
#[derive(Debug)]
pub struct Refusal {
    /// The backend
    pub backend: &'static str,
    /// What was refused
    pub refused: Refused,
}

/// Whether the verifier refused a program, which may do too much for it.
pub(crate) fn is_of_programs(refusals: &[Refusal]) -> bool {
    refusals.iter().any(|refusal| {
        matches!(&refusal.refused, Refused::Program { verifier, .. } if !verifier.is_empty())
    })
}

/// Something that is not shown, because the kernel refused the program that would show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotShown {
    /// What
    pub what: &'static str,
    /// Why
    pub reason: String,
}

impl fmt::Display for NotShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not shown: {}: {}", self.what, self.reason)
    }
}

/// A backend at work. Dropping it detaches and unloads everything.
pub struct Attached<S> {
    /// Which
    pub backend: &'static str,
    /// Better backends that were refused
    pub refused: Vec<Refusal>,
    /// Parts that the user asked for and that this backend does not show
    pub not_shown: Vec<NotShown>,
    /// The reading end of the event buffer
    pub channel: Channel,
    /// The loaded object
    pub skeleton: S,
    broad: Vec<&'static str>,
    /// Programs whose skipped runs are not losses
    uncounted: Vec<&'static str>,
    links: Vec<Link>,
}

/// Runs of our programs that the kernel skipped: see [`Attached::skipped`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Skipped {
    /// Of programs that run only for events: each is a lost event
    pub events: u64,
    /// Of programs that also run for other things ([`Job::is_broad`]): each may be a lost event
    pub perhaps_events: u64,
}

/// The builder of a skeleton.
pub trait Builder: SkelBuilder<'static> + Default + Relocated {}

impl<B: SkelBuilder<'static> + Default + Relocated> Builder for B {}

/// The loaded object of a skeleton.
type Loaded<B> = <<B as SkelBuilder<'static>>::Output as OpenSkel<'static>>::Output;

/// A tool's own settings before loading, and contents of maps before attaching.
pub struct Hooks<'a, B: SkelBuilder<'static>> {
    /// Sets constants and maps
    pub configure: &'a dyn Fn(&mut B::Output) -> Result<()>,
    /// Fills maps
    pub fill: &'a dyn Fn(&Loaded<B>) -> Result<()>,
    /// Prints a line with `-v`
    pub say: &'a dyn Fn(&str),
}

/// The first of `backends` that loads and attaches.
///
/// # Errors
///
/// The refusal of each backend; or a mistake in its declaration.
pub fn attach_first<B: Builder>(
    backends: &[Backend],
    setup: &Setup<'_>,
    hooks: &Hooks<'_, B>,
) -> Result<Attached<Loaded<B>>, Vec<Refusal>> {
    progress::listen();
    let types = KernelTypes::named(B::TYPES);
    let mut memory = Memory::default();
    let mut refused = Vec::new();
    let mut opener = Opener::<B>::new(types.as_ref());
    for backend in backends {
        match attach_backend::<B>(backend, backends, &mut opener, setup, hooks, &mut memory) {
            Ok(mut attached) => {
                explain_lacks(&mut attached.not_shown, backend, &refused);
                attached.refused = refused;
                return Ok(attached);
            }
            Err(error) => {
                (hooks.say)(&format!("backend {}: {error}", backend.name));
                let is_final = error.is_final();
                refused.push(Refusal { backend: backend.name, refused: error });
                if is_final {
                    break;
                }
            }
        }
    }
    Err(refused)
}

/// The reason for what a backend cannot show at all: the refusals of the better ones.
fn explain_lacks(not_shown: &mut [NotShown], backend: &Backend, better: &[Refusal]) {
    let reasons = match better {
        [] => format!("the backend {} does not see them", backend.name),
        _ => reasons(better),
    };
    for lack in not_shown.iter_mut().filter(|lack| lack.reason.is_empty()) {
        lack.reason.clone_from(&reasons);
    }
}

/// The refusals in words; what is said of several backends one after the other, once.
fn reasons(refusals: &[Refusal]) -> String {
    let mut reasons: Vec<_> = refusals.iter().map(|refusal| refusal.refused.to_string()).collect();
    reasons.dedup();
    reasons.join("; ")
}

/// Tries one backend, each time without the programs refused so far, until it works.
fn attach_backend<B: Builder>(
    backend: &Backend,
    all: &[Backend],
    opener: &mut Opener<'_, B>,
    setup: &Setup<'_>,
    hooks: &Hooks<'_, B>,
    memory: &mut Memory,
) -> Result<Attached<Loaded<B>>, Refused> {
    let mut known = None;
    loop {
        // Each round must learn something, or the loop would not end.
        if known.replace(memory.size()) == Some(memory.size()) {
            return Err(Refused::Object { errno: Errno::EINVAL });
        }
        let open = opener.open()?;
        let object = open.open_object();
        check_names(object, all).map_err(Refused::other)?;
        let mut following = setup.filters.jobs();
        following.retain(|job| job.programs.iter().all(|name| has(object, name)));
        let follows = following.len();
        let jobs = [following, of_this_architecture(&backend.jobs, object)].concat();
        let plan = match plan(&jobs, object, memory) {
            Ok(plan) => plan,
            Err(refused) => {
                opener.give_back(open);
                return Err(refused);
            }
        };
        let unused = unused_maps(&jobs, &plan, all);
        let Some((loaded, rings)) = load::<B>(open, &jobs, &plan, &unused, setup, hooks, memory)?
        else {
            continue;
        };
        let channel = open_channel(&loaded, rings.as_ref(), setup, hooks)?;
        let Some(links) = attach(&loaded, &jobs, setup, memory)? else { continue };
        let not_shown = memory.not_shown(&jobs, backend);
        report(loaded.object(), &jobs, memory, hooks.say);
        let broad = jobs.iter().filter(|job| job.is_broad);
        // These programs follow a tree, or the tool runs them: a skipped run is not a lost event.
        let uncounted = jobs
            .iter()
            .enumerate()
            .filter(|(at, job)| *at < follows || job.by_tool)
            .map(|(_, job)| job);
        return Ok(Attached {
            backend: backend.name,
            refused: Vec::new(),
            not_shown,
            channel,
            skeleton: loaded,
            broad: broad.flat_map(|job| job.programs.clone()).collect(),
            uncounted: uncounted.flat_map(|job| job.programs.clone()).collect(),
            links,
        });
    }
}

/// Loads the programs of `plan`; with the rings that they send to, if there are several. `None`: one
/// was refused, or only some were tried; `memory` then knows more.
#[allow(clippy::type_complexity)]
fn load<B: Builder>(
    mut open: B::Output,
    jobs: &[Job],
    plan: &[&str],
    unused: &[&str],
    setup: &Setup<'_>,
    hooks: &Hooks<'_, B>,
    memory: &mut Memory,
) -> Result<Option<(Loaded<B>, Option<rings::Maps>)>, Refused> {
    let now = memory.next(plan);
    object::prepare(open.open_object_mut(), setup, &now, unused)
        .and_then(|()| (hooks.configure)(&mut open))
        .map_err(Refused::other)?;
    let rings = object::use_rings(open.open_object_mut(), setup)?;
    let maps = object::maps(open.open_object());
    let kinds: Vec<_> =
        now.iter().filter_map(|name| Some((*name, kind::of(open.open_object(), name)?))).collect();
    progress::begin(open.open_object());
    let loaded = open.load();
    let errno = Errno::last();
    let (accepted, program) = progress::end();
    let words = progress::take_words();
    if setup.verbose {
        words.lines().filter(|line| !is_misleading(line)).for_each(hooks.say);
    }
    match loaded {
        Ok(loaded) if now.len() == plan.len() => Ok(Some((loaded, rings))),
        Ok(_) => {
            memory.accept(now.into_iter().map(str::to_owned));
            Ok(None)
        }
        Err(_) => {
            memory.accept(accepted);
            // libbpf does not always report a lack of descriptors. It opens some for a while: for
            // BTF, for each map a second one, and for what it tries out.
            if !can_open(maps.len() + plan.len() + 8) {
                return Err(Refused::Object { errno: Errno::EMFILE });
            }
            memory.learn(errno, program.as_deref(), &kinds, &maps, jobs, &words)?;
            Ok(None)
        }
    }
}

/// Whether this process may have so many more descriptors.
fn can_open(files: usize) -> bool {
    let more = std::iter::repeat_with(|| nix::unistd::dup(std::io::stderr()));
    let held: Result<Vec<_>, _> = more.take(files).collect();
    !matches!(held, Err(Errno::EMFILE | Errno::ENFILE))
}

/// Misleading lines of libbpf: the guess at a memory limit whenever the kernel refuses root
/// something, and complaints about the keys of maps that are left out.
pub(crate) fn is_misleading(line: &str) -> bool {
    line.contains("ulimit -l") || line.contains("Retrying without BTF")
}

/// Fills the maps and opens the buffer: before the first event, since a perf buffer takes nothing
/// until it is open.
fn open_channel<B: Builder>(
    loaded: &Loaded<B>,
    rings: Option<&rings::Maps>,
    setup: &Setup<'_>,
    hooks: &Hooks<'_, B>,
) -> Result<Channel, Refused> {
    (hooks.fill)(loaded).map_err(Refused::other)?;
    let object = loaded.object();
    setup.filters.fill_maps(object).map_err(Refused::other)?;
    let events = object.maps().find(|map| map.name() == "events");
    let events = events.context("no map 'events'").map_err(Refused::other)?;
    Channel::open(setup.transport, &events, rings, setup.buffer_bytes)
        .map_err(|errno| Refused::Buffer { kind: setup.transport.name(), errno })
}

/// Attaches the programs of all jobs. `None`: one could not be attached, so another plan is needed.
fn attach<S: Skel<'static>>(
    loaded: &S,
    jobs: &[Job],
    setup: &Setup<'_>,
    memory: &mut Memory,
) -> Result<Option<Vec<Link>>, Refused> {
    let object = loaded.object();
    let mut links = Vec::new();
    // In the order of the jobs: forks first, so that no process of a tree is missed.
    for job in jobs {
        let Some(name) = memory.choice(job) else { continue };
        match attach_program(object, name, job.tracepoint) {
            Ok(link) if !job.by_tool => links.extend(link),
            // The tool attaches it again when needed.
            Ok(None) => {}
            Ok(Some(link)) if Iter::new(&link).is_ok() => {}
            refused => {
                let error = match refused {
                    Err(error) => error,
                    Ok(_) => Refused::Attach { name: name.to_owned(), errno: Errno::last() },
                };
                memory.refuse_to_attach(job, name, error);
                if job.not_shown.is_none() || memory.choice(job).is_some() {
                    return Ok(None);
                }
            }
        }
    }
    setup.filters.add_descendants(object).map_err(Refused::other)?;
    Ok(Some(links))
}

/// Attaches a program to a tracepoint or to what its section names. `None`: the tool runs this program,
/// which is not attached to anything.
fn attach_program(
    object: &Object,
    name: &str,
    tracepoint: Option<&str>,
) -> Result<Option<Link>, Refused> {
    let program = object.progs_mut().find(|program| program.name() == name);
    let program = program.with_context(|| format!("no program {name}")).map_err(Refused::other)?;
    let section = program.section().to_string_lossy().into_owned();
    if !section.contains('/') {
        return Ok(None);
    }
    let target = tracepoint.and_then(|name| name.split_once('/'));
    if let Some((category, tracepoint)) = target.or_else(|| kind::tracepoint(&section)) {
        return tracepoint::attach(&program, category, tracepoint)
            .map(Some)
            .map_err(Refused::Tracepoint);
    }
    let attach = |program: &ProgramMut<'_>| program.attach();
    attach(&program)
        .map(Some)
        .map_err(|_| Refused::Attach { name: name.to_owned(), errno: errno::last() })
}

/// Reports the state of each program.
fn report(object: &Object, jobs: &[Job], memory: &Memory, say: &dyn Fn(&str)) {
    for program in object.progs() {
        let name = program.name().to_string_lossy();
        let job = jobs.iter().find(|job| job.programs.contains(&&*name));
        let state = match (memory.refused(&name), job) {
            (Some(refused), _) => format!("left out: {refused}"),
            (None, Some(job)) if program.autoload() && job.by_tool => "loaded".to_owned(),
            (None, Some(_)) if program.autoload() => "loaded and attached".to_owned(),
            _ => "not needed".to_owned(),
        };
        say(&format!("program {name}: {state}"));
    }
}

/// How often the kernel skipped this program because another instance was still running on that
/// CPU; 0 where the kernel does not report it.
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

    /// Says that it tells nothing of who is behind a process: the programs that do were refused.
    pub(crate) fn without_context(mut self, refusals: &[Refusal]) -> Self {
        self.not_shown.push(NotShown {
            what: "who is behind a process (--login, --ancestors)",
            reason: reasons(refusals),
        });
        self
    }

    /// More programs whose skipped runs are not losses: see
    /// [`crate::engine::tool::Tool::uncounted`].
    pub(crate) fn do_not_count(&mut self, programs: Vec<&'static str>) {
        self.uncounted.extend(programs);
    }

    /// Detaches all programs: no new events from here on.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// The counters of the programs.
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

    /// How often the kernel skipped one of our programs because another instance was still running
    /// on that CPU. Kernels before 5.12 do not report it (and rarely skip).
    pub fn skipped(&self) -> Skipped {
        let mut skipped = Skipped::default();
        for program in self.object().progs() {
            let uncounted = self.uncounted.iter().any(|name| program.name() == *name);
            if !program.autoload() || uncounted {
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
