//! The types of a kernel from a file: raw BTF, such as `/sys/kernel/btf/vmlinux`, or an ELF file
//! with a section `.BTF`, such as a kernel with debug information.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use object::elf::{ELFCLASS64, ELFMAG, FileHeader64, SectionHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, pod};

use super::btf::Btf;
use super::file::{Content, MAX_BYTES};

/// Reads the types. The error does not name the file.
pub fn read(path: &Path) -> Result<Btf> {
    let content = Content::regular(path)?;
    let begin = content.at(0, size_of::<FileHeader64<Endianness>>() as u64)?;
    let data = match begin.as_slice() {
        [] => bail!("the file is empty"),
        elf if elf.starts_with(&ELFMAG) => section(&content, elf, b".BTF")?,
        [0x9f, 0xeb, ..] | [0xeb, 0x9f, ..] => content.all()?,
        _ => bail!("it is neither BTF nor an ELF file with BTF"),
    };
    Btf::parse(&data).context("damaged BTF (that of a module alone is not enough)")
}

/// The content of a section of an ELF file that may be too large to read.
fn section(content: &Content, begin: &[u8], name: &[u8]) -> Result<Vec<u8>> {
    const DAMAGED: &str = "damaged or truncated ELF file";
    if begin.get(4) != Some(&ELFCLASS64) {
        bail!("it is not an ELF file of 64 bits");
    }
    let header = FileHeader64::<Endianness>::parse(begin).context(DAMAGED)?;
    let endian = header.endian().context(DAMAGED)?;
    let bytes = u64::from(header.e_shnum(endian)) * size_of::<SectionHeader64<Endianness>>() as u64;
    let table = content.at(header.e_shoff(endian), bytes)?;
    let headers: &[SectionHeader64<Endianness>] =
        pod::slice_from_all_bytes(&table).ok().context(DAMAGED)?;
    let read = |header: &SectionHeader64<Endianness>| -> Result<Vec<u8>> {
        let size = header.sh_size(endian);
        if size > MAX_BYTES {
            bail!("a section of {size} bytes");
        }
        let data = content.at(header.sh_offset(endian), size)?;
        if data.len() as u64 != size { bail!(DAMAGED) } else { Ok(data) }
    };
    let names = headers.get(usize::from(header.e_shstrndx(endian))).context(DAMAGED)?;
    let names = read(names)?;
    let is_it = |header: &&SectionHeader64<Endianness>| {
        let rest = names.get(header.sh_name(endian) as usize..).unwrap_or_default();
        rest.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    };
    read(headers.iter().find(is_it).context("it has no BTF")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_kernel_is_refused() {
        let own = std::env::current_exe().unwrap();
        for (path, reason) in [
            (&*own, "it has no BTF"),
            (Path::new("/dev/null"), "it is not a regular file"),
            (Path::new("/"), "it is a directory"),
            (Path::new("Cargo.toml"), "it is neither BTF nor an ELF file with BTF"),
            (Path::new("/no/such/file"), "No such file or directory"),
        ] {
            assert_eq!(read(path).unwrap_err().to_string(), reason, "{}", path.display());
        }
    }
}
