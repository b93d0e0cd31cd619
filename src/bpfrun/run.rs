//! `bpfrun run`: loads any compiled BPF object, attaches each program on its own, and shows the
//! events.

pub mod args;
pub mod attach;
mod check;
pub mod contents;
pub mod externs;
pub mod fill;
pub mod filters;
pub mod formats;
pub mod hook;
pub mod iterate;
pub mod kind_of;
pub mod literal;
pub mod load;
pub mod maps;
mod pairs;
pub mod perf;
pub mod place;
pub mod plan;
pub mod printk;
pub mod reason;
pub mod row;
pub mod sample;
pub mod schemas;
pub mod set;
pub mod source;
pub mod stacks;
mod symbols;
pub mod watch;
pub mod words;

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use libbpf_rs::OpenObject;
use serde::Serialize;
use serde_json::{Value, json};

use crate::bpfrun::choose::{self, Choice, Chosen, Objects};
use crate::elf::btf_file;
use crate::elf::embedded::Embedded;
use crate::elf::object::Object;
use crate::engine::attach::recursion_misses;
use crate::engine::cli::Budget;
use crate::engine::command::Command;
use crate::engine::errand::Errands;
use crate::engine::explain;
use crate::engine::pulse::Pulse;
use crate::engine::session::{Session, open_output, say};
use crate::engine::stack;
use crate::engine::stop::{StopSignal, command_status};
use crate::host::heap::free_unused_memory;
use crate::output::escape::push_text;
use crate::output::file::OutputFile;

pub use args::Args;
use check::Values;
use contents::Contents;
use externs::Externs;
use filters::Filter;
use formats::Formats;
use hook::Kind;
use load::Loaded;
use maps::EventMapKind;
use plan::Program;
use printk::Printk;
use row::Rows;
use schemas::Schemas;
use set::Patch;
use source::Sources;
use stacks::Stacks;
use watch::{Ended, Watch};

const NAME: &str = "bpfrun";

/// `bpf_trace_printk` and `bpf_trace_vprintk`
const PRINTK: [i32; 2] = [6, 177];

/// Runs the object to its end. Returns the exit status.
pub fn main(args: &Args) -> Result<u8> {
    let in_file = || {
        let name = args.file.to_string_lossy();
        format!("cannot run {}{}", shown(&name), meant(&name))
    };
    let chosen = choose::open(&args.file, args.object.as_deref(), false).with_context(in_file)?;
    let Chosen { data: image, within, cut } = match chosen {
        Choice::One(chosen) => chosen,
        Choice::Wrong(why) => return Ok(wrong_usage(&why)),
        Choice::Several(Objects { all, .. }) => {
            let names = choose::names(&all);
            return Ok(wrong_usage(&format!(
                "{} has several objects: choose with --object N or --object NAME of {names}",
                args.file.to_string_lossy()
            )));
        }
    };
    if let Some(cut) = cut {
        say(NAME, &cut);
    }
    // Our own reader goes first, since it notices damaged files.
    let mut object = Object::parse(&image).with_context(in_file)?;
    check::loadable(&object).with_context(in_file)?;
    let values = match check::names(args, &object) {
        Ok(values) => values,
        Err(message) => return Ok(wrong_usage(&message)),
    };
    if let Some(file) = &args.btf {
        // libbpf would only say that it could not load it.
        let types = btf_file::read(file);
        if let Err(error) = types {
            return Ok(wrong_usage(&format!("--btf {}: {error:#}", file.display())));
        }
    }
    fill::note_programs(&mut object, &values.fills);
    let schemas = match schemas::schemas(args, &image, &object) {
        Ok(schemas) => schemas,
        Err(error) => return Ok(wrong_usage(&format!("{error:#}"))),
    };
    let file = open_output(NAME, &args.place, args.json)?;
    // The child is forked while there is one thread.
    let command = match args.command.as_slice() {
        [] => None,
        words => Some(Command::spawn(NAME, words, None)?),
    };
    // Likewise the one that reads what traced processes chose.
    let errands = match stacks::asks_for_stacks(&object) {
        true => {
            stack::hidden_names().iter().for_each(|line| say(NAME, line));
            Some(Errands::start(stack::errand)?)
        }
        false => None,
    };
    let mut stop = StopSignal::install()?;
    if file.is_some() {
        stop.reopen_on_hangup()?;
    }
    let within = within.as_ref();
    let prepared =
        Prepared { image: &image, within, object: &object, values, schemas, errands, file };
    run(args, prepared, command, stop)
}

/// Reports what is wrong about the command line. Returns the exit status.
fn wrong_usage(why: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "error: {}", shown(why));
    2
}

/// Advice for the name of a file that was meant as a task.
fn meant(name: &str) -> String {
    const SIMILAR: f64 = 0.85;
    let is_close = |task: &&str| {
        strsim::jaro_winkler(name, task) > SIMILAR || strsim::damerau_levenshtein(name, task) == 1
    };
    let task = ["inspect", "run", "help"].into_iter().find(is_close);
    task.map(|task| format!(" (did you mean bpfrun {task}?)")).unwrap_or_default()
}

/// A name from people or files, on one line and escaped for a terminal.
fn shown(text: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, text.as_bytes());
    out
}

/// The facts known before anything is loaded.
struct Prepared<'a> {
    image: &'a [u8],
    /// The place in a program that contains the object
    within: Option<&'a Embedded>,
    object: &'a Object,
    values: Values,
    schemas: Schemas,
    /// Looks up names in processes, if any stack may come
    errands: Option<Errands>,
    /// Of `--output`
    file: Option<OutputFile>,
}

fn run(
    args: &Args,
    prepared: Prepared<'_>,
    mut command: Option<Command>,
    stop: StopSignal,
) -> Result<u8> {
    let Prepared { image, within, object, values, schemas, errands, file } = prepared;
    let stem = args.file.file_stem().context("a file without a name")?.to_string_lossy();
    let stem = stem.trim_end_matches(".bpf");
    let name = within.and_then(Embedded::name).unwrap_or(stem);
    let externs = Externs::new(image, object);
    let mut loaded = load::load(name, object, externs, args, &|open| apply(open, &values.patches))?;
    for missing in fill::apply(&mut loaded.object, &values.fills)? {
        say(NAME, &shown(&missing));
    }
    loaded.events.retain(|event| args.shows(&event.name));
    // Before the first event: a perf buffer takes nothing until it is open.
    let sources = Sources::open(&loaded.object, &loaded.events)?;
    let printk = match says(&loaded) && !args.shows_only_maps() && !args.folded {
        true => Printk::open().map_err(|e| say(NAME, &format!("no bpf_printk(): {e:#}"))).ok(),
        false => None,
    };
    let formats = if args.all_printk { None } else { Formats::of(object) };
    let contents = match (args.maps, args.folded) {
        (None, false) => None,
        (every, _) => Some(Contents::new(&loaded.object, object, every.flatten())?),
    };
    let stacks = match &errands {
        Some(_) => Some(Stacks::new(&loaded.object, object, args.folded)?),
        None => None,
    };
    let mut attachments = attach::attach(&mut loaded, args);
    let _ = std::io::stderr().write_all(&plan::table(&loaded.programs));
    for (name, reason) in &loaded.refused_maps {
        say(NAME, &format!("map {}: refused: {reason}", shown(name)));
    }
    if !loaded.programs.iter().any(Program::is_attached) {
        if let Some(lack) = explain::lack() {
            bail!(lack);
        }
        bail!("nothing could be attached");
    }
    if args.maps.is_none() && !args.folded && shows_nothing(&loaded, &sources, printk.is_some()) {
        say(NAME, "no program sends events or messages: --maps shows the contents of the maps");
    }
    free_unused_memory();
    let filters = filters::unset(object, &args.set);
    if let Some(line) = filters::line(&filters).filter(|_| args.json.is_none()) {
        say(NAME, &shown(&line));
    }

    let has_cpu = printk.is_some() || loaded.events.iter().any(|e| e.kind == EventMapKind::Perf);
    let mut names: Vec<_> = loaded.events.iter().map(|event| event.name.as_str()).collect();
    if printk.is_some() {
        names.push("printk");
    }
    let sizes = schemas::sizes(object, &schemas);
    let mut rows = Rows::new(schemas, sizes, running(&loaded.programs, object), &names, has_cpu);
    let folds = rows.have_stacks() || contents.as_ref().is_some_and(Contents::have_stacks);
    if args.folded && !(folds && stacks.is_some()) {
        bail!("--folded: neither events nor keys of maps have stacks");
    }
    rows.stacks = stacks;
    let mut session = Session::in_place(NAME, args.json, args.max_events, &args.place, file);
    session.out.end_with(Arc::clone(&stop.eventfd));
    let about = described(args, within, &filters);
    start(about, &loaded, &rows, &mut session)?;
    session.out.fit_terminal(args.wide || args.folded);
    if !(args.folded || sources.is_empty() && printk.is_none()) {
        rows.heading(&mut session);
    }
    session.out.flush()?;
    session.tend()?;
    let pulse = Pulse::new(NAME, &args.place, &Budget::default());
    pulse.begin("the programs of an object");
    if let Some(command) = &mut command {
        stop.release(command)?;
    }

    let deadline = args.duration.map(|duration| Instant::now() + duration);
    session.out.end_at(deadline);
    session.errands = errands;
    if let Some(errands) = &mut session.errands {
        errands.end_with(Arc::clone(&stop.eventfd), deadline);
    }
    let mut watch =
        Watch { session, rows, sources, printk, formats, contents, stop, pulse, command, deadline };
    let ended = match watch.iterate(&mut attachments)? {
        Some(ended) => ended,
        // Only iterators, which have ended.
        None if attachments.held.is_empty() && watch.command.is_none() => Ended::Done,
        None => watch.read()?,
    };
    watch.pulse.end();
    drop(attachments); // from here on nothing new happens
    watch.finish(skipped(&loaded))?;
    let command = watch.command.take();
    let signalled = ended == Ended::Signal;
    Ok(command.map_or(0, |command| command_status(command, signalled, &watch.stop)))
}

/// Writes the values of `--set` into the opened object.
fn apply(open: &mut OpenObject, patches: &[Patch]) -> Result<()> {
    for Patch { section, offset, bytes } in patches {
        let map = open.maps_mut().find(|map| {
            // libbpf puts the object's name in front of .rodata, .data and .bss.
            let name = map.name().to_string_lossy();
            name == *section || (!name.starts_with('.') && name.ends_with(section.as_str()))
        });
        let mut map = map.with_context(|| format!("libbpf has no section {section}"))?;
        let data = map.initial_value_mut().with_context(|| format!("{section} has no values"))?;
        let place = data.get_mut(*offset..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.with_context(|| format!("{section} is shorter"))?.copy_from_slice(bytes);
    }
    Ok(())
}

/// Whether nothing can come but the contents of maps.
fn shows_nothing(loaded: &Loaded, sources: &Sources, messages: bool) -> bool {
    let is_iterator = |program: &Program| program.hook.kind == Kind::Iter && program.is_attached();
    sources.is_empty()
        && !messages
        && !loaded.programs.iter().any(is_iterator)
        && contents::has_any(&loaded.object)
}

/// Whether any loaded program calls `bpf_printk()`.
fn says(loaded: &Loaded) -> bool {
    const CALL: u8 = 0x85;
    loaded.object.progs().any(|program| {
        program
            .insns()
            .iter()
            .any(|insn| insn.code == CALL && insn.src_reg() == 0 && PRINTK.contains(&insn.imm))
    })
}

/// The attached programs, and the programs that they may call.
fn running(programs: &[Program], object: &Object) -> HashSet<String> {
    // Programs in a map of programs from the beginning may be called through it.
    let called = |name: &str| {
        object.maps.iter().flat_map(|map| &map.values).any(|(_, program)| program == name)
    };
    let runs = |program: &&Program| {
        program.is_attached()
            || matches!(&program.state, plan::State::Idle(_) if called(&program.name))
    };
    programs.iter().filter(runs).map(|program| program.name.clone()).collect()
}

/// How often the kernel skipped a program because another instance was still running on that CPU:
/// each may be a missing event.
fn skipped(loaded: &Loaded) -> u64 {
    let attached = |name: &std::ffi::OsStr| {
        loaded.programs.iter().any(|program| program.is_attached() && *name == *program.name)
    };
    let programs = loaded.object.progs().filter(|program| attached(program.name()));
    programs.map(|program| recursion_misses(&program)).sum()
}

/// The object, for JSON.
fn described(args: &Args, within: Option<&Embedded>, filters: &[Filter]) -> Value {
    let mut object = json!({ "path": args.file.to_string_lossy() });
    let Value::Object(members) = &mut object else { return object };
    if !filters.is_empty() {
        let filters = filters.iter().map(|f| json!({ "name": f.name, "value": f.value }));
        members.insert("filters".into(), filters.collect());
    }
    if let Some(within) = within {
        members.insert("number".into(), within.number.into());
        members.insert("offset_bytes".into(), within.place.offset.into());
        members.extend(within.name().map(|name| ("name".to_owned(), name.into())));
    }
    object
}

/// Writes the start record, and reports the types of the events.
fn start(about: Value, loaded: &Loaded, rows: &Rows, session: &mut Session) -> Result<()> {
    #[derive(Serialize)]
    struct Start<'a> {
        object: Value,
        programs: Vec<ProgramRecord<'a>>,
        maps: Value,
    }
    #[derive(Serialize)]
    struct ProgramRecord<'a> {
        name: &'a str,
        section: &'a str,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        attached_to: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        advice: Option<&'a str>,
    }
    let iterators = loaded.programs.iter().filter(|program| program.hook.kind == Kind::Iter);
    let iterators = iterators.filter(|program| program.is_attached()).map(|p| p.name.as_str());
    let events = loaded.events.iter().map(|event| event.name.as_str());
    let names: Vec<_> = events.chain(iterators).collect();
    if !session.out.json {
        for name in names {
            for kind in rows.kinds(name) {
                let what = kind.type_name.as_deref().unwrap_or("bytes");
                let how = &kind.provenance;
                say(NAME, &format!("{}: {} ({how})", shown(name), shown(what)));
            }
        }
        return Ok(());
    }
    let programs = loaded.programs.iter().map(|program| {
        let reason = program.state.reason();
        ProgramRecord {
            name: &program.name,
            section: &program.section,
            state: program.state.name(),
            attached_to: match &program.state {
                plan::State::Attached(place) => Some(place),
                _ => None,
            },
            reason: reason.map(|reason| reason.what.as_str()),
            advice: reason.and_then(|reason| reason.advice.as_deref()),
        }
    });
    session.start_record(&Start {
        object: about,
        programs: programs.collect(),
        maps: rows.described(&names),
    })
}
