//! Annotations in an object that name the types of its events.

use super::layout::{Extent, extent, is_open};
use super::lines::Lines;
use super::{Found, Provenance};
use crate::elf::dataflow::Emission;
use crate::elf::map::Map;
use crate::elf::object::Object;
use crate::elf::types::{Kind, TypeId, Types};

/// The annotation of the map for one event. Some maps have a value that only fills the place.
pub(super) fn of_event<'a>(
    object: &'a Object,
    map: Option<&Map>,
    sent: &Emission,
    lines: &Lines<'_>,
) -> Option<Found<'a>> {
    let found = map.and_then(|map| of_map(object, map))?;
    let (types, ty) = (&found.types, found.ty?);
    let tail = fits(types, ty, sent)?;
    lines.for_struct(types, ty)?;
    Some(Found { tail, ..found })
}

/// Whether an annotated type fits, and whether the record may be longer.
pub(super) fn fits(types: &Types, ty: TypeId, sent: &Emission) -> Option<bool> {
    match extent(types, ty, sent)? {
        Extent::Whole => Some(false),
        Extent::Cut => (!has_one_size(sent)).then_some(true),
        // A type that is smaller than a record of constant size is another one.
        Extent::Start => (is_open(types, ty) || !has_one_size(sent)).then_some(true),
    }
}

fn has_one_size(sent: &Emission) -> bool {
    sent.sizes.as_ref().is_some_and(|sizes| sizes.len() == 1)
}

/// The annotation for all events of a map.
pub(super) fn of_map<'a>(object: &'a Object, map: &Map) -> Option<Found<'a>> {
    let types = &object.btf.as_ref()?.types;
    let found = |ty, how: String| {
        let how = Provenance::Annotation(how);
        Some(Found { types: types.into(), ty: Some(ty), how, tail: true })
    };
    let inner = map.inner.as_deref().filter(|inner| inner.is_of_events());
    let value = if map.is_of_events() { map.value } else { inner.and_then(|inner| inner.value) };
    // Perf buffers have numbers as values anyway: they mean nothing here.
    if let Some(value) = value.filter(|&value| types.composite(value).is_some()) {
        return found(value, "the map's __type(value)".to_owned());
    }
    if let Some((ty, name)) = by_gadget(types, &map.name) {
        return found(ty, format!("the variable {name}"));
    }
    let ty = by_tag(types, &map.name)?;
    found(ty, "a tag of the map".to_owned())
}

/// `gadget_tracer_NAME___MAP___STRUCT`: Inspektor Gadget's way.
fn by_gadget<'t>(types: &'t Types, map: &str) -> Option<(TypeId, &'t str)> {
    types.look_through()?;
    types.iter().filter(|(_, ty)| matches!(ty.kind, Kind::Var { .. })).find_map(|(_, ty)| {
        let name = ty.name.as_deref()?;
        let mut parts = name.strip_prefix("gadget_tracer_")?.split("___").skip(1);
        let named = parts.next()? == map;
        let wanted = parts.next().filter(|_| named)?;
        types.look_through()?;
        let ty = types.by_c_name(&format!("struct {wanted}"))?;
        Some((ty, name))
    })
}

/// `__attribute__((btf_decl_tag("struct event")))` of the map, also with `event:` before.
fn by_tag(types: &Types, map: &str) -> Option<TypeId> {
    types.look_through()?;
    types.iter().find_map(|(_, tag)| {
        let Kind::DeclTag { ty, component: None } = tag.kind else { return None };
        if types.name(ty) != Some(map) || !matches!(types.kind(ty), Kind::Var { .. }) {
            return None;
        }
        let text = tag.name.as_deref()?;
        types.look_through()?;
        let text = text.split_once(':').map_or(text, |(_, name)| name);
        types.by_c_name(text).filter(|&ty| types.composite(ty).is_some())
    })
}

/// `const struct event *unused __attribute__((unused));`, whose only purpose is to bring the type
/// into BTF. Other types come into it the same way, so source lines must support the struct, if there
/// are any.
pub(super) fn by_pointer<'a>(
    object: &'a Object,
    sent: &Emission,
    lines: &Lines<'_>,
) -> Option<Found<'a>> {
    let types = &object.btf.as_ref()?.types;
    let mut fitting: Vec<(TypeId, &str, bool, usize)> = Vec::new();
    types.look_through()?;
    for (_, variable) in types.iter() {
        let Kind::Var { ty, .. } = variable.kind else { continue };
        let Some(pointee) = types.pointee(ty).map(|to| types.resolve(to)) else { continue };
        let Some(name) = variable.name.as_deref().filter(|_| types.composite(pointee).is_some())
        else {
            continue;
        };
        let Some(tail) = fits(types, pointee, sent).filter(|_| is_unused(object, types, name))
        else {
            continue;
        };
        let Some(support) = lines.for_struct(types, pointee) else { continue };
        let support = support + usize::from(lines.name(types, pointee));
        if !types.steps.take(fitting.len()) {
            return None;
        }
        if fitting.iter().all(|&(known, ..)| known != pointee) {
            fitting.push((pointee, name, tail, support));
        }
    }
    let most = fitting.iter().map(|&(.., support)| support).max()?;
    fitting.retain(|&(.., support)| support == most);
    let [(ty, name, tail, _)] = fitting[..] else { return None };
    if most == 0 && !lines.is_empty() {
        return None;
    }
    let how = Provenance::Annotation(format!("the unused pointer {name}"));
    Some(Found { types: types.into(), ty: Some(ty), how, tail })
}

/// Whether no instruction refers to the variable.
fn is_unused(object: &Object, types: &Types, name: &str) -> bool {
    use crate::elf::code::Reference;
    let references = object.functions.iter().map(|function| function.references.len());
    if !types.steps.take(object.globals.len() + object.functions.len() + references.sum::<usize>())
    {
        return false;
    }
    let Some(variable) = object.globals.iter().find(|global| global.name == name) else {
        return true;
    };
    let place = Reference::Data { section: variable.section, offset: variable.offset };
    !object.functions.iter().any(|function| function.references.values().any(|to| *to == place))
}
