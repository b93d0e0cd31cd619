//! The maps of an object.

use std::fmt::Write as _;

use anyhow::Result;

use crate::bpfrun::inspect::Subject;
use crate::bpfrun::inspect::parts::is_full;
use crate::bpfrun::inspect::words::{self, safe};
use crate::bpfrun::list::list;
use crate::elf::map::Map;
use crate::output::table::{Column, Output};

const MAPS: [Column; 6] = [
    Column::left("MAP", 20),
    Column::left("TYPE", 16),
    Column::right("KEY", 5),
    Column::right("VALUE", 7),
    Column::right("ENTRIES", 9),
    Column::left("DETAILS", 0),
];

/// The most contents of a map to write out.
const MAX_HELD: usize = 1024;

pub(super) fn maps(subject: &Subject<'_>, out: &mut Output) -> Result<()> {
    let maps = &subject.object.maps;
    let [name, kind, key, value, entries, more] = MAPS;
    let columns = [
        name.fit(maps.iter().map(|map| &map.name)),
        kind.fit(maps.iter().map(words::map_kind)),
        key,
        value.fit(maps.iter().map(|map| map.value_size.to_string())),
        entries.fit(maps.iter().map(|map| map.max_entries.to_string())),
        more,
    ];
    if !maps.is_empty() {
        out.raw("\n")?;
        out.heading(&columns);
    }
    for (number, map) in maps.iter().enumerate() {
        if is_full(subject, out, "maps", number)? {
            break;
        }
        out.line(&columns)
            .name(map.name.as_bytes())
            .text(&words::map_kind(map))
            .value(map.key_size)
            .value(map.value_size)
            .value(map.max_entries)
            .text(&details(subject, map));
        out.flush_if_full()?;
    }
    Ok(())
}

/// The details of a map beyond its numbers.
fn details(subject: &Subject<'_>, map: &Map) -> String {
    let mut parts = Vec::new();
    match (subject.c_name(map.key), subject.c_name(map.value)) {
        (Some(key), Some(value)) => parts.push(format!("{key} -> {value}")),
        (Some(key), None) => parts.push(format!("key {key}")),
        (None, Some(value)) => parts.push(format!("value {value}")),
        (None, None) => {}
    }
    let flags = words::map_flags(map);
    if !flags.is_empty() {
        parts.push(flags.join("|"));
    }
    if let Some(pinning) = words::pinning(map) {
        parts.push(format!("pinned {pinning}"));
    }
    if map.numa_node != 0 {
        parts.push(format!("memory node {}", map.numa_node));
    }
    if map.extra != 0 {
        parts.push(format!("extra {:#x}", map.extra));
    }
    if map.legacy {
        parts.push("legacy".to_owned());
    }
    if let Some(inner) = &map.inner {
        let kind = words::map_kind(inner);
        let mut text = format!(
            "each: {kind}, key {}, value {}, entries {}",
            inner.key_size, inner.value_size, inner.max_entries
        );
        let details = details(subject, inner);
        if !details.is_empty() {
            let _ = write!(text, ", {details}"); // a String takes everything
        }
        parts.push(text);
    }
    if !map.values.is_empty() {
        let value = |(index, name): &(u64, String)| format!("{index}={}", safe(name));
        // One more than fits: it becomes the `…`.
        let values: Vec<_> = map.values.iter().take(MAX_HELD).map(value).collect();
        parts.push(format!("holds {}", list(&values, " ")));
        if map.values.len() > MAX_HELD {
            parts.push("…".to_owned());
        }
    }
    parts.join(", ")
}
