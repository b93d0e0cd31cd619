//! The flags of `bpfrun run`, and the checks of their values.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::bpfrun::glob::Glob;
use crate::bpfrun::run::{fill, kind_of};
use crate::engine::cli::{Delivery, JsonForm, number, seconds};
use crate::engine::help::width;
use crate::engine::manual::Manual;

/// Flags of `bpfrun run`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// A compiled BPF object, or a program that contains one; - is stdin
    pub file: PathBuf,

    /// The object of a program that contains several, by number or name
    #[arg(long, value_name = "N|NAME")]
    pub object: Option<String>,

    /// Show only events of these maps: no other maps, no messages, no iterators
    #[arg(value_name = "MAP")]
    pub maps_to_show: Vec<String>,

    /// Show only events of this map, as MAP does (repeatable)
    #[arg(short, long, value_name = "MAP")]
    pub events: Vec<String>,

    /// Load only programs with such a name; * and ? stand for any characters (repeatable)
    #[arg(short, long, value_name = "GLOB")]
    pub prog: Vec<Glob>,

    /// Attach this program to TARGET; without TARGET, to the place that its section names, even if
    /// the program changes how the system behaves (repeatable)
    #[arg(short, long, value_name = "PROG[=TARGET]", value_parser = attach)]
    pub attach: Vec<Attach>,

    /// Give a global variable another value before loading; also a member, as in a.b[2]
    /// (repeatable)
    #[arg(short, long, value_name = "VAR=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,

    /// Put a value into a map before anything is attached, such as conf[0]=1 or ports[{a=1,b=2}]=3;
    /// also a member of the value, as in conf[0].a.b[2]=1 (repeatable)
    #[arg(long, value_name = "NAME[KEY]=VALUE", value_parser = fill::assignment)]
    pub map: Vec<fill::Assignment>,

    /// Put a program into a map of programs before anything is attached; the program itself is only
    /// attached if --attach names it (repeatable)
    #[arg(long, value_name = "NAME[N]=PROG", value_parser = fill::assignment)]
    pub prog_array: Vec<fill::Assignment>,

    /// What a program is whose section libbpf does not know: the name of a section that it knows, as
    /// tc or kprobe/FUNCTION, or of a type, as sched_cls (repeatable)
    #[arg(long, value_name = "PROG=KIND", value_parser = kind)]
    pub type_of: Vec<(String, String)>,

    /// Take the kernel's types from this file, for a kernel without BTF or with a wrong one: raw BTF,
    /// or an ELF file with BTF
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,

    /// Attach all variants of a probe, not only the best: events may come twice
    #[arg(long)]
    pub all_variants: bool,

    /// Show all messages of bpf_printk(), also those of other objects
    #[arg(long)]
    pub all_printk: bool,

    /// Type of the records of this map or iterator (repeatable)
    #[arg(long = "type", value_name = "MAP=STRUCT", value_parser = assignment)]
    pub types: Vec<(String, String)>,

    /// Look for structs here first: in a C header, which clang compiles, or in an object
    /// (repeatable)
    #[arg(long, value_name = "FILE")]
    pub type_from: Vec<PathBuf>,

    /// Types of events that "inspect --schema --json" has written for this object, and a person may
    /// have corrected (repeatable)
    #[arg(long, value_name = "FILE")]
    pub schema: Vec<PathBuf>,

    /// Show the contents of the maps, with histograms of what they count: at the end, or every
    /// SECONDS
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        value_parser = seconds
    )]
    pub maps: Option<Option<Duration>>,

    /// Only count stacks, for flame graphs: at the end a line for each, as COMM;FRAME;FRAME COUNT.
    /// Stacks in keys of maps count as often as the value says, those in events once
    #[arg(long, conflicts_with_all = ["json", "maps"])]
    pub folded: bool,

    /// On a terminal, do not cut rows at its width
    #[arg(long)]
    pub wide: bool,

    /// Stop after this long, such as 0.5, 90 or 5m
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// Stop after this many events
    #[arg(long, value_name = "N", value_parser = number)]
    pub max_events: Option<u64>,

    /// JSON Lines on stdout instead of text; --json=otlp: OpenTelemetry's LogsData, as its
    /// Collector's otlpjsonfile receiver reads it
    #[arg(
        long,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "lines",
        hide_possible_values = true
    )]
    pub json: Option<JsonForm>,

    /// Where rows go
    #[command(flatten)]
    pub place: Delivery,

    /// Add libbpf's and the verifier's words
    #[arg(short, long)]
    pub verbose: bool,

    /// Run this command once everything is attached, and end with it; it does not limit what is
    /// traced
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Targets of `--attach`, for `--help` and the manual; the manual prints indented lines as they
/// are.
macro_rules! targets {
    () => {
        "    kprobe, fentry, ...       FUNCTION, for a kprobe also FUNCTION+OFFSET
    tracepoint, raw_tp        CATEGORY:NAME, NAME
    uprobe                    FILE:FUNCTION or FILE:0xOFFSET
    usdt                      FILE:PROVIDER:NAME
    perf_event                EVENT@TIMES_A_SECOND or EVENT/PERIOD, such as cpu-clock@99
    xdp, tc, socket           an interface
    cgroup, sockops           a folder of /sys/fs/cgroup
    iter/bpf_map_elem         a map
    lsm, fmod_ret, struct_ops nothing: the section says it"
    };
}

/// Meaning of the exit status.
pub const EXIT_STATUS: &str = "\
0 ended by a signal, --duration, --max-events, a closed pipe, or nothing more to come; 1 the tool \
could not do its work; 2 wrong usage; with COMMAND, the status of the command.";

/// The manual beyond the flags.
pub const MANUAL: Manual = Manual {
    description: concat!(
        "Loads a compiled BPF object, attaches each of its programs on its own, and shows their \
         output: events of ring buffers and perf buffers with the names and values of their fields, \
         messages of bpf_printk(), the text of iterators, the contents of maps. A table names for \
         each program the place where it is attached, or the reason and the remedy. Programs that \
         change how the system behaves are attached only if --attach names them. Its targets are:

",
        targets!()
    ),
    examples: &[
        ("bpfrun opensnoop.bpf.o", "attach all programs and show their events"),
        ("bpfrun bootstrap.bpf.o --set min_duration_ns=1000000", "with another value of a variable"),
        ("bpfrun uprobe.bpf.o --attach trace_add=/usr/bin/app:add", "at that function"),
        ("bpfrun --json sockfilter.bpf.o --attach socket_handler=lo --duration 10", ""),
        ("bpfrun counts.bpf.o --maps=1", "and its maps, each second"),
        ("bpfrun profile.bpf.o --folded --duration 10 | flamegraph.pl > x.svg", "where time goes"),
    ],
    rows: "",
    usual: &[
        "file", "maps_to_show", "command", "prog", "attach", "set", "map", "maps", "folded", "duration",
        "json", "verbose",
    ],
    exit_status: EXIT_STATUS,
    privileges: &[
        "The tool does not check for root, it tries. Root can do everything. CAP_BPF and CAP_PERFMON \
         are enough for most programs; uprobes also need CAP_SYS_ADMIN in newer kernels; programs of \
         the network and of cgroups need CAP_BPF and CAP_NET_ADMIN, socket filters CAP_NET_RAW; \
         tracepoints and bpf_printk() need tracefs, which only root may read.",
    ],
    overhead: "The cost of the programs in the object.",
    ..Manual::TRACER
};

/// Below the flags of `bpfrun run`.
pub fn after_help() -> String {
    format!("Targets of --attach:\n{}\n\n{}", targets!(), MANUAL.after_help(width()))
}

impl Args {
    /// Whether the command line names maps, so that nothing else is shown.
    pub fn shows_only_maps(&self) -> bool {
        !(self.events.is_empty() && self.maps_to_show.is_empty())
    }

    /// Whether events of this map are shown.
    pub fn shows(&self, map: &str) -> bool {
        !self.shows_only_maps() || self.events.iter().chain(&self.maps_to_show).any(|m| m == map)
    }

    /// The map of programs that `--prog-array` puts this program into.
    pub fn held_by(&self, program: &str) -> Option<&str> {
        let held = self.prog_array.iter().find(|given| given.value == program);
        held.map(|given| given.map.as_str())
    }

    /// Whether `--attach` names this program or map.
    pub fn asked_for(&self, name: &str) -> bool {
        self.attach.iter().any(|attach| attach.program == name)
    }
}

/// `--attach`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// A program, or a `struct_ops` map
    pub program: String,
    /// The target; `None`: the place that the section names
    pub target: Option<String>,
}

fn attach(text: &str) -> Result<Attach, String> {
    let (program, target) = match text.split_once('=') {
        Some((program, target)) => (program, Some(target.to_owned())),
        None => (text, None),
    };
    if program.is_empty() || target.as_deref() == Some("") {
        return Err("give a program, or a program and its target, as PROG=TARGET".to_owned());
    }
    Ok(Attach { program: program.to_owned(), target })
}

/// `--type-of`: a program and a section that libbpf knows.
fn kind(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((program, kind)) if !program.is_empty() => {
            Ok((program.to_owned(), kind_of::section(kind)?))
        }
        _ => Err("give a program and its kind, as PROG=KIND".to_owned()),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give a name and a value, as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        let full = Attach { program: "p".into(), target: Some("/bin/x:f=1".into()) };
        assert_eq!(attach("p=/bin/x:f=1"), Ok(full));
        assert_eq!(attach("p"), Ok(Attach { program: "p".into(), target: None }));
        assert_eq!(assignment("a.b[1]=x=y"), Ok(("a.b[1]".into(), "x=y".into())));
        assert_eq!(assignment("a="), Ok(("a".into(), String::new())));
        for wrong in ["", "=x", "p="] {
            assert!(attach(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "a", "=1"] {
            assert!(assignment(wrong).is_err(), "{wrong}");
        }
    }
}
