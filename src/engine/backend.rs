//! A tool's declaration of its ways into the kernel, best first, with the purpose of each program.
//! A refused program then costs only that purpose.

/// Whether kernels of this architecture run 32-bit programs: `HAS_COMPAT` of `arch.bpf.h`.
const HAS_COMPAT: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// One way into the kernel.
#[derive(Clone, Debug, Default)]
pub struct Backend {
    /// For `--backend`, `-v` and the JSON start record
    pub name: &'static str,
    /// The work of its programs
    pub jobs: Vec<Job>,
    /// Parts that this way cannot show at all: it is for kernels where nothing better works
    pub lacks: Vec<&'static str>,
}

/// One thing to do, and the programs that can do it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Best first; only the first one that the kernel accepts is used
    pub programs: Vec<&'static str>,
    /// The tracepoint, `CATEGORY/NAME`, to which they are attached, if it is not the one in the name
    /// of their section. So one program can serve several jobs, and is loaded once
    pub tracepoint: Option<&'static str>,
    /// What is not shown if all of them are refused. `None`: the tool's main event, without which
    /// the backend is useless.
    pub not_shown: Option<&'static str>,
    /// Program names, each with what that program does not show
    pub lesser: Vec<(&'static str, &'static str)>,
    /// Maps that only this job needs
    pub maps: Vec<&'static str>,
    /// Whether the programs also run for much that is not an event
    pub is_broad: bool,
    /// Whether a kernel without the hook has no such events at all, nor an architecture without
    /// the programs
    pub if_there: bool,
    /// Whether the tool itself attaches or runs the programs when needed
    pub by_tool: bool,
}

impl Job {
    /// Shows the tool's main event.
    pub fn main(program: &'static str) -> Self {
        Self {
            programs: vec![program],
            tracepoint: None,
            not_shown: None,
            lesser: Vec::new(),
            maps: Vec::new(),
            is_broad: false,
            if_there: false,
            by_tool: false,
        }
    }

    /// Shows `what`, which is not shown without this program.
    pub fn adds(program: &'static str, what: &'static str) -> Self {
        Self { not_shown: Some(what), ..Self::main(program) }
    }

    /// Another program for this job.
    pub fn or(mut self, program: &'static str) -> Self {
        self.programs.push(program);
        self
    }

    /// Another program for this job, which does not show `what`.
    pub fn or_without(mut self, program: &'static str, what: &'static str) -> Self {
        self.lesser.push((program, what));
        self.or(program)
    }

    /// Attached to this tracepoint, `CATEGORY/NAME`, whichever the programs' sections name.
    pub fn at(self, tracepoint: &'static str) -> Self {
        Self { tracepoint: Some(tracepoint), ..self }
    }

    /// A map that only this job needs.
    pub fn with_map(mut self, map: &'static str) -> Self {
        self.maps.push(map);
        self
    }

    /// A kernel without the hook has no such events at all, such as one without 32-bit programs;
    /// nor has an architecture without the programs.
    pub fn if_there(self) -> Self {
        Self { if_there: true, ..self }
    }

    /// The programs also run for much that is not an event.
    pub fn broad(self) -> Self {
        self.broad_if(true)
    }

    /// If `is_broad`, the programs also run for much that is not an event.
    pub fn broad_if(self, is_broad: bool) -> Self {
        Self { is_broad, ..self }
    }

    /// The tool itself attaches or runs the programs when needed.
    pub fn by_tool(self) -> Self {
        Self { by_tool: true, ..self }
    }
}

impl Backend {
    /// A way into the kernel.
    pub fn new(name: &'static str, jobs: impl IntoIterator<Item = Job>) -> Self {
        Self { name, jobs: jobs.into_iter().collect(), lacks: Vec::new() }
    }

    /// The same way, which does not show `what`, about 32-bit programs.
    pub fn without_32_bit(self, what: &'static str) -> Self {
        if HAS_COMPAT { self.without(what) } else { self }
    }

    /// The same way, which does not show `what`.
    pub fn without(mut self, what: &'static str) -> Self {
        self.lacks.push(what);
        self
    }
}

/// The map that the programs of [`refused_by_seccomp`] need before Linux 5.15.
pub(crate) const SECCOMP_MAP: &str = "seccomp_regs";

/// Whether this is one of the programs of [`refused_by_seccomp`].
pub(crate) fn is_for_seccomp(program: &str) -> bool {
    program.starts_with("seccomp_")
}

/// Calls that a seccomp filter refuses, for backends on the functions of the calls, which these
/// never reach: the programs that `SECCOMP_PROGRAMS(seccomp, …)` of `seccomp.bpf.h` defines. They
/// run at each system call of a thread with such a filter, and at the end of each thread.
pub fn refused_by_seccomp() -> [Job; 2] {
    refused_by_seccomp_as(["seccomp_refused", "seccomp_refused_behind_argument", "seccomp_killed"])
}

/// The same with programs of another prefix, in the order in which the macro defines them.
pub fn refused_by_seccomp_as(programs: [&'static str; 3]) -> [Job; 2] {
    let [refused, behind_argument, killed] = programs;
    [
        Job::adds(refused, "calls that a seccomp filter refuses")
            .or(behind_argument)
            .with_map(SECCOMP_MAP)
            .if_there()
            .broad(),
        Job::adds(killed, "calls for which a seccomp filter kills").with_map(SECCOMP_MAP).broad(),
    ]
}

/// The two ways to a tracepoint's arguments, for the programs that `TRACEPOINT(…, main)` of
/// `tracer.bpf.h` defines; `others` go with both.
pub fn on_tracepoint(programs: [&'static str; 2], others: &[Job]) -> Vec<Backend> {
    let with = |name, main| {
        let jobs = [Job::main(main)].into_iter().chain(others.iter().cloned());
        Backend::new(name, jobs)
    };
    let [btf, raw] = programs;
    vec![with("tp_btf", btf), with("raw_tp", raw)]
}
