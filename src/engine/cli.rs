//! The flags that every tool has, and the checks of their values. A wrong value is
//! refused by clap (exit status 2) before anything is loaded.

mod delivery;
mod values;

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use delivery::{Budget, Delivery};
pub use values::{Ancestor, bytes, milliseconds, number, regex, seconds, without_ib};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Args, Parser};

use crate::engine::channel::BufferChoice;
use crate::engine::help;
use crate::engine::manual::Manual;
use crate::host::cgroup::Cgroup;
use crate::host::user::User;
use crate::output::color::Color;
use crate::output::escape::{Quote, push_shell_word};
use crate::output::filter::Expr;
use crate::output::redact::Policy;
use crate::output::row::{ANCESTORS, LOGIN};
use crate::output::table::Column;
use crate::output::time::TimeForm;
use values::{
    ancestor, ancestors, cgroup, cgroup_map, comm, filter, living_pid, mntns_map, pid, process,
    rings, user,
};

/// Common flags, to be flattened into each tool's own. Where bcc's tool of the same name has
/// another meaning for a short flag, the tool takes it away here with `mut_arg`.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// Only this process (repeatable); the tool ends with the last of them
    #[arg(short, long, value_name = "PID", value_parser = living_pid, help_heading = "Filters")]
    pub pid: Vec<u32>,

    /// Only children of this process (repeatable)
    #[arg(short = 'P', long, value_name = "PID", value_parser = pid, help_heading = "Filters")]
    pub ppid: Vec<u32>,

    /// Only processes of this user, by real user id; a number or a name (repeatable)
    #[arg(short, long, value_name = "USER", value_parser = user, help_heading = "Filters")]
    pub uid: Vec<u32>,

    /// Only processes and threads of exactly this name, 15 bytes at most (repeatable)
    #[arg(long, value_name = "NAME", value_parser = comm, help_heading = "Filters")]
    pub comm: Vec<[u8; 16]>,

    /// Only processes in this cgroup (v2) or below it: a folder, or a path as in
    /// /proc/PID/cgroup (repeatable)
    #[arg(short, long, value_name = "PATH", value_parser = cgroup, help_heading = "Filters")]
    pub cgroup: Vec<Cgroup>,

    /// Not this process (repeatable). Whoever has its id after its end is another one
    #[arg(long, value_name = "PID", value_parser = process, help_heading = "Filters")]
    pub not_pid: Vec<u32>,

    /// Not processes of this user, by real user id; a number or a name (repeatable)
    #[arg(long, value_name = "USER", value_parser = user, help_heading = "Filters")]
    pub not_uid: Vec<u32>,

    /// Not processes and threads of exactly this name, nor threads of such processes (repeatable)
    #[arg(long, value_name = "NAME", value_parser = comm, help_heading = "Filters")]
    pub not_comm: Vec<[u8; 16]>,

    /// Not processes in this cgroup (v2) or below it (repeatable)
    #[arg(long, value_name = "PATH", value_parser = cgroup, help_heading = "Filters")]
    pub not_cgroup: Vec<Cgroup>,

    /// Only events for which EXPR is true, such as 'process.user.id == 33 && file.path ~ "^/tmp/"':
    /// keys of --json, compared (== != < <= > >= ~ !~ in) and joined (&& || !)
    #[arg(long, value_name = "EXPR", value_parser = filter, help_heading = "Filters")]
    pub filter: Option<Expr>,

    /// Only this process and all its descendants (repeatable); the tool ends with the last of them
    #[arg(long, value_name = "PID", value_parser = living_pid, help_heading = "Filters")]
    pub tree: Vec<u32>,

    /// Only processes below this one: a name, or a number for a process id (repeatable)
    #[arg(long, value_name = "NAME|PID", value_parser = ancestor, help_heading = "Filters")]
    pub ancestor: Vec<Ancestor>,

    /// Show a column with the local time, to the millisecond
    #[arg(short = 'T', long)]
    pub time: bool,

    /// Show a column with seconds since the start
    #[arg(short, long)]
    pub timestamp: bool,

    /// Show times in UTC, also in a column as with --time
    #[arg(long)]
    pub utc: bool,

    /// Show times with the date, also in a column as with --time
    #[arg(long)]
    pub date: bool,

    /// Show a column with the real user id
    #[arg(short = 'U', long)]
    pub print_uid: bool,

    /// Show a column with the name of the container, and in --json its image and pod: from the files
    /// of Docker, containerd, CRI-O and podman
    #[arg(long)]
    pub containers: bool,

    /// With --containers, these labels of the container and its pod
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "containers")]
    pub container_labels: Vec<String>,
    /// Show a column with the user who logged in, whatever sudo and su made of it, and the terminal;
    /// in JSON also sessions, groups and names
    #[arg(long)]
    pub login: bool,

    /// Show the chain of processes above, as it was at the event: up to process 1, or the N nearest
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "64",
        value_parser = ancestors
    )]
    pub ancestors: Option<u32>,

    /// Show these columns, in this order: names of columns or of keys of --json. Flags that add a
    /// column put it in front
    #[arg(
        short = 'o',
        long,
        value_name = "COLUMN,...",
        value_delimiter = ',',
        conflicts_with = "json"
    )]
    pub columns: Vec<String>,

    /// Show REDACTED instead of secrets in command lines, environments and paths: values of
    /// --password and the like, passwords in URLs, tokens, keys
    #[arg(long, overrides_with = "no_redact")]
    pub redact: bool,

    /// Show everything, also behind --redact
    #[arg(long, overrides_with_all = ["redact", "no_redact"])]
    pub no_redact: bool,

    /// Redact what matches, too: its first group, or all of it (repeatable)
    #[arg(long, value_name = "REGEX", value_parser = regex)]
    pub redact_pattern: Vec<regex::bytes::Regex>,

    /// Show no rows: only the totals, and what is drawn at the end
    #[arg(short, long)]
    pub quiet: bool,

    /// On a terminal, do not cut rows at its width
    #[arg(long)]
    pub wide: bool,

    /// When to colour: auto (on a terminal), always or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub color: When,

    /// Stop after this long, such as 0.5, 90 or 5m. A COMMAND may finish, untraced
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,

    /// Stop after this many events. A COMMAND may finish, untraced
    #[arg(long, value_name = "N", value_parser = number)]
    pub max_events: Option<u64>,

    /// JSON Lines on stdout instead of a table; --json=otlp: OpenTelemetry's LogsData, as its
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

    /// How many there are
    #[command(flatten)]
    pub budget: Budget,

    /// Instead of what happens now, show what this tool has recorded in FILE with --json (- is
    /// stdin; zstd is understood); several files are parts of a recording, in their order
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = [
            "buffer", "buffer_size", "rings", "backend", "follow", "command",
            "rotate", "status", "host_name", "max_cpu", "metrics"
        ]
    )]
    pub from: Vec<PathBuf>,

    /// How events travel from the kernel
    #[arg(
        long,
        value_name = "KIND",
        default_value = "auto",
        hide_possible_values = true,
        help = "How events travel from the kernel: auto, ring or perf"
    )]
    pub buffer: BufferChoice,

    /// Size of that buffer (perf: for each CPU); K, M and G are understood
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub buffer_size: Option<u64>,

    /// Ring buffers, each for some of the CPUs, so that these do not wait for each other at one.
    /// By default one for each 4 CPUs if there are more than 8
    #[arg(long, value_name = "N", value_parser = rings)]
    pub rings: Option<u32>,

    /// Use this way into the kernel, and no other
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,

    /// Print the chosen backend, and why no other; on an error, add libbpf's words
    #[arg(short, long)]
    pub verbose: bool,

    /// As in bcc, where the value is a BPF map that other programs fill
    #[arg(long, value_name = "MAP", value_parser = cgroup_map, hide = true)]
    pub cgroupmap: Option<Infallible>,

    /// Likewise
    #[arg(long, value_name = "MAP", value_parser = mntns_map, hide = true)]
    pub mntnsmap: Option<Infallible>,

    /// End when the last descendant of COMMAND has ended, not with COMMAND
    #[arg(long, requires = "command")]
    pub follow: bool,

    /// Run COMMAND as this user, with its groups and without this tool's rights; under sudo, "$SUDO_USER"
    /// is who called it
    #[arg(long, value_name = "USER", value_parser = User::find, requires = "command")]
    pub run_as: Option<User>,

    /// Run this command, trace only it and its descendants, and end with it
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `--json`
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum JsonForm {
    /// The keys of the manual
    Lines,
    /// LogsData of OpenTelemetry
    Otlp,
}

/// `--color`
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR or CLICOLOR_FORCE say otherwise
    Auto,
    /// Into pipes and files too
    Always,
    /// Nowhere
    Never,
}

impl From<When> for Color {
    fn from(when: When) -> Self {
        match when {
            When::Auto => Self::Auto,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

/// A command line with tasks, checked; ends the process where something is wrong. `usual`: what `-h`
/// shows of each task, by ids.
pub fn parse<A: Parser>(words: &[OsString], usual: &[(&str, &[&str])]) -> A {
    parse_by(words, |command, words| help::parse_task(command, usual, words))
}

/// The same for a tool, whose help comes from its manual as well. Also returns the long names of the
/// flags that are given.
pub(crate) fn parse_tool<A: Parser>(words: &[OsString], manual: &Manual) -> (A, Vec<String>) {
    let common = CommonArgs::augment_args(clap::Command::new("common"));
    let is_common = |id: &str| common.get_arguments().any(|arg| arg.get_id() == id);
    values::are_of_now(!names_recording(words));
    let mut given = Vec::new();
    let args = parse_by(words, |command, words| {
        let parsed = help::parse(command, manual, is_common, words)?;
        given = given_flags(&A::command(), &parsed);
        Ok(parsed)
    });
    (args, given)
}

/// Whether `--from` is given: then processes and cgroups are those of a recording, which this
/// machine need not have.
fn names_recording(words: &[OsString]) -> bool {
    let mut flags = words.iter().take_while(|word| *word != "--");
    flags.any(|word| word == "--from" || word.as_encoded_bytes().starts_with(b"--from="))
}

/// The long names of the flags that are given.
fn given_flags(command: &clap::Command, matches: &clap::ArgMatches) -> Vec<String> {
    let is_given = |id: &str| {
        let is_known = matches.ids().any(|known| known == id);
        is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let given = command.get_arguments().filter(|arg| is_given(arg.get_id().as_str()));
    given.filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
}

fn parse_by<A: Parser>(
    words: &[OsString],
    get_matches: impl FnOnce(clap::Command, &[OsString]) -> clap::error::Result<clap::ArgMatches>,
) -> A {
    let command = negative_numbers_are_values(A::command());
    let parsed = get_matches(command.clone(), words).and_then(|matches| {
        if has_empty_command(command, words.to_vec()) {
            let words = "no command after --\n";
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, words));
        }
        A::from_arg_matches(&matches)
    });
    parsed.unwrap_or_else(|mut error| {
        if error.kind() == ErrorKind::UnknownArgument {
            advise(&mut error, A::command(), words);
        }
        error.exit()
    })
}

/// Replaces clap's advice about an unknown word, "to pass it as a value, use `--`": it would be run
/// as a command. Such a word may be meant as one, and what is behind it as its arguments.
fn advise(error: &mut clap::Error, command: clap::Command, words: &[OsString]) {
    error.remove(ContextKind::Suggested);
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if !word.starts_with('-') => word,
        _ => return,
    };
    let Some(at) = words.iter().position(|given| given == word.as_str()) else { return };
    let mut meant = words.to_vec();
    meant.insert(at, "--".into());
    let mut line = command.get_name().to_owned();
    for word in meant.iter().skip(1) {
        line.push(' ');
        push_shell_word(&mut line, word.as_encoded_bytes(), false, Quote::WhereNeeded);
    }
    // Not each task has a COMMAND.
    if command.try_get_matches_from(meant).is_ok() {
        let advice = ContextValue::StyledStrs(vec![format!("did you mean: {line}").into()]);
        error.insert(ContextKind::Suggested, advice);
    }
}

/// Whether a valid command line ends in a `--` without a COMMAND, as in a script whose variable is
/// not set: its author does not want to trace the whole machine.
fn has_empty_command(command: clap::Command, mut words: Vec<OsString>) -> bool {
    if words.last().is_none_or(|word| word != "--") {
        return false;
    }
    // The `--` may be the value of a flag, or an argument of COMMAND: parse one more word to find
    // out.
    words.push("x".into());
    let Ok(matches) = command.try_get_matches_from(words) else { return false };
    let mut matches = &matches;
    while let Some((_, of_task)) = matches.subcommand() {
        matches = of_task;
    }
    matches.try_get_raw("command").is_ok_and(|words| words.is_some_and(|words| words.len() == 1))
}

/// A process id of -1 is a wrong value, not an unknown flag, and is reported as such.
fn negative_numbers_are_values(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let is_option = arg.get_action().takes_values() && !arg.is_positional();
            if is_option { arg.allow_negative_numbers(true) } else { arg }
        })
        .mut_subcommands(negative_numbers_are_values)
}

impl CommonArgs {
    /// What is redacted.
    pub fn redaction(&self) -> Policy {
        match (self.redact || !self.redact_pattern.is_empty()) && !self.no_redact {
            true => Policy::new(&self.redact_pattern),
            false => Policy::default(),
        }
    }

    /// Whether there is a column with the time.
    pub fn shows_time(&self) -> bool {
        self.time || self.utc || self.date
    }

    /// The form of times in text.
    pub fn time_form(&self) -> TimeForm {
        TimeForm { utc: self.utc, date: self.date }
    }

    /// Whether a flag of every tool asks for this column, which becomes as wide as its values
    /// need: see [`View::choose`].
    ///
    /// [`View::choose`]: crate::output::row::View::choose
    pub fn by_flag(&self, column: &mut Column) -> Option<bool> {
        match column.title {
            "TIME" => {
                column.width = self.time_form().width();
                Some(self.shows_time())
            }
            "TIME(s)" => Some(self.timestamp),
            "UID" => Some(self.print_uid),
            "CONTAINER" => Some(self.containers),
            "UNIT" => Some(false),
            LOGIN => Some(self.login),
            ANCESTORS => Some(self.ancestors.is_some()),
            _ => None,
        }
    }

    /// Whether something that is shown or asked for needs the names of containers.
    pub fn names_containers(&self) -> bool {
        // These follow from the path of the cgroup.
        const FREE: [&str; 2] = ["container.id", "k8s.pod.uid"];
        let is_name = |key: &str| {
            let key = key.to_ascii_lowercase();
            let is_of_container =
                ["container", "k8s"].contains(&key.split('.').next().unwrap_or(""));
            is_of_container && !FREE.contains(&key.as_str())
        };
        self.containers
            || self.columns.iter().any(|name| is_name(name))
            || self.filter.as_ref().is_some_and(|expr| expr.keys().any(|key| is_name(&key)))
    }

    /// Whether a process may pass the filters at one time, and not at another.
    pub fn filters_that_change(&self) -> bool {
        let numbers = [&self.ppid, &self.uid, &self.not_uid];
        let names = [&self.comm, &self.not_comm];
        let cgroups = [&self.cgroup, &self.not_cgroup];
        numbers.iter().any(|values| !values.is_empty())
            || names.iter().any(|values| !values.is_empty())
            || cgroups.iter().any(|values| !values.is_empty())
            || !self.ancestor.is_empty()
    }

    /// Whether a filter that the kernel applies leaves out processes, of a tree or of all.
    pub fn leaves_out(&self) -> bool {
        self.filters_that_change() || !(self.pid.is_empty() && self.not_pid.is_empty())
    }

    /// Whether any of the filters that the kernel applies is on.
    pub fn filters(&self) -> bool {
        self.leaves_out() || !(self.tree.is_empty() && self.command.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_not_empty() {
        #[derive(Parser, Debug)]
        struct Tool {
            #[arg(long, allow_hyphen_values = true)]
            line: Option<String>,
            #[command(flatten)]
            common: CommonArgs,
        }
        let is_empty = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            has_empty_command(<Tool as clap::CommandFactory>::command(), words)
        };
        for line in ["tool --", "tool --json --", "tool --line -- --", "tool --line=-- --"] {
            assert!(is_empty(line), "{line}");
        }
        for line in ["tool", "tool -- sh --", "tool -- --", "tool --line --", "tool --line=--"] {
            assert!(!is_empty(line), "{line}");
        }
    }

    #[test]
    fn a_word_may_be_a_command() {
        #[derive(Parser, Debug)]
        #[command(name = "tool")]
        struct Tool {
            #[command(flatten)]
            common: CommonArgs,
        }
        let said = |words: &[&str]| {
            let mut error = Tool::try_parse_from(words).unwrap_err();
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            advise(&mut error, <Tool as clap::CommandFactory>::command(), &words);
            error.to_string()
        };
        let advice = "did you mean: tool --json -- ls -l 'a b'\n";
        assert!(said(&["tool", "--json", "ls", "-l", "a b"]).contains(advice));
        assert!(!said(&["tool", "--no-such-flag"]).contains("did you mean"));
    }
}
