//! Two lists of arguments, as stretches that are the same and stretches that differ.

use super::pattern::pattern;

/// A stretch of arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Same(&'a [Vec<u8>]),
    Other(&'a [Vec<u8>], &'a [Vec<u8>]),
}

/// The most cells of the table of [`parts`]; longer lists differ from their first to their last
/// other argument.
const MOST_CELLS: usize = 1 << 20;

/// The arguments as stretches that are the same, but for made-up names, and stretches that differ: a
/// longest common subsequence.
pub(super) fn parts<'a>(a: &'a [Vec<u8>], b: &'a [Vec<u8>]) -> Vec<Part<'a>> {
    let patterns = |args: &[Vec<u8>]| args.iter().map(|arg| pattern(arg)).collect::<Vec<_>>();
    let (in_a, in_b) = (patterns(a), patterns(b));
    let start = in_a.iter().zip(&in_b).take_while(|(a, b)| a == b).count();
    let rest = in_a.len().min(in_b.len()) - start;
    let end =
        in_a.iter().rev().zip(in_b.iter().rev()).take_while(|(a, b)| a == b).count().min(rest);
    let mut all = Vec::new();
    let same = |range: &[Vec<u8>], all: &mut Vec<Part<'a>>, at: usize| {
        if !range.is_empty() {
            all.push(Part::Same(b.get(at..at + range.len()).unwrap_or_default()));
        }
    };
    same(in_b.get(..start).unwrap_or_default(), &mut all, 0);
    let (end_a, end_b) = (a.len() - end, b.len() - end);
    all.extend(middle(
        Listed {
            shown: a.get(start..end_a).unwrap_or_default(),
            key: in_a.get(start..end_a).unwrap_or_default(),
        },
        Listed {
            shown: b.get(start..end_b).unwrap_or_default(),
            key: in_b.get(start..end_b).unwrap_or_default(),
        },
    ));
    same(in_b.get(end_b..).unwrap_or_default(), &mut all, end_b);
    all
}

/// Arguments, and what of them is compared.
#[derive(Clone, Copy)]
struct Listed<'a, 'k> {
    shown: &'a [Vec<u8>],
    key: &'k [Vec<u8>],
}

fn middle<'a>(a: Listed<'a, '_>, b: Listed<'a, '_>) -> Vec<Part<'a>> {
    let (rows, columns) = (a.key.len(), b.key.len());
    if rows + columns == 0 {
        return Vec::new();
    }
    let width = columns + 1;
    if (rows + 1).saturating_mul(width) > MOST_CELLS {
        return vec![Part::Other(a.shown, b.shown)];
    }
    let is_same = |i: usize, j: usize| a.key.get(i).is_some() && a.key.get(i) == b.key.get(j);
    // Length of the longest common subsequence behind each place.
    let mut longest = vec![0u32; (rows + 1) * width];
    let get = |table: &[u32], i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            let value = match is_same(i, j) {
                true => get(&longest, i + 1, j + 1) + 1,
                false => get(&longest, i + 1, j).max(get(&longest, i, j + 1)),
            };
            if let Some(cell) = longest.get_mut(i * width + j) {
                *cell = value;
            }
        }
    }
    let (mut all, mut i, mut j) = (Vec::new(), 0, 0);
    while i < rows || j < columns {
        let (from_i, from_j) = (i, j);
        while is_same(i, j) {
            (i, j) = (i + 1, j + 1);
        }
        if i > from_i {
            all.push(Part::Same(b.shown.get(from_j..j).unwrap_or_default()));
            continue;
        }
        while (i < rows || j < columns) && !is_same(i, j) {
            let skips_a =
                j >= columns || i < rows && get(&longest, i + 1, j) >= get(&longest, i, j + 1);
            if skips_a { i += 1 } else { j += 1 }
        }
        let (of_a, of_b) = (a.shown.get(from_i..i), b.shown.get(from_j..j));
        all.push(Part::Other(of_a.unwrap_or_default(), of_b.unwrap_or_default()));
    }
    all
}
