//! shown + lost == happened, whatever the reader does.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// `mapper` by a name of its own, since other tests run it at the same time.
struct OwnMapper {
    dir: TempDir,
    comm: String,
}

impl OwnMapper {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = TempDir::new();
        let comm = format!("mapper{}", NEXT.fetch_add(1, Ordering::Relaxed));
        dir.alias(&comm, "mapper");
        Self { dir, comm }
    }

    fn run(&self, args: &[&str]) {
        assert!(Command::new(self.dir.path(&self.comm)).args(args).status().unwrap().success());
    }
}

/// Those of the loop: the only ones of that name that fail with a length of 0.
fn shown(trace: &Trace, mapper: &OwnMapper) -> u64 {
    trace.of(&mapper.comm).iter().filter(|row| row["mmap"]["length_bytes"] == 0).count() as u64
}

/// Fails unless all calls are accounted for. Returns how many were lost, and how many may
/// have been: runs of a program that the kernel skipped, since it was at work on that CPU.
fn check_sum(trace: &Trace, mapper: &OwnMapper, happened: u32) -> (u64, u64) {
    let lost = trace.end["lost"].as_u64().unwrap();
    let unseen = trace.end["unseen"].as_u64().unwrap_or(0);
    let told = shown(trace, mapper) + lost;
    assert!((told..=told + unseen).contains(&happened.into()), "{told} {:?}", trace.end);
    let gaps = trace.events.iter().filter(|event| event["event"]["name"] == "events.lost");
    let gaps: u64 = gaps.map(|gap| gap["count"].as_u64().unwrap()).sum();
    assert_eq!(gaps, lost, "each loss has its place in the stream");
    (lost, unseen)
}

#[test]
fn a_stopped_tool_loses_nothing() {
    each_backend(|setup| stopped_it_loses_nothing(setup, &[]));
}

#[test]
fn several_rings_lose_nothing() {
    over_rings(backends(), 4096, stopped_it_loses_nothing);
}

#[test]
fn losses_of_several_rings_add_up() {
    over_rings(backends(), 16, losses_add_up);
}

fn stopped_it_loses_nothing(setup: Setup, more: &[&str]) {
    let count = scaled(20_000);
    let mapper = OwnMapper::new();
    let flags = setup.flags();
    let flags = [&flags[..], &["--json", "--comm", &mapper.comm], more].concat();
    let running = MMAPSNOOP.start(&flags);
    running.signal(libc::SIGSTOP);
    mapper.run(&["threads", &(count / 2).to_string()]);
    running.signal(libc::SIGCONT);
    let trace = running.stop();
    // Two threads may meet in a program where tasks are preempted in there.
    let (lost, _) = check_sum(&trace, &mapper, count);
    assert_eq!(lost, 0, "with the default buffer");
}

#[test]
fn losses_are_counted_exactly() {
    over(backends(), |setup| losses_add_up(setup, &["--buffer-size", "16K"]));
}

fn losses_add_up(setup: Setup, small: &[&str]) {
    let count = scaled(20_000).max(2000);
    let mapper = OwnMapper::new();
    let flags = setup.flags();
    let more = ["--json", "--comm", &mapper.comm];
    let running = MMAPSNOOP.start(&[&flags[..], &more, small].concat());
    running.signal(libc::SIGSTOP);
    mapper.run(&["loop", &count.to_string()]);
    running.signal(libc::SIGCONT);
    // Further events come after the gap.
    running.settle();
    mapper.run(&["loop", "3"]);
    let trace = running.stop();
    let (lost, _) = check_sum(&trace, &mapper, count + 3);
    assert!(lost > 0, "a buffer this small cannot hold them");
    assert_eq!(trace.events.last().unwrap()["process"]["comm"], mapper.comm);
}

#[test]
fn rows_of_text_are_counted_too() {
    let count = scaled(200_000);
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let mut tool = MMAPSNOOP.command(&setup.flags());
    tool.args(["--comm", "mapper", "--max-size", "1", "--"]).arg(fixture("mapper"));
    let output = tool.args(["loop", &count.to_string()]).output().unwrap();
    let (stdout, stderr) = (lossy(&output.stdout), lossy(&output.stderr));
    let totals = stderr.lines().last().unwrap();
    let rows = stdout.lines().count() as u32 - 1;
    let lost = count - rows;
    assert!(totals.contains(&format!("{rows} events, {lost} lost")), "{stderr}");
    let row = stdout.lines().nth(1).unwrap();
    let words: Vec<_> = row.split_whitespace().skip(1).collect();
    assert_eq!(words, ["mapper", "0", "r--", "PRIVATE|ANONYMOUS", "EINVAL"], "{row}");
}
