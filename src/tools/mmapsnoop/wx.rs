//! `--wx`: why a mapping deserves a look.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Call, FileId, flags};
use crate::output::escape::push_cell;
use crate::skel::{mmap_kind, mmap_note};

/// The most files to remember that are mapped in one of the two ways.
const REMEMBERED: usize = 64 * 1024;

/// A file, distinct from earlier files with the same inode.
type Key = (FileId, u32);

/// Who mapped a file in one way first.
#[derive(Clone, Debug)]
struct First {
    pid: u32,
    comm: Vec<u8>,
}

impl First {
    fn of(call: &Call<'_>) -> Self {
        Self { pid: call.id.pid, comm: call.id.comm().to_vec() }
    }
}

/// The ways in which a file is mapped.
#[derive(Clone, Debug, Default)]
struct Ways {
    writable: Option<First>,
    executable: Option<First>,
}

/// Finds the reasons; remembers files for the reason that needs two calls.
#[derive(Debug, Default)]
pub struct Reasons {
    files: HashMap<Key, Ways>,
    /// The files from before the memory was full: a second chance for files still in use.
    older: HashMap<Key, Ways>,
}

impl Reasons {
    /// All reasons to show `call`; empty if there are none.
    pub fn of(&mut self, call: &Call<'_>) -> Vec<String> {
        let mut reasons = Vec::new();
        if call.is(mmap_note::MMAP_WX_BOTH) {
            reasons.push("writable and executable".to_owned());
        }
        if call.is(mmap_note::MMAP_WX_MADE_EXEC) {
            reasons.push(made_executable(call).to_owned());
        }
        if call.is(mmap_note::MMAP_WX_MEMFD) {
            reasons.push("executable memfd".to_owned());
        }
        if call.is(mmap_note::MMAP_WX_HALF) {
            reasons.extend(self.both_ways(call));
        }
        reasons
    }

    /// The note for a file that is mapped writable (and shared) here, and executable elsewhere, or
    /// the other way round.
    fn both_ways(&mut self, call: &Call<'_>) -> Option<String> {
        let key = (call.file_id()?, call.extra?.generation);
        let prot = call.event.prot | call.vma().map_or(0, |vma| vma.flags & flags::VM_PROT);
        let executable = prot & flags::VM_EXEC != 0;
        let writable = prot & flags::VM_WRITE != 0 && is_shared(call);
        if self.files.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.files);
        }
        let ways = match self.files.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.older.remove(&key).unwrap_or_default()),
        };
        let said = match (&ways.writable, &ways.executable) {
            (Some(first), _) if executable && !writable => Some(("writable", first)),
            (_, Some(first)) if writable && !executable => Some(("executable", first)),
            _ => None,
        };
        let said = said.map(|(how, first)| {
            let mut text = format!("file mapped both ways: {how} by {} ", first.pid);
            push_cell(&mut text, &first.comm);
            text
        });
        if writable {
            ways.writable.get_or_insert_with(|| First::of(call));
        }
        if executable {
            ways.executable.get_or_insert_with(|| First::of(call));
        }
        said
    }
}

/// For mprotect(): the note on the memory that became executable.
fn made_executable(call: &Call<'_>) -> &'static str {
    if call.vma().is_none() {
        "made executable, contents unknown"
    } else if call.is(mmap_note::MMAP_VMA_WRITTEN) {
        if call.is(mmap_note::MMAP_VMA_ANON) {
            "written memory made executable"
        } else {
            "changed pages of a file made executable"
        }
    } else {
        "anonymous memory made executable"
    }
}

/// Whether writes through this mapping reach the file.
fn is_shared(call: &Call<'_>) -> bool {
    match call.vma() {
        Some(vma) => vma.flags & flags::VM_MAYSHARE != 0,
        None => {
            call.event.kind == mmap_kind::MMAP_MAP
                && call.event.flags & flags::MAP_TYPE != libc::MAP_PRIVATE as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_path;
    use super::*;
    use crate::skel::mmap_event;

    fn half(pid: u32, prot: u64, flags: u64) -> Vec<u8> {
        let mut event = mmap_event {
            kind: mmap_kind::MMAP_MAP,
            notes: mmap_note::MMAP_WX_HALF,
            prot,
            flags,
            ..mmap_event::default()
        };
        event.id.pid = pid;
        event.id.comm[0] = b'a';
        with_path(event, b"/tmp/x")
    }

    fn reasons(state: &mut Reasons, record: &[u8]) -> Vec<String> {
        state.of(&Call::decode(record).unwrap())
    }

    #[test]
    fn a_file_mapped_both_ways_takes_two_calls() {
        for (first, second, how) in [
            (half(1, 3, 1), half(2, 5, 2), "writable"),
            (half(1, 5, 2), half(2, 3, 1), "executable"),
        ] {
            let mut state = Reasons::default();
            assert_eq!(reasons(&mut state, &first), Vec::<String>::new());
            assert_eq!(reasons(&mut state, &first), Vec::<String>::new());
            let expected = format!("file mapped both ways: {how} by 1 a");
            assert_eq!(reasons(&mut state, &second), [expected]);
        }
    }

    #[test]
    fn a_private_writable_mapping_changes_no_file() {
        let mut state = Reasons::default();
        assert!(reasons(&mut state, &half(1, 3, 2)).is_empty());
        assert!(reasons(&mut state, &half(2, 5, 2)).is_empty());
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut state = Reasons::default();
        let first = half(1, 3, 1);
        assert!(reasons(&mut state, &first).is_empty());
        let call = Call::decode(&first).unwrap();
        for inode in 0..REMEMBERED as u64 {
            let mut call = call;
            call.extra.as_mut().unwrap().inode = inode;
            state.of(&call);
            assert!(state.files.len() <= REMEMBERED);
        }
        assert_eq!(reasons(&mut state, &half(2, 5, 2)).len(), 1, "in the older half still");
    }
}
