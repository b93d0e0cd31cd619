//! What a tool declares: its ways into the kernel, best first, and what each program in them is
//! for. What the kernel refuses then costs only that.

/// One way into the kernel.
#[derive(Clone, Debug, Default)]
pub struct Backend {
    /// For `--backend`, `-v` and the JSON start record
    pub name: &'static str,
    /// What its programs do
    pub jobs: Vec<Job>,
    /// What this way cannot show at all: it is for where nothing better works
    pub lacks: Vec<&'static str>,
}

/// One thing to do, and the programs that can do it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Best first: the first one that the kernel takes is used, alone
    pub programs: Vec<&'static str>,
    /// What is not shown without any of them. `None`: the tool's main event, so the backend is of no use
    /// then.
    pub not_shown: Option<&'static str>,
    /// What is not shown where the program of this name does it
    pub lesser: Vec<(&'static str, &'static str)>,
    /// Maps that are for nothing else
    pub maps: Vec<&'static str>,
    /// Whether they also run for much that is no event
    pub is_broad: bool,
    /// Whether a kernel without the hook has nothing to be shown there
    pub if_there: bool,
    /// Whether the tool itself attaches or runs them when it needs them
    pub by_tool: bool,
}

impl Job {
    /// Shows the tool's main event.
    pub fn main(program: &'static str) -> Self {
        Self {
            programs: vec![program],
            not_shown: None,
            lesser: Vec::new(),
            maps: Vec::new(),
            is_broad: false,
            if_there: false,
            by_tool: false,
        }
    }

    /// Adds something, `what`, that is not shown without it.
    pub fn adds(program: &'static str, what: &'static str) -> Self {
        Self { not_shown: Some(what), ..Self::main(program) }
    }

    /// Another program that can do it.
    pub fn or(mut self, program: &'static str) -> Self {
        self.programs.push(program);
        self
    }

    /// Another program that can do it, but for `what`.
    pub fn or_without(mut self, program: &'static str, what: &'static str) -> Self {
        self.lesser.push((program, what));
        self.or(program)
    }

    /// A map that is for nothing else.
    pub fn with_map(mut self, map: &'static str) -> Self {
        self.maps.push(map);
        self
    }

    /// A kernel without the hook has nothing to be shown there, as one that runs no 32-bit programs.
    pub fn if_there(self) -> Self {
        Self { if_there: true, ..self }
    }

    /// It also runs for much that is no event.
    pub fn broad(self) -> Self {
        self.broad_if(true)
    }

    /// It also runs for much that is no event, if `is_broad`.
    pub fn broad_if(self, is_broad: bool) -> Self {
        Self { is_broad, ..self }
    }

    /// The tool itself attaches or runs it when it needs it.
    pub fn by_tool(self) -> Self {
        Self { by_tool: true, ..self }
    }
}

impl Backend {
    /// A way into the kernel.
    pub fn new(name: &'static str, jobs: impl IntoIterator<Item = Job>) -> Self {
        Self { name, jobs: jobs.into_iter().collect(), lacks: Vec::new() }
    }

    /// The same way, which does not show `what`.
    pub fn without(mut self, what: &'static str) -> Self {
        self.lacks.push(what);
        self
    }
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
