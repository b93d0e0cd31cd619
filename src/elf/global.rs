//! Global variables: the object's own, and the ones it expects of the kernel.

use std::collections::HashMap;

use anyhow::{Result, bail};
use object::elf::{STT_OBJECT, STT_SECTION};

use super::map::is_map_section;
use super::sections::{File, Symbol, few};
use super::types::{Kind, Linkage, TypeId, Types};

/// A variable in one of the object's data sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    pub name: String,
    /// Index of its section
    pub section: usize,
    /// Bytes from the start of the section
    pub offset: u64,
    /// In bytes
    pub size: u64,
    /// The type in BTF, if it is there: of the variable, not the `Kind::Var`
    pub ty: Option<TypeId>,
    /// Not `static`
    pub global: bool,
}

/// A symbol or option that the object expects of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extern {
    pub name: String,
    /// `.kconfig`: an option of the kernel's configuration; `.ksyms`: a variable or function; empty
    /// if unknown
    pub section: String,
    /// A `Kind::Function` or the variable's type, if BTF says
    pub ty: Option<TypeId>,
    /// May be missing
    pub weak: bool,
}

/// A data section with its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Such as `.rodata`; empty for sections without data of the object
    pub name: String,
    /// In bytes
    pub size: u64,
    /// Initial values; empty if all are 0
    pub data: Vec<u8>,
}

/// Whether a section holds variables of the programs, not data for the loader.
fn holds_variables(section: &super::sections::Section<'_>) -> bool {
    section.is_data()
        && !matches!(section.name, b"license" | b"version")
        && is_map_section(section.name).is_none()
}

/// Data sections by their index in the file.
pub(super) fn sections(file: &File<'_>) -> Result<Vec<Section>> {
    let read = |section: &super::sections::Section<'_>| {
        if !holds_variables(section) {
            return Ok(Section::default());
        }
        let data = section.data.to_vec();
        Ok(Section { name: file.name(section.name)?, size: section.size, data })
    };
    file.sections.iter().map(read).collect()
}

/// Types of variables from BTF, by section and name.
type Typed<'t> = HashMap<(&'t str, &'t str), TypeId>;

fn typed(types: &Types) -> Typed<'_> {
    let mut typed = HashMap::new();
    for (_, section) in types.iter() {
        let (Kind::DataSection { variables, .. }, Some(section)) = (&section.kind, &section.name)
        else {
            continue;
        };
        for variable in variables {
            let ty = match *types.kind(variable.ty) {
                Kind::Var { ty, .. } => ty,
                // A kernel function.
                Kind::Function { .. } => variable.ty,
                _ => continue,
            };
            if let Some(name) = types.name(variable.ty) {
                typed.insert((&**section, name), ty);
            }
        }
    }
    typed
}

/// Variables in the order of their places.
pub(super) fn read(file: &File<'_>, types: Option<&Types>) -> Result<Vec<Global>> {
    let typed = types.map(typed).unwrap_or_default();
    let mut globals = Vec::new();
    let mut left = file.bytes.saturating_mul(2);
    for symbol in &file.symbols {
        let Some(index) = symbol.section else { continue };
        let Some(section) = file.sections.get(index).filter(|s| holds_variables(s)) else {
            continue;
        };
        if symbol.kind != STT_OBJECT || symbol.name.is_empty() {
            continue;
        }
        if symbol.value.checked_add(symbol.size).is_none_or(|end| end > section.size) {
            bail!("damaged ELF file: a variable is not within its section");
        }
        // Otherwise many variables could share one large content.
        let content = if section.data.is_empty() { 0 } else { symbol.size };
        let Some(rest) = left.checked_sub(content) else {
            bail!("damaged ELF file: its variables overlap");
        };
        left = rest;
        let name = file.name(symbol.name)?;
        let section_name = String::from_utf8_lossy(section.name);
        globals.push(Global {
            section: index,
            offset: symbol.value,
            size: symbol.size,
            ty: typed.get(&(&*section_name, name.as_str())).copied(),
            global: symbol.global,
            name,
        });
        few(globals.len(), "variables")?;
    }
    globals.sort_by_key(|global| (global.section, global.offset));
    Ok(globals)
}

/// Whether a symbol is expected of the kernel. One that is not global is the name of the source.
pub(super) fn is_extern(symbol: &Symbol<'_>) -> bool {
    symbol.section.is_none()
        && symbol.global
        && !symbol.name.is_empty()
        && symbol.kind != STT_SECTION
}

/// Undefined symbols, in the order of the symbols.
pub(super) fn externs(file: &File<'_>, types: Option<&Types>) -> Result<Vec<Extern>> {
    let typed = types.map(typed).unwrap_or_default();
    let functions: HashMap<_, _> = types
        .into_iter()
        .flat_map(Types::iter)
        .filter_map(|(id, ty)| {
            let linkage = Linkage::Extern;
            let is_extern = matches!(ty.kind, Kind::Function { linkage: l, .. } if l == linkage);
            Some((ty.name.as_deref().filter(|_| is_extern)?, id))
        })
        .collect();
    let mut externs = Vec::new();
    for symbol in &file.symbols {
        if !is_extern(symbol) {
            continue;
        }
        let name = file.name(symbol.name)?;
        let known = [".kconfig", ".ksyms"]
            .into_iter()
            .find_map(|section| Some((section, *typed.get(&(section, name.as_str()))?)));
        let known = known.or_else(|| Some((".ksyms", *functions.get(name.as_str())?)));
        externs.push(Extern {
            section: known.map_or("", |(section, _)| section).to_owned(),
            ty: known.map(|(_, ty)| ty),
            weak: symbol.weak,
            name,
        });
        few(externs.len(), "undefined symbols")?;
    }
    Ok(externs)
}
