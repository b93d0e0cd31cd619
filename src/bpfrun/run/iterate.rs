//! Reads iterators to their end.

use std::io::{ErrorKind, Read as _};
use std::ops::ControlFlow;

use anyhow::{Context, Result};
use libbpf_rs::{Iter, Link};

/// Runs the iterator to its end. Hands over its output, piece by piece, until `each` breaks.
pub fn read(link: &Link, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
    let mut iterator = Iter::new(link).context("start")?;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match iterator.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                if each(chunk.get(..len).unwrap_or_default()).is_break() {
                    return Ok(());
                }
            }
            // The kernel stops after many objects in a row that wrote nothing.
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error).context("read"),
        }
    }
}
