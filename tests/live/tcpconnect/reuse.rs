//! Sockets that are used again: no attempt gets another one's outcome.

use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::{MapCore as _, MapFlags};
use snoop_tools::skel::{connect_attempt, decode};

use super::accounting::map_of;
use super::sockets::*;
use super::*;

/// As if the end of an attempt had been missed, and another socket connected to the same destination in
/// the same memory.
#[test]
fn another_sockets_end_is_not_the_attempts() {
    each_backend(|setup| {
        in_new_netns(|netns| {
            let (_hole, to) = black_hole(loopback(1));
            let inode = netns.inode.to_string();
            let flags = [&setup.flags()[..], &["--json", "--netns", &inode]].concat();
            let running = TCPCONNECT.start(&flags);
            let (one, other) = (tcp(to.ip()), tcp(to.ip()));
            for socket in [&one, &other] {
                assert_eq!(begin(socket, to), libc::EINPROGRESS);
            }
            let attempts = map_of(running.child.id(), "attempts");
            let place = |socket: &socket2::Socket| {
                let inode = inode_of(socket);
                let mut all = attempts.keys().filter_map(|key| {
                    let value = attempts.lookup(&key, MapFlags::ANY).unwrap()?;
                    let attempt: connect_attempt = decode(&value).unwrap();
                    (attempt.inode == inode).then_some((key, attempt))
                });
                all.next().expect("a place")
            };
            let (key, mut attempt) = place(&one);
            attempt.inode += 1;
            // SAFETY: integers without padding.
            let bytes = unsafe { plain::as_bytes(&attempt) };
            attempts.update(&key, bytes, MapFlags::EXIST).unwrap();
            place(&other);
            drop((one, other));
            let trace = running.stop();
            let rows: Vec<_> = rows_of(&trace).map(result).collect();
            assert_eq!((&rows[..], &trace.end["lost"]), (&["ABORTED"][..], &Value::from(1)));
        });
    });
}

fn inode_of(socket: &socket2::Socket) -> u64 {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
}

/// One thread connects, another one dissolves: each attempt has an outcome that its destination can have,
/// and no call that is told of it is an attempt.
#[test]
fn a_socket_that_two_threads_use() {
    each_backend(|setup| two_threads(setup, &[]));
    each_error_backend(|setup| two_threads(setup, &["--sync-errors"]));
}

fn two_threads(setup: Setup, flags: &[&str]) {
    in_new_netns(|netns| {
        let (_listener, open) = listener(loopback(1));
        let (_closed, nobody) = closed_port(loopback(2));
        let (_hole, silent) = black_hole(loopback(3));
        let to = [open, nobody, silent];
        let mut begun = [0; 3];
        let trace = watch_interrupts(setup, netns, flags, || begun = connect_and_dissolve(to));
        trace.is_complete();
        let possible = [&["OK", "ABORTED"][..], &["ECONNREFUSED", "ABORTED"], &["ABORTED"]];
        for ((to, begun), possible) in to.into_iter().zip(begun).zip(possible) {
            let rows: Vec<_> = trace.events.iter().filter(|row| peer(row) == to).collect();
            for row in &rows {
                assert!(possible.contains(&result(row)), "{row}");
            }
            assert_eq!(rows.len(), begun, "{to}");
        }
    });
}

/// How many attempts have begun, for each destination.
fn connect_and_dissolve(to: [SocketAddr; 3]) -> [usize; 3] {
    let count = scaled(500) as usize;
    let mut begun = [0; 3];
    let socket = tcp(to[0].ip());
    socket.set_nonblocking(true).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                dissolve(&socket);
            }
        });
        for place in (0..3).cycle() {
            // Any other error is about the attempt before.
            begun[place] += usize::from(connect(&socket, to[place]) == libc::EINPROGRESS);
            if begun.iter().all(|begun| *begun >= count) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    begun
}
