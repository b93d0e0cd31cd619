//! Histograms, drawn with a line of text for each power of two.

use std::fmt::Write as _;

/// Buckets of a histogram: one for 0 and one for each power of two of a `u64`.
pub const BUCKETS: usize = 65;

/// Cells of the longest bar.
const BAR: u64 = 40;

/// Counts of values, by power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

/// A bucket: values from `low` up to, but not including, `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Bucket {
    /// The least value in it
    pub low: u64,
    /// The least value above it
    pub high: u64,
    /// How many values
    pub count: u64,
}

impl Histogram {
    /// Counts one value.
    pub fn add(&mut self, value: u64) {
        self.add_to_bucket(u64::BITS - value.leading_zeros(), 1);
    }

    /// Adds to the count of one bucket: 0 for the value 0, else the place of the highest bit, from
    /// 1.
    pub fn add_to_bucket(&mut self, bucket: u32, count: u64) {
        if let Some(bucket) = self.counts.get_mut(bucket as usize) {
            *bucket += count;
        }
    }

    /// All buckets from the first to the last with a value.
    pub fn buckets(&self) -> Vec<Bucket> {
        let used = |count: &u64| *count > 0;
        let Some(first) = self.counts.iter().position(used) else { return Vec::new() };
        let last = self.counts.iter().rposition(used).unwrap_or(first);
        let all = self.counts.iter().enumerate().skip(first).take(last - first + 1);
        let bound = |bucket: usize| match bucket {
            0 => 0,
            bucket => 1u64.checked_shl(bucket as u32 - 1).unwrap_or(u64::MAX),
        };
        let bucket =
            |(at, &count): (usize, &u64)| Bucket { low: bound(at), high: bound(at + 1), count };
        all.map(bucket).collect()
    }

    /// Appends a line for each bucket; `label` formats a value with its unit.
    pub fn draw(&self, out: &mut String, label: impl Fn(u64) -> String) {
        let buckets = self.buckets();
        let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
        for bucket in buckets {
            let (low, high) = (label(bucket.low), label(bucket.high));
            let bar = bar(bucket.count, most);
            let _ = writeln!(out, "{low:>10} .. {high:<10} {:>9} |{bar}", bucket.count);
        }
    }
}

/// A line of a histogram whose slots have ranges of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The least value, or all that is known of the slot
    pub low: String,
    /// The least value above it; empty: there is only one value, or no bound
    pub high: String,
    /// How many values
    pub count: u64,
}

/// Appends a line for each row, all of one width.
pub fn draw(rows: &[Row], out: &mut String) {
    let most = rows.iter().map(|row| row.count).max().unwrap_or(1);
    let widest = |text: fn(&Row) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let lows = widest(|row| row.low.chars().count()).max(10);
    let highs = widest(|row| row.high.chars().count()).max(10);
    let counts = widest(|row| row.count.to_string().len()).max(9);
    for row in rows {
        let bar = bar(row.count, most);
        let _ =
            writeln!(out, "{:>lows$}{:<highs$} {:>counts$} |{bar}", row.low, row.high, row.count);
    }
}

/// A bar in eighths of a cell; a count above 0 is never empty.
fn bar(count: u64, most: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(count) * u128::from(BAR) * 8 / u128::from(most.max(1));
    let eighths = (eighths as usize).max(usize::from(count > 0));
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    "█".repeat(eighths / 8) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_powers_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.buckets(), []);
        for value in [0, 1, 2, 3, 4, 4] {
            histogram.add(value);
        }
        let buckets: Vec<_> =
            histogram.buckets().iter().map(|b| (b.low, b.high, b.count)).collect();
        assert_eq!(buckets, [(0, 1, 1), (1, 2, 1), (2, 4, 2), (4, 8, 2)]);
        let mut histogram = Histogram::default();
        histogram.add(u64::MAX);
        let last = Bucket { low: 1 << 63, high: u64::MAX, count: 1 };
        assert_eq!(histogram.buckets(), [last]);
        histogram.add_to_bucket(99, 1);
        assert_eq!(histogram.buckets(), [last], "there is no such bucket");
    }

    #[test]
    fn bars_are_in_proportion() {
        let mut histogram = Histogram::default();
        histogram.add_to_bucket(1, 1000);
        histogram.add_to_bucket(3, 500);
        histogram.add_to_bucket(4, 1);
        let mut drawn = String::new();
        histogram.draw(&mut drawn, |value| format!("{value} us"));
        let lines: Vec<_> = drawn.lines().collect();
        let expected = [
            format!("      1 us .. 2 us            1000 |{}", "█".repeat(40)),
            "      2 us .. 4 us               0 |".to_owned(),
            format!("      4 us .. 8 us             500 |{}", "█".repeat(20)),
            "      8 us .. 16 us              1 |▏".to_owned(),
        ];
        assert_eq!(lines, expected);
    }
}
