//! Compiles every `src/bpf/NAME.bpf.c` for BPF and generates its skeleton, `OUT_DIR/NAME.skel.rs`;
//! and for all of them `OUT_DIR/skeletons.rs`, which `src/skel.rs` includes.

#[path = "build/relocations.rs"]
mod relocations;
#[path = "build/skeletons.rs"]
mod skeletons;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::Btf;

use skeletons::Skeletons;

const BPF_SOURCES: &str = "src/bpf";
/// Headers that every tracer includes.
const BPF_LIBRARY: &str = "src/bpf/lib";

/// The object that comes first, so that its copies of common types are the ones with short names.
const FIRST: &str = "execve";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={BPF_SOURCES}");
    println!("cargo::rerun-if-changed=vmlinux");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-env-changed=VMLINUX_H");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets it")?);
    // Paths from here are the same in each OUT_DIR: so ccache knows what was compiled for another one,
    // and none is in a binary.
    env::set_current_dir(&out_dir).context("go to OUT_DIR")?;
    let vmlinux = vmlinux(&root)?;
    let args = clang_args(&root, &vmlinux)?;
    write_names(&vmlinux.join("vmlinux.h"), &out_dir.join("names.rs"))?;

    let files = files_in(&root.join(BPF_SOURCES))?;
    let own = own_types(&files)?;
    let programs = programs(&files);
    // A path would be one from OUT_DIR otherwise.
    let clang = env::var_os("CLANG").map(|clang| match Path::new(&clang).components().count() {
        1 => PathBuf::from(clang),
        _ => root.join(clang),
    });
    compile_all(&programs, &args, clang.as_deref())?;

    let mut skeletons = Skeletons::default();
    for (name, source) in programs {
        let object = out_dir.join(format!("{name}.bpf.o"));
        let skeleton = out_dir.join(format!("{name}.skel.rs"));
        SkeletonBuilder::new().obj(&object).reference_obj(true).generate(&skeleton)?;
        refer_beside(&skeleton, &object, name)?;
        let btf = Btf::from_path(&object)?;
        let context = || source.display().to_string();
        let relocated = relocations::types(&object, &btf).with_context(context)?;
        skeletons.add(name, &btf, &own, &relocated).with_context(context)?;
    }
    fs::write(out_dir.join("skeletons.rs"), skeletons.finish()?).context("write the skeletons")
}

/// Compiles each program to `NAME.bpf.o`, as many at a time as cargo allows.
fn compile_all(programs: &[(&str, &Path)], args: &[OsString], clang: Option<&Path>) -> Result<()> {
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let taken = AtomicUsize::new(0);
    let next = || programs.get(taken.fetch_add(1, Ordering::Relaxed));
    let work = || -> Result<()> {
        while let Some((name, source)) = next() {
            compile(source, args, clang, name).with_context(|| {
                format!("compile {} for BPF (is clang installed?)", source.display())
            })?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results.collect()
    })
}

fn compile(source: &Path, args: &[OsString], clang: Option<&Path>, name: &str) -> Result<()> {
    let mut builder = SkeletonBuilder::new();
    builder.source(source).clang_args(args).obj(format!("{name}.bpf.o"));
    if let Some(clang) = clang {
        builder.clang(clang);
    }
    builder.build()
}

/// Makes a skeleton name its object by the path from one to the other, so that it is the same
/// wherever it was built; and gives the object a section of its own, since linkers keep whole
/// sections: each program would contain the objects of all.
fn refer_beside(skeleton: &Path, object: &Path, name: &str) -> Result<()> {
    let mut text = fs::read_to_string(skeleton)?;
    let path = format!("\"{}\"", object.canonicalize()?.display());
    let section = format!("\".bpf.objs.{name}\"");
    let beside = format!("\"{name}.bpf.o\"");
    for (word, other) in [(&*path, &beside), ("\".bpf.objs\"", &section)] {
        if !text.contains(word) {
            bail!("{} does not name {word}", skeleton.display());
        }
        text = text.replace(word, other);
    }
    fs::write(skeleton, text).context("write a skeleton")
}

/// All files in a folder and below.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Structs and enums that are not the kernel's.
fn own_types(files: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut own = BTreeSet::new();
    for file in files {
        let source = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        own.extend(skeletons::defined_in(&source).map(str::to_owned));
    }
    Ok(own)
}

/// What is to be compiled, in a stable order: `execve` of `src/bpf/execve.bpf.c`.
fn programs(files: &[PathBuf]) -> Vec<(&str, &Path)> {
    let mut programs: Vec<_> = files
        .iter()
        .filter_map(|file| Some((file.file_name()?.to_str()?.strip_suffix(".bpf.c")?, &**file)))
        .collect();
    programs.sort_by_key(|&(name, _)| (name != FIRST, name));
    programs
}

fn clang_args(root: &Path, vmlinux: &Path) -> Result<Vec<OsString>> {
    let headers = libbpf_headers()?;

    let mut args: Vec<OsString> = [
        "-Wall",
        "-Wextra",
        "-Werror",
        // A program names all arguments of its hook.
        "-Wno-unused-parameter",
        // Headers of Linux 6.19 and later have unnamed members of struct type.
        "-fms-extensions",
        "-Wno-microsoft-anon-tag",
        // The instruction set of kernels 5.1 and later; the default differs between clangs.
        "-mcpu=v3",
        // BTF holds source paths: keep this machine's out of the binaries.
        "-fdebug-compilation-dir=.",
    ]
    .map(OsString::from)
    .to_vec();
    // libbpf-cargo asks for this machine's byte order.
    if env::var("CARGO_CFG_TARGET_ENDIAN").as_deref() == Ok("big") {
        args.push("-mbig-endian".into());
    }
    let mut map = OsString::from("-ffile-prefix-map=");
    map.push(root);
    map.push("=.");
    args.push(map);
    args.extend(["-iquote".into(), root.join(BPF_LIBRARY).into()]);
    // Foreign headers, whose warnings are not ours to mend.
    for dir in std::iter::once(vmlinux.to_owned()).chain(headers) {
        args.push("-isystem".into());
        args.push(dir.into());
    }
    Ok(args)
}

/// The folder with the kernel's types for the target: those of `VMLINUX_H`, a file, or ours.
fn vmlinux(root: &Path) -> Result<PathBuf> {
    if let Some(file) = env::var_os("VMLINUX_H").filter(|file| !file.is_empty()) {
        let file = root.join(file);
        println!("cargo::rerun-if-changed={}", file.display());
        let folder = PathBuf::from("vmlinux");
        fs::create_dir_all(&folder)?;
        let header = fs::read(&file).with_context(|| format!("VMLINUX_H={}", file.display()))?;
        fs::write(folder.join("vmlinux.h"), header).context("copy VMLINUX_H")?;
        return Ok(folder);
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").context("cargo sets the target architecture")?;
    let vmlinux = root.join("vmlinux").join(&arch);
    if !vmlinux.join("vmlinux.h").exists() {
        bail!("no vmlinux/{arch}/vmlinux.h: see vmlinux/README.md for how to make one");
    }
    Ok(vmlinux)
}

/// Tables of the kernel's names for the numbers in BPF objects, which `src/elf/names.rs`
/// includes: from the enums of its own header, so that none is typed by hand.
fn write_names(vmlinux: &Path, to: &Path) -> Result<()> {
    const ENUMS: [(&str, &str, &str); 3] = [
        ("HELPERS", "enum bpf_func_id {", "BPF_FUNC_"),
        ("CORE_KINDS", "enum bpf_core_relo_kind {", "BPF_CORE_"),
        // The enum of the flags of maps has no name.
        ("MAP_FLAGS", "\tBPF_F_NO_PREALLOC = 1,", "BPF_F_"),
    ];
    let header = fs::read_to_string(vmlinux).with_context(|| vmlinux.display().to_string())?;
    let mut text = String::new();
    for (table, start, prefix) in ENUMS {
        let mut lines = header.lines().skip_while(|line| *line != start).peekable();
        lines.next_if(|line| line.ends_with('{'));
        let mut entries = String::new();
        for line in lines.take_while(|line| *line != "};") {
            let entry = line.trim().trim_end_matches(',').split_once(" = ");
            let Some((name, number)) = entry else { continue };
            if let Some(name) = name.strip_prefix(prefix) {
                writeln!(entries, "    ({number}, \"{name}\"),")?;
            }
        }
        if entries.is_empty() {
            bail!("{}: {start} is not as expected", vmlinux.display());
        }
        writeln!(text, "static {table}: &[(u32, &str)] = &[\n{entries}];")?;
    }
    fs::write(to, text).context("write the names")
}

/// Unpacks the BPF headers of the libbpf that is compiled in; returns their folder.
#[cfg(feature = "vendored-libbpf")]
fn libbpf_headers() -> Result<Option<PathBuf>> {
    let include = PathBuf::from("include");
    fs::create_dir_all(include.join("bpf"))?;
    for (name, text) in libbpf_rs::libbpf_sys::API_HEADERS {
        fs::write(include.join("bpf").join(name), text)?;
    }
    Ok(Some(include))
}

/// The distribution's libbpf has its headers in the compiler's own search path.
#[cfg(not(feature = "vendored-libbpf"))]
fn libbpf_headers() -> Result<Option<PathBuf>> {
    Ok(None)
}
