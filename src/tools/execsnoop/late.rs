//! Strings of a failed call that the program in the kernel could not read.
//!
//! The program must not fault pages in, and the kernel itself may not have read the strings: since
//! 6.8 it looks for the file first, and a seccomp filter refuses the call before all that. Strings in
//! memory that nobody has touched yet are not readable then. The record has their addresses, and
//! this module reads them a moment later, if the process still has the same memory. They differ only
//! if the process has written to them since, for the first time; rows say that they were read late.
//! Is the process gone, then constant strings are still in the file of its program.

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::Exec;
use super::image::Image;
use crate::host::proc::Stat;
use crate::skel::{exec_cold, exec_event, exec_flag};

/// `MAX_ARG_STRLEN`: the kernel accepts no longer string.
const MOST_BYTES: usize = 128 * 1024;

/// `EXEC_COLD_FILENAME` of `execve.h`.
pub(super) const FILENAME: u32 = u32::MAX;

/// Whether some strings of this call could not be read.
pub(super) fn is_incomplete(exec: &Exec<'_>) -> bool {
    exec.cold().next().is_some()
}

/// The record with its cold strings, if it has any and they can be read now. This may take for ever:
/// the process chose the memory.
pub(super) fn complete(exec: &Exec<'_>) -> Option<Vec<u8>> {
    exec.cold().next()?;
    from_memory(exec).or_else(|| {
        let image = Image::of(exec)?;
        strings(exec, |address, to| image.read_string(address, to))
    })
}

fn from_memory(exec: &Exec<'_>) -> Option<Vec<u8>> {
    let process = Process { pid: exec.event.id.pid };
    // The same addresses mean the same strings only in the same memory.
    let same_memory = || process.arg_start() == Some(exec.event.arg_start);
    if !same_memory() {
        return None;
    }
    let record = strings(exec, |address, to| process.read_string(address, to))?;
    same_memory().then_some(record)
}

/// The record with strings that `read` appends, each with its NUL.
fn strings(exec: &Exec<'_>, read: impl Fn(u64, &mut Vec<u8>) -> Option<()>) -> Option<Vec<u8>> {
    let is_filename = |cold: &exec_cold| cold.index == FILENAME;
    let mut filename = Vec::new();
    match exec.cold().find(is_filename) {
        Some(cold) => {
            read(cold.address, &mut filename)?;
            filename.pop();
        }
        None => filename.extend_from_slice(exec.filename),
    }
    if filename.len() >= libc::PATH_MAX as usize {
        return None;
    }
    let mut cold = exec.cold().filter(|cold| !is_filename(cold)).peekable();
    let mut args = Vec::new();
    for (index, arg) in (0u32..).zip(exec.args.split_inclusive(|&b| b == 0)) {
        match cold.next_if(|cold| cold.index == index) {
            Some(cold) => read(cold.address, &mut args)?,
            None => args.extend_from_slice(arg),
        }
    }
    Some(rebuild(exec, &filename, &args))
}

fn rebuild(exec: &Exec<'_>, filename: &[u8], args: &[u8]) -> Vec<u8> {
    let flags = exec.event.flags.0 & !exec_flag::EXEC_FILENAME_FAULT.0;
    let event = exec_event {
        flags: exec_flag(flags | exec_flag::EXEC_ARGS_LATE.0),
        path_len: 0,
        filename_len: filename.len() as u16,
        cold_len: 0,
        args_len: args.len() as u32,
        args_total: args.len() as u32,
        env_len: 0,
        ..exec.event
    };
    // SAFETY: integers without padding.
    let fixed = unsafe { plain::as_bytes(&event) };
    [fixed, filename, exec.interpreter, exec.cwd, args].concat()
}

/// Another process's memory.
struct Process {
    pid: u32,
}

impl Process {
    /// Address of the process's own arguments, which differs from image to image (ASLR).
    fn arg_start(&self) -> Option<u64> {
        Stat::read(self.pid)?.number(48)
    }

    /// Reads up to the end of `buffer` or of the page in which `address` lies.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<usize> {
        let base = usize::try_from(address).ok()?;
        let len = buffer.len().min(4096 - base % 4096);
        let mut local = [std::io::IoSliceMut::new(buffer.get_mut(..len)?)];
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?);
        process_vm_readv(pid, &mut local, &[RemoteIoVec { base, len }]).ok().filter(|&n| n > 0)
    }

    /// Appends the string at `address` with its NUL.
    fn read_string(&self, mut address: u64, to: &mut Vec<u8>) -> Option<()> {
        let mut page = [0; 4096];
        let start = to.len();
        while to.len() - start < MOST_BYTES {
            let n = self.read(address, &mut page)?;
            let part = page.get(..n)?;
            if let Some(end) = part.iter().position(|&b| b == 0) {
                to.extend_from_slice(part.get(..=end)?);
                return Some(());
            }
            to.extend_from_slice(part);
            address = address.checked_add(n as u64)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{edit, failure};
    use super::*;
    use crate::skel::exec_cold;

    /// A failed call of this very process; `addresses` by index could not be read.
    fn unread(args: &[&[u8]], addresses: &[(u32, *const u8)], arg_start: u64) -> Vec<u8> {
        let mut record = failure(std::process::id(), libc::ENOENT, "/no/such", args);
        let at = size_of::<exec_event>() + "/bin/x/no/such".len();
        for &(index, address) in addresses.iter().rev() {
            let cold = exec_cold { address: address as u64, index, pad: 0 };
            // SAFETY: integers without padding.
            let bytes = unsafe { plain::as_bytes(&cold) };
            record.splice(at..at, bytes.iter().copied());
        }
        edit(&mut record, |event| {
            event.cold_len = (addresses.len() * size_of::<exec_cold>()) as u16;
            event.arg_start = arg_start;
        });
        record
    }

    fn own_arg_start() -> u64 {
        Process { pid: std::process::id() }.arg_start().unwrap()
    }

    #[test]
    fn cold_strings_are_completed() {
        let long = [&[b'x'; 10_000][..], b"\0"].concat();
        let addresses = [(1, c"cold".as_ptr().cast()), (3, long.as_ptr())];
        let record = unread(&[b"warm", b"", b"", b"", b"last"], &addresses, own_arg_start());
        let exec = Exec::decode(&record).unwrap();
        assert!(exec.args_unreadable());
        let complete = complete(&exec).unwrap();
        let exec = Exec::decode(&complete).unwrap();
        let expected = [&b"warm"[..], b"cold", b"", &long[..10_000], b"last"];
        assert_eq!(exec.args().collect::<Vec<_>>(), expected);
        assert_eq!((exec.event.argc, exec.cut(usize::MAX)), (5, None));
        assert_eq!(exec.filename, b"/no/such");
        assert!(exec.is(exec_flag::EXEC_ARGS_LATE) && !exec.args_unreadable());
    }

    #[test]
    fn not_from_other_memory_and_not_from_bad_addresses() {
        let bad = 16 as *const u8;
        for (address, arg_start) in [(c"other".as_ptr().cast(), 1), (bad, own_arg_start())] {
            let record = unread(&[b""], &[(0, address)], arg_start);
            assert!(complete(&Exec::decode(&record).unwrap()).is_none());
        }
    }
}
