//! `PROGRAM --generate KIND`: what is packaged beside a program, and what the tests run. Each program
//! tells it of itself, so nothing has to list them.

mod man;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap_complete::Shell;

use crate::engine::manual::{Demo, Page};
use crate::engine::session::say;

/// The flag. It is for those who package, so `--help` does not show it.
const FLAG: &str = "--generate";

/// What follows it.
const KINDS: &str = "pages, man [PAGE], complete-bash, complete-zsh, complete-fish or demo";

/// If `words` ask for it: prints it, and how the program ends. `pages`: the program's own, and those
/// of its subcommands.
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
        ["complete-bash"] => Ok(completions(first, Shell::Bash)),
        ["complete-zsh"] => Ok(completions(first, Shell::Zsh)),
        ["complete-fish"] => Ok(completions(first, Shell::Fish)),
        ["demo"] => Ok(first.manual.demo.lines().into_bytes()),
        _ => bail!("{FLAG} takes {KINDS}"),
    }
}

fn completions(page: &Page, shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    let name = page.command.get_name().to_owned();
    clap_complete::generate(shell, &mut page.command.clone(), name, &mut text);
    text
}

impl Demo {
    /// Lines of `key=value`.
    fn lines(&self) -> String {
        let Self { event, command, flags, object } = self;
        format!("event={event}\ncommand={command}\nflags={flags}\nobject={object}\n")
    }
}
