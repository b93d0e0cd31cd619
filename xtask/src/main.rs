//! Makes what is packaged beside the programs and is not about one of them: the licences of what is
//! compiled in. It depends on nothing but the sources.

mod copyright;
mod licences;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Make what is packaged beside the programs
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
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Licences { features, target } => licences::print(&features, &target),
        Task::Copyright { vendor } => copyright::print(&vendor),
    }
}
