//! `bpfrun inspect`: what is in a compiled BPF object, without privileges.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// Flags of `bpfrun inspect`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// A compiled BPF object
    pub file: PathBuf,

    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Shows the object. Returns the exit status.
pub fn main(_args: &Args) -> Result<u8> {
    bail!("inspecting is yet to be written")
}
