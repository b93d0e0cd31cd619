//! Whether a type of the object and one of the kernel are the same.

use crate::elf::types::{Encoding, Kind, TypeId, Types};

use super::{Target, essential, is_alike};

/// libbpf's limit of types within types.
const MAX_DEPTH: u32 = 32;

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
    let name = |name: Option<&str>| essential(name.unwrap_or_default()).to_owned();
    let theirs_named: Vec<_> =
        theirs.members.iter().map(|member| (name(member.name.as_deref()), member.ty)).collect();
    ours.members.len() <= theirs.members.len()
        && ours.members.iter().all(|member| {
            let wanted = name(member.name.as_deref());
            theirs_named.iter().any(|(known, ty)| {
                target.step()
                    && *known == wanted
                    && matching(own, member.ty, target, *ty, false, depth.saturating_sub(1))
            })
        })
}
