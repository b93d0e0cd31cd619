//! The events of an object's programs, as far as the object describes them.

use std::collections::HashSet;

use crate::elf::schema::{EventSchema, When};
use crate::elf::types::{Kind, TypeId, Types};
use crate::output::escape::push_text;

/// Structs in structs: circles end here.
const MAX_DEPTH: usize = 32;
/// Definitions for one schema.
const MAX_TYPES: usize = 1024;

/// The difference of a record from others in the same map: `168 bytes, u8 at 167 is 0 or 1`. Empty
/// if there is none.
pub(super) fn condition(when: &When) -> String {
    let join = |numbers: &mut dyn Iterator<Item = &u64>| {
        let numbers: Vec<_> = numbers.take(16).map(u64::to_string).collect();
        numbers.join(" or ")
    };
    let mut parts = Vec::new();
    if let Some(sizes) = &when.sizes {
        parts.push(format!("{} bytes", join(&mut sizes.iter())));
    }
    if let Some(number) = &when.number {
        let values = join(&mut number.values.iter());
        parts.push(format!("u{} at {} is {values}", number.width * 8, number.offset));
    }
    parts.join(", ")
}

/// The definition of a schema's type in C, after the types that it contains, so that a compiler
/// accepts it (given the kernel's names of integers). Each member of the type itself has a comment
/// that says how it is known.
pub(super) fn definition(schema: &EventSchema<'_>) -> Vec<String> {
    let Some(ty) = schema.ty else { return Vec::new() };
    let types = &*schema.types;
    let mut needed = Needed { types, seen: HashSet::new(), order: Vec::new(), cut: false };
    needed.visit(ty, 0);
    let mark = needed.cut.then(|| "/* … */".to_owned());
    let note = |index: usize, at: u64| {
        let mut note = String::new();
        push_text(&mut note, schema.note(index, at).as_bytes());
        Some(note)
    };
    let own = types.resolve(ty);
    let declare = |&id: &TypeId| match id == own {
        true => types.c_declaration_with(id, &note),
        false => types.c_declaration(id),
    };
    mark.into_iter().chain(needed.order.iter().map(declare)).collect()
}

/// Types in the order that C needs.
struct Needed<'a> {
    types: &'a Types,
    seen: HashSet<TypeId>,
    order: Vec<TypeId>,
    /// Some type that is needed is missing
    cut: bool,
}

impl Needed<'_> {
    /// Visits a type that is part of another one, not only pointed to.
    fn visit(&mut self, id: TypeId, depth: usize) {
        if depth > MAX_DEPTH || self.order.len() >= MAX_TYPES || !self.types.count_step() {
            self.cut = true;
            return;
        }
        let named = self.types.name(id).is_some();
        match self.types.kind(id) {
            Kind::Const(to) | Kind::Volatile(to) | Kind::Restrict(to) | Kind::TypeTag(to) => {
                self.visit(*to, depth + 1);
            }
            Kind::Array { element, .. } => self.visit(*element, depth + 1),
            Kind::Typedef(to) if self.seen.insert(id) => {
                self.visit(*to, depth + 1);
                // Integers have the same names everywhere.
                if !matches!(self.types.resolved(id), Kind::Int { .. } | Kind::Float { .. }) {
                    self.order.push(id);
                }
            }
            Kind::Struct(body) | Kind::Union(body) if self.seen.insert(id) => {
                for member in &body.members {
                    self.visit(member.ty, depth + 1);
                }
                // A nameless type is written at the place of its use.
                if named || depth == 0 {
                    self.order.push(id);
                }
            }
            Kind::Enum { .. } if named && self.seen.insert(id) => self.order.push(id),
            _ => {}
        }
    }
}
