//! Structs that may be the type of an event, and which of them it is, if only one fits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use super::layout::{contains, names};
use super::source::{assigned, is_raw, line, lines, mentions};
use super::user::UserSchemas;
use super::{Found, Provenance, only_size};
use crate::elf::btf::Btf;
use crate::elf::dataflow::Emission;
use crate::elf::dwarf::{Dwarf, Variable};
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId, Types};

/// The only struct of the user's header that fits.
pub(super) fn by_header<'a>(user: &'a UserSchemas, sent: &Emission) -> Option<Found<'a>> {
    let size = only_size(sent)?;
    let mut fitting = Vec::new();
    for (types, name) in user.headers() {
        let of_size = types.iter().map(|(id, _)| id).filter(|&id| {
            matches!(types.kind(id), Kind::Struct(_))
                && types.name(id).is_some()
                && types.size(id) == Some(size)
                && contains(types, id, &sent.writes)
        });
        fitting.extend(of_size.map(|id| (types, id, name)));
    }
    match fitting[..] {
        [(types, ty, name)] => {
            let how = Provenance::User(format!("the only struct of {name} that fits"));
            Some(Found { types, ty: Some(ty), how, tail: false })
        }
        _ => None,
    }
}

/// The variable that is sent, among those of the functions that send it.
pub(super) fn by_variables<'a>(
    object: &Object,
    dwarf: Option<&'a Dwarf>,
    sent: &Emission,
    doubts: &mut Vec<String>,
) -> Option<Found<'a>> {
    let dwarf = dwarf?;
    let types = &dwarf.types;
    let only = only_size(sent);
    let least = sent.sizes.as_ref().and_then(|sizes| sizes.first().copied());
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut fitting: HashMap<TypeId, bool> = HashMap::new();
    for &function in &sent.functions {
        let Some(function) = object.functions.get(function) else { continue };
        for variable in dwarf.functions.get(&function.name).into_iter().flatten() {
            let ty = types.resolve(types.pointee(variable.ty).unwrap_or(variable.ty));
            let Some(size) = types.size(ty).filter(|_| types.composite(ty).is_some()) else {
                continue;
            };
            if size == 0 || least.is_some_and(|least| size > least) {
                continue;
            }
            // The kernel's own, in which it keeps what a program holds, are no events.
            let fits = *fitting.entry(ty).or_insert_with(|| {
                !types.name(ty).is_some_and(|name| name.starts_with("bpf_"))
                    && contains(types, ty, &sent.writes)
            });
            if fits {
                candidates.push(Candidate { ty, size, variable, function: &function.name });
            }
        }
    }
    let whole = |candidate: &Candidate<'_>| only == Some(candidate.size);
    if candidates.iter().any(whole) {
        candidates.retain(whole);
        return decide(object, types, sent, &candidates, false, doubts);
    }
    // The fixed part of something longer: only if the source names it where it is sent or
    // filled.
    decide(object, types, sent, &candidates, true, doubts)
}

#[derive(Clone)]
struct Candidate<'a> {
    ty: TypeId,
    size: u64,
    variable: &'a Variable,
    function: &'a str,
}

/// How often lines of the source name a variable.
struct Votes {
    sending: Vec<String>,
    writing: Vec<String>,
}

impl Votes {
    fn new(object: &Object, sent: &Emission) -> Self {
        let (sending, writing) = lines(object, sent);
        Self { sending, writing }
    }

    /// A line that sends counts more than any that only writes; one that sends `sizeof` it,
    /// more still.
    fn of(&self, name: &str) -> usize {
        let count = |lines: &[String]| lines.iter().filter(|line| mentions(line, name)).count();
        let sizes = [format!("sizeof({name})"), format!("sizeof(*{name})")];
        let sized = self.sending.iter().filter(|l| sizes.iter().any(|size| l.contains(size)));
        sized.count() * 1_000_000 + count(&self.sending) * 1000 + count(&self.writing)
    }
}

/// The type that all agree on, or of several the one that the source names most. A `part` of
/// an event has to be named.
fn decide<'a>(
    object: &Object,
    types: &'a Types,
    sent: &Emission,
    candidates: &[Candidate<'_>],
    part: bool,
    doubts: &mut Vec<String>,
) -> Option<Found<'a>> {
    let mut votes = None;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let (first, rest) = candidates.split_first()?;
    let agree = !part && rest.iter().all(|candidate| candidate.ty == first.ty);
    let mut by_type: BTreeMap<(String, u64), (usize, Candidate<'_>)> = BTreeMap::new();
    for candidate in candidates {
        let name = candidate.variable.name.as_str();
        let count = match agree {
            true => 1,
            false => *counts
                .entry(name)
                .or_insert_with(|| votes.get_or_insert_with(|| Votes::new(object, sent)).of(name)),
        };
        if part && count == 0 {
            continue;
        }
        let key = (types.c_name(candidate.ty), candidate.size);
        match by_type.get_mut(&key) {
            Some(known) if known.0 >= count => {}
            _ => _ = by_type.insert(key, (count, candidate.clone())),
        }
    }
    let most = by_type.values().map(|(count, _)| *count).max()?;
    let mut best: Vec<_> = by_type.iter().filter(|(_, (count, _))| *count == most).collect();
    if best.len() > 1 {
        let names: Vec<_> = best.iter().map(|((name, _), _)| name.as_str()).collect();
        doubts.push(format!("several structs fit: {}", names.join(", ")));
        return None;
    }
    let (_, (_, candidate)) = best.pop()?;
    let name = &candidate.variable.name;
    let how = match &candidate.variable.inlined_from {
        Some(from) => format!("the variable {name} of {from}, part of {}", candidate.function),
        None => format!("the variable {name} of {}", candidate.function),
    };
    Some(Found { types, ty: Some(candidate.ty), how: Provenance::Dwarf(how), tail: part })
}

/// The only struct of BTF that fits and is not the kernel's. Equal size alone says nothing:
/// something must be known of what is written.
pub(super) fn by_btf<'a>(
    object: &'a Object,
    sent: &Emission,
    doubts: &mut Vec<String>,
) -> Option<Found<'a>> {
    let types = &object.btf.as_ref()?.types;
    let size = only_size(sent)?;
    let says_something = sent.writes.iter().filter(|w| w.constants.as_deref() != Some(&[0]));
    let written: BTreeSet<u64> = says_something.map(|write| write.offset).collect();
    if written.len() < 2 {
        return None;
    }
    let accessed: HashSet<TypeId> = object
        .functions
        .iter()
        .flat_map(|function| function.core.values())
        .map(|access| types.resolve(access.ty))
        .collect();
    let not_events = not_events(object, types);
    let mut fitting: Vec<_> = types
        .iter()
        .map(|(id, _)| id)
        .filter(|id| {
            matches!(types.kind(*id), Kind::Struct(_))
                && types.size(*id) == Some(size)
                && !accessed.contains(id)
                && types.name(*id).is_some_and(|name| !name.starts_with("bpf_"))
                && !not_events.contains(id)
                && !is_raw(types, *id)
                && contains(types, *id, &sent.writes)
                && agrees(object, types, *id, sent)
        })
        .collect();
    fitting.retain(|&id| !types.name(id).is_some_and(|name| KERNEL_STRUCTS.contains(name)));
    match fitting[..] {
        [ty] => {
            let how = Provenance::Btf("the only struct that fits what is written".to_owned());
            Some(Found { types, ty: Some(ty), how, tail: false })
        }
        [] => None,
        _ => {
            let names: Vec<_> = fitting.iter().map(|&id| types.c_name(id)).collect();
            doubts.push(format!("several structs fit: {}", names.join(", ")));
            None
        }
    }
}

/// Definitions of maps, and keys.
fn not_events(object: &Object, types: &Types) -> HashSet<TypeId> {
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

/// Whether the source assigns to members of the names that the struct has there. Of several
/// writes by one line one has to be the member's: compilers store neighbours together.
fn agrees(object: &Object, types: &Types, ty: TypeId, sent: &Emission) -> bool {
    let mut lines: BTreeMap<String, bool> = BTreeMap::new();
    for write in sent.writes.iter().take(512) {
        let Some(line) = line(object, write.by) else { continue };
        let Some(member) = assigned(&line) else { continue };
        let here = names(types, ty, write).contains(&member);
        *lines.entry(line).or_default() |= here;
    }
    lines.into_values().all(|found| found)
}

/// The names of the running kernel's structs, if it tells them.
static KERNEL_STRUCTS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else { return HashSet::new() };
    let Ok(btf) = Btf::parse(&data) else { return HashSet::new() };
    let structs = btf.types.iter().filter(|(_, ty)| matches!(ty.kind, Kind::Struct(_)));
    structs.filter_map(|(_, ty)| ty.name.clone()).collect()
});
