//! `--set VAR=VALUE`: other initial values for global variables, by their types.

use crate::bpfrun::list::list;
use crate::bpfrun::run::literal::{encode, member};
use crate::elf::global::Global;
use crate::elf::object::Object;

/// Bytes to be written into the initial value of a data section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Name of the section, such as `.rodata`
    pub section: String,
    /// Offset in the section, in bytes
    pub offset: usize,
    /// What
    pub bytes: Vec<u8>,
}

/// The bytes for an assignment. The error is one line.
pub fn patch(object: &Object, path: &str, value: &str) -> Result<Patch, String> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let global =
        object.globals.iter().find(|global| global.name == name && settable(object, global));
    let global = global.ok_or_else(|| no_variable(object, name))?;
    let types = object.btf.as_ref().map(|btf| &btf.types);
    let (types, ty) =
        types.zip(global.ty).ok_or_else(|| format!("{name}: its type is not known"))?;
    let (ty, within) = member(types, ty, rest).map_err(|error| format!("{path}: {error}"))?;
    let bytes = encode(types, ty, value).map_err(|error| format!("{path}: {error}"))?;
    if within + bytes.len() as u64 > global.size {
        return Err(format!("{path}: is beyond the end of {name}"));
    }
    let section = object.sections.get(global.section).map(|section| section.name.clone());
    let offset = usize::try_from(global.offset + within).unwrap_or(usize::MAX);
    Ok(Patch { section: section.unwrap_or_default(), offset, bytes })
}

pub(super) fn settable(object: &Object, global: &Global) -> bool {
    let section = object.sections.get(global.section).map_or("", |section| &section.name);
    let kinds = [".rodata", ".data", ".bss"];
    global.ty.is_some()
        && kinds.iter().any(|kind| {
            section.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

/// The variables that can be set, with their types in C.
pub fn variables(object: &Object) -> impl Iterator<Item = (&str, String)> {
    let types = object.btf.as_ref().map(|btf| &btf.types);
    let settable = object.globals.iter().filter(|global| settable(object, global));
    // The formats of bpf_printk() are variables too.
    let variables = settable.filter(|global| !global.name.contains("____fmt"));
    variables.filter_map(move |global| Some((global.name.as_str(), types?.c_name(global.ty?))))
}

fn no_variable(object: &Object, name: &str) -> String {
    let variables = variables(object).map(|(name, ty)| format!("{name} ({ty})"));
    match list(variables, ", ") {
        none if none.is_empty() => format!("no variable {name}: the object has none"),
        some => format!("no variable {name}: there are {some}"),
    }
}
