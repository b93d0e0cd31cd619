//! Evidence from the source lines that the compiler kept in `.BTF.ext`: the variable and the member
//! that a line writes to, and the struct that it makes. The reading is loose; an unreadable line
//! gives no evidence.

mod c;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use self::c::{MAX_PLACES, Target, made_structs, mentions, named_structs, sent_by, targets};
use super::layout::{inner_structs, names};
use crate::elf::budget::Budget;
use crate::elf::dataflow::{Emission, Write, filled_argument};
use crate::elf::insn::Insn;
use crate::elf::object::Object;
use crate::elf::types::{TypeId, Types};

/// The most writes whose lines are read.
const MAX_WRITES: usize = 512;
/// The most characters of a line.
const MAX_LINE: usize = 1024;

/// The lines that make an event.
pub(super) struct Lines<'e> {
    /// Texts of the lines that send or reserve the event
    sending: Vec<String>,
    /// Lines that write into the event
    writing: Vec<Writing<'e>>,
    /// For each line that makes structs, their names
    made: BTreeSet<Vec<String>>,
    /// All structs that lines name, in casts for example
    named: BTreeSet<String>,
}

/// A line that writes into an event.
struct Writing<'e> {
    targets: Vec<Target>,
    /// Writes with a known place, and their numbers
    writes: Numbered<'e>,
    /// A line beside it fills a member, too, and has no store of its own: compilers store neighbours
    /// together, so its name may be that of a part
    merged: bool,
}

/// Writes with their numbers.
type Numbered<'e> = Vec<(usize, &'e Write)>;

impl<'e> Lines<'e> {
    /// For finding a struct: [`Self::members`] is not asked.
    pub(super) fn new(object: &Object, sent: &'e Emission) -> Self {
        Self::read(object, sent, &|_| false)
    }

    /// For naming fields, which needs all lines of the sending functions.
    pub(super) fn with_neighbours(
        object: &Object,
        sent: &'e Emission,
        assignments: &Assignments,
        steps: &Budget,
    ) -> Self {
        let writes = sent.writes.iter().take(MAX_WRITES);
        let storing: BTreeSet<_> = writes.filter_map(|write| place(object, write.by)).collect();
        let of = |&function| assignments.of(object, function, steps);
        let assigning: Vec<_> = sent.functions.iter().map(of).collect();
        let is_silent = |place: Place| {
            !storing.contains(&place) && assigning.iter().any(|lines| lines.contains(&place))
        };
        Self::read(object, sent, &is_silent)
    }

    /// `is_silent`: the line assigns to members without a store of its own.
    fn read(object: &Object, sent: &'e Emission, is_silent: &dyn Fn(Place) -> bool) -> Self {
        // For each line, the arguments that helpers fill.
        let mut by_line: BTreeMap<String, (BTreeSet<u8>, Numbered<'e>)> = BTreeMap::new();
        for (number, write) in sent.writes.iter().take(MAX_WRITES).enumerate() {
            let Some(text) = line(object, write.by) else { continue };
            let (function, slot) = write.by;
            let insn = object.functions.get(function).and_then(|f| f.insns.get(slot));
            let helper = insn.filter(|insn| (insn.opcode, insn.src) == (Insn::CALL, 0));
            let (filled, writes) = by_line.entry(text).or_default();
            filled.extend(helper.and_then(|insn| filled_argument(insn.imm)));
            if write.sure || write.cleared || write.constants.as_deref() == Some(&[0]) {
                writes.push((number, write));
            }
        }
        let sending: Vec<_> = sent.places.iter().filter_map(|&by| line(object, by)).collect();
        let all = sending.iter().chain(by_line.keys());
        let made = all.map(|line| made_structs(line)).filter(|made| !made.is_empty()).collect();
        let named =
            sending.iter().chain(by_line.keys()).flat_map(|line| named_structs(line)).collect();
        let sending = sending.iter().map(|line| sent_by(line).to_owned()).collect();
        let writing = by_line.into_iter().map(|(line, (filled, writes))| {
            let mut places = writes.iter().filter_map(|(_, write)| place(object, write.by));
            let merged = places.any(|(file, line)| {
                let mut near = line.saturating_sub(MERGED)..=line.saturating_add(MERGED);
                near.any(|line| is_silent((file, line)))
            });
            Writing { targets: targets(&line, &filled), writes, merged }
        });
        Self { sending, writing: writing.collect(), made, named }
    }

    /// Whether the compiler kept no lines.
    pub(super) fn is_empty(&self) -> bool {
        self.sending.is_empty() && self.writing.is_empty()
    }

    /// The cost of [`Lines::votes`], in steps.
    pub(super) fn cost(&self) -> usize {
        let targets: usize = self.writing.iter().map(|line| line.targets.len()).sum();
        self.sending.iter().map(String::len).sum::<usize>() / 8 + self.writing.len() + targets
    }

    /// How often lines name a variable as sent or filled. A sending line counts more than any
    /// writing line, and one with `sizeof` the variable still more.
    pub(super) fn votes(&self, variable: &str) -> usize {
        let sizes = [format!("sizeof({variable})"), format!("sizeof(*{variable})")];
        let sized = self.sending.iter().filter(|line| sizes.iter().any(|size| line.contains(size)));
        let sending = self.sending.iter().filter(|line| mentions(line, variable));
        let named = |target: &Target| target.variable.as_deref() == Some(variable);
        let writing = self.writing.iter().filter(|line| line.targets.iter().any(named));
        sized.count() * 1_000_000 + sending.count() * 1000 + writing.count()
    }

    /// Whether some line makes a struct of this type by name.
    pub(super) fn make(&self, types: &Types, ty: TypeId) -> bool {
        let name = types.name(ty);
        self.made.iter().flatten().any(|made| name == Some(made))
    }

    /// Whether some line names a struct of this type.
    pub(super) fn name(&self, types: &Types, ty: TypeId) -> bool {
        types.name(ty).is_some_and(|name| self.named.contains(name))
    }

    /// The writes, by their numbers, whose lines name only one member, and that member.
    pub(super) fn members(&self) -> impl Iterator<Item = (usize, &str)> {
        self.writing.iter().flat_map(|line| {
            let mut members = line.targets.iter().filter_map(|target| target.member.as_deref());
            let first = members.next();
            let only = first.filter(|first| members.all(|member| member == *first));
            // What a helper fills, or a clock, is one member.
            let whole = |write: &Write| write.filled || write.hint.is_some() || write.width <= 1;
            let writes = line.writes.iter().filter(move |(_, write)| !line.merged || whole(write));
            writes.filter_map(move |&(number, _)| Some((number, only?)))
        })
    }

    /// The number of lines that support a struct: they make one, or write to a member with a name
    /// that it has there. `None`: some line contradicts it. Of several writes by one line, one must
    /// fit each member: compilers store neighbours together.
    pub(super) fn for_struct(&self, types: &Types, ty: TypeId) -> Option<usize> {
        let size = types.size(ty)?;
        let mut found = usize::from(self.make(types, ty));
        // The line may make a part.
        let inner = match self.made.is_empty() {
            true => HashSet::new(),
            false => inner_structs(types, ty),
        };
        if !self.made.iter().all(|made| made.iter().any(|name| inner.contains(name.as_str()))) {
            return None;
        }
        for line in &self.writing {
            let members: Vec<_> =
                line.targets.iter().filter_map(|to| to.member.as_deref()).collect();
            if members.is_empty() {
                continue;
            }
            let within = line.writes.iter().filter(|(_, write)| write.offset < size);
            let here: Vec<_> = within.map(|(_, write)| names(types, ty, write)).collect();
            if here.is_empty() {
                continue;
            }
            let names: usize = here.iter().map(Vec::len).sum();
            if !types.steps.take(members.len() * (names + here.len())) {
                return None;
            }
            if !members.iter().all(|member| here.iter().any(|names| names.contains(member))) {
                return None;
            }
            found += 1;
        }
        Some(found)
    }
}

/// A line: the offset of the file's name, and the number.
type Place = (u32, u32);

/// How far lines can be apart whose stores are made together.
const MERGED: u32 = 2;
fn place(object: &Object, (function, slot): (usize, usize)) -> Option<Place> {
    let line = object.functions.get(function)?.line(slot)?;
    Some((line.file, line.line))
}

/// The lines of each function that assign to members, read once.
#[derive(Default)]
pub(super) struct Assignments(RefCell<HashMap<usize, Rc<BTreeSet<Place>>>>);

impl Assignments {
    /// If the steps are used up, some lines are missing.
    fn of(&self, object: &Object, function: usize, steps: &Budget) -> Rc<BTreeSet<Place>> {
        let mut known = self.0.borrow_mut();
        known.entry(function).or_insert_with(|| Rc::new(assigning(object, function, steps))).clone()
    }
}

fn assigning(object: &Object, function: usize, steps: &Budget) -> BTreeSet<Place> {
    let mut assigning = BTreeSet::new();
    let Some((function, btf)) = object.functions.get(function).zip(object.btf.as_ref()) else {
        return assigning;
    };
    let mut seen = BTreeSet::new();
    for (_, line) in &function.lines {
        let place = (line.file, line.line);
        if !steps.take(1) {
            break;
        }
        if !seen.insert(place) {
            continue;
        }
        let text: String = btf.string(line.text).chars().take(MAX_LINE).collect();
        // Each place is looked at together with the text before or behind it.
        let places = text.matches(['=', '(']).take(2 * MAX_PLACES).count();
        if !steps.take(text.len() * (1 + places) / 8) {
            break;
        }
        if targets(&text, &BTreeSet::new()).iter().any(|target| target.member.is_some()) {
            assigning.insert(place);
        }
    }
    assigning
}

/// The source line of an instruction.
pub(super) fn line(object: &Object, (function, slot): (usize, usize)) -> Option<String> {
    let line = object.functions.get(function)?.line(slot)?;
    let text = object.btf.as_ref()?.string(line.text);
    let code = text.split("//").next().unwrap_or_default();
    Some(code.chars().take(MAX_LINE).collect()).filter(|code: &String| !code.trim().is_empty())
}
