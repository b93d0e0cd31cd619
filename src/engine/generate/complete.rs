//! What may stand next on a command line: flags, their values, tasks, files, COMMAND. The scripts of
//! the shells ask for it at each Tab, so that processes and users are those of now.

use clap::{Arg, ArgAction, Command};

use super::values;
use crate::engine::manual::{Candidate, Given, Page};

/// What may stand at the place of the last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// One of these
    Words(Vec<Candidate>),
    /// A file
    File,
    /// A file whose name ends like this
    FileOf(&'static str),
    /// A word of a command, which begins with the word of this number
    Command(usize),
}

impl Next {
    /// Lines for the scripts: `WORD<Tab>DESCRIPTION`, or one that begins with a colon.
    pub(super) fn lines(&self) -> String {
        match self {
            Self::Words(words) => {
                words.iter().map(|(word, about)| format!("{word}\t{about}\n")).collect()
            }
            Self::File => ":files\n".to_owned(),
            Self::FileOf(ending) => format!(":files {ending}\n"),
            Self::Command(first) => format!(":command {first}\n"),
        }
    }
}

/// `words`: of the command line behind the program's name, up to the cursor. The last one is being
/// written, and may be empty.
pub(super) fn next(page: &Page, words: &[&str]) -> Next {
    let Some((word, before)) = words.split_last() else { return Next::Words(Vec::new()) };
    let mut command = page.command.clone();
    command.build();
    let place = Place::after(&command, before);
    let given = &place.given;
    if let Some(first) = place.command_at {
        return Next::Command(first);
    }
    // bash makes words of their own of the =.
    if let Some(arg) = place.pending {
        let word = if *word == "=" { "" } else { word };
        return value(page, arg, "", word, given);
    }
    if let (true, Some((flag, start))) = (word.starts_with("--"), word.split_once('=')) {
        let arg = flag_of(place.command, flag);
        return arg.map_or(Next::Words(Vec::new()), |arg| {
            value(page, arg, &format!("{flag}="), start, given)
        });
    }
    if word.starts_with('-') {
        let mut flags = flags(place.command);
        if let (true, Some(task)) = (before.is_empty(), first_task(place.command)) {
            flags.extend(self::flags(task));
        }
        return Next::Words(starting(flags, word));
    }
    let tasks =
        place.command.get_subcommands().map(|task| (task.get_name().to_owned(), about(task)));
    let tasks: Vec<_> = if given.words.is_empty() { tasks.collect() } else { Vec::new() };
    let tasks = starting(tasks, word);
    let positional: Vec<_> =
        place.command.get_positionals().filter(|arg| !arg.is_last_set()).collect();
    match positional.get(given.words.len()).or(positional.last()) {
        Some(arg) if tasks.is_empty() => value(page, arg, "", word, given),
        _ if tasks.is_empty() && place.command.has_subcommands() => Next::FileOf(".o"),
        _ => Next::Words(tasks),
    }
}

/// `bpfrun FILE` is `bpfrun run FILE`.
fn first_task(command: &Command) -> Option<&Command> {
    command.find_subcommand("run")
}

/// Where the last word stands.
struct Place<'a> {
    /// The program's command, or that of its task
    command: &'a Command,
    /// The flag whose value it is
    pending: Option<&'a Arg>,
    /// What stands before it
    given: Given<'a>,
    /// Behind `--`: where COMMAND begins
    command_at: Option<usize>,
}

impl<'a> Place<'a> {
    fn after(command: &'a Command, before: &[&'a str]) -> Self {
        let given = Given::default();
        let mut place = Self { command, pending: None, given, command_at: None };
        for (at, word) in before.iter().enumerate() {
            let task = place.command.find_subcommand(word);
            if at == 0 && task.is_none() {
                place.command = first_task(command).unwrap_or(command);
            }
            if let Some(arg) = place.pending {
                if *word != "=" {
                    place.given.values.push((arg.get_id().as_str(), word));
                    place.pending = None;
                }
            } else if *word == "--" {
                place.command_at = Some(at + 1);
                break;
            } else if word.starts_with('-') && word.len() > 1 {
                place.pending = pending_after(place.command, word);
                if let Some((flag, value)) = word.split_once('=') {
                    let arg = flag_of(place.command, flag);
                    place.given.values.extend(arg.map(|arg| (arg.get_id().as_str(), value)));
                }
            } else if let Some(task) = task {
                place.command = task;
            } else {
                place.given.words.push(word);
            }
        }
        place
    }
}

/// The flag whose value must follow this word.
fn pending_after<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let takes = |arg: &&Arg| takes_value(arg) && !arg.is_require_equals_set();
    if word.starts_with("--") {
        return flag_of(command, word).filter(takes);
    }
    // -xp: the last letter; but -pPID has its value.
    let mut letters = word.chars().skip(1);
    let first = letters.by_ref().find_map(|letter| {
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(letter));
        arg.filter(takes)
    });
    first.filter(|_| letters.next().is_none())
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// By `--name`, an alias too.
fn flag_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--")?;
    command.get_arguments().find(|arg| {
        let alias = arg.get_visible_aliases().unwrap_or_default();
        arg.get_long() == Some(name) || alias.contains(&name)
    })
}

/// All flags, long names first.
fn flags(command: &Command) -> Vec<Candidate> {
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let long = shown().filter_map(|arg| Some((format!("--{}", arg.get_long()?), help(arg))));
    let short = shown().filter_map(|arg| Some((format!("-{}", arg.get_short()?), help(arg))));
    long.chain(short).collect()
}

fn help(arg: &Arg) -> String {
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn starting(mut all: Vec<Candidate>, start: &str) -> Vec<Candidate> {
    all.retain(|(word, _)| word.starts_with(start));
    all
}

/// Values of a flag, or of a word without one. `before`: what of the word is not the value.
fn value(page: &Page, arg: &Arg, before: &str, start: &str, given: &Given<'_>) -> Next {
    let id = arg.get_id().as_str();
    if let Some(ending) = values::file_ending(id) {
        return if ending.is_empty() { Next::File } else { Next::FileOf(ending) };
    }
    // The last one of a list.
    let (list, start) = match start.rsplit_once(',') {
        Some((list, start)) if values::is_list(id) => (format!("{list},"), start),
        _ => (String::new(), start),
    };
    let known = arg.get_possible_values().into_iter().map(|value| {
        let about = value.get_help().map(ToString::to_string).unwrap_or_default();
        (value.get_name().to_owned(), about)
    });
    let mut all: Vec<_> = known.collect();
    if all.is_empty() {
        all = values::of(page, id, start, given);
    }
    let all = starting(all, start).into_iter();
    Next::Words(all.map(|(word, about)| (format!("{before}{list}{word}"), about)).collect())
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;
    use crate::engine::cli::CommonArgs;
    use crate::engine::manual::Manual;

    fn page() -> Page {
        let command = CommonArgs::augment_args(Command::new("tool"));
        let signal = Arg::new("signal").short('s').long("signal").visible_alias("sig");
        let command = command.arg(signal.action(ArgAction::Append));
        Page { command, manual: Manual::TRACER, values: |_, _| None }
    }

    fn words(line: &str) -> Vec<String> {
        let words: Vec<_> = line.split(' ').collect();
        match next(&page(), &words) {
            Next::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            other => vec![other.lines().trim_end().to_owned()],
        }
    }

    #[test]
    fn flags_and_their_values() {
        assert_eq!(words("--js"), ["--json"]);
        assert!(words("-").contains(&"-T".to_owned()) && words("").is_empty());
        assert!(!words("--").contains(&"--cgroupmap".to_owned()), "hidden");
        for line in ["--signal KIL", "--sig KIL", "-s KIL", "-Ts KIL", "--signal = KIL"] {
            assert_eq!(words(line), ["KILL"], "{line}");
        }
        assert_eq!(words("--signal SIGKIL"), ["SIGKILL"]);
        assert_eq!(words("--signal=KIL"), ["--signal=KILL"]);
        assert_eq!(words("-sKILL --js"), ["--json"], "has its value");
        assert_eq!(words("--signal KILL --js"), ["--json"]);
        assert_eq!(words("--color al"), ["always"]);
        assert_eq!(words("--uid roo"), ["root"]);
        assert_eq!(words("--not-uid roo"), ["root"]);
        assert_eq!(words("--not-pid 1").iter().filter(|pid| *pid == "1").count(), 1);
        assert_eq!(words("--pid 1").iter().filter(|pid| *pid == "1").count(), 1);
    }

    #[test]
    fn a_command_completes_itself() {
        assert_eq!(words("--json -- l"), [":command 2"]);
        assert_eq!(words("-- ls --col"), [":command 1"]);
        assert_eq!(words("--comm -- l"), Vec::<String>::new(), "the name is --");
    }

    #[test]
    fn tasks_and_files() {
        let page = crate::bpfrun::pages().remove(0);
        let lines = |line: &str| next(&page, &line.split(' ').collect::<Vec<_>>()).lines();
        assert!(lines("ins").starts_with("inspect\t"));
        assert_eq!(lines("x"), ":files .o\n");
        assert_eq!(lines("inspect x"), ":files .o\n");
        assert!(lines("x.o --att").starts_with("--attach\t"), "as behind run");
        assert!(lines("--all-p").starts_with("--all-printk\t"));
        assert_eq!(lines("x.o --btf x"), ":files\n");
    }
}
