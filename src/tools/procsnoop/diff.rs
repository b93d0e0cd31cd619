//! `--diff A B`: what two recorded runs executed, compared.

mod commands;
mod pairs;
mod parts;
mod pattern;
mod report;

use std::path::Path;

use anyhow::Result;

use super::args::Args;
use crate::engine::cli::{Budget, Delivery};
use crate::engine::replay::{self, Replay};
use commands::{Collector, Commands};

/// The least difference of durations that is reported, unless `-d` has another one: 10 ms,
const LEAST_NS: u64 = 10_000_000;
/// and this part of the shorter one.
const LEAST_PART: u64 = 5;

/// Compares the two files of `args`; returns the exit status.
pub fn run(args: &Args) -> Result<u8> {
    let [a, b] = &args.diff[..] else { return Ok(2) }; // clap has seen to it
    let (a, is_whole_a) = read(args, a)?;
    let (b, is_whole_b) = read(args, b)?;
    let least_ns = args.min_duration.map_or(LEAST_NS, |least| least.as_nanos() as u64);
    let rows = report::rows(&a, &b, &pairs::match_all(&a.all, &b.all), least_ns);
    report::print(args, &rows, [&a, &b])?;
    Ok(if is_whole_a && is_whole_b { 0 } else { 1 })
}

/// The commands of a file, and whether the file is whole. What is wrong with it is said.
fn read(args: &Args, path: &Path) -> Result<(Commands, bool)> {
    let mut common = args.common.clone();
    (common.json, common.quiet) = (None, true);
    (common.place, common.budget) = (Delivery::default(), Budget::default());
    let mut collector = Collector::default();
    let tool: &mut dyn Replay = &mut collector;
    let read = replay::read("procsnoop", &common, &[path.to_owned()], tool)?;
    Ok((collector.commands(), !read.has_trouble))
}

#[cfg(test)]
mod tests;
