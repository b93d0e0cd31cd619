//! What stdout gets: tables for people, JSON Lines for programs, and the cells and times in both.

pub mod color;
pub mod cut;
pub mod digits;
pub mod escape;
pub mod file;
pub mod filter;
pub mod histogram;
pub mod json;
pub mod metrics;
pub mod otlp;
pub mod redact;
pub mod row;
mod screen;
pub mod status;
mod stdout;
pub mod table;
pub mod time;
