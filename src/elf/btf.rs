//! Reading `.BTF`, as the kernel's `Documentation/bpf/btf.rst` describes it.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use object::Endianness;

use super::cursor::Cursor;
use super::types::{
    Composite, Encoding, Kind, Linkage, Member, Name, Names, Parameter, SectionVariable, Type,
    TypeId, Types, text,
};

/// First bytes of `.BTF` and `.BTF.ext`.
const MAGIC: u16 = 0xeb9f;
/// In bytes. No honest line of source is longer.
const MAX_STRING: usize = 4096;

/// The types of an object, and the strings that `.BTF.ext` shares with them.
#[derive(Clone, Debug, Default)]
pub struct Btf {
    /// The types, by their numbers in the file
    pub types: Types,
    strings: Arc<[u8]>,
}

impl Btf {
    /// Reads the content of a `.BTF` section, of either byte order.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let (endian, header, body) = header(data)?;
        let Some(&[type_off, type_len, str_off, str_len]) = header.first_chunk() else {
            bail!("its header is too short");
        };
        let types = part(body, type_off, type_len).context("its types are outside of it")?;
        let strings = part(body, str_off, str_len).context("its strings are outside of it")?;
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            bail!("its strings do not begin and end as they should");
        }
        let mut reader = Reader {
            cursor: Cursor::new(types, endian),
            strings,
            names: Names::new(strings.len()),
        };
        let mut types = Types::new();
        while reader.cursor.left() > 0 {
            let number = types.len();
            let ty = reader.ty().with_context(|| format!("type {number} cannot be read"))?;
            types.push(ty)?;
        }
        Ok(Self { types, strings: strings.into() })
    }

    /// A string by its offset: up to its NUL, with invalid UTF-8 replaced. Empty if there is none. Cut
    /// at a length that no honest line reaches: many records may share one long string.
    pub fn string(&self, offset: u32) -> Cow<'_, str> {
        self.beginning(offset, MAX_STRING)
    }

    /// The same, but of at most about so many bytes.
    pub(super) fn beginning(&self, offset: u32, most: usize) -> Cow<'_, str> {
        text(self.strings.get(offset as usize..).unwrap_or_default(), most)
    }
}

/// The byte order, the numbers of the header behind its length, and the bytes behind the header.
pub(super) fn header(data: &[u8]) -> Result<(Endianness, Vec<u32>, &[u8])> {
    let Some((&[m0, m1, version, _flags], _)) = data.split_first_chunk() else {
        bail!("it is too short");
    };
    let endian = match [m0, m1] {
        magic if magic == MAGIC.to_le_bytes() => Endianness::Little,
        magic if magic == MAGIC.to_be_bytes() => Endianness::Big,
        _ => bail!("it does not begin as it should"),
    };
    if version != 1 {
        bail!("its version is {version}, not 1");
    }
    let mut cursor = Cursor::new(data, endian);
    let mut fields = (|| {
        let [_, length] = cursor.words()?;
        cursor.part((length as usize).checked_sub(8)?)
    })()
    .context("its header is too short")?;
    let numbers = std::iter::from_fn(|| fields.u32()).take(16).collect();
    let body = cursor.bytes(cursor.left()).unwrap_or_default();
    Ok((endian, numbers, body))
}

/// A part of the bytes behind the header.
pub(super) fn part(body: &[u8], offset: u32, length: u32) -> Option<&[u8]> {
    body.get(offset as usize..)?.get(..length as usize)
}

/// Reads one type after the other.
struct Reader<'d> {
    cursor: Cursor<'d>,
    strings: &'d [u8],
    names: Names,
}

impl Reader<'_> {
    fn name(&mut self, offset: u32) -> Result<Option<Name>> {
        let rest = self.strings.get(offset as usize..);
        Ok(self.names.get(rest.context("a name is outside of the strings")?)?)
    }

    fn words<const N: usize>(&mut self) -> Result<[u32; N]> {
        self.cursor.words().context("it is cut")
    }

    /// Parts of a type, each of `N` numbers. Never more room than for those that are there.
    fn parts<T, const N: usize>(
        &mut self,
        count: u32,
        mut make: impl FnMut(&mut Self, [u32; N]) -> Result<T>,
    ) -> Result<Vec<T>> {
        let there = self.cursor.left() / (N * 4);
        let mut parts = Vec::with_capacity(there.min(count as usize));
        for _ in 0..count {
            let words = self.words()?;
            parts.push(make(self, words)?);
        }
        Ok(parts)
    }

    fn ty(&mut self) -> Result<Type> {
        let [name, info, size] = self.words()?;
        let count = info & 0xffff;
        let flag = info >> 31 != 0;
        let ty = TypeId(size);
        let kind = match info >> 24 & 0x1f {
            1 => {
                let word = self.cursor.u32().context("it is cut")?;
                let encoding = match word >> 24 & 15 {
                    0 => Encoding::Unsigned,
                    1 => Encoding::Signed,
                    2 | 3 => Encoding::Char,
                    _ => Encoding::Bool,
                };
                let (bits, bit_offset) = (word & 0xff, word >> 16 & 0xff);
                if size > 16 || u64::from(bits) > u64::from(size) * 8 {
                    bail!("an integer of {size} bytes and {bits} bits");
                }
                Kind::Int { bytes: size, encoding, bits, bit_offset }
            }
            2 => Kind::Pointer(ty),
            3 => {
                let [element, _index, count] = self.words()?;
                Kind::Array { element: TypeId(element), count: count.into() }
            }
            kind @ (4 | 5) => {
                let members = self.parts(count, |reader, [name, ty, offset]| {
                    let (bit_offset, bits) =
                        if flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
                    let bit_size = (bits != 0).then_some(bits);
                    Ok(Member { name: reader.name(name)?, ty: TypeId(ty), bit_offset, bit_size })
                })?;
                let composite = Composite { bytes: size.into(), members };
                if kind == 4 { Kind::Struct(composite) } else { Kind::Union(composite) }
            }
            6 => {
                let values = self.parts(count, |reader, [name, value]| {
                    Ok((reader.name(name)?.unwrap_or_default(), value as i32))
                })?;
                // Clang 14 sets no flag. The lowest number is the highest bit, a flag itself.
                let signed = flag || values.iter().any(|&(_, v)| v < 0 && v != i32::MIN);
                let widen =
                    |value: i32| if signed { i64::from(value) } else { i64::from(value as u32) };
                let values = values.into_iter().map(|(name, value)| (name, widen(value))).collect();
                Kind::Enum { bytes: size, signed, values }
            }
            7 => Kind::Forward { union: flag },
            8 => Kind::Typedef(ty),
            9 => Kind::Volatile(ty),
            10 => Kind::Const(ty),
            11 => Kind::Restrict(ty),
            12 => Kind::Function { proto: ty, linkage: linkage(count)? },
            13 => {
                let mut parameters = self.parts(count, |reader, [name, ty]| {
                    Ok(Parameter { name: reader.name(name)?, ty: TypeId(ty) })
                })?;
                let is_dots = |last: &Parameter| last.name.is_none() && last.ty == TypeId::VOID;
                let variadic = parameters.last().is_some_and(is_dots);
                if variadic {
                    parameters.pop();
                }
                Kind::FunctionProto { returns: ty, parameters, variadic }
            }
            14 => Kind::Var { ty, linkage: linkage(self.cursor.u32().context("it is cut")?)? },
            15 => {
                let variables = self.parts(count, |_, [ty, offset, bytes]| {
                    Ok(SectionVariable { ty: TypeId(ty), offset, bytes })
                })?;
                Kind::DataSection { bytes: size.into(), variables }
            }
            16 => Kind::Float { bytes: size },
            17 => {
                let component = self.cursor.u32().context("it is cut")?;
                Kind::DeclTag { ty, component: (component != u32::MAX).then_some(component) }
            }
            18 => Kind::TypeTag(ty),
            19 => {
                let values = self.parts(count, |reader, [name, low, high]| {
                    let value = u64::from(high) << 32 | u64::from(low);
                    Ok((reader.name(name)?.unwrap_or_default(), value as i64))
                })?;
                Kind::Enum { bytes: size, signed: flag, values }
            }
            other => bail!("its kind {other} is unknown"),
        };
        Ok(Type { name: self.name(name)?, kind })
    }
}

fn linkage(number: u32) -> Result<Linkage> {
    Ok(match number {
        0 => Linkage::Static,
        1 => Linkage::Global,
        2 => Linkage::Extern,
        other => bail!("its linkage {other} is unknown"),
    })
}
