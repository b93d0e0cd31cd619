//! Events of `perf_event_open()` that run BPF programs.

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::ptr::NonNull;

use libbpf_rs::{AsRawLibbpf as _, Link, ProgramMut};
use libbpf_sys::perf_event_attr;
use nix::errno::Errno;

/// An event of this type (`PERF_TYPE_…`) and number, without a period yet.
pub fn attributes(kind: u32, config: u64) -> perf_event_attr {
    let size = size_of::<perf_event_attr>() as u32;
    perf_event_attr { type_: kind, size, config, ..Default::default() }
}

/// Opens an event for all processes on one CPU.
pub fn open(attributes: &perf_event_attr, cpu: i32) -> Result<OwnedFd, Errno> {
    const ALL: i32 = -1;
    const NO_GROUP: i32 = -1;
    // SAFETY: the kernel reads the attributes, whose size is in them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attributes),
            ALL,
            cpu,
            NO_GROUP,
            libbpf_sys::PERF_FLAG_FD_CLOEXEC,
        )
    };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs a loaded program at each occurrence of the event, for as long as the link lives.
///
/// Calls libbpf's own function, because libbpf-rs's error has no errno.
pub fn attach(program: &ProgramMut<'_>, event: OwnedFd) -> Result<Link, Errno> {
    if program.as_fd().as_raw_fd() < 0 {
        return Err(Errno::EBADF); // it is not loaded
    }
    let (program, fd) = (program.as_libbpf_object().as_ptr(), event.as_raw_fd());
    // SAFETY: program and event live until it returns.
    let link = unsafe { libbpf_sys::bpf_program__attach_perf_event(program, fd) };
    let link = NonNull::new(link).ok_or_else(Errno::last)?;
    // The link owns the event from here on, and closes it.
    let _ = event.into_raw_fd();
    // SAFETY: libbpf has just made it, and nobody else has it.
    Ok(unsafe { Link::from_ptr(link) })
}
