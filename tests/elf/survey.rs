//! What is inferred about the objects of other projects, held against their sources.
//!
//! `survey.sh` compiles each source twice: as it is, and with `survey/truth.h`, which keeps the types
//! that the source itself hands to the helpers that send. This compares the schemas of the first
//! object, as it is and stripped, with those types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use snoop_tools::elf::dwarf::Dwarf;
use snoop_tools::elf::embedded;
use snoop_tools::elf::file::Content;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::schema::{EventSchema, UserSchemas, schemas};
use snoop_tools::elf::types::{Kind, Member, TypeId, Types};

use crate::compile::strip;

/// A type that the source sends.
struct Truth {
    line: u32,
    ty: TypeId,
    size: u64,
    name: String,
}

/// A field of the lowest level.
#[derive(Debug)]
struct Leaf {
    at: u64,
    bytes: u64,
    name: String,
}

#[derive(Debug, Default)]
struct Counts {
    right: usize,
    none: usize,
    wrong: usize,
    /// Of the right and the inferred types
    fields: usize,
    found: usize,
    named: usize,
    /// Inferred names from source lines that the source has elsewhere or not at all
    misnamed: usize,
    /// Names of the kernel's or a map's members, where the source has another name for the copy
    renamed: usize,
    /// Inferred fields where the source has none
    invented: usize,
}

/// The types in the section .truth of an object.
fn truths(object: &Object) -> Vec<Truth> {
    let Some(types) = object.btf.as_ref().map(|btf| &btf.types) else { return Vec::new() };
    let mut truths = Vec::new();
    for global in &object.globals {
        let Some((_, rest)) = global.name.split_once("truth_") else { continue };
        let line = rest.split('_').next().and_then(|line| line.parse().ok());
        let pointed = global.ty.and_then(|ty| types.pointee(ty));
        let (Some(line), Some(pointed)) = (line, pointed) else { continue };
        let ty = types.pointee(pointed).unwrap_or(pointed);
        let (Some(size), ty) = (types.size(ty), types.resolve(ty)) else { continue };
        truths.push(Truth { line, ty, size, name: types.c_name(ty) });
    }
    truths
}

fn leaves(types: &Types, ty: TypeId, at: u64, name: &str, depth: usize, out: &mut Vec<Leaf>) {
    if depth > 16 || out.len() > 4096 {
        return;
    }
    match types.resolved(ty) {
        Kind::Struct(body) | Kind::Union(body) => {
            for member in &body.members {
                let at = at + u64::from(member.bit_offset / 8);
                let name = member.name.as_deref().unwrap_or(name);
                leaves(types, member.ty, at, name, depth + 1, out);
            }
        }
        Kind::Array { element, .. } if types.composite(*element).is_some() => {
            leaves(types, *element, at, name, depth + 1, out);
        }
        _ => {
            let bytes = types.size(ty).unwrap_or(0);
            out.push(Leaf { at, bytes, name: name.to_owned() });
        }
    }
}

fn all_leaves(types: &Types, ty: TypeId) -> Vec<Leaf> {
    let mut out = Vec::new();
    leaves(types, ty, 0, "value", 0, &mut out);
    out.retain(|leaf| !leaf.name.trim_start_matches('_').starts_with("pad"));
    out
}

/// Compares the schemas of one object with the truth.
fn compare(data: &[u8], truth: &Object, counts: &mut Counts, notes: &mut Vec<String>) {
    let object = Object::parse(data).unwrap();
    let dwarf = Dwarf::parse(data).unwrap_or_default();
    let user = UserSchemas::default();
    let found = schemas(&object, dwarf.as_ref(), &user).unwrap();
    let all = truths(truth);
    let Some(types) = truth.btf.as_ref().map(|btf| &btf.types) else { return };
    let mut seen = BTreeSet::new();
    for schema in found.all.iter().filter(|schema| !schema.senders.is_empty()) {
        let lines: BTreeSet<u32> = schema.sites.iter().map(|site| site.line).collect();
        let mut here: Vec<_> = all.iter().filter(|truth| lines.contains(&truth.line)).collect();
        if here.is_empty() {
            here = all.iter().collect();
        }
        if here.is_empty() {
            continue;
        }
        let names: BTreeSet<_> = here.iter().map(|truth| &truth.name).collect();
        let Some((ty, inferred)) = schema.ty.map(|ty| (ty, is_inferred(schema))) else {
            counts.none += 1;
            notes.push(format!("none {}: {:?}: {}", schema.map, names, schema.provenance));
            if let [only] = here[..] {
                counts.fields += all_leaves(types, only.ty).len();
            }
            continue;
        };
        let name = schema.types.c_name(schema.types.resolve(ty));
        let same = |truth: &&&Truth| truth.name == name || numbers(types, schema, truth);
        let size = schema.types.size(ty).unwrap_or(0);
        let of_size: Vec<_> = here.iter().filter(|truth| truth.size == size).collect();
        let truth = match (here.iter().find(same), inferred) {
            (Some(truth), false) => truth,
            (_, true) => match of_size[..] {
                [truth, ..] => truth,
                [] if here.len() == 1 => &here[0],
                [] => continue,
            },
            (None, false) => {
                counts.wrong += 1;
                let how = &schema.provenance;
                notes.push(format!("WRONG {}: {name} ({how}) for {names:?}", schema.map));
                continue;
            }
        };
        if !seen.insert((schema.map.clone(), truth.name.clone())) {
            continue;
        }
        counts.right += 1;
        let (own, theirs) = (all_leaves(types, truth.ty), all_leaves(&schema.types, ty));
        let before = (counts.found, counts.named);
        let mut missed = Vec::new();
        for leaf in &own {
            let at: Vec<_> = theirs.iter().filter(|other| other.at == leaf.at).collect();
            let named = at.iter().any(|other| other.name == leaf.name);
            counts.fields += 1;
            counts.found += usize::from(!at.is_empty());
            counts.named += usize::from(named);
            if !named {
                let known: Vec<_> = at.iter().map(|other| &*other.name).collect();
                missed.push(format!("{}@{}{:?}", leaf.name, leaf.at, known));
            }
        }
        if !inferred {
            continue;
        }
        let starts: BTreeMap<u64, u64> = own.iter().map(|leaf| (leaf.at, leaf.bytes)).collect();
        let invented = theirs.iter().filter(|leaf| !starts.contains_key(&leaf.at));
        let other: Vec<_> = theirs
            .iter()
            .filter(|leaf| !own.iter().any(|own| own.at == leaf.at && own.name == leaf.name))
            .map(|leaf| (known_by(schema, leaf.at), format!("{}@{}", leaf.name, leaf.at)))
            .collect();
        let of = |words: &[&str]| -> Vec<_> {
            let some = other.iter().filter(|(word, _)| words.contains(word));
            some.map(|(_, name)| name.clone()).collect()
        };
        let (misnamed, renamed) = (of(&["line"]), of(&["co-re", "map"]));
        counts.misnamed += misnamed.len();
        counts.renamed += renamed.len();
        let invented: Vec<_> = invented.map(|leaf| format!("{}@{}", leaf.name, leaf.at)).collect();
        counts.invented += invented.len();
        notes.push(format!(
            "inferred {} for {}: {} found, {} named of {}; missed {}; invented {}; misnamed {}; renamed {}",
            schema.map,
            truth.name,
            counts.found - before.0,
            counts.named - before.1,
            own.len(),
            missed.join(" "),
            invented.join(" "),
            misnamed.join(" "),
            renamed.join(" "),
        ));
    }
}

/// How the inferred field at this place is known.
fn known_by(schema: &EventSchema<'_>, at: u64) -> &'static str {
    let members = schema.ty.and_then(|ty| schema.types.composite(ty)).map(|body| &body.members);
    let here = |member: &Member| u64::from(member.bit_offset / 8) == at;
    let index = members.and_then(|members| members.iter().position(here));
    index.and_then(|index| schema.types.evidence(index)).map_or("none", |known| known.word())
}

fn is_inferred(schema: &EventSchema<'_>) -> bool {
    schema.provenance.word() == "inferred"
}

/// A number is right where the source sends a number of this size.
fn numbers(types: &Types, schema: &EventSchema<'_>, truth: &Truth) -> bool {
    schema.provenance.word() == "scalar"
        && types.composite(truth.ty).is_none()
        && schema.ty.and_then(|ty| schema.types.size(ty)) == Some(truth.size)
}

/// The object in a program, if there is that file.
fn embedded_in(program: &Path) -> Option<Vec<u8>> {
    let content = Content::open(program).ok()?;
    let found = embedded::find(&content).unwrap();
    let place = found.all.first().unwrap_or_else(|| panic!("{}: no object", program.display()));
    Some(content.at(place.offset, place.size).unwrap())
}

/// Prints the counts for all objects `NAME.o` with a `NAME.truth.o` beside it; `strip` makes the
/// stripped form.
fn survey(folder: &Path, strip: impl Fn(&[u8]) -> Vec<u8>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    const FORMS: [&str; 3] = ["unstripped", "stripped", "in programs"];
    let mut counts = FORMS.map(|_| Counts::default());
    let mut objects = 0;
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".truth.o") else { continue };
        let data = std::fs::read(folder.join(format!("{stem}.o"))).unwrap();
        let truth = Object::parse(&std::fs::read(&path).unwrap()).unwrap();
        objects += 1;
        let program = folder.join(format!("{stem}.program"));
        let forms = [Some(data.clone()), Some(strip(&data)), embedded_in(&program)];
        for ((data, counts), form) in forms.iter().zip(&mut counts).zip(FORMS) {
            let Some(data) = data else { continue };
            let mut notes = Vec::new();
            compare(data, &truth, counts, &mut notes);
            notes.iter().for_each(|note| println!("{form} {stem}: {note}"));
        }
    }
    println!("{objects} objects");
    for (form, counts) in FORMS.iter().zip(&counts) {
        let Counts { right, none, wrong, fields, found, named, misnamed, renamed, invented } =
            counts;
        println!(
            "{form}: types {right} right, {none} none, {wrong} wrong; \
             of {fields} fields {found} at the right place, {named} with their name; \
             {misnamed} names wrong, {renamed} of their source, {invented} fields invented"
        );
    }
}

#[test]
#[ignore = "needs objects of other projects: SURVEY=FOLDER, made by survey.sh"]
fn survey_of_objects() {
    let folder = std::env::var_os("SURVEY").unwrap();
    survey(Path::new(&folder), strip);
}
