//! Members of a type by their path: `.a[2].b`.

use crate::elf::types::{Kind, TypeId, Types};

/// The type and the offset in bytes of a member of `ty`, by a `path` such as `.a[2].b`.
pub(in crate::bpfrun::run) fn member(
    types: &Types,
    mut ty: TypeId,
    path: &str,
) -> Result<(TypeId, u64), String> {
    let mut rest = path;
    let mut at = 0u64;
    while !rest.is_empty() {
        ty = types.resolve(ty);
        if let Some(behind) = rest.strip_prefix('[') {
            let (index, behind) = behind.split_once(']').ok_or("no ] behind [")?;
            let Kind::Array { element, count } = types.kind(ty) else {
                return Err(format!("{} is not an array", types.c_name(ty)));
            };
            let index: u64 = index.parse().map_err(|_| format!("{index} is not an index"))?;
            if index >= *count {
                return Err(format!("has {count} elements"));
            }
            let size = types.size(*element).ok_or("an element of unknown size")?;
            at = at.saturating_add(index.saturating_mul(size));
            (ty, rest) = (*element, behind);
            continue;
        }
        let behind = rest.strip_prefix('.').ok_or("only .MEMBER and [INDEX] may follow")?;
        let end = behind.find(['.', '[']).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(end);
        let (found, offset) = named(types, ty, name, 0)
            .ok_or_else(|| format!("{} has no member {name}", types.c_name(ty)))??;
        at = at.saturating_add(offset);
        (ty, rest) = (found, behind);
    }
    Ok((ty, at))
}

type Found = Option<Result<(TypeId, u64), String>>;

/// A member by its name, also of anonymous structs and unions in it.
fn named(types: &Types, ty: TypeId, name: &str, depth: u32) -> Found {
    let (Kind::Struct(composite) | Kind::Union(composite)) = types.kind(types.resolve(ty)) else {
        return None;
    };
    for member in &composite.members {
        // Nameless structs may contain each other, many times over.
        if !types.count_step() {
            return Some(Err(format!("too many members to find {name} among them")));
        }
        let offset = u64::from(member.bit_offset / 8);
        match &member.name {
            Some(known) if **known == *name => {
                if member.bit_size.is_some() {
                    return Some(Err(format!("{name} is a bitfield, which cannot be set")));
                }
                return Some(Ok((member.ty, offset)));
            }
            None if depth < 16 => {
                if let Some(found) = named(types, member.ty, name, depth + 1) {
                    return Some(found.map(|(ty, at)| (ty, at + offset)));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::bpfrun::run::literal::testing::{add, int};
    use crate::elf::types::{Composite, Encoding, Member};

    use super::*;

    #[test]
    fn members_are_found() {
        let mut types = Types::new();
        let u32 = int(&mut types, "unsigned int", 4, Encoding::Unsigned);
        let array = add(&mut types, None, Kind::Array { element: u32, count: 3 });
        let field = |name: Option<&str>, ty, bit_offset, bit_size| Member {
            name: name.map(Into::into),
            ty,
            bit_offset,
            bit_size,
        };
        let inner = vec![field(Some("deep"), u32, 32, None)];
        let inner = add(&mut types, None, Kind::Struct(Composite { bytes: 8, members: inner }));
        let members = vec![
            field(Some("list"), array, 32, None),
            field(None, inner, 128, None),
            field(Some("bits"), u32, 192, Some(3)),
        ];
        let outer = Kind::Struct(Composite { bytes: 28, members });
        let outer = add(&mut types, Some("config"), outer);
        let member = |path| member(&types, outer, path);
        assert_eq!(member(".list[2]"), Ok((u32, 12)));
        assert_eq!(member(".deep"), Ok((u32, 20)));
        for (path, error) in [
            (".list[3]", "3 elements"),
            (".list[x]", "not an index"),
            (".list[1", "no ]"),
            (".nope", "struct config has no member nope"),
            (".bits", "bitfield"),
            ("[0]", "not an array"),
            (".deep.x", "has no member"),
        ] {
            assert!(member(path).unwrap_err().contains(error), "{path}: {:?}", member(path));
        }
    }

    #[test]
    fn members_that_are_nowhere_in_a_circle() {
        let mut types = Types::new();
        let member = Member { name: None, ty: TypeId(1), bit_offset: 0, bit_size: None };
        let body = Composite { bytes: 8, members: vec![member; 64] };
        let circle = add(&mut types, Some("s"), Kind::Struct(body));
        let error = super::member(&types, circle, ".x").unwrap_err();
        assert_eq!(error, "too many members to find x among them");
    }
}
