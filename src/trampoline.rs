//! Whether programs can be put on the entry and the exit of the kernel's functions: with BTF
//! and all capabilities they may be refused nevertheless.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use libbpf_rs::{OpenObject, ProgramType};
use libbpf_sys::{BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, bpf_insn, bpf_prog_load_opts};

/// The kernel's function that `program` is for, if it is reached by a trampoline.
pub fn function_of(object: &OpenObject, program: &str) -> Option<String> {
    let program = object.progs().find(|other| other.name() == program)?;
    if program.prog_type() != ProgramType::Tracing {
        return None;
    }
    let (kind, function) = program.section().to_str()?.split_once('/')?;
    matches!(kind, "fentry" | "fexit").then(|| function.to_owned())
}

/// Loads a program for the exit of a kernel's function, one that does nothing. Before it
/// loads a real one libbpf looks up each type that it uses in the kernel, and creates the maps:
/// a lot of time if the kernel then refuses the program for what it is.
///
/// # Errors
///
/// As of `bpf(BPF_PROG_LOAD)`. That there is no such function is none: libbpf says it better.
pub fn try_on(function: &str) -> io::Result<()> {
    let name = CString::new(function)?;
    // SAFETY: a string that ends.
    let id = unsafe { libbpf_sys::libbpf_find_vmlinux_btf_id(name.as_ptr(), BPF_TRACE_FEXIT) };
    let Ok(attach_btf_id @ 1..) = u32::try_from(id) else { return Ok(()) };
    let instruction = |code: u32| bpf_insn { code: code as u8, ..bpf_insn::default() };
    let instructions = [
        instruction(libbpf_sys::BPF_ALU64 | libbpf_sys::BPF_MOV), // r0 = 0
        instruction(libbpf_sys::BPF_JMP | libbpf_sys::BPF_EXIT),
    ];
    let mut options = bpf_prog_load_opts {
        sz: size_of::<bpf_prog_load_opts>() as libbpf_sys::size_t,
        expected_attach_type: BPF_TRACE_FEXIT,
        attach_btf_id,
        ..bpf_prog_load_opts::default()
    };
    // SAFETY: all pointers are valid, and the program has no name.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            BPF_PROG_TYPE_TRACING,
            std::ptr::null(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as libbpf_sys::size_t,
            &raw mut options,
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}
