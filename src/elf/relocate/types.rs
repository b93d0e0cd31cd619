//! Whether a type of the object and one of the kernel are the same.

use crate::elf::types::{Encoding, Kind, Member, TypeId, Types};

use super::{Target, essential, is_alike};

/// libbpf's limit of types within types.
const MAX_DEPTH: u32 = 32;

/// Whether members of these types may stand for each other.
pub(super) fn members_are_compatible(
    own: &Types,
    id: TypeId,
    target: &Target<'_>,
    other: TypeId,
) -> bool {
    let (mut id, mut other) = (own.resolve(id), target.types.resolve(other));
    for _ in 0..MAX_DEPTH {
        let (one, two) = (own.kind(id), target.types.kind(other));
        if own.composite(id).is_some() && target.types.composite(other).is_some() {
            return true;
        }
        if !is_alike(one, two) {
            return false;
        }
        match (one, two) {
            (Kind::Pointer(_), _) | (Kind::Float { .. }, _) => return true,
            (Kind::Forward { .. } | Kind::Enum { .. }, _) => {
                let names = [own.name(id), target.types.name(other)];
                let [one, two] = names.map(|name| essential(name.unwrap_or_default()));
                return one.is_empty() || two.is_empty() || one == two;
            }
            (Kind::Int { bit_offset: a, .. }, Kind::Int { bit_offset: b, .. }) => {
                return *a == 0 && *b == 0;
            }
            (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => {
                (id, other) = (own.resolve(*a), target.types.resolve(*b));
            }
            _ => return false,
        }
    }
    false
}

/// For `bpf_core_type_exists()` and the like: of one kind, and what they point to, too.
pub(super) fn are_compatible(own: &Types, id: TypeId, target: &Target<'_>, other: TypeId) -> bool {
    is_alike(own.kind(id), target.types.kind(other))
        && compatible(own, id, target, other, MAX_DEPTH)
}

fn compatible(own: &Types, id: TypeId, target: &Target<'_>, other: TypeId, depth: u32) -> bool {
    let (mut id, mut other) = (id, other);
    for _ in 0..MAX_DEPTH {
        if !target.step() {
            return false;
        }
        let (one, two) = (own.resolved(id), target.types.resolved(other));
        match (one, two) {
            (Kind::Int { bit_offset: 0, .. }, Kind::Int { bit_offset: 0, .. })
            | (Kind::Void, Kind::Void)
            | (Kind::Struct(_), Kind::Struct(_))
            | (Kind::Union(_), Kind::Union(_))
            | (Kind::Enum { .. }, Kind::Enum { .. })
            | (Kind::Forward { .. }, Kind::Forward { .. }) => return true,
            (Kind::Pointer(a), Kind::Pointer(b)) => (id, other) = (*a, *b),
            (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => {
                (id, other) = (*a, *b);
            }
            (
                Kind::FunctionProto { parameters: ours, returns: a, .. },
                Kind::FunctionProto { parameters: theirs, returns: b, .. },
            ) => {
                let mut pairs = ours.iter().zip(theirs);
                let alike = ours.len() == theirs.len()
                    && depth > 0
                    && pairs.all(|(a, b)| compatible(own, a.ty, target, b.ty, depth - 1));
                if !alike {
                    return false;
                }
                (id, other) = (*a, *b);
            }
            _ => return false,
        }
    }
    false
}

/// For `bpf_core_type_matches()`: every member of the object's type is in the kernel's, by name and
/// type. Behind pointers only names and kinds count.
pub(super) fn matches(own: &Types, id: TypeId, target: &Target<'_>, other: TypeId) -> bool {
    matching(own, id, target, other, false, MAX_DEPTH)
}

fn matching(
    own: &Types,
    id: TypeId,
    target: &Target<'_>,
    other: TypeId,
    mut behind_pointer: bool,
    depth: u32,
) -> bool {
    let (mut id, mut other) = (id, other);
    for _ in 0..depth {
        (id, other) = (own.resolve(id), target.types.resolve(other));
        let names = [own.name(id), target.types.name(other)];
        let [one, two] = names.map(|name| essential(name.unwrap_or_default()));
        if !target.step() || one != two {
            return false;
        }
        match (own.kind(id), target.types.kind(other)) {
            (Kind::Void, Kind::Void) => return true,
            (Kind::Forward { union: a }, Kind::Forward { union: b }) => return a == b,
            (Kind::Forward { union }, Kind::Struct(_)) => return behind_pointer && !union,
            (Kind::Forward { union }, Kind::Union(_)) => return behind_pointer && *union,
            (Kind::Struct(_), Kind::Forward { union }) => return behind_pointer && !union,
            (Kind::Union(_), Kind::Forward { union }) => return behind_pointer && *union,
            (
                Kind::Enum { bytes: a, values: ours, .. },
                Kind::Enum { bytes: b, values: theirs, .. },
            ) => {
                let is_there = |name: &str| {
                    let name = essential(name);
                    theirs.iter().any(|(known, _)| target.step() && essential(known) == name)
                };
                return a == b
                    && ours.len() <= theirs.len()
                    && ours.iter().all(|(name, _)| is_there(name));
            }
            (Kind::Struct(_), Kind::Struct(_)) | (Kind::Union(_), Kind::Union(_)) => {
                return behind_pointer || members_match(own, id, target, other, depth);
            }
            (
                Kind::Int { bytes: a, encoding: ours, .. },
                Kind::Int { bytes: b, encoding: theirs, .. },
            ) => {
                let signed = |encoding: &Encoding| *encoding == Encoding::Signed;
                return a == b && signed(ours) == signed(theirs);
            }
            (Kind::Pointer(a), Kind::Pointer(b)) => {
                behind_pointer = true;
                (id, other) = (*a, *b);
            }
            (
                Kind::Array { element: a, count: ours },
                Kind::Array { element: b, count: theirs },
            ) => {
                if ours != theirs {
                    return false;
                }
                (id, other) = (*a, *b);
            }
            (
                Kind::FunctionProto { parameters: ours, returns: a, .. },
                Kind::FunctionProto { parameters: theirs, returns: b, .. },
            ) => {
                let mut pairs = ours.iter().zip(theirs);
                let one =
                    |(a, b): (&crate::elf::types::Parameter, &crate::elf::types::Parameter)| {
                        matching(own, a.ty, target, b.ty, behind_pointer, depth - 1)
                    };
                if ours.len() != theirs.len() || !pairs.all(one) {
                    return false;
                }
                (id, other) = (*a, *b);
            }
            _ => return false,
        }
    }
    false
}

fn members_match(own: &Types, id: TypeId, target: &Target<'_>, other: TypeId, depth: u32) -> bool {
    let Some((ours, theirs)) = own.composite(id).zip(target.types.composite(other)) else {
        return false;
    };
    let name = |member: &Member| essential(member.name.as_deref().unwrap_or_default()).to_owned();
    ours.members.len() <= theirs.members.len()
        && ours.members.iter().all(|member| {
            let wanted = name(member);
            theirs.members.iter().any(|known| {
                target.step()
                    && essential(known.name.as_deref().unwrap_or_default()) == wanted
                    && matching(own, member.ty, target, known.ty, false, depth.saturating_sub(1))
            })
        })
}

#[cfg(test)]
mod tests {
    use crate::elf::types::{Composite, Name, Parameter, Type};

    use super::*;

    fn add(types: &mut Types, name: &str, kind: Kind) -> TypeId {
        let name = (!name.is_empty()).then(|| name.into());
        types.push(Type { name, kind }).unwrap()
    }

    fn body(members: &[(&str, TypeId)]) -> Composite {
        let member = |(name, ty): &(&str, TypeId)| Member {
            name: (!name.is_empty()).then(|| Name::from(*name)),
            ty: *ty,
            bit_offset: 0,
            bit_size: None,
        };
        Composite { bytes: 8, members: members.iter().map(member).collect() }
    }

    fn int(types: &mut Types, name: &str, bytes: u32, encoding: Encoding) -> TypeId {
        add(types, name, Kind::Int { bytes, encoding, bits: bytes * 8, bit_offset: 0 })
    }

    /// The kernel's types: an int, an unsigned one, `struct s`, a pointer to it, a forward of it.
    fn kernel() -> (Types, [TypeId; 5]) {
        let mut types = Types::new();
        let number = int(&mut types, "int", 4, Encoding::Signed);
        let unsigned = int(&mut types, "unsigned int", 4, Encoding::Unsigned);
        let all = body(&[("a", number), ("b", unsigned), ("", number)]);
        let record = add(&mut types, "s", Kind::Struct(all));
        let pointer = add(&mut types, "", Kind::Pointer(record));
        let forward = add(&mut types, "t", Kind::Forward { union: false });
        (types, [number, unsigned, record, pointer, forward])
    }

    #[test]
    fn structs_match_by_members_and_behind_pointers_by_name() {
        let (theirs, [number, unsigned, record, pointer, forward]) = kernel();
        let target = Target::new(&theirs);
        let mut own = Types::new();
        let ours = int(&mut own, "int", 4, Encoding::Signed);
        let long = int(&mut own, "long", 8, Encoding::Signed);
        let wrong = int(&mut own, "unsigned int", 4, Encoding::Signed);
        let fits = add(&mut own, "s___mine", Kind::Struct(body(&[("a", ours)])));
        let renamed = add(&mut own, "s", Kind::Struct(body(&[("c", ours)])));
        let many = [("a", ours), ("a", ours), ("a", ours), ("a", ours)];
        let many = add(&mut own, "s", Kind::Struct(body(&many)));
        let union = add(&mut own, "s", Kind::Union(body(&[("a", ours)])));
        let to_renamed = add(&mut own, "", Kind::Pointer(renamed));
        let to_union = add(&mut own, "", Kind::Pointer(union));
        let body = add(&mut own, "t", Kind::Struct(body(&[("x", long)])));
        let to_body = add(&mut own, "", Kind::Pointer(body));
        let mut more = theirs.clone();
        let to_forward = add(&mut more, "", Kind::Pointer(forward));
        for (one, other, expected) in [
            (ours, number, true),
            (wrong, unsigned, false),
            (long, number, false),
            (fits, record, true),
            (renamed, record, false),
            (many, record, false),
            (union, record, false),
            (to_renamed, pointer, true),
            (to_union, pointer, false),
            (body, forward, false),
        ] {
            assert_eq!(matches(&own, one, &target, other), expected, "{one:?} {other:?}");
        }
        assert!(matches(&own, to_body, &Target::new(&more), to_forward));
    }

    #[test]
    fn types_that_exist_are_of_one_kind() {
        let (theirs, [number, unsigned, record, pointer, _]) = kernel();
        let target = Target::new(&theirs);
        let mut own = Types::new();
        let long = int(&mut own, "long", 8, Encoding::Unsigned);
        let other = add(&mut own, "s", Kind::Struct(body(&[])));
        let union = add(&mut own, "s", Kind::Union(body(&[])));
        let to_other = add(&mut own, "", Kind::Pointer(other));
        let to_long = add(&mut own, "", Kind::Pointer(long));
        for (one, other, expected) in [
            (long, number, true),
            (long, unsigned, true),
            (other, record, true),
            (union, record, false),
            (to_other, pointer, true),
            (to_long, pointer, false),
        ] {
            assert_eq!(are_compatible(&own, one, &target, other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn enums_and_functions() {
        let values = |names: &[&str]| names.iter().map(|name| (Name::from(*name), 0)).collect();
        let kind =
            |bytes, names: &[&str]| Kind::Enum { bytes, signed: false, values: values(names) };
        let function = |returns, ty, count| Kind::FunctionProto {
            returns,
            parameters: vec![Parameter { name: None, ty }; count],
            variadic: false,
        };
        let (mut theirs, [number, _, record, ..]) = kernel();
        let state = add(&mut theirs, "state", kind(4, &["A", "B", "C"]));
        let call = add(&mut theirs, "", function(number, record, 2));
        let target = Target::new(&theirs);
        let mut own = Types::new();
        let ours = int(&mut own, "int", 4, Encoding::Signed);
        let same = add(&mut own, "s", Kind::Struct(body(&[("a", ours)])));
        for (kind, expected) in [
            (kind(4, &["C", "A___x"]), true),
            (kind(4, &["D"]), false),
            (kind(8, &["A"]), false),
            (kind(4, &["A", "A", "A", "A"]), false),
        ] {
            let mut own = own.clone();
            let id = add(&mut own, "state___own", kind);
            assert_eq!(matches(&own, id, &target, state), expected);
        }
        for (kind, expected) in [
            (function(ours, same, 2), true),
            (function(ours, same, 1), false),
            (function(same, same, 2), false),
        ] {
            let mut own = own.clone();
            let id = add(&mut own, "", kind);
            assert_eq!(matches(&own, id, &target, call), expected);
            assert_eq!(are_compatible(&own, id, &target, call), expected);
        }
    }

    #[test]
    fn circles_of_types_end() {
        // A struct that is in itself, in both.
        let mut types = Types::new();
        let circle = body(&[("m", TypeId(1)), ("m", TypeId(1))]);
        let id = add(&mut types, "s", Kind::Struct(circle));
        let target = Target::new(&types);
        assert!(!matches(&types, id, &target, id));
        let mut pointers = Types::new();
        let id = add(&mut pointers, "", Kind::Pointer(TypeId(1)));
        let target = Target::new(&pointers);
        assert!(
            !matches(&pointers, id, &target, id) && !are_compatible(&pointers, id, &target, id)
        );
    }
}
