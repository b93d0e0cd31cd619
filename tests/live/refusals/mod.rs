//! What a kernel refuses costs only what it was for. A BPF program that is a security module
//! refuses one thing after another to the tools, and each has to show the rest, and to say what
//! it does not.
//!
//! It needs a machine of its own with `lsm=…,bpf`: `tests/vm/matrix.sh --kernel 6.12 -- refusals::`
//! The table that comes out is `docs/refusals.md`; with `SNOOP_BLESS=1` the new one is written.
//!
//! That is the whole table. Where machines share the work (`SNOOP_SHARE`) the other ways to run
//! a tool are only tried without what they alone ask for; of helpers without which the same programs
//! are missing one is refused; and those cells are compared.

mod bpfrun;
mod judge;
mod modes;
mod objects;
mod policy;
mod run;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::env::var_os;
use std::time::Instant;

use snoop_tools::elf::object::Object;

use crate::harness::*;
use crate::skip::{self, skip};
use judge::{Baseline, Verdict};
use modes::Mode;
use policy::{Asked, Policy, What};
use run::Ran;
use table::{Cell, TOOLS};

/// The object of a tool as cargo compiled it, and that which bpfrun runs.
fn object_of(tool: &str) -> Object {
    let own: &[u8] = match tool {
        "execsnoop" => include_bytes!(concat!(env!("OUT_DIR"), "/execve.bpf.o")),
        "tcpconnect" => include_bytes!(concat!(env!("OUT_DIR"), "/tcpconnect.bpf.o")),
        "mmapsnoop" => include_bytes!(concat!(env!("OUT_DIR"), "/mmap.bpf.o")),
        "procsnoop" => include_bytes!(concat!(env!("OUT_DIR"), "/bootstrap.bpf.o")),
        "bpfrun" => &std::fs::read(object("kinds")).unwrap(),
        other => panic!("{other}"),
    };
    Object::parse(own).unwrap()
}

/// All that is found.
struct Matrix {
    policy: Policy,
    rows: BTreeMap<What, [Cell; 5]>,
    wrong: Vec<String>,
    runs: u32,
    /// Whether each refusal is tried in each mode
    is_whole: bool,
}

/// What the plain mode of a tool, which is its first one, has shown already.
#[derive(Default)]
struct Known {
    asked: Vec<Asked>,
    settled: BTreeSet<What>,
}

impl Matrix {
    fn new(objects: &[Object]) -> Self {
        let all: BTreeSet<_> = objects.iter().flat_map(objects::refusals).collect();
        let rows = all.into_iter().map(|what| (what, Default::default())).collect();
        let is_whole = var_os("SNOOP_SHARE").is_none();
        Self { policy: Policy::load(), rows, wrong: Vec::new(), runs: 0, is_whole }
    }

    /// Runs a tool while nothing is refused. Returns what it asked for too.
    fn freely(&mut self, tool: &str, run: impl FnOnce() -> Ran) -> (Ran, Vec<Asked>) {
        self.policy.set(tool, None);
        self.policy.take_asked();
        let ran = run();
        (ran, self.policy.take_asked())
    }

    /// The refusals that touch a tool which asked for all that; `own` as in [`objects::is_used`].
    fn touching(&self, object: &Object, asked: &[Asked], own: bool) -> Vec<What> {
        let mut tried = BTreeSet::new();
        let is_new = |what: &&What| {
            self.is_whole
                || objects::missing_without(object, what, asked).is_none_or(|one| tried.insert(one))
        };
        let used = self.rows.keys().filter(|what| objects::is_used(object, what, asked, own));
        used.filter(is_new).cloned().collect()
    }

    /// Runs a tool once for each of these refusals.
    fn over(
        &mut self,
        (column, tool, flags): (usize, &str, &str),
        refusals: Vec<What>,
        run: impl Fn() -> Ran,
        judge: impl Fn(&What, &Ran) -> Verdict,
    ) -> Vec<(What, Verdict)> {
        let mut verdicts = Vec::new();
        for what in refusals {
            self.policy.set(tool, Some(&what));
            let ran = run();
            self.runs += 1;
            if self.policy.refused() == 0 {
                continue;
            }
            let verdict = judge(&what, &ran);
            let place = format!("{} refused to {tool} {flags}", what.name());
            if !verdict.wrong.is_empty() {
                let wrong = verdict.wrong.join("; ");
                let wrong = format!("WRONG {place}: {wrong}\n    {}", ran.stderr.trim_end());
                eprintln!("{wrong}");
                self.wrong.push(wrong);
            }
            let cells = self.rows.get_mut(&what).unwrap();
            cells[column].0.push((flags.to_owned(), verdict.cell.clone()));
            verdicts.push((what, verdict));
        }
        verdicts
    }

    /// Without those refusals of which the plain mode says enough.
    fn over_mode(&mut self, column: usize, object: &Object, mode: &Mode, known: &mut Known) {
        let tool = mode.tool.0;
        let (ran, mut asked) = self.freely(tool, || Ran::of(mode));
        let baseline = Baseline::of(mode, &ran);
        let flags = match mode.command.is_empty() {
            true => mode.flags.join(" "),
            false => "-- COMMAND".to_owned(),
        };
        let flags = flags.trim_end_matches(" 3600");
        let is_plain = flags.is_empty();
        if is_plain {
            known.asked.clone_from(&asked);
        } else if !self.is_whole {
            asked.retain(|one| !known.asked.contains(one));
        }
        let mut refusals = self.touching(object, &asked, !is_plain);
        refusals.retain(|what| !known.settled.contains(what));
        let verdicts = self.over(
            (column, tool, flags),
            refusals,
            || Ran::of(mode),
            |what, ran| baseline.judge(object, mode, what, ran),
        );
        if is_plain {
            let settles = |(what, verdict): &(What, Verdict)| verdict.settles(what, mode);
            let settled: Vec<_> =
                verdicts.into_iter().filter(settles).map(|(what, _)| what).collect();
            // One that was not tried, as another leaves the same programs out, is settled with it.
            let missing = |what: &What| objects::missing_without(object, what, &asked);
            let without: BTreeSet<_> = settled.iter().filter_map(missing).collect();
            let is_settled = |what: &&What| {
                let is_alike = || missing(what).is_some_and(|names| without.contains(&names));
                settled.contains(what) || (!self.is_whole && is_alike())
            };
            known.settled = self.rows.keys().filter(is_settled).cloned().collect();
        }
    }

    fn over_bpfrun(&mut self, column: usize, object: &Object) {
        let (ran, asked) = self.freely("bpfrun", bpfrun::run);
        let free = bpfrun::judge(object, None, &ran);
        assert_eq!(free.wrong, [""; 0], "{ran:?}");
        let refusals = self.touching(object, &asked, false);
        self.over((column, "bpfrun", ""), refusals, bpfrun::run, |what, ran| {
            bpfrun::judge(object, Some(what), ran)
        });
    }
}

#[test]
fn what_is_refused_costs_only_what_it_was_for() {
    if !in_vm() {
        skip!(skip::OWN_MACHINE); // whose tools may not use BPF meanwhile
    }
    let began = Instant::now();
    let objects = TOOLS.map(object_of);
    let mut matrix = Matrix::new(&objects);
    for (column, (tool, object)) in TOOLS.into_iter().zip(&objects).enumerate() {
        if tool == "bpfrun" {
            matrix.over_bpfrun(column, object);
            continue;
        }
        let mut known = Known::default();
        for mode in modes::of(Tool(tool)) {
            matrix.over_mode(column, object, &mode, &mut known);
        }
    }
    let Matrix { rows, mut wrong, runs, is_whole, .. } = matrix;
    eprintln!("{runs} runs in {:?}", began.elapsed());
    let is_touched = |cells: &[Cell; 5]| cells.iter().any(|cell| !cell.0.is_empty());
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|(_, cells)| is_touched(cells))
        .map(|(what, cells)| (what.name(), cells))
        .collect();
    wrong.extend(if is_whole { table::compare(&rows) } else { table::compare_tried(&rows) });
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
