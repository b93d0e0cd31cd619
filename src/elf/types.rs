//! C types as a graph, into which both BTF and DWARF are read.
//!
//! Files are hostile: an id may lead nowhere or in circles, and sizes may be absurd. Every
//! lookup here ends and none panics.

mod kind;
mod name;

pub use kind::{
    Composite, Encoding, Kind, Linkage, Member, Parameter, SectionVariable, Type, TypeId,
};
pub use name::{MAX_NAME, Name, Names, text};

use super::budget::{Budget, C_BYTES, FIELDS, MATCH_STEPS};

/// BTF cannot have more types (`BTF_MAX_TYPE`).
const MAX_TYPES: usize = 1 << 20;
/// The most members, values, parameters and variables of all types together.
const MAX_PARTS: usize = 1 << 21;
/// Typedefs, qualifiers and arrays of arrays, one in the other: circles end here.
const MAX_DEPTH: usize = 64;

/// All types of one object.
#[derive(Clone, Debug)]
pub struct Types {
    types: Vec<Type>,
    parts: usize,
    /// For all that is written of them in C, in bytes
    pub(super) c_bytes: Budget,
    /// For all comparisons with what programs send
    pub(super) steps: Budget,
    /// For all decoders of values
    pub(super) fields: Budget,
}

impl Default for Types {
    fn default() -> Self {
        let void = Type { name: None, kind: Kind::Void };
        Self {
            types: vec![void],
            parts: 0,
            c_bytes: Budget::new(C_BYTES),
            steps: Budget::new(MATCH_STEPS),
            fields: Budget::new(FIELDS),
        }
    }
}

/// The error of [`Types::push`] for a file with more types than any honest one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many types")
    }
}

impl std::error::Error for TooMany {}

impl Types {
    /// Only `void`.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are, `void` included: the next [`TypeId`].
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Nothing but `void`.
    pub fn is_empty(&self) -> bool {
        self.types.len() <= 1
    }

    /// Appends a type, which may contain ids of later types.
    pub fn push(&mut self, ty: Type) -> Result<TypeId, TooMany> {
        let id = self.next_id()?;
        self.account(&ty)?;
        self.types.push(ty);
        Ok(id)
    }

    /// Puts a type in the place of one that was only reserved by pushing `void`.
    pub fn replace(&mut self, id: TypeId, ty: Type) -> Result<(), TooMany> {
        self.account(&ty)?;
        if let Some(slot) = self.types.get_mut(id.0 as usize).filter(|_| id != TypeId::VOID) {
            *slot = ty;
        }
        Ok(())
    }

    fn next_id(&self) -> Result<TypeId, TooMany> {
        if self.types.len() >= MAX_TYPES {
            return Err(TooMany);
        }
        u32::try_from(self.types.len()).map(TypeId).map_err(|_| TooMany)
    }

    /// Counts the parts of a type.
    fn account(&mut self, ty: &Type) -> Result<(), TooMany> {
        let parts = match &ty.kind {
            Kind::Struct(body) | Kind::Union(body) => body.members.len(),
            Kind::Enum { values, .. } => values.len(),
            Kind::FunctionProto { parameters, .. } => parameters.len(),
            Kind::DataSection { variables, .. } => variables.len(),
            _ => 0,
        };
        self.parts = self.parts.saturating_add(parts);
        if self.parts > MAX_PARTS { Err(TooMany) } else { Ok(()) }
    }

    /// A type, if the id is one.
    pub fn get(&self, id: TypeId) -> Option<&Type> {
        self.types.get(id.0 as usize)
    }

    /// What a type is; an id that leads nowhere is `void`.
    pub fn kind(&self, id: TypeId) -> &Kind {
        self.get(id).map_or(&Kind::Void, |ty| &ty.kind)
    }

    /// A type's own name, without `struct` and the like.
    pub fn name(&self, id: TypeId) -> Option<&str> {
        self.get(id)?.name.as_deref()
    }

    /// All types with their ids, `void` first.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        (0..).map(TypeId).zip(&self.types)
    }

    /// Counts a step of a search. False: there were too many.
    pub fn count_step(&self) -> bool {
        self.steps.take(1)
    }

    /// Whether some decoder lacks fields because all decoders together have too many.
    pub fn are_fields_cut(&self) -> bool {
        self.fields.is_cut()
    }

    /// Counts a search through all types. `None`: there were too many.
    pub(super) fn look_through(&self) -> Option<()> {
        self.steps.take(self.len()).then_some(())
    }

    /// All types with this name.
    pub fn by_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = TypeId> + 'a {
        self.iter().filter(move |(_, ty)| ty.name.as_deref() == Some(name)).map(|(id, _)| id)
    }

    /// The struct, union, enum or typedef with this C name: `struct event`, or just `event`.
    /// Definitions come before declarations.
    pub fn by_c_name(&self, text: &str) -> Option<TypeId> {
        let text = text.trim();
        let (keyword, name) = match text.split_once(char::is_whitespace) {
            Some((keyword, name)) if matches!(keyword, "struct" | "union" | "enum") => {
                (Some(keyword), name.trim())
            }
            _ => (None, text),
        };
        let fits = |kind: &Kind| {
            matches!(
                (keyword, kind),
                (None | Some("struct"), Kind::Struct(_))
                    | (None | Some("union"), Kind::Union(_))
                    | (None | Some("enum"), Kind::Enum { .. })
                    | (None, Kind::Typedef(_) | Kind::Int { .. } | Kind::Float { .. })
            )
        };
        self.by_name(name).find(|&id| fits(self.kind(id)))
    }

    /// The type behind typedefs, qualifiers and tags. `void` if they go in a circle.
    pub fn resolve(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_DEPTH {
            match *self.kind(id) {
                Kind::Typedef(next)
                | Kind::Const(next)
                | Kind::Volatile(next)
                | Kind::Restrict(next)
                | Kind::TypeTag(next) => id = next,
                _ => return id,
            }
        }
        TypeId::VOID
    }

    /// The kind of the type behind typedefs and qualifiers.
    pub fn resolved(&self, id: TypeId) -> &Kind {
        self.kind(self.resolve(id))
    }

    /// The names of a type, from the outermost typedef to its own: `pid_t`, `__kernel_pid_t`,
    /// `int`.
    pub fn names(&self, mut id: TypeId) -> Vec<&str> {
        let mut names = Vec::new();
        for _ in 0..MAX_DEPTH {
            let Some(ty) = self.get(id) else { break };
            if !matches!(ty.kind, Kind::TypeTag(_)) {
                names.extend(ty.name.as_deref());
            }
            match ty.kind {
                Kind::Typedef(next)
                | Kind::Const(next)
                | Kind::Volatile(next)
                | Kind::Restrict(next)
                | Kind::TypeTag(next) => id = next,
                _ => break,
            }
        }
        names
    }

    /// The members of a struct or union behind typedefs and qualifiers.
    pub fn composite(&self, id: TypeId) -> Option<&Composite> {
        match self.resolved(id) {
            Kind::Struct(body) | Kind::Union(body) => Some(body),
            _ => None,
        }
    }

    /// The target of a pointer, behind typedefs and qualifiers.
    pub fn pointee(&self, id: TypeId) -> Option<TypeId> {
        match self.resolved(id) {
            Kind::Pointer(to) => Some(*to),
            _ => None,
        }
    }

    /// `sizeof` in bytes. `None` for types without a size: `void`, functions, declarations.
    pub fn size(&self, id: TypeId) -> Option<u64> {
        let (mut id, mut times) = (id, 1_u64);
        // All steps together: a chain of arrays of typedefs of arrays would take the square of it.
        for _ in 0..MAX_DEPTH {
            let bytes = match self.kind(id) {
                Kind::Int { bytes, .. } | Kind::Float { bytes } | Kind::Enum { bytes, .. } => {
                    u64::from(*bytes)
                }
                Kind::Pointer(_) => 8,
                Kind::Struct(body) | Kind::Union(body) => body.bytes,
                Kind::DataSection { bytes, .. } => *bytes,
                Kind::Array { element, count } => {
                    times = times.checked_mul(*count)?;
                    id = *element;
                    continue;
                }
                Kind::Typedef(next)
                | Kind::Const(next)
                | Kind::Volatile(next)
                | Kind::Restrict(next)
                | Kind::TypeTag(next)
                | Kind::Var { ty: next, .. } => {
                    id = *next;
                    continue;
                }
                _ => return None,
            };
            return times.checked_mul(bytes);
        }
        None
    }

    /// True for `char`, which makes an array of them a string. Clang marks it only by name.
    pub fn is_char(&self, id: TypeId) -> bool {
        let id = self.resolve(id);
        match self.kind(id) {
            Kind::Int { encoding: Encoding::Char, .. } => true,
            Kind::Int { bytes: 1, .. } => self.name(id) == Some("char"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(types: &mut Types, name: &str, kind: Kind) -> TypeId {
        let name = (!name.is_empty()).then(|| name.into());
        types.push(Type { name, kind }).unwrap()
    }

    fn int(types: &mut Types, name: &str, bytes: u32) -> TypeId {
        let kind = Kind::Int { bytes, encoding: Encoding::Signed, bits: bytes * 8, bit_offset: 0 };
        push(types, name, kind)
    }

    #[test]
    fn sizes() {
        let mut types = Types::new();
        let int = int(&mut types, "int", 4);
        let row = push(&mut types, "", Kind::Array { element: int, count: 3 });
        let table = push(&mut types, "", Kind::Array { element: row, count: 5 });
        let alias = push(&mut types, "table_t", Kind::Typedef(table));
        let pointer = push(&mut types, "", Kind::Pointer(TypeId::VOID));
        assert_eq!(types.size(alias), Some(60));
        assert_eq!(types.size(pointer), Some(8));
        assert_eq!(types.size(TypeId::VOID), None);
        assert_eq!(types.size(TypeId(99)), None);
        assert_eq!(types.names(alias), ["table_t"]);
        let huge = push(&mut types, "", Kind::Array { element: table, count: u64::MAX });
        assert_eq!(types.size(huge), None);
    }

    #[test]
    fn circles_end() {
        let mut types = Types::new();
        let one = push(&mut types, "one", Kind::Typedef(TypeId(2)));
        let two = push(&mut types, "two", Kind::Const(one));
        let array = push(&mut types, "", Kind::Array { element: TypeId(3), count: 1 });
        assert_eq!(types.resolve(two), TypeId::VOID);
        assert_eq!(types.size(one), None);
        assert_eq!(types.size(array), None);
        assert!(types.names(one).len() <= MAX_DEPTH);
    }

    #[test]
    fn c_names() {
        let mut types = Types::new();
        push(&mut types, "event", Kind::Forward { union: false });
        let function = Kind::Function { proto: TypeId::VOID, linkage: Linkage::Global };
        push(&mut types, "event", function);
        let body = Composite { bytes: 8, members: Vec::new() };
        let event = push(&mut types, "event", Kind::Struct(body));
        assert_eq!(types.by_c_name("struct event"), Some(event));
        assert_eq!(types.by_c_name(" event "), Some(event));
        assert_eq!(types.by_c_name("union event"), None);
        assert_eq!(types.by_c_name("struct"), None);
    }

    #[test]
    fn parts_have_a_bound() {
        let mut types = Types::new();
        let values = vec![("x".into(), 0); 1 << 16];
        let kind = Kind::Enum { bytes: 4, signed: false, values };
        let mut push = || types.push(Type { name: None, kind: kind.clone() });
        assert!((0..=MAX_PARTS >> 16).any(|_| push().is_err()));
    }
}
