//! Arguments of a failed call that the program in the kernel could not read.
//!
//! It must not fault pages in, and since 6.8 the kernel itself looks for the file before it
//! reads the arguments: of those in memory that nobody has touched yet, nothing is there. They
//! are read here a moment later, if the process still has the same memory. Only a process
//! that changes the strings right after the call could make them differ; rows say so.

use std::fs;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::Exec;
use crate::skel::{exec_event, exec_flag};

/// As many bytes and arguments as are read at the most.
const MOST_BYTES: usize = 2 * 1024 * 1024;
const MOST_ARGS: usize = 128 * 1024;

/// `record` with its arguments completed, if they were unreadable and can be read now.
pub fn complete(exec: &Exec<'_>) -> Option<Vec<u8>> {
    let unreadable = exec.is(exec_flag::EXEC_ARGS_FAULT) && !exec.is(exec_flag::EXEC_FATAL);
    if exec.errno().is_none() || !unreadable || exec.event.argv == 0 {
        return None;
    }
    let process = Process { pid: exec.event.id.pid };
    // The same addresses mean the same strings only in the same memory.
    let same_memory = || process.arg_start() == Some(exec.event.arg_start);
    if !same_memory() {
        return None;
    }
    let width = if exec.is(exec_flag::EXEC_COMPAT) { 4 } else { 8 };
    let (argc, args) = process.read_argv(exec.event.argv, width)?;
    same_memory().then(|| rebuild(exec, argc, &args))
}

fn rebuild(exec: &Exec<'_>, argc: u32, args: &[u8]) -> Vec<u8> {
    let known = exec_flag::EXEC_ARGS_FAULT.0
        | exec_flag::EXEC_ARGC_MORE.0
        | exec_flag::EXEC_ARGS_TOTAL_UNKNOWN.0;
    let event = exec_event {
        flags: exec_flag(exec.event.flags.0 & !known | exec_flag::EXEC_ARGS_LATE.0),
        argc,
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
    /// Address of its own arguments, which differs from image to image (ASLR).
    fn arg_start(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // proc_pid_stat(5): field 48, counted from the name that ends with the last ")".
        stat.rsplit_once(')')?.1.split_whitespace().nth(48 - 3)?.parse().ok()
    }

    /// Reads up to the end of `buffer` or of the page in which `address` lies.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<usize> {
        let base = usize::try_from(address).ok()?;
        let len = buffer.len().min(4096 - base % 4096);
        let mut local = [std::io::IoSliceMut::new(buffer.get_mut(..len)?)];
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?);
        process_vm_readv(pid, &mut local, &[RemoteIoVec { base, len }]).ok().filter(|&n| n > 0)
    }

    /// The number of arguments, and each with its NUL.
    fn read_argv(&self, argv: u64, width: usize) -> Option<(u32, Vec<u8>)> {
        let mut args = Vec::new();
        for index in 0..MOST_ARGS {
            let mut pointer = [0; 8];
            let address = argv.checked_add((index * width) as u64)?;
            // Pointers are aligned, so none crosses a page.
            if self.read(address, pointer.get_mut(..width)?)? < width {
                return None;
            }
            match u64::from_le_bytes(pointer) {
                0 => return Some((index as u32, args)),
                string => self.read_string(string, &mut args)?,
            }
        }
        None
    }

    /// Appends the string at `address` with its NUL.
    fn read_string(&self, mut address: u64, to: &mut Vec<u8>) -> Option<()> {
        let mut page = [0; 4096];
        while to.len() < MOST_BYTES {
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

    /// A failed call of this very process with `argv`, of which nothing could be read.
    fn unread(argv: &[*const u8], arg_start: u64) -> Vec<u8> {
        let mut record = failure(std::process::id(), libc::ENOENT, "/no/such", &[]);
        edit(&mut record, |event| {
            event.flags = exec_flag::EXEC_ARGS_FAULT;
            event.argv = argv.as_ptr() as u64;
            event.arg_start = arg_start;
        });
        record
    }

    fn own_arg_start() -> u64 {
        Process { pid: std::process::id() }.arg_start().unwrap()
    }

    #[test]
    fn arguments_are_completed() {
        let long = [b'x'; 10_000];
        let strings =
            [b"first\0".as_slice(), b"\0", &[&long[..], b"\0"].concat()].map(<[u8]>::to_vec);
        let mut argv: Vec<_> = strings.iter().map(Vec::as_ptr).collect();
        argv.push(std::ptr::null());
        let record = unread(&argv, own_arg_start());
        let complete = complete(&Exec::decode(&record).unwrap()).unwrap();
        let exec = Exec::decode(&complete).unwrap();
        assert_eq!(exec.args().collect::<Vec<_>>(), [&b"first"[..], b"", &long]);
        assert_eq!((exec.event.argc, exec.cut(usize::MAX)), (3, None));
        assert_eq!(exec.filename, b"/no/such");
        assert!(exec.is(exec_flag::EXEC_ARGS_LATE) && !exec.is(exec_flag::EXEC_ARGS_FAULT));
    }

    #[test]
    fn not_from_other_memory_and_not_from_bad_addresses() {
        let bad = [16 as *const u8, std::ptr::null()];
        for (argv, arg_start) in [(&[std::ptr::null()][..], 1), (&bad, own_arg_start())] {
            let record = unread(argv, arg_start);
            assert!(complete(&Exec::decode(&record).unwrap()).is_none());
        }
    }
}
