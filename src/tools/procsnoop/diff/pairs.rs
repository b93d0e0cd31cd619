//! Which command of A is which of B.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};

use super::commands::{Arguments, Command};
use super::pattern::{Rename, common_rename, pattern};

/// A command of A and its partner in B, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) a: usize,
    pub(super) b: usize,
    /// The arguments differ by more than made-up names
    pub(super) has_other_args: bool,
}

/// The most comparisons of one argument with another for one program, which take about a second;
/// beyond that, what is left is not compared.
const MOST_COMPARISONS: usize = 1 << 26;

/// More than half of the arguments are the same, in thousandths.
const LEAST_LIKENESS: usize = 500;

/// What an argument counts that is nearly the same, such as `-O1` and `-O2`, in thousandths.
const NEAR: usize = 600;

/// The most arguments that are compared one by one.
const MOST_ARGS: usize = 200;

/// All pairs, in the order of A.
pub(super) fn match_all(a: &[Command], b: &[Command]) -> Vec<Pair> {
    let mut open = Open {
        a,
        b,
        left: (0..a.len()).collect(),
        right: (0..b.len()).collect(),
        pairs: Vec::new(),
    };
    open.match_by(|command, _| command.args.clone(), false);
    open.match_by(|command, _| command.args.iter().map(|arg| pattern(arg)).collect(), false);
    let similar = open.similar();
    if let Some(rename) = open.rename(&similar) {
        open.match_by(|command, is_a| renamed(command, is_a.then_some(&rename)), false);
    }
    let similar = open.similar();
    open.take(similar);
    open.pairs.sort_by_key(|pair| pair.a);
    open.pairs
}

fn renamed(command: &Command, rename: Option<&Rename>) -> Vec<Vec<u8>> {
    let apply = |arg: &Vec<u8>| rename.map_or_else(|| arg.clone(), |rename| rename.apply(arg));
    command.args.iter().map(|arg| pattern(&apply(arg))).collect()
}

/// What has no partner yet.
struct Open<'a> {
    a: &'a [Command],
    b: &'a [Command],
    left: Vec<usize>,
    right: Vec<usize>,
    pairs: Vec<Pair>,
}

impl Open<'_> {
    /// Pairs commands of one program and one key, in their order. `key`: of a command, and whether
    /// it is of A.
    fn match_by(&mut self, key: impl Fn(&Command, bool) -> Vec<Vec<u8>>, has_other_args: bool) {
        let mut by_key: HashMap<(&[u8], Arguments), VecDeque<usize>> = HashMap::new();
        for &index in &self.right {
            if let Some(command) = self.b.get(index) {
                let key = (command.program.as_slice(), key(command, false));
                by_key.entry(key).or_default().push_back(index);
            }
        }
        let mut found = Vec::new();
        for &index in &self.left {
            let Some(command) = self.a.get(index) else { continue };
            let partners = by_key.get_mut(&(command.program.as_slice(), key(command, true)));
            if let Some(b) = partners.and_then(VecDeque::pop_front) {
                found.push(Pair { a: index, b, has_other_args });
            }
        }
        self.take(found);
    }

    fn take(&mut self, found: Vec<Pair>) {
        let left: HashSet<_> = found.iter().map(|pair| pair.a).collect();
        let right: HashSet<_> = found.iter().map(|pair| pair.b).collect();
        self.left.retain(|index| !left.contains(index));
        self.right.retain(|index| !right.contains(index));
        self.pairs.extend(found);
    }

    /// Pairs of one program whose arguments are similar, the most similar first.
    fn similar(&self) -> Vec<Pair> {
        let mut programs: HashMap<&[u8], (Vec<usize>, Vec<usize>)> = HashMap::new();
        for &index in &self.left {
            if let Some(command) = self.a.get(index) {
                programs.entry(&command.program).or_default().0.push(index);
            }
        }
        for &index in &self.right {
            if let Some(group) =
                self.b.get(index).and_then(|b| programs.get_mut(b.program.as_slice()))
            {
                group.1.push(index);
            }
        }
        let mut found = Vec::new();
        for (left, right) in programs.into_values() {
            let of = |side: &[Command], all: Vec<usize>| -> Vec<(usize, Vec<Vec<u8>>)> {
                all.into_iter().filter_map(|at| Some((at, words(side.get(at)?)))).collect()
            };
            let (left, right) = (of(self.a, left), of(self.b, right));
            let size = |side: &[(usize, Vec<Vec<u8>>)]| {
                side.iter().map(|(_, words)| words.len() + 1).sum::<usize>()
            };
            if size(&left).saturating_mul(size(&right)) <= MOST_COMPARISONS {
                found.extend(similar_of(&left, &right));
            }
        }
        found
    }

    /// The folder that is another one in B, as far as these pairs tell.
    fn rename(&self, similar: &[Pair]) -> Option<Rename> {
        let both = similar.iter().filter_map(|pair| self.a.get(pair.a).zip(self.b.get(pair.b)));
        common_rename(both.flat_map(|(a, b)| {
            let args = a.args.iter().zip(&b.args).filter(|(a, b)| a != b);
            args.map(|(a, b)| (a.as_slice(), b.as_slice()))
        }))
    }
}

/// Pairs of these commands, by their indices and arguments, the most similar first.
fn similar_of(left: &[(usize, Vec<Vec<u8>>)], right: &[(usize, Vec<Vec<u8>>)]) -> Vec<Pair> {
    let mut candidates = Vec::new();
    for (at_a, (a, words_a)) in left.iter().enumerate() {
        for (at_b, (b, words_b)) in right.iter().enumerate() {
            let likeness = match words_a.len().max(words_b.len()) {
                0 => 1000,
                most => {
                    let others = strsim::generic_levenshtein(words_a, words_b);
                    (most - others) * 1000 / most + near(words_a, words_b) * NEAR / most
                }
            };
            if likeness > LEAST_LIKENESS {
                candidates.push((Reverse(likeness), at_a.abs_diff(at_b), *a, *b));
            }
        }
    }
    candidates.sort_unstable();
    let (mut taken_a, mut taken_b) = (HashSet::new(), HashSet::new());
    let mut found = Vec::new();
    for (_, _, a, b) in candidates {
        if !taken_a.contains(&a) && !taken_b.contains(&b) {
            taken_a.insert(a);
            taken_b.insert(b);
            found.push(Pair { a, b, has_other_args: true });
        }
    }
    found
}

/// How many arguments of two lists of the same length differ, and are half the same.
fn near(a: &[Vec<u8>], b: &[Vec<u8>]) -> usize {
    if a.len() != b.len() {
        return 0;
    }
    let is_near = |a: &[u8], b: &[u8]| {
        let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let least = a.len().min(b.len());
        let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        (start + end.min(least - start)) * 2 >= a.len().max(b.len())
    };
    a.iter().zip(b).filter(|(a, b)| a != b && is_near(a, b)).count()
}

/// The arguments to compare: without the program.
fn words(command: &Command) -> Vec<Vec<u8>> {
    command.args.iter().skip(1).take(MOST_ARGS).map(|arg| pattern(arg)).collect()
}
