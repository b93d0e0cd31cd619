//! Names for addresses in a process. The process chose its mappings, its files and what is in them,
//! so a helper looks: see [`crate::engine::errand`].

use std::fs;

use super::Owner;
use super::frame::Frame;
use super::perf_map::PerfMap;
use super::symbols::ProcessNames;
use crate::engine::errand::{Errands, Serve};
use crate::host::proc::is_process;
use crate::output::json;

/// The frames of a process whose names are asked for.
pub(super) struct Question<'a> {
    pub(super) owner: Owner,
    pub(super) frames: &'a [Frame],
}

impl Question<'_> {
    /// A name or a place in a file for each frame that has one, and none if the process is gone.
    /// `None`: there was no answer in time.
    pub(super) fn ask(&self, errands: &mut Errands) -> Option<Vec<Option<String>>> {
        if self.frames.is_empty() {
            return Some(Vec::new());
        }
        let numbers = self.frames.iter().flat_map(|frame| [frame.address, frame.inside]);
        let numbers = [u64::from(self.owner.pid), self.owner.start_ns].into_iter().chain(numbers);
        let request: Vec<u8> = numbers.flat_map(u64::to_ne_bytes).collect();
        serde_json::from_slice(&errands.ask(&request)?).ok()
    }
}

/// The helper's side of [`Question::ask`].
pub fn errand() -> Serve {
    let mut names = Names::default();
    Box::new(move |request| {
        let mut numbers = request.chunks_exact(8).map(|bytes| match bytes.try_into() {
            Ok(bytes) => u64::from_ne_bytes(bytes),
            Err(_) => 0,
        });
        let pid = numbers.next().map_or(0, |pid| pid as u32);
        let start_ns = numbers.next().unwrap_or(0);
        let mut frames = Vec::new();
        while let Some((address, inside)) = numbers.next().zip(numbers.next()) {
            frames.push(Frame { address, inside });
        }
        let mut answer = Vec::new();
        // (Memory takes whatever is written.)
        let _ = json::write(&mut answer, &names.of(pid, start_ns, &frames));
        answer
    })
}

/// Looks are that many until the memory is looked at.
const BETWEEN_CHECKS: u32 = 64;

/// More open files than that, and all names are read anew: each file that was ever looked at stays
/// open, and in memory, until then.
const MOST_FILES: usize = 256;

/// Looks up names. Nothing about a process is kept but its perf map: before its next call it may
/// execute another program.
#[derive(Default)]
struct Names {
    symbols: ProcessNames,
    looks: u32,
    /// Of the process that was looked at last: its identity and its map, if it has one
    perf_map: Option<((u32, u64), PerfMap)>,
}

impl Names {
    fn of(&mut self, pid: u32, start_ns: u64, frames: &[Frame]) -> Vec<Option<String>> {
        if !is_process(pid, start_ns) {
            return Vec::new();
        }
        self.looks += 1;
        if self.looks % BETWEEN_CHECKS == 0 && open_files() > MOST_FILES {
            self.symbols.forget();
        }
        let mut names = self.symbols.functions(pid, frames);
        if names.iter().any(Option::is_none) {
            self.add_from_perf_map((pid, start_ns), frames, &mut names);
        }
        if names.iter().any(Option::is_none) {
            let places = self.symbols.places(pid, frames);
            for (name, place) in names.iter_mut().zip(places) {
                *name = name.take().or(place);
            }
        }
        names
    }

    fn add_from_perf_map(
        &mut self,
        process: (u32, u64),
        frames: &[Frame],
        names: &mut [Option<String>],
    ) {
        let (pid, _) = process;
        let known = self.perf_map.take().filter(|(whose, _)| *whose == process);
        let map = known.and_then(|(_, map)| map.updated(pid)).or_else(|| PerfMap::open(pid));
        let Some(map) = map else { return };
        for (name, frame) in names.iter_mut().zip(frames) {
            if name.is_none() {
                *name = map.name(frame.inside).map(str::to_owned);
            }
        }
        self.perf_map = Some((process, map));
    }
}

/// How many files this process has open.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[cfg(all(test, feature = "stacks"))]
mod tests {
    use super::*;
    use crate::host::proc::{Stat, first_ns};

    #[inline(never)]
    fn here() -> u64 {
        here as *const () as u64 + 1
    }

    #[test]
    fn our_own_functions_have_names() {
        let frames = [Frame { address: here(), inside: here() }];
        let (pid, born) = (std::process::id(), Stat::read(std::process::id()).unwrap());
        let start_ns = first_ns(born.start_ticks().unwrap());
        let mut errands = Errands::start(errand).unwrap();
        let ask = |errands: &mut Errands, start_ns| {
            Question { owner: Owner { pid, start_ns }, frames: &frames }.ask(errands)
        };
        let names = ask(&mut errands, start_ns).unwrap();
        // Others may not open the files that a process has mapped.
        if nix::unistd::geteuid().is_root() {
            assert!(names[0].as_ref().unwrap().contains("here"), "{names:?}");
        }
        // A number alone is no process.
        assert_eq!(ask(&mut errands, 0), Some(vec![]));
        let places = ProcessNames::default().places(pid, &frames);
        let name = std::env::current_exe().unwrap();
        let name = format!("{}+0x", name.file_name().unwrap().to_string_lossy());
        assert!(places[0].as_ref().unwrap().starts_with(&name), "{places:?}");
    }
}
