//! Names by blazesym, which reads the symbols of the kernel and of ELF files.

use std::fs;
use std::path::Path;

use blazesym::normalize::{Normalizer, UserMeta};
use blazesym::symbolize::source::{Kernel, Process, Source};
use blazesym::symbolize::{
    FindSymOpts, Input, ProcessMemberInfo, ProcessMemberType, Reason, Resolve, ResolvedSym,
    Symbolize, Symbolized, Symbolizer, TranslateFileOffset,
};
use blazesym::{Addr, MaybeDefault, Pid};

use super::frame::Frame;

/// Names of the kernel's functions.
pub(super) struct KernelNames(Symbolizer);

impl Default for KernelNames {
    fn default() -> Self {
        Self(Symbolizer::builder().enable_code_info(false).build())
    }
}

impl KernelNames {
    /// Names of functions, if they have one: an entry for each frame. From /proc/kallsyms alone: to use
    /// a file of the kernel takes its place in memory, which blazesym reads in /proc/kcore; that is
    /// for root, and where it is refused there would be no names at all.
    pub(super) fn of(&self, frames: &[Frame]) -> Vec<Option<String>> {
        let kernel =
            Kernel { vmlinux: MaybeDefault::None, kaslr_offset: Some(0), ..Kernel::default() };
        names(&self.0, &Source::Kernel(kernel), frames)
    }
}

fn names(symbolizer: &Symbolizer, source: &Source<'_>, frames: &[Frame]) -> Vec<Option<String>> {
    let inside: Vec<u64> = frames.iter().map(|frame| frame.inside).collect();
    let name = |symbol: &Symbolized<'_>| match symbol {
        Symbolized::Sym(symbol) => Some(symbol.name.clone().into_owned()),
        Symbolized::Unknown(_) => None,
    };
    match symbolizer.symbolize(source, Input::AbsAddr(&inside)) {
        Ok(symbols) => symbols.iter().map(name).collect(),
        Err(_) => vec![None; frames.len()],
    }
}

/// Names of what is in a process.
pub(super) struct ProcessNames {
    symbolizer: Symbolizer,
    normalizer: Normalizer,
}

impl Default for ProcessNames {
    fn default() -> Self {
        Self {
            symbolizer: symbolizer(),
            normalizer: Normalizer::builder().enable_build_ids(false).build(),
        }
    }
}

fn symbolizer() -> Symbolizer {
    let builder = Symbolizer::builder().enable_code_info(false);
    builder.set_process_dispatcher(only_regular_files).build()
}

impl ProcessNames {
    /// Closes the files that were looked at, which otherwise stay open and in memory.
    pub(super) fn forget(&mut self) {
        self.symbolizer = symbolizer();
    }

    /// Names of functions, if they have one: an entry for each frame.
    pub(super) fn functions(&self, pid: u32, frames: &[Frame]) -> Vec<Option<String>> {
        let mut process = Process::new(Pid::from(pid));
        process.perf_map = false; // read by our own code, with bounds
        names(&self.symbolizer, &Source::Process(process), frames)
    }

    /// The file and offset of each frame, if it is in a file: the same in all processes, unlike the
    /// address.
    pub(super) fn places(&self, pid: u32, frames: &[Frame]) -> Vec<Option<String>> {
        let addresses: Vec<u64> = frames.iter().map(|frame| frame.address).collect();
        let Ok(places) = self.normalizer.normalize_user_addrs(Pid::from(pid), &addresses) else {
            return Vec::new();
        };
        let place = |&(offset, meta): &(u64, usize)| match places.meta.get(meta)? {
            UserMeta::Elf(elf) => {
                Some(format!("{}+{offset:#x}", elf.path.file_name()?.to_string_lossy()))
            }
            _ => None,
        };
        places.outputs.iter().map(place).collect()
    }
}

/// Keeps the symbolizer from opening anything but regular files: a device is asked for nothing.
#[allow(clippy::needless_pass_by_value)] // the signature of a dispatcher
fn only_regular_files(member: ProcessMemberInfo<'_>) -> blazesym::Result<Option<Box<dyn Resolve>>> {
    let is_file = |path: &Path| fs::metadata(path).is_ok_and(|file| file.is_file());
    match member.member_entry {
        ProcessMemberType::Path(path) if !is_file(&path.maps_file) => Ok(Some(Box::new(Nothing))),
        _ => Ok(None),
    }
}

/// A file without symbols.
#[derive(Debug)]
struct Nothing;

impl Symbolize for Nothing {
    fn find_sym(
        &self,
        _: Addr,
        _: &FindSymOpts,
    ) -> blazesym::Result<Result<ResolvedSym<'_>, Reason>> {
        Ok(Err(Reason::MissingSyms))
    }
}

impl TranslateFileOffset for Nothing {
    fn file_offset_to_virt_offset(&self, _: u64) -> blazesym::Result<Option<Addr>> {
        Ok(None)
    }
}
