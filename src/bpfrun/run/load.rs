//! Loads an object so that one refused program does not stop the others: libbpf loads all or
//! nothing, so the refused program is left out and the rest is tried again.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, anyhow, bail};
use libbpf_rs::{MapType, Object, ObjectBuilder, OpenObject, ProgramAttachType};

use crate::bpfrun::run::args::Args;
use crate::bpfrun::run::externs::Externs;
use crate::bpfrun::run::hook::Kind;
use crate::bpfrun::run::kind_of;
use crate::bpfrun::run::maps::{self, EventMap};
use crate::bpfrun::run::plan::{Program, State};
use crate::bpfrun::run::reason::{self, Reason};
use crate::bpfrun::run::words;
use crate::elf::map::Map;
use crate::elf::{acts, object as contents};
use crate::engine::attach::{is_misleading, kind, variables};
use crate::engine::explain;
use crate::engine::session::say;

/// A loaded object.
pub struct Loaded {
    /// It
    pub object: Object,
    /// The programs, including refused ones
    pub programs: Vec<Program>,
    /// The maps of the events
    pub events: Vec<EventMap>,
    /// Maps that the kernel refused, and why
    pub refused_maps: Vec<(String, Reason)>,
}

/// Settings in the opened object before loading, made each time that it is opened.
pub type Configure<'a> = dyn Fn(&mut OpenObject) -> Result<()> + 'a;

/// Loads an object. `name`: for people; `contents`: what our own reader found in it.
pub fn load(
    name: &str,
    contents: &contents::Object,
    mut externs: Externs<'_>,
    args: &Args,
    configure: &Configure<'_>,
) -> Result<Loaded> {
    words::collect();
    let mut programs: Option<Vec<Program>> = None;
    let mut refused_maps: Vec<(String, Reason)> = Vec::new();
    loop {
        let mut object = open(name, externs.image(), args)?;
        let programs = programs.get_or_insert_with(|| plan(&object, contents, &externs, args));
        let without: Vec<_> = refused_maps.iter().map(|(name, _)| name.clone()).collect();
        let (events, templates) =
            maps::prepare(&mut object, &without, &|name| args.asked_for(name))?;
        configure(&mut object)?;
        prepare_programs(&mut object, programs)?;
        let names: Vec<_> = map_names(&object);
        let kinds = kinds(&object, programs);

        let loaded = object.load();
        drop(templates);
        let error = match loaded {
            Ok(object) => {
                show_words(args, &words::take());
                let programs = std::mem::take(programs);
                return Ok(Loaded { object, programs, events, refused_maps });
            }
            Err(error) => error,
        };
        let said = words::take();
        show_words(args, &said);
        if externs.leave_out(&said, programs)? {
            if let Some(lack) = externs.lack(programs) {
                bail!("cannot load {name}: {lack}");
            }
            continue;
        }
        let wanted = || programs.iter().filter(|program| program.is_wanted());
        let program = reason::refused_program(&said, wanted().map(|p| p.name.as_str()));
        if let Some(name) = program.map(str::to_owned) {
            refuse(programs, &kinds, &said, &name);
            continue;
        }
        let left =
            names.iter().map(String::as_str).filter(|name| !without.iter().any(|w| w == name));
        if let Some(name) = reason::refused_map(&said, left).map(str::to_owned) {
            let reason = reason::of_map(&said, &name);
            refused_maps.push((name, reason));
            continue;
        }
        if let Some(lack) = explain::lack() {
            bail!(lack);
        }
        let said = reason::of_object(&said).unwrap_or_else(|| error.to_string());
        bail!("cannot load {name}: {said}");
    }
}

/// The kinds, in the kernel's view, of the programs to be loaded.
fn kinds(object: &OpenObject, programs: &[Program]) -> Vec<(String, kind::Kind)> {
    let wanted = programs.iter().filter(|program| program.is_wanted());
    wanted
        .filter_map(|program| Some((program.name.clone(), kind::of(object, &program.name)?)))
        .collect()
}

/// Notes why a program was refused; and also for others of its kind, if the kernel refuses even an
/// empty one.
fn refuse(programs: &mut [Program], kinds: &[(String, kind::Kind)], said: &str, name: &str) {
    let Some(refused) = programs.iter_mut().find(|program| program.name == name) else { return };
    let mut reason = reason::of_load(said, name, refused.hook.kind, refused.target());
    let kind = kinds.iter().find(|(other, _)| other == name).map(|(_, kind)| kind);
    let is_refused = |kind: &&kind::Kind| reason::is_forbidden(&reason) && kind.try_out().is_err();
    if let Some(kind) = kind.filter(is_refused) {
        reason = reason::of_kind(&kind.name());
        let alike = kinds.iter().filter(|(_, other)| other.is_like(kind));
        for (name, _) in alike {
            let same = programs.iter_mut().find(|program| program.name == *name);
            if let Some(program) = same {
                program.state = State::Refused(reason.clone());
            }
        }
        return;
    }
    if let Some(refused) = variables::refused() {
        reason = Reason::new(refused.to_string());
    }
    refused.state = State::Refused(reason);
}

fn show_words(args: &Args, words: &str) {
    if args.verbose {
        for line in words.lines().filter(|line| !is_misleading(line)) {
            say("bpfrun", &Reason::new(line).what);
        }
    }
}

fn open(name: &str, image: &[u8], args: &Args) -> Result<OpenObject> {
    let mut builder = ObjectBuilder::default();
    builder.name(plain(name))?;
    if let Some(file) = &args.btf {
        builder.btf_custom_path(file)?;
    }
    builder.open_memory(image).map_err(|error| {
        let said = words::take();
        show_words(args, &said);
        let said = reason::of_object(&said).unwrap_or_else(|| error.to_string());
        anyhow!("libbpf cannot open {name}: {said}")
    })
}

/// An object's name with other characters than letters and digits replaced: libbpf calls the map of
/// `.data` `NAME.data`, where a dot in NAME would be ambiguous.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn map_names(object: &OpenObject) -> Vec<String> {
    object.maps().map(|map| map.name().to_string_lossy().into_owned()).collect()
}

fn plan(
    object: &OpenObject,
    contents: &contents::Object,
    externs: &Externs<'_>,
    args: &Args,
) -> Vec<Program> {
    let names = contents.programs.iter().map(|program| program.name.as_str());
    let mut acts = acts::of(contents);
    externs.without_missing(&mut acts);
    let mut acts: HashMap<_, _> = names.zip(acts).collect();
    // libbpf puts these into maps of programs, which fails for one that is not loaded.
    let is_of_programs = |map: &&Map| map.kind == libbpf_sys::BPF_MAP_TYPE_PROG_ARRAY;
    let held = contents.maps.iter().filter(is_of_programs).flat_map(|map| &map.values);
    let held: HashSet<_> = held.map(|(_, name)| name.as_str()).collect();
    let struct_ops: Vec<_> = object
        .maps()
        .filter(|map| map.map_type() == MapType::StructOps)
        .map(|map| map.name().to_string_lossy().into_owned())
        .collect();
    let asked = struct_ops.iter().any(|name| args.asked_for(name));
    let programs = object.progs().map(|program| {
        let name = program.name().to_string_lossy();
        let section = program.section().to_string_lossy();
        // libbpf took the ? away.
        let acts = acts.remove(&*name).unwrap_or_default();
        let mut plan = Program::plan(&name, &section, !program.autoload(), acts, args);
        if plan.hook.kind == Kind::StructOps && !asked {
            let advice = format!("attach its map with --attach {}", struct_ops.join(" or "));
            let reason = Reason::new("changes what the system does").advice(advice);
            plan.state = State::Unwanted(reason);
        }
        if let Some(map) = args.held_by(&name).filter(|_| plan.asked.is_none()) {
            plan.state = State::Wanted;
            plan.idle = Some(Reason::new(format!("called through the map {map}")));
        } else if held.contains(&*name) {
            if let State::Unwanted(reason) = std::mem::replace(&mut plan.state, State::Wanted) {
                plan.idle = Some(reason);
            }
        }
        plan
    });
    programs.collect()
}

fn prepare_programs(object: &mut OpenObject, programs: &[Program]) -> Result<()> {
    for mut open in object.progs_mut() {
        let name = open.name().to_string_lossy().into_owned();
        let program = programs.iter().find(|program| program.name == name);
        let Some(program) = program else { continue };
        let kind = program.hook.kind;
        if kind == Kind::StructOps {
            continue; // loaded with their map
        }
        open.set_autoload(program.is_wanted());
        if !program.is_wanted() {
            continue;
        }
        if let Some(section) = &program.instead {
            kind_of::set(&open, section).with_context(|| format!("program {name}"))?;
        }
        let asked = program.asked.as_ref().and_then(Option::as_deref);
        // libbpf looks only for the targets of sections that it knows.
        let target = program.target().filter(|_| asked.is_some() || program.instead.is_some());
        if let (true, Some(target)) = (kind.target_is_loaded(), target) {
            open.set_attach_target(0, Some(target.to_owned()))
                .with_context(|| format!("attach {name} to {target}"))?;
        }
        if kind == Kind::Tc {
            let egress = program.section.ends_with("egress")
                || program.kind_section().ends_with("egress")
                || asked.is_some_and(|target| target.ends_with("/egress"));
            open.set_attach_type(match egress {
                true => ProgramAttachType::TcxEgress,
                false => ProgramAttachType::TcxIngress,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects_have_no_dots() {
        for (name, expected) in [
            ("opensnoop", "opensnoop"),
            ("my.tool", "my_tool"),
            (".hidden", "_hidden"),
            ("we ird-n\u{e4}me", "we_ird_n_me"),
            ("a_b", "a_b"),
            ("", ""),
        ] {
            assert_eq!(plain(name), expected);
        }
    }
}
