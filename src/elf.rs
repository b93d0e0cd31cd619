//! BPF objects: what is in an ELF file, and what the events mean that its programs send.

mod declare;
pub mod types;
pub mod value;
