//! Values that each CPU has for itself: their sums, and how far they are apart.

use serde_json::{Map, Value, json};

use crate::elf::dataflow::{Memory, Uses};
use crate::elf::value::{Decoder, PlainNumber};
use crate::output::table::count;

/// The numbers of a value that are added up: those to which a program adds.
pub(super) struct Sums {
    numbers: Vec<PlainNumber>,
    /// There is nothing else in the value
    pub(super) whole: bool,
    big_endian: bool,
}

/// One number, over all CPUs.
struct Sum {
    sum: i128,
    least: i128,
    most: i128,
}

impl Sums {
    /// `None`: there is nothing to add up.
    pub(super) fn new(decoder: &Decoder, map: usize, uses: &Uses) -> Option<Self> {
        let (mut numbers, only) = decoder.plain_numbers();
        let all = numbers.len();
        let is_added = |number: &PlainNumber| {
            uses.is_added_to(Memory::Value(map), number.at, number.bytes.into())
        };
        numbers.retain(is_added);
        let whole = only && numbers.len() == all;
        let big_endian = cfg!(target_endian = "big");
        (!numbers.is_empty()).then_some(Self { numbers, whole, big_endian })
    }

    fn all<'a>(&'a self, values: &'a [Vec<u8>]) -> impl Iterator<Item = (&'a str, Sum)> + 'a {
        self.numbers.iter().filter_map(move |number| {
            let all = || values.iter().filter_map(|value| number.of(value, self.big_endian));
            let (least, most) = (all().min()?, all().max()?);
            Some((number.name.as_str(), Sum { sum: all().sum(), least, most }))
        })
    }

    /// `sum of 4 CPUs: calls=12 (0..9) bytes=100 (0..60)`
    pub(super) fn text(&self, values: &[Vec<u8>], out: &mut String) {
        out.push_str(&format!("sum of {}:", count(values.len() as u64, "CPU")));
        for (name, Sum { sum, least, most }) in self.all(values) {
            let equals = if name.is_empty() { "" } else { "=" };
            out.push_str(&format!(" {name}{equals}{sum}"));
            if values.len() > 1 {
                out.push_str(&format!(" ({least}..{most})"));
            }
        }
    }

    /// Adds `sum`, `least` and `most` to a record, each like the value, with the numbers alone.
    pub(super) fn insert(&self, values: &[Vec<u8>], record: &mut Map<String, Value>) {
        let each = |part: fn(&Sum) -> i128| {
            let mut object = Map::new();
            for (name, sum) in self.all(values) {
                if name.is_empty() {
                    return number(part(&sum));
                }
                object.insert(name.to_owned(), number(part(&sum)));
            }
            object.into()
        };
        for (key, part) in [
            ("sum", (|sum| sum.sum) as fn(&Sum) -> i128),
            ("least", |sum| sum.least),
            ("most", |sum| sum.most),
        ] {
            record.insert(key.to_owned(), each(part));
        }
    }
}

/// A number; as a string if it has more than 64 bits.
fn number(number: i128) -> Value {
    match (u64::try_from(number), i64::try_from(number)) {
        (Ok(number), _) => json!(number),
        (_, Ok(number)) => json!(number),
        _ => number.to_string().into(),
    }
}
