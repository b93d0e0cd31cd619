//! What a process has used is what wait4() told its parent.

use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, mkfifo};

use super::*;

/// The account of a row, in the units and the order of [`Truth::usage`].
fn usage(row: &Value) -> [u64; 9] {
    let number = |path: &str| {
        let value = row["process"].pointer(path).unwrap_or_else(|| panic!("{path}: {row}"));
        value.as_u64().unwrap()
    };
    [
        number("/cpu/user_ns") / 1000,
        number("/cpu/system_ns") / 1000,
        number("/memory/max_rss_bytes") / 1024,
        number("/paging/minor_faults"),
        number("/paging/major_faults"),
        number("/context_switches/voluntary"),
        number("/context_switches/involuntary"),
        number("/disk/read_bytes") / 512,
        number("/disk/written_bytes") / 512,
    ]
}

/// Rows whose account is final have the parent's numbers; how many those are.
fn check(trace: &LivesTrace) -> usize {
    trace.check_ends();
    let (mut finals, mut held_up) = (0, 0);
    for truth in &trace.truth {
        let row = trace.end_of(truth);
        if row["process"]["usage_incomplete"] == true {
            continue; // the machine was too slow to tell it in time
        }
        finals += 1;
        let (ours, theirs) = (usage(row), truth.usage);
        let [user, system, rest @ ..] = ours;
        let [their_user, their_system, their_rest @ ..] = theirs;
        let [memory, minor, major, voluntary, involuntary, read, written] = rest;
        let [their_memory, their_minor, their_major, v, i, their_read, their_written] = their_rest;
        assert_eq!((memory, minor, major), (their_memory, their_minor, their_major), "{row}");
        assert_eq!((read, written), (their_read, their_written), "{row}");
        // A parent that is told at once reads the account while the process is still leaving
        // the CPU for the last time; that is added afterwards.
        assert!(user + system >= their_user + their_system, "{ours:?} {theirs:?}");
        assert!(voluntary >= v && involuntary >= i, "{ours:?} {theirs:?}");
        let added = user + system - their_user - their_system;
        let is_near = added.max(user.abs_diff(their_user)) <= 10_000
            && voluntary <= v + 1
            && involuntary <= i + 1;
        held_up += u32::from(!is_near);
    }
    // A busy machine may hold up one of them just then, but not another one too.
    assert!(held_up <= 1, "{trace:?}");
    finals
}

#[test]
fn equals_what_the_parent_is_told() {
    each_backend(|setup| {
        let trace = lives(setup, &[], &["usage", "block"]);
        assert_eq!(trace.truth.len(), 6);
        let most = |index: usize| trace.truth.iter().map(|truth| truth.usage[index]).max().unwrap();
        assert!(most(0) + most(1) > 50_000, "time was used");
        assert!(most(2) >= 64 * 1024 && most(3) >= (64 << 20) / page_bytes(), "and memory");
        assert!(check(&trace) > 0, "{trace:?}");
    });
}

#[test]
fn also_if_it_asked_before() {
    each_backend(|setup| {
        assert!(check(&lives(setup, &[], &["asks"])) > 0);
    });
}

#[test]
fn of_many_threads() {
    each_backend(|setup| {
        let trace = lives(setup, &[], &["storm", "20", "16", "0"]);
        assert!(check(&trace) > 0, "{trace:?}");
    });
}

#[test]
fn a_zombie_is_told_before_anybody_waits_for_it() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let (fifo, truth) = (dir.path("fifo"), dir.path("truth"));
        mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
        let mut tool = PROCSNOOP.command(&setup.flags());
        tool.args(["--json", "--", &fixture("lives"), "zombie", &fifo]).env("LIVES_OUT", &truth);
        let mut running = Running::spawn(tool);
        running.wait_for("end of the zombie", |row| row["process"]["exit"]["code"] == 5);
        fs::write(fifo, "").unwrap(); // now it is waited for
        let trace = running.end();
        let truth = parse_truth(&fs::read_to_string(truth).unwrap());
        let trace = LivesTrace { trace, truth };
        trace.check_ends();
        let row = trace.end_of(&trace.truth[0]);
        assert_eq!(row["process"]["usage_incomplete"], true, "{row}");
        // What is known by then is nearly all.
        assert_eq!(usage(row)[2], trace.truth[0].usage[2], "memory");
        assert!(usage(row)[3] <= trace.truth[0].usage[3], "faults");
        // Rows behind it wait no longer than it does.
        let own = named(&trace, "exit").last().copied().unwrap();
        assert_ne!(pid(own), pid(row));
    });
}

#[test]
fn a_zombie_does_not_hold_up_the_end() {
    each_backend(|setup| {
        let flags = ["--json", "--comm", "true"];
        let running = PROCSNOOP.start(&[&setup.flags()[..], &flags].concat());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        // Until it has ended, and remains a zombie.
        let id = Id::Pid(Pid::from_raw(child.id() as i32));
        waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        let trace = running.stop();
        let id = u64::from(child.id());
        let row = named(&trace, "exit").into_iter().find(|row| pid(row) == id).unwrap();
        assert_eq!(row["process"]["usage_incomplete"], true, "{row}");
        child.wait().unwrap();
    });
}

#[test]
fn columns_show_it() {
    let mut tool = PROCSNOOP.command(&["--usage", "--", &fixture("lives"), "usage", "block"]);
    let dir = TempDir::new();
    let output = tool.current_dir(&dir.0).output().unwrap();
    let text = lossy(&output.stdout);
    let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let at = |title: &str| rows[0].iter().position(|word| *word == title).unwrap();
    let ends: Vec<_> = rows.iter().filter(|row| row[0] == "EXIT").collect();
    assert_eq!(ends.len(), 7, "{text}");
    let most_memory = ends.iter().map(|row| row[at("RSS(KiB)")].parse::<u64>().unwrap()).max();
    assert!(most_memory.unwrap() >= 64 * 1024, "{text}");
    let exec = rows.iter().find(|row| row[0] == "EXEC").unwrap();
    assert_eq!(exec[at("USER")], "-");
}
