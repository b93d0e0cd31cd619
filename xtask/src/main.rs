//! What the project makes beside its programs: the licences of what is compiled in, and the
//! kernel's types. It depends on nothing but the sources, and not on the crate, whose build needs
//! those types.

mod copyright;
mod licences;
mod vmlinux;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Make what the project has beside its programs
#[derive(Parser)]
enum Task {
    /// Print the licences of all that is compiled in
    Licences {
        /// Features of the build, as cargo takes them
        #[arg(long, default_value = "")]
        features: String,
        /// Target platform of the build
        #[arg(long)]
        target: String,
    },
    /// Print what debian/copyright says of the crates
    Copyright {
        /// The folder that "cargo vendor --versioned-dirs" has made
        #[arg(long)]
        vendor: PathBuf,
    },
    /// Write vmlinux/ARCH/vmlinux.h: the types of a kernel that our BPF programs use
    Vmlinux {
        /// As in Cargo's names of targets: x86_64, aarch64, s390x, riscv64, powerpc64
        #[arg(long)]
        arch: String,
        /// Which kernel it is: package and version
        #[arg(long)]
        kernel: String,
        /// Check instead that the file is what would be written
        #[arg(long)]
        check: bool,
        /// Check also that programs that are compiled with the file are the same as with all types
        /// of the kernel
        #[arg(long)]
        same: bool,
        /// Write all types of the kernel, to this file
        #[arg(long, value_name = "FILE")]
        full: Option<PathBuf>,
        /// A kernel's image, or its BTF
        image: PathBuf,
    },
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Licences { features, target } => licences::print(&features, &target),
        Task::Copyright { vendor } => copyright::print(&vendor),
        Task::Vmlinux { arch, kernel, check, same, full, image } => match full {
            Some(file) => vmlinux::write_all(&image, &file),
            None if check || same => vmlinux::check(&arch, &kernel, &image, same),
            None => vmlinux::write(&arch, &kernel, &image),
        },
    }
}
