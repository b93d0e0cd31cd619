//! CO-RE relocations in words: the member and the type on which an instruction depends.

use super::btf_ext::CoreInfo;
use super::names;
use super::types::{Kind, TypeId, Types};

/// Members of members: clang writes a few, the kernel's loader accepts 64.
const MAX_DEPTH: usize = 64;

/// The most bytes of all members together.
const MAX_TEXT: usize = 2048;

/// From this number on, kinds are about types; before, about members.
const TYPES: u32 = 6;
/// From this number on, about values of an enum.
const VALUES: u32 = 10;
/// From this number on, about types again.
const MATCHES: u32 = 12;

/// The value that the loader puts into an instruction: `struct task_struct.mm.arg_start (byte
/// offset)`. `access` is the access string of `info`.
pub fn describe(types: &Types, info: &CoreInfo, access: &str) -> String {
    let what = names::core_kind(info.kind).unwrap_or_else(|| format!("kind {}", info.kind));
    format!("{} ({})", subject(types, info, access), what.trim_start_matches("field "))
}

/// A member of one of the kernel's structs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accessed<'t> {
    /// The name of the struct from which the access starts
    pub outer: &'t str,
    /// The member's own name
    pub name: &'t str,
    /// Its type
    pub ty: TypeId,
}

/// The member that an instruction reads. `None`: it has no name, such as an element of an array.
pub fn accessed<'t>(types: &'t Types, info: &CoreInfo, access: &str) -> Option<Accessed<'t>> {
    let outer = types.name(info.ty).unwrap_or_default();
    let mut indices = access.split(':').map(str::parse::<usize>);
    let (Some(Ok(0)), 0) = (indices.next(), info.kind) else { return None };
    let (mut ty, mut name) = (info.ty, None);
    for (depth, index) in indices.enumerate() {
        let member = types.composite(ty)?.members.get(index.ok()?)?;
        if depth >= MAX_DEPTH {
            return None;
        }
        // Members of anonymous structs have names like the outer struct's own.
        name = member.name.as_deref();
        ty = member.ty;
    }
    Some(Accessed { outer, name: name?, ty })
}

/// The subject of the relocation: a member, a type or a value.
pub fn subject(types: &Types, info: &CoreInfo, access: &str) -> String {
    let mut text = type_name(types, info.ty);
    let mut indices = access.split(':').take(MAX_DEPTH).map(str::parse::<usize>);
    let first = indices.next();
    match info.kind {
        VALUES..MATCHES => {
            let values = match types.resolved(info.ty) {
                Kind::Enum { values, .. } => &values[..],
                _ => &[],
            };
            let name = first.and_then(|index| values.get(index.ok()?));
            text.push('.');
            text.push_str(name.map_or("?", |(name, _)| name));
        }
        TYPES..=MATCHES => {}
        _ => {
            // As if there were an array of the type: `0` is the type itself.
            match first {
                Some(Ok(0)) => {}
                Some(Ok(index)) => text.push_str(&format!("[{index}]")),
                _ => text.push_str("[?]"),
            }
            let mut ty = info.ty;
            for index in indices {
                if text.len() > MAX_TEXT {
                    text.push('…');
                    break;
                }
                let Some(next) = index.ok().and_then(|index| step(types, ty, index, &mut text))
                else {
                    text.push_str(".?");
                    break;
                };
                ty = next;
            }
        }
    }
    text
}

/// Appends the name of a member or the index of an element; returns its type.
fn step(types: &Types, ty: TypeId, index: usize, text: &mut String) -> Option<TypeId> {
    if let Kind::Array { element, .. } = *types.resolved(ty) {
        text.push_str(&format!("[{index}]"));
        return Some(element);
    }
    let member = types.composite(ty)?.members.get(index)?;
    // Members of anonymous structs have names like the outer struct's own.
    if let Some(name) = &member.name {
        text.push('.');
        text.push_str(name);
    }
    Some(member.ty)
}

/// Such as `struct task_struct`. The part behind three underscores only distinguishes versions of
/// one type; the loader ignores it, and we keep it.
pub(super) fn type_name(types: &Types, ty: TypeId) -> String {
    let name = types.name(ty).unwrap_or("(anonymous)");
    match types.kind(ty) {
        Kind::Struct(_) | Kind::Forward { union: false } => format!("struct {name}"),
        Kind::Union(_) | Kind::Forward { union: true } => format!("union {name}"),
        Kind::Enum { .. } => format!("enum {name}"),
        Kind::Const(inner) | Kind::Volatile(inner) if types.name(ty).is_none() => {
            let inner = types.resolve(*inner);
            types.name(inner).unwrap_or("(anonymous)").to_owned()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::types::{Composite, Member, Type};

    fn push(types: &mut Types, name: Option<&str>, kind: Kind) -> TypeId {
        types.push(Type { name: name.map(Into::into), kind }).unwrap()
    }

    fn member(name: Option<&str>, ty: TypeId) -> Member {
        Member { name: name.map(Into::into), ty, bit_offset: 0, bit_size: None }
    }

    #[test]
    fn accesses_in_words() {
        let mut types = Types::new();
        let pid = push(&mut types, Some("u32"), Kind::Float { bytes: 4 });
        let pids = push(&mut types, None, Kind::Array { element: pid, count: 4 });
        let body = Composite { bytes: 16, members: vec![member(Some("all"), pids)] };
        let nameless = push(&mut types, None, Kind::Union(body));
        let members = vec![member(Some("first"), pid), member(None, nameless)];
        let body = Composite { bytes: 20, members };
        let task = push(&mut types, Some("task"), Kind::Struct(body));
        let values = vec![("OFF".into(), 0), ("ON".into(), 1)];
        let state = push(&mut types, Some("state"), Kind::Enum { bytes: 4, signed: false, values });
        for (ty, kind, access, words) in [
            (task, 0, "0:0", "struct task.first (byte offset)"),
            (task, 2, "0:1:0:3", "struct task.all[3] (exists)"),
            (task, 1, "2", "struct task[2] (byte size)"),
            (task, 0, "0:7", "struct task.? (byte offset)"),
            (task, 0, "0:0:0", "struct task.first.? (byte offset)"),
            (task, 0, "", "struct task[?] (byte offset)"),
            (task, 8, "0", "struct task (type exists)"),
            (task, 12, "0", "struct task (type matches)"),
            (state, 11, "1", "enum state.ON (enum value)"),
            (state, 10, "9", "enum state.? (enum value exists)"),
            (TypeId(99), 77, "0:1", "(anonymous).? (kind 77)"),
        ] {
            let info = CoreInfo { offset: 0, ty, access: 0, kind };
            assert_eq!(describe(&types, &info, access), words);
        }
        // A struct inside itself ends with the access string.
        let body = Composite { bytes: 8, members: vec![member(Some("m"), TypeId(7))] };
        let circle = push(&mut types, Some("c"), Kind::Struct(body));
        let info = CoreInfo { offset: 0, ty: circle, access: 0, kind: 0 };
        assert!(describe(&types, &info, &"0:".repeat(1000)).len() < 200);
    }
}
