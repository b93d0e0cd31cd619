//! The kind of a program, as the kernel sees it. A policy may refuse a whole kind, even with BTF
//! and all capabilities, so that not even an empty program loads.

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, FromRawFd, OwnedFd};

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, Typedef};
use libbpf_rs::{AsRawLibbpf as _, OpenObject, ProgramType};
use libbpf_sys::{
    BPF_F_SLEEPABLE, BPF_PROG_TYPE_SYSCALL, BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY,
    BPF_TRACE_FEXIT, BPF_TRACE_ITER, BPF_TRACE_RAW_TP, bpf_insn, bpf_prog_load_opts,
};
use nix::errno::Errno;

use super::kernel_types;
use crate::engine::refusal::Refused;
use crate::host::errno;

/// A type of the kernel's that is no function: BTF begins with types of numbers.
const NO_FUNCTION: u32 = 1;

/// A kind of programs, and the target of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// `BPF_PROG_TYPE_`
    program: u32,
    /// `BPF_TRACE_`; 0 if the program type is enough
    attach: u32,
    /// As in the section's name: `fexit`
    name: String,
    /// The kernel's function, tracepoint or iterator
    target: Option<String>,
}

/// The kind of the program `name`.
pub(crate) fn of(object: &OpenObject, name: &str) -> Option<Kind> {
    let program = object.progs().find(|program| program.name() == name)?;
    let section = program.section().to_str()?;
    let (kind, target) = match section.split_once('/') {
        Some((kind, target)) => (kind, Some(target.to_owned())),
        None => (section, None),
    };
    // SAFETY: the program lives as long as its object.
    let attach = unsafe {
        libbpf_sys::bpf_program__expected_attach_type(program.as_libbpf_object().as_ptr())
    };
    let is_tracing = program.prog_type() == ProgramType::Tracing;
    Some(Kind {
        program: program.prog_type() as u32,
        attach: if is_tracing { attach } else { 0 },
        name: kind.to_owned(),
        target,
    })
}

/// The category and the name in a section such as `tp/syscalls/sys_exit_mmap`.
pub(crate) fn tracepoint(section: &str) -> Option<(&str, &str)> {
    let (kind, target) = section.split_once('/')?;
    if matches!(kind, "tp" | "tracepoint") { target.split_once('/') } else { None }
}

impl Kind {
    /// Programs that look at packets.
    pub(super) fn socket_filter() -> Self {
        let program = libbpf_sys::BPF_PROG_TYPE_SOCKET_FILTER;
        Self { program, attach: 0, name: "socket_filter".to_owned(), target: None }
    }

    /// Whether a refusal of the kind `other` also holds for this one. Iterators are refused by
    /// their target.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.program == other.program
            && self.attach == other.attach
            && (self.attach != BPF_TRACE_ITER || self.target == other.target)
    }

    /// Whether programs of this kind sit on the entry or exit of a function.
    pub(crate) fn is_trampoline(&self) -> bool {
        self.program == BPF_PROG_TYPE_TRACING
            && matches!(self.attach, BPF_TRACE_FENTRY | BPF_TRACE_FEXIT)
    }

    /// In words.
    pub(crate) fn name(&self) -> String {
        match (&self.target, self.attach) {
            (Some(target), BPF_TRACE_ITER) => format!("{}/{target}", self.name),
            _ => self.name.clone(),
        }
    }

    /// The kind and name of a target that the kernel lacks; `None` if the target exists, or cannot
    /// be looked up.
    pub(crate) fn missing(&self, kernel: &Btf<'_>) -> Option<(&'static str, String)> {
        let target = self.target.as_deref()?;
        if self.program != BPF_PROG_TYPE_TRACING {
            return None;
        }
        let (what, is_there) = match self.attach {
            BPF_TRACE_RAW_TP => {
                let name = format!("btf_trace_{target}");
                ("tracepoint", kernel.type_by_name::<Typedef<'_>>(name.as_str()).is_some())
            }
            BPF_TRACE_ITER => {
                let name = format!("bpf_iter_{target}");
                ("iterator", kernel.type_by_name::<Func<'_>>(name.as_str()).is_some())
            }
            _ => ("function", kernel.type_by_name::<Func<'_>>(target).is_some()),
        };
        (!is_there).then(|| (what, target.to_owned()))
    }

    /// Loads a program of this kind that does nothing.
    ///
    /// # Errors
    ///
    /// Those of `bpf(BPF_PROG_LOAD)`. A missing target is not an error: see [`Kind::missing`].
    pub(crate) fn try_out(&self) -> Result<(), Errno> {
        self.load_empty().map(drop)
    }

    /// Loads a program of this kind that does nothing; for trampolines also attaches it, and detaches
    /// it again. Some kernels load programs for trampolines that they do not have: arm64 before 6.4.
    /// `None`: neither was refused.
    pub(super) fn refused(&self) -> Option<Refused> {
        let refused = |errno, attached| Refused::Kind { kind: self.name(), errno, attached };
        match self.load_empty() {
            Err(errno) => Some(refused(errno, false)),
            Ok(Some(program)) if self.is_trampoline() => {
                try_attaching(&program).err().map(|errno| refused(errno, true))
            }
            Ok(_) => None,
        }
    }

    /// `None`: the target is missing.
    fn load_empty(&self) -> Result<Option<OwnedFd>, Errno> {
        // A policy refuses it whatever the target, which need not be looked up then.
        if self.is_trampoline() {
            if let Err(errno @ (Errno::EPERM | Errno::EACCES)) = self.load_at(NO_FUNCTION) {
                return Err(errno);
            }
        }
        match self.btf_id() {
            None => self.load_at(0).map(Some),
            Some(Ok(id)) => self.load_at(id).map(Some),
            Some(Err(())) => Ok(None),
        }
    }

    /// Loads an empty program for the target of this number.
    fn load_at(&self, attach_btf_id: u32) -> Result<OwnedFd, Errno> {
        let instruction = |code: u32| bpf_insn { code: code as u8, ..bpf_insn::default() };
        let instructions = [
            instruction(libbpf_sys::BPF_ALU64 | libbpf_sys::BPF_MOV), // r0 = 0
            instruction(libbpf_sys::BPF_JMP | libbpf_sys::BPF_EXIT),
        ];
        let is_syscall = self.program == BPF_PROG_TYPE_SYSCALL;
        let mut options = bpf_prog_load_opts {
            sz: size_of::<bpf_prog_load_opts>() as libbpf_sys::size_t,
            expected_attach_type: self.attach,
            prog_flags: if is_syscall { BPF_F_SLEEPABLE } else { 0 },
            attach_btf_id,
            ..bpf_prog_load_opts::default()
        };
        // SAFETY: all pointers are valid, and the program has no name.
        let fd = unsafe {
            libbpf_sys::bpf_prog_load(
                self.program,
                std::ptr::null(),
                c"GPL".as_ptr(),
                instructions.as_ptr(),
                instructions.len() as libbpf_sys::size_t,
                &raw mut options,
            )
        };
        if fd < 0 {
            return Err(Errno::from_raw(-fd));
        }
        // SAFETY: nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The number of the target in the kernel's BTF; an error if the BTF lacks it.
    fn btf_id(&self) -> Option<Result<u32, ()>> {
        if self.program != BPF_PROG_TYPE_TRACING {
            return None;
        }
        let target = self.target.as_deref()?;
        if let Some(id) = self.is_trampoline().then(|| kernel_types::function(target)).flatten() {
            return Some(Ok(id));
        }
        let name = CString::new(target).ok()?;
        // SAFETY: a string that ends.
        let id = unsafe { libbpf_sys::libbpf_find_vmlinux_btf_id(name.as_ptr(), self.attach) };
        Some(u32::try_from(id).ok().filter(|&id| id > 0).ok_or(()))
    }
}

/// Attaches a program, and detaches it.
///
/// # Errors
///
/// Those that hold for any target: `EOPNOTSUPP`, and `ENOMEM` where there is no memory within reach of
/// the kernel's code (s390x).
fn try_attaching(program: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: a program of ours, and no name.
    let fd = unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), program.as_raw_fd()) };
    if fd >= 0 {
        // SAFETY: nobody else has it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        return Ok(());
    }
    match errno::from_kernel(-fd) {
        errno @ (Errno::EOPNOTSUPP | Errno::ENOMEM) => Err(errno),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_lacks() {
        // The types of an object of ours stand for a kernel's.
        let object = concat!(env!("OUT_DIR"), "/tcpconnect.bpf.o");
        let types = Btf::from_path(object).unwrap();
        let kind = |attach, target: &str| Kind {
            program: BPF_PROG_TYPE_TRACING,
            attach,
            name: String::new(),
            target: Some(target.to_owned()),
        };
        assert_eq!(kind(BPF_TRACE_FEXIT, "fexit_connect").missing(&types), None);
        for (attach, what) in [
            (BPF_TRACE_FEXIT, "function"),
            (BPF_TRACE_RAW_TP, "tracepoint"),
            (BPF_TRACE_ITER, "iterator"),
        ] {
            let missing = kind(attach, "no_such").missing(&types);
            assert_eq!(missing, Some((what, "no_such".to_owned())));
        }
        let other = Kind { program: 1, ..kind(0, "no_such") };
        assert_eq!(other.missing(&types), None, "found out when it is attached");
    }
}
