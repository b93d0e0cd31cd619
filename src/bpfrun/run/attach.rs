//! Attaches programs, each on its own; of the variants of one probe only the best one that works.

use std::collections::HashMap;

use libbpf_rs::{Link, MapCore as _, MapType, Object};

use crate::bpfrun::run::args::Args;
use crate::bpfrun::run::hook::Kind;
use crate::bpfrun::run::load::Loaded;
use crate::bpfrun::run::pairs::{self, Attaches};
use crate::bpfrun::run::place::{self, Attachment};
use crate::bpfrun::run::plan::{NOT_ATTACHABLE, Program, State};
use crate::bpfrun::run::reason::{self, Reason};
use crate::bpfrun::run::words;

/// Everything attached. Dropping it detaches.
#[derive(Default)]
pub struct Attachments {
    /// Links and descriptors that keep programs attached
    pub held: Vec<Attachment>,
    /// Links of unread iterators, with the names of their programs
    pub iterators: Vec<(String, Link)>,
}

/// Attaches the loaded programs, and notes the state of each in `loaded.programs`.
pub fn attach(loaded: &mut Loaded, args: &Args) -> Attachments {
    let mut attachments = Attachments::default();
    attach_struct_ops(loaded, args, &mut attachments);
    // The best variants first, otherwise in the order of the object.
    let mut order: Vec<usize> = (0..loaded.programs.len()).collect();
    let rank = |program: &Program| program.hook.variant().map_or(0, |(_, rank)| rank);
    order.sort_by_key(|&at| loaded.programs.get(at).map(rank));
    // By probe: kind and name of the attached program.
    let mut taken: HashMap<String, (Kind, String)> = HashMap::new();
    if !args.all_variants {
        attach_pairs(loaded, &mut attachments, &mut taken);
    }

    for at in order {
        let Some(program) = loaded.programs.get_mut(at) else { continue };
        if !program.is_wanted() || program.hook.kind == Kind::StructOps {
            continue;
        }
        if let Some(reason) = program.idle.take() {
            program.state = State::Idle(reason);
            continue;
        }
        if program.hook.kind == Kind::Iter && args.shows_only_maps() {
            let reason = Reason::new("not read: only what is sent to maps is asked for");
            program.state = State::Idle(reason);
            continue;
        }
        let variant = program.hook.variant().filter(|_| !args.all_variants);
        let variant = variant.filter(|_| program.asked.is_none()).map(|(key, _)| key);
        if let Some((kind, better)) = variant.as_ref().and_then(|key| taken.get(key)) {
            if *kind != program.hook.kind {
                let reason = Reason::new(format!("{better} does the same at that place"))
                    .advice("attach both with --all-variants");
                program.state = State::Idle(reason);
                continue;
            }
        }
        program.state = attach_one(&loaded.object, program, &mut attachments);
        if let (State::Attached(_), Some(key)) = (&program.state, variant) {
            taken.entry(key).or_insert((program.hook.kind, program.name.clone()));
        }
    }
    attachments
}

/// The programs of a loaded object, to be attached in pairs.
struct Halves<'a> {
    object: &'a Object,
    programs: &'a mut [Program],
    attachments: &'a mut Attachments,
}

impl Attaches for Halves<'_> {
    fn attach(&mut self, index: usize) -> bool {
        let Some(program) = self.programs.get_mut(index).filter(|p| p.is_wanted()) else {
            return false; // the kernel refused it, or it did not work in another pair
        };
        program.state = attach_one(self.object, program, self.attachments);
        program.is_attached()
    }

    fn detach(&mut self, indices: &[usize]) {
        // Each has one link.
        let held = &mut self.attachments.held;
        held.truncate(held.len().saturating_sub(indices.len()));
        for &index in indices {
            if let Some(program) = self.programs.get_mut(index) {
                program.state = State::Wanted;
            }
        }
    }
}

/// Attaches those probes at the begin and the return of a function that have variants: both halves of
/// one kind. If no variant has both, each half is left to be attached on its own.
fn attach_pairs(
    loaded: &mut Loaded,
    attachments: &mut Attachments,
    taken: &mut HashMap<String, (Kind, String)>,
) {
    let Loaded { object, programs, .. } = loaded;
    for pair in pairs::pairs(programs) {
        let settled = pairs::settle(&pair, &mut Halves { object, programs, attachments });
        let Some(used) = settled.used else { continue };
        for &index in &used {
            if let Some(program) = programs.get(index) {
                if let Some((key, _)) = program.hook.variant() {
                    taken.entry(key).or_insert((program.hook.kind, program.name.clone()));
                }
            }
        }
        let name = |index: usize| programs.get(index).map_or("", |program| &*program.name);
        let both = used.iter().map(|&index| name(index)).collect::<Vec<_>>().join(" and ");
        let reasons: Vec<_> = settled
            .halves
            .iter()
            .map(|&(index, other)| {
                let what = format!("{} does not work here, and both are needed", name(other));
                (index, Reason::new(format!("{what}: instead of them {both}")))
            })
            .collect();
        for (index, reason) in reasons {
            if let Some(program) = programs.get_mut(index).filter(|p| p.is_wanted()) {
                program.state = State::Idle(reason);
            }
        }
    }
}

fn attach_one(object: &Object, program: &Program, attachments: &mut Attachments) -> State {
    let kind = program.hook.kind;
    let Some(loaded) = object.progs_mut().find(|loaded| *loaded.name() == *program.name) else {
        return State::Idle(Reason::new("libbpf lost it"));
    };
    let Some(target) = program.target().or(default_target(kind)) else {
        let advice = match kind.wants() {
            "" => return State::Idle(Reason::new(NOT_ATTACHABLE)),
            wants => format!("attach it with --attach {}={wants}", program.name),
        };
        return State::Idle(Reason::new("its section names no target").advice(advice));
    };
    words::take();
    match place::attach(object, &loaded, program, target) {
        Ok((attachment, place)) => {
            match (kind, attachment) {
                (Kind::Iter, Attachment::Link(link)) => {
                    attachments.iterators.push((program.name.clone(), link));
                }
                (_, attachment) => attachments.held.push(attachment),
            }
            State::Attached(place)
        }
        Err(error) => {
            let said = words::take();
            State::Idle(reason::of_attach(&said, &program.name, kind, target, &error))
        }
    }
}

/// The sensible place for programs whose sections name none.
fn default_target(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::PerfEvent => Some("cpu-clock@49"),
        Kind::Netns => Some("/proc/self/ns/net"),
        _ => None,
    }
}

fn attach_struct_ops(loaded: &mut Loaded, args: &Args, attachments: &mut Attachments) {
    let mut state = None;
    for mut map in loaded.object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if map.map_type() != MapType::StructOps || !args.asked_for(&name) {
            continue;
        }
        state = Some(match map.attach_struct_ops() {
            Ok(link) => {
                attachments.held.push(Attachment::Link(link));
                State::Attached(format!("struct_ops {name}"))
            }
            Err(error) => State::Idle(Reason::new(format!("{name}: {error:#}"))),
        });
    }
    for program in &mut loaded.programs {
        if let (Kind::StructOps, State::Wanted, Some(state)) =
            (program.hook.kind, &program.state, &state)
        {
            program.state = state.clone();
        }
    }
}
