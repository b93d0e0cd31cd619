//! Micro-benchmarks of what is done for each event in user space.
fn main() {}
