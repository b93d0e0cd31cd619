//! BPF objects: the contents of an ELF file, and the meaning of the events that its programs send.
//!
//! Reading needs no privileges and no kernel; it accepts any byte order, and files that libbpf
//! refuses. The file is hostile: every length is checked against the file's size, and memory and
//! time grow only with that size.

pub mod acts;
pub mod btf;
pub mod btf_ext;
pub mod btf_file;
pub mod budget;
pub mod co_re;
pub mod code;
mod cursor;
pub mod dataflow;
mod declare;
pub mod disasm;
pub mod dwarf;
pub mod embedded;
pub mod file;
pub mod global;
pub mod hook;
pub mod insn;
pub mod map;
pub mod names;
pub mod object;
pub mod picture;
pub mod relocate;
pub mod schema;
pub mod sections;
pub mod types;
pub mod value;
