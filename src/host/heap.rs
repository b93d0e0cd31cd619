//! The memory of this process.

/// Loading leaves megabytes of free heap behind, above all from the kernel's BTF.
pub(crate) fn free_unused_memory() {
    // SAFETY: gives free memory back to the system; nothing that is in use moves.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
