//! Network namespaces for tests: each test has a network of its own.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// The network namespace of the calling thread.
pub struct Netns {
    /// Inode number
    pub inode: u32,
}

/// Runs `body` in a new network namespace that has `lo`, and nothing else. Threads and
/// processes that it starts are in there too.
pub fn in_new_netns<T: Send>(body: impl FnOnce(&Netns) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            leave_netns();
            // In a thread, "self" would be the process.
            let inode = fs::metadata("/proc/thread-self/ns/net").unwrap().ino() as u32;
            body(&Netns { inode })
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into another new network namespace.
pub fn leave_netns() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    change_loopback(libc::SIOCSIFFLAGS, |request| {
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    });
}

/// Packets on the loopback interface of this namespace get no longer than that.
pub fn set_loopback_mtu(mtu: i32) {
    change_loopback(libc::SIOCSIFMTU, |request| request.ifr_ifru.ifru_mtu = mtu);
}

/// By ioctl, which needs no program.
fn change_loopback(operation: libc::c_ulong, set: impl FnOnce(&mut libc::ifreq)) {
    // SAFETY: plain numbers and bytes, all of which may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    set(&mut request);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: the kernel reads a struct ifreq.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), operation as libc::Ioctl, &raw const request) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Runs `ip WORDS`: iproute2's or busybox's.
pub fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {stderr}");
}

/// Sets a sysctl of the namespace, such as `net/ipv4/tcp_fastopen`.
pub fn sysctl(name: &str, value: &str) {
    fs::write(format!("/proc/sys/{name}"), value).unwrap_or_else(|e| panic!("{name}: {e}"));
}

/// An address of `lo` for each number: tests that run at once need not share one.
pub fn loopback(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, number, 1)
}
