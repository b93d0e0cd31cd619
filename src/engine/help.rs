//! `-h` and `--help`: the first fits a screen, the second is complete. Both end where the terminal
//! does.

use clap::error::{ErrorKind, Result};
use clap::{Arg, Command};
use std::ffi::OsString;

use crate::engine::manual::Manual;

/// Wider lines are hard to read.
const WIDEST: usize = 100;

/// Flags of every tool that `-h` shows, by their ids.
const USUAL: [&str; 7] = ["pid", "uid", "tree", "time", "columns", "duration", "json"];

/// What ends `-h`.
const MORE: &str = "--help explains all flags, the columns and the notes behind #.";

/// The same for a task of a program.
const MORE_OF_TASK: &str = "--help explains all flags, with examples.";

/// The width for help: that of the terminal, or of the environment variable COLUMNS. clap takes the
/// same.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(variable).filter(|&width| width > 0).map_or(WIDEST, |width| width.min(WIDEST))
}

/// A command line, parsed by a tool's command, whose help comes from its manual as well.
/// `is_common`: of an id, whether it is that of a flag of every tool.
pub(crate) fn parse(
    command: Command,
    manual: &Manual,
    is_common: impl Fn(&str) -> bool,
    words: &[OsString],
) -> Result<clap::ArgMatches> {
    let width = width();
    let whole = command.clone().term_width(width).after_help(manual.after_help(width));
    let parsed = whole.try_get_matches_from(words);
    match parsed {
        Err(error) if error.kind() == ErrorKind::DisplayHelp && !asks_for_all(words) => {
            short(command, manual, is_common).term_width(width).try_get_matches_from(words)
        }
        parsed => parsed,
    }
}

/// A command line, parsed by the command of a program with tasks. `usual`: the flags and words that
/// `-h` shows of some of its tasks, by their ids.
pub(crate) fn parse_task(
    command: Command,
    usual: &[(&str, &[&str])],
    words: &[OsString],
) -> Result<clap::ArgMatches> {
    let command = command.term_width(width());
    match command.clone().try_get_matches_from(words) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp && !asks_for_all(words) => {
            let short = |task: Command| {
                let name = task.get_name().to_owned();
                match usual.iter().find(|(of, _)| *of == name) {
                    Some((_, usual)) => {
                        only(task, |id| usual.contains(&id)).after_help(MORE_OF_TASK)
                    }
                    None => task,
                }
            };
            command.mut_subcommands(short).try_get_matches_from(words)
        }
        parsed => parsed,
    }
}

/// Whether all of the help is asked for: `--help`, or the task `help`.
fn asks_for_all(words: &[OsString]) -> bool {
    let mut flags = words.iter().take_while(|word| *word != "--");
    words.get(1).is_some_and(|word| word == "help") || flags.any(|word| word == "--help")
}

/// The command as `-h` shows it: the flags that most people need, each in one line.
fn short(command: Command, manual: &Manual, is_common: impl Fn(&str) -> bool) -> Command {
    let name = command.get_name().to_owned();
    let is_shown = |id: &str| match is_common(id) {
        true => USUAL.contains(&id),
        false => manual.usual.is_empty() || manual.usual.contains(&id),
    };
    only(command, is_shown)
        .override_usage(format!("{name} [OPTIONS] [-- COMMAND...]"))
        .after_help(MORE)
}

/// The command with these flags and words, each in one line.
fn only(command: Command, is_shown: impl Fn(&str) -> bool) -> Command {
    command
        .mut_args(|arg| {
            let help = arg.get_help().map(|help| first_clause(&help.to_string()).to_owned());
            let is_shown = is_shown(arg.get_id().as_str());
            let arg = if is_shown { arg } else { Arg::hide(arg, true) };
            help.into_iter().fold(arg, Arg::help)
        })
        .disable_version_flag(true)
}

/// `Only this process` of `Only this process (repeatable); the tool ends with the last of them`.
fn first_clause(text: &str) -> &str {
    let ends =
        ["; ", ": ", " (", ". ", " [", ", if ", ", to ", ", as ", ", such ", ", or ", ", by "];
    let ends = ends.into_iter().chain([", this often", ", at the end", ", with histograms"]);
    let end = ends.filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}
