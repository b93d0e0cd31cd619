//! shown + lost == happened, whatever the reader does.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// `lives` by a name of its own, so that tests that trace the whole machine at the same time
/// see only theirs.
fn own_lives(dir: &TempDir, name: &str) -> String {
    dir.alias(name, "lives")
}

fn losses_add_up(setup: Setup, flags: &[&str], events_per_life: u64) {
    let count = u64::from(scaled(5000).max(500));
    let dir = TempDir::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("lives-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let program = own_lives(&dir, &name);
    let common = ["--json", "--comm", &name];
    let running = PROCSNOOP.start(&[&setup.flags()[..], &common, flags].concat());
    running.signal(libc::SIGSTOP);
    let spawn = |count: u64| {
        let args =
            ["spawn".to_owned(), count.to_string(), program.clone(), "forks".into(), "0".into()];
        assert!(
            std::process::Command::new(fixture("lives")).args(args).status().unwrap().success()
        );
    };
    spawn(count);
    running.signal(libc::SIGCONT);
    running.settle();
    spawn(3); // behind the gap
    let trace = running.stop();
    let is_gap = |event: &&Value| event["event"]["name"] == "events.lost";
    let gaps = trace.events.iter().filter(is_gap).map(|gap| gap["count"].as_u64().unwrap());
    let lost = trace.end["lost"].as_u64().unwrap();
    let shown = trace.of(&name).len() as u64;
    assert_eq!(trace.end["events"], shown);
    assert!(lost > 0, "a buffer this small cannot hold them");
    // Kernels that let programs interrupt each other say where they may have missed one.
    let unseen = trace.end["unseen"].as_u64().unwrap_or(0);
    let happened = (count + 3) * events_per_life;
    assert!(
        shown + lost <= happened && shown + lost + unseen >= happened,
        "{shown} + {lost} of {happened}, {unseen} unseen"
    );
    assert_eq!(gaps.sum::<u64>(), lost, "each loss has its place in the stream");
}

#[test]
fn losses_are_counted_exactly() {
    // An execution and an end; births are not asked for, so they do not count.
    each_setup(|setup| losses_add_up(setup, &["--buffer-size", "16K"], 2));
}

#[test]
fn losses_of_several_rings_add_up() {
    over_rings(backends(), 16, |setup, rings| losses_add_up(setup, rings, 2));
}

#[test]
fn several_rings_keep_the_order_of_each_life() {
    let count = scaled(2000).max(100).to_string();
    over_rings(backends(), 4096, |setup, rings| {
        let flags = [rings, &["--fork"]].concat();
        let trace = lives(setup, &flags, &["storm", &count, "16", "0"]);
        trace.check_ends();
        for end in named(&trace, "exit") {
            let of_it = |event: &&Value| event["process"]["pid"] == end["process"]["pid"];
            let names = trace.events.iter().filter(of_it).map(|event| &event["event"]["name"]);
            let names: Vec<_> = names.filter_map(Value::as_str).collect();
            // (An id may be used again.)
            let follows = |pair: &[&str]| match pair {
                ["process.exit", after] => *after == "process.fork",
                [_, after] => *after != "process.fork",
                _ => false,
            };
            assert!(names.windows(2).all(follows), "{names:?}");
        }
    });
}

#[test]
fn losses_of_what_is_not_asked_for_do_not_count() {
    let flags = ["--buffer-size", "16K", "--exit-code", "0"];
    each_backend(|setup| losses_add_up(setup, &flags, 1));
}

#[test]
fn many_at_once_lose_nothing() {
    let count = scaled(5000);
    each_backend(|setup| {
        let trace = lives(setup, &["--fork"], &["forks", &count.to_string()]);
        trace.check_ends();
        assert_eq!(named(&trace, "fork").len(), count as usize);
    });
}

#[test]
fn a_quiet_run_counts_what_it_does_not_show() {
    let dir = TempDir::new();
    let file = dir.path("events.json");
    let run = |flags: &[&str]| {
        let output = PROCSNOOP.command(&[&["-q"], flags].concat()).output().unwrap();
        (lossy(&output.stdout), lossy(&output.stderr))
    };
    let (rows, said) = run(&["--", "/bin/true"]);
    assert_eq!(rows, "");
    assert!(said.ends_with("procsnoop: 2 events, 0 lost\n"), "an execution and an end: {said}");
    let (tree, said) = run(&["--tree-view", "--", "/bin/true"]);
    assert!(
        tree.contains("/bin/true") && said.ends_with("procsnoop: 1 process, 0 lost\n"),
        "{said}"
    );
    // And of a recording.
    let output = PROCSNOOP.command(&["--json", "--", "/bin/true"]).output().unwrap();
    fs::write(&file, output.stdout).unwrap();
    let (rows, said) = run(&["--from", &file]);
    assert_eq!(rows, "");
    assert!(said.ends_with("procsnoop: 2 events, 0 lost\n"), "{said}");
}

#[test]
fn one_end_each_whatever_the_filter() {
    let count = scaled(1000).max(100);
    each_backend(|setup| {
        let dir = TempDir::new();
        let name = format!("storm-{}", std::process::id()); // others may run this test now
        let program = own_lives(&dir, &name);
        // No tree that forgets a process after its first end.
        let flags = [&setup.flags()[..], &["--json", "--comm", &name]].concat();
        let running = PROCSNOOP.start(&flags);
        let args = ["storm", &count.to_string(), "16", "0"];
        assert!(std::process::Command::new(program).args(args).status().unwrap().success());
        let trace = running.stop();
        assert_eq!(named(trace.is_complete(), "exit").len(), count as usize + 1);
    });
}

#[test]
fn what_is_remembered_does_not_grow() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let dir = TempDir::new();
    own_lives(&dir, "lives-grow");
    let running = PROCSNOOP.start(&[&setup.flags()[..], &["--comm", "lives-grow"]].concat());
    let work = || {
        let count = scaled(8000).to_string();
        let program = dir.path("lives-grow");
        let status = std::process::Command::new(&program).args(["forks", &count]).status().unwrap();
        assert!(status.success());
    };
    // The first rounds let the allocator find its size; nobody reads the rows.
    let mut drain = running;
    let reader = |running: &mut Running, rows: u32| {
        for _ in 0..rows {
            assert!(!running.line().is_empty());
        }
    };
    work();
    reader(&mut drain, scaled(8000) + 2);
    let before = drain.status_kib("RssAnon");
    for _ in 0..3 {
        work();
        reader(&mut drain, scaled(8000) + 2);
    }
    let after = drain.status_kib("RssAnon");
    assert!(after <= before + 2048, "{before} KiB, then {after}");
    drain.signal(libc::SIGINT);
    drain.finish();
}
