use proptest::prelude::*;

use super::super::history::testing::{family, history};
use super::*;

/// Process ids and times of the steps.
fn steps(history: &History) -> Vec<(u32, u64, u64)> {
    let path = Path::new(history, root(history).unwrap());
    let pid = |step: &Step| history.processes()[step.process].pid;
    path.steps.iter().map(|step| (pid(step), step.from_ns, step.until_ns)).collect()
}

#[test]
fn alone() {
    let history = history(&[(1, 0, 100, 900, 0, 500)]);
    let path = Path::new(&history, 0);
    assert_eq!(steps(&history), [(1, 100, 900)]);
    assert_eq!((path.total_ns(), path.unsure), (800, Vec::new()));
    let expected = Shares { cpu_ns: Some(500), child_ns: 0, other_ns: 300, beside_ns: 0 };
    assert_eq!(path.members[0].shares(&history), expected);
}

#[test]
fn one_after_the_other() {
    let history = history(&[
        (1, 0, 0, 1000, 0, 60),
        (2, 1, 100, 400, 0, 300),
        (3, 1, 450, 900, 0, 40),
        (4, 3, 500, 880, 0, 1000),
    ]);
    let expected = [
        (1, 0, 100),
        (2, 100, 400),
        (1, 400, 450),
        (3, 450, 500),
        (4, 500, 880),
        (3, 880, 900),
        (1, 900, 1000),
    ];
    assert_eq!(steps(&history), expected);
    let path = Path::new(&history, 0);
    let members: Vec<_> = path.members.iter().map(|m| (m.process, m.depth, m.child_ns)).collect();
    assert_eq!(members, [(0, 0, 750), (1, 1, 0), (2, 1, 380), (3, 2, 0)]);
    let shares = |at: usize| path.members[at].shares(&history);
    assert_eq!((shares(0).cpu_ns, shares(0).other_ns), (Some(60), 190));
    assert_eq!((shares(3).cpu_ns, shares(3).beside_ns), (Some(380), 620), "of several threads");
}

#[test]
fn of_those_that_ran_at_once_the_one_that_ended_last() {
    // make -j2: 3 begins when 2 has ended, 4 is longest but not last.
    let history = history(&[
        (1, 0, 0, 1000, 0, 0),
        (2, 1, 10, 300, 0, 0),
        (4, 1, 10, 800, 0, 0),
        (3, 1, 310, 990, 0, 0),
    ]);
    assert_eq!(
        steps(&history),
        [(1, 0, 10), (2, 10, 300), (1, 300, 310), (3, 310, 990), (1, 990, 1000)]
    );
}

#[test]
fn nobody_waits_for_what_lives_longer() {
    let history =
        history(&[(1, 0, 0, 1000, 0, 0), (2, 1, 100, 5000, 0, 0), (3, 1, 200, 300, 0, 0)]);
    assert_eq!(steps(&history), [(1, 0, 200), (3, 200, 300), (1, 300, 1000)]);
}

#[test]
fn an_orphan_is_waited_for_by_whom_it_came_to() {
    // 1 is the reaper of 3, which 2 leaves behind; 1 also waits for 4.
    let lives = [
        (1, 0, 0, 1000, 0, 0),
        (2, 1, 100, 200, 0, 0),
        (3, 2, 150, 900, 0, 0),
        (4, 1, 300, 400, 0, 0),
    ];
    let of_init = family(&lives, &[(3, 0)]);
    let expected = [(1, 0, 100), (2, 100, 200), (1, 200, 300), (4, 300, 400), (1, 400, 1000)];
    assert_eq!(steps(&of_init), expected, "1 is not told of the end of 3");
    let of_reaper = family(&lives, &[(3, 1)]);
    let expected = [(1, 0, 100), (2, 100, 150), (3, 150, 900), (1, 900, 1000)];
    assert_eq!(steps(&of_reaper), expected, "who bore it comes before it");
    let path = Path::new(&of_reaper, 0);
    let parent = path.members[1];
    assert_eq!((parent.process, parent.from_ns, parent.until_ns), (1, 100, 150));
    assert_eq!(parent.shares(&of_reaper).cpu_ns, None, "not its whole life");
    assert_eq!(path.members[0].child_ns, 800);
}

#[test]
fn an_id_that_is_used_again_is_another_process() {
    let history = history(&[
        (1, 0, 0, 1000, 0, 0),
        (2, 1, 100, 200, 0, 0),
        (2, 1, 300, 400, 0, 0),
        (2, 1, 500, 600, 0, 0),
    ]);
    let expected = [
        (1, 0, 100),
        (2, 100, 200),
        (1, 200, 300),
        (2, 300, 400),
        (1, 400, 500),
        (2, 500, 600),
        (1, 600, 1000),
    ];
    assert_eq!(steps(&history), expected);
    let path = Path::new(&history, 0);
    let processes: Vec<_> = path.members.iter().map(|member| member.process).collect();
    assert_eq!(processes, [0, 1, 2, 3]);
}

#[test]
fn time_before_the_picture_does_not_count() {
    let mut history = history(&[(1, 0, 0, 1000, 0, 900), (2, 1, 100, 800, 0, 0)]);
    history.began_ns = 500;
    assert_eq!(steps(&history), [(2, 500, 800), (1, 800, 1000)]);
    let path = Path::new(&history, 0);
    assert_eq!(path.members[0].shares(&history).cpu_ns, None, "part of it was before");
}

#[test]
fn losses_make_it_unsure() {
    let lives = [(1, 0, 0, 1000, 0, 0), (2, 1, 100, 800, 0, 0)];
    let mut history = history(&lives);
    assert_eq!(Path::new(&history, 0).unsure, [""; 0]);
    history.lost = 1;
    let unsure = Path::new(&history, 0).unsure;
    assert_eq!(unsure, ["1 record may be missing, and a process of the path with them"]);
    let unborn = super::super::history::testing::without_birth(&lives, 2);
    let unsure = Path::new(&unborn, 0).unsure;
    assert!(unsure[0].starts_with("1 process on it came without a word of"), "{unsure:?}");
    let mut history = unended();
    history.until_ns = 500;
    let path = Path::new(&history, 0);
    assert_eq!((path.total_ns(), path.unsure.len()), (400, 1));
    history.until_ns = 0;
    assert_eq!(Path::new(&history, 0).total_ns(), 0);
}

/// One process, from 100 on.
fn unended() -> History {
    let mut event = crate::skel::process_event::default();
    (event.id.pid, event.id.start_ns) = (1, 100);
    let mut history = History::default();
    history.see(&super::super::history::testing::birth(event), None);
    history
}

#[test]
fn as_deep_and_as_wide_as_can_be() {
    let deep: Vec<_> = (1..=20_000)
        .map(|pid| (pid, pid - 1, u64::from(pid), 99_999 - u64::from(pid), 0, 0))
        .collect();
    let deep = history(&deep);
    assert_eq!(Path::new(&deep, 0).members.len(), 20_000);
    let mut wide = vec![(1, 0, 0, 1_000_000, 0, 0)];
    wide.extend(
        (2..20_000).map(|pid| (pid, 1, u64::from(pid) * 10, u64::from(pid) * 10 + 5, 0, 0)),
    );
    let wide = history(&wide);
    let path = Path::new(&wide, 0);
    assert_eq!((path.members.len(), path.steps.len()), (19_999, 2 * 19_998 + 1));
}

proptest! {
    #[test]
    fn each_moment_belongs_to_one_process(
        lives in proptest::collection::vec((0u32..20, 0u64..100, 0u64..50, 0u64..60), 1..60),
        adopted in proptest::collection::vec((2u32..60, 0u32..20), 0..10),
        began_ns in 0u64..40,
    ) {
        let mut born = vec![(1, 0, 0, 150, 0, 70)];
        for (pid, (parent, start, lived, cpu)) in (2..).zip(lives) {
            born.push((pid, parent.min(pid - 1), start, start + lived, 0, cpu));
        }
        born.sort_by_key(|life| life.2);
        let mut history = family(&born, &adopted);
        history.began_ns = began_ns;
        let path = Path::new(&history, root(&history).unwrap());
        // The oldest one, if others are as old, is the first of them.
        let all = history.processes();
        let root = &all[root(&history).unwrap()];
        let (from_ns, until_ns) = history.drawn(root, 0);
        let mut at_ns = from_ns;
        for step in &path.steps {
            prop_assert_eq!(step.from_ns, at_ns);
            prop_assert!(step.until_ns > at_ns);
            let past = &all[step.process];
            prop_assert!(past.start_ns <= step.from_ns && step.until_ns <= past.end.unwrap().time_ns);
            at_ns = step.until_ns;
        }
        prop_assert!(at_ns == until_ns);
        // Parts are their own steps and their children's parts; together, all is the whole.
        let mut sum = 0;
        for member in &path.members {
            let own: u64 = path.steps.iter().filter(|step| step.process == member.process)
                .map(|step| step.until_ns - step.from_ns).sum();
            prop_assert_eq!(own + member.child_ns, member.part_ns());
            let shares = member.shares(&history);
            prop_assert_eq!(shares.cpu_ns.unwrap_or(0) + shares.other_ns, own);
            sum += shares.cpu_ns.unwrap_or(0) + shares.other_ns;
        }
        prop_assert_eq!(sum, until_ns - from_ns);
        let mut once: Vec<_> = path.members.iter().map(|member| member.process).collect();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), path.members.len());
    }
}
