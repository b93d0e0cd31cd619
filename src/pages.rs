//! The list of all manual pages. Kept apart from [`crate::engine::manual`], which knows of no tool,
//! so that every tool may use it.

use clap::CommandFactory;

use crate::engine::manual::{Manual, Page};
use crate::{bpfrun, tools::execsnoop, tools::mmapsnoop, tools::procsnoop, tools::tcpconnect};

/// The pages of all programs in `src/bin`, by name. Subcommands come after their program; their
/// commands are named `program-subcommand`.
pub fn pages() -> Vec<Page> {
    fn page<A: CommandFactory>(manual: &'static Manual) -> Page {
        Page { command: A::command(), manual }
    }
    let mut pages = vec![
        page::<execsnoop::args::Args>(&execsnoop::args::MANUAL),
        page::<mmapsnoop::args::Args>(&mmapsnoop::args::MANUAL),
        page::<procsnoop::args::Args>(&procsnoop::args::MANUAL),
        page::<tcpconnect::args::Args>(&tcpconnect::args::MANUAL),
    ];
    pages.extend(bpfrun::pages());
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_has_a_page() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin");
        let mut programs: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        programs.sort();
        let names = pages().into_iter().map(|page| page.command.get_name().to_owned());
        let names: Vec<_> = names.filter(|name| !name.contains('-')).collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(sorted, programs, "src/pages.rs has a page for each file of src/bin");
    }

    #[test]
    fn definitions_are_sound() {
        for page in pages() {
            let name = page.command.get_name().to_owned();
            page.command.debug_assert();
            let manual = page.manual;
            let texts = [manual.description, manual.exit_status, manual.overhead];
            for text in texts.iter().chain(manual.privileges) {
                assert!(!text.trim().is_empty(), "{name}");
            }
            assert!(!manual.privileges.is_empty(), "{name}");
            let program = name.split('-').next().unwrap();
            for (line, _) in manual.examples {
                assert!(line.contains(program), "{name}: {line}");
            }
        }
    }
}
