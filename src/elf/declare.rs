//! Types as C.

mod packed;

use std::fmt::Write as _;

use crate::output::escape::{push_cell, push_text};

use super::budget::{Budget, C_DEFINITION_BYTES, C_NAME_BYTES};
use super::types::{Composite, Kind, Parameter, TypeId, Types};

/// The most structs in structs, or pointers to pointers: circles end here.
const MAX_DEPTH: usize = 32;
/// Parameters in parameters cost this much of it.
const PROTOTYPE_DEPTH: usize = 8;
/// The most parameters of a function. BPF's have at most 5, the kernel's a dozen.
const MAX_PARAMETERS: usize = 64;
/// Stands for all that is missing.
const CUT: char = '…';

impl Types {
    /// The C name of a type: `const struct event *`. A struct without a name is `struct {…}`. What is
    /// longer than any honest name ends in `…`.
    pub fn c_name(&self, id: TypeId) -> String {
        self.written(C_NAME_BYTES, false, &|_, _| None, |writer| {
            writer.declare(id, String::new(), 0);
        })
    }

    /// A type's definition in C, with its size and the members' offsets as comments; named types of
    /// members are not defined with it. A type without a body is declared by its name. What is
    /// longer than any honest definition ends in `…`.
    pub fn c_declaration(&self, id: TypeId) -> String {
        self.c_declaration_with(id, &|_, _| None)
    }

    /// The same, with more words about each member of the struct itself, by its index and its place
    /// in bytes.
    pub(crate) fn c_declaration_with(&self, id: TypeId, notes: Notes<'_>) -> String {
        let name = || printable(self.name(id).unwrap_or("_"));
        match self.kind(id) {
            Kind::Struct(_) | Kind::Union(_) | Kind::Enum { .. } => {
                self.written(C_DEFINITION_BYTES, true, notes, |writer| {
                    writer.definition(id, 0);
                    writer.push(";");
                })
            }
            Kind::Typedef(to) => self.written(C_DEFINITION_BYTES, true, notes, |writer| {
                writer.push("typedef ");
                writer.declare(*to, name(), 0);
                writer.push(";");
            }),
            Kind::Var { ty, .. } | Kind::Function { proto: ty, .. } => {
                self.written(C_DEFINITION_BYTES, true, notes, |writer| {
                    writer.declare(*ty, name(), 0);
                    writer.push(";");
                })
            }
            _ => self.c_name(id),
        }
    }

    /// Whether some text is not complete because all texts together are too long.
    pub fn is_c_cut(&self) -> bool {
        self.c_bytes.is_cut()
    }

    /// Text of at most so many bytes, `CUT` not counted.
    fn written(
        &self,
        most: usize,
        expand: bool,
        notes: Notes<'_>,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> String {
        let mut out = String::new();
        let budget = Budget::new(most.min(self.c_bytes.left()));
        write(&mut Writer { types: self, out: &mut out, expand, budget: &budget, notes });
        if budget.is_cut() {
            // One that is cut by its own length is marked where it is; this is for all of them.
            let is_own = most <= self.c_bytes.left();
            _ = self.c_bytes.take(if is_own { out.len().min(most) } else { usize::MAX });
        } else {
            _ = self.c_bytes.take(out.len());
        }
        out
    }
}

/// A name out of a file, which may be any bytes.
fn printable(name: &str) -> String {
    let mut out = String::new();
    push_cell(&mut out, name.as_bytes());
    out
}

/// Words about a member.
pub(super) type Notes<'n> = &'n dyn Fn(usize, u64) -> Option<String>;

struct Writer<'a> {
    types: &'a Types,
    /// About the members of the struct itself
    notes: Notes<'a>,
    out: &'a mut String,
    /// Nameless types in full
    expand: bool,
    /// Bytes, of `out` and of all texts that are put into it: types can contain themselves, or one
    /// another, so that a few of them are an endless text
    budget: &'a Budget,
}

impl Writer<'_> {
    /// Appends; if there is no room, only `CUT`, once.
    fn push(&mut self, text: &str) {
        let was_cut = self.budget.is_cut();
        if self.budget.take(text.len()) {
            self.out.push_str(text);
        } else if !was_cut {
            self.out.push(CUT);
        }
    }

    /// `TYPE NAME`, with the name in its place amid stars and brackets.
    fn declare(&mut self, mut id: TypeId, mut name: String, depth: usize) {
        let mut qualifiers = String::new();
        // Bytes of the name that were paid for when they were written.
        let mut paid = 0;
        for _ in 0..MAX_DEPTH {
            match self.types.kind(id) {
                Kind::Pointer(to) => {
                    name.insert(0, '*');
                    if matches!(
                        self.types.kind(*to),
                        Kind::Array { .. } | Kind::FunctionProto { .. }
                    ) {
                        name = format!("({name})");
                    }
                    id = *to;
                }
                Kind::Array { element, count } => {
                    match count {
                        0 => name.push_str("[]"),
                        count => _ = write!(name, "[{count}]"),
                    }
                    id = *element;
                }
                Kind::FunctionProto { returns, parameters, variadic } => {
                    let list = self.parameters(parameters, *variadic, depth);
                    _ = write!(name, "({list})");
                    paid += list.len();
                    id = *returns;
                }
                Kind::Const(to) => {
                    self.qualify("const", *to, &mut name, &mut qualifiers);
                    id = *to;
                }
                Kind::Volatile(to) => {
                    self.qualify("volatile", *to, &mut name, &mut qualifiers);
                    id = *to;
                }
                Kind::Restrict(to) => {
                    self.qualify("restrict", *to, &mut name, &mut qualifiers);
                    id = *to;
                }
                Kind::TypeTag(to) => id = *to,
                _ => break,
            }
        }
        self.push(&qualifiers);
        self.base(id, depth);
        if name.is_empty() {
            return;
        }
        let was_cut = self.budget.is_cut();
        if self.budget.take(name.len().saturating_sub(paid)) || paid > 0 {
            self.out.push(' ');
            self.out.push_str(&name);
        } else if !was_cut {
            self.out.push(CUT);
        }
    }

    /// What is in the brackets of a function.
    fn parameters(&self, parameters: &[Parameter], variadic: bool, depth: usize) -> String {
        let mut list = String::new();
        let mut writer = Writer { out: &mut list, expand: false, ..*self };
        for (number, parameter) in parameters.iter().enumerate() {
            if number > 0 {
                writer.push(", ");
            }
            if number == MAX_PARAMETERS || depth >= MAX_DEPTH {
                writer.push("…");
                break;
            }
            if writer.budget.is_cut() {
                break;
            }
            let name = parameter.name.as_deref().map(printable).unwrap_or_default();
            writer.declare(parameter.ty, name, depth + PROTOTYPE_DEPTH);
        }
        match (parameters, variadic) {
            ([], true) => writer.push("..."),
            ([], false) => writer.push("void"),
            (_, true) => writer.push(", ..."),
            (_, false) => {}
        }
        list
    }

    /// A qualifier stands before its type, but behind the star of a pointer.
    fn qualify(&self, word: &str, to: TypeId, name: &mut String, qualifiers: &mut String) {
        if matches!(self.types.kind(to), Kind::Pointer(_)) {
            let space = if name.is_empty() { "" } else { " " };
            *name = format!("{word}{space}{name}");
        } else {
            qualifiers.push_str(word);
            qualifiers.push(' ');
        }
    }

    /// The part before stars and names.
    fn base(&mut self, id: TypeId, depth: usize) {
        let name = self.types.name(id);
        let keyword = match self.types.kind(id) {
            Kind::Struct(_) | Kind::Forward { union: false } => "struct ",
            Kind::Union(_) | Kind::Forward { union: true } => "union ",
            Kind::Enum { .. } => "enum ",
            Kind::Void => return self.push("void"),
            _ => "",
        };
        match name {
            // `unsigned long` is one name.
            Some(name) if matches!(self.types.kind(id), Kind::Int { .. } | Kind::Float { .. }) => {
                let mut text = String::new();
                push_text(&mut text, name.as_bytes());
                self.push(&text);
            }
            Some(name) => {
                self.push(keyword);
                self.push(&printable(name));
            }
            None if self.expand && depth < MAX_DEPTH && !self.budget.is_cut() => {
                self.definition(id, depth);
            }
            None => {
                self.push(keyword);
                self.push("{…}");
            }
        }
    }

    /// A struct, union or enum with its body.
    fn definition(&mut self, id: TypeId, depth: usize) {
        let keyword = match self.types.kind(id) {
            Kind::Struct(_) => "struct",
            Kind::Union(_) => "union",
            Kind::Enum { .. } => "enum",
            _ => return self.push("{…}"),
        };
        self.push(keyword);
        if let Some(name) = self.types.name(id) {
            self.push(" ");
            self.push(&printable(name));
        }
        self.push(" {\n");
        match self.types.kind(id) {
            Kind::Struct(body) => {
                self.members(body, depth);
                if !self.budget.is_cut() {
                    self.push(match self.types.is_packed(body) {
                        Some(true) => " __attribute__((packed))",
                        Some(false) => "",
                        None => " /* … */",
                    });
                }
            }
            Kind::Union(body) => self.members(body, depth),
            Kind::Enum { values, .. } => {
                for (name, value) in values {
                    if self.budget.is_cut() {
                        return;
                    }
                    self.indent(depth + 1);
                    self.push(&format!("{} = {value},\n", printable(name)));
                }
                self.indent(depth);
                self.push("}");
            }
            _ => {}
        }
    }

    fn members(&mut self, body: &Composite, depth: usize) {
        for (index, member) in body.members.iter().enumerate() {
            if self.budget.is_cut() {
                return;
            }
            self.indent(depth + 1);
            let mut name = member.name.as_deref().map(printable).unwrap_or_default();
            if let Some(bits) = member.bit_size {
                _ = write!(name, ": {bits}");
            }
            self.declare(member.ty, name, depth + 1);
            let at = member.bit_offset;
            let note = Some(index).filter(|_| depth == 0);
            let note = note.and_then(|index| (self.notes)(index, (at / 8).into()));
            // A name in it could end the comment.
            let note =
                note.map_or(String::new(), |note| format!(": {}", note.replace("*/", "*\\/")));
            self.push(&match member.bit_size {
                None => format!("; /* {}{note} */\n", at / 8),
                Some(_) => format!("; /* {}, bit {}{note} */\n", at / 8, at % 8),
            });
        }
        self.indent(depth);
        self.push(&format!("}} /* {} bytes */", body.bytes));
    }

    fn indent(&mut self, depth: usize) {
        for _ in 0..depth {
            self.push("\t");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::C_BYTES;
    use super::super::types::{Encoding, Member, Parameter, Type};
    use super::*;

    fn push(types: &mut Types, name: &str, kind: Kind) -> TypeId {
        let name = (!name.is_empty()).then(|| name.into());
        types.push(Type { name, kind }).unwrap()
    }

    fn member(name: &str, ty: TypeId, bit_offset: u32) -> Member {
        let name = (!name.is_empty()).then(|| name.into());
        Member { name, ty, bit_offset, bit_size: None }
    }

    #[test]
    fn declarations() {
        let mut types = Types::new();
        let int = Kind::Int { bytes: 4, encoding: Encoding::Signed, bits: 32, bit_offset: 0 };
        let int = push(&mut types, "int", int);
        let constant = push(&mut types, "", Kind::Const(int));
        let pointer = push(&mut types, "", Kind::Pointer(constant));
        let fixed = push(&mut types, "", Kind::Const(pointer));
        let array = push(&mut types, "", Kind::Array { element: fixed, count: 3 });
        let to_array = push(&mut types, "", Kind::Pointer(array));
        let proto = push(
            &mut types,
            "",
            Kind::FunctionProto {
                returns: int,
                parameters: vec![Parameter { name: Some("x".into()), ty: pointer }],
                variadic: true,
            },
        );
        let callback = push(&mut types, "", Kind::Pointer(proto));
        let inner = Composite { bytes: 4, members: vec![member("v", int, 0)] };
        let inner = push(&mut types, "", Kind::Union(inner));
        let mut bits = member("flags", int, 67);
        bits.bit_size = Some(5);
        let members = vec![
            member("pid", int, 0),
            member("", inner, 32),
            bits,
            member("table", to_array, 128),
            member("call", callback, 192),
        ];
        let event = push(&mut types, "event", Kind::Struct(Composite { bytes: 32, members }));
        let alias = push(&mut types, "event_t", Kind::Typedef(event));

        assert_eq!(types.c_name(array), "const int *const [3]");
        assert_eq!(types.c_name(pointer), "const int *");
        assert_eq!(types.c_declaration(alias), "typedef struct event event_t;");
        assert_eq!(
            types.c_declaration(event),
            "struct event {\n\
             \tint pid; /* 0 */\n\
             \tunion {\n\t\tint v; /* 0 */\n\t} /* 4 bytes */; /* 4 */\n\
             \tint flags: 5; /* 8, bit 3 */\n\
             \tconst int *const (*table)[3]; /* 16 */\n\
             \tint (*call)(const int *x, ...); /* 24 */\n\
             } /* 32 bytes */;"
        );
    }

    #[test]
    fn circles_and_odd_names() {
        let mut types = Types::new();
        let body = Composite { bytes: 8, members: vec![member("", TypeId(1), 0); 3] };
        push(&mut types, "", Kind::Struct(body));
        let own = push(&mut types, "", Kind::Pointer(TypeId(2)));
        let escape = push(&mut types, "\u{1b}[31m x", Kind::Forward { union: false });
        assert!(types.c_declaration(TypeId(1)).len() <= C_DEFINITION_BYTES + CUT.len_utf8());
        assert!(types.c_name(own).len() < 100);
        assert_eq!(types.c_name(escape), r"struct \033[31m\040x");
    }

    #[test]
    fn packed_or_too_large_to_tell() {
        let mut types = Types::new();
        let int = Kind::Int { bytes: 4, encoding: Encoding::Signed, bits: 32, bit_offset: 0 };
        let mut inner = push(&mut types, "int", int);
        let packed = Composite { bytes: 5, members: vec![member("a", inner, 8)] };
        let packed = push(&mut types, "packed", Kind::Struct(packed));
        assert!(types.c_declaration(packed).ends_with("} /* 5 bytes */ __attribute__((packed));"));
        let before = types.steps.left();
        for level in 1..9 {
            let body = Composite { bytes: 4, members: vec![member("m", inner, 0); 64] };
            inner = push(&mut types, "level", Kind::Struct(body));
            let unknown = types.c_declaration(inner).ends_with("} /* 4 bytes */ /* … */;");
            assert_eq!(unknown, level > 2, "64 to the power of {level}");
        }
        assert!(before - types.steps.left() < 10 * packed::MAX_ALIGNED);
    }

    /// A pointer to a function whose parameters are such pointers.
    fn endless(types: &mut Types, parameters: usize) -> TypeId {
        let next = u32::try_from(types.len()).unwrap();
        let parameter = Parameter { name: None, ty: TypeId(next) };
        let pointer = push(types, "", Kind::Pointer(TypeId(next + 1)));
        let parameters = vec![parameter; parameters];
        push(types, "", Kind::FunctionProto { returns: pointer, parameters, variadic: false });
        pointer
    }

    #[test]
    fn a_cut_is_marked_where_it_is() {
        let mut types = Types::new();
        let id = endless(&mut types, 64);
        for _ in 0..3 {
            let text = types.c_name(id);
            assert!(text.len() <= C_NAME_BYTES * 9 / 8, "{}", text.len());
            assert!(text.contains(CUT), "{text}");
        }
        assert!(!types.is_c_cut(), "the others are whole");
    }

    #[test]
    fn all_texts_together_have_a_bound() {
        let mut types = Types::new();
        let id = endless(&mut types, 64);
        let mut bytes = 0;
        for _ in 0..2 * C_BYTES / C_NAME_BYTES {
            bytes += types.c_name(id).len();
        }
        assert!(types.is_c_cut());
        assert!(bytes <= C_BYTES * 9 / 8, "{bytes}");
        assert_eq!(types.c_name(TypeId::VOID), "…", "none is taken for a whole one");
    }
}
