//! In the place of `symbols.rs` in a build without the feature `stacks`: nothing has a name.

use super::frame::Frame;

/// No names of the kernel's functions.
#[derive(Default)]
pub(super) struct KernelNames;

impl KernelNames {
    /// No name for any frame.
    pub(super) fn of(&self, frames: &[Frame]) -> Vec<Option<String>> {
        vec![None; frames.len()]
    }
}

/// No names of what is in a process.
#[derive(Default)]
pub(super) struct ProcessNames;

impl ProcessNames {
    /// Nothing to forget.
    pub(super) fn forget(&mut self) {}

    /// No name for any frame.
    pub(super) fn functions(&self, _pid: u32, frames: &[Frame]) -> Vec<Option<String>> {
        vec![None; frames.len()]
    }

    /// Likewise.
    pub(super) fn places(&self, _pid: u32, frames: &[Frame]) -> Vec<Option<String>> {
        vec![None; frames.len()]
    }
}
