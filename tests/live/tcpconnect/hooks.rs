//! BPF programs of a cgroup that decide about connect(): how load balancers and firewalls of
//! containers work.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use libbpf_sys::bpf_insn;

use crate::harness::{cgroup_mount, fixture, lossy, remove_cgroup};

/// A cgroup of a test's own, with such programs.
pub struct Hooked {
    folder: String,
    cgroup: Option<File>,
}

impl Hooked {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{}/snoop-connect-{}-{number}", cgroup_mount(), std::process::id());
        std::fs::create_dir_all(&folder).unwrap();
        let cgroup = File::open(&folder).unwrap();
        Self { folder, cgroup: Some(cgroup) }
    }

    /// Lets `program` decide about IPv4 or IPv6.
    pub fn attach(&self, program: &[bpf_insn], kind: u32) {
        let program = load(program, kind);
        let cgroup = self.cgroup.as_ref().unwrap().as_raw_fd();
        // SAFETY: descriptors that are open.
        let attached = unsafe { libbpf_sys::bpf_prog_attach(program.as_raw_fd(), cgroup, kind, 0) };
        assert_eq!(attached, 0);
    }

    /// Connects there, in this cgroup; the errors.
    pub fn dial(&self, to: &[&str]) -> Vec<i32> {
        let procs = format!("{}/cgroup.procs", self.folder);
        let mut dial = Command::new(fixture("dial"));
        dial.args(to.iter().flat_map(|to| to.split(' ')));
        // SAFETY: only writes to a file between fork and exec.
        unsafe { dial.pre_exec(move || std::fs::write(&procs, "0")) };
        let output = dial.output().unwrap();
        let said = lossy(&output.stdout);
        said.lines().map(|line| line.split_once(' ').unwrap().1.parse().unwrap()).collect()
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        self.cgroup = None;
        remove_cgroup(&self.folder);
    }
}

fn load(program: &[bpf_insn], kind: u32) -> OwnedFd {
    let options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: kind,
        ..Default::default()
    };
    // SAFETY: instructions, and options that are as long as they say.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
            c"hook".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            (&raw const options).cast_mut(),
        )
    };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `return verdict`: 0 lets nobody connect.
pub fn verdict(verdict: i32) -> Vec<bpf_insn> {
    const MOV64_IMM: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    vec![instruction(MOV64_IMM, 0, 0, 0, verdict), instruction(EXIT, 0, 0, 0, 0)]
}

/// Sends connections to `from` elsewhere.
pub fn send_on(from: Ipv4Addr, to: SocketAddrV4) -> Vec<bpf_insn> {
    const USER_IP4: i16 = 4;
    let address = |address: Ipv4Addr| u32::from_ne_bytes(address.octets());
    redirect((USER_IP4, address(from)), &[(USER_IP4, address(*to.ip()))], to.port())
}

/// Likewise; only the last four bytes of `from` count.
pub fn send_on_v6(from: Ipv6Addr, to: SocketAddrV6) -> Vec<bpf_insn> {
    const USER_IP6: i16 = 8;
    let word = |address: &Ipv6Addr, at: usize| {
        u32::from_ne_bytes(address.octets()[4 * at..][..4].try_into().unwrap())
    };
    let stores: Vec<_> = (0..4).map(|at| (USER_IP6 + 4 * at as i16, word(to.ip(), at))).collect();
    redirect((USER_IP6 + 12, word(&from, 3)), &stores, to.port())
}

/// If the word at the first offset of the context is that value: writes the others, and the port.
fn redirect(when: (i16, u32), stores: &[(i16, u32)], port: u16) -> Vec<bpf_insn> {
    const LOAD: u8 = 0x61;
    const STORE: u8 = 0x63;
    const MOV32_IMM: u8 = 0xb4;
    const JNE32: u8 = 0x5e;
    const USER_PORT: i16 = 24;
    let port = [(USER_PORT, u32::from(port.to_be()))];
    let stores: Vec<_> = stores.iter().chain(&port).collect();
    let mut program = vec![
        instruction(LOAD, 2, 1, when.0, 0),
        instruction(MOV32_IMM, 3, 0, 0, when.1 as i32),
        instruction(JNE32, 2, 3, 2 * stores.len() as i16, 0),
    ];
    for (offset, value) in stores {
        program.push(instruction(MOV32_IMM, 4, 0, 0, *value as i32));
        program.push(instruction(STORE, 1, 4, *offset, 0));
    }
    program.extend(verdict(1));
    program
}

fn instruction(code: u8, to: u8, from: u8, off: i16, imm: i32) -> bpf_insn {
    let mut instruction = bpf_insn { code, off, imm, ..Default::default() };
    instruction.set_dst_reg(to);
    instruction.set_src_reg(from);
    instruction
}
