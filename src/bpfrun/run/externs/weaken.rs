//! Makes declarations `__weak` in a copy of an ELF file.

use std::collections::HashSet;

use anyhow::{Result, anyhow};
use object::Endianness;
use object::elf::{FileHeader64, SHT_SYMTAB, STB_WEAK, Sym64};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};

/// A copy of the file with these declarations made weak.
pub(super) fn weaken(image: &[u8], names: &HashSet<&[u8]>) -> Result<Vec<u8>> {
    let damaged = |error: object::Error| anyhow!("damaged or truncated ELF file: {error}");
    let header = FileHeader64::<Endianness>::parse(image).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let table = header.sections(endian, image).map_err(damaged)?;
    let symbols = table.symbols(endian, image, SHT_SYMTAB).map_err(damaged)?;
    let section = table.section(symbols.section()).map_err(damaged)?;
    let start = usize::try_from(section.sh_offset(endian)).unwrap_or(usize::MAX);
    let mut copy = image.to_vec();
    for (index, symbol) in symbols.enumerate() {
        let name = symbols.symbol_name(endian, symbol).map_err(damaged)?;
        if !symbol.is_undefined(endian) || !names.contains(name) {
            continue;
        }
        // `st_info`, behind the four bytes of `st_name`.
        let place = start.saturating_add(index.0 * size_of::<Sym64<Endianness>>() + 4);
        if let Some(info) = copy.get_mut(place) {
            *info = STB_WEAK << 4 | symbol.st_type();
        }
    }
    Ok(copy)
}
