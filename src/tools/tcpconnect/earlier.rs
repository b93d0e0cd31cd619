//! Attempts that began before tracing: an iterator over open files finds them or, where the kernel
//! refuses iterators, `/proc` does.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context, Result};
use libbpf_rs::{Iter, MapCore as _, MapFlags, ProgramMut};
use nix::errno::Errno;

use super::pending::{loaded, run};
use crate::engine::cli::CommonArgs;
use crate::engine::session::say;
use crate::host::descriptor::{of_process, owned};
use crate::host::pidns;
use crate::host::proc::{Stat, first_ns, pids};
use crate::skel::tcpconnect::TcpconnectSkel;
use crate::skel::tcpconnect::types::task_id;

/// `TCP_SYN_SENT` in `/proc/net/tcp`
const SYN_SENT: &str = "02";

/// Enters the sockets that are connecting already as attempts.
///
/// # Errors
///
/// The allowed way failed nevertheless.
pub fn begin(object: &TcpconnectSkel<'_>, args: &CommonArgs) -> Result<()> {
    let programs = &object.progs;
    if programs.earlier.autoload() {
        // libbpf-rs's errors have no errno, by which a lack of descriptors is told.
        let link = programs.earlier.attach().map_err(|_| Errno::last())?;
        let mut all = Iter::new(&link).map_err(|_| Errno::last())?;
        all.read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    match loaded([&programs.adopt, &programs.adopt_syscall]) {
        Some(program) => adopt(program, object, args),
        None => Ok(()), // it was said that they are not shown
    }
}

/// Hands each connecting socket of `/proc` to `program`.
///
/// # Errors
///
/// A failure to run the program.
fn adopt(program: &ProgramMut<'_>, object: &TcpconnectSkel<'_>, args: &CommonArgs) -> Result<()> {
    if !pidns::is_initial() {
        let why = "this PID namespace does not know the ids of processes outside of it";
        say("tcpconnect", &format!("not shown: attempts that were begun before tracing: {why}"));
        return Ok(());
    }
    let connecting = connecting_sockets();
    if connecting.is_empty() || !(args.cgroup.is_empty() && args.not_cgroup.is_empty()) {
        return Ok(()); // what cgroup a process was in then is not known
    }
    for pid in pids() {
        let Some(owner) = owner(pid) else { continue };
        if !is_asked_for(&owner, object, args) {
            continue;
        }
        for socket in borrow(pid, &connecting) {
            // SAFETY: plain integers without padding.
            let bytes = unsafe { plain::as_bytes(&owner) };
            let place = &object.maps.data_adopt;
            place.update(&0u32.to_ne_bytes(), bytes, MapFlags::ANY).context("set .data.adopt")?;
            run(program, &[u64::from(socket.as_raw_fd().unsigned_abs())])?;
        }
    }
    Ok(())
}

/// Inode numbers of all TCP sockets that wait for an answer to their SYN, in all network namespaces
/// that have processes.
fn connecting_sockets() -> HashSet<u64> {
    let mut namespaces = HashSet::new();
    let mut inodes = HashSet::new();
    for pid in pids() {
        let Ok(namespace) = fs::metadata(format!("/proc/{pid}/ns/net")) else { continue };
        if !namespaces.insert(namespace.ino()) {
            continue;
        }
        for table in ["tcp", "tcp6"] {
            let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            inodes.extend(table.lines().filter_map(connecting_socket));
        }
    }
    inodes
}

/// proc(5): `sl local remote st tx:rx tr:tm retransmits uid timeout inode`
fn connecting_socket(line: &str) -> Option<u64> {
    let fields: Vec<_> = line.split_whitespace().collect();
    (fields.get(3) == Some(&SYN_SENT)).then(|| fields.get(9)?.parse().ok()).flatten()
}

/// The identity of a process, as in its events.
fn owner(pid: u32) -> Option<task_id> {
    let stat = Stat::read(pid)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let mut uids = field("Uid:")?.split_whitespace().map_while(|uid| uid.parse().ok());
    let mut comm = [0; 16];
    comm.iter_mut().zip(stat.name().iter().take(15)).for_each(|(to, from)| *to = *from);
    let start_ns = first_ns(stat.start_ticks()?);
    Some(task_id {
        start_ns: 0, // /proc knows it to the tick only, which is not what other rows have
        cgroup: crate::host::cgroup::id_of(pid, start_ns).unwrap_or(0),
        pid,
        tid: pid,
        ppid: stat.ppid()?,
        uid: uids.next()?,
        euid: uids.next()?,
        vpid: field("NSpid:")?.split_whitespace().last()?.parse().ok()?,
        comm,
        thread_comm: comm,
        ..task_id::default()
    })
}

/// Applies the filters of all tools, as the kernel does.
fn is_asked_for(owner: &task_id, object: &TcpconnectSkel<'_>, args: &CommonArgs) -> bool {
    let has = |asked: &[u32], number| asked.is_empty() || asked.contains(&number);
    let in_tree = || {
        let is_there = object.maps.filter_tree.lookup(&owner.pid.to_ne_bytes(), MapFlags::ANY);
        is_there.is_ok_and(|value| value.is_some())
    };
    owner.pid != std::process::id()
        && has(&args.pid, owner.pid)
        && has(&args.ppid, owner.ppid)
        && has(&args.uid, owner.uid)
        && (args.comm.is_empty() || args.comm.contains(&owner.comm))
        && !(args.not_pid.contains(&owner.pid)
            || args.not_uid.contains(&owner.uid)
            || args.not_comm.contains(&owner.comm))
        && (args.tree.is_empty() && args.command.is_empty() || in_tree())
}

/// Our own descriptors for the connecting sockets of a process. If the owner closes such a socket
/// meanwhile, it lives until we drop ours, microseconds later.
fn borrow(pid: u32, connecting: &HashSet<u64>) -> impl Iterator<Item = OwnedFd> {
    let is_connecting = |entry: &fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        connecting.contains(&inode.parse().ok()?).then_some(())
    };
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let numbers: Vec<u32> = entries
        .filter(|entry| is_connecting(entry).is_some())
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let process = of_process(pid).ok();
    numbers.into_iter().filter_map(move |number| {
        let process = process.as_ref()?.as_raw_fd();
        // SAFETY: pidfd_getfd() has no memory arguments.
        owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) }).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_wait_for_an_answer() {
        let line = "   1: 0100007F:9C42 0100000A:0050 02 00000001:00000000 01:00000042 00000003  1000        0 98765 2";
        assert_eq!(connecting_socket(line), Some(98765));
        assert_eq!(connecting_socket(&line.replace(" 02 ", " 01 ")), None);
        assert_eq!(connecting_socket("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn we_are_who_we_are() {
        let me = owner(std::process::id()).unwrap();
        assert_eq!((me.pid, me.ppid), (std::process::id(), std::os::unix::process::parent_id()));
        assert_eq!(me.uid, nix::unistd::getuid().as_raw());
    }
}
