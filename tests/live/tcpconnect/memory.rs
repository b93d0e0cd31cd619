//! Applications that write to the address while connect() runs.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use super::sockets::*;
use super::*;

/// A page for one address.
struct Page(*mut libc::sockaddr_in);

// SAFETY: the kernel and two threads write to it as they like; that is what is tested.
unsafe impl Sync for Page {}

impl Page {
    fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED);
        Self(page.cast())
    }

    fn write(&self, address: Ipv4Addr) {
        self.put(2, 80u16.to_be());
        self.put(4, u32::from(address).to_be());
        self.put(0, libc::AF_INET as u16);
    }

    fn put<T>(&self, offset: usize, value: T) {
        let to = self.0.wrapping_byte_add(offset).cast::<T>();
        // SAFETY: inside of the page, and aligned.
        unsafe { to.write_volatile(value) };
    }

    /// Only zeros stand there afterwards.
    fn vanish(&self) {
        // SAFETY: the whole page.
        unsafe { libc::madvise(self.0.cast(), 4096, libc::MADV_DONTNEED) };
    }

    /// connect() to what stands there; its errno.
    fn connect(&self) -> i32 {
        self.connect_by(&tcp(Ipv4Addr::LOCALHOST.into()), 16)
    }

    fn connect_by(&self, socket: &socket2::Socket, len: u32) -> i32 {
        use std::os::fd::AsRawFd;
        // SAFETY: the kernel checks the address.
        match unsafe { libc::connect(socket.as_raw_fd(), self.0.cast(), len) } {
            0 => 0,
            _ => std::io::Error::last_os_error().raw_os_error().unwrap(),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { libc::munmap(self.0.cast(), 4096) };
    }
}

/// Does `work` while another thread does `meanwhile`, over and over.
fn beside<T>(meanwhile: impl Fn() + Sync, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                meanwhile();
            }
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// Makes `count` calls, and more until a tenth of `count` ended as asked: how many did. Emulated
/// processors take turns, and the other thread may stand still in a state in which none does.
fn count_calls(count: u32, mut ends_as_asked: impl FnMut() -> bool) -> usize {
    let mut found = 0;
    for number in 0..count.saturating_mul(1000) {
        if number >= count && found * 10 >= count {
            break;
        }
        found += u32::from(ends_as_asked());
    }
    assert!(found > 0);
    found as usize
}

/// The address lies in memory that goes away: no row is missing for that.
#[test]
fn an_address_that_vanishes() {
    const TO: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
    let count = scaled(10_000);
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let mut refused = 0;
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let page = Page::new();
                beside(
                    || page.vanish(),
                    || {
                        for _ in 0..count {
                            page.write(TO);
                            refused += usize::from(page.connect() == libc::ENETUNREACH);
                        }
                    },
                );
            });
            let rows = trace.events.iter().filter(|row| result(row) == "ENETUNREACH");
            let rows: Vec<_> = rows.map(|row| &row["network"]["peer"]["address"]).collect();
            assert_eq!((rows.len(), &trace.end["lost"]), (refused, &Value::from(0)));
            assert!(rows.iter().all(|address| **address == TO.to_string()), "{rows:?}");
        });
    });
}

/// The address becomes another one: a row names the one that the kernel has tried.
#[test]
fn an_address_that_flips() {
    const NOWHERE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
    const PROHIBITED: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    let count = scaled(10_000) as usize;
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            ip("route add prohibit 10.2.0.0/16");
            let mut errors = Vec::new();
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let page = Page::new();
                page.write(NOWHERE);
                let flip = || {
                    page.write(PROHIBITED);
                    page.write(NOWHERE);
                };
                beside(flip, || errors.extend((0..count).map(|_| page.connect())));
            });
            let rows = &trace.is_complete().events;
            assert_eq!(rows.len(), count);
            for (row, error) in rows.iter().zip(errors) {
                let to = if error == libc::EACCES { PROHIBITED } else { NOWHERE };
                assert_eq!(result(row), snoop_tools::host::errno::name(error), "{row}");
                assert_eq!(row["network"]["peer"]["address"], to.to_string(), "{row}");
                assert!(row["server"].is_null(), "{row}");
            }
        });
    });
}

/// What stands there is no address of the socket's kind for moments: calls that the kernel has
/// taken for attempts are not missing.
#[test]
fn a_family_that_flips() {
    const NOWHERE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
    let count = scaled(10_000);
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let mut refused = 0;
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let page = Page::new();
                page.write(NOWHERE);
                let flip = || {
                    page.put(0, libc::AF_UNIX as u16);
                    page.put(0, libc::AF_INET as u16);
                };
                let call = || page.connect() == libc::ENETUNREACH;
                beside(flip, || refused = count_calls(count, call));
            });
            let rows = rows_of(&trace).filter(|row| result(row) == "ENETUNREACH");
            let lost = trace.end["lost"].as_u64().unwrap() as usize;
            assert_eq!(rows.count() + lost, refused);
            assert!(lost <= refused / 2, "the socket says where: {lost} of {refused}");
        });
    });
}

/// Whether a row says that its destination is from the caller's memory.
fn is_unsure(row: &Value) -> bool {
    row["connect"]["unsure"] == true
}

/// The kernel refuses a link-local address without an interface before it notes where to: what stands in
/// memory after the call may be another address, or none. Whatever that is, the call is shown or counted.
#[test]
fn an_address_that_flips_where_nothing_is_noted() {
    let count = scaled(10_000);
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let mut refused = 0;
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let page = Page::new();
                page.put(8, [0xfeu8, 0x80]);
                let flip = || {
                    page.put(23, 1u8);
                    page.put(0, libc::AF_UNIX as u16);
                    page.put(23, 2u8);
                    page.put(0, libc::AF_INET6 as u16);
                };
                let call = || {
                    let socket = tcp(Ipv6Addr::LOCALHOST.into());
                    page.connect_by(&socket, 28) == libc::EINVAL
                };
                beside(flip, || refused = count_calls(count, call));
            });
            let rows: Vec<_> = rows_of(&trace).filter(|row| result(row) == "EINVAL").collect();
            let lost = trace.end["lost"].as_u64().unwrap() as usize;
            assert_eq!(rows.len() + lost, refused);
            for row in rows {
                let to = row["network"]["peer"]["address"].as_str().unwrap();
                assert!(["fe80::1", "fe80::2"].contains(&to), "{row}");
                assert_eq!(is_unsure(row), setup.backend != "fexit", "{row}");
            }
        });
    });
}

/// Another thread puts a file in the socket's place while connect() runs.
#[test]
fn a_descriptor_that_changes() {
    use std::os::fd::AsRawFd;
    let count = scaled(10_000);
    let put = |from: &dyn AsRawFd, to: &dyn AsRawFd| {
        // SAFETY: both are open, and stay so.
        assert!(unsafe { libc::dup2(from.as_raw_fd(), to.as_raw_fd()) } >= 0);
    };
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let to: SocketAddr = "10.200.0.1:80".parse().unwrap();
            let file = std::fs::File::open("/dev/null").unwrap();
            let mut refused = 0;
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let socket = tcp(to.ip());
                let place = socket.try_clone().unwrap();
                let swap = || {
                    put(&file, &place);
                    put(&socket, &place);
                };
                let call = || connect(&place, to) == libc::ENETUNREACH;
                beside(swap, || refused = count_calls(count, call));
            });
            let rows: Vec<_> = rows_of(&trace).map(|row| (result(row), peer(row))).collect();
            let lost = trace.end["lost"].as_u64().unwrap() as usize;
            assert!(rows.iter().all(|row| *row == ("ENETUNREACH", to)), "{rows:?}");
            assert_eq!(rows.len() + lost, refused);
            assert!(lost == 0 || setup.backend != "fexit", "{lost}");
        });
    });
}

/// A socket keeps the destination of its last call: that is not the one of the next.
#[test]
fn a_refusal_names_its_own_destination() {
    each_error_backend(|setup| {
        in_new_netns(|netns| {
            let to = |last: u8| SocketAddr::new([10, 1, 0, last].into(), 80);
            let hooked = hooks::Hooked::new();
            hooked.attach(&hooks::verdict(0), libbpf_sys::BPF_CGROUP_INET6_CONNECT);
            let trace = watch(setup, netns, &["--sync-errors"], || {
                let socket = tcp(to(1).ip());
                for last in [1, 2, 1, 1] {
                    assert_eq!(connect(&socket, to(last)), libc::ENETUNREACH);
                }
                let errors = hooked.dial(&["2001:db8::1 80", "2001:db8::2 80"]);
                assert_eq!(errors, [libc::EPERM, libc::EPERM]);
            });
            let six = |last: u8| format!("[2001:db8::{last}]:80").parse().unwrap();
            let peers: Vec<_> = trace.is_complete().events.iter().map(peer).collect();
            assert_eq!(peers, [to(1), to(2), to(1), to(1), six(1), six(2)]);
        });
    });
}
