//! `PROGRAM --generate KIND`: the files packaged beside a program, and the demo for the tests. Each
//! program generates its own, so no list of programs exists.

mod complete;
mod man;
mod shells;
mod values;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::engine::manual::{Demo, Page};
use crate::engine::session::say;

/// The flag. It is for packagers, so `--help` does not show it.
const FLAG: &str = "--generate";

/// The values of the flag.
const KINDS: &str =
    "pages, man [PAGE], complete-bash, complete-zsh, complete-fish, complete WORD... or demo";

/// If `words` contain the flag: prints the output, and returns the exit status. `pages`: of the
/// program and its subcommands.
pub fn answer(words: &[OsString], pages: impl FnOnce() -> Vec<Page>) -> Option<ExitCode> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let [_, flag, words @ ..] = words.as_slice() else { return None };
    if flag != FLAG {
        return None;
    }
    let pages = pages();
    let name = pages.first().map_or("", |page| page.command.get_name()).to_owned();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    let printed = generate(&words, &pages)
        .and_then(|text| std::io::stdout().write_all(&text).context("cannot write to stdout"));
    Some(match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&name, &format!("{error:#}"));
            ExitCode::from(2)
        }
    })
}

fn generate(words: &[&str], pages: &[Page]) -> Result<Vec<u8>> {
    let first = pages.first().context("a program has a page")?;
    match words {
        ["pages"] => {
            let names = pages.iter().map(|page| format!("{}\n", page.command.get_name()));
            Ok(names.collect::<String>().into_bytes())
        }
        ["man"] => man::page(first),
        ["man", name] => {
            let page = pages.iter().find(|page| page.command.get_name() == *name);
            man::page(page.with_context(|| format!("no page {name}"))?)
        }
        ["complete-bash"] => Ok(shells::script(shells::BASH, first.command.get_name())),
        ["complete-zsh"] => Ok(shells::script(shells::ZSH, first.command.get_name())),
        ["complete-fish"] => Ok(shells::script(shells::FISH, first.command.get_name())),
        ["complete", words @ ..] => Ok(complete::next(first, words).lines().into_bytes()),
        ["demo"] => Ok(first.manual.demo.lines().into_bytes()),
        _ => bail!("{FLAG} takes {KINDS}"),
    }
}

impl Demo {
    /// Lines of `key=value`.
    fn lines(&self) -> String {
        let Self { event, command, flags, object } = self;
        format!("event={event}\ncommand={command}\nflags={flags}\nobject={object}\n")
    }
}
