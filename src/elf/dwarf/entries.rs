//! The entries of debug information, as types, functions and variables.

use std::collections::HashMap;

use anyhow::{Result, bail};
use gimli::{AttributeValue as Value, DwAt, DwTag, UnitOffset, constants as dw};

use super::functions::{self, Function};
use super::strings::Strings;
use super::{Dwarf, Header, MAX_VARIABLES, Offset, Slice, Variable, take};
use crate::elf::budget::Budget;
use crate::elf::types::{Composite, Encoding, Kind, Member, Name, Parameter, Type, TypeId, Types};

// See the limits in dwarf.rs.

/// The most attributes of all entries.
const MAX_ATTRIBUTES: usize = 1 << 25;
/// The most types.
const MAX_TYPES: usize = 1 << 18;
/// The most members, values and parameters of types.
const MAX_PARTS: usize = 1 << 19;
/// The most functions, with the places where they are inlined.
const MAX_FUNCTIONS: usize = 1 << 17;
/// The most entries in entries that matter: structs in structs, functions in functions.
const MAX_DEPTH: usize = 128;

/// An entry whose children are being read.
enum Open {
    Composite { id: TypeId, name: Option<Name>, is_union: bool, body: Composite },
    Enum { id: TypeId, name: Option<Name>, bytes: u32, values: Vec<(Name, i64)> },
    Array { id: TypeId, element: TypeId, counts: Vec<u64> },
    Proto { id: TypeId, returns: TypeId, parameters: Vec<Parameter>, variadic: bool },
    Function(Offset),
}

/// The attributes that matter, of one entry.
#[derive(Default)]
struct Attributes {
    name: Option<Name>,
    ty: TypeId,
    bytes: Option<u64>,
    /// `DW_AT_count`, or the upper bound and one
    count: Option<u64>,
    encoding: Option<gimli::DwAte>,
    value: i64,
    location: u64,
    bit_size: Option<u64>,
    data_bit_offset: Option<u64>,
    /// Of DWARF 3: from the most significant bit of the storage
    bit_offset: Option<u64>,
    declaration: bool,
    has_code: bool,
    origin: Option<Offset>,
}

pub(super) struct Reader<'a> {
    strings: Strings<'a>,
    types: Types,
    ids: HashMap<Offset, TypeId>,
    functions: HashMap<Offset, Function>,
    globals: Vec<Variable>,
    left: Limits,
}

/// What there may still be.
struct Limits {
    attributes: Budget,
    types: Budget,
    parts: Budget,
    functions: Budget,
    variables: Budget,
}

impl<'a> Reader<'a> {
    pub(super) fn new(strings: Strings<'a>) -> Self {
        let left = Limits {
            attributes: Budget::new(MAX_ATTRIBUTES),
            types: Budget::new(MAX_TYPES),
            parts: Budget::new(MAX_PARTS),
            functions: Budget::new(MAX_FUNCTIONS),
            variables: Budget::new(MAX_VARIABLES),
        };
        let (ids, functions) = (HashMap::new(), HashMap::new());
        Self { strings, types: Types::new(), ids, functions, globals: Vec::new(), left }
    }

    pub(super) fn unit(
        &mut self,
        unit: &Header<'a>,
        abbreviations: &gimli::Abbreviations,
    ) -> Result<()> {
        let mut open: Vec<(isize, Open)> = Vec::new();
        let mut depth = 0;
        self.strings.enter(unit);
        let mut entries = unit.entries(abbreviations);
        while let Some((delta, entry)) = entries.next_dfs()? {
            depth += delta;
            while open.last().is_some_and(|(of, _)| *of >= depth) {
                if let Some((_, closed)) = open.pop() {
                    self.close(closed)?;
                }
            }
            let Some(offset) = entry.offset().to_debug_info_offset(unit) else { continue };
            let attributes = self.attributes(unit, entry)?;
            if let Some(new) = self.entry(entry.tag(), offset.0, attributes, &mut open)? {
                open.push((depth, new));
            }
            if open.len() > MAX_DEPTH {
                bail!("entries in entries in entries");
            }
        }
        while let Some((_, closed)) = open.pop() {
            self.close(closed)?;
        }
        Ok(())
    }

    fn attributes(
        &mut self,
        unit: &Header<'a>,
        entry: &gimli::DebuggingInformationEntry<'_, '_, Slice<'a>>,
    ) -> Result<Attributes> {
        let mut found = Attributes::default();
        let mut attrs = entry.attrs();
        while let Some(attr) = attrs.next()? {
            if !self.left.attributes.take(1) {
                bail!("too much of it");
            }
            let number = || match attr.value() {
                Value::Sdata(number) => u64::try_from(number).ok(),
                _ => attr.udata_value(),
            };
            match attr.name() {
                dw::DW_AT_str_offsets_base => self.strings.rebase(&attr.value()),
                dw::DW_AT_name => found.name = self.strings.get(attr.value())?,
                dw::DW_AT_type => {
                    if let Some(offset) = self.reference(unit, attr.value()) {
                        found.ty = self.id(offset)?;
                    }
                }
                dw::DW_AT_abstract_origin | dw::DW_AT_specification => {
                    found.origin = self.reference(unit, attr.value());
                }
                dw::DW_AT_byte_size => found.bytes = number(),
                dw::DW_AT_count => found.count = number(),
                // -1 or absent for a flexible array.
                dw::DW_AT_upper_bound => found.count = number().and_then(|n| n.checked_add(1)),
                dw::DW_AT_encoding => {
                    if let Value::Encoding(encoding) = attr.value() {
                        found.encoding = Some(encoding);
                    }
                }
                dw::DW_AT_const_value => found.value = constant(&attr.value()),
                dw::DW_AT_data_member_location => found.location = number().unwrap_or(0),
                dw::DW_AT_bit_size => found.bit_size = number(),
                dw::DW_AT_data_bit_offset => found.data_bit_offset = number(),
                dw::DW_AT_bit_offset => found.bit_offset = number(),
                dw::DW_AT_declaration => found.declaration = true,
                DwAt(_) if matches!(attr.name(), dw::DW_AT_low_pc | dw::DW_AT_ranges) => {
                    found.has_code = true;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The place of the entry that an attribute refers to.
    fn reference(&self, unit: &Header<'a>, value: Value<Slice<'a>>) -> Option<Offset> {
        match value {
            Value::UnitRef(UnitOffset(offset)) => {
                Some(UnitOffset(offset).to_debug_info_offset(unit)?.0)
            }
            Value::DebugInfoRef(offset) => Some(offset.0),
            _ => None,
        }
    }

    /// The id of the type at a place, which may come later.
    fn id(&mut self, offset: Offset) -> Result<TypeId> {
        if let Some(&id) = self.ids.get(&offset) {
            return Ok(id);
        }
        take(&self.left.types, "types")?;
        let id = self.types.push(Type { name: None, kind: Kind::Void })?;
        self.ids.insert(offset, id);
        Ok(id)
    }

    fn define(&mut self, offset: Offset, name: Option<Name>, kind: Kind) -> Result<()> {
        let id = self.id(offset)?;
        Ok(self.types.replace(id, Type { name, kind })?)
    }

    /// Takes an entry in; returns the entry if its children matter.
    fn entry(
        &mut self,
        tag: DwTag,
        offset: Offset,
        found: Attributes,
        open: &mut [(isize, Open)],
    ) -> Result<Option<Open>> {
        let Attributes { name, ty, bytes, .. } = found;
        let size = u32::try_from(bytes.unwrap_or(0)).unwrap_or(u32::MAX);
        match tag {
            dw::DW_TAG_base_type => {
                if let Some(kind) = base_type(size, found.encoding, name.as_deref()) {
                    self.define(offset, name, kind)?;
                }
            }
            dw::DW_TAG_pointer_type => self.define(offset, None, Kind::Pointer(ty))?,
            dw::DW_TAG_typedef => self.define(offset, name, Kind::Typedef(ty))?,
            dw::DW_TAG_const_type => self.define(offset, None, Kind::Const(ty))?,
            dw::DW_TAG_volatile_type => self.define(offset, None, Kind::Volatile(ty))?,
            dw::DW_TAG_restrict_type => self.define(offset, None, Kind::Restrict(ty))?,
            dw::DW_TAG_structure_type | dw::DW_TAG_union_type => {
                let is_union = tag == dw::DW_TAG_union_type;
                if found.declaration {
                    self.define(offset, name, Kind::Forward { union: is_union })?;
                    return Ok(None);
                }
                let body = Composite { bytes: bytes.unwrap_or(0), members: Vec::new() };
                let id = self.id(offset)?;
                return Ok(Some(Open::Composite { id, name, is_union, body }));
            }
            dw::DW_TAG_enumeration_type => {
                let id = self.id(offset)?;
                return Ok(Some(Open::Enum { id, name, bytes: size, values: Vec::new() }));
            }
            dw::DW_TAG_array_type => {
                let id = self.id(offset)?;
                return Ok(Some(Open::Array { id, element: ty, counts: Vec::new() }));
            }
            dw::DW_TAG_subroutine_type => {
                let (id, parameters) = (self.id(offset)?, Vec::new());
                return Ok(Some(Open::Proto { id, returns: ty, parameters, variadic: false }));
            }
            dw::DW_TAG_subprogram => {
                take(&self.left.functions, "functions")?;
                let function = Function {
                    name,
                    emitted: found.has_code,
                    origin: found.origin,
                    ..Function::default()
                };
                self.functions.insert(offset, function);
                return Ok(Some(Open::Function(offset)));
            }
            dw::DW_TAG_inlined_subroutine => {
                take(&self.left.functions, "inlined functions")?;
                if let (Some(origin), Some(function)) = (found.origin, self.enclosing(open)) {
                    function.inlined.insert(origin);
                }
            }
            dw::DW_TAG_formal_parameter if matches!(open.last(), Some((_, Open::Proto { .. }))) => {
                if let Some((_, Open::Proto { parameters, .. })) = open.last_mut() {
                    take(&self.left.parts, "parameters")?;
                    parameters.push(Parameter { name, ty });
                }
            }
            dw::DW_TAG_variable | dw::DW_TAG_formal_parameter => {
                // An entry with an origin has its name there.
                let Some(name) = name else { return Ok(None) };
                take(&self.left.variables, "variables")?;
                let parameter = tag == dw::DW_TAG_formal_parameter;
                let variable = Variable { name, ty, parameter, inlined_from: None };
                match self.enclosing(open) {
                    Some(function) => function.variables.push(variable),
                    None => self.globals.push(variable),
                }
            }
            dw::DW_TAG_member | dw::DW_TAG_enumerator | dw::DW_TAG_subrange_type => {
                take(&self.left.parts, "members and values")?;
                part(tag, Attributes { name, ..found }, open);
            }
            _ => part(tag, Attributes { name, ..found }, open),
        }
        Ok(None)
    }

    /// The function that an entry is in.
    fn enclosing(&mut self, open: &[(isize, Open)]) -> Option<&mut Function> {
        let offset = open.iter().rev().find_map(|(_, open)| match open {
            Open::Function(offset) => Some(*offset),
            _ => None,
        })?;
        self.functions.get_mut(&offset)
    }

    /// All children of an entry were read.
    fn close(&mut self, open: Open) -> Result<()> {
        let (id, name, kind) = match open {
            Open::Composite { id, name, is_union: false, body } => (id, name, Kind::Struct(body)),
            Open::Composite { id, name, is_union: true, body } => (id, name, Kind::Union(body)),
            Open::Enum { id, name, bytes, values } => {
                let signed = values.iter().any(|&(_, value)| value < 0);
                (id, name, Kind::Enum { bytes, signed, values })
            }
            Open::Array { id, mut element, mut counts } => {
                let count = if counts.is_empty() { 0 } else { counts.remove(0) };
                for inner in counts.into_iter().rev() {
                    let kind = Kind::Array { element, count: inner };
                    take(&self.left.types, "types")?;
                    element = self.types.push(Type { name: None, kind })?;
                }
                (id, None, Kind::Array { element, count })
            }
            Open::Proto { id, returns, parameters, variadic } => {
                (id, None, Kind::FunctionProto { returns, parameters, variadic })
            }
            Open::Function(_) => return Ok(()),
        };
        Ok(self.types.replace(id, Type { name, kind })?)
    }

    /// All units were read.
    pub(super) fn finish(self) -> Result<Dwarf> {
        let functions = functions::joined(&self.functions)?;
        Ok(Dwarf { types: self.types, functions, globals: self.globals })
    }
}

/// Takes in an entry that is a part of the enclosing one.
fn part(tag: DwTag, found: Attributes, open: &mut [(isize, Open)]) {
    match (tag, open.last_mut()) {
        (dw::DW_TAG_member, Some((_, Open::Composite { body, .. }))) => {
            let bits = found.bit_size.and_then(|bits| u32::try_from(bits).ok());
            // The older form counts from the most significant bit of its storage, which
            // BPF's compilers no longer write.
            let start = found.location.saturating_mul(8);
            let at = match (found.data_bit_offset, found.bit_offset, bits) {
                (Some(at), ..) => start.saturating_add(at),
                (None, Some(above), Some(bits)) => {
                    let storage = found.bytes.unwrap_or(4).saturating_mul(8);
                    start.saturating_add(storage).saturating_sub(above).saturating_sub(bits.into())
                }
                _ => start,
            };
            if let Ok(bit_offset) = u32::try_from(at) {
                let (name, ty) = (found.name, found.ty);
                body.members.push(Member { name, ty, bit_offset, bit_size: bits });
            }
        }
        (dw::DW_TAG_enumerator, Some((_, Open::Enum { values, .. }))) => {
            values.push((found.name.unwrap_or_default(), found.value));
        }
        (dw::DW_TAG_subrange_type, Some((_, Open::Array { counts, .. }))) if counts.len() < 64 => {
            counts.push(found.count.unwrap_or(0));
        }
        (dw::DW_TAG_unspecified_parameters, Some((_, Open::Proto { variadic, .. }))) => {
            *variadic = true;
        }
        _ => {}
    }
}

fn base_type(bytes: u32, encoding: Option<gimli::DwAte>, name: Option<&str>) -> Option<Kind> {
    if bytes > 16 {
        return None;
    }
    let encoding = match encoding? {
        dw::DW_ATE_float => return Some(Kind::Float { bytes }),
        dw::DW_ATE_boolean => Encoding::Bool,
        _ if name == Some("char") => Encoding::Char,
        dw::DW_ATE_signed | dw::DW_ATE_signed_char => Encoding::Signed,
        _ => Encoding::Unsigned,
    };
    Some(Kind::Int { bytes, encoding, bits: bytes * 8, bit_offset: 0 })
}

/// An enumerator's value.
fn constant(value: &Value<Slice<'_>>) -> i64 {
    match value {
        Value::Sdata(number) => *number,
        other => other.udata_value().map_or(0, |number| number as i64),
    }
}
