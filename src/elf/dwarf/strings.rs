//! Names in debug information, each read once.

use gimli::{
    AttributeValue as Value, DebugStrOffsetsBase, DebugStrOffsetsIndex, Dwarf, DwarfFileType,
    Format, Section as _,
};

use super::{Header, Slice};
use crate::elf::types::{Name, Names, TooMany};

pub(super) struct Strings<'a> {
    dwarf: &'a Dwarf<Slice<'a>>,
    names: Names,
    format: Format,
    /// Where the unit's own part of `.debug_str_offsets` begins
    base: DebugStrOffsetsBase<usize>,
}

impl<'a> Strings<'a> {
    pub(super) fn new(dwarf: &'a Dwarf<Slice<'a>>) -> Self {
        let sections = [
            dwarf.debug_str.reader().slice(),
            dwarf.debug_line_str.reader().slice(),
            // Short names are in the entries themselves.
            dwarf.debug_info.reader().slice(),
        ];
        let bytes = sections.iter().map(|section| section.len()).sum();
        let (format, base) = (Format::Dwarf32, DebugStrOffsetsBase(0));
        Self { dwarf, names: Names::new(bytes), format, base }
    }

    /// Begins a unit.
    pub(super) fn enter(&mut self, unit: &Header<'a>) {
        self.format = unit.format();
        self.base = DebugStrOffsetsBase::default_for_encoding_and_file(
            unit.encoding(),
            DwarfFileType::Main,
        );
    }

    /// Takes in `DW_AT_str_offsets_base`, which comes in the first entry of a unit.
    pub(super) fn rebase(&mut self, value: &Value<Slice<'a>>) {
        if let Value::DebugStrOffsetsBase(base) = *value {
            self.base = base;
        }
    }

    /// `None`: there is none, or it cannot be read.
    pub(super) fn get(&mut self, value: Value<Slice<'a>>) -> Result<Option<Name>, TooMany> {
        let strings = &self.dwarf.debug_str;
        let (section, offset) = match value {
            Value::String(name) => return self.names.get(name.slice()),
            Value::DebugStrRef(offset) => (strings.reader(), offset.0),
            Value::DebugLineStrRef(offset) => (self.dwarf.debug_line_str.reader(), offset.0),
            Value::DebugStrOffsetsIndex(index) => match self.offset(index) {
                Some(offset) => (strings.reader(), offset),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        // gimli would look for the end of the string, again and again.
        section.slice().get(offset..).map_or(Ok(None), |rest| self.names.get(rest))
    }

    fn offset(&self, index: DebugStrOffsetsIndex<usize>) -> Option<usize> {
        let offsets = &self.dwarf.debug_str_offsets;
        Some(offsets.get_str_offset(self.format, self.base, index).ok()?.0)
    }
}
