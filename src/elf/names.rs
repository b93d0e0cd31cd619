//! The kernel's names for numbers in BPF objects.

include!(concat!(env!("OUT_DIR"), "/names.rs"));

fn find(table: &'static [(u32, &'static str)], number: u32) -> Option<&'static str> {
    let index = table.binary_search_by_key(&number, |&(number, _)| number).ok()?;
    table.get(index).map(|&(_, name)| name)
}

/// The helper with this number: `map_lookup_elem` for 1, without its `bpf_`.
pub fn helper(number: u32) -> Option<&'static str> {
    find(HELPERS, number)
}

/// All helpers, and `unspec` before them.
#[cfg(test)]
pub(super) fn helpers() -> impl Iterator<Item = &'static str> {
    HELPERS.iter().map(|&(_, name)| name)
}

/// The kind of a CO-RE relocation: `field byte offset` for 0.
pub fn core_kind(number: u32) -> Option<String> {
    let name = find(CORE_KINDS, number)?;
    Some(
        name.to_ascii_lowercase()
            .replace('_', " ")
            .replace("enumval value", "enum value")
            .replace("enumval", "enum value"),
    )
}

/// The flags of a map by name, without `BPF_F_`, and the rest, without a name.
pub fn map_flags(flags: u32) -> (Vec<&'static str>, u32) {
    let set = |&&(bit, _): &&(u32, &str)| bit.count_ones() == 1 && flags & bit != 0;
    let known: Vec<_> = MAP_FLAGS.iter().filter(set).collect();
    let rest = known.iter().fold(flags, |rest, (bit, _)| rest & !bit);
    (known.iter().map(|&&(_, name)| name).collect(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_can_be_searched() {
        for table in [HELPERS, CORE_KINDS, MAP_FLAGS] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
        assert!(HELPERS.len() > 200);
    }

    #[test]
    fn numbers_have_names() {
        assert_eq!(helper(1), Some("map_lookup_elem"));
        assert_eq!(helper(132), Some("ringbuf_submit"));
        assert_eq!(helper(u32::MAX), None);
        assert_eq!(core_kind(0).as_deref(), Some("field byte offset"));
        assert_eq!(core_kind(99), None);
        assert_eq!(map_flags(0x8000_0401), (vec!["NO_PREALLOC", "MMAPABLE"], 0x8000_0000));
    }
}
