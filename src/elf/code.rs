//! Functions: their places, and the references of their instructions.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use object::elf::{STT_FUNC, STT_NOTYPE, STT_SECTION};

use super::btf_ext::{BtfExt, CoreInfo, LineInfo};
use super::insn::{BYTES, Insn};
use super::map::Map;
use super::sections::{File, R_BPF_64_32, R_BPF_64_64, Relocation, few};
use super::types::TypeId;
use crate::output::escape::push_cell;

/// A function: a program, or a function that programs call.
#[derive(Clone, Debug, Default)]
pub struct Function {
    pub name: String,
    /// Index of its section
    pub section: usize,
    /// The section's name
    pub section_name: String,
    /// Bytes from the start of the section
    pub offset: u64,
    /// Not `static`
    pub global: bool,
    /// Slots of eight bytes: a wide load takes two
    pub insns: Vec<Insn>,
    /// References of instructions, by the index of the slot
    pub references: Slots<Reference>,
    /// Source lines, with the slot where each begins, in the order of slots
    pub lines: Vec<(usize, LineInfo)>,
    /// Instructions that the loader adapts to the running kernel, by the index of the slot
    pub core: Slots<CoreInfo>,
    /// Its `Kind::Function` in BTF
    pub ty: Option<TypeId>,
}

impl Function {
    /// The source line of an instruction.
    pub fn line(&self, slot: usize) -> Option<&LineInfo> {
        let after = self.lines.partition_point(|&(start, _)| start <= slot);
        self.lines.get(after.checked_sub(1)?).map(|(_, line)| line)
    }
}

/// Stands for the offset of a place that is not within its section.
pub const OUTSIDE: u64 = u64::MAX;

/// Facts about some instructions of a function, by the index of their slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots<T>(Vec<(usize, T)>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(usize, T)> for Slots<T> {
    /// If there are several for one slot, the last one counts.
    fn from_iter<I: IntoIterator<Item = (usize, T)>>(facts: I) -> Self {
        let mut facts: Vec<_> = facts.into_iter().collect();
        // Mostly they are, and sorting takes memory.
        if !facts.is_sorted_by_key(|&(slot, _)| slot) {
            facts.sort_by_key(|&(slot, _)| slot);
        }
        facts.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self(facts)
    }
}

impl<T> Slots<T> {
    /// The fact about a slot.
    pub fn get(&self, slot: usize) -> Option<&T> {
        let index = self.0.binary_search_by_key(&slot, |&(slot, _)| slot).ok()?;
        self.0.get(index).map(|(_, fact)| fact)
    }

    /// All facts, in the order of the slots.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, fact)| fact)
    }

    /// All facts with their slots, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().map(|(slot, fact)| (*slot, fact))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A reference of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Index in `Object::maps`
    Map(usize),
    /// Data of the object
    Data {
        /// Index of the section
        section: usize,
        /// Bytes from its start
        offset: u64,
    },
    /// Index in `Object::functions`: a call, or its address
    Function(usize),
    /// Index in `Object::externs`
    Extern(usize),
    /// Code, but not the beginning of a function
    Code {
        /// Index of the section
        section: usize,
        /// Bytes from its start; [`OUTSIDE`] if it is not within it
        offset: u64,
    },
    /// A symbol that has no place in a loaded program
    Other(String),
}

/// All functions in the order of their places, without the facts from BTF.
pub(super) fn functions(file: &File<'_>) -> Result<Vec<Function>> {
    let mut functions = Vec::new();
    for (index, section) in file.sections.iter().enumerate() {
        if !section.is_code() || section.data.is_empty() {
            continue;
        }
        let name = file.name(section.name)?;
        if section.data.len() % BYTES != 0 {
            let mut shown = String::new();
            push_cell(&mut shown, name.as_bytes());
            bail!("damaged ELF file: section {shown} ends within an instruction");
        }
        for (symbol_name, global, start, end) in parts(file, index, section.data.len())? {
            let part = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
            let code = section.data.get(part(start)..part(end)).unwrap_or_default();
            functions.push(Function {
                name: file.name(if symbol_name.is_empty() { section.name } else { symbol_name })?,
                section: index,
                section_name: file.name(section.name)?,
                offset: start,
                global,
                insns: Insn::decode_all(code, file.endian),
                ..Function::default()
            });
            few(functions.len(), "functions")?;
        }
    }
    Ok(functions)
}

/// A part of a section: name, whether it is global, first byte, and the byte behind the last.
type Part<'d> = (&'d [u8], bool, u64, u64);

/// The functions of one section.
fn parts<'d>(file: &File<'d>, index: usize, size: usize) -> Result<Vec<Part<'d>>> {
    let symbols = || file.symbols_in(index);
    let mut starts: Vec<_> = symbols().filter(|symbol| symbol.kind == STT_FUNC).collect();
    if starts.is_empty() {
        // Clangs before version 8 did not mark functions.
        starts.extend(symbols().filter(|symbol| symbol.kind == STT_NOTYPE && symbol.global));
    }
    let size = size as u64;
    if starts.is_empty() {
        return Ok(vec![(b"", true, 0, size)]);
    }
    // Of two names for one place, the global one.
    starts.sort_by_key(|symbol| (symbol.value, !symbol.global));
    starts.dedup_by_key(|symbol| symbol.value);
    let mut parts = Vec::new();
    for (number, symbol) in starts.iter().enumerate() {
        let next = starts.get(number + 1).map_or(size, |next| next.value);
        let end = match symbol.size {
            0 => next,
            size => next.min(symbol.value.saturating_add(size)),
        };
        if symbol.value >= size || end > size || symbol.value % 8 != 0 || end % 8 != 0 {
            bail!("damaged ELF file: a function is not within its section");
        }
        parts.push((symbol.name, symbol.global, symbol.value, end));
    }
    Ok(parts)
}

/// Fills in [`Function::references`].
pub(super) fn resolve(
    file: &File<'_>,
    functions: &mut [Function],
    maps: &[Map],
    externs: &[usize],
) -> Result<()> {
    let places: BTreeMap<_, _> =
        functions.iter().enumerate().map(|(i, f)| ((f.section, f.offset), i)).collect();
    let resolver = Resolver { file, places, maps, externs };
    for function in functions.iter_mut() {
        let section = file.sections.get(function.section);
        let relocations = section.map_or(&[][..], |section| &section.relocations);
        let first = relocations.partition_point(|r| r.offset < function.offset);
        let end = function.offset + (function.insns.len() * BYTES) as u64;
        let mut references = Vec::new();
        // Calls within a section need no relocation: those that have one come later, and count.
        for (slot, insn) in function.insns.iter().enumerate() {
            if insn.opcode != Insn::CALL || insn.src != Insn::PSEUDO_CALL {
                continue;
            }
            let distance = (i64::from(insn.imm) + 1 + slot as i64) * BYTES as i64;
            let target = function.offset.checked_add_signed(distance);
            references.push((slot, resolver.code(function.section, target)));
        }
        for relocation in relocations.get(first..).unwrap_or_default() {
            if relocation.offset >= end {
                break;
            }
            let place = relocation.offset - function.offset;
            let slot = usize::try_from(place / BYTES as u64).unwrap_or(usize::MAX);
            let Some(&insn) = function.insns.get(slot).filter(|_| place % BYTES as u64 == 0) else {
                bail!("damaged ELF file: a relocation is within an instruction");
            };
            references.push((slot, resolver.reference(relocation, insn)?));
        }
        function.references = references.into_iter().collect();
    }
    Ok(())
}

/// The tables to resolve references.
struct Resolver<'a, 'd> {
    file: &'a File<'d>,
    /// Functions by section and offset
    places: BTreeMap<(usize, u64), usize>,
    maps: &'a [Map],
    /// For each symbol its index in `Object::externs`, or `usize::MAX`
    externs: &'a [usize],
}

impl Resolver<'_, '_> {
    fn reference(&self, relocation: &Relocation, insn: Insn) -> Result<Reference> {
        let Some(symbol) = self.file.symbols.get(relocation.symbol) else {
            bail!("damaged ELF file: a relocation names no symbol");
        };
        let Some(section) = symbol.section else {
            return Ok(match self.externs.get(relocation.symbol) {
                Some(&index) if index != usize::MAX => Reference::Extern(index),
                _ => Reference::Other(self.file.name(symbol.name)?),
            });
        };
        let addend = relocation.addend.unwrap_or_default();
        match relocation.kind {
            R_BPF_64_32 => {
                let distance = (i64::from(insn.imm) + 1) * BYTES as i64;
                Ok(self.code(
                    section,
                    symbol.value.checked_add_signed(distance.saturating_add(addend)),
                ))
            }
            R_BPF_64_64 => {
                let imm = i64::from(insn.imm as u32).saturating_add(addend);
                let Some(offset) = symbol.value.checked_add_signed(imm) else {
                    return Ok(Reference::Other(self.file.section_name(section)?));
                };
                if self.file.sections.get(section).is_some_and(super::sections::Section::is_code) {
                    return Ok(self.code(section, Some(offset)));
                }
                let place = (section, offset);
                let map = self.maps.binary_search_by_key(&place, |map| (map.section, map.offset));
                Ok(match map {
                    Ok(map) => Reference::Map(map),
                    Err(_) => Reference::Data { section, offset },
                })
            }
            other => {
                let name = if symbol.kind == STT_SECTION {
                    self.file.section_name(section)?
                } else {
                    self.file.name(symbol.name)?
                };
                Ok(Reference::Other(format!("{name} (relocation of type {other})")))
            }
        }
    }

    /// A place in code, which must be the beginning of a function.
    fn code(&self, section: usize, offset: Option<u64>) -> Reference {
        match offset.and_then(|offset| self.places.get(&(section, offset))) {
            Some(&function) => Reference::Function(function),
            None => Reference::Code { section, offset: offset.unwrap_or(OUTSIDE) },
        }
    }
}

/// Fills in the facts from `.BTF.ext`.
pub(super) fn describe(functions: &mut [Function], ext: &BtfExt) {
    for function in functions {
        let start = function.offset;
        let end = start + (function.insns.len() * BYTES) as u64;
        let slot = |offset: u32| ((u64::from(offset) - start) / BYTES as u64) as usize;
        if let Some(infos) = ext.functions.get(&function.section_name) {
            let infos = within(infos, start, start + 1, |info| info.offset);
            function.ty = infos.first().map(|info| info.ty);
        }
        if let Some(lines) = ext.lines.get(&function.section_name) {
            let lines = within(lines, start, end, |line| line.offset);
            function.lines = lines.iter().map(|line| (slot(line.offset), *line)).collect();
        }
        if let Some(infos) = ext.relocations.get(&function.section_name) {
            let infos = within(infos, start, end, |info| info.offset);
            function.core = infos.iter().map(|info| (slot(info.offset), *info)).collect();
        }
    }
}

/// The part of a sorted list whose offsets are from `start` to before `end`.
fn within<T>(list: &[T], start: u64, end: u64, offset: impl Fn(&T) -> u32) -> &[T] {
    let first = list.partition_point(|item| u64::from(offset(item)) < start);
    let last = list.partition_point(|item| u64::from(offset(item)) < end);
    list.get(first..last).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_facts_about_a_slot_the_last_counts() {
        let slots: Slots<char> =
            [(7, 'a'), (2, 'b'), (7, 'c'), (2, 'd'), (9, 'e')].into_iter().collect();
        assert_eq!(slots.values().collect::<String>(), "dce");
        assert_eq!((slots.get(7), slots.get(8), slots.len()), (Some(&'c'), None, 3));
        let sorted: Slots<char> = [(1, 'a'), (1, 'b'), (1, 'c')].into_iter().collect();
        assert_eq!(sorted.values().collect::<String>(), "c");
    }
}
