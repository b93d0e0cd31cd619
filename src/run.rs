//! `bpfrun run`: loads any compiled BPF object, attaches its programs each on its own, and
//! shows what it sends.

pub mod args;
pub mod attach;
pub mod file;
pub mod hook;
pub mod load;
pub mod maps;
pub mod place;
pub mod plan;
pub mod reason;
pub mod sample;
pub mod tracefs;

use std::io::Write as _;

use anyhow::{Context, Result};

pub use args::{Args, EXAMPLES};

/// Runs the object to its end. Returns the exit status.
pub fn main(args: &Args) -> Result<u8> {
    let image = file::read(&args.file)?;
    let name = args.file.file_stem().context("a file without a name")?.to_string_lossy();
    let name = name.trim_end_matches(".bpf");
    let mut loaded = load::load(name, &image, args, &|_| Ok(()))?;
    let links = attach::attach(&mut loaded, args);
    let _ = std::io::stderr().write_all(&plan::table(&loaded.programs));
    drop(links);
    Ok(0)
}
