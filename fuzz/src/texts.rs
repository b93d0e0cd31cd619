//! Files of /proc, paths of cgroups, and command lines.

use clap::Parser;
use snoop_tools::bpfrun::run;
use snoop_tools::host::cgroup::container_id;
use snoop_tools::host::proc::{Stat, cgroup_in};
use snoop_tools::output::filter::Expr;

/// `--filter`: any text, and any expression on any line.
pub(crate) fn filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, line) = text.split_once('\0').unwrap_or((&text, "{}"));
    if let Ok(expr) = Expr::parse(text) {
        let is_object =
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_ok();
        let _ = expr.is_true_of(if is_object { line.as_bytes() } else { b"{}" });
    }
}

pub(crate) fn proc(data: &[u8]) {
    if let Some(stat) = Stat::parse(data.to_vec()) {
        let _ = (stat.name(), stat.ppid(), stat.start_ticks(), stat.field(0), stat.field(52));
    }
    let path = cgroup_in(data).unwrap_or(data);
    if let Some(id) = container_id(path) {
        assert_eq!(id.len(), 64);
    }
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    _run: run::Args,
}

/// The flags of `bpfrun run` that have a form of their own.
pub(crate) fn arguments(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for flag in ["--set", "--type", "--attach", "--maps", "--duration"] {
        let _ = Flags::try_parse_from(["run", "x.bpf.o", &format!("{flag}={text}")]);
    }
    let _ = text.parse::<snoop_tools::bpfrun::glob::Glob>().map(|glob| glob.matches(&text));
}
