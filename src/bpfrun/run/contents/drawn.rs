//! What of a map is drawn: arrays of counters in its values, and elements that are slots.

use super::picture::Counts;
use crate::elf::dataflow::Memory;
use crate::elf::map::Map;
use crate::elf::picture::{Array, Keyed, Pictures as Finder, Slots};

/// What of a map is drawn.
#[derive(Default)]
pub(super) struct Pictures {
    /// Arrays of counters in each value
    pub(super) arrays: Vec<Array>,
    /// Each element is a slot
    pub(super) slots: Option<Slots>,
    /// Each element is a slot of the histogram that the rest of the key names
    pub(super) keyed: Option<Keyed>,
}

impl Pictures {
    pub(super) fn of(finder: &Finder<'_>, index: usize, map: &Map) -> Self {
        let memory = Memory::Value(index);
        let arrays = map.value.map(|value| finder.arrays(memory, 0, value, &map.name));
        Self {
            arrays: arrays.unwrap_or_default(),
            slots: finder.map_of_slots(index, map),
            keyed: finder.keyed(index, map),
        }
    }

    /// The fields that are drawn, in keys and in values: bytes from their start.
    pub(super) fn hidden(&self) -> (Vec<u64>, Vec<u64>) {
        let in_key = self.keyed.iter().map(|keyed| keyed.at).collect();
        (in_key, self.arrays.iter().map(|array| array.at).collect())
    }
}

/// Hands over each histogram with a count in arrays of a value, with the number of the array.
pub(super) fn each_picture(
    arrays: &[Array],
    values: &[&[u8]],
    each: &mut dyn FnMut(&Array, u64, &Counts),
) {
    for array in arrays {
        for nth in 0..array.times {
            let counts = Counts::of_array(array, nth, values);
            if !counts.is_empty() {
                each(array, nth, &counts);
            }
        }
    }
}

/// The name of an array: `hists[2].slots`.
pub(super) fn element_name(outer: &str, array: &Array, nth: u64) -> String {
    let index = if array.times > 1 { format!("[{nth}]") } else { String::new() };
    let dot = if outer.is_empty() && index.is_empty() || array.name.is_empty() { "" } else { "." };
    format!("{outer}{index}{dot}{}", array.name)
}
