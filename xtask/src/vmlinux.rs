//! The kernel's types that our BPF programs use, as C: `vmlinux/ARCH/vmlinux.h`. libbpf finds the
//! members of the running kernel by their names (CO-RE), so that a header needs nothing but the
//! types and members that sources name: a twentieth of what a kernel has.

mod image;
mod kernel;
mod same;
mod select;
mod sources;
#[cfg(test)]
mod tests;
mod write;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use kernel::Kernel;
use select::{Selection, WHOLE};
use sources::Names;

/// An architecture.
struct Arch {
    /// As Cargo calls it
    name: &'static str,
    /// As libbpf's headers do: `__TARGET_ARCH_`
    define: &'static str,
    is_big: bool,
}

const ARCHES: [Arch; 5] = [
    Arch { name: "x86_64", define: "x86", is_big: false },
    Arch { name: "aarch64", define: "arm64", is_big: false },
    Arch { name: "s390x", define: "s390", is_big: true },
    Arch { name: "riscv64", define: "riscv", is_big: false },
    Arch { name: "powerpc64", define: "powerpc", is_big: false },
];

impl Arch {
    fn named(name: &str) -> Result<&'static Self> {
        let found = ARCHES.iter().find(|arch| arch.name == name);
        let names = ARCHES.map(|arch| arch.name).join(", ");
        found.with_context(|| format!("no architecture {name}: there are {names}"))
    }
}

/// The project's folder.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask is in the project")?.to_owned())
}

fn place(arch: &str) -> Result<PathBuf> {
    Arch::named(arch)?;
    Ok(root()?.join("vmlinux").join(arch).join("vmlinux.h"))
}

/// Writes the header of an architecture.
pub(crate) fn write(arch: &str, release: &str, image: &Path) -> Result<()> {
    let place = place(arch)?;
    let text = small(&Kernel::read(image)?, release)?;
    fs::create_dir_all(place.parent().context("a folder")?)?;
    fs::write(&place, &text).with_context(|| place.display().to_string())?;
    println!("{}: {} lines", place.display(), text.lines().count());
    Ok(())
}

/// Writes all types of a kernel.
pub(crate) fn write_all(image: &Path, file: &Path) -> Result<()> {
    let kernel = Kernel::read(image)?;
    fs::write(file, write::header(&kernel, &Selection::all(&kernel)))
        .with_context(|| file.display().to_string())
}

/// Checks that the header of an architecture is as it would be written from this kernel; `same`: and
/// that programs are the same with all types of it.
pub(crate) fn check(arch: &str, release: &str, image: &Path, same: bool) -> Result<()> {
    let place = place(arch)?;
    let kernel = Kernel::read(image)?;
    let text = small(&kernel, release)?;
    let present = fs::read_to_string(&place).with_context(|| place.display().to_string())?;
    if let Some((line, (is, should))) =
        present.lines().zip(text.lines()).enumerate().find(|(_, (a, b))| a != b)
    {
        bail!(
            "{}, line {}: '{is}' should be '{should}': see vmlinux/README.md",
            place.display(),
            line + 1
        );
    }
    ensure!(present == text, "{} is not as it would be written", place.display());
    for name in WHOLE {
        ensure!(is_whole(&kernel, &present, name), "{}: {name} is cut", place.display());
    }
    println!("{arch}: the header is as it would be written");
    if !same {
        return Ok(());
    }

    let full = std::env::temp_dir().join(format!("xtask-full-{}.h", std::process::id()));
    fs::write(&full, write::header(&kernel, &Selection::all(&kernel)))?;
    let compared = same::compare(&root()?, Arch::named(arch)?, [&place, &full]);
    fs::remove_file(&full)?;
    println!("{arch}: {} instructions are the same with all types of the kernel", compared?);
    Ok(())
}

/// The header with what our sources use.
fn small(kernel: &Kernel, release: &str) -> Result<String> {
    let names = Names::of_project(&root()?)?;
    let text = write::header(kernel, &Selection::of(kernel, &names));
    Ok(format!(
        "/* What our BPF programs use of the types of {release}.\n   \
         Made by cargo xtask vmlinux, see vmlinux/README.md: not to be edited. */\n{text}"
    ))
}

/// Whether a header has all values of an enum, which is named by its name or first value.
fn is_whole(kernel: &Kernel, header: &str, name: &str) -> bool {
    let found = kernel.ids().find(|&id| {
        let first = || Some(kernel.values(id)?.values.first()?.0);
        kernel.values(id).is_some() && kernel.name(id).or_else(first) == Some(name)
    });
    found.and_then(|id| kernel.values(id)).is_some_and(|all| {
        all.values.iter().all(|(name, value)| header.contains(&format!("\n\t{name} = {value},\n")))
    })
}
