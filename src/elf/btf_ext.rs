//! Reading `.BTF.ext`: source lines of instructions, functions, and the instructions that the
//! loader adapts to the running kernel (CO-RE).

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use object::Endianness;

use super::btf::{self, Btf};
use super::cursor::Cursor;
use super::types::TypeId;

/// The most sections with code. Honest objects have some hundred.
const MAX_SECTIONS: usize = 1 << 14;
/// The most bytes of a name of a section.
const MAX_SECTION_NAME: usize = 512;

/// Facts about the instructions, by section name. Each list is in the order of the offsets.
#[derive(Clone, Debug, Default)]
pub struct BtfExt {
    /// Beginnings of functions
    pub functions: HashMap<String, Vec<FunctionInfo>>,
    /// Beginnings of lines
    pub lines: HashMap<String, Vec<LineInfo>>,
    /// Instructions to be changed
    pub relocations: HashMap<String, Vec<CoreInfo>>,
}

/// Where a function begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Bytes from the start of the section
    pub offset: u32,
    /// A `Kind::Function`
    pub ty: TypeId,
}

/// Where the code of a source line begins. The strings are in [`Btf::string`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Bytes from the start of the section
    pub offset: u32,
    /// The name of the source file
    pub file: u32,
    /// The text of the line
    pub text: u32,
    /// Line number from 1; 0 is unknown
    pub line: u32,
    /// Likewise
    pub column: u32,
}

/// An instruction whose constant depends on the running kernel's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreInfo {
    /// Bytes from the start of the section
    pub offset: u32,
    /// The type that the access starts from
    pub ty: TypeId,
    /// Which member of which member: a string such as `0:1:2`
    pub access: u32,
    /// `BPF_CORE_…`: the question to the kernel
    pub kind: u32,
}

impl BtfExt {
    /// Reads the content of a `.BTF.ext` section.
    pub fn parse(data: &[u8], btf: &Btf) -> Result<Self> {
        let (endian, header, body) = btf::header(data)?;
        let mut pairs = header.chunks_exact(2);
        let mut next = |name: &str| match pairs.next() {
            Some(&[offset, length]) => btf::part(body, offset, length)
                .with_context(|| format!("its {name} are outside of it")),
            // Older files end here.
            _ => Ok(&[][..]),
        };
        let (functions, lines) = (next("functions")?, next("lines")?);
        let relocations = next("relocations")?;
        Ok(Self {
            functions: records(functions, endian, btf, |[offset, ty]| FunctionInfo {
                offset,
                ty: TypeId(ty),
            })
            .context("its functions")?,
            lines: records(lines, endian, btf, |[offset, file, text, place]| LineInfo {
                offset,
                file,
                text,
                line: place >> 10,
                column: place & 0x3ff,
            })
            .context("its lines")?,
            relocations: records(relocations, endian, btf, |[offset, ty, access, kind]| CoreInfo {
                offset,
                ty: TypeId(ty),
                access,
                kind,
            })
            .context("its relocations")?,
        })
    }
}

/// A table of records: their size, then for each section its name, the number of records, and the
/// records.
fn records<T: Offset, const N: usize>(
    data: &[u8],
    endian: Endianness,
    btf: &Btf,
    make: impl Fn([u32; N]) -> T,
) -> Result<HashMap<String, Vec<T>>> {
    let mut sections = HashMap::<String, Vec<T>>::new();
    if data.is_empty() {
        return Ok(sections);
    }
    let mut cursor = Cursor::new(data, endian);
    let size = cursor.u32().context("it is cut")? as usize;
    if size < N * 4 || size % 4 != 0 {
        bail!("records of {size} bytes");
    }
    // By the place of its name, which many parts may share.
    let mut by_name = HashMap::<u32, Vec<T>>::new();
    while cursor.left() > 0 {
        let [name, count] = cursor.words().context("it is cut")?;
        if by_name.len() >= MAX_SECTIONS && !by_name.contains_key(&name) {
            bail!("too many sections");
        }
        let section = by_name.entry(name).or_default();
        for _ in 0..count {
            let mut record = cursor.part(size).context("it is cut")?;
            section.extend(record.words().map(&make));
        }
    }
    for (name, mut records) in by_name {
        let name = btf.beginning(name, MAX_SECTION_NAME).into_owned();
        sections.entry(name).or_default().append(&mut records);
    }
    for section in sections.values_mut() {
        section.sort_by_key(Offset::offset);
    }
    Ok(sections)
}

/// For sorting.
trait Offset {
    fn offset(&self) -> u32;
}

impl Offset for FunctionInfo {
    fn offset(&self) -> u32 {
        self.offset
    }
}

impl Offset for LineInfo {
    fn offset(&self) -> u32 {
        self.offset
    }
}

impl Offset for CoreInfo {
    fn offset(&self) -> u32 {
        self.offset
    }
}
