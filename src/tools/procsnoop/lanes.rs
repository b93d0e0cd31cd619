//! Lanes: each bar of a picture below its parent's, siblings in the same lane where they do not
//! overlap, so that thousands of short processes need few lanes.

use super::history::History;

/// A bar to be put into a lane. Parents come before their children.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Index of the parent
    pub parent: Option<usize>,
    pub start_ns: u64,
    pub end_ns: u64,
}

/// The lane of each bar, from 0 at the top.
#[derive(Debug)]
pub struct Lanes {
    /// By index of the bar
    pub of: Vec<usize>,
    /// How many there are
    pub count: usize,
}

/// The space of a bar and its descendants.
#[derive(Clone, Copy)]
struct Block {
    /// Lanes below its parent's
    offset: usize,
    lanes: usize,
    start_ns: u64,
    end_ns: u64,
}

/// The most siblings alive at once to search for a gap; further ones go below all of them.
const MOST_LOOKED_THROUGH: usize = 1000;

/// Puts siblings below each other where they overlap in time; returns the number of lanes.
fn stack(blocks: &mut [Block], members: &[usize]) -> usize {
    let mut alive: Vec<Block> = Vec::new();
    let mut deepest = 0;
    // In the order of their births, so that an ended process frees its lane for all later ones.
    let mut members = members.to_vec();
    members.sort_by_key(|&member| blocks.get(member).map(|block| block.start_ns));
    for member in members {
        let Some(block) = blocks.get_mut(member) else { continue };
        alive.retain(|other| other.end_ns > block.start_ns);
        let mut offset = 1;
        if alive.len() > MOST_LOOKED_THROUGH {
            offset = deepest + 1;
        } else {
            alive.sort_by_key(|other| other.offset);
            for other in &alive {
                if offset + block.lanes <= other.offset {
                    break;
                }
                offset = offset.max(other.offset + other.lanes);
            }
        }
        block.offset = offset;
        deepest = deepest.max(offset + block.lanes - 1);
        alive.push(*block);
    }
    deepest
}

impl Lanes {
    /// Gives every bar its lane.
    pub fn new(spans: &[Span]) -> Self {
        let mut children = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            let siblings = span.parent.and_then(|parent| children.get_mut(parent));
            siblings.unwrap_or(&mut roots).push(index);
        }
        let block =
            |&Span { start_ns, end_ns, .. }: &Span| Block { offset: 0, lanes: 1, start_ns, end_ns };
        let mut blocks: Vec<Block> = spans.iter().map(block).collect();
        // Children have higher indices than their parents: going backwards, they come first.
        for (index, members) in children.iter().enumerate().rev() {
            let deepest = stack(&mut blocks, members);
            let last = members.iter().filter_map(|&m| blocks.get(m)).map(|b| b.end_ns).max();
            if let Some(block) = blocks.get_mut(index) {
                block.lanes = deepest + 1;
                block.end_ns = block.end_ns.max(last.unwrap_or(0));
            }
        }
        let count = stack(&mut blocks, &roots);
        let mut of: Vec<usize> = Vec::with_capacity(spans.len());
        for (span, block) in spans.iter().zip(&blocks) {
            let parent = span.parent.and_then(|parent| of.get(parent)).copied();
            // Roots have offsets from 1, without a parent's lane.
            of.push(parent.map_or(block.offset.saturating_sub(1), |lane| lane + block.offset));
        }
        Self { of, count }
    }

    /// One lane for each process of a history, as [`History::drawn`] draws it.
    pub fn of_history(history: &History, until_ns: u64) -> Self {
        let span = |past| {
            let (start_ns, end_ns) = history.drawn(past, until_ns);
            Span { parent: past.parent, start_ns, end_ns }
        };
        let spans: Vec<_> = history.processes().iter().map(span).collect();
        Self::new(&spans)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::history::testing::history;
    use super::*;

    #[test]
    fn siblings_share_a_lane() {
        let history =
            history(&[(1, 0, 0, 900, 0, 0), (2, 1, 100, 200, 0, 0), (3, 1, 300, 400, 0, 0)]);
        let lanes = Lanes::of_history(&history, 900);
        assert_eq!((lanes.of, lanes.count), (vec![0, 1, 1], 2));
    }

    proptest! {
        #[test]
        fn no_two_bars_overlap(lives in proptest::collection::vec((0u32..20, 0u64..100, 0u64..50), 1..60)) {
            let mut family = Vec::new();
            for (pid, (parent, start, lived)) in (1..).zip(lives) {
                family.push((pid, if parent < pid { parent } else { 0 }, start, start + lived, 0, 0));
            }
            family.sort_by_key(|life| life.2);
            let history = history(&family);
            let lanes = Lanes::of_history(&history, 200);
            let all = history.processes();
            for (a, past) in all.iter().enumerate() {
                prop_assert!(lanes.of[a] < lanes.count);
                if let Some(parent) = past.parent {
                    prop_assert!(lanes.of[parent] < lanes.of[a], "below its parent");
                }
                for (b, other) in all.iter().enumerate().take(a) {
                    let (end, other_end) = (past.end.unwrap().time_ns, other.end.unwrap().time_ns);
                    let apart = end <= other.start_ns || other_end <= past.start_ns;
                    prop_assert!(apart || lanes.of[a] != lanes.of[b], "{past:?} {other:?}");
                }
            }
        }
    }
}
