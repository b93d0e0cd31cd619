//! Probes at the begin and the return of one function share state: what one notes, the other looks
//! up. Of the variants of such a pair, both halves must be of one kind.

use std::collections::BTreeMap;

use crate::bpfrun::run::plan::{Program, State};

/// The variants of one pair, the best first: numbers of programs.
pub(super) type Pair = Vec<Vec<usize>>;

/// All pairs of which there are several variants. Programs that people chose for themselves, or left
/// out, are in none.
pub(super) fn pairs(programs: &[Program]) -> Vec<Pair> {
    // By function and by rank: the programs, and which of them are for the return.
    let mut functions: BTreeMap<String, BTreeMap<u8, Vec<(usize, bool)>>> = BTreeMap::new();
    for (index, program) in programs.iter().enumerate() {
        let chosen = program.asked.is_some() || program.idle.is_some();
        let counts = matches!(program.state, State::Wanted | State::Refused(_)) && !chosen;
        if let Some((function, rank, is_return)) = program.hook.half().filter(|_| counts) {
            let ranks = functions.entry(function).or_default();
            ranks.entry(rank).or_default().push((index, is_return));
        }
    }
    let whole = |half: &Vec<(usize, bool)>| {
        half.iter().any(|(_, is_return)| *is_return) && half.iter().any(|(_, is_return)| !is_return)
    };
    let pairs = functions.into_values().map(|ranks| {
        let whole = ranks.into_values().filter(whole);
        whole.map(|half| half.into_iter().map(|(index, _)| index).collect()).collect::<Pair>()
    });
    pairs.filter(|pair| pair.len() > 1).collect()
}

/// What became of the attempts to attach a pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// The variant that is attached
    pub(super) used: Option<Vec<usize>>,
    /// Programs that would work, and the other half that does not
    pub(super) halves: Vec<(usize, usize)>,
}

/// Attaches programs by their numbers.
pub(super) trait Attaches {
    /// Attaches one, if that is possible.
    fn attach(&mut self, index: usize) -> bool;
    /// Detaches these, which were attached last.
    fn detach(&mut self, indices: &[usize]);
}

/// Finds the first variant of which all programs can be attached.
pub(super) fn settle(pair: &Pair, programs: &mut impl Attaches) -> Settled {
    let mut halves = Vec::new();
    for variant in pair {
        let mut attached = Vec::new();
        let mut failed = None;
        for &index in variant {
            if !programs.attach(index) {
                failed = Some(index);
                break;
            }
            attached.push(index);
        }
        let Some(failed) = failed else {
            return Settled { used: Some(variant.clone()), halves };
        };
        programs.detach(&attached);
        let others = variant.iter().copied().filter(|&index| index != failed);
        halves.extend(others.map(|index| (index, failed)));
    }
    Settled { used: None, halves }
}

#[cfg(test)]
mod tests {
    use crate::bpfrun::run::args::Args;
    use crate::bpfrun::run::reason::Reason;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        args: Args,
    }

    fn programs(sections: &[&str], flags: &[&str]) -> Vec<Program> {
        let words = ["run", "x.o"].iter().chain(flags);
        let args = <Flags as clap::Parser>::parse_from(words).args;
        let plan = |(index, section): (usize, &&str)| {
            Program::plan(&format!("p{index}"), section, false, Vec::new(), &args)
        };
        sections.iter().enumerate().map(plan).collect()
    }

    const SECTIONS: [&str; 7] = [
        "kprobe/f",
        "fentry/f",
        "kretprobe/f",
        "fexit/f",
        "fentry/alone",
        "kprobe/alone",
        "tp_btf/sched_switch",
    ];

    #[test]
    fn pairs_of_several_kinds_are_found() {
        assert_eq!(pairs(&programs(&SECTIONS, &[])), [[vec![1, 3], vec![0, 2]]]);
        let calls = ["ksyscall/f", "kretsyscall/f", "fentry/__x64_sys_f", "fexit/__x64_sys_f"];
        assert_eq!(pairs(&programs(&calls, &[])), [[vec![2, 3], vec![0, 1]]]);
        // One half alone is no pair, nor is what somebody chose.
        assert_eq!(pairs(&programs(&SECTIONS[..3], &[])), [] as [Pair; 0]);
        assert_eq!(pairs(&programs(&SECTIONS, &["--attach", "p3"])), [] as [Pair; 0]);
        assert_eq!(pairs(&programs(&SECTIONS, &["--prog", "p[01]*"])), [] as [Pair; 0]);
        // What the kernel refused counts as a variant that does not work.
        let mut refused = programs(&SECTIONS, &[]);
        refused[3].state = State::Refused(Reason::new("no"));
        assert_eq!(pairs(&refused), [[vec![1, 3], vec![0, 2]]]);
    }

    /// Programs that cannot be attached, and those that were detached.
    struct Broken(Vec<usize>, Vec<usize>);

    impl Attaches for Broken {
        fn attach(&mut self, index: usize) -> bool {
            !self.0.contains(&index)
        }

        fn detach(&mut self, indices: &[usize]) {
            self.1.extend(indices);
        }
    }

    #[test]
    fn both_halves_are_of_one_kind() {
        let pair = vec![vec![1, 3], vec![0, 2]];
        let run = |broken: &[usize]| {
            let mut programs = Broken(broken.to_vec(), Vec::new());
            let settled = settle(&pair, &mut programs);
            (settled.used, settled.halves, programs.1)
        };
        assert_eq!(run(&[]), (Some(vec![1, 3]), vec![], vec![]));
        assert_eq!(run(&[3]), (Some(vec![0, 2]), vec![(1, 3)], vec![1]));
        assert_eq!(run(&[1]), (Some(vec![0, 2]), vec![(3, 1)], vec![]));
        assert_eq!(run(&[1, 2]), (None, vec![(3, 1), (0, 2)], vec![0]));
    }
}
