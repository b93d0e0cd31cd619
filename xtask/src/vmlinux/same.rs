//! Whether programs that are compiled with two headers are the same: instruction by instruction,
//! and where libbpf adapts an instruction to the running kernel, by the member that it is about.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use libbpf_rs::Btf;
use libbpf_rs::btf::types::{Array, Composite, Enum, Enum64};
use libbpf_rs::btf::{BtfType, TypeId};
use object::{
    File, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind,
};

use super::Arch;

/// The programs of an object: by section and place.
type Code = BTreeMap<(String, u64), String>;

/// Compiles all programs of the project with each header, and compares them.
///
/// # Errors
///
/// What differs first.
pub(super) fn compare(root: &Path, arch: &Arch, headers: [&Path; 2]) -> Result<usize> {
    let work = std::env::temp_dir().join(format!("xtask-same-{}", std::process::id()));
    fs::create_dir(&work).with_context(|| work.display().to_string())?;
    let result = compare_in(root, arch, headers, &work);
    fs::remove_dir_all(&work)?;
    result
}

fn compare_in(root: &Path, arch: &Arch, headers: [&Path; 2], work: &Path) -> Result<usize> {
    let include = work.join("include");
    fs::create_dir_all(include.join("bpf"))?;
    for (name, text) in libbpf_sys::API_HEADERS {
        fs::write(include.join("bpf").join(name), text)?;
    }
    let mut instructions = 0;
    for source in sources(&root.join("src/bpf"))? {
        let mut codes = Vec::new();
        for (at, header) in headers.iter().enumerate() {
            let types = work.join(at.to_string());
            fs::create_dir_all(&types)?;
            fs::copy(header, types.join("vmlinux.h"))?;
            let object = work.join("object.bpf.o");
            compile(root, arch, &source, [&types, &include], &object)?;
            codes.push(code(&object)?);
        }
        let [one, other] = &codes[..] else { continue };
        instructions += one.len();
        let name = source.display();
        ensure!(one.len() == other.len(), "{name}: {} and {} instructions", one.len(), other.len());
        for ((place, a), (_, b)) in one.iter().zip(other) {
            ensure!(a == b, "{name}, {place:?}:\n  {a}\n  {b}");
        }
    }
    Ok(instructions)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let files: Result<Vec<_>> = files.collect();
    let is_program = |file: &PathBuf| file.to_string_lossy().ends_with(".bpf.c");
    Ok(files?.into_iter().filter(is_program).collect())
}

fn compile(
    root: &Path,
    arch: &Arch,
    source: &Path,
    includes: [&Path; 2],
    object: &Path,
) -> Result<()> {
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let mut command = Command::new(clang);
    command
        .args(["-g", "-O2", "-mcpu=v3", "-fms-extensions", "-Wno-microsoft-anon-tag"])
        .args(["-target", if arch.is_big { "bpfeb" } else { "bpfel" }])
        .arg(format!("-D__TARGET_ARCH_{}", arch.define))
        .arg("-iquote")
        .arg(root.join("src/bpf/lib"));
    for include in includes {
        command.arg("-isystem").arg(include);
    }
    let status = command.arg("-c").arg(source).arg("-o").arg(object).status()?;
    ensure!(status.success(), "{}: {status}", source.display());
    Ok(())
}

/// All instructions of an object, in words.
fn code(path: &Path) -> Result<Code> {
    let data = fs::read(path)?;
    let file = File::parse(&*data)?;
    let btf = Btf::from_path(path)?;
    let mut code = Code::new();
    let big = !file.is_little_endian();
    let adapted = adapted(&file, &btf, big)?;
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let name = section.name()?.to_owned();
        let mut links = BTreeMap::new();
        for (at, link) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = link.target() else { continue };
            let symbol = file.symbol_by_index(symbol)?;
            // Functions of its own section are in it at an offset that the instruction has.
            links.insert(at, symbol.name()?.to_owned());
        }
        for (index, bytes) in section.data()?.chunks(8).enumerate() {
            let at = 8 * index as u64;
            let text = match adapted.get(&(name.clone(), at)) {
                // Operation and registers; the rest is the member's place.
                Some(what) => format!("{:02x?} {what}", bytes.get(..2).context("an instruction")?),
                None => format!("{bytes:02x?}"),
            };
            let link = links.get(&at).map(|link| format!(" {link}")).unwrap_or_default();
            code.insert((name.clone(), at), text + &link);
        }
    }
    Ok(code)
}

/// Instructions that libbpf adapts, by section and place, with what they are about.
fn adapted(file: &File<'_>, btf: &Btf<'_>, big: bool) -> Result<Code> {
    let section = file.section_by_name(".BTF.ext").context("no .BTF.ext")?;
    let ext = section.data()?;
    let types = file.section_by_name(".BTF").context("no .BTF")?.data()?;
    let word = |data: &[u8], at: usize| -> Option<usize> {
        let bytes = *data.get(at..)?.first_chunk()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) } as usize)
    };
    let strings = word(types, 4).zip(word(types, 16)).map_or(0, |(header, at)| header + at);
    let string = |at: usize| -> Option<&str> {
        let bytes = types.get(strings + at..)?;
        std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
    };
    let mut found = Code::new();
    let mut read = || -> Option<()> {
        // As in build/relocations.rs.
        let mut at = word(ext, 4)? + word(ext, 24)?;
        let end = at + word(ext, 28)?;
        let size = word(ext, at)?;
        at += 4;
        while at < end {
            let section = string(word(ext, at)?)?;
            let count = word(ext, at + 4)?;
            at += 8;
            for _ in 0..count {
                let place = word(ext, at)? as u64;
                let what = describe(btf, word(ext, at + 4)? as u32, string(word(ext, at + 8)?)?)?;
                let text = format!("{what} ({})", word(ext, at + 12)?);
                found.insert((section.to_owned(), place), text);
                at += size;
            }
        }
        Some(())
    };
    read().context("the relocations in .BTF.ext")?;
    Ok(found)
}

/// `task_struct.thread_pid`, of a path such as `0:2`.
fn describe(btf: &Btf<'_>, root: u32, path: &str) -> Option<String> {
    let at = |id: TypeId| -> Option<BtfType<'_>> {
        Some(btf.type_by_id::<BtfType<'_>>(id)?.skip_mods_and_typedefs())
    };
    let first: BtfType<'_> = btf.type_by_id(TypeId::from(root))?;
    let mut text = first.name().unwrap_or_default().to_str()?.to_owned();
    let mut here = at(TypeId::from(root))?;
    let value = |index: usize| -> Option<String> {
        let name = |name: Option<&std::ffi::OsStr>| Some(name?.to_str()?.to_owned());
        if let Ok(found) = Enum::try_from(here) {
            return name(found.get(index)?.name);
        }
        name(Enum64::try_from(here).ok()?.get(index)?.name)
    };
    let mut indices = path.split(':').map(|index| index.parse::<usize>());
    let first = indices.next()?.ok()?;
    if here.is_any_enum() {
        return Some(format!("{text} {}", value(first)?));
    }
    text.push_str(&format!("[{first}]"));
    for index in indices {
        let index = index.ok()?;
        let next = if let Ok(found) = Composite::try_from(here) {
            let member = found.get(index)?;
            text.push('.');
            text.push_str(member.name.unwrap_or_default().to_str()?);
            member.ty
        } else {
            text.push_str(&format!("[{index}]"));
            Array::try_from(here).ok()?.ty()
        };
        here = at(next)?;
    }
    // libbpf compares kinds, too.
    Some(format!("{text}: {:?}", here.kind()))
}
