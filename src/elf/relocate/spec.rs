//! What a relocation names: a member, a type or a value, in the object and in the kernel.

use crate::elf::btf_ext::CoreInfo;
use crate::elf::types::{Kind, Member, TypeId, Types};

use super::{Target, essential, types};

// `enum bpf_core_relo_kind`
pub(super) const FIELD_BYTE_OFFSET: u32 = 0;
pub(super) const FIELD_BYTE_SIZE: u32 = 1;
pub(super) const FIELD_EXISTS: u32 = 2;
pub(super) const FIELD_SIGNED: u32 = 3;
pub(super) const FIELD_LSHIFT: u32 = 4;
pub(super) const FIELD_RSHIFT: u32 = 5;
pub(super) const TYPE_ID_LOCAL: u32 = 6;
pub(super) const TYPE_ID_TARGET: u32 = 7;
pub(super) const TYPE_EXISTS: u32 = 8;
pub(super) const TYPE_SIZE: u32 = 9;
pub(super) const VALUE_EXISTS: u32 = 10;
pub(super) const VALUE: u32 = 11;
pub(super) const TYPE_MATCHES: u32 = 12;

/// libbpf's limit of members of members.
const MAX_DEPTH: usize = 64;

/// Whether the answer no is a number like others.
pub(super) fn is_question(kind: u32) -> bool {
    matches!(kind, FIELD_EXISTS | TYPE_EXISTS | VALUE_EXISTS | TYPE_MATCHES)
}

/// One step from a type into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// The struct or union of the member; the type of the element
    pub(super) ty: TypeId,
    /// Of the member or element
    pub(super) index: usize,
    /// A member with a name, not an element
    pub(super) is_member: bool,
}

/// A place in a type of the object or of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) kind: u32,
    pub(super) root: TypeId,
    pub(super) accesses: Vec<Access>,
    pub(super) bit_offset: u64,
}

/// A place in a type of the kernel, and what it gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) place: Spec,
    pub(super) number: u64,
    /// Why loads and stores would have another size
    pub(super) resized: Option<String>,
}

/// An access string that does not fit.
#[derive(Debug)]
pub(super) struct Malformed;

impl Spec {
    /// The place in the object's own types.
    pub(super) fn parse(types: &Types, info: &CoreInfo, access: &str) -> Result<Self, Malformed> {
        let indices: Option<Vec<usize>> =
            access.split(':').take(MAX_DEPTH + 1).map(|index| index.parse().ok()).collect();
        let indices = indices.ok_or(Malformed)?;
        let (&first, rest) = indices.split_first().ok_or(Malformed)?;
        if indices.len() > MAX_DEPTH {
            return Err(Malformed);
        }
        let (kind, root) = (info.kind, info.ty);
        let mut spec = Self { kind, root, accesses: Vec::new(), bit_offset: 0 };
        let mut ty = types.resolve(root);
        match kind {
            TYPE_ID_LOCAL..=TYPE_SIZE | TYPE_MATCHES => {
                return if access == "0" { Ok(spec) } else { Err(Malformed) };
            }
            VALUE_EXISTS | VALUE => {
                let Kind::Enum { values, .. } = types.kind(ty) else { return Err(Malformed) };
                if !rest.is_empty() || first >= values.len() {
                    return Err(Malformed);
                }
                spec.accesses.push(Access { ty, index: first, is_member: false });
                return Ok(spec);
            }
            FIELD_BYTE_OFFSET..=FIELD_RSHIFT => {}
            _ => return Err(Malformed),
        }
        spec.accesses.push(Access { ty, index: first, is_member: false });
        let size = types.size(ty).ok_or(Malformed)?;
        spec.forward(bits(first, size)?)?;
        for &index in rest {
            ty = types.resolve(ty);
            if let Some(body) = types.composite(ty) {
                let member = body.members.get(index).ok_or(Malformed)?;
                spec.forward(member.bit_offset.into())?;
                if member.name.is_some() {
                    spec.accesses.push(Access { ty, index, is_member: true });
                }
                ty = member.ty;
            } else if let Kind::Array { element, count } = *types.kind(ty) {
                if index as u64 >= count && !spec.ends_flexible(types, count) {
                    return Err(Malformed);
                }
                ty = types.resolve(element);
                spec.accesses.push(Access { ty, index, is_member: false });
                spec.forward(bits(index, types.size(ty).ok_or(Malformed)?)?)?;
            } else {
                return Err(Malformed);
            }
        }
        Ok(spec)
    }

    fn forward(&mut self, bits: u64) -> Result<(), Malformed> {
        self.bit_offset = self.bit_offset.checked_add(bits).ok_or(Malformed)?;
        Ok(())
    }

    /// Whether an array of `count` elements, the last thing named, is flexible: the last member of its
    /// struct, without elements.
    fn ends_flexible(&self, types: &Types, count: u64) -> bool {
        let last = self.accesses.last().filter(|last| last.is_member && count == 0);
        let body = last.and_then(|last| Some((last, types.composite(last.ty)?)));
        body.is_some_and(|(last, body)| last.index + 1 == body.members.len())
    }

    /// The member of the last step.
    pub(super) fn member<'t>(&self, types: &'t Types) -> Option<&'t Member> {
        let last = self.accesses.last().filter(|last| last.is_member)?;
        types.composite(last.ty)?.members.get(last.index)
    }

    /// The same place in a type of the kernel, or what is missing there, in words.
    pub(super) fn matched(
        &self,
        types: &Types,
        target: &Target<'_>,
        id: TypeId,
    ) -> Result<Candidate, String> {
        let place = Self { root: id, accesses: Vec::new(), bit_offset: 0, ..*self };
        let place = match self.kind {
            TYPE_ID_LOCAL..=TYPE_SIZE => {
                let fits = types::are_compatible(types, self.root, target, id);
                fits.then_some(place).ok_or("the type is of another kind".to_owned())?
            }
            TYPE_MATCHES => {
                let fits = types::matches(types, self.root, target, id);
                fits.then_some(place).ok_or("the type of that name differs".to_owned())?
            }
            VALUE_EXISTS | VALUE => self.value(types, target, id, place)?,
            _ => self.field(types, target, id, place)?,
        };
        Ok(Candidate { place, ..Candidate::default() })
    }

    fn value(
        &self,
        types: &Types,
        target: &Target<'_>,
        id: TypeId,
        mut place: Self,
    ) -> Result<Self, String> {
        let ty = target.types.resolve(id);
        let name = self.accesses.first().and_then(|access| match types.kind(access.ty) {
            Kind::Enum { values, .. } => values.get(access.index).map(|(name, _)| &**name),
            _ => None,
        });
        let name = essential(name.unwrap_or_default());
        let Kind::Enum { values, .. } = target.types.kind(ty) else {
            return Err("the type is not an enum".to_owned());
        };
        let index = values.iter().position(|(known, _)| target.step() && essential(known) == name);
        let index =
            index.ok_or_else(|| format!("{} has no value {name}", target.types.c_name(ty)))?;
        place.accesses.push(Access { ty, index, is_member: false });
        Ok(place)
    }

    fn field(
        &self,
        types: &Types,
        target: &Target<'_>,
        id: TypeId,
        mut place: Self,
    ) -> Result<Self, String> {
        let mut ty = id;
        for (depth, access) in self.accesses.iter().enumerate() {
            ty = target.types.resolve(ty);
            if access.is_member {
                let own =
                    types.composite(access.ty).and_then(|body| body.members.get(access.index));
                let own = own.ok_or("its own type is damaged")?;
                let name = own.name.as_deref().unwrap_or_default();
                match find_member(target, ty, name, &mut place, 0) {
                    Some(found) if types::members_are_compatible(types, own.ty, target, found) => {
                        ty = found;
                    }
                    Some(found) => {
                        let [now, before] = [target.types.c_name(found), types.c_name(own.ty)];
                        return Err(format!("its member {name} is {now}, not {before}"));
                    }
                    None => {
                        let outer = target.types.c_name(ty);
                        return Err(format!("{outer} has no member {name}"));
                    }
                }
                continue;
            }
            if depth > 0 {
                let Kind::Array { element, count } = *target.types.kind(ty) else {
                    return Err(format!("{} is not an array", target.types.c_name(ty)));
                };
                if access.index as u64 >= count && !place.ends_flexible(target.types, count) {
                    return Err(format!("the array has {count} elements"));
                }
                ty = target.types.resolve(element);
            }
            place.accesses.push(Access { ty, index: access.index, is_member: false });
            let size = target.types.size(ty).ok_or("its size is not known")?;
            let bits = bits(access.index, size).map_err(|Malformed| "too large".to_owned())?;
            place.forward(bits).map_err(|Malformed| "too large".to_owned())?;
        }
        Ok(place)
    }
}

/// Bits before an element.
fn bits(index: usize, size: u64) -> Result<u64, Malformed> {
    (index as u64).checked_mul(size).and_then(|bytes| bytes.checked_mul(8)).ok_or(Malformed)
}

/// Goes to the member of a name, also within anonymous structs and unions. Returns its type.
fn find_member(
    target: &Target<'_>,
    ty: TypeId,
    name: &str,
    place: &mut Spec,
    depth: usize,
) -> Option<TypeId> {
    let ty = target.types.resolve(ty);
    let body = target.types.composite(ty).filter(|_| depth < MAX_DEPTH)?;
    for (index, member) in body.members.iter().enumerate() {
        if !target.step() {
            return None;
        }
        let before = place.bit_offset;
        place.bit_offset = before.saturating_add(member.bit_offset.into());
        match member.name.as_deref() {
            None => {
                if let Some(found) = find_member(target, member.ty, name, place, depth + 1) {
                    return Some(found);
                }
            }
            Some(known) if known == name => {
                place.accesses.push(Access { ty, index, is_member: true });
                return Some(member.ty);
            }
            _ => {}
        }
        place.bit_offset = before;
    }
    None
}
