//! The processors of this machine.

use std::fs;

use anyhow::{Context, Result};

/// The numbers of the processors that are online.
///
/// # Errors
///
/// sysfs cannot be read.
pub(crate) fn online() -> Result<Vec<i32>> {
    let online = fs::read_to_string("/sys/devices/system/cpu/online");
    online.map(|list| parse(&list)).context("which CPUs are online")
}

/// `0-3,6` → 0, 1, 2, 3, 6
fn parse(list: &str) -> Vec<i32> {
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            cpus.extend(first..=last.min(first.saturating_add(8191)));
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse("0-3,6\n"), [0, 1, 2, 3, 6]);
        assert_eq!(parse("0"), [0]);
        assert_eq!(parse(""), [0; 0]);
    }
}
