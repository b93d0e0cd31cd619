//! Makes what is packaged beside the programs: manual pages, completions, and the licences of
//! what is compiled in. All of it depends on nothing but the sources and `SOURCE_DATE_EPOCH`.

mod licences;
mod man;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use clap_complete::Shell;
use snoop_tools::pages::pages;

/// Make what is packaged beside the programs
#[derive(Parser)]
enum Task {
    /// Write manual pages and completions, laid out as in /usr/share
    Share {
        /// Folder to write to
        out: PathBuf,
    },
    /// Print the licences of all that is compiled in
    Licences {
        /// Features of the build, as cargo takes them
        #[arg(long, default_value = "")]
        features: String,
        /// Target platform of the build
        #[arg(long)]
        target: String,
    },
    /// Print the name of each program, one a line
    Programs,
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Share { out } => share(&out),
        Task::Licences { features, target } => licences::print(&features, &target),
        Task::Programs => {
            programs().for_each(|program| println!("{}", program.get_name()));
            Ok(())
        }
    }
}

/// All programs; pages of subcommands are named `program-subcommand`.
fn programs() -> impl Iterator<Item = clap::Command> {
    pages().into_iter().map(|page| page.command).filter(|command| !command.get_name().contains('-'))
}

fn share(out: &Path) -> Result<()> {
    let manual = folder(out, "man/man8")?;
    for page in pages() {
        let path = manual.join(format!("{}.8", page.command.get_name()));
        fs::write(&path, man::page(&page)?).with_context(|| path.display().to_string())?;
    }
    let bash = folder(out, "bash-completion/completions")?;
    let zsh = folder(out, "zsh/site-functions")?;
    let fish = folder(out, "fish/vendor_completions.d")?;
    for program in programs() {
        let name = program.get_name().to_owned();
        let write = |shell, path: PathBuf| {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut program.clone(), &name, &mut text);
            fs::write(&path, text).with_context(|| path.display().to_string())
        };
        write(Shell::Bash, bash.join(&name))?;
        write(Shell::Zsh, zsh.join(format!("_{name}")))?;
        write(Shell::Fish, fish.join(format!("{name}.fish")))?;
    }
    Ok(())
}

fn folder(out: &Path, below: &str) -> Result<PathBuf> {
    let path = out.join(below);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}
