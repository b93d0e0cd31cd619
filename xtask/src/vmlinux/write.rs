//! Types as C, each behind those that it contains.

use std::collections::HashSet;
use std::fmt::Write as _;

use libbpf_rs::btf::BtfKind;
use libbpf_rs::btf::types::MemberAttr;

use super::kernel::Kernel;
use super::select::Selection;

const BEGIN: &str = "\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif
";

const END: &str = "
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
";

/// The header with these types.
pub(super) fn header(kernel: &Kernel, selection: &Selection<'_>) -> String {
    let mut writer = Writer {
        kernel,
        selection,
        out: BEGIN.to_owned(),
        done: HashSet::new(),
        declared: HashSet::new(),
        words: HashSet::new(),
    };
    // Enums without names last: those that members and typedefs contain are written there.
    let is_named = |id: &u32| kernel.name(*id).is_some();
    for id in selection.kept().filter(is_named) {
        writer.define(id);
    }
    for id in selection.kept().filter(|id| !is_named(id)) {
        writer.define(id);
    }
    writer.out.push_str(END);
    writer.out
}

struct Writer<'a> {
    kernel: &'a Kernel,
    selection: &'a Selection<'a>,
    out: String,
    /// Types that are written, or are being written
    done: HashSet<u32>,
    /// `struct NAME` that is declared or defined
    declared: HashSet<String>,
    /// Names of typedefs and of values of enums, which are in one namespace
    words: HashSet<String>,
}

impl Writer<'_> {
    /// Writes a type with a name, or an enum, and first what it needs.
    fn define(&mut self, id: u32) {
        let id = self.kernel.canonical(id);
        if !self.done.insert(id) {
            return;
        }
        match self.kernel.at(id).kind() {
            BtfKind::Typedef => self.define_typedef(id),
            BtfKind::Enum | BtfKind::Enum64 => self.define_enum(id),
            _ => self.define_struct(id),
        }
    }

    fn define_typedef(&mut self, id: u32) {
        let name = self.kernel.name(id).unwrap_or_default();
        // clang has these.
        if name.starts_with("__builtin_") || !self.words.insert(name.to_owned()) {
            return;
        }
        let target = self.kernel.target(id);
        self.need(target, false);
        let text = self.declaration(target, name, 0);
        let _ = writeln!(self.out, "\ntypedef {text};");
    }

    fn define_enum(&mut self, id: u32) {
        if let Some(body) = self.enum_body(id, 0) {
            let name = self.tag(id).map(|tag| format!("{tag} ")).unwrap_or("enum ".to_owned());
            let _ = writeln!(self.out, "\n{name}{body};");
        }
    }

    fn define_struct(&mut self, id: u32) {
        let Some(tag) = self.tag(id) else { return };
        self.need_members(id);
        self.declared.insert(tag.clone());
        let body = self.struct_body(id, 0);
        let _ = writeln!(self.out, "\n{tag} {body};");
    }

    /// Writes what must come before a declaration with this type. `by_value`: with its contents.
    fn need(&mut self, id: u32, by_value: bool) {
        let kernel = self.kernel;
        let target = kernel.target(id);
        match kernel.at(id).kind() {
            BtfKind::Ptr => self.need(target, false),
            BtfKind::Const | BtfKind::Volatile | BtfKind::Restrict | BtfKind::TypeTag => {
                self.need(target, by_value);
            }
            BtfKind::Array => {
                if let Some((element, _)) = kernel.array(id) {
                    self.need(element, true);
                }
            }
            BtfKind::FuncProto => {
                self.need(target, false);
                for argument in kernel.function(id).map(|(_, all)| all).unwrap_or_default() {
                    self.need(argument, false);
                }
            }
            BtfKind::Typedef => {
                self.define(id);
                if by_value {
                    self.need(kernel.target(kernel.canonical(id)), true);
                }
            }
            BtfKind::Enum | BtfKind::Enum64 if kernel.name(id).is_some() => self.define(id),
            BtfKind::Struct | BtfKind::Union if kernel.name(id).is_none() => self.need_members(id),
            BtfKind::Struct | BtfKind::Union if by_value => self.define(id),
            BtfKind::Struct | BtfKind::Union | BtfKind::Fwd => self.announce(id),
            _ => {}
        }
    }

    fn need_members(&mut self, id: u32) {
        let selection = self.selection;
        for member in selection.members(id) {
            let ty = u32::from(member.ty);
            if !self.is_function_pointer(ty) {
                self.need(ty, true);
            }
        }
    }

    /// `struct NAME;`
    fn announce(&mut self, id: u32) {
        if let Some(tag) = self.tag(id) {
            if self.declared.insert(tag.clone()) {
                let _ = writeln!(self.out, "\n{tag};");
            }
        }
    }

    /// `struct NAME`
    fn tag(&self, id: u32) -> Option<String> {
        let (keyword, name) = (self.kernel.keyword(id), self.kernel.name(id)?);
        // C has one namespace for all of them.
        let suffix =
            if self.kernel.is_eclipsed(id) { format!("___{keyword}") } else { String::new() };
        Some(format!("{keyword} {name}{suffix}"))
    }

    fn struct_body(&mut self, id: u32, depth: usize) -> String {
        let indent = "\t".repeat(depth + 1);
        let mut body = "{\n".to_owned();
        let selection = self.selection;
        for member in selection.members(id) {
            let name = member.name.and_then(|name| name.to_str()).unwrap_or_default();
            let ty = u32::from(member.ty);
            let text = if self.is_function_pointer(ty) {
                format!("void (*{name})(void)")
            } else {
                self.declaration(ty, name, depth + 1)
            };
            let bits = match member.attr {
                MemberAttr::BitField { size, .. } => format!(" : {size}"),
                MemberAttr::Normal { .. } => String::new(),
            };
            let _ = writeln!(body, "{indent}{text}{bits};");
        }
        let _ = write!(body, "{}}}", "\t".repeat(depth));
        body
    }

    /// `None`: each of its values is one of another enum, too.
    fn enum_body(&mut self, id: u32, depth: usize) -> Option<String> {
        let indent = "\t".repeat(depth + 1);
        let mut found = self.selection.values(id);
        // It must have one.
        if found.values.is_empty() {
            found.values.extend(self.kernel.values(id)?.values.first());
        }
        found.values.retain(|(name, _)| self.words.insert((*name).to_owned()));
        let mut body = "{\n".to_owned();
        for (name, value) in &found.values {
            let suffix = if *value > i128::from(u32::MAX) { "ULL" } else { "" };
            let _ = writeln!(body, "{indent}{name} = {value}{suffix},");
        }
        let _ = write!(body, "{}}}", "\t".repeat(depth));
        if found.bytes == 1 {
            body.push_str(" __attribute__((mode(byte)))");
        }
        (!found.values.is_empty()).then_some(body)
    }

    /// A pointer to a function as a member: of no use for programs, but for whether it is NULL.
    fn is_function_pointer(&self, id: u32) -> bool {
        let kernel = self.kernel;
        kernel.at(id).kind() == BtfKind::Ptr
            && self.unqualified(kernel.target(id)) == BtfKind::FuncProto
    }

    /// A declaration of `name` with this type, without the semicolon.
    fn declaration(&mut self, id: u32, name: &str, depth: usize) -> String {
        let kernel = self.kernel;
        let target = kernel.target(id);
        let with = |ty: &str| if name.is_empty() { ty.to_owned() } else { format!("{ty} {name}") };
        match kernel.at(id).kind() {
            BtfKind::Void => with("void"),
            BtfKind::Ptr => {
                let is_list =
                    matches!(self.unqualified(target), BtfKind::Array | BtfKind::FuncProto);
                let name = if is_list { format!("(*{name})") } else { format!("*{name}") };
                self.declaration(target, &name, depth)
            }
            kind @ (BtfKind::Const | BtfKind::Volatile | BtfKind::Restrict) => {
                let word = match kind {
                    BtfKind::Const => "const",
                    BtfKind::Volatile => "volatile",
                    _ => "restrict",
                };
                // A function that does not return is volatile.
                if self.unqualified(target) == BtfKind::FuncProto {
                    return self.declaration(target, name, depth);
                }
                if self.behind_tags(target) == BtfKind::Ptr {
                    return self.declaration(target, &format!("{word} {name}"), depth);
                }
                format!("{word} {}", self.declaration(target, name, depth))
            }
            BtfKind::Array => {
                let (element, count) = kernel.array(id).unwrap_or((0, 0));
                self.declaration(element, &format!("{name}[{count}]"), depth)
            }
            BtfKind::FuncProto => {
                let (result, arguments) = kernel.function(id).unwrap_or_default();
                let (last, _) = arguments.split_last().unwrap_or((&0, &[]));
                let mut list: Vec<_> = arguments
                    .iter()
                    .map(|&argument| self.declaration(argument, "", depth))
                    .collect();
                if *last == 0 && !list.is_empty() {
                    list.pop();
                    list.push("...".to_owned());
                }
                let list = if list.is_empty() { "void".to_owned() } else { list.join(", ") };
                self.declaration(result, &format!("{name}({list})"), depth)
            }
            BtfKind::TypeTag => self.declaration(target, name, depth),
            BtfKind::Struct | BtfKind::Union if kernel.name(id).is_none() => {
                let body = self.struct_body(id, depth);
                with(&format!("{} {body}", kernel.keyword(id)))
            }
            BtfKind::Enum | BtfKind::Enum64 if kernel.name(id).is_none() => {
                self.done.insert(id);
                // It must stay an enum: libbpf compares the kinds of members.
                let body = self.enum_body(id, depth);
                let body = body.unwrap_or_else(|| format!("{{ __values_of_{id}_are_above }}"));
                with(&format!("enum {body}"))
            }
            BtfKind::Struct | BtfKind::Union | BtfKind::Enum | BtfKind::Enum64 | BtfKind::Fwd => {
                with(&self.tag(id).unwrap_or_default())
            }
            _ => with(plain(kernel.name(id).unwrap_or("int"))),
        }
    }

    /// The kind of a type without its tags and qualifiers.
    fn unqualified(&self, mut id: u32) -> BtfKind {
        while matches!(
            self.kernel.at(id).kind(),
            BtfKind::TypeTag | BtfKind::Const | BtfKind::Volatile | BtfKind::Restrict
        ) {
            id = self.kernel.target(id);
        }
        self.kernel.at(id).kind()
    }

    /// The kind of a type without its tags, which C does not show.
    fn behind_tags(&self, mut id: u32) -> BtfKind {
        while self.kernel.at(id).kind() == BtfKind::TypeTag {
            id = self.kernel.target(id);
        }
        self.kernel.at(id).kind()
    }
}

/// A plain type's name. gcc for arm64 has some that clang for BPF does not.
fn plain(name: &str) -> &str {
    match name {
        "__Poly8_t" => "unsigned char",
        "__Poly16_t" => "unsigned short",
        "__Poly64_t" => "unsigned long long",
        "__Poly128_t" => "unsigned __int128",
        name => name,
    }
}
