//! Which types, and which of their members, programs use.

use std::collections::BTreeSet;

use libbpf_rs::btf::BtfKind;
use libbpf_rs::btf::types::CompositeMember;

use super::kernel::{Kernel, Values};
use super::sources::Names;

/// Enums that stay whole, for `build.rs` makes tables of them: by their names or their first value.
pub(super) const WHOLE: [&str; 3] = ["bpf_func_id", "bpf_core_relo_kind", "BPF_F_NO_PREALLOC"];

/// What is used.
pub(super) struct Selection<'a> {
    kernel: &'a Kernel,
    /// `None`: everything
    names: Option<&'a Names>,
    /// Types with names, and enums
    kept: BTreeSet<u32>,
    /// Structs with all of their members
    whole: BTreeSet<u32>,
}

impl<'a> Selection<'a> {
    /// Everything.
    pub(super) fn all(kernel: &'a Kernel) -> Self {
        let mut all = Self { kernel, names: None, kept: BTreeSet::new(), whole: BTreeSet::new() };
        all.kept = kernel.ids().filter(|&id| all.is_root(id)).collect();
        all
    }

    /// The types that these names mean, and what their members are.
    pub(super) fn of(kernel: &'a Kernel, names: &'a Names) -> Self {
        let (kept, whole) = (BTreeSet::new(), BTreeSet::new());
        let mut selection = Self { kernel, names: Some(names), kept, whole };
        for id in kernel.ids().filter(|&id| selection.is_root(id)).collect::<Vec<_>>() {
            let name = kernel.name(id).unwrap_or_default();
            let is_struct = matches!(kernel.at(id).kind(), BtfKind::Struct | BtfKind::Union);
            selection.keep(id, is_struct && names.whole.contains(name));
        }
        selection
    }

    /// In the order of BTF.
    pub(super) fn kept(&self) -> impl Iterator<Item = u32> + '_ {
        self.kept.iter().copied()
    }

    fn is_root(&self, id: u32) -> bool {
        let kernel = self.kernel;
        let name = kernel.name(id);
        match kernel.at(id).kind() {
            BtfKind::Enum | BtfKind::Enum64 => {
                let is_named = name.is_some_and(|name| self.uses(name));
                kernel.canonical(id) == id
                    && (is_named || self.is_whole_enum(id) || !self.values(id).values.is_empty())
            }
            BtfKind::Typedef | BtfKind::Struct | BtfKind::Union => {
                name.is_some_and(|name| self.uses(name)) && kernel.canonical(id) == id
            }
            _ => false,
        }
    }

    fn uses(&self, word: &str) -> bool {
        self.names.is_none_or(|names| names.has(word))
    }

    fn is_whole_enum(&self, id: u32) -> bool {
        let first = || Some(self.kernel.values(id)?.values.first()?.0);
        self.names.is_none()
            || self.kernel.name(id).or_else(first).is_some_and(|name| WHOLE.contains(&name))
    }

    /// The values of an enum that are used.
    pub(super) fn values(&self, id: u32) -> Values<'_> {
        let none = Values { bytes: 4, values: Vec::new() };
        let mut all = self.kernel.values(id).unwrap_or(none);
        if !self.is_whole_enum(id) {
            all.values.retain(|(name, _)| self.names.is_none_or(|names| names.has_value(name)));
        }
        all
    }

    /// The members of a struct, with a name or not, that are used.
    pub(super) fn members(&self, id: u32) -> Vec<CompositeMember<'_>> {
        let Some(composite) = self.kernel.composite(id) else { return Vec::new() };
        let members = (0..composite.len()).filter_map(|at| composite.get(at));
        members.filter(|member| self.whole.contains(&id) || self.uses_member(member)).collect()
    }

    fn uses_member(&self, member: &CompositeMember<'_>) -> bool {
        let id = u32::from(member.ty);
        let is_nested = self.kernel.composite(id).is_some() && self.kernel.name(id).is_none();
        let name = member.name.and_then(|name| name.to_str());
        if name.is_some_and(|name| !self.uses(name)) {
            return false;
        }
        // Nested ones have members that are used, or are not used themselves. One without a name
        // may be a struct that has one, which then counts as its own.
        !is_nested || self.names.is_none() || !self.members(id).is_empty()
    }

    fn keep(&mut self, id: u32, whole: bool) {
        let id = self.kernel.canonical(id);
        let is_new = self.kept.insert(id) | (whole && self.whole.insert(id));
        if is_new {
            self.keep_members(id, whole);
        }
    }

    fn keep_members(&mut self, id: u32, whole: bool) {
        if self.kernel.at(id).kind() == BtfKind::Typedef {
            return self.keep_used(self.kernel.target(id), whole);
        }
        let members: Vec<_> = self.members(id).iter().map(|member| u32::from(member.ty)).collect();
        for member in members {
            self.keep_used(member, whole);
        }
    }

    /// What a type is made of. `whole`: in a struct whose size counts.
    fn keep_used(&mut self, id: u32, whole: bool) {
        let kernel = self.kernel;
        match kernel.at(id).kind() {
            BtfKind::Ptr => self.keep_used(kernel.target(id), false),
            BtfKind::Const | BtfKind::Volatile | BtfKind::Restrict | BtfKind::TypeTag => {
                self.keep_used(kernel.target(id), whole);
            }
            BtfKind::Array => {
                // Code that has an index multiplies it by the size of an element.
                if let Some((element, _)) = kernel.array(id) {
                    self.keep_used(element, true);
                }
            }
            BtfKind::Struct | BtfKind::Union if kernel.name(id).is_none() => {
                if whole {
                    self.whole.insert(id);
                }
                self.keep_members(id, whole);
            }
            BtfKind::Enum | BtfKind::Enum64 if kernel.name(id).is_none() => {}
            BtfKind::Typedef
            | BtfKind::Struct
            | BtfKind::Union
            | BtfKind::Enum
            | BtfKind::Enum64 => self.keep(id, whole),
            _ => {}
        }
    }
}
