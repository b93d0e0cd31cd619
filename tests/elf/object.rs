//! What is read of objects of all kinds.

use snoop_tools::elf::code::Reference;
use snoop_tools::elf::map::Map;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::types::TypeId;

use crate::compile::{compile, compile_fixture, kinds, strip};

fn map<'a>(object: &'a Object, name: &str) -> &'a Map {
    object.maps.iter().find(|map| map.name == name).unwrap()
}

fn c_name(object: &Object, ty: Option<TypeId>) -> String {
    object.btf.as_ref().unwrap().types.c_name(ty.unwrap())
}

/// Name, kind, target, type, attach type.
fn programs(object: &Object) -> Vec<[&str; 5]> {
    let programs = object.programs.iter().map(|program| {
        let hook = &program.hook;
        [
            &program.name,
            &hook.kind,
            hook.target.as_deref().unwrap_or_default(),
            hook.program_type_name().unwrap_or_default(),
            hook.attach_type_name().unwrap_or_default(),
        ]
    });
    programs.collect()
}

#[test]
fn programs_and_where_they_belong() {
    let object = Object::parse(kinds()).unwrap();
    assert_eq!(object.damage, [""; 0]);
    assert_eq!(
        programs(&object),
        [
            ["handle_exec", "tp", "sched/sched_process_exec", "tracepoint", ""],
            ["handle_unlink", "kprobe", "do_unlinkat", "kprobe", ""],
            ["handle_mkdir", "fentry.s", "do_mkdirat", "tracing", "trace_fentry"],
            ["handle_main", "uprobe", "/usr/bin/env:main", "kprobe", ""],
            ["drop_none", "xdp.frags", "", "xdp", "xdp"],
            ["let_connect", "cgroup/connect4", "", "cgroup_sock_addr", "cgroup_inet4_connect"],
            ["no_kind", "something else", "", "", ""],
        ]
    );
    let optional: Vec<_> = object.programs.iter().filter(|p| p.hook.optional).collect();
    assert_eq!(optional.len(), 1);
    assert_eq!(optional[0].name, "handle_mkdir");
    assert_eq!(object.licence.as_deref(), Some("GPL"));
    assert_eq!(object.kernel_version, None);
    let others: Vec<_> = object.functions.iter().map(|f| &*f.name).collect();
    assert!(others.contains(&"in_text") && others.contains(&"each"), "{others:?}");
}

#[test]
fn maps_with_types() {
    let object = Object::parse(kinds()).unwrap();
    assert_eq!(object.maps.len(), 6);
    let outer = map(&object, "outer");
    assert_eq!((outer.kind, outer.key_size, outer.max_entries), (12, 4, 3));
    assert_eq!(outer.values, [(0, "first".to_owned()), (2, "second".to_owned())]);
    let inner = outer.inner.as_ref().unwrap();
    assert_eq!((inner.kind, inner.key_size, inner.value_size, inner.max_entries), (2, 4, 8, 2));
    let started = map(&object, "started");
    assert_eq!((started.kind, started.value_size, started.max_entries), (1, 32, 1024));
    assert_eq!((started.flags, started.pinning), (1, 1));
    assert_eq!(c_name(&object, started.value), "struct event");
    let events = map(&object, "events");
    assert_eq!((events.kind, events.max_entries), (27, 256 * 1024));
    assert_eq!(c_name(&object, events.value), "struct event");
    let perf = map(&object, "perf");
    assert_eq!((perf.kind, perf.key_size, perf.value_size, perf.value), (4, 4, 4, None));
}

#[test]
fn variables_and_what_is_expected_of_the_kernel() {
    let object = Object::parse(kinds()).unwrap();
    let globals: Vec<_> = object
        .globals
        .iter()
        .filter(|global| !global.name.contains("____"))
        .map(|global| (&*global.name, c_name(&object, global.ty), object.initial_value(global)))
        .collect();
    let value = |name: &str| globals.iter().find(|global| global.0 == name).unwrap();
    assert_eq!(value("least_ns").1, "const volatile __u64");
    assert_eq!(value("least_ns").2, Some(&1000_u64.to_le_bytes()[..]));
    assert_eq!(value("verbose").1, "const volatile bool");
    assert_eq!(value("last").1, "struct event");
    assert_eq!(&value("last").2.unwrap()[..9], b"\x07\0\0\0init\0");
    assert_eq!(value("table").2, None, "in .bss");
    assert_eq!(value("calls").1, "__u32");
    let externs: Vec<_> = object.externs.iter().map(|e| (&*e.name, &*e.section, e.weak)).collect();
    for expected in [
        ("LINUX_KERNEL_VERSION", ".kconfig", false),
        ("bpf_prog_active", ".ksyms", true),
        ("bpf_rcu_read_lock", ".ksyms", false),
    ] {
        assert!(externs.contains(&expected), "{expected:?}: {externs:?}");
    }
}

#[test]
fn what_instructions_refer_to() {
    let object = Object::parse(kinds()).unwrap();
    let references = |name: &str| {
        let program = object.programs.iter().find(|program| program.name == name).unwrap();
        let function = object.function(program).unwrap();
        let names = function.references.values().map(|reference| match reference {
            Reference::Map(index) => format!("map {}", object.maps[*index].name),
            Reference::Function(index) => format!("function {}", object.functions[*index].name),
            Reference::Extern(index) => format!("extern {}", object.externs[*index].name),
            Reference::Data { section, offset } => {
                let (global, within) = object.global_at(*section, *offset).unwrap();
                format!("variable {}+{within}", global.name)
            }
            Reference::Other(_) | Reference::Code { .. } => panic!("{reference:?}"),
        });
        let mut names: Vec<_> = names.collect();
        names.sort(); // their order is the compiler's
        names
    };
    let unlink = references("handle_unlink");
    assert_eq!(unlink, ["function in_text", "map outer", "map perf", "map started"]);
    let mkdir = references("handle_mkdir");
    assert_eq!(
        mkdir,
        [
            "extern LINUX_KERNEL_VERSION",
            "extern bpf_prog_active",
            "extern bpf_rcu_read_lock",
            "extern bpf_rcu_read_unlock",
            "function each",
        ]
    );
    let exec = references("handle_exec");
    for expected in ["variable least_ns+0", "map events", "variable last+0"] {
        assert!(exec.iter().any(|name| name == expected), "{expected}: {exec:?}");
    }
    let main = references("handle_main");
    assert_eq!(main.len(), 1);
    assert!(main[0].starts_with("variable table+"), "{main:?}");
}

#[test]
fn big_endian_objects_say_the_same() {
    let little = Object::parse(kinds()).unwrap();
    let big = Object::parse(&compile("kinds", "bpfeb", &[])).unwrap();
    assert_eq!(big.damage, [""; 0]);
    assert_eq!(programs(&big), programs(&little));
    assert_eq!(big.maps.len(), little.maps.len());
    for (big, little) in big.maps.iter().zip(&little.maps) {
        assert_eq!((&big.name, big.kind, big.flags), (&little.name, little.kind, little.flags));
        assert_eq!(big.values, little.values);
        assert_eq!(big.value_size, little.value_size);
    }
    for (big, little) in big.functions.iter().zip(&little.functions) {
        assert_eq!(big.name, little.name);
        assert_eq!(big.references.len(), little.references.len(), "{}", big.name);
        assert_eq!(big.lines.len(), little.lines.len(), "{}", big.name);
        assert_eq!(big.core.len(), little.core.len(), "{}", big.name);
    }
}

#[test]
fn stripping_takes_nothing_but_dwarf() {
    let full = kinds();
    let stripped = Object::parse(&strip(full)).unwrap();
    let full = Object::parse(full).unwrap();
    assert!(full.has_dwarf && !stripped.has_dwarf);
    assert_eq!(programs(&stripped), programs(&full));
    let maps = |object: &Object| {
        let of = |map: &Map| (map.name.clone(), map.kind, map.key, map.value, map.values.clone());
        object.maps.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(maps(&stripped), maps(&full));
    let lines = |object: &Object| object.functions.iter().map(|f| f.lines.len()).sum::<usize>();
    assert!(lines(&stripped) > 20);
    assert_eq!(lines(&stripped), lines(&full));
}

#[test]
fn legacy_objects() {
    for (target, flags) in [("bpfel", &[][..]), ("bpfeb", &[]), ("bpfel", &["-g0"])] {
        let object = Object::parse(&compile("legacy", target, flags)).unwrap();
        assert_eq!(object.kernel_version, Some(0x0004_1307));
        assert_eq!(object.licence.as_deref(), Some("Dual MIT/GPL"));
        assert!(object.maps.iter().all(|map| map.legacy));
        let counts = map(&object, "counts");
        assert_eq!((counts.kind, counts.key_size, counts.value_size), (1, 4, 8));
        assert_eq!((counts.max_entries, counts.flags, counts.pinning), (100, 1, 0));
        assert_eq!(map(&object, "names").kind, 6);
        let shared = map(&object, "shared");
        assert_eq!((shared.kind, shared.max_entries, shared.pinning), (2, 1, 2));
        let function = object.function(&object.programs[0]).unwrap();
        let maps = function.references.values().filter(|r| matches!(r, Reference::Map(_)));
        assert_eq!(maps.count(), 3);
    }
}

#[test]
fn programs_that_act_are_found_out() {
    let object = Object::parse(&compile_fixture("acts")).unwrap();
    let acts = snoop_tools::elf::acts::of(&object);
    let of = |name: &str| {
        let index = object.programs.iter().position(|program| program.name == name).unwrap();
        acts[index].iter().map(|act| &*act.name).collect::<Vec<_>>()
    };
    for name in ["itself", "by_function", "via_tail", "by_tail_call"] {
        assert_eq!(of(name), ["send_signal"], "{name}");
    }
    assert_eq!(of("by_callback"), ["send_signal_thread"]);
    assert_eq!(of("writes"), ["probe_write_user"]);
    assert_eq!(of("looks"), [""; 0]);
    let object = Object::parse(&compile_fixture("externs")).unwrap();
    let acts = snoop_tools::elf::acts::of(&object);
    assert!(acts.iter().flatten().any(|act| act.name == "no_such_kfunc"), "{acts:?}");
}
