//! The kernel's types that an object names in its CO-RE relocations.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libbpf_rs::btf::BtfType;
use libbpf_rs::{Btf, libbpf_sys};
use object::{Object as _, ObjectSection as _};

/// The names of the types that the relocations of `object` begin with, without flavours.
///
/// # Errors
///
/// A relocation needs more than these types and their members: see `kernel_types.rs`.
pub(crate) fn types(object: &Path, btf: &Btf<'_>) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    let (section, is_big) = btf_ext(object)?;
    for (id, kind) in roots(&section, is_big).context("the relocations in .BTF.ext")? {
        let is_simple = kind != libbpf_sys::BPF_CORE_TYPE_ID_TARGET
            && kind != libbpf_sys::BPF_CORE_TYPE_MATCHES;
        ensure!(is_simple, "a relocation of kind {kind}");
        let found: BtfType<'_> = btf.type_by_id(id.into()).context("a type that is not there")?;
        let name = found.name().unwrap_or_default().to_str().context("a name")?;
        ensure!(!name.is_empty(), "a relocation of a type without a name");
        // As libbpf does.
        names.insert(name.split("___").next().unwrap_or(name).to_owned());
    }
    Ok(names.into_iter().collect())
}

/// The contents of the section `.BTF.ext`, and whether its numbers are big-endian. (Not by libbpf:
/// older ones, as distributions have, lack `btf_ext__raw_data`.)
fn btf_ext(object: &Path) -> Result<(Vec<u8>, bool)> {
    let file = fs::read(object).with_context(|| object.display().to_string())?;
    let file = object::File::parse(&*file).with_context(|| object.display().to_string())?;
    let section = file.section_by_name(".BTF.ext").context("no .BTF.ext")?;
    Ok((section.data()?.to_owned(), !file.is_little_endian()))
}

/// The type and the kind of each relocation. `None`: the section ends too early.
fn roots(section: &[u8], is_big: bool) -> Option<Vec<(u32, u32)>> {
    let word = |at: usize| {
        let word = *section.get(at..)?.first_chunk()?;
        Some(if is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    };
    // The header: magic, version, flags; its size; then place and size of function and line
    // information, and of relocations.
    let mut at = word(4)?.checked_add(word(24)?)? as usize;
    let end = at + word(28)? as usize;
    // The size of a record; then, for each section, its name, a count and records: an instruction,
    // a type, a string, a kind.
    let size = word(at)? as usize;
    at += 4;
    let mut types = Vec::new();
    while at < end {
        let count = word(at + 4)?;
        at += 8;
        for _ in 0..count {
            types.push((word(at + 4)?, word(at + 12)?));
            at += size;
        }
    }
    Some(types)
}
