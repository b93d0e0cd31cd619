//! Global variables: the values in the maps of their sections.

use super::drawn::{each_picture, element_name};
use super::value::push_value;
use crate::elf::dataflow::Memory;
use crate::elf::global::Global;
use crate::elf::object::Object;
use crate::elf::picture::{Array, Pictures as Finder};
use crate::elf::types::Types;
use crate::elf::value::{Decoder, Options};
use crate::output::escape::push_text;

/// A global variable.
pub(super) struct Variable {
    pub(super) name: String,
    /// In bytes from the start of the section
    offset: usize,
    bytes: usize,
    pub(super) value: Option<Decoder>,
    /// It is nothing but what is drawn
    drawn: bool,
    pub(super) arrays: Vec<Array>,
}

impl Variable {
    pub(super) fn text(&self, value: &[u8], out: &mut String) {
        if !self.drawn {
            push_text(out, self.name.as_bytes());
            out.push_str(": ");
            push_value(&self.value, value, out);
            out.push('\n');
        }
        let mut any = false;
        each_picture(&self.arrays, &[value], &mut |array, nth, counts| {
            any = true;
            counts.text(&element_name(&self.name, array, nth), &array.slots, out);
        });
        if self.drawn && !any {
            push_text(out, self.name.as_bytes());
            out.push_str(": nothing counted\n");
        }
    }

    pub(super) fn of<'a>(&self, section: &'a [u8]) -> &'a [u8] {
        let rest = section.get(self.offset..).unwrap_or_default();
        rest.get(..self.bytes).unwrap_or(rest)
    }
}

/// The variables of a section, in the order of their places.
pub(super) fn variables(
    object: &Object,
    finder: &Finder<'_>,
    types: &Types,
    section: &str,
) -> Vec<Variable> {
    let here = |global: &&Global| {
        object.sections.get(global.section).is_some_and(|known| known.name == section)
    };
    let variables = object.globals.iter().filter(here).filter_map(|global| {
        let memory = Memory::Data(global.section);
        let arrays = global.ty.map(|ty| finder.arrays(memory, global.offset, ty, &global.name));
        let arrays = arrays.unwrap_or_default();
        let hidden = arrays.iter().map(|array| array.at).collect();
        let options = Options { hidden, ..Options::default() };
        let covered: u64 = arrays.iter().map(|array| array.times * array.count * array.width).sum();
        Some(Variable {
            name: global.name.clone(),
            offset: usize::try_from(global.offset).ok()?,
            bytes: usize::try_from(global.size).ok()?,
            value: global.ty.map(|ty| Decoder::new(types, ty, options)),
            drawn: !arrays.is_empty() && covered == global.size,
            arrays,
        })
    });
    variables.collect()
}
