//! The flags that every tool has, and the checks of their values. A wrong value is
//! refused by clap (exit status 2) before anything is loaded.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser};
use jiff::SignedDuration;

use crate::engine::channel::BufferChoice;
use crate::engine::help;
use crate::engine::manual::Manual;
use crate::host::cgroup::Cgroup;
use crate::output::color::Color;
use crate::output::table::Column;
use crate::output::time::TimeForm;

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
    #[arg(short, long, value_name = "PATH", value_parser = Cgroup::parse, help_heading = "Filters")]
    pub cgroup: Vec<Cgroup>,

    /// Only this process and all its descendants (repeatable); the tool ends with the last of them
    #[arg(long, value_name = "PID", value_parser = living_pid, help_heading = "Filters")]
    pub tree: Vec<u32>,

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

    /// JSON Lines on stdout instead of a table
    #[arg(long)]
    pub json: bool,

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

    /// Use this way into the kernel, and no other
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,

    /// Print the chosen backend, and why no other; on an error, add libbpf's words
    #[arg(short, long)]
    pub verbose: bool,

    /// As in bcc, where the value is a BPF map that other programs fill
    #[arg(long, value_name = "MAP", value_parser = cgroup_map, hide = true)]
    pub cgroupmap: Option<std::convert::Infallible>,

    /// Likewise
    #[arg(long, value_name = "MAP", value_parser = mntns_map, hide = true)]
    pub mntnsmap: Option<std::convert::Infallible>,

    /// End when the last descendant of COMMAND has ended, not with COMMAND
    #[arg(long, requires = "command")]
    pub follow: bool,

    /// Run this command, trace only it and its descendants, and end with it
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
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

/// A command line, checked; ends the process where something is wrong.
pub fn parse<A: Parser>(words: impl IntoIterator<Item = OsString>) -> A {
    let get_matches = |command: clap::Command, words: &[OsString]| {
        command.term_width(help::width()).try_get_matches_from(words)
    };
    parse_by(words.into_iter().collect(), get_matches)
}

/// The same for a tool, whose help comes from its manual as well.
pub(crate) fn parse_tool<A: Parser>(words: Vec<OsString>, manual: &Manual) -> A {
    let common = CommonArgs::augment_args(clap::Command::new("common"));
    let is_common = |id: &str| common.get_arguments().any(|arg| arg.get_id() == id);
    parse_by(words, |command, words| help::parse(command, manual, is_common, words))
}

fn parse_by<A: Parser>(
    words: Vec<OsString>,
    get_matches: impl FnOnce(clap::Command, &[OsString]) -> clap::error::Result<clap::ArgMatches>,
) -> A {
    let command = negative_numbers_are_values(A::command());
    let parsed = get_matches(command.clone(), &words).and_then(|matches| {
        if has_empty_command(command, words) {
            let words = "no command after --\n";
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, words));
        }
        A::from_arg_matches(&matches)
    });
    parsed.unwrap_or_else(|mut error| {
        if error.kind() == ErrorKind::UnknownArgument {
            advise(&mut error, A::command().get_name());
        }
        error.exit()
    })
}

/// Replaces clap's advice about an unknown word, "to pass it as a value, use `--`": it would be run
/// as a command. Such a word may be meant as one.
fn advise(error: &mut clap::Error, tool: &str) {
    error.remove(ContextKind::Suggested);
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if !word.starts_with('-') => word,
        _ => return,
    };
    let advice = format!("to run a command and trace only it: {tool} -- {word}");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![advice.into()]));
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
            _ => None,
        }
    }

    /// Whether a process may pass the filters at one time, and not at another.
    pub fn filters_that_change(&self) -> bool {
        let numbers = [&self.ppid, &self.uid];
        numbers.iter().any(|values| !values.is_empty())
            || !(self.comm.is_empty() && self.cgroup.is_empty())
    }

    /// Whether any of the filters is on.
    pub fn filters(&self) -> bool {
        let numbers = [&self.pid, &self.ppid, &self.uid, &self.tree];
        numbers.iter().any(|values| !values.is_empty())
            || !(self.comm.is_empty() && self.cgroup.is_empty() && self.command.is_empty())
    }
}

fn pid(text: &str) -> Result<u32, String> {
    // PID_MAX_LIMIT of 64-bit kernels.
    match text.parse() {
        Ok(pid @ 1..=4_194_304) => Ok(pid),
        _ => Err("a process id is a number from 1 to 4194304".to_owned()),
    }
}

/// The root of a tree must exist, since otherwise nothing can become its descendant.
fn living_pid(text: &str) -> Result<u32, String> {
    let pid = pid(text)?;
    let proc = std::path::Path::new("/proc");
    if !proc.join("self").exists() {
        return Ok(pid);
    }
    match std::fs::read_to_string(proc.join(format!("{pid}/status"))) {
        Ok(status) => match thread_group(&status) {
            Some(process) if process != pid => Err(format!("that is a thread of {process}")),
            _ => Ok(pid),
        },
        Err(_) => Err("there is no such process".to_owned()),
    }
}

/// The process of a thread, from its `/proc/PID/status`.
fn thread_group(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// For free-text filters: a regular expression over bytes. The error is one line.
pub fn regex(text: &str) -> Result<regex::bytes::Regex, String> {
    regex::bytes::Regex::new(text).map_err(|error| {
        let words = error.to_string();
        let last = words.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

fn user(text: &str) -> Result<u32, String> {
    if let Ok(uid) = text.parse::<u32>() {
        return if uid == u32::MAX { Err("not a user id".to_owned()) } else { Ok(uid) };
    }
    match uid_of(text) {
        Ok(Some(uid)) => Ok(uid),
        Ok(None) => Err("no such user".to_owned()),
        Err(error) => Err(format!("cannot look up users: {error}")),
    }
}

/// The user of this name, from wherever the machine has its users.
#[cfg(not(target_feature = "crt-static"))]
fn uid_of(name: &str) -> std::io::Result<Option<u32>> {
    Ok(nix::unistd::User::from_name(name)?.map(|user| user.uid.as_raw()))
}

/// The user of this name, from `/etc/passwd` only: other sources are shared libraries, which a
/// static program should not load.
#[cfg(target_feature = "crt-static")]
fn uid_of(name: &str) -> std::io::Result<Option<u32>> {
    match crate::host::chosen::read("/etc/passwd".as_ref(), 64 << 20) {
        Ok(text) => Ok(uid_in_passwd(&text, name)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// passwd(5): `name:password:uid:…`
#[cfg(any(target_feature = "crt-static", test))]
fn uid_in_passwd(text: &[u8], name: &str) -> Option<u32> {
    text.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b':');
        if fields.next()? != name.as_bytes() {
            return None;
        }
        std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()
    })
}

fn comm(text: &str) -> Result<[u8; 16], String> {
    let mut comm = [0; 16];
    match comm.get_mut(..text.len()) {
        Some(start) if (1..16).contains(&text.len()) => start.copy_from_slice(text.as_bytes()),
        _ => return Err("a process name has 1 to 15 bytes (see /proc/PID/comm)".to_owned()),
    }
    Ok(comm)
}

fn cgroup_map(_: &str) -> Result<std::convert::Infallible, String> {
    Err("no map is needed here: --cgroup takes the folder of a cgroup".to_owned())
}

fn mntns_map(_: &str) -> Result<std::convert::Infallible, String> {
    Err("there is no filter by mount namespace: --cgroup or --tree select a container".to_owned())
}

/// How many, at least one.
pub fn number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| "a whole number from 1 up is needed".to_owned())
}

/// The longest time that users may give: some thirty years.
const MAX_SECONDS: f64 = 1e9;

/// A duration: seconds, with fractions down to a millisecond, or with units.
pub fn seconds(text: &str) -> Result<Duration, String> {
    in_seconds(text, 1.0)
        .and_then(|seconds| in_range(seconds, 0.001..=MAX_SECONDS))
        .ok_or_else(|| "seconds are a number from 0.001 to 1e9, or a time such as 5m".to_owned())
}

/// A duration: milliseconds, with fractions, or with units; 0 too.
pub fn milliseconds(text: &str) -> Result<Duration, String> {
    in_seconds(text, 0.001).and_then(|seconds| in_range(seconds, 0.0..=MAX_SECONDS)).ok_or_else(
        || "milliseconds are a number from 0 to 1e12, such as 0.5, or a time such as 2s".to_owned(),
    )
}

/// A number of `unit` seconds, or a time such as `1h30m`, as seconds.
fn in_seconds(text: &str, unit: f64) -> Option<f64> {
    let number = text.parse::<f64>().map(|number| number * unit);
    number.ok().or_else(|| text.parse::<SignedDuration>().ok().map(|time| time.as_secs_f64()))
}

fn in_range(seconds: f64, range: RangeInclusive<f64>) -> Option<Duration> {
    range.contains(&seconds).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// A size, with K, M and G, or KiB, MiB and GiB.
pub fn bytes(text: &str) -> Result<u64, String> {
    let text = without_ib(text);
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    match bytes {
        Some(bytes @ 1..=0x4000_0000) => Ok(bytes),
        _ => Err("a size is a number of bytes up to 1G, such as 8M".to_owned()),
    }
}

/// `8M` of `8MiB`. `8MB` may be something else.
pub fn without_ib(text: &str) -> &str {
    let short = text.strip_suffix("iB").or_else(|| text.strip_suffix("ib"));
    short.filter(|short| short.ends_with(|c: char| c.is_ascii_alphabetic())).unwrap_or(text)
}

/// Folder of the cgroup v2 hierarchy, as a filter.
impl Cgroup {
    fn parse(text: &str) -> Result<Self, String> {
        Self::find(&PathBuf::from(text))
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
    fn durations_have_units_or_not() {
        for (text, ms) in
            [("5", 5_000), ("0.5", 500), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250)]
        {
            assert_eq!(seconds(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(milliseconds("5"), Ok(Duration::from_millis(5)));
        assert_eq!(milliseconds("1.5s"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "m", "5 apples", "-5m", "5m ago", "9999999h", "0s", "nan"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
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
            advise(&mut error, "tool");
            error.to_string()
        };
        let advice = "to run a command and trace only it: tool -- ls";
        assert!(said(&["tool", "ls", "-l"]).contains(advice));
        assert!(!said(&["tool", "--no-such-flag"]).contains("--:"));
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(pid("1"), Ok(1));
        for wrong in ["0", "-1", "4194305", "x", "", "99999999999999999999"] {
            assert!(pid(wrong).is_err(), "{wrong}");
        }
        assert_eq!(living_pid("1"), Ok(1));
        assert_eq!(living_pid("+1"), Ok(1));
        assert!(living_pid("4194304").is_err());
        let (of_thread, go_on) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            of_thread.send(nix::unistd::gettid()).unwrap();
            let _ = ended.recv();
        });
        let tid = go_on.recv().unwrap().to_string();
        assert_eq!(living_pid(&tid), Err(format!("that is a thread of {}", std::process::id())));
        drop(end);
        thread.join().unwrap();
        assert!(regex("a|b").is_ok());
        assert_eq!(regex("(").unwrap_err(), "unclosed group");
        assert_eq!(user("0"), Ok(0));
        assert_eq!(user("root"), Ok(0));
        for wrong in ["", "no-such-user-here", "-1", "4294967295", "99999999999"] {
            assert!(user(wrong).is_err(), "{wrong}");
        }
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/:\n\nshort:x\nbad:x:\xff:";
        assert_eq!(uid_in_passwd(passwd, "alice"), Some(1000));
        for none in ["", "ali", "short", "bad", "x"] {
            assert_eq!(uid_in_passwd(passwd, none), None, "{none}");
        }
        assert_eq!(comm("bash"), Ok(*b"bash\0\0\0\0\0\0\0\0\0\0\0\0"));
        assert!(comm("").is_err());
        assert!(comm("sixteen-bytes-xx").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0.001"), Ok(Duration::from_millis(1)));
        for wrong in ["0", "-1", "nan", "inf", "1e-10", "0.0009", "1e10", "1e19", "1e30", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(milliseconds("0.5"), Ok(Duration::from_micros(500)));
        assert_eq!(milliseconds("0"), Ok(Duration::ZERO));
        for wrong in ["-1", "nan", "inf", "18446744073709.553", "x"] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(number("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["0", "-1", "1.5", "", "18446744073709551616"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("8M"), Ok(8 << 20));
        assert_eq!(bytes("64k"), Ok(64 << 10));
        assert_eq!(bytes("1G"), Ok(1 << 30));
        assert_eq!(bytes("8MiB"), Ok(8 << 20));
        for wrong in [
            "",
            "0",
            "M",
            "2G",
            "8iB",
            "iB",
            "8MB",
            "8MiBiB",
            "99999999M",
            "18446744073709551615K",
            "é",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
