//! `bpfrun inspect`: the contents of a compiled BPF object, without privileges.

mod against;
mod events;
mod json;
mod listing;
mod objects;
mod parts;
mod text;
mod words;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};

use crate::bpfrun::choose::{self, Choice, Chosen};
use crate::bpfrun::glob::Glob;
use crate::bpfrun::list::list;
use crate::elf::acts::{self, Act};
use crate::elf::budget::{Budget, OUTPUT_BYTES, VALUES};
use crate::elf::co_re;
use crate::elf::code::Function;
use crate::elf::dwarf::Dwarf;
use crate::elf::embedded::Embedded;
use crate::elf::object::Object;
use crate::elf::relocate::Judgement;
use crate::elf::schema::{EventSchema, Schemas, UserSchemas, can_have_types, schemas};
use crate::elf::types::{Kind, TypeId, Types};
use crate::elf::value::Decoder;
use crate::engine::manual::Manual;
use crate::engine::session::say;
use crate::output::table::Output;

/// Flags of `bpfrun inspect`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// A compiled BPF object, or a program that contains some; - is stdin
    pub file: PathBuf,

    /// The object of a program that contains several, by number or name
    #[arg(long, value_name = "N|NAME")]
    pub object: Option<String>,

    /// List the objects that a program contains
    #[arg(long, conflicts_with_all = ["object", "disasm", "prog", "types", "schema", "wanted", "type_from"])]
    pub objects: bool,

    /// Show the instructions, with their source lines
    #[arg(short, long)]
    pub disasm: bool,

    /// Only functions with such a name; * and ? stand for any characters (repeatable)
    #[arg(short, long, value_name = "GLOB", requires = "disasm")]
    pub prog: Vec<Glob>,

    /// Show the types in BTF, as C: all, or the ones with this name
    #[arg(
        short,
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "*"
    )]
    pub types: Option<Glob>,

    /// Show the types of events, as C, and where they come from
    #[arg(short, long)]
    pub schema: bool,

    /// Type of the records of this map or iterator (repeatable)
    #[arg(long = "type", value_name = "MAP=STRUCT")]
    pub wanted: Vec<String>,

    /// Look for such structs in this C header (repeatable)
    #[arg(long, value_name = "HEADER")]
    pub type_from: Vec<PathBuf>,

    /// List what of the kernel's types the programs need, and the kernel of this BTF file lacks: raw
    /// BTF such as /sys/kernel/btf/vmlinux, or an ELF file with BTF
    #[arg(
        long,
        visible_alias = "btf",
        value_name = "FILE",
        conflicts_with_all = ["disasm", "types", "schema", "objects"]
    )]
    pub against: Option<PathBuf>,

    /// JSON instead of text: one object on one line
    #[arg(long)]
    pub json: bool,
}

/// The manual beyond the flags.
pub const MANUAL: Manual = Manual {
    description: "\
Shows the contents of a compiled BPF object: programs, maps, variables and events, on demand every \
instruction beside its source. It reads objects of any byte order and any age, also ones that no \
kernel accepts, and objects within programs and libraries. It names damaged parts, and shows the \
rest.",
    examples: &[
        ("bpfrun inspect hello.bpf.o", "programs, maps, variables"),
        ("bpfrun inspect hello.bpf.o --disasm", "every instruction with its source"),
        ("bpfrun inspect hello.bpf.o -d -p 'handle_*'", "only of some functions"),
        ("bpfrun inspect hello.bpf.o --types", "all types as C"),
        ("bpfrun inspect hello.bpf.o --types='*event*'", "some of them"),
        ("bpfrun inspect hello.bpf.o --schema", "the types of its events, as C"),
        ("bpfrun inspect hello.bpf.o --json | jq .maps", "for programs"),
        (
            "bpfrun inspect hello.bpf.o --against /sys/kernel/btf/vmlinux",
            "would it run on this kernel",
        ),
        ("bpfrun inspect /usr/sbin/opensnoop", "the object in a program"),
        ("bpfrun inspect /usr/bin/agent --objects", "all objects in it"),
    ],
    rows: "",
    usual: &["file", "object", "objects", "disasm", "prog", "types", "schema", "against", "json"],
    exit_status: "\
0 everything was shown, and with --against nothing that is needed is missing; 1 the file is not a \
BPF object, parts of it are damaged, or with --against programs would fail; 2 wrong usage.",
    privileges: &["None."],
    overhead: "None: nothing is loaded.",
    ..Manual::TRACER
};

/// The parts to show.
struct Subject<'a> {
    path: &'a Path,
    bytes: usize,
    /// The place in a program that contains it
    within: Option<&'a Embedded>,
    object: &'a Object,
    /// The events of the programs
    events: Vec<EventSchema<'a>>,
    /// What each program does to the system
    acts: Vec<Vec<Act>>,
    /// The parts that could not be read
    damage: Vec<String>,
    args: &'a Args,
    /// What becomes of it on the kernel of `--against`
    judgement: Option<Judgement>,
    /// Bytes of the output
    output: Budget,
    /// Values of variables
    values: Budget,
    /// Lists that were not shown to their ends
    cut: RefCell<Vec<String>>,
    decoders: Decoders,
}

/// Decoders by type: many variables may have the same.
type Decoders = RefCell<HashMap<TypeId, Rc<Decoder>>>;

/// Reads an object and hands it to `show`.
fn with_subject<T>(
    args: &Args,
    data: &[u8],
    within: Option<&Embedded>,
    show: impl FnOnce(&Subject<'_>) -> Result<T>,
) -> Result<T> {
    let object = Object::parse(data)?;
    let mut damage = object.damage.clone();
    let dwarf = Dwarf::parse(data).unwrap_or_else(|error| {
        damage.push(format!("damaged DWARF: {error:#}"));
        None
    });
    let wanted = args.wanted.iter().map(String::as_str);
    can_have_types(&object, wanted).map_err(anyhow::Error::msg)?;
    let user = UserSchemas::new(&args.wanted, &args.type_from)?;
    let Schemas { all: events, cut } = schemas(&object, dwarf.as_ref(), &user)?;
    damage.extend(cut.iter().map(|&line| line.to_owned()));
    let acts = acts::of(&object);
    let judgement =
        args.against.as_deref().map(|file| against::judge(&object, file)).transpose()?;
    if judgement.as_ref().is_some_and(|judgement| judgement.is_cut) {
        damage.push("relocations: too many to compare all of them".to_owned());
    }
    show(&Subject {
        path: &args.file,
        bytes: data.len(),
        within,
        object: &object,
        events,
        acts,
        damage,
        args,
        judgement,
        output: Budget::new(OUTPUT_BYTES),
        values: Budget::new(VALUES),
        cut: RefCell::default(),
        decoders: RefCell::default(),
    })
}

impl Subject<'_> {
    /// Whether to show the instructions of a function.
    fn disassembles(&self, function: &Function) -> bool {
        let mut globs = self.args.prog.iter();
        self.args.disasm
            && (self.args.prog.is_empty() || globs.any(|glob| glob.matches(&function.name)))
    }

    /// Whether another item of a list may be shown: what is written has a limit. Reports it once if
    /// not.
    fn has_room(&self, what: &str, shown: usize) -> bool {
        if !self.output.is_cut() {
            return true;
        }
        self.cut.borrow_mut().push(format!(
            "{what}: only the first {shown} are shown: the output would be too long"
        ));
        false
    }

    /// All that is damaged, or missing in the output.
    fn all_damage(&self) -> Vec<String> {
        let mut all = self.damage.clone();
        all.extend(self.cut.borrow().iter().cloned());
        let types = self.object.btf.iter().map(|btf| &btf.types);
        let cut = |is_cut: fn(&Types) -> bool| {
            let mut types = types.clone().chain(self.events.iter().map(|event| &*event.types));
            types.any(is_cut)
        };
        if cut(Types::is_c_cut) {
            all.push("types: their text is longer than any honest one: it is cut at each …".into());
        }
        if self.values.is_cut() || cut(Types::are_fields_cut) {
            all.push("variables: too many fields and values: they are cut at each …".into());
        }
        all
    }

    /// Reads values of a type, if BTF has it.
    fn decoder(&self, ty: Option<TypeId>) -> Option<Rc<Decoder>> {
        let mut known = self.decoders.borrow_mut();
        if let Some(known) = known.get(&ty?) {
            return Some(known.clone());
        }
        let new = Rc::new(words::decoder(self.object, ty)?);
        known.insert(ty?, new.clone());
        Some(new)
    }

    /// The C name of a type.
    fn c_name(&self, ty: Option<TypeId>) -> Option<String> {
        Some(self.object.btf.as_ref()?.types.c_name(ty?))
    }

    /// Whether a zero of this type is one word, such as `false`, not many.
    fn is_simple(&self, ty: Option<TypeId>) -> bool {
        let Some((ty, btf)) = ty.zip(self.object.btf.as_ref()) else { return false };
        matches!(
            btf.types.resolved(ty),
            Kind::Int { .. } | Kind::Float { .. } | Kind::Enum { .. } | Kind::Pointer(_)
        )
    }

    /// Whether a type has a line of its own, as types with a body or another name do. Mere parts of
    /// such types have none.
    fn has_line(&self, id: TypeId) -> bool {
        let Some(btf) = &self.object.btf else { return false };
        let has_body = matches!(
            btf.types.kind(id),
            Kind::Struct(_)
                | Kind::Union(_)
                | Kind::Enum { .. }
                | Kind::Typedef(_)
                | Kind::Function { .. }
                | Kind::Var { .. }
        );
        // An enum is useful without a name.
        let is_constants = matches!(btf.types.kind(id), Kind::Enum { .. });
        has_body && (is_constants || btf.types.name(id).is_some())
    }

    /// A pattern on the command line without a match.
    fn wrong_name(&self) -> Option<String> {
        let functions = || self.object.functions.iter().map(|function| &*function.name);
        for glob in &self.args.prog {
            if !functions().any(|name| glob.matches(name)) {
                let names = list(functions(), ", ");
                let names = if names.is_empty() { "none".to_owned() } else { names };
                return Some(format!("no function is like {glob}: there are {names}"));
            }
        }
        // A pattern for all types is never wrong.
        let glob = self.args.types.as_ref().filter(|glob| !glob.is_everything())?;
        if self.object.btf.is_none() {
            return Some(NO_TYPES.to_owned());
        }
        if self.types().next().is_none() {
            return Some(format!("no type in BTF is like {glob}"));
        }
        let nothing = !self.args.json && !self.types().any(|id| self.has_line(id));
        nothing.then(|| format!("{glob} has no members or values to show; --json shows the rest"))
    }

    /// The types to show.
    fn types(&self) -> impl Iterator<Item = TypeId> {
        let glob = self.args.types.as_ref();
        let types = self.object.btf.iter().flat_map(|btf| btf.types.iter());
        types.filter_map(move |(id, ty)| {
            let name = ty.name.as_deref().unwrap_or_default();
            glob.filter(|glob| id != TypeId::VOID && glob.matches(name)).map(|_| id)
        })
    }
}

/// The message if there are no types to show.
const NO_TYPES: &str = "it has no BTF, so there are no types";

/// The loader's change to an instruction, in words.
fn core_words(object: &Object, function: &Function, slot: usize) -> Option<String> {
    let info = function.core.get(slot)?;
    let btf = object.btf.as_ref()?;
    Some(co_re::describe(&btf.types, info, &btf.string(info.access)))
}

/// The contents of an object, as `--json` shows them.
pub fn describe(args: &Args, data: &[u8]) -> Result<serde_json::Value> {
    with_subject(args, data, None, |subject| {
        Ok(serde_json::to_value(json::Document::new(subject))?)
    })
}

/// Reports what is wrong about the command line. Returns the exit status.
fn wrong_usage(why: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "error: {}", words::safe(why));
    2
}

/// Shows the object. Returns the exit status.
pub fn main(args: &Args) -> Result<u8> {
    let in_file = || format!("cannot inspect {}", words::safe(&args.file.to_string_lossy()));
    let mut out = Output::new(args.json);
    let chosen = choose::open(&args.file, args.object.as_deref(), args.objects);
    let Chosen { data, within, cut } = match chosen.with_context(in_file)? {
        Choice::One(chosen) => chosen,
        Choice::Several(objects) => return objects::write(args, &objects, &mut out),
        Choice::Wrong(why) => return Ok(wrong_usage(&why)),
    };
    let (mut is_untyped, mut fails) = (false, false);
    let outcome = with_subject(args, &data, within.as_ref(), |subject| {
        if let Some(wrong) = subject.wrong_name() {
            return Ok(Err(wrong));
        }
        if args.json {
            let document = json::Document::new(subject);
            out.large_object(&document, |bytes| _ = subject.output.take(bytes))?;
        } else {
            text::write(subject, &mut out)?;
        }
        // All types of an object without types is not an error, but no output would be hard to
        // understand.
        is_untyped = args.types.is_some() && subject.object.btf.is_none();
        fails = subject.judgement.as_ref().is_some_and(against::fails);
        let mut damage = subject.all_damage();
        damage.extend(cut.clone());
        Ok(Ok(damage))
    });
    let damage = match outcome.with_context(in_file)? {
        Ok(damage) => damage,
        Err(wrong) => return Ok(wrong_usage(&wrong)),
    };
    out.flush()?;
    if is_untyped && !args.json && damage.is_empty() {
        say("bpfrun", NO_TYPES);
    }
    for damage in &damage {
        say("bpfrun", &words::safe(damage));
    }
    Ok(u8::from(fails || !damage.is_empty()))
}
