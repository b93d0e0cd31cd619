//! What the tools' own objects need of the kernel, and so what can be refused to them.

use std::collections::BTreeSet;

use libbpf_sys::{
    BPF_ITER_CREATE, BPF_LINK_CREATE, BPF_MAP_CREATE, BPF_MAP_TYPE_ARRAY, BPF_PROG_LOAD,
    BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_TRACING,
    BPF_RAW_TRACEPOINT_OPEN,
};
use snoop_tools::elf::code::Reference;
use snoop_tools::elf::hook::map_type_name;
use snoop_tools::elf::insn::Insn;
use snoop_tools::elf::object::{Object, Program};

use super::policy::{Asked, Named, What};

/// Commands of `bpf()` by which programs are attached.
const COMMANDS: [Named; 3] = [
    Named(BPF_LINK_CREATE, "BPF_LINK_CREATE"),
    Named(BPF_RAW_TRACEPOINT_OPEN, "BPF_RAW_TRACEPOINT_OPEN"),
    Named(BPF_ITER_CREATE, "BPF_ITER_CREATE"),
];

/// A name in the kernel is cut.
const NAME_BYTES: usize = 15;

/// Everything in `object` that can be refused.
pub fn refusals(object: &Object) -> BTreeSet<What> {
    let mut all: BTreeSet<_> = COMMANDS.map(What::Command).into();
    all.insert(What::PerfEvent);
    // By such programs libbpf finds out what the kernel has.
    all.insert(What::Program(Named(BPF_PROG_TYPE_SOCKET_FILTER, "socket_filter")));
    // Variables are in one.
    all.insert(What::Map(BPF_MAP_TYPE_ARRAY));
    all.extend(object.maps.iter().map(|map| What::Map(map.kind)));
    for program in &object.programs {
        let types = program.hook.program_type.zip(program.hook.program_type_name());
        all.extend(types.map(|(number, name)| What::Program(Named(number, name))));
        all.extend(helpers(object, program).into_iter().map(What::Helper));
        all.extend(by_attach_type(program));
    }
    all
}

/// What can be refused to this program for what it is attached to.
fn by_attach_type(program: &Program) -> Vec<What> {
    let hook = &program.hook;
    let (Some(number), Some(attach), Some(name)) =
        (hook.program_type, hook.attach_type, hook.attach_type_name())
    else {
        return Vec::new();
    };
    let mut all =
        vec![What::AttachType(number, Named(attach, name)), What::Link(Named(attach, name))];
    if let Some(id) = target_id(program) {
        let section = program.section.clone();
        all.push(What::Target { program: number, attach, id, section });
    }
    all
}

/// The BTF id of what a program is attached to, if it has one in this kernel.
fn target_id(program: &Program) -> Option<u32> {
    let attach = program.hook.attach_type?;
    let name = std::ffi::CString::new(program.hook.target.as_deref()?).ok()?;
    // SAFETY: a string that ends.
    let id = unsafe { libbpf_sys::libbpf_find_vmlinux_btf_id(name.as_ptr(), attach) };
    u32::try_from(id).ok().filter(|&id| id > 0)
}

/// The functions that a program consists of, by their index.
fn functions(object: &Object, program: &Program) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    let mut left = vec![program.function];
    while let Some(index) = left.pop() {
        if all.insert(index) {
            left.extend(object.functions[index].references.values().filter_map(|reference| {
                match reference {
                    Reference::Function(index) => Some(*index),
                    _ => None,
                }
            }));
        }
    }
    all
}

/// The helpers that a program calls, also where it never gets on this machine.
fn helpers(object: &Object, program: &Program) -> BTreeSet<u32> {
    let functions = functions(object, program).into_iter();
    let insns = functions.flat_map(|index| &object.functions[index].insns);
    let calls = insns.filter(|insn| insn.opcode == Insn::CALL && insn.src == 0);
    calls.map(|insn| insn.imm as u32).collect()
}

/// The maps that a program uses, by their index.
fn maps(object: &Object, program: &Program) -> BTreeSet<usize> {
    let functions = functions(object, program).into_iter();
    let references = functions.flat_map(|index| object.functions[index].references.values());
    let maps = references.filter_map(|reference| match reference {
        Reference::Map(index) => Some(*index),
        _ => None,
    });
    maps.collect()
}

/// Whether a program cannot be loaded or attached if `what` is refused.
pub fn is_refused(object: &Object, program: &Program, what: &What) -> bool {
    let hook = &program.hook;
    let is_traced = hook.program_type == Some(BPF_PROG_TYPE_TRACING);
    match what {
        // Without one libbpf believes that the kernel has no variables, and makes no maps of them.
        What::Program(Named(BPF_PROG_TYPE_SOCKET_FILTER, _)) => true,
        What::Program(Named(number, _)) => hook.program_type == Some(*number),
        What::AttachType(number, Named(attach, _)) => {
            hook.program_type == Some(*number) && hook.attach_type == Some(*attach)
        }
        What::Target { section, .. } => program.section == *section,
        What::Map(number) if *number == BPF_MAP_TYPE_ARRAY => true,
        What::Map(number) => {
            maps(object, program).into_iter().any(|index| object.maps[index].kind == *number)
        }
        What::Helper(number) => helpers(object, program).contains(number),
        // libbpf attaches others in an older way, if need be.
        What::Command(Named(BPF_LINK_CREATE, _)) => is_traced,
        What::Command(Named(BPF_ITER_CREATE, _)) => hook.kind.starts_with("iter"),
        What::Command(_) => hook.program_type == Some(BPF_PROG_TYPE_RAW_TRACEPOINT),
        What::Link(Named(attach, _)) => is_traced && hook.attach_type == Some(*attach),
        What::PerfEvent => matches!(hook.kind.as_str(), "tp" | "tracepoint" | "kprobe"),
    }
}

/// The programs of those asked for that are missing if this helper is refused; `None`: no helper.
/// Refusals of helpers that leave the same programs out come to the same.
pub fn missing_without<'a>(
    object: &'a Object,
    what: &What,
    all: &[Asked],
) -> Option<BTreeSet<&'a str>> {
    let What::Helper(_) = what else { return None };
    let is_asked = |program: &&Program| {
        let mut loads = all.iter().filter(|asked| asked.command == BPF_PROG_LOAD);
        loads.any(|asked| is_named(program, &asked.name))
    };
    let missing = object.programs.iter().filter(|program| is_refused(object, program, what));
    Some(missing.filter(is_asked).map(|program| program.name.as_str()).collect())
}

/// Names by which a message may tell what was refused.
pub fn refused_names(object: &Object, what: &What) -> Vec<String> {
    let programs = object.programs.iter().filter(|program| is_refused(object, program, what));
    let programs = programs.map(|program| program.name.clone());
    let What::Map(number) = what else {
        // libbpf may need the type that our programs are not of.
        let kind = match what {
            What::Program(Named(_, kind)) => Some(kind.to_string()),
            _ => None,
        };
        return programs.chain(kind).collect();
    };
    let maps = object.maps.iter().filter(|map| map.kind == *number).map(|map| map.name.clone());
    let variables = [".rodata", ".data", ".bss", "variables"].map(str::to_owned).into_iter();
    let by_type = map_type_name(*number).map(|name| format!("of type {name}"));
    let maps = maps.chain(by_type);
    maps.chain(variables.filter(|_| *number == BPF_MAP_TYPE_ARRAY)).collect()
}

/// Whether a program has this name in the kernel.
fn is_named(program: &Program, name: &str) -> bool {
    program.name.get(..NAME_BYTES).unwrap_or(&program.name) == name
}

/// Whether a tool that asked for all that is touched if `what` is refused. With `own`, programs
/// do not count by which libbpf finds out what the kernel has.
pub fn is_used(object: &Object, what: &What, all: &[Asked], own: bool) -> bool {
    let counts = |name: &str| !own || object.programs.iter().any(|p| is_named(p, name));
    let calls = |name: &str, helper: u32| {
        let named = |program: &&Program| is_named(program, name);
        object.programs.iter().filter(named).any(|p| helpers(object, p).contains(&helper))
    };
    all.iter().any(|asked| {
        let is_load = asked.command == BPF_PROG_LOAD;
        match what {
            What::Program(Named(number, _)) => {
                is_load && asked.number == *number && counts(&asked.name)
            }
            What::AttachType(number, Named(attach, _)) => {
                is_load && (asked.number, asked.attach_type) == (*number, *attach)
            }
            What::Target { program, attach, id, .. } => {
                let target = (asked.number, asked.attach_type, asked.target);
                is_load && target == (*program, *attach, *id)
            }
            What::Map(number) => asked.command == BPF_MAP_CREATE && asked.number == *number,
            What::Helper(number) => is_load && calls(&asked.name, *number),
            What::Command(Named(number, _)) => asked.command == *number,
            What::Link(Named(attach, _)) => {
                asked.command == BPF_LINK_CREATE && asked.attach_type == *attach
            }
            What::PerfEvent => asked.command == u32::MAX,
        }
    })
}
