//! Generates the Rust side of compiled BPF objects: a module for the skeleton of each, and traits for
//! the structs that `src/bpf` defines, from the BTF of the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use libbpf_rs::btf::BtfType;
use libbpf_rs::btf::types::{Array, Enum, Int, IntEncoding, MemberAttr, Struct};
use libbpf_rs::{Btf, HasSize as _};

/// Generated code is not ours to lint.
const ALLOWED: &str = "\
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
#[allow(clippy::pedantic, clippy::restriction)]
#[allow(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]";

/// Names of the structs and enums that a C source defines, without flavours of the kernel's
/// (`NAME___FLAVOUR`).
pub(crate) fn defined_in(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let (kind, name) = line.strip_suffix(" {")?.split_once(' ')?;
        (matches!(kind, "struct" | "enum") && !name.contains("___")).then_some(name)
    })
}

/// The generated text, object by object.
#[derive(Default)]
pub(crate) struct Skeletons {
    text: String,
    /// For each type the first object that has it, and its size; `None`: sizes differ.
    origins: BTreeMap<String, Option<(String, usize)>>,
}

impl Skeletons {
    /// Adds an object. `own`: what [`defined_in`] finds in all sources; `relocated`: the names of the
    /// types that its CO-RE relocations begin with.
    ///
    /// # Errors
    ///
    /// A struct has padding, whose bytes would be arbitrary.
    pub(crate) fn add(
        &mut self,
        object: &str,
        btf: &Btf<'_>,
        own: &BTreeSet<String>,
        relocated: &[String],
    ) -> Result<()> {
        let file = format!("concat!(env!(\"OUT_DIR\"), \"/{object}.skel.rs\")");
        writeln!(self.text, "{ALLOWED}\npub mod {object} {{\n    include!({file});\n")?;
        let own_name = |ty: &BtfType<'_>| own.get(ty.name()?.to_str()?);
        for found in btf.type_by_kind::<Enum<'_>>() {
            if let Some(name) = own_name(&found) {
                self.note_origin(object, name, found.size());
            }
        }
        for found in btf.type_by_kind::<Struct<'_>>() {
            let Some(name) = own_name(&found) else { continue };
            let Some(bytes) = struct_bytes(btf, &found)? else { continue };
            self.note_origin(object, name, bytes);
            writeln!(self.text, "    plain!({name}, {bytes});")?;
            if begins_with_task_id(btf, &found) {
                writeln!(self.text, "    impl super::Event for types::{name} {{}}")?;
            }
            if name == "task_id" && !self.is_origin(object, name) {
                let members = found.iter().filter_map(|member| member.name?.to_str());
                let members: Vec<_> = members.collect();
                writeln!(self.text, "    copied_task_id!({});", members.join(", "))?;
            }
        }
        let builder = format!("{}SkelBuilder", camel_case(object));
        writeln!(self.text, "    impl super::Relocated for {builder} {{")?;
        writeln!(
            self.text,
            "        const TYPES: &'static [&'static str] = &{relocated:?};\n    }}"
        )?;
        writeln!(self.text, "}}\n")?;
        Ok(())
    }

    /// Notes the first object that has a type.
    fn note_origin(&mut self, object: &str, name: &str, bytes: usize) {
        let origin = self.origins.entry(name.to_owned());
        let origin = origin.or_insert_with(|| Some((object.to_owned(), bytes)));
        origin.take_if(|(_, size)| *size != bytes);
    }

    fn is_origin(&self, object: &str, name: &str) -> bool {
        matches!(self.origins.get(name), Some(Some((origin, _))) if origin == object)
    }

    /// The whole text. A type has a name without its object, unless the objects disagree.
    pub(crate) fn finish(mut self) -> Result<String> {
        for (name, origin) in self.origins {
            if let Some((object, _)) = origin {
                writeln!(self.text, "pub use {object}::types::{name};")?;
            }
        }
        Ok(self.text)
    }
}

/// `tcpconnect` → `Tcpconnect`, as libbpf-cargo does.
fn camel_case(name: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    name.split('_').map(capital).collect()
}

fn begins_with_task_id(btf: &Btf<'_>, found: &Struct<'_>) -> bool {
    found.get(0).is_some_and(|first| {
        let of_type = btf.type_by_id::<Struct<'_>>(first.ty).and_then(|found| found.name());
        first.name.is_some_and(|name| name == "id") && of_type.is_some_and(|name| name == "task_id")
    })
}

/// Bytes of a type, if any bytes are a value of it: integers, arrays and structs of them.
fn plain_bytes(btf: &Btf<'_>, ty: BtfType<'_>) -> Result<Option<usize>> {
    let ty = ty.skip_mods_and_typedefs();
    Ok(if let Ok(int) = Int::try_from(ty) {
        (!matches!(int.encoding, IntEncoding::Bool)).then(|| int.size())
    } else if let Ok(names) = Enum::try_from(ty) {
        Some(names.size()) // in Rust a number too, with constants
    } else if let Ok(array) = Array::try_from(ty) {
        plain_bytes(btf, array.contained_type())?.map(|bytes| bytes * array.capacity())
    } else if let Ok(inner) = Struct::try_from(ty) {
        struct_bytes(btf, &inner)?
    } else {
        None
    })
}

/// The same for a struct.
///
/// # Errors
///
/// It has padding.
fn struct_bytes(btf: &Btf<'_>, found: &Struct<'_>) -> Result<Option<usize>> {
    let mut places = Vec::new();
    for member in found.iter() {
        let ty: BtfType<'_> = btf.type_by_id(member.ty).context("a member without a type")?;
        let MemberAttr::Normal { offset } = member.attr else { return Ok(None) };
        let Some(bytes) = plain_bytes(btf, ty)? else { return Ok(None) };
        places.push((offset as usize / 8, bytes));
    }
    places.push((found.size(), 0));
    let mut end = 0;
    for (start, bytes) in places {
        let name = found.name().unwrap_or_default().to_string_lossy();
        ensure!(start == end, "struct {name} has {} bytes of padding at {end}", start - end);
        end = start + bytes;
    }
    Ok(Some(end))
}
