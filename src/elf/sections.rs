//! The ELF file as such: sections, symbols and relocations, checked and in plain form.
//!
//! The relocations are read by their numbers, because the crate `object` has names for two
//! of BPF's five.

use std::cell::Cell;

use anyhow::{Context as _, Result, anyhow, bail};
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{
    FileHeader, Rel as _, Rela as _, SectionHeader as _, SectionTable, Sym as _,
};

use super::budget::ITEMS;
use super::types::text;
use crate::output::escape::push_cell;

/// A 64-bit value from a symbol is loaded by two instructions (`lddw`).
pub const R_BPF_64_64: u32 = elf::R_BPF_64_64;
/// A 64-bit address in data.
pub const R_BPF_64_ABS64: u32 = 2;
/// A call.
pub const R_BPF_64_32: u32 = elf::R_BPF_64_32;

/// Longer names are rejected: no compiler emits them.
const MAX_NAME: usize = 4096;
/// The most bytes of a name in a message.
const SHORT: usize = 64;

/// A checked ELF file for BPF.
pub struct File<'d> {
    /// Its byte order
    pub endian: Endianness,
    /// The file's size
    pub bytes: u64,
    /// By index; the first is empty
    pub sections: Vec<Section<'d>>,
    /// By index; the first is empty
    pub symbols: Vec<Symbol<'d>>,
    /// Indices of symbols, by section
    by_section: Vec<usize>,
    /// Bytes of names that may still be copied: many symbols may share one long name
    names: Cell<usize>,
}

/// A section.
pub struct Section<'d> {
    /// Such as `.text`
    pub name: &'d [u8],
    /// `SHT_…`
    pub kind: u32,
    /// `SHF_…`
    pub flags: u64,
    /// In bytes; `.bss` has no content in the file, so its `data` is empty
    pub size: u64,
    /// Its content
    pub data: &'d [u8],
    /// Relocations, in the order of their places
    pub relocations: Vec<Relocation>,
}

impl Section<'_> {
    /// Whether it holds instructions.
    pub fn is_code(&self) -> bool {
        self.kind == elf::SHT_PROGBITS && self.flags & u64::from(elf::SHF_EXECINSTR) != 0
    }

    /// Whether it holds variables.
    pub fn is_data(&self) -> bool {
        let flags = u64::from(elf::SHF_ALLOC | elf::SHF_EXECINSTR);
        matches!(self.kind, elf::SHT_PROGBITS | elf::SHT_NOBITS)
            && self.flags & flags == u64::from(elf::SHF_ALLOC)
    }
}

/// A symbol.
#[derive(Clone, Copy)]
pub struct Symbol<'d> {
    /// Empty for a section's own symbol
    pub name: &'d [u8],
    /// The section of its definition; `None` if undefined or elsewhere
    pub section: Option<usize>,
    /// Offset in that section, in bytes
    pub value: u64,
    /// In bytes
    pub size: u64,
    /// `STT_…`
    pub kind: u8,
    /// Not `static`
    pub global: bool,
    /// `__weak`
    pub weak: bool,
}

/// A place that refers to a symbol.
#[derive(Clone, Copy)]
pub struct Relocation {
    /// Offset in its section, in bytes
    pub offset: u64,
    /// `R_BPF_…`
    pub kind: u32,
    /// Index in [`File::symbols`], checked
    pub symbol: usize,
    /// The addend, if the place itself does not have it
    pub addend: Option<i64>,
}

impl<'d> File<'d> {
    /// Reads the tables. An error says what is wrong with the file, in one line.
    pub fn parse(data: &'d [u8]) -> Result<Self> {
        let header = header(data)?;
        let damaged = |error: object::Error| anyhow!("damaged or truncated ELF file: {error}");
        let endian = header.endian().map_err(damaged)?;
        let table = header.sections(endian, data).map_err(damaged)?;
        let names = header.shstrndx(endian, data).map_err(damaged)?;
        let mut sections = read_sections(&table, names, endian, data)
            .map_err(|error| anyhow!("damaged or truncated ELF file: {error}"))?;
        let symbols = table.symbols(endian, data, elf::SHT_SYMTAB).map_err(damaged)?;
        let symbols_section = symbols.section();
        let strings = sections.get(symbols.string_section().0).map_or(&[][..], |s| s.data);
        let symbols = symbols
            .enumerate()
            .map(|(index, symbol)| {
                let section = symbols.symbol_section(endian, symbol, index).map_err(damaged)?;
                let section = section.map(|index| index.0);
                if section.is_some_and(|index| index >= sections.len()) {
                    bail!("damaged ELF file: a symbol is in a section that does not exist");
                }
                Ok(Symbol {
                    name: name_at(strings, symbol.st_name(endian))?,
                    section,
                    value: symbol.st_value(endian),
                    size: symbol.st_size(endian),
                    kind: symbol.st_type(),
                    global: symbol.st_bind() != elf::STB_LOCAL,
                    weak: symbol.st_bind() == elf::STB_WEAK,
                })
            })
            .collect::<Result<Vec<_>>>()?;

        for header in table.iter() {
            let rel = header.rel(endian, data).map_err(damaged)?;
            let rela = header.rela(endian, data).map_err(damaged)?;
            let (target, link, relocations): (_, _, Vec<_>) = if let Some((rels, link)) = rel {
                let all = rels.iter().map(|rel| Relocation {
                    offset: rel.r_offset(endian),
                    kind: rel.r_type(endian),
                    symbol: rel.r_sym(endian) as usize,
                    addend: None,
                });
                (header.info_link(endian), link, all.collect())
            } else if let Some((relas, link)) = rela {
                let all = relas.iter().map(|rela| Relocation {
                    offset: rela.r_offset(endian),
                    kind: rela.r_type(endian, false),
                    symbol: rela.r_sym(endian, false) as usize,
                    addend: Some(rela.r_addend(endian)),
                });
                (header.info_link(endian), link, all.collect())
            } else {
                continue;
            };
            if link != symbols_section {
                bail!("damaged ELF file: relocations without their symbols");
            }
            let target = sections
                .get_mut(target.0)
                .context("damaged ELF file: relocations of a section that does not exist")?;
            let mut name = String::new();
            push_cell(&mut name, text(target.name, SHORT).as_bytes());
            for relocation in &relocations {
                if relocation.symbol >= symbols.len() {
                    bail!("damaged ELF file: a relocation of {name} names no symbol");
                }
                if relocation.offset >= target.size {
                    bail!("damaged ELF file: a relocation of {name} is outside of it");
                }
            }
            target.relocations.extend(relocations);
        }
        for section in &mut sections {
            section.relocations.sort_by_key(|relocation| relocation.offset);
        }
        let mut by_section: Vec<_> = (0..symbols.len()).collect();
        by_section.sort_by_key(|&index| symbols.get(index).and_then(|symbol| symbol.section));
        let names = Cell::new(data.len() + (64 << 10));
        let bytes = data.len() as u64;
        Ok(Self { endian, bytes, sections, symbols, by_section, names })
    }

    /// The symbols of a section.
    pub fn symbols_in(&self, section: usize) -> impl Iterator<Item = &Symbol<'d>> {
        let section_of = |index: usize| self.symbols.get(index).and_then(|symbol| symbol.section);
        let first = self.by_section.partition_point(|&index| section_of(index) < Some(section));
        let rest = self.by_section.get(first..).unwrap_or_default();
        let symbols = rest.iter().filter_map(|&index| self.symbols.get(index));
        symbols.take_while(move |symbol| symbol.section == Some(section))
    }

    /// The first section of this name: index and content.
    pub fn section(&self, name: &[u8]) -> Option<(usize, &Section<'d>)> {
        self.sections.iter().enumerate().find(|(_, section)| section.name == name)
    }

    /// A name as text, to be kept, with invalid UTF-8 replaced.
    pub fn name(&self, name: &[u8]) -> Result<String> {
        let left = self.names.get().checked_sub(name.len());
        let (Some(left), ..=MAX_NAME) = (left, name.len()) else {
            bail!("damaged ELF file: names that are too long");
        };
        self.names.set(left);
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// The name of a section, as text.
    pub fn section_name(&self, index: usize) -> Result<String> {
        self.name(self.sections.get(index).map_or(b"", |section| section.name))
    }
}

/// Refuses a file with more of something than any honest one.
pub(super) fn few(count: usize, what: &str) -> Result<()> {
    if count > ITEMS {
        bail!("damaged ELF file: more than {ITEMS} {what}");
    }
    Ok(())
}

/// The header of a 64-bit ELF file for BPF.
fn header(data: &[u8]) -> Result<&FileHeader64<Endianness>> {
    if data.is_empty() {
        bail!("the file is empty");
    }
    if !data.starts_with(&elf::ELFMAG) {
        bail!("not an ELF file");
    }
    let damaged = |error: object::Error| anyhow!("damaged or truncated ELF file: {error}");
    let class = data.get(4).copied().unwrap_or_default();
    if class == elf::ELFCLASS32 {
        let header = elf::FileHeader32::<Endianness>::parse(data).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        bail!("an ELF file for {}, not for BPF", machine(header.e_machine(endian)));
    }
    let header = FileHeader64::<Endianness>::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    // Old clangs left the machine out.
    match header.e_machine(endian) {
        elf::EM_BPF | elf::EM_NONE => Ok(header),
        other => bail!("an ELF file for {}, not for BPF", machine(other)),
    }
}

/// Names of common machines.
fn machine(number: u16) -> String {
    let name = match number {
        elf::EM_X86_64 => "x86-64",
        elf::EM_386 => "x86",
        elf::EM_AARCH64 => "arm64",
        elf::EM_ARM => "arm",
        elf::EM_RISCV => "riscv",
        elf::EM_S390 => "s390",
        elf::EM_PPC64 => "ppc64",
        elf::EM_PPC => "ppc",
        elf::EM_MIPS => "mips",
        elf::EM_LOONGARCH => "loongarch",
        elf::EM_SPARCV9 => "sparc64",
        elf::EM_BPF => "BPF of 32 bits",
        _ => return format!("machine {number}"),
    };
    name.to_owned()
}

/// The name at an offset of a table, as far as names are accepted. (The crate's own functions look for
/// the end of each, however far it is.)
fn name_at(strings: &[u8], offset: u32) -> Result<&[u8]> {
    let Some(rest) = strings.get(offset as usize..).filter(|_| offset != 0) else {
        return if offset == 0 {
            Ok(b"")
        } else {
            bail!("damaged ELF file: a name is outside of it")
        };
    };
    let rest = rest.get(..=MAX_NAME).unwrap_or(rest);
    Ok(rest.split(|&byte| byte == 0).next().unwrap_or_default())
}

fn read_sections<'d>(
    table: &SectionTable<'d, FileHeader64<Endianness>>,
    names: u32,
    endian: Endianness,
    data: &'d [u8],
) -> Result<Vec<Section<'d>>> {
    let mut sections = Vec::new();
    let mut total = 0;
    let names = match table.iter().nth(names as usize) {
        Some(names) => names.data(endian, data).map_err(|error| anyhow!("{error}"))?,
        None => &[],
    };
    for header in table.iter() {
        let section = Section {
            name: name_at(names, header.sh_name(endian))?,
            kind: header.sh_type(endian),
            flags: header.sh_flags(endian),
            size: header.sh_size(endian),
            data: header.data(endian, data).map_err(|error| anyhow!("{error}"))?,
            relocations: Vec::new(),
        };
        // Otherwise a small file could have a large content.
        total += section.data.len();
        if total > data.len() {
            bail!("its sections overlap");
        }
        sections.push(section);
    }
    if sections.is_empty() {
        bail!("it has no sections");
    }
    Ok(sections)
}
