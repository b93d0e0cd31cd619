//! Types as C.

use std::fmt::Write as _;

use crate::output::escape::{push_cell, push_text};

use super::types::{Composite, Kind, TypeId, Types};

/// The most structs in structs, or pointers to pointers: circles end here.
const MAX_DEPTH: usize = 32;
/// The most characters of a declaration: honest ones are far shorter.
const MAX_TEXT: usize = 1 << 18;

impl Types {
    /// The C name of a type: `const struct event *`. A struct without a name is `struct {…}`.
    pub fn c_name(&self, id: TypeId) -> String {
        let mut text = String::new();
        Writer { types: self, out: &mut text, expand: false }.declare(id, String::new(), 0);
        text
    }

    /// A type's definition in C, with its size and the members' offsets as comments; named types of
    /// members are not defined with it. A type without a body is declared by its name.
    pub fn c_declaration(&self, id: TypeId) -> String {
        let mut text = String::new();
        let mut writer = Writer { types: self, out: &mut text, expand: true };
        match self.kind(id) {
            Kind::Struct(_) | Kind::Union(_) | Kind::Enum { .. } => {
                writer.definition(id, 0);
                text.push(';');
            }
            Kind::Typedef(to) => {
                let name = printable(self.name(id).unwrap_or("_"));
                writer.out.push_str("typedef ");
                writer.declare(*to, name, 0);
                text.push(';');
            }
            Kind::Var { ty, .. } => {
                let name = printable(self.name(id).unwrap_or("_"));
                writer.declare(*ty, name, 0);
                text.push(';');
            }
            Kind::Function { proto, .. } => {
                let name = printable(self.name(id).unwrap_or("_"));
                writer.declare(*proto, name, 0);
                text.push(';');
            }
            _ => text = self.c_name(id),
        }
        text
    }
}

/// The most members to look at for the alignment of one struct, in all levels.
const MAX_ALIGNED: usize = 1024;

impl Types {
    /// Whether a compiler would lay out a struct differently without `packed`: a member is not where
    /// its alignment puts it, or the size is not a multiple of the largest alignment.
    fn is_packed(&self, body: &Composite) -> bool {
        let mut left = MAX_ALIGNED;
        let (packed, _) = self.layout(body, &mut left);
        packed && left > 0
    }

    /// Whether a struct is packed, and its alignment in bytes. `left`: members to look at.
    fn layout(&self, body: &Composite, left: &mut usize) -> (bool, u64) {
        let (mut packed, mut largest) = (false, 1);
        for member in &body.members {
            if *left == 0 {
                break;
            }
            *left -= 1;
            let align = self.alignment(member.ty, left);
            largest = largest.max(align);
            packed |= member.bit_size.is_none() && u64::from(member.bit_offset / 8) % align != 0;
        }
        packed |= body.bytes % largest != 0;
        (packed, if packed { 1 } else { largest })
    }

    /// `_Alignof` in BPF.
    fn alignment(&self, mut ty: TypeId, left: &mut usize) -> u64 {
        for _ in 0..MAX_DEPTH {
            match self.resolved(ty) {
                Kind::Array { element, .. } => ty = *element,
                Kind::Struct(body) | Kind::Union(body) => return self.layout(body, left).1,
                _ => return self.size(ty).filter(|size| size.is_power_of_two()).unwrap_or(1),
            }
        }
        1
    }
}

/// A name out of a file, which may be any bytes.
fn printable(name: &str) -> String {
    let mut out = String::new();
    push_cell(&mut out, name.as_bytes());
    out
}

struct Writer<'a> {
    types: &'a Types,
    out: &'a mut String,
    /// Nameless types in full
    expand: bool,
}

impl Writer<'_> {
    /// `TYPE NAME`, with the name in its place amid stars and brackets.
    fn declare(&mut self, mut id: TypeId, mut name: String, depth: usize) {
        let mut qualifiers = String::new();
        for _ in 0..MAX_DEPTH {
            if name.len() > MAX_TEXT {
                break;
            }
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
                    let mut list = Vec::new();
                    for parameter in parameters.iter().take(64) {
                        let mut text = String::new();
                        let inner = parameter.name.as_deref().map(printable).unwrap_or_default();
                        let expand = false;
                        if depth < MAX_DEPTH {
                            Writer { types: self.types, out: &mut text, expand }.declare(
                                parameter.ty,
                                inner,
                                depth + 8,
                            );
                        }
                        list.push(text);
                    }
                    if *variadic {
                        list.push("...".to_owned());
                    }
                    if list.is_empty() {
                        list.push("void".to_owned());
                    }
                    _ = write!(name, "({})", list.join(", "));
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
        self.out.push_str(&qualifiers);
        self.base(id, depth);
        if !name.is_empty() {
            self.out.push(' ');
            self.out.push_str(&name);
        }
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
        let name = self.types.name(id).map(printable);
        let keyword = match self.types.kind(id) {
            Kind::Struct(_) | Kind::Forward { union: false } => "struct ",
            Kind::Union(_) | Kind::Forward { union: true } => "union ",
            Kind::Enum { .. } => "enum ",
            Kind::Void => return self.out.push_str("void"),
            _ => "",
        };
        match name {
            // `unsigned long` is one name.
            Some(_) if matches!(self.types.kind(id), Kind::Int { .. } | Kind::Float { .. }) => {
                push_text(self.out, self.types.name(id).unwrap_or_default().as_bytes());
            }
            Some(name) => {
                self.out.push_str(keyword);
                self.out.push_str(&name);
            }
            None if self.expand && depth < MAX_DEPTH && self.out.len() < MAX_TEXT => {
                self.definition(id, depth);
            }
            None => {
                self.out.push_str(keyword);
                self.out.push_str("{…}");
            }
        }
    }

    /// A struct, union or enum with its body.
    fn definition(&mut self, id: TypeId, depth: usize) {
        let name = self.types.name(id).map(printable);
        let mut begin = |keyword: &str| {
            self.out.push_str(keyword);
            if let Some(name) = &name {
                self.out.push(' ');
                self.out.push_str(name);
            }
            self.out.push_str(" {\n");
        };
        match self.types.kind(id) {
            Kind::Struct(body) => {
                begin("struct");
                self.members(body, depth);
                if self.types.is_packed(body) {
                    self.out.push_str(" __attribute__((packed))");
                }
            }
            Kind::Union(body) => {
                begin("union");
                self.members(body, depth);
            }
            Kind::Enum { values, .. } => {
                begin("enum");
                for (name, value) in values {
                    if self.out.len() > MAX_TEXT {
                        self.out.push_str("…\n");
                        break;
                    }
                    self.indent(depth + 1);
                    _ = writeln!(self.out, "{} = {value},", printable(name));
                }
                self.indent(depth);
                self.out.push('}');
            }
            _ => self.out.push_str("{…}"),
        }
    }

    fn members(&mut self, body: &Composite, depth: usize) {
        for member in &body.members {
            if self.out.len() > MAX_TEXT {
                self.out.push_str("…\n");
                break;
            }
            self.indent(depth + 1);
            let mut name = member.name.as_deref().map(printable).unwrap_or_default();
            if let Some(bits) = member.bit_size {
                _ = write!(name, ": {bits}");
            }
            self.declare(member.ty, name, depth + 1);
            match (member.bit_size, member.bit_offset) {
                (None, at) => _ = writeln!(self.out, "; /* {} */", at / 8),
                (Some(_), at) => _ = writeln!(self.out, "; /* {}, bit {} */", at / 8, at % 8),
            }
        }
        self.indent(depth);
        _ = write!(self.out, "}} /* {} bytes */", body.bytes);
    }

    fn indent(&mut self, depth: usize) {
        for _ in 0..depth {
            self.out.push('\t');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::{Encoding, Member, Parameter, Type};
    use super::*;

    fn push(types: &mut Types, name: &str, kind: Kind) -> TypeId {
        let name = (!name.is_empty()).then(|| name.to_owned());
        types.push(Type { name, kind }).unwrap()
    }

    fn member(name: &str, ty: TypeId, bit_offset: u32) -> Member {
        let name = (!name.is_empty()).then(|| name.to_owned());
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
        assert!(types.c_declaration(TypeId(1)).len() < 2 * MAX_TEXT);
        assert!(types.c_name(own).len() < 100);
        assert_eq!(types.c_name(escape), r"struct \033[31m\040x");
    }
}
