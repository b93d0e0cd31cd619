//! The instructions of a function, each with its notes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::elf::code::{Function, Reference};
use crate::elf::disasm::{self, Names};
use crate::elf::insn::Insn;
use crate::elf::names;
use crate::elf::object::Object;
use crate::elf::types::Kind;

use super::{core_words, words};

/// Strings in notes are cut here.
const MAX_STRING: usize = 60;

/// An instruction.
pub(super) struct Row {
    /// Index of its slot in the function
    pub(super) slot: usize,
    /// One or two
    pub(super) slots: Vec<Insn>,
    /// The label, if jumps lead here
    pub(super) label: Option<String>,
    /// Index in [`Function::lines`], if a new source line begins here
    pub(super) line: Option<usize>,
    /// The instruction
    pub(super) text: String,
    /// Notes behind the instruction
    pub(super) notes: Vec<String>,
}

/// All instructions of a function.
pub(super) fn rows<'a>(
    object: &'a Object,
    function: &'a Function,
) -> impl Iterator<Item = Row> + 'a {
    let labels = labels(function);
    let mut lines = function.lines.iter().enumerate().peekable();
    let mut last = None;
    let mut slot = 0;
    std::iter::from_fn(move || {
        let insn = *function.insns.get(slot)?;
        let mut line = None;
        // If several are at one place, the last one counts.
        while let Some((index, (_, info))) = lines.next_if(|(_, (at, _))| *at <= slot) {
            let place = (info.file, info.line);
            // Line 0 is not a line of the source.
            line = (last != Some(place) && info.line != 0).then_some(index);
            last = Some(place);
        }
        let second = function.insns.get(slot + 1).copied().filter(|_| insn.is_wide());
        let mut row = Row {
            slot,
            slots: std::iter::once(insn).chain(second).collect(),
            label: labels.get(&slot).map(|number| format!("L{number}")),
            line,
            text: String::new(),
            notes: Vec::new(),
        };
        describe(object, function, &labels, second, &mut row);
        slot += row.slots.len();
        Some(row)
    })
}

/// Targets of jumps, numbered from 1.
fn labels(function: &Function) -> BTreeMap<usize, usize> {
    let mut places = BTreeMap::new();
    // The second slot of a wide load is not an instruction.
    let mut after_wide = false;
    let mut starts = Vec::with_capacity(function.insns.len());
    for insn in &function.insns {
        starts.push(!after_wide);
        after_wide = !after_wide && insn.is_wide();
    }
    for (slot, insn) in function.insns.iter().enumerate() {
        let is_start = |slot: usize| starts.get(slot) == Some(&true);
        if let Some(target) = target(slot, *insn).filter(|&to| is_start(slot) && is_start(to)) {
            places.insert(target, 0);
        }
    }
    for (number, label) in places.values_mut().enumerate() {
        *label = number + 1;
    }
    places
}

/// The target slot of a jump.
fn target(slot: usize, insn: Insn) -> Option<usize> {
    let target = i64::try_from(slot).ok()? + insn.jump()?;
    usize::try_from(target).ok()
}

fn describe(
    object: &Object,
    function: &Function,
    labels: &BTreeMap<usize, usize>,
    second: Option<Insn>,
    row: &mut Row,
) {
    let Some(&insn) = row.slots.first() else { return };
    let mut names = Names::default();
    let reference = function.references.get(row.slot);
    let referred = reference.map(|reference| refer(object, reference, &mut row.notes));
    let mut callee = None;
    if insn.opcode == Insn::CALL {
        callee = referred.clone().or_else(|| call(insn, &mut row.notes));
    }
    names.callee = callee.as_deref();
    names.loaded = referred.as_deref();
    let label = target(row.slot, insn).and_then(|to| labels.get(&to));
    let label = label.map(|number| format!("L{number}"));
    names.label = label.as_deref();
    if !disasm::push(&mut row.text, insn, second, names) {
        row.text.push_str("<unknown>");
    } else if insn.jump().is_some() && label.is_none() {
        row.notes.push("out of this function".to_owned());
    }
    if let Some(words) = core_words(object, function, row.slot) {
        row.notes.push(format!("CO-RE: {words}"));
    }
    row.text = words::short(std::mem::take(&mut row.text));
    row.notes.iter_mut().for_each(|note| *note = words::short(std::mem::take(note)));
}

/// The target of a call without a relocation.
fn call(insn: Insn, notes: &mut Vec<String>) -> Option<String> {
    match insn.src {
        0 => {
            let name = names::helper(insn.imm as u32)?;
            notes.push(format!("helper {}", insn.imm));
            Some(format!("bpf_{name}"))
        }
        Insn::PSEUDO_KFUNC_CALL => {
            notes.push("kernel function by its BTF id".to_owned());
            None
        }
        _ => None,
    }
}

/// A reference of an instruction, in the syntax of the instruction.
fn refer(object: &Object, reference: &Reference, notes: &mut Vec<String>) -> String {
    match reference {
        Reference::Map(index) => {
            let map = object.maps.get(*index);
            if let Some(map) = map {
                notes.push(words::map_kind(map));
            }
            format!("map[{}]", map.map_or("?", |map| &map.name))
        }
        Reference::Function(index) => {
            object.functions.get(*index).map_or_else(|| "?".to_owned(), |f| f.name.clone())
        }
        Reference::Extern(index) => {
            let Some(external) = object.externs.get(*index) else { return "?".to_owned() };
            let kind = external.ty.zip(object.btf.as_ref()).map(|(ty, btf)| btf.types.kind(ty));
            notes.push(match (external.section.as_str(), kind) {
                (".kconfig", _) => "kernel configuration".to_owned(),
                (_, Some(Kind::Function { .. })) => "kernel function".to_owned(),
                (".ksyms", _) => "kernel variable".to_owned(),
                _ => "defined elsewhere".to_owned(),
            });
            external.name.clone()
        }
        Reference::Data { section, offset } => data(object, *section, *offset, notes),
        Reference::Code { section, offset } => object.place(*section, *offset),
        Reference::Other(text) => text.clone(),
    }
}

/// `&variable+8`, with a note for a string in `.rodata`.
fn data(object: &Object, section: usize, offset: u64, notes: &mut Vec<String>) -> String {
    let name = object.sections.get(section).map_or("", |section| &section.name);
    if name.starts_with(".rodata") {
        notes.extend(object.string_at(section, offset).and_then(quoted));
    }
    let mut text = String::from("&");
    let (base, within) = match object.global_at(section, offset) {
        Some((global, within)) => (&*global.name, within),
        None => (name, offset),
    };
    text.push_str(base);
    if within != 0 {
        let _ = write!(text, "+{within}"); // a String takes everything
    }
    text
}

/// A string in quotes, if it is printable and has at least two bytes.
fn quoted(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    if text.len() < 2 || !text.chars().all(is_text) {
        return None;
    }
    let mut short: String = text.chars().take(MAX_STRING).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    Some(format!("{short:?}"))
}
