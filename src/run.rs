//! `bpfrun run`: loads any compiled BPF object, attaches its programs each on its own, and
//! shows what it sends.

mod args;

use anyhow::{Result, bail};

pub use args::{Args, EXAMPLES};

/// Runs the object to its end. Returns the exit status.
pub fn main(_args: &Args) -> Result<u8> {
    bail!("running is yet to be written")
}
