//! Reading DWARF: the types of an object with debug information, and the variables of each
//! function. The type of an event usually is there: `.BTF` drops structs that are only used
//! locally.

mod entries;
mod functions;
mod relocate;
mod strings;

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, anyhow, bail};
use gimli::{EndianSlice, RunTimeEndian, SectionId, UnitHeader};
use object::Endianness;

use self::entries::Reader;
use self::relocate::relocated;
use self::strings::Strings;
use super::budget::Budget;
use super::sections::File;
use super::types::{Name, TypeId, Types};

// An entry can have a single byte, and its abbreviation can claim any attributes for it. So what is
// made of them is not in proportion to the file, and has limits of its own. Debug information of the
// largest BPF objects has a tenth of each. (Those of single entries are in entries.rs.)

/// The most bytes of `.debug_abbrev`. Each can become twenty in memory.
const MAX_ABBREVIATIONS: usize = 2 << 20;
/// The most bytes of abbreviations, which are read once for each unit.
const MAX_ABBREVIATIONS_READ: usize = 1 << 26;
/// The most variables of all functions, also with those of inlined functions counted in each.
const MAX_VARIABLES: usize = 1 << 18;

/// The contents of debug information.
#[derive(Clone, Debug, Default)]
pub struct Dwarf {
    /// All types
    pub types: Types,
    /// Functions with code of their own, by name
    pub functions: BTreeMap<Name, Vec<Variable>>,
    /// Global variables
    pub globals: Vec<Variable>,
}

/// A variable or parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: Name,
    pub ty: TypeId,
    /// A function's parameter
    pub parameter: bool,
    /// The inlined function around it
    pub inlined_from: Option<Name>,
}

impl Dwarf {
    /// Reads a file's content. `None`: there is no debug information in it.
    pub fn parse(data: &[u8]) -> Result<Option<Self>> {
        let file = File::parse(data)?;
        if file.section(b".debug_info").is_none() {
            return Ok(None);
        }
        read(&file).map(Some).map_err(|error| {
            // Some of gimli's sentences have several lines.
            let words: Vec<_> = error.to_string().split_whitespace().map(str::to_owned).collect();
            anyhow!("damaged DWARF: {}", words.join(" "))
        })
    }
}

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;
type Header<'a> = UnitHeader<Slice<'a>>;

fn read(file: &File<'_>) -> Result<Dwarf> {
    let mut contents = HashMap::new();
    for section in file.sections.iter().filter(|section| section.name.starts_with(b".debug_")) {
        contents.entry(section.name).or_insert_with(|| relocated(file, section));
    }
    let endian = match file.endian {
        Endianness::Little => RunTimeEndian::Little,
        Endianness::Big => RunTimeEndian::Big,
    };
    let load = |id: SectionId| -> Result<Slice<'_>, gimli::Error> {
        let content = contents.get(id.name().as_bytes()).map_or(&[][..], |content| content);
        Ok(EndianSlice::new(content, endian))
    };
    let dwarf = gimli::Dwarf::load(load)?;
    let abbreviations = contents.get(&b".debug_abbrev"[..]).map_or(0, |content| content.len());
    if abbreviations > MAX_ABBREVIATIONS {
        bail!("too many abbreviations");
    }
    let mut reader = Reader::new(Strings::new(&dwarf));
    let mut units = dwarf.units();
    let to_read = Budget::new(MAX_ABBREVIATIONS_READ);
    // Not gimli's own `Unit`, which also reads the tables of lines, once for each unit.
    while let Some(header) = units.next()? {
        if !to_read.take(abbreviations) {
            bail!("too many units");
        }
        reader.unit(&header, &header.abbreviations(&dwarf.debug_abbrev)?)?;
    }
    reader.finish()
}

/// The place of an entry in `.debug_info`.
type Offset = usize;

/// Counts one. Half of a list would be taken for all of it, so there is none.
fn take(left: &Budget, what: &str) -> Result<()> {
    if left.take(1) { Ok(()) } else { bail!("too many {what}") }
}
