//! BPF objects: what is in an ELF file, and what the events mean that its programs send.
//!
//! Reading needs no privileges and no kernel, and takes any byte order and also what libbpf
//! refuses. Everything in such a file is taken as hostile: what is read is checked against
//! the file's size, and memory and time grow with that size and nothing else.

pub mod btf;
pub mod btf_ext;
pub mod co_re;
pub mod code;
mod cursor;
pub mod dataflow;
mod declare;
pub mod disasm;
pub mod dwarf;
pub mod file;
pub mod global;
pub mod hook;
pub mod insn;
pub mod map;
pub mod names;
pub mod object;
pub mod schema;
pub mod sections;
pub mod types;
pub mod value;
