//! The tools against the real kernel. These tests need root (or the capabilities that
//! the tools need); every one runs over each backend and each transport that it concerns.
//!
//! `tests/vm/matrix.sh` runs the same tests on other kernels. From the environment:
//!
//! - `SNOOP_BIN_DIR`: the tools, instead of those that cargo built
//! - `SNOOP_FIXTURES`: the compiled programs of `tests/fixtures`
//! - `SNOOP_OBJECTS`: the compiled BPF objects of `examples` and `tests/fixtures/bpf`
//! - `SNOOP_BACKENDS`: backends that must work for each tool that has one of that name;
//!   else those that do here, `tp_btf` and `raw_tp` at the least
//! - `SNOOP_SHARE`: which part of all ways to run a tool is ours, see `harness::over`
//! - `SNOOP_SKIPPED`: a file to which tests that cannot run here are added, see `skip`
//! - `CI`: if `true`, a test that cannot run here for a reason that is not expected fails
//! - `SNOOP_VM`: the machine is ours alone, so tests may change its settings
//! - `SNOOP_SCALE`: divides the counts of the large tests

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unreachable_pub)] // a program, not a library

mod clocks;
mod conditions;
mod containers;
mod context;
mod elf;
mod every;
mod harness;
mod hostile;
mod names;
mod netns;
mod skip;
mod strict;

mod bpfrun;
mod dns;
mod execsnoop;
mod filtered;
mod killsnoop;
mod load;
mod logins;
mod mmapsnoop;
mod output;
mod procsnoop;
mod recorded;
mod refusals;
mod seccomp;
mod tcpconnect;
mod terminal;
mod view;
