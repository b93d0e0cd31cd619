//! Makes what is packaged beside the programs and is not about one of them: the licences of what is
//! compiled in. It depends on nothing but the sources.

mod licences;

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
}

fn main() -> Result<()> {
    let Task::Licences { features, target } = Task::parse();
    licences::print(&features, &target)
}
