//! bpfrun's command line and manual: see [`crate::bpfrun::inspect`] and [`crate::bpfrun::run`] for its
//! two halves.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::engine::help::width;
use crate::engine::manual::{Demo, Manual, Page};
use crate::{bpfrun::complete, bpfrun::inspect, bpfrun::run};

/// Inspect any compiled BPF object, or load it, attach it and show its events
#[derive(Parser, Debug)]
#[command(
    name = "bpfrun",
    version,
    override_usage = "bpfrun [OPTIONS] FILE [MAP]...\n       bpfrun <COMMAND>",
    after_help = MANUAL.after_help(width()),
    args_conflicts_with_subcommands = true
)]
pub struct Args {
    /// The task
    #[command(subcommand)]
    pub task: Task,
}

/// A task for an object.
#[derive(Subcommand, Debug)]
pub enum Task {
    /// Show the contents of an object; needs no privileges
    #[command(after_help = inspect::MANUAL.after_help(width()))]
    Inspect(inspect::Args),
    /// Load and attach an object, and show its events; `bpfrun FILE [MAP]...` does the same
    #[command(after_help = run::args::after_help())]
    Run(Box<run::Args>),
}

/// The pages of the program and of both its tasks.
pub fn pages() -> Vec<Page> {
    let whole = Args::command();
    let task = |name: &str, page: &'static str, manual: Manual| {
        let command = whole.find_subcommand(name)?.clone();
        // A page needs a name of its own, which differs from the words that people type.
        let command = command.name(page).bin_name(format!("bpfrun {name}"));
        Some(Page {
            command: command.version(env!("CARGO_PKG_VERSION")),
            manual,
            values: complete::values,
        })
    };
    let tasks = [
        task("inspect", "bpfrun-inspect", inspect::MANUAL),
        task("run", "bpfrun-run", run::args::MANUAL),
    ];
    let mut pages = vec![Page { command: whole.clone(), manual: MANUAL, values: complete::values }];
    pages.extend(tasks.into_iter().flatten());
    pages
}

const MANUAL: Manual = Manual {
    description: "\
Takes any compiled BPF object, without its loader, its source or a header. \"bpfrun inspect\" shows \
the contents of the object; \"bpfrun run\", or bpfrun with the file alone, loads it, attaches each \
of its programs on its own, and shows their events as named fields. Each of the two has a page: \
bpfrun-inspect(8), bpfrun-run(8).",
    examples: &[
        ("bpfrun hello.bpf.o", "run it: the same as bpfrun run hello.bpf.o"),
        ("bpfrun hello.bpf.o rb", "only the events in the map rb"),
        ("bpfrun inspect hello.bpf.o", "show its contents"),
        ("bpfrun run --help", "all flags of run"),
    ],
    rows: "",
    exit_status: run::args::EXIT_STATUS,
    privileges: &["inspect needs none. For run see bpfrun-run(8)."],
    overhead: "The cost of the programs in the object.",
    demo: Demo {
        event: "bpf.event",
        command: "/bin/true",
        object: "07-ring-buffer.bpf.o",
        ..Demo::NONE
    },
    ..Manual::TRACER
};
