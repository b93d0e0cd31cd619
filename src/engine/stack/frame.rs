//! A frame of a stack.

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The return address: the next instruction
    pub(super) address: u64,
    /// An address that is surely in the calling function: just before the return address, which
    /// belongs to another function if a call that does not return comes last.
    pub(super) inside: u64,
}
