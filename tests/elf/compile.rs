//! Small C sources, compiled for BPF where they are needed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An architecture for which programs are compiled.
pub(crate) struct Arch {
    /// As Cargo calls it, and the folder of its kernel's types
    pub(crate) name: &'static str,
    /// As libbpf's headers do
    define: &'static str,
    target: &'static str,
}

pub(crate) const ARCHES: [Arch; 5] = [
    Arch { name: "x86_64", define: "x86", target: "bpfel" },
    Arch { name: "aarch64", define: "arm64", target: "bpfel" },
    Arch { name: "riscv64", define: "riscv", target: "bpfel" },
    Arch { name: "powerpc64", define: "powerpc", target: "bpfel" },
    Arch { name: "s390x", define: "s390", target: "bpfeb" },
];

impl Arch {
    /// This machine's.
    fn host() -> &'static Self {
        ARCHES.iter().find(|arch| arch.name == std::env::consts::ARCH).unwrap()
    }
}

/// A name for a file of this test's own.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    dir.join(format!("{}-{number}-{name}", std::process::id()))
}

/// The object that clang makes of `tests/elf/sources/NAME.bpf.c`, with debug information, for
/// `target` (`bpfel` or `bpfeb`).
pub(crate) fn compile(name: &str, target: &str, flags: &[&str]) -> Vec<u8> {
    compile_file(Arch::host(), "tests/elf/sources", name, target, flags)
}

/// The same of one of the project's own sources.
pub(crate) fn compile_own(name: &str) -> Vec<u8> {
    compile_own_for(Arch::host(), name)
}

/// The same for any architecture, with the warnings that `build.rs` asks for.
pub(crate) fn compile_own_for(arch: &Arch, name: &str) -> Vec<u8> {
    compile_file(arch, "src/bpf", name, arch.target, &["-Wextra", "-Wno-unused-parameter"])
}

/// The same of one that live tests run.
pub(crate) fn compile_fixture(name: &str) -> Vec<u8> {
    let flags = ["-Wno-unused-parameter"];
    compile_file(Arch::host(), "tests/fixtures/bpf", name, Arch::host().target, &flags)
}

fn compile_file(arch: &Arch, folder: &str, name: &str, target: &str, flags: &[&str]) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let object = scratch(&format!("{name}.bpf.o"));
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut command = Command::new(clang);
    command
        .args(["-g", "-O2", "-mcpu=v3", "-Wall", "-Werror", "-Wno-microsoft-anon-tag"])
        .args(["-fms-extensions", "-fdebug-compilation-dir=.", "-target", target])
        .arg(format!("-D__TARGET_ARCH_{}", arch.define))
        .arg("-isystem")
        .arg(root.join("vmlinux").join(arch.name))
        .arg("-isystem")
        .arg(concat!(env!("OUT_DIR"), "/include"))
        .args(flags)
        .args(["-iquote", "src/bpf/lib", "-c"])
        .arg(format!("{folder}/{name}.bpf.c"))
        .arg("-o")
        .arg(&object)
        .current_dir(root);
    run(&mut command);
    let data = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    data
}

/// `kinds.bpf.c`, which has one of everything, compiled once.
pub(crate) fn kinds() -> &'static [u8] {
    static OBJECT: LazyLock<Vec<u8>> = LazyLock::new(|| compile("kinds", "bpfel", &[]));
    &OBJECT
}

/// The same object without debug information for debuggers, as builds of skeletons have it.
pub(crate) fn strip(data: &[u8]) -> Vec<u8> {
    let object = scratch("strip.bpf.o");
    std::fs::write(&object, data).unwrap();
    run(Command::new("llvm-strip").arg("-g").arg(&object));
    let data = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    data
}

/// The same object without source lines and what else `.BTF.ext` has.
pub(crate) fn without_lines(data: &[u8]) -> Vec<u8> {
    without(data, &[".BTF.ext", ".rel.BTF.ext"])
}

/// The same object without any types.
pub(crate) fn without_btf(data: &[u8]) -> Vec<u8> {
    without(data, &[".BTF", ".rel.BTF", ".BTF.ext", ".rel.BTF.ext"])
}

fn without(data: &[u8], sections: &[&str]) -> Vec<u8> {
    let object = scratch("sections.bpf.o");
    std::fs::write(&object, data).unwrap();
    let flags = sections.iter().flat_map(|section| ["-R", section]);
    run(Command::new("llvm-objcopy").args(flags).arg(&object));
    let data = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    data
}

/// What a program writes, which has to end well.
pub(crate) fn run(command: &mut Command) -> String {
    let name = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", show(&name)));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", show(&name));
    String::from_utf8(output.stdout).unwrap()
}

fn show(name: &OsStr) -> std::path::Display<'_> {
    Path::new(name).display()
}
