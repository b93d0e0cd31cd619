//! Shows the contents of a compiled BPF object, and runs it: see `inspect` and `run` of the
//! library.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anyhow::Context as _;

use snoop_tools::bpfrun::{Args, Task, pages};
use snoop_tools::engine::cli::parse;
use snoop_tools::engine::explain::in_words;
use snoop_tools::engine::file_limit;
use snoop_tools::engine::generate;
use snoop_tools::engine::session::say;
use snoop_tools::{bpfrun::inspect, bpfrun::run};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(status) = generate::answer(&words, pages) {
        return status;
    }
    let usual = [("inspect", inspect::MANUAL.usual), ("run", run::args::MANUAL.usual)];
    let task = parse::<Args>(&with_task(words), &usual).task;
    let ended = file_limit::ignore().context("signal").and_then(|()| match &task {
        Task::Inspect(args) => inspect::main(args),
        Task::Run(args) => run::main(args),
    });
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say("bpfrun", &in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// Puts `run` before the arguments if they name no task, as in `bpfrun FILE`. A file with the name
/// of a task can be given as `./inspect`.
fn with_task(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).map(OsString::as_os_str);
    let tasks = ["inspect", "run", "help", "--help", "-h", "--version", "-V"];
    if first.is_some_and(|first| !tasks.map(OsStr::new).contains(&first)) {
        args.insert(1, "run".into());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        with_task(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn a_plain_call_is_run() {
        assert_eq!(words("bpfrun x.o rb"), ["bpfrun", "run", "x.o", "rb"]);
        assert_eq!(words("bpfrun --json x.o"), ["bpfrun", "run", "--json", "x.o"]);
        assert_eq!(words("bpfrun ./inspect"), ["bpfrun", "run", "./inspect"]);
        for as_it_is in ["bpfrun", "bpfrun inspect x.o", "bpfrun run x.o", "bpfrun --help"] {
            assert_eq!(words(as_it_is).len(), as_it_is.split(' ').count());
        }
    }
}
