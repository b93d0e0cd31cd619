//! Variables of an object that look like its filters: its own loader would set them from flags, so
//! people are told how to.

use crate::bpfrun::run::set::settable;
use crate::elf::global::Global;
use crate::elf::object::Object;
use crate::elf::types::{Encoding, Kind, TypeId, Types};

/// First words of names of filters, up to a `_`: `targ_pid`, `filter_cg`. `true`: also of variables
/// that are not constant, which others may be without being filters.
const FIRST: &[(&str, bool)] = &[
    ("targ", true),
    ("target", true),
    ("tgt", true),
    ("my", true),
    ("filter", true),
    ("filt", true),
    ("only", false),
    ("min", false),
    ("exclude", false),
    ("include", false),
    ("ignore", false),
    ("trace", false),
];

/// Last words of names of filters: `pid_filter`, `failed_only`.
const LAST: &[&str] = &["filter", "only"];

/// Whole names of constants that are filters.
const WHOLE: &[&str] = &["pid", "tgid", "tid", "ppid", "uid", "cgid", "comm"];

/// The most bytes of a line.
const ENOUGH: usize = 400;

/// A variable, and its value as `--set` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub name: String,
    /// Its initial value
    pub value: String,
}

/// The filters that `set` leaves as they are.
pub fn unset(object: &Object, set: &[(String, String)]) -> Vec<Filter> {
    let Some(btf) = &object.btf else { return Vec::new() };
    let is_set = |name: &str| {
        let variable = |path: &str| path.split(['.', '[']).next() == Some(name);
        set.iter().any(|(path, _)| variable(path))
    };
    let globals = object.globals.iter().filter(|global| settable(object, global));
    let filters = globals.filter_map(|global| {
        let ty = global.ty?;
        if !is_filter(&global.name, is_constant(&btf.types, ty)) || is_set(&global.name) {
            return None;
        }
        let value = value(object, &btf.types, ty, global)?;
        Some(Filter { name: global.name.clone(), value })
    });
    filters.collect()
}

/// All of them in one line that people can copy from.
pub fn line(filters: &[Filter]) -> Option<String> {
    if filters.is_empty() {
        return None;
    }
    let mut line = "filters of the object, with their values:".to_owned();
    for Filter { name, value } in filters {
        if line.len() + name.len() + value.len() > ENOUGH {
            line.push_str(" …");
            break;
        }
        line.push_str(&format!(" --set {name}={value}"));
    }
    Some(line)
}

fn is_filter(name: &str, constant: bool) -> bool {
    let Some((first, rest)) = name.split_once('_') else {
        return constant && WHOLE.contains(&name);
    };
    let last = rest.rsplit('_').next().unwrap_or_default();
    !rest.is_empty()
        && (FIRST.iter().any(|&(word, always)| word == first && (always || constant))
            || (constant && LAST.contains(&last)))
}

/// `const volatile`, which only a loader can change.
fn is_constant(types: &Types, mut ty: TypeId) -> bool {
    let (mut is_const, mut is_volatile) = (false, false);
    for _ in 0..16 {
        match *types.kind(ty) {
            Kind::Const(next) => (is_const, ty) = (true, next),
            Kind::Volatile(next) => (is_volatile, ty) = (true, next),
            Kind::Typedef(next) | Kind::TypeTag(next) | Kind::Array { element: next, .. } => {
                ty = next;
            }
            _ => break,
        }
    }
    is_const && is_volatile
}

/// The initial value of a number or a text; `None` for what takes more than one word.
fn value(object: &Object, types: &Types, ty: TypeId, global: &Global) -> Option<String> {
    let bytes = object.initial_value(global);
    let zero = vec![0; usize::try_from(global.size).ok().filter(|&size| size <= 64)?];
    let bytes = bytes.unwrap_or(&zero);
    let number = || {
        let mut wide = [0; 16];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        // Only objects of this machine's byte order are run.
        if cfg!(target_endian = "big") {
            wide.get_mut(..bytes.len())?.reverse();
        }
        Some(u128::from_le_bytes(wide))
    };
    let signed = |number: u128| {
        let unused = 128 - 8 * u32::try_from(bytes.len()).unwrap_or(16).clamp(1, 16);
        ((number << unused) as i128) >> unused
    };
    match types.resolved(ty) {
        Kind::Int { encoding: Encoding::Bool, .. } => Some((number()? != 0).to_string()),
        Kind::Int { encoding: Encoding::Signed, .. } => Some(signed(number()?).to_string()),
        Kind::Int { .. } => Some(number()?.to_string()),
        Kind::Enum { values, signed: is_signed, .. } => {
            let number = if *is_signed { signed(number()?) } else { number()? as i128 };
            let named = values.iter().find(|(_, value)| i128::from(*value) == number);
            Some(named.map_or_else(|| number.to_string(), |(name, _)| name.to_string()))
        }
        Kind::Array { element, .. } if types.is_char(*element) => {
            let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            let text = std::str::from_utf8(text).ok()?;
            Some(if text.contains([' ', '\'']) || text.is_empty() {
                format!("'{}'", text.replace('\'', r"'\''"))
            } else {
                text.to_owned()
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_filters() {
        for name in ["targ_pid", "my_pid", "filter_cg", "target_tgid"] {
            assert!(is_filter(name, true) && is_filter(name, false), "{name}");
        }
        for name in
            ["min_us", "pid", "pid_filter", "failed_only", "ignore_failed", "exclude_daemon"]
        {
            assert!(is_filter(name, true) && !is_filter(name, false), "{name}");
        }
        for name in
            ["args_max", "target", "my", "filters", "zero_event", "minimum_x", "pids", "targ_"]
        {
            assert!(!is_filter(name, true), "{name}");
        }
    }

    #[test]
    fn a_line_is_short() {
        assert_eq!(line(&[]), None);
        let filter = |name: &str| Filter { name: name.into(), value: "0".into() };
        let two = [filter("targ_pid"), filter("targ_uid")];
        let said = "filters of the object, with their values: --set targ_pid=0 --set targ_uid=0";
        assert_eq!(line(&two).as_deref(), Some(said));
        let many = vec![filter(&"x".repeat(99)); 9];
        let said = line(&many).unwrap();
        assert!(said.len() < 450 && said.ends_with(" …"), "{said}");
    }
}
