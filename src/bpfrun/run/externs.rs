//! Symbols and options that an object expects and this kernel lacks. libbpf then refuses the whole
//! object, even if a single program needs them: here only those programs are left out.
//!
//! libbpf resolves all declarations of the object, even those of programs that are not loaded. So
//! our copy of the file makes the missing ones `__weak`, which libbpf resolves to 0.

mod kernel;
mod weaken;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Result;

use crate::bpfrun::run::plan::{Program, State};
use crate::bpfrun::run::reason::{self, Reason};
use crate::elf::acts::Act;
use crate::elf::code::{Reference, Slots};
use crate::elf::global::Extern;
use crate::elf::object::Object;
use crate::elf::types::TypeId;

use kernel::Kernel;

/// The object's expectations, and the ones that this kernel lacks.
pub struct Externs<'a> {
    image: Cow<'a, [u8]>,
    object: &'a Object,
    /// Missing ones, in words, by the index in [`Object::externs`]
    missing: BTreeMap<usize, String>,
    /// The needs of each program, itself or through its calls; computed on demand
    needs: Vec<(&'a str, BTreeSet<usize>)>,
    /// Names of the programs that are left out
    left_out: Vec<String>,
}

impl<'a> Externs<'a> {
    /// The expectations of an object, and the file that it was read from.
    pub fn new(image: &'a [u8], object: &'a Object) -> Self {
        Self {
            image: image.into(),
            object,
            missing: BTreeMap::new(),
            needs: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The file, adapted to this kernel.
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// Takes away what programs cannot do, because this kernel lacks the function for it.
    pub fn without_missing(&self, acts: &mut [Vec<Act>]) {
        let number = |act: &Act| self.object.externs.iter().position(|e| e.name == act.name);
        if acts.iter().flatten().any(|act| number(act).is_some()) {
            let kernel = Kernel::look_for(self.object);
            let lacks = |act: &Act| number(act).is_some_and(|index| self.lacks(&kernel, index));
            acts.iter_mut().for_each(|acts| acts.retain(|act| !lacks(act)));
        }
    }

    /// Reads in libbpf's words what it did not find. If that is new, leaves out the programs that
    /// need it, and returns true: loading is worth another try.
    pub fn leave_out(&mut self, words: &str, programs: &mut [Program]) -> Result<bool> {
        let strong = |index: &usize| {
            let is_strong = self.object.externs.get(*index).is_some_and(|wanted| !wanted.weak);
            is_strong && !self.missing.contains_key(index)
        };
        let Some((name, line)) = reason::refused_extern(words) else { return Ok(false) };
        let blamed = self.object.externs.iter().position(|wanted| wanted.name == name);
        let Some(blamed) = blamed.filter(strong) else { return Ok(false) };
        // libbpf stops at the first missing one: look for all others here at once.
        let kernel = Kernel::look_for(self.object);
        let mut missing: Vec<_> = (0..self.object.externs.len()).filter(strong).collect();
        missing.retain(|&index| index == blamed || self.lacks(&kernel, index));
        for index in missing {
            let Some(wanted) = self.object.externs.get(index) else { continue };
            let what = self.what(wanted, self.lacks(&kernel, index));
            self.missing.insert(index, what.unwrap_or_else(|| line.to_owned()));
        }
        let missing = self.missing.keys().filter_map(|&index| self.object.externs.get(index));
        let names: HashSet<_> = missing.map(|wanted| wanted.name.as_bytes()).collect();
        self.image = weaken::weaken(&self.image, &names)?.into();
        self.refuse(programs);
        Ok(true)
    }

    /// The lack, in one line, if no program is left.
    pub fn lack(&self, programs: &[Program]) -> Option<String> {
        if self.left_out.is_empty() || programs.iter().any(Program::is_wanted) {
            return None;
        }
        let lacks = self.missing.iter().filter_map(|(&index, what)| {
            let users: Vec<_> = self.users(index).filter(|user| self.is_left_out(user)).collect();
            let need = if users.len() == 1 { "needs" } else { "need" };
            (!users.is_empty()).then(|| format!("{what}, which {} {need}", users.join(" and ")))
        });
        let lacks: Vec<_> = lacks.collect();
        Some(Reason::new(lacks.join("; ")).what)
    }

    fn lacks(&self, kernel: &Kernel, index: usize) -> bool {
        let wanted = self.object.externs.get(index);
        wanted.is_some_and(|wanted| kernel.lacks(&wanted.name, Want::of(wanted, self.object)))
    }

    /// The missing thing, in words; `None` if it exists, and libbpf has another objection.
    fn what(&self, wanted: &Extern, is_missing: bool) -> Option<String> {
        let name = &wanted.name;
        match Want::of(wanted, self.object) {
            Want::Function if is_missing => {
                Some(format!("this kernel has no function {name} (kfunc)"))
            }
            Want::Variable if is_missing => {
                Some(format!("this kernel has no variable {name} (ksym)"))
            }
            Want::Symbol if is_missing => {
                Some(format!("/proc/kallsyms has no symbol {name} (ksym)"))
            }
            Want::Option => Some(format!("this kernel's configuration does not set {name}")),
            _ => None,
        }
    }

    /// The programs that need something.
    fn users(&self, wanted: usize) -> impl Iterator<Item = &'a str> {
        let users = self.needs.iter().filter(move |(_, needs)| needs.contains(&wanted));
        users.map(|(name, _)| *name)
    }

    fn is_left_out(&self, name: &str) -> bool {
        self.left_out.iter().any(|program| program == name)
    }

    fn refuse(&mut self, programs: &mut [Program]) {
        if self.needs.is_empty() {
            let all = self.object.programs.iter();
            self.needs = all.map(|p| (p.name.as_str(), needs(self.object, p.function))).collect();
        }
        let mut left_out = Vec::new();
        for program in programs {
            if !(program.is_wanted() || self.is_left_out(&program.name)) {
                continue;
            }
            let needs = self.needs.iter().find(|(name, _)| *name == program.name);
            let needs = needs.into_iter().flat_map(|(_, needs)| needs);
            let lacks = needs.filter_map(|index| self.missing.get(index).map(String::as_str));
            let lacks: Vec<_> = lacks.collect();
            if !lacks.is_empty() {
                let reason = Reason::new(lacks.join("; ")).advice(
                    "use another kernel, or declare it __weak and test whether it is there",
                );
                program.state = State::Refused(reason);
                left_out.push(program.name.clone());
            }
        }
        self.left_out = left_out;
    }
}

/// The references of a function, and of the functions that it calls.
fn needs(object: &Object, function: usize) -> BTreeSet<usize> {
    let mut needs = BTreeSet::new();
    let mut seen = HashSet::new();
    let mut next = vec![function];
    while let Some(index) = next.pop() {
        if !seen.insert(index) {
            continue;
        }
        let references = object.functions.get(index).map(|function| &function.references);
        for reference in references.into_iter().flat_map(Slots::values) {
            match *reference {
                Reference::Extern(index) => drop(needs.insert(index)),
                Reference::Function(index) => next.push(index),
                _ => {}
            }
        }
    }
    needs
}

/// The kind of an expectation, which decides where libbpf looks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// `extern int f(…) __ksym`
    Function,
    /// `extern const struct … v __ksym`
    Variable,
    /// `extern const void s __ksym`: only an address
    Symbol,
    /// `extern int CONFIG_… __kconfig`
    Option,
    /// Filled in by libbpf itself, or unknown to it
    Other,
}

impl Want {
    fn of(wanted: &Extern, object: &Object) -> Self {
        let types = object.btf.as_ref().map(|btf| &btf.types);
        match (wanted.section.as_str(), wanted.ty, types) {
            (".ksyms", Some(ty), Some(types)) => match types.kind(ty) {
                crate::elf::types::Kind::Function { .. } => Self::Function,
                _ if types.resolve(ty) == TypeId::VOID => Self::Symbol,
                _ => Self::Variable,
            },
            (".kconfig", ..) if wanted.name.starts_with("CONFIG_") => Self::Option,
            _ => Self::Other,
        }
    }
}
