//! Histograms of counters, as text and as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::elf::dataflow::scale::Rule;
use crate::elf::picture::{Array, How, Slots};
use crate::output::histogram::{Row, draw};
use crate::output::table::count;

/// The most lines of one picture.
const ROWS: usize = 256;

/// So many empty slots in a row are one line.
const GAP: u64 = 4;

/// The counts of one histogram.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(BTreeMap<u64, u64>);

impl Counts {
    /// Adds to a slot.
    pub(super) fn add(&mut self, slot: u64, times: u64) {
        if times > 0 {
            let count = self.0.entry(slot).or_default();
            *count = count.saturating_add(times);
        }
    }

    /// The counts of array number `nth` in a value; with several CPUs, of all of them.
    pub(super) fn of_array(array: &Array, nth: u64, values: &[&[u8]]) -> Self {
        let mut counts = Self::default();
        for value in values {
            for slot in 0..array.count {
                let at = array.at + nth * array.every + slot * array.width;
                counts.add(slot, number(value, at, array.width).unwrap_or(0));
            }
        }
        counts
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the first to the last slot with a count, and how many counts are not in there, of how
    /// many slots.
    fn rows(&self, slots: &Slots) -> (Vec<Row>, u64, u64) {
        let mut rows = Vec::new();
        let mut next = self.0.keys().next().copied().unwrap_or(0);
        let (mut left, mut more) = (0_u64, 0_u64);
        for (&slot, &count) in &self.0 {
            if rows.len() >= ROWS {
                left += 1;
                more = more.saturating_add(count);
                continue;
            }
            if slot - next >= GAP {
                rows.push(Row { low: format!("{} ", count_slots(slot - next)), ..empty() });
            } else {
                rows.extend((next..slot).map(|slot| row(slots, slot, 0)));
            }
            rows.push(row(slots, slot, count));
            next = slot.saturating_add(1);
        }
        (rows, more, left)
    }

    /// Appends the picture, a line for each slot.
    pub(super) fn text(&self, name: &str, slots: &Slots, out: &mut String) {
        let remark = match (slots.how, name.is_empty()) {
            (How::Computed, true) => String::new(),
            (How::Computed, false) => format!("  {name}:\n"),
            (How::Named, _) => format!("  {name} (powers of two, by its name):\n"),
            (How::Unknown, _) => format!("  {name} (what its slots stand for is not known):\n"),
        };
        out.push_str(&remark.replace("   ", "  "));
        let (rows, more, left) = self.rows(slots);
        draw(&rows, out);
        if left > 0 {
            out.push_str(&format!("  … {}, counts {more} more\n", count(left, "slot")));
        }
    }

    /// The keys of a record.
    pub(super) fn json(&self, name: &str, slots: &Slots) -> Map<String, Value> {
        let bucket = |(&slot, &count): (&u64, &u64)| {
            let mut bucket = Map::new();
            bucket.insert("slot".to_owned(), slot.into());
            bucket.insert("count".to_owned(), count.into());
            if let Some((low, high)) = slots.scale.and_then(|scale| scale.range(slot)) {
                bucket.insert("low".to_owned(), low.into());
                high.and_then(|high| bucket.insert("high".to_owned(), high.into()));
            }
            Value::Object(bucket)
        };
        let mut record = Map::new();
        if !name.is_empty() {
            record.insert("name".to_owned(), name.into());
        }
        record.insert("scale".to_owned(), slots.word().into());
        record.insert("known".to_owned(), slots.how.word().into());
        record.insert("buckets".to_owned(), self.0.iter().map(bucket).collect());
        record
    }
}

fn empty() -> Row {
    Row { low: String::new(), high: String::new(), count: 0 }
}

/// `(7 empty slots)`
fn count_slots(number: u64) -> String {
    format!("({})", count(number, "empty slot"))
}

fn row(slots: &Slots, slot: u64, count: u64) -> Row {
    let single = matches!(slots.scale.map(|s| s.rule), Some(Rule::Linear { step: 1 }));
    let (low, high) = match slots.scale.and_then(|scale| scale.range(slot)) {
        Some((low, Some(_))) if single => (low.to_string(), String::new()),
        Some((low, Some(high))) => (low.to_string(), format!(" .. {high}")),
        Some((low, None)) => (low.to_string(), " ..".to_owned()),
        None => (format!("slot {slot}"), String::new()),
    };
    Row { low, high, count }
}

/// A counter in a value, in this machine's order.
pub(super) fn number(value: &[u8], at: u64, width: u64) -> Option<u64> {
    let (at, width) = (usize::try_from(at).ok()?, usize::try_from(width).ok()?);
    let bytes = value.get(at..)?.get(..width)?;
    Some(match *bytes {
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        _ => u64::from_ne_bytes(*bytes.first_chunk()?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::elf::dataflow::scale::Scale;

    fn log2() -> Slots {
        let scale = Scale { rule: Rule::Log2 { first: 0 }, zero: Some(0), last: Some(25) };
        Slots { scale: Some(scale), how: How::Computed }
    }

    fn counts(all: &[(u64, u64)]) -> Counts {
        let mut counts = Counts::default();
        all.iter().for_each(|&(slot, count)| counts.add(slot, count));
        counts
    }

    #[test]
    fn ranges_counts_and_bars() {
        let mut out = String::new();
        counts(&[(0, 1), (2, 4), (9, 2), (25, 1)]).text("slots", &log2(), &mut out);
        let lines: Vec<_> = out.lines().collect();
        let expected = [
            "  slots:".to_owned(),
            format!("                 0 .. 2               1 |{}", "█".repeat(10)),
            "                 2 .. 4               0 |".to_owned(),
            format!("                 4 .. 8               4 |{}", "█".repeat(40)),
            " (6 empty slots)                      0 |".to_owned(),
            format!("               512 .. 1024            2 |{}", "█".repeat(20)),
            "(15 empty slots)                      0 |".to_owned(),
            format!("          33554432 ..                 1 |{}", "█".repeat(10)),
        ];
        let trimmed: Vec<_> = lines.iter().map(|line| line.trim()).collect();
        let wanted: Vec<_> = expected.iter().map(|line| line.trim()).collect();
        let words = |lines: &[&str]| -> Vec<Vec<String>> {
            lines.iter().map(|l| l.split_whitespace().map(str::to_owned).collect()).collect()
        };
        assert_eq!(words(&trimmed), words(&wanted), "{out}");
        let bars: Vec<_> =
            lines.iter().skip(1).map(|line| line.chars().position(|c| c == '|')).collect();
        assert!(bars.windows(2).all(|two| two[0] == two[1] && two[0].is_some()), "{out}");
    }

    #[test]
    fn a_picture_that_is_too_long_says_so() {
        let many: Vec<_> = (0..ROWS as u64 + 9).map(|slot| (slot, 2)).collect();
        let unknown = Slots { scale: None, how: How::Unknown };
        let mut out = String::new();
        counts(&many).text("", &unknown, &mut out);
        assert!(out.contains("\n  … 9 slots, counts 18 more\n"), "{out}");
        assert!(out.contains("slot 0 ") && !out.contains(".."), "{out}");
        let json = Value::Object(counts(&many).json("", &unknown));
        assert_eq!(json["buckets"].as_array().unwrap().len(), many.len());
        assert_eq!((&json["scale"], &json["known"]), (&json!("slot"), &json!("unknown")));
    }

    #[test]
    fn buckets_have_their_bounds() {
        let json = Value::Object(counts(&[(3, 7), (25, 1)]).json("slots", &log2()));
        let expected = json!([
            { "slot": 3, "count": 7, "low": 8, "high": 16 },
            { "slot": 25, "count": 1, "low": 1 << 25 },
        ]);
        assert_eq!(json["buckets"], expected);
    }
}
