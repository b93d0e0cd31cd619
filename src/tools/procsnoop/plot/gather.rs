//! What becomes a bar of the picture: a process, or many short ones of one parent together, so that
//! a picture of any number of processes can be read, and is of bounded size.

use super::outcome::Outcome;
use crate::tools::procsnoop::history::History;
use crate::tools::procsnoop::lanes::{Lanes, Span};

/// Up to so many processes each have a bar of their own.
const FEW: usize = 1000;

/// The most bars.
pub(super) const MOST_BARS: usize = 2000;

/// The most lanes.
const MOST_LANES: usize = 400;

/// What is shorter than this part of the picture cannot be seen: where to begin.
const INVISIBLE: u64 = 2000;

/// The longest bar of many, in parts of the picture: they show when there was much to do.
const PARTS: u64 = 24;

/// A bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// Index of the bar of the parent
    pub parent: Option<usize>,
    pub start_ns: u64,
    pub end_ns: u64,
    /// Its processes, by index: several that are short, or one
    pub processes: Vec<usize>,
}

/// The bars, parents before their children, and their lanes.
#[derive(Debug)]
pub(super) struct Bars {
    pub all: Vec<Bar>,
    pub lanes: Lanes,
    /// The bar of each process
    pub of: Vec<usize>,
}

/// A process with all its descendants: when they live.
#[derive(Clone, Copy)]
struct Extent {
    start_ns: u64,
    end_ns: u64,
}

impl Bars {
    /// `until_ns`: the end of the picture. `kept`: processes to have bars of their own in any case,
    /// not too many.
    pub(super) fn new(history: &History, until_ns: u64, kept: &[usize]) -> Self {
        let family = Family::new(history, until_ns, kept);
        let mut shorter_ns =
            if family.extents.len() <= FEW { 0 } else { family.span_ns / INVISIBLE + 1 };
        loop {
            let (all, of) = family.bars(shorter_ns);
            let is_last = shorter_ns > family.span_ns;
            if all.len() <= MOST_BARS || is_last {
                let span = |bar: &Bar| Span {
                    parent: bar.parent,
                    start_ns: bar.start_ns,
                    end_ns: bar.end_ns,
                };
                let spans: Vec<_> = all.iter().map(span).collect();
                let lanes = Lanes::new(&spans);
                if lanes.count <= MOST_LANES || is_last {
                    return Self { all, lanes, of };
                }
            }
            shorter_ns = shorter_ns.saturating_mul(2).max(family.span_ns / INVISIBLE + 1);
        }
    }
}

/// The processes as gathering sees them.
struct Family<'a> {
    history: &'a History,
    until_ns: u64,
    span_ns: u64,
    /// By process
    extents: Vec<Extent>,
    /// By process: it has a bar of its own whatever its length is
    is_kept: Vec<bool>,
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl<'a> Family<'a> {
    fn new(history: &'a History, until_ns: u64, kept: &[usize]) -> Self {
        let all = history.processes();
        let mut extents: Vec<Extent> = all
            .iter()
            .map(|past| {
                let (start_ns, end_ns) = history.drawn(past, until_ns);
                Extent { start_ns, end_ns }
            })
            .collect();
        // Children have higher indices than their parents: going backwards, they come first.
        for (index, past) in all.iter().enumerate().rev() {
            let end_ns = extents.get(index).map_or(0, |extent| extent.end_ns);
            if let Some(parent) = past.parent.and_then(|parent| extents.get_mut(parent)) {
                parent.end_ns = parent.end_ns.max(end_ns);
            }
        }
        let mut is_kept = vec![false; all.len()];
        for &process in kept {
            let mut above = Some(process);
            while let Some(kept) = above.and_then(|above| is_kept.get_mut(above)).filter(|k| !**k) {
                *kept = true;
                above = above.and_then(|above| all.get(above)).and_then(|past| past.parent);
            }
        }
        let (children, roots) = history.children();
        let span_ns = history.span().map_or(0, |(first, last)| last - first);
        Self { history, until_ns, span_ns, extents, is_kept, children, roots }
    }

    /// The bars if processes that are over, with all their descendants, in `shorter_ns` are
    /// gathered; and the bar of each process.
    fn bars(&self, shorter_ns: u64) -> (Vec<Bar>, Vec<usize>) {
        let mut bars = Vec::new();
        let mut of = vec![usize::MAX; self.extents.len()];
        for (index, past) in self.history.processes().iter().enumerate() {
            if self.is_short(index, shorter_ns) {
                continue;
            }
            let parent = past.parent.and_then(|parent| of.get(parent)).copied();
            let parent = parent.filter(|&parent| parent < bars.len());
            if let Some(of) = of.get_mut(index) {
                *of = bars.len();
            }
            let (start_ns, end_ns) = self.history.drawn(past, self.until_ns);
            bars.push(Bar { parent, start_ns, end_ns, processes: vec![index] });
        }
        if shorter_ns > 0 {
            self.gather(&mut bars, &mut of, None, &self.roots, shorter_ns);
            for (index, children) in self.children.iter().enumerate() {
                if !self.is_short(index, shorter_ns) {
                    let parent = of.get(index).copied();
                    self.gather(&mut bars, &mut of, parent, children, shorter_ns);
                }
            }
        }
        (bars, of)
    }

    fn is_short(&self, process: usize, shorter_ns: u64) -> bool {
        let is_kept = self.is_kept.get(process) == Some(&true);
        let extent = self.extents.get(process);
        !is_kept && extent.is_some_and(|extent| extent.end_ns - extent.start_ns < shorter_ns)
    }

    /// Adds bars of the short ones of `siblings`, which are in the order of their births.
    fn gather(
        &self,
        bars: &mut Vec<Bar>,
        of: &mut [usize],
        parent: Option<usize>,
        siblings: &[usize],
        shorter_ns: u64,
    ) {
        let most_ns = (self.span_ns / PARTS).max(shorter_ns.saturating_mul(2));
        let first = bars.len();
        for &sibling in siblings.iter().filter(|&&sibling| self.is_short(sibling, shorter_ns)) {
            let Some(&Extent { start_ns, end_ns }) = self.extents.get(sibling) else { continue };
            let last = bars.get_mut(first..).and_then(<[Bar]>::last_mut);
            let fits = last.filter(|bar| {
                let is_near = start_ns <= bar.end_ns.saturating_add(shorter_ns);
                is_near && end_ns.max(bar.end_ns) - bar.start_ns <= most_ns
            });
            match fits {
                Some(bar) => bar.end_ns = bar.end_ns.max(end_ns),
                None => bars.push(Bar { parent, start_ns, end_ns, processes: Vec::new() }),
            }
            let number = bars.len() - 1;
            let Some(bar) = bars.last_mut() else { continue };
            let mut todo = vec![sibling];
            while let Some(process) = todo.pop() {
                bar.processes.push(process);
                of.get_mut(process).into_iter().for_each(|of| *of = number);
                todo.extend(self.children.get(process).into_iter().flatten());
            }
        }
    }
}

/// What the processes of a bar come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Nanoseconds of all lifetimes, as far as they are in the picture
    pub lived_ns: u64,
    pub cpu_ns: u64,
    /// How many failed
    pub failed: usize,
    /// The worst of all
    pub outcome: Outcome,
}

impl Sums {
    pub(super) fn new(history: &History, until_ns: u64, bar: &Bar) -> Self {
        let mut sums = Self::default();
        for past in bar.processes.iter().filter_map(|&index| history.processes().get(index)) {
            let (start_ns, end_ns) = history.drawn(past, until_ns);
            sums.lived_ns += end_ns - start_ns;
            sums.cpu_ns += past.end.map_or(0, |end| end.cpu_ns());
            let outcome = Outcome::of(past);
            sums.failed += usize::from(outcome.is_failure());
            sums.outcome = sums.outcome.max(outcome);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::procsnoop::history::testing::{Life, history};

    const S: u64 = 1_000_000_000;

    /// A build: one parent, `count` children of `each_ns`, four at a time, and one long one.
    fn build(count: u32, each_ns: u64) -> History {
        let total_ns = u64::from(count) / 4 * each_ns + S;
        let mut lives: Vec<Life> = vec![(1, 0, 0, total_ns, 0, 0), (2, 1, 1, total_ns - 1, 0, 0)];
        for number in 0..count {
            let start_ns = 2 + u64::from(number) / 4 * each_ns;
            let status = if number % 100 == 0 { 256 } else { 0 };
            lives.push((10 + number, 1, start_ns, start_ns + each_ns - 1, status, each_ns / 2));
        }
        history(&lives)
    }

    #[test]
    fn few_have_bars_of_their_own() {
        let history = build(900, 1000);
        let bars = Bars::new(&history, 0, &[]);
        assert_eq!(bars.all.len(), 902);
        assert_eq!(bars.of, (0..902).collect::<Vec<_>>());
    }

    #[test]
    fn thousands_are_gathered() {
        let history = build(5000, 2_000_000);
        let (_, last) = history.span().unwrap();
        let bars = Bars::new(&history, last, &[7]);
        assert!(bars.all.len() < 200 && bars.lanes.count <= 6, "{} bars", bars.all.len());
        for (bar, process) in bars.all.iter().zip([0, 1, 7]) {
            assert_eq!(bar.processes, [process], "long ones, and what is kept");
        }
        let many: usize = bars.all.iter().skip(3).map(|bar| bar.processes.len()).sum();
        assert_eq!(many, 4999);
        let sums = bars.all.iter().skip(3).map(|bar| Sums::new(&history, last, bar));
        let (mut lived_ns, mut cpu_ns, mut failed) = (0, 0, 0);
        for sum in sums {
            (lived_ns, cpu_ns) = (lived_ns + sum.lived_ns, cpu_ns + sum.cpu_ns);
            failed += sum.failed;
        }
        assert_eq!((lived_ns, cpu_ns, failed), (4999 * 1_999_999, 4999 * 1_000_000, 50));
        let (first, last) = history.span().unwrap();
        for bar in bars.all.iter().skip(3) {
            assert!(bar.end_ns - bar.start_ns <= (last - first) / PARTS, "{bar:?}");
        }
    }

    #[test]
    fn many_at_once_do_not_make_it_high() {
        let mut lives: Vec<Life> = vec![(1, 0, 0, 10 * S, 0, 0)];
        lives.extend((2..5002).map(|pid| (pid, 1, u64::from(pid), 9 * S, 0, 0)));
        let bars = Bars::new(&history(&lives), 10 * S, &[]);
        assert!(bars.lanes.count <= MOST_LANES, "{} lanes", bars.lanes.count);
    }

    #[test]
    fn a_whole_machine_of_roots() {
        let lives: Vec<Life> = (1..9000)
            .map(|pid| (pid, 0, u64::from(pid) * 7, u64::from(pid) * 7 + 5, 0, 0))
            .collect();
        let bars = Bars::new(&history(&lives), 0, &[]);
        assert!(bars.all.len() <= MOST_BARS, "{}", bars.all.len());
        assert_eq!(bars.all.iter().map(|bar| bar.processes.len()).sum::<usize>(), 8999);
    }

    proptest! {
        #[test]
        fn each_process_is_in_one_bar(
            lives in proptest::collection::vec((0u32..30, 0u64..1000, 0u64..90), 1..80),
            shorter_ns in 0u64..200,
            kept in proptest::collection::vec(0usize..80, 0..4),
        ) {
            let mut family: Vec<Life> = Vec::new();
            for (pid, (parent, start, lived)) in (1..).zip(lives) {
                family.push((pid, if parent < pid { parent } else { 0 }, start, start + lived, 0, 0));
            }
            family.sort_by_key(|life| life.2);
            let history = history(&family);
            let (bars, of) = Family::new(&history, 2000, &kept).bars(shorter_ns);
            let mut all: Vec<usize> = bars.iter().flat_map(|bar| bar.processes.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..family.len()).collect::<Vec<_>>());
            for (number, bar) in bars.iter().enumerate() {
                prop_assert!(bar.parent.is_none_or(|parent| parent < number));
                for &process in &bar.processes {
                    prop_assert_eq!(of[process], number);
                    let (start, end) = history.drawn(&history.processes()[process], 2000);
                    prop_assert!(bar.start_ns <= start && end <= bar.end_ns);
                    prop_assert!(bar.processes.len() == 1 || !kept.contains(&process));
                }
            }
        }
    }
}
