//! Candidates for the type of an event, and the choice, if only one fits.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use super::layout::{Extent, extent, is_exact, is_open};
use super::lines::Lines;
use super::source::is_raw;
use super::user::UserSchemas;
use super::{Found, Provenance, only_size, scalar, unknown};
use crate::elf::btf::Btf;
use crate::elf::code::Reference;
use crate::elf::dataflow::Emission;
use crate::elf::dwarf::{Dwarf, Variable};
use crate::elf::object::Object;
use crate::elf::types::{Kind, Name, TypeId, Types};

/// The only struct of the user's header that fits.
pub(super) fn by_header<'a>(
    user: &'a UserSchemas,
    sent: &Emission,
    lines: &Lines<'_>,
    doubts: &mut Vec<String>,
) -> Option<Found<'a>> {
    let mut fitting = Vec::new();
    for (types, name) in user.headers() {
        types.look_through()?;
        let of_size = types.iter().map(|(id, _)| id).filter(|&id| {
            matches!(types.kind(id), Kind::Struct(_))
                && types.name(id).is_some()
                && is_exact(types, id, sent)
                && lines.for_struct(types, id).is_some()
        });
        fitting.extend(of_size.map(|id| (types, id, name)));
    }
    // An object with debug information has the kernel's structs, too.
    if fitting.len() > 1 {
        fitting.retain(|&(types, ty, _)| !is_kernels(types, ty));
    }
    match fitting[..] {
        [(types, ty, name)] => {
            let how = Provenance::User(format!("the only struct of {name} that fits"));
            Some(Found { types: types.into(), ty: Some(ty), how, tail: false })
        }
        [] => None,
        [(_, _, file), ..] => {
            let names = fitting.iter().map(|&(types, ty, _)| types.c_name(ty));
            doubts.push(format!("several structs of {file} fit: {}", some_of(names)));
            None
        }
    }
}

/// The sent variable, among the variables of the sending functions.
pub(super) fn by_variables<'a>(
    object: &Object,
    dwarf: Option<&'a Dwarf>,
    sent: &Emission,
    lines: &Lines<'_>,
    doubts: &mut Vec<String>,
) -> Option<Found<'a>> {
    let dwarf = dwarf?;
    let types = &dwarf.types;
    let only = only_size(sent);
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut fitting: HashMap<TypeId, Option<Extent>> = HashMap::new();
    let pointee =
        |variable: &Variable| types.resolve(types.pointee(variable.ty).unwrap_or(variable.ty));
    // The kernel's argument to the program: every line that sends to a perf buffer names it.
    let program = object.programs.get(sent.program);
    let program = program.and_then(|program| object.functions.get(program.function));
    let own = program.and_then(|function| dwarf.functions.get(function.name.as_str()));
    let contexts: HashSet<TypeId> = own
        .into_iter()
        .flatten()
        .filter(|variable| variable.parameter && variable.inlined_from.is_none())
        .map(pointee)
        .collect();
    for &function in &sent.functions {
        let Some(function) = object.functions.get(function) else { continue };
        for variable in dwarf.functions.get(function.name.as_str()).into_iter().flatten() {
            if !types.steps.take(1) {
                return None;
            }
            let ty = pointee(variable);
            if variable.parameter && contexts.contains(&ty) {
                continue;
            }
            // The record may also be an array or a number.
            let is_struct = types.composite(ty).is_some();
            let Some(size) = types.size(ty).filter(|&size| is_struct || only == Some(size)) else {
                continue;
            };
            if size == 0 {
                continue;
            }
            // The kernel's own structs, which hold state for a program, are not events.
            let extent = *fitting.entry(ty).or_insert_with(|| {
                let kernels = types.name(ty).is_some_and(|name| name.starts_with("bpf_"));
                extent(types, ty, sent).filter(|_| !kernels)
            });
            let function = &function.name;
            candidates.extend(extent.map(|extent| Candidate {
                ty,
                size,
                extent,
                variable,
                function,
            }));
        }
    }
    let whole = |candidate: &Candidate<'_>| only.is_some() && candidate.extent == Extent::Whole;
    if candidates.iter().any(whole) {
        candidates.retain(whole);
        return decide(types, sent, lines, &candidates, false, doubts);
    }
    // Candidates for the fixed part of a longer record, or for one that ends early.
    let mut named = HashMap::new();
    candidates.retain(|candidate| {
        let ty = candidate.ty;
        let part = only.is_none() || candidate.extent == Extent::Cut || is_open(types, ty);
        // Many variables are of one type.
        part && *named.entry(ty).or_insert_with(|| lines.for_struct(types, ty).is_some())
    });
    decide(types, sent, lines, &candidates, true, doubts)
}

struct Candidate<'a> {
    ty: TypeId,
    size: u64,
    extent: Extent,
    variable: &'a Variable,
    function: &'a str,
}

/// The variable that source lines name where they send or fill the event or, without source lines,
/// the only variable. A `part` of an event must be named.
fn decide<'a>(
    types: &'a Types,
    sent: &Emission,
    lines: &Lines<'_>,
    candidates: &[Candidate<'_>],
    part: bool,
    doubts: &mut Vec<String>,
) -> Option<Found<'a>> {
    let mut votes: HashMap<&str, usize> = HashMap::new();
    let mut by_type: BTreeMap<(String, u64), (usize, &Candidate<'_>)> = BTreeMap::new();
    for candidate in candidates {
        let name = &*candidate.variable.name;
        if !types.steps.take(1) {
            return None;
        }
        let count = *votes.entry(name).or_insert_with(|| {
            _ = types.steps.take(lines.cost());
            lines.votes(name)
        });
        let key = (types.c_name(candidate.ty), candidate.size);
        match by_type.get_mut(&key) {
            Some(known) if known.0 >= count => {}
            _ => _ = by_type.insert(key, (count, candidate)),
        }
    }
    let most = by_type.values().map(|(count, _)| *count).max()?;
    let mut best: Vec<_> = by_type.iter().filter(|(_, (count, _))| *count == most).collect();
    if best.len() > 1 || (most == 0 && (part || !lines.is_empty())) {
        let structs = best.iter().filter(|(_, (_, c))| types.composite(c.ty).is_some());
        let names: Vec<_> = structs.map(|((name, _), _)| name.as_str()).collect();
        match names[..] {
            _ if part && most == 0 => {}
            [] => {}
            [name] if most == 0 => {
                doubts.push(format!("{name} fits, but no line of the source sends or fills it"));
            }
            _ => {
                let names = names.iter().map(|&name| name.to_owned());
                doubts.push(format!("several structs fit: {}", some_of(names)));
            }
        }
        return None;
    }
    let (_, (_, candidate)) = best.pop()?;
    let name = &candidate.variable.name;
    let how = match &candidate.variable.inlined_from {
        Some(from) => format!("the variable {name} of {from}, part of {}", candidate.function),
        None => format!("the variable {name} of {}", candidate.function),
    };
    match types.resolved(candidate.ty) {
        Kind::Struct(_) | Kind::Union(_) => Some(Found {
            types: types.into(),
            ty: Some(candidate.ty),
            how: Provenance::Dwarf(how),
            tail: part,
        }),
        Kind::Array { .. } => Some(unknown(format!("{how} is an array"))),
        _ => scalar(sent),
    }
}

/// The only struct of BTF that fits and is not the kernel's. Equal size alone means nothing: some
/// writes must be known, and source lines must support the struct.
pub(super) fn by_btf<'a>(
    object: &'a Object,
    no_events: &OnceCell<NoEvents>,
    sent: &Emission,
    lines: &Lines<'_>,
    doubts: &mut Vec<String>,
) -> Option<Found<'a>> {
    let types = &object.btf.as_ref()?.types;
    let sure = sent.writes.iter().filter(|write| write.sure);
    let written: BTreeSet<u64> = sure.map(|write| write.offset).collect();
    if written.len() < 2 {
        return None;
    }
    types.look_through()?;
    let NoEvents { accessed, definitions, kept } = no_events.get_or_init(|| NoEvents::new(object));
    let mut fitting: Vec<_> = types
        .iter()
        .map(|(id, _)| id)
        .filter(|id| {
            matches!(types.kind(*id), Kind::Struct(_))
                && is_exact(types, *id, sent)
                && !accessed.contains(id)
                && types.name(*id).is_some_and(|name| !name.starts_with("bpf_"))
                && !definitions.contains(id)
                && !is_raw(types, *id)
                && lines.for_struct(types, *id).is_some_and(|lines| lines > 0)
                // Data sent or copied from a map is recognised by that map.
                && (!kept.contains(id) || lines.make(types, *id))
        })
        .collect();
    fitting.retain(|&id| !is_kernels(types, id));
    match fitting[..] {
        [ty] => {
            let how = Provenance::Btf("the only struct that fits the writes".to_owned());
            Some(Found { types: types.into(), ty: Some(ty), how, tail: false })
        }
        [] => None,
        _ => {
            let names = fitting.iter().map(|&id| types.c_name(id));
            doubts.push(format!("several structs fit: {}", some_of(names)));
            None
        }
    }
}

/// Types in BTF that are not those of events. Looked up once, since programs can be large.
pub(super) struct NoEvents {
    /// The kernel's, by CO-RE
    accessed: HashSet<TypeId>,
    /// Definitions of maps, and keys
    definitions: HashSet<TypeId>,
    /// Values of maps
    kept: HashSet<TypeId>,
}

impl NoEvents {
    pub(super) fn new(object: &Object) -> Self {
        static NOTHING: LazyLock<Types> = LazyLock::new(Types::new);
        let types = object.btf.as_ref().map_or(&*NOTHING, |btf| &btf.types);
        let accesses = object.functions.iter().flat_map(|function| function.core.values());
        Self {
            accessed: accesses.map(|access| types.resolve(access.ty)).collect(),
            definitions: definitions(object, types),
            kept: kept(object, types),
        }
    }
}

/// Definitions of maps, and keys.
fn definitions(object: &Object, types: &Types) -> HashSet<TypeId> {
    let keys = object.maps.iter().filter_map(|map| map.key);
    let sections = types.by_name(".maps").filter_map(|id| match types.kind(id) {
        Kind::DataSection { variables, .. } => Some(variables),
        _ => None,
    });
    let definitions = sections.flatten().filter_map(|variable| match types.kind(variable.ty) {
        Kind::Var { ty, .. } => Some(*ty),
        _ => None,
    });
    keys.chain(definitions).map(|ty| types.resolve(ty)).collect()
}

/// Types that programs keep in maps other than event maps. A map that they do not use exists only
/// for its types.
fn kept(object: &Object, types: &Types) -> HashSet<TypeId> {
    let references = object.functions.iter().flat_map(|function| function.references.values());
    let used: BTreeSet<_> = references
        .filter_map(|reference| match reference {
            Reference::Map(map) => Some(*map),
            _ => None,
        })
        .collect();
    let used = used.into_iter().filter_map(|map| object.maps.get(map));
    let maps = used.flat_map(|map| [Some(map), map.inner.as_deref()]).flatten();
    let values = maps.filter(|map| !map.is_of_events()).filter_map(|map| map.value);
    values.map(|ty| types.resolve(ty)).collect()
}

/// Names for a message, as many as people read.
fn some_of(names: impl Iterator<Item = String>) -> String {
    const MANY: usize = 20;
    let mut names: Vec<_> = names.take(MANY + 1).collect();
    if let Some(last) = names.get_mut(MANY) {
        *last = "…".to_owned();
    }
    names.join(", ")
}

fn is_kernels(types: &Types, ty: TypeId) -> bool {
    types.name(ty).is_some_and(|name| KERNEL_STRUCTS.contains(name))
}

/// The names of the running kernel's structs, if its BTF is readable.
static KERNEL_STRUCTS: LazyLock<HashSet<Name>> = LazyLock::new(|| {
    let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else { return HashSet::new() };
    let Ok(btf) = Btf::parse(&data) else { return HashSet::new() };
    let structs = btf.types.iter().filter(|(_, ty)| matches!(ty.kind, Kind::Struct(_)));
    structs.filter_map(|(_, ty)| ty.name.clone()).collect()
});
