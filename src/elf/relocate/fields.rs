//! The numbers that relocations put into instructions.

use crate::elf::types::{Encoding, Kind, TypeId, Types};

use super::spec::{
    Candidate, FIELD_BYTE_OFFSET, FIELD_BYTE_SIZE, FIELD_EXISTS, FIELD_LSHIFT, FIELD_RSHIFT,
    FIELD_SIGNED, Spec, TYPE_EXISTS, TYPE_ID_TARGET, TYPE_MATCHES, TYPE_SIZE, VALUE, VALUE_EXISTS,
};

/// libbpf's limit of arrays within arrays.
const MAX_DEPTH: usize = 32;

/// A number, and for offsets of members that are read at once their type and size.
#[derive(Default)]
struct Number {
    number: u64,
    read: Option<(TypeId, u64)>,
}

impl Candidate {
    /// With the number that this place gives. The error is for libbpf's refusal of the object.
    pub(super) fn valued(
        mut self,
        own: &Types,
        spec: &Spec,
        target: &Types,
    ) -> Result<Self, String> {
        let found = number(target, &self.place)?;
        self.number = found.number;
        if spec.kind == FIELD_BYTE_OFFSET {
            let before = number(own, spec)?.read;
            self.resized = before
                .zip(found.read)
                .and_then(|(ours, theirs)| resized(own, ours, target, theirs));
        }
        Ok(self)
    }

    /// Whether two types of one name give the same.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.place.bit_offset == other.place.bit_offset && self.number == other.number
    }
}

/// Why a load of one size cannot become a load of the other. Pointers and numbers without sign may
/// have another size, since longer ones only add zeroes.
fn resized(
    own: &Types,
    (ty, size): (TypeId, u64),
    target: &Types,
    (other, now): (TypeId, u64),
) -> Option<String> {
    let unsigned =
        |kind: &Kind| matches!(kind, Kind::Int { encoding, .. } if *encoding != Encoding::Signed);
    let (one, two) = (own.resolved(ty), target.resolved(other));
    let may = matches!((one, two), (Kind::Pointer(_), Kind::Pointer(_)))
        || (unsigned(one) && unsigned(two));
    (size != now && !may).then(|| format!("it has {now} bytes, not {size}"))
}

fn number(types: &Types, place: &Spec) -> Result<Number, String> {
    let just = |number: u64| Ok(Number { number, read: None });
    let unknown = || "a size is not known".to_owned();
    match place.kind {
        FIELD_EXISTS | TYPE_EXISTS | TYPE_MATCHES | VALUE_EXISTS => just(1),
        TYPE_ID_TARGET => just(place.root.0.into()),
        TYPE_SIZE => just(types.size(place.root).ok_or_else(unknown)?),
        VALUE => {
            let access = place.accesses.first().ok_or_else(unknown)?;
            match types.kind(access.ty) {
                Kind::Enum { values, .. } => {
                    just(values.get(access.index).map_or(0, |(_, value)| *value as u64))
                }
                _ => Err(unknown()),
            }
        }
        kind => field(types, place, kind),
    }
}

fn field(types: &Types, place: &Spec, kind: u32) -> Result<Number, String> {
    let unknown = || "a size is not known".to_owned();
    let last = place.accesses.last().ok_or_else(unknown)?;
    let size = |ty| types.size(ty).ok_or_else(unknown);
    let Some(member) = place.member(types) else {
        let number = match kind {
            FIELD_BYTE_OFFSET => place.bit_offset / 8,
            FIELD_BYTE_SIZE => size(last.ty)?,
            _ => return Err("an element of an array has no sign and no bits".to_owned()),
        };
        let element = innermost(types, last.ty);
        let read = (kind == FIELD_BYTE_OFFSET).then_some((element, size(element)?));
        return Ok(Number { number, read });
    };
    let (bytes, offset, bits) = extent(types, place, member.ty, member.bit_size)?;
    let within = place.bit_offset.wrapping_sub(offset.wrapping_mul(8));
    let number = match kind {
        FIELD_BYTE_OFFSET => offset,
        FIELD_BYTE_SIZE => bytes,
        FIELD_SIGNED => match types.resolved(member.ty) {
            Kind::Int { encoding, .. } => u64::from(*encoding == Encoding::Signed),
            Kind::Enum { signed, .. } => u64::from(*signed),
            _ => 0,
        },
        // Only kernels of this machine's byte order can be compared with an object that runs.
        FIELD_LSHIFT if cfg!(target_endian = "big") => {
            8_u64.wrapping_sub(bytes).wrapping_mul(8).wrapping_add(within)
        }
        FIELD_LSHIFT => 64_u64.wrapping_sub(bits.wrapping_add(within)),
        FIELD_RSHIFT => 64_u64.wrapping_sub(bits),
        _ => return Err("of an unknown kind".to_owned()),
    };
    let element = innermost(types, member.ty);
    let is_read = kind == FIELD_BYTE_OFFSET && member.bit_size.is_none();
    let read = if is_read { types.size(element).map(|size| (element, size)) } else { None };
    Ok(Number { number, read })
}

/// The bytes to be read for a member, the offset of the first, and the member's own bits.
fn extent(
    types: &Types,
    place: &Spec,
    ty: TypeId,
    bit_size: Option<u32>,
) -> Result<(u64, u64, u64), String> {
    let size = types.size(ty);
    let Some(bits) = bit_size else {
        // A flexible array has no size, and none is asked for.
        let bytes = size.unwrap_or(0);
        return Ok((bytes, place.bit_offset / 8, bytes.wrapping_mul(8)));
    };
    let mut bytes = size.filter(|&bytes| bytes > 0).ok_or("a bitfield of no size")?;
    loop {
        let offset = place.bit_offset / 8 / bytes * bytes;
        let end = place.bit_offset.saturating_add(bits.into());
        if end - offset * 8 <= bytes.saturating_mul(8) {
            return Ok((bytes, offset, bits.into()));
        }
        if bytes >= 8 {
            return Err("a bitfield over more than 8 bytes".to_owned());
        }
        bytes *= 2;
    }
}

/// The elements of arrays of arrays.
fn innermost(types: &Types, ty: TypeId) -> TypeId {
    let mut ty = types.resolve(ty);
    for _ in 0..MAX_DEPTH {
        match *types.kind(ty) {
            Kind::Array { element, .. } => ty = types.resolve(element),
            _ => break,
        }
    }
    ty
}
