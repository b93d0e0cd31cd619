//! The variables of a program that hold its BPF objects.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use object::elf::{
    ELFCLASS64, FileHeader64, SHT_NOBITS, SHT_SYMTAB, STT_OBJECT, SectionHeader64, Sym64,
};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use object::{Endianness, pod};

use super::Place;
use crate::elf::file::Content;
use crate::elf::types::text;

/// The most bytes of a table of symbols, or of their names.
const MAX_TABLE: u64 = 64 << 20;

/// The most bytes of a name.
const MAX_NAME: usize = 256;

/// The most sections to look for an address in. Programs have some forty.
const MAX_SECTIONS: usize = 1 << 12;

/// The most variables of the size of Go's strings to look into.
const MAX_STRINGS: usize = 1 << 16;

/// `(address, length)`: what Go's variables of type `string` and `[]byte` begin with.
const STRING: u64 = 16;

/// The tables of a program.
struct Host {
    endian: Endianness,
    sections: Vec<SectionHeader64<Endianness>>,
    symbols: Vec<u8>,
    names: Vec<u8>,
}

/// For each object the variable that is it, contains it, or, as Go's, points to it.
pub(super) fn symbols(content: &Content, places: &[Place]) -> Result<Vec<Option<String>>> {
    let host = Host::read(content)?;
    let mut found = vec![None; places.len()];
    // Where an object begins, by that place.
    let starts: BTreeMap<_, _> =
        places.iter().enumerate().map(|(index, place)| (place.offset, (index, place))).collect();
    let symbols = pod::slice_from_all_bytes::<Sym64<Endianness>>(&host.symbols);
    let mut looks = 0;
    for symbol in symbols.unwrap_or_default() {
        let size = symbol.st_size(host.endian);
        if symbol.st_type() != STT_OBJECT || size < STRING {
            continue;
        }
        let section = host.sections.get(usize::from(symbol.st_shndx(host.endian)));
        let Some(offset) = section.and_then(|s| host.in_section(s, symbol.st_value(host.endian)))
        else {
            continue;
        };
        // The variable may begin before the object, not by much: alignment, or a length.
        let mut within = starts.range(offset..).take_while(|(start, (_, place))| {
            start.checked_add(place.size).is_some_and(|end| end <= offset.saturating_add(size))
        });
        let held = within.next().map(|(_, &(index, _))| index);
        // A variable with several objects is not the name of one.
        let mut held = held.filter(|_| within.next().is_none());
        if held.is_none() && looks < MAX_STRINGS && (size == STRING || size == STRING + 8) {
            looks += 1;
            held = host.pointed_to(content, offset, &starts);
        }
        if let Some(slot) = held.and_then(|index| found.get_mut(index)) {
            if slot.is_none() {
                *slot = host.name(symbol.st_name(host.endian));
            }
        }
    }
    Ok(found)
}

impl Host {
    fn read(content: &Content) -> Result<Self> {
        let begin = content.at(0, size_of::<FileHeader64<Endianness>>() as u64)?;
        if begin.get(4) != Some(&ELFCLASS64) {
            bail!("not an ELF file of 64 bits");
        }
        let header = FileHeader64::<Endianness>::parse(&*begin)?;
        let endian = header.endian()?;
        let bytes =
            u64::from(header.e_shnum(endian)) * size_of::<SectionHeader64<Endianness>>() as u64;
        let table = content.at(header.e_shoff(endian), bytes)?;
        let sections: Vec<SectionHeader64<Endianness>> =
            pod::slice_from_all_bytes(&table).unwrap_or_default().to_vec();
        let Some(table) = sections.iter().find(|s| s.sh_type(endian) == SHT_SYMTAB) else {
            bail!("no table of symbols");
        };
        let read = |section: &SectionHeader64<Endianness>| {
            content.at(section.sh_offset(endian), section.sh_size(endian).min(MAX_TABLE))
        };
        let mut symbols = read(table)?;
        symbols.truncate(
            symbols.len() / size_of::<Sym64<Endianness>>() * size_of::<Sym64<Endianness>>(),
        );
        let names = match sections.get(table.sh_link(endian) as usize) {
            Some(names) => read(names)?,
            None => Vec::new(),
        };
        Ok(Self { endian, sections, symbols, names })
    }

    /// Where an address of a section is in the file.
    fn in_section(&self, section: &SectionHeader64<Endianness>, address: u64) -> Option<u64> {
        let within = address.checked_sub(section.sh_addr(self.endian))?;
        let is_there =
            section.sh_type(self.endian) != SHT_NOBITS && within < section.sh_size(self.endian);
        is_there.then(|| section.sh_offset(self.endian).checked_add(within)).flatten()
    }

    /// Where an address is in the file.
    fn in_file(&self, address: u64) -> Option<u64> {
        let some = self.sections.iter().take(MAX_SECTIONS);
        let mut mapped = some.filter(|s| s.sh_addr(self.endian) != 0);
        mapped.find_map(|section| self.in_section(section, address))
    }

    /// The object that the address and the length at `offset` are those of.
    fn pointed_to(
        &self,
        content: &Content,
        offset: u64,
        starts: &BTreeMap<u64, (usize, &Place)>,
    ) -> Option<usize> {
        let bytes = content.at(offset, STRING).ok()?;
        let (address, length) = bytes.split_first_chunk::<8>()?;
        let number = |bytes: [u8; 8]| match self.endian {
            Endianness::Little => u64::from_le_bytes(bytes),
            Endianness::Big => u64::from_be_bytes(bytes),
        };
        let length = number(*length.first_chunk()?);
        // Mostly it is something else: the length is the cheaper test.
        if !starts.values().any(|(_, place)| length >= place.size && length < place.size + 4096) {
            return None;
        }
        let (index, place) = starts.get(&self.in_file(number(*address))?)?;
        (length >= place.size).then_some(*index)
    }

    fn name(&self, offset: u32) -> Option<String> {
        let rest = self.names.get(offset as usize..)?;
        let name = text(rest, MAX_NAME);
        (!name.is_empty()).then(|| name.into_owned())
    }
}
