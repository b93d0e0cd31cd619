//! What becomes of an object's CO-RE relocations on a kernel, by that kernel's BTF alone.
//!
//! The rules are libbpf's (`relo_core.c`): a type is looked for by its name without the part behind
//! three underscores; a member by its name, also within anonymous structs and unions, wherever it
//! is now; then both types must be of one kind. If several types of the kernel have the name, all
//! that fit must give the same answer.

mod fields;
mod reach;
mod spec;
mod types;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use super::btf::Btf;
use super::btf_ext::CoreInfo;
use super::budget::{Budget, ITEMS};
use super::code::Function;
use super::object::Object;
use super::types::{Kind, TypeId, Types};
use crate::host::flavour::without_flavour;

use spec::{Candidate, Spec};

/// The most comparisons of members and types. A large tracer needs some ten thousand.
const STEPS: usize = 1 << 26;

/// The most relocations of an object.
const MAX_JUDGED: usize = 1 << 18;

/// The kernel's types, by their names.
pub struct Target<'t> {
    types: &'t Types,
    by_name: HashMap<&'t str, Vec<TypeId>>,
    steps: Budget,
}

/// A reason in words. Many relocations may have the same.
pub type Why = Rc<str>;

/// What becomes of one relocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The instruction gets this number
    Value {
        number: u64,
        /// Why loads and stores would have another size than the program expects, which libbpf
        /// refuses for them
        resized: Option<Why>,
    },
    /// A question, whether something exists: it does not, and this is why
    Absent(Why),
    /// It is missing, and this is why: the kernel refuses a program that can get there
    Missing(Why),
    /// libbpf refuses the whole object, and this is why
    Broken(Why),
}

/// What an instruction is for a program on that kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It works, or tells that something exists
    Works,
    /// It tells that something does not exist
    Absent,
    /// It would fail, but no path leads there: existence was tested before
    Unreached,
    /// It fails, and the program is refused
    Fails,
    /// All programs are refused
    Broken,
}

/// A relocation and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Index in [`Object::functions`]
    pub function: usize,
    /// The instruction's slot
    pub slot: usize,
    pub info: CoreInfo,
    pub outcome: Outcome,
    /// What the instruction gets; `None`: it cannot work
    pub number: Option<u64>,
    /// Why it does not work
    pub why: Option<Why>,
}

/// All relocations of an object, in the order of the functions and their instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    pub all: Vec<Judged>,
    /// Some are not judged, or not followed: there are too many
    pub is_cut: bool,
}

/// Judges all relocations of an object, if it has types.
pub fn judge(object: &Object, kernel: &Btf) -> Judgement {
    let Some(local) = &object.btf else { return Judgement::default() };
    let target = Target::new(&kernel.types);
    let (candidates, known) = (HashMap::new(), HashMap::new());
    let mut judge = Judge { local, target: &target, candidates, known, is_cut: false };
    for info in object.functions.iter().flat_map(|function| function.core.values()) {
        judge.note(info);
    }
    let Judge { known, is_cut, .. } = judge;
    let verdict = |function: &Function, slot: usize| known.get(&key(function.core.get(slot)?));
    let reached = reach::reached(object, &verdict);
    let is_cut = is_cut || target.steps.is_cut() || reached.is_cut;
    let mut judgement = Judgement { all: Vec::new(), is_cut };
    for (index, function) in object.functions.iter().enumerate() {
        for (slot, info) in function.core.iter() {
            let Some(verdict) = known.get(&key(info)) else { continue };
            if judgement.all.len() >= MAX_JUDGED {
                judgement.is_cut = true;
                return judgement;
            }
            let is_reached = || reached.contains(index, slot);
            let touches = function.insns.get(slot).is_some_and(|insn| insn.is_memory());
            let (outcome, number, why) = verdict.outcome(touches, is_reached);
            judgement.all.push(Judged { function: index, slot, info: *info, outcome, number, why });
        }
    }
    judgement
}

/// What decides about a relocation.
fn key(info: &CoreInfo) -> (TypeId, u32, u32) {
    (info.ty, info.access, info.kind)
}

impl Verdict {
    /// What an instruction gets by it. `touches`: it reads or writes memory. `is_reached`: whether
    /// the verifier gets there.
    fn outcome(
        &self,
        touches: bool,
        is_reached: impl Fn() -> bool,
    ) -> (Outcome, Option<u64>, Option<Why>) {
        let fails = || if is_reached() { Outcome::Fails } else { Outcome::Unreached };
        match self {
            Self::Value { resized: Some(why), .. } if touches => (fails(), None, Some(why.clone())),
            Self::Value { number, .. } => (Outcome::Works, Some(*number), None),
            Self::Absent(why) => (Outcome::Absent, Some(0), Some(why.clone())),
            Self::Missing(why) => (fails(), None, Some(why.clone())),
            Self::Broken(why) => (Outcome::Broken, None, Some(why.clone())),
        }
    }
}

impl<'t> Target<'t> {
    /// Sorts the types by name.
    pub fn new(types: &'t Types) -> Self {
        let mut by_name = HashMap::<&str, Vec<TypeId>>::new();
        for (id, ty) in types.iter() {
            if let Some(name) = ty.name.as_deref() {
                by_name.entry(essential(name)).or_default().push(id);
            }
        }
        Self { types, by_name, steps: Budget::new(STEPS) }
    }

    /// Types of a name and kind, in their order.
    fn named(&self, name: &str, kind: &Kind) -> Vec<TypeId> {
        let all = self.by_name.get(essential(name)).map_or(&[][..], Vec::as_slice);
        all.iter().copied().filter(|&id| is_alike(kind, self.types.kind(id))).collect()
    }

    /// Counts a step. False: there were too many.
    fn step(&self) -> bool {
        self.steps.take(1)
    }
}

/// Judges one relocation after the other.
struct Judge<'a> {
    local: &'a Btf,
    target: &'a Target<'a>,
    /// Types of the kernel for one of the object's. Those that a relocation rules out do not count
    /// for the later ones, as in libbpf.
    candidates: HashMap<TypeId, Vec<TypeId>>,
    known: HashMap<(TypeId, u32, u32), Verdict>,
    /// There were too many
    is_cut: bool,
}

impl Judge<'_> {
    /// Judges one, unless it is like another.
    fn note(&mut self, info: &CoreInfo) {
        if self.known.contains_key(&key(info)) {
            return;
        }
        if self.known.len() >= ITEMS {
            self.is_cut = true;
            return;
        }
        let verdict = self.judge(info);
        self.known.insert(key(info), verdict);
    }

    fn judge(&mut self, info: &CoreInfo) -> Verdict {
        let types = &self.local.types;
        let access = self.local.string(info.access);
        let Ok(spec) = Spec::parse(types, info, &access) else {
            return Verdict::Broken(format!("its access {access:?} fits no such type").into());
        };
        if info.kind == spec::TYPE_ID_LOCAL {
            return Verdict::Value { number: info.ty.0.into(), resized: None };
        }
        let Some(name) = types.name(info.ty) else {
            return Verdict::Broken("its type has no name".into());
        };
        let candidates = match self.candidates.entry(info.ty) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.target.named(name, types.kind(info.ty))),
        };
        let mut why = format!("there is no {}", super::co_re::type_name(types, info.ty));
        let mut found: Option<Candidate> = None;
        let mut fitting = Vec::new();
        for (number, &id) in candidates.iter().enumerate() {
            let candidate = match spec.matched(types, self.target, id) {
                Ok(candidate) => candidate,
                // What the first one lacks says most.
                Err(lack) => {
                    why = if number == 0 { lack } else { why };
                    continue;
                }
            };
            let candidate = match candidate.valued(types, &spec, self.target.types) {
                Ok(candidate) => candidate,
                Err(error) => return Verdict::Broken(error.into()),
            };
            if let Some(first) = &found {
                if !first.agrees(&candidate) {
                    let count = candidates.len();
                    return Verdict::Broken(
                        format!("{count} types of that name differ in it, so it is ambiguous")
                            .into(),
                    );
                }
            }
            fitting.push(id);
            found.get_or_insert(candidate);
        }
        if !fitting.is_empty() {
            *candidates = fitting;
        }
        match found {
            Some(found) => {
                Verdict::Value { number: found.number, resized: found.resized.map(Why::from) }
            }
            None if spec::is_question(info.kind) => Verdict::Absent(why.into()),
            None => Verdict::Missing(why.into()),
        }
    }
}

/// A name without the part behind `___`, which only distinguishes versions.
fn essential(name: &str) -> &str {
    name.get(..without_flavour(name.as_bytes()).len()).unwrap_or(name)
}

/// Whether both are of the same kind; enums of both sizes are.
fn is_alike(one: &Kind, other: &Kind) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}
