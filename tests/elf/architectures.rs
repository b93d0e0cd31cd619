//! The project's own programs, compiled for each architecture; and the kernels' types for that.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use object::Endianness;
use snoop_tools::elf::object::Object;

use crate::compile::{ARCHES, Arch, compile_own_for};

/// The sources in `src/bpf`.
const NAMES: [&str; 5] = ["bootstrap", "execve", "killsnoop", "mmap", "tcpconnect"];

/// Programs that the others have and these lack, as `arch.bpf.h` says: those on functions for
/// 32-bit programs.
fn lacking(arch: &str, name: &str) -> Vec<String> {
    let ways = |call: &str, ways: &[&str]| -> Vec<String> {
        ways.iter().map(|way| format!("fexit32_{call}{way}")).collect()
    };
    let all = ["", "_vma", "_list", "_wx", "_wx_vma", "_wx_list"];
    // arm64 runs 32-bit programs, and has functions of their own for what they call otherwise.
    let runs_32_bit = arch == "aarch64";
    match name {
        "execve" if !runs_32_bit => {
            vec!["fexit_compat_execve".to_owned(), "fexit_compat_execveat".to_owned()]
        }
        "mmap" => {
            let mut programs = [
                ways("old_mmap", &all),
                ways("mprotect", &all),
                ways("brk", &["", "_wx", "_wx_vma", "_wx_list"]),
                ["munmap", "mremap", "madvise"].map(|call| format!("fexit32_{call}")).into(),
                vec!["fentry32_old_mmap".to_owned()],
            ]
            .concat();
            if !runs_32_bit {
                programs.extend(ways("mmap", &all));
                programs.push("fentry32_mmap".to_owned());
            }
            programs
        }
        _ => Vec::new(),
    }
}

fn names(object: &Object) -> BTreeSet<String> {
    object.programs.iter().map(|program| program.name.clone()).collect()
}

/// Its programs and their hooks, in words.
fn check(arch: &Arch, name: &str, x86: &Object) {
    let object = Object::parse(&compile_own_for(arch, name)).unwrap();
    let big = arch.name == "s390x";
    assert_eq!(object.endian, if big { Endianness::Big } else { Endianness::Little });
    assert_eq!(object.damage, [""; 0], "{name} for {}", arch.name);
    let mut expected = names(x86);
    for program in lacking(arch.name, name) {
        assert!(expected.remove(&program), "{program} is no program of {name}");
    }
    assert_eq!(names(&object), expected, "{name} for {}", arch.name);
    // No hook is another architecture's.
    let prefixes = ["__x64_", "__ia32_", "__arm64_", "__riscv_", "__s390x_"];
    let own = match arch.name {
        "aarch64" => "__arm64_",
        "riscv64" => "__riscv_",
        "s390x" => "__s390x_",
        _ => "none",
    };
    for program in &object.programs {
        let foreign = prefixes.iter().find(|prefix| program.section.contains(*prefix));
        assert!(foreign.is_none_or(|prefix| *prefix == own), "{}", program.section);
    }
    // All of them send the same events.
    assert_eq!(object.maps.len() + usize::from(has_old_registers(x86)), x86.maps.len(), "{name}");
}

/// x86 has had trampolines before registers had types, and a map for copies of these.
fn has_old_registers(x86: &Object) -> bool {
    x86.maps.iter().any(|map| map.name == "seccomp_regs")
}

/// (This machine's own are what the library has.)
#[test]
fn programs_are_compiled_for_each() {
    let others: Vec<_> = ARCHES.iter().filter(|arch| arch.name != "x86_64").collect();
    let x86 = &ARCHES[0];
    std::thread::scope(|scope| {
        for name in NAMES {
            let (x86, others) = (&x86, &others);
            scope.spawn(move || {
                let x86 = Object::parse(&compile_own_for(x86, name)).unwrap();
                others.iter().for_each(|arch| check(arch, name, &x86));
            });
        }
    });
}

/// The lines of an enum's values, from the first one.
fn values(header: &str, first: &str) -> Vec<String> {
    let lines = header.lines().skip_while(|line| *line != first).take_while(|line| *line != "};");
    lines.map(str::to_owned).collect()
}

#[test]
fn enums_for_tables_are_whole() {
    let headers = ARCHES.each_ref().map(|arch| {
        let file = Path::new("vmlinux").join(arch.name).join("vmlinux.h");
        fs::read_to_string(file).unwrap()
    });
    for header in &headers {
        // Each counts up from 0 to the last, which says how many there are, or bit by bit.
        let helpers = values(header, "\tBPF_FUNC_unspec = 0,");
        let last = format!("\t__BPF_FUNC_MAX_ID = {},", helpers.len() - 1);
        assert_eq!(helpers.last(), Some(&last));
        let relocations = values(header, "\tBPF_CORE_FIELD_BYTE_OFFSET = 0,");
        assert_eq!(relocations.last().unwrap(), "\tBPF_CORE_TYPE_MATCHES = 12,");
        assert_eq!(relocations.len(), 13);
        let flags = values(header, "\tBPF_F_NO_PREALLOC = 1,");
        let number = |line: &String| line.trim_end_matches(',').rsplit(' ').next().unwrap().parse();
        for (bit, line) in flags.iter().enumerate() {
            assert_eq!(number(line), Ok(1_u64 << bit), "{line}");
        }
        assert!(flags.len() >= 19, "{}", flags.len());
        // Kernels of one version have the same ones.
        assert_eq!(helpers, values(&headers[0], "\tBPF_FUNC_unspec = 0,"));
    }
}
