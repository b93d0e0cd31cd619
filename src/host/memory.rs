//! The machine's memory.

/// Bytes of a page.
pub fn page_size() -> u64 {
    // SAFETY: sysconf() only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}
