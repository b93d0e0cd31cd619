//! shown + lost == happened, and nothing fills up.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapHandle};

use super::sockets::*;
use super::*;

/// Thousands at a time take ports, of which there are enough only if all may be used.
fn use_all_ports() {
    sysctl("net/ipv4/ip_local_port_range", "1024 65535");
}

/// No attempt times out before the last one has begun, however slow this machine is.
fn never_give_up() {
    sysctl("net/ipv4/tcp_syn_retries", "20");
}

/// As many files as this process may have.
fn open_many_files() -> u32 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    u32::try_from(most).unwrap()
}

/// An attempt like any other is shown, with all that belongs to it.
fn an_ordinary_one(trace: &Trace, to: SocketAddr) {
    let rows: Vec<_> = trace.events.iter().filter(|row| peer(row) == to).collect();
    assert_eq!(rows.len(), 1, "{to}");
    assert_eq!((result(rows[0]), pid(rows[0])), ("OK", u64::from(std::process::id())));
}

#[test]
fn ten_thousand_v4_mapped_connects() {
    let count = scaled(10_000);
    each_backend(|setup| {
        in_new_netns(|netns| {
            use_all_ports();
            let (listening, to) = listener(loopback(1));
            let (_other, ordinary) = listener(loopback(2));
            let IpAddr::V4(v4) = to.ip() else { unreachable!() };
            let mapped = SocketAddr::new(v4.to_ipv6_mapped().into(), to.port());
            let trace = watch(setup, netns, &[], || {
                for _ in 0..count {
                    let socket = tcp(Ipv6Addr::LOCALHOST.into());
                    assert_eq!(connect(&socket, mapped), 0);
                    drop(listening.accept().unwrap());
                }
                assert_eq!(connect(&tcp(ordinary.ip()), ordinary), 0);
            });
            trace.is_complete();
            assert_eq!(trace.events.len() as u32, count + 1);
            an_ordinary_one(&trace, ordinary);
        });
    });
}

#[test]
fn ten_thousand_pending_at_once() {
    let count = scaled(10_000);
    assert!(open_many_files() > count + 1000);
    each_backend(|setup| {
        in_new_netns(|netns| {
            use_all_ports();
            never_give_up();
            let (_hole, to) = black_hole(loopback(1));
            let (_other, ordinary) = listener(loopback(2));
            let mut pending: Vec<_> = Vec::new();
            let trace = watch(setup, netns, &[], || {
                pending.extend((0..count).map(|_| tcp(to.ip())));
                for socket in &pending {
                    assert_eq!(begin(socket, to), libc::EINPROGRESS);
                }
                assert_eq!(connect(&tcp(ordinary.ip()), ordinary), 0);
                // Half of them end before the tool does.
                pending.truncate(pending.len() / 2);
            });
            trace.is_complete();
            an_ordinary_one(&trace, ordinary);
            let with = |what| trace.events.iter().filter(|row| result(row) == what).count() as u32;
            assert_eq!((with("ABORTED"), with("PENDING")), (count - count / 2, count / 2));
            // Each port once: no row is another's.
            let rows = trace.events.iter().filter(|row| peer(row) == to);
            let mut ends: Vec<_> = rows.filter_map(local).collect();
            ends.sort();
            ends.dedup();
            assert_eq!(ends.len() as u32, count);
        });
    });
}

/// More than the map holds: those that do not fit have a row at once, and another user still has
/// places.
#[test]
fn more_pending_than_can_be_followed() {
    const CAN_BE_FOLLOWED: u32 = 32768;
    let each = (open_many_files() - 1000).min(CAN_BE_FOLLOWED / 2 - 100);
    let holders = CAN_BE_FOLLOWED / each + 1;
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    in_new_netns(|netns| {
        use_all_ports();
        never_give_up();
        let (_hole, to) = black_hole(loopback(1));
        let inode = netns.inode.to_string();
        let flags = [&setup.flags()[..], &["--json", "--netns", &inode]].concat();
        let running = TCPCONNECT.start(&flags);
        let (_listener, open) = listener(loopback(2));
        let tool = running.child.id() as i32;
        let work = || {
            // One process may not have so many files.
            let children: Vec<_> = (0..holders).map(|_| hold_pending(to, each)).collect();
            let pid = filters::dial(12_345, open);
            // SAFETY: a child that nobody has waited for yet.
            assert_eq!(unsafe { libc::kill(tool, libc::SIGINT) }, 0);
            (pid, children)
        };
        // Rows come all the time, and somebody has to read them.
        let (trace, (pid, children)) = std::thread::scope(|scope| {
            let work = scope.spawn(work);
            (running.end(), work.join().unwrap())
        });
        let (all, of_one_user) = (holders * each, CAN_BE_FOLLOWED / 4 * 3);
        let rows = |outcome: &str| {
            let rows = trace.events.iter().filter(|row| row["connect"]["outcome"] == outcome);
            rows.count() as u32
        };
        let other = trace.events.iter().find(|row| row["process"]["pid"] == pid).unwrap();
        assert_eq!(other["connect"]["outcome"], "established", "{other}");
        let lost = trace.end["lost"].as_u64().unwrap() as u32;
        assert_eq!((rows("pending"), rows("unknown") + lost), (of_one_user, all - of_one_user));
        // Where a task may be preempted there is no room for such a row.
        assert!(rows("unknown") > 0);
        drop(children);
    });
}

/// A process with so many attempts pending; killed when dropped.
struct Holder(nix::unistd::Pid);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.0, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.0, None);
    }
}

fn hold_pending(to: SocketAddr, count: u32) -> Holder {
    use std::io::Read;
    let address = socket2::SockAddr::from(to);
    let (ready, tell) = nix::unistd::pipe().unwrap();
    // SAFETY: the child makes system calls only.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => {
            drop(tell);
            std::fs::File::from(ready).read_to_end(&mut Vec::new()).unwrap();
            Holder(child)
        }
        nix::unistd::ForkResult::Child => {
            let tell = std::os::fd::IntoRawFd::into_raw_fd(tell);
            // What other tests have open counts here too.
            for fd in (3..1 << 20).filter(|fd| *fd != tell) {
                // SAFETY: nothing in this process is used any more.
                unsafe { libc::close(fd) };
            }
            for _ in 0..count {
                let flags = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
                // SAFETY: a system call.
                let fd = unsafe { libc::socket(libc::AF_INET, flags, 0) };
                // SAFETY: the address is valid.
                unsafe { libc::connect(fd, address.as_ptr().cast(), address.len()) };
            }
            // SAFETY: as above.
            unsafe { libc::close(tell) };
            loop {
                // SAFETY: waits for its end.
                unsafe { libc::pause() };
            }
        }
    }
}

#[test]
fn a_stopped_tool_loses_nothing_or_says_what() {
    let count = scaled(4000);
    each_setup(|setup| {
        for (size, loses) in [(None, false), (Some("16K"), true)] {
            in_new_netns(|netns| {
                use_all_ports();
                let (_closed, to) = closed_port(loopback(1));
                let inode = netns.inode.to_string();
                let mut flags = [&setup.flags()[..], &["--json", "--netns", &inode]].concat();
                flags.extend(size.iter().flat_map(|size| ["--buffer-size", size]));
                let running = TCPCONNECT.start(&flags);
                running.signal(libc::SIGSTOP);
                for _ in 0..count {
                    assert_eq!(connect(&tcp(to.ip()), to), libc::ECONNREFUSED);
                }
                running.signal(libc::SIGCONT);
                let trace = running.stop();
                let lost = trace.end["lost"].as_u64().unwrap();
                let shown = trace.end["events"].as_u64().unwrap();
                assert_eq!(shown + lost, u64::from(count), "{:?}", trace.end);
                assert_eq!(lost > 0, loses, "{:?}", trace.end);
            });
        }
    });
}

/// The kernel skips a program that is running on this CPU already, and an interrupt may come
/// while it looks at some other socket: the ends that it brings must not be missed.
#[test]
fn ends_that_interrupt_other_changes_are_not_missed() {
    let count = scaled(1000);
    let busy = std::thread::available_parallelism().unwrap().get();
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_hole, to) = black_hole(loopback(1));
            let trace = watch(setup, netns, &[], || {
                let over = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    for _ in 0..busy {
                        scope.spawn(|| {
                            let socket = tcp(loopback(2).into());
                            while !over.load(Ordering::Relaxed) {
                                socket.listen(1).unwrap();
                                assert_eq!(dissolve(&socket), 0);
                            }
                        });
                    }
                    let pending: Vec<_> = (0..count).map(|_| tcp(to.ip())).collect();
                    for socket in &pending {
                        short_timeout(socket);
                        assert_eq!(begin(socket, to), libc::EINPROGRESS);
                        // Timers end them: one at a time, for as many interrupts.
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    for socket in &pending {
                        assert_eq!(outcome(socket), libc::ETIMEDOUT);
                    }
                    over.store(true, Ordering::Relaxed);
                });
            });
            let (gaps, rows): (Vec<_>, Vec<_>) =
                trace.events.iter().partition(|event| event["event"]["name"] == "events.lost");
            let lost = trace.end["lost"].as_u64().unwrap() as u32;
            assert_eq!(rows.len() as u32 + lost, count, "{:?}", trace.end);
            assert!(rows.iter().all(|row| result(row) == "ETIMEDOUT"));
            // Sandboxes hide their own processes: no program runs while one of them does, and
            // how often one does is their business. (When one program saw all ends, a tenth
            // was lost in any machine.)
            assert!(lost == 0 || !in_vm(), "{lost} of {count}: {gaps:?}");
        });
    });
}

/// Of what ended, or was never told about, only few places are kept, for the next attempts.
#[test]
fn little_stays_in_the_maps() {
    const MAX_KEPT: usize = 2048;
    let count = scaled(2000);
    let many = MAX_KEPT + 500;
    assert!(open_many_files() as usize > many + 1000);
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            use_all_ports();
            let (listening, open) = listener(loopback(1));
            let (_closed, nobody) = closed_port(loopback(1));
            let (_hole, silent) = black_hole(loopback(2));
            let inode = netns.inode.to_string();
            let flags =
                [&setup.flags()[..], &["--json", "--sync-errors", "--netns", &inode]].concat();
            let running = TCPCONNECT.start(&flags);
            for _ in 0..count {
                assert_eq!(connect(&tcp(open.ip()), open), 0);
                drop(listening.accept().unwrap());
                assert_eq!(connect(&tcp(open.ip()), nobody), libc::ECONNREFUSED);
                assert_eq!(begin(&tcp(open.ip()), silent), libc::EINPROGRESS);
            }
            let entries = || entries_of_map(running.child.id(), "attempts");
            assert!(entries() <= 100, "{} for a handful of sockets at once", entries());
            let pending: Vec<_> = (0..many).map(|_| tcp(silent.ip())).collect();
            for socket in &pending {
                assert_eq!(begin(socket, silent), libc::EINPROGRESS);
            }
            assert!(entries() >= many);
            // Without places to keep, nothing is told twice either.
            for _ in 0..100 {
                assert_eq!(connect(&tcp(open.ip()), nobody), libc::ECONNREFUSED);
            }
            drop(pending);
            assert!(entries() <= MAX_KEPT, "{} of {many}", entries());
            let events = running.stop().is_complete().events.len();
            assert_eq!(events, 3 * count as usize + many + 100);
        });
    });
}

/// Entries of a hash map that a process holds.
fn entries_of_map(pid: u32, name: &str) -> usize {
    map_of(pid, name).keys().count()
}

/// A map that a process holds.
pub(super) fn map_of(pid: u32, name: &str) -> MapHandle {
    let held: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .filter_map(|info| {
            info.lines().find_map(|line| line.strip_prefix("map_id:"))?.trim().parse().ok()
        })
        .collect();
    let mut maps = held.into_iter().filter_map(|id| MapHandle::from_map_id(id).ok());
    maps.find(|map| map.name() == name).expect("such a map")
}
