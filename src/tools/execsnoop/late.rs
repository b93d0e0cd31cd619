//! Arguments of a failed call that the program in the kernel could not read.
//!
//! The program must not fault pages in, and since 6.8 the kernel itself looks for the file before
//! it reads the arguments: strings in memory that nobody has touched yet are not readable then. The
//! record has their addresses, and this module reads them a moment later, if the process still has
//! the same memory. They differ only if the process has written to them since, for the first time;
//! rows say that they were read late.

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::Exec;
use crate::host::proc::Stat;
use crate::skel::{exec_event, exec_flag};

/// `MAX_ARG_STRLEN`: the kernel accepts no longer string.
const MOST_BYTES: usize = 128 * 1024;

/// The record with its cold strings, if it has any and they can be read now.
pub fn complete(exec: &Exec<'_>) -> Option<Vec<u8>> {
    let mut cold = exec.cold().peekable();
    cold.peek()?;
    let process = Process { pid: exec.event.id.pid };
    // The same addresses mean the same strings only in the same memory.
    let same_memory = || process.arg_start() == Some(exec.event.arg_start);
    if !same_memory() {
        return None;
    }
    let mut args = Vec::new();
    for (index, arg) in (0u32..).zip(exec.args.split_inclusive(|&b| b == 0)) {
        match cold.next_if(|cold| cold.index == index) {
            Some(cold) => process.read_string(cold.address, &mut args)?,
            None => args.extend_from_slice(arg),
        }
    }
    same_memory().then(|| rebuild(exec, &args))
}

fn rebuild(exec: &Exec<'_>, args: &[u8]) -> Vec<u8> {
    let event = exec_event {
        flags: exec_flag(exec.event.flags.0 | exec_flag::EXEC_ARGS_LATE.0),
        cold_len: 0,
        args_len: args.len() as u32,
        args_total: args.len() as u32,
        ..exec.event
    };
    // SAFETY: integers without padding.
    let fixed = unsafe { plain::as_bytes(&event) };
    [fixed, exec.path, exec.filename, exec.interpreter, args].concat()
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
