//! The tracers, by the names that people type.

pub mod execsnoop;
pub mod live;
pub mod mmapsnoop;
pub mod procsnoop;
pub mod tcpconnect;

#[cfg(test)]
mod tests;
