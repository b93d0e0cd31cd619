//! `--wx`: why a mapping deserves a look.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Call;
use super::flags::push_size;
use crate::output::escape::push_cell;
use crate::skel::{mmap_note, mmap_owner, mmap_way};

/// The most files to remember that are mapped in one of the two ways.
const REMEMBERED: usize = 64 * 1024;

/// A file, or memory without a name, distinct from earlier ones with the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    device: u32,
    inode: u64,
    generation: u32,
    object: u64,
}

impl Key {
    fn of(owner: &mmap_owner) -> Self {
        let mmap_owner { dev: device, inode, generation, object, .. } = *owner;
        Self { device, inode, generation, object }
    }
}

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
        let mut reasons: Vec<_> = NOTES
            .iter()
            .filter(|(note, _)| call.is(*note) && !is_outdone(call, *note))
            .map(|&(_, words)| words.to_owned())
            .collect();
        if call.is(mmap_note::MMAP_WX_UNKNOWN) {
            reasons.push(unknown(call));
        }
        for (owner, is_shown) in call.owners() {
            reasons.extend(self.both_ways(call, &owner, is_shown));
        }
        reasons
    }

    /// The note for what is mapped writable (and shared) here, and executable elsewhere, or the
    /// other way round. `is_shown`: it is the file of the row.
    fn both_ways(&mut self, call: &Call<'_>, owner: &mmap_owner, is_shown: bool) -> Option<String> {
        let is = |way: mmap_way| owner.ways.0 & way.0 != 0;
        let executable = is(mmap_way::MMAP_WAY_EXECUTABLE);
        let writable = is(mmap_way::MMAP_WAY_WRITABLE);
        let is_memory = is(mmap_way::MMAP_WAY_MEMORY);
        let key = Key::of(owner);
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
        // Of memory that has just become executable another note says enough.
        let said = said.filter(|_| !(is_memory && call.is(mmap_note::MMAP_WX_SHARED)));
        let said = said.map(|(how, first)| {
            let what = match (is_memory, is_shown) {
                (true, _) => "shared memory",
                (false, true) => "file",
                (false, false) => "another file",
            };
            let mut text = format!("{what} mapped both ways: {how} by {} ", first.pid);
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

/// What the programs have found.
const NOTES: [(mmap_note, &str); 7] = [
    (mmap_note::MMAP_WX_BOTH, "writable and executable"),
    (mmap_note::MMAP_WX_WRITTEN, "written memory made executable"),
    (mmap_note::MMAP_WX_CHANGED, "changed pages of a file made executable"),
    (mmap_note::MMAP_WX_SHARED, "shared memory made executable"),
    (mmap_note::MMAP_WX_UNTOUCHED, "anonymous memory made executable"),
    (mmap_note::MMAP_WX_MEMFD, "executable memfd"),
    (mmap_note::MMAP_WX_NAMELESS, "executable file without a name, in memory"),
];

/// What mprotect() made executable that has contents.
const CONTENTS: [mmap_note; 3] =
    [mmap_note::MMAP_WX_WRITTEN, mmap_note::MMAP_WX_CHANGED, mmap_note::MMAP_WX_SHARED];

/// That nobody has touched some of the memory means nothing beside memory that was written.
fn is_outdone(call: &Call<'_>, note: mmap_note) -> bool {
    note == mmap_note::MMAP_WX_UNTOUCHED && CONTENTS.iter().any(|&other| call.is(other))
}

/// The note on memory that could not be looked at.
fn unknown(call: &Call<'_>) -> String {
    let is_known = call.vma().is_some();
    let mut text = "made executable, contents unknown".to_owned();
    if is_known && call.unseen_bytes() > 0 {
        let mut size = Vec::new();
        push_size(&mut size, call.unseen_bytes());
        text.push_str(&format!(" of {}", String::from_utf8_lossy(&size)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_owners;
    use super::*;
    use crate::skel::mmap_event;

    const WRITABLE: u32 = mmap_way::MMAP_WAY_WRITABLE.0;
    const EXECUTABLE: u32 = mmap_way::MMAP_WAY_EXECUTABLE.0;
    const MEMORY: u32 = mmap_way::MMAP_WAY_MEMORY.0;

    fn owner(inode: u64, ways: u32) -> mmap_owner {
        mmap_owner { inode, ways: mmap_way(ways), ..mmap_owner::default() }
    }

    fn call(pid: u32, notes: mmap_note, owners: &[mmap_owner]) -> Vec<u8> {
        let mut event =
            mmap_event { kind: crate::skel::mmap_kind::MMAP_MAP, notes, ..mmap_event::default() };
        event.id.pid = pid;
        event.id.comm[0] = b'a';
        with_owners(event, owners)
    }

    fn half(pid: u32, ways: u32) -> Vec<u8> {
        call(pid, mmap_note::MMAP_PLAIN, &[owner(1, ways)])
    }

    fn reasons(state: &mut Reasons, record: &[u8]) -> Vec<String> {
        state.of(&Call::decode(record).unwrap())
    }

    #[test]
    fn a_file_mapped_both_ways_takes_two_calls() {
        for (first, second, how) in [
            (half(1, WRITABLE), half(2, EXECUTABLE), "writable"),
            (half(1, EXECUTABLE), half(2, WRITABLE), "executable"),
        ] {
            let mut state = Reasons::default();
            assert_eq!(reasons(&mut state, &first), Vec::<String>::new());
            assert_eq!(reasons(&mut state, &first), Vec::<String>::new());
            let expected = format!("file mapped both ways: {how} by 1 a");
            assert_eq!(reasons(&mut state, &second), [expected]);
        }
    }

    #[test]
    fn each_file_of_a_range_counts() {
        let mut state = Reasons::default();
        for inode in 1..=2 {
            let writer = call(1, mmap_note::MMAP_PLAIN, &[owner(inode, WRITABLE)]);
            assert!(reasons(&mut state, &writer).is_empty());
        }
        let both = call(2, mmap_note::MMAP_PLAIN, &[owner(1, EXECUTABLE), owner(2, EXECUTABLE)]);
        let expected = [
            "file mapped both ways: writable by 1 a",
            "another file mapped both ways: writable by 1 a",
        ];
        assert_eq!(reasons(&mut state, &both), expected);
    }

    #[test]
    fn one_inode_number_may_be_several_files() {
        let other = [
            mmap_owner { dev: 1, ..owner(1, EXECUTABLE) },
            mmap_owner { generation: 1, ..owner(1, EXECUTABLE) },
            mmap_owner { object: 1, ..owner(1, EXECUTABLE) },
        ];
        let mut state = Reasons::default();
        assert!(reasons(&mut state, &half(1, WRITABLE)).is_empty());
        let call = call(2, mmap_note::MMAP_PLAIN, &other);
        assert!(reasons(&mut state, &call).is_empty());
    }

    #[test]
    fn shared_memory_is_said_once() {
        let mut state = Reasons::default();
        assert!(reasons(&mut state, &half(1, WRITABLE | MEMORY)).is_empty());
        let made = call(1, mmap_note::MMAP_WX_SHARED, &[owner(1, EXECUTABLE | MEMORY)]);
        assert_eq!(reasons(&mut state, &made), ["shared memory made executable"]);
        let mapped = half(1, EXECUTABLE | MEMORY);
        assert_eq!(
            reasons(&mut state, &mapped),
            ["shared memory mapped both ways: writable by 1 a"]
        );
    }

    #[test]
    fn untouched_memory_beside_written_memory_is_not_worth_a_word() {
        let of = |notes: &[mmap_note]| {
            let all = notes.iter().fold(0, |all, note| all | note.0);
            reasons(&mut Reasons::default(), &call(1, mmap_note(all), &[]))
        };
        let untouched = mmap_note::MMAP_WX_UNTOUCHED;
        assert_eq!(of(&[untouched]), ["anonymous memory made executable"]);
        let both = [untouched, mmap_note::MMAP_WX_WRITTEN];
        assert_eq!(of(&both), ["written memory made executable"]);
        assert_eq!(of(&[mmap_note::MMAP_WX_UNKNOWN]), ["made executable, contents unknown"]);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut state = Reasons::default();
        assert!(reasons(&mut state, &half(1, WRITABLE)).is_empty());
        for inode in 0..REMEMBERED as u64 {
            let record = call(3, mmap_note::MMAP_PLAIN, &[owner(inode + 2, WRITABLE)]);
            state.of(&Call::decode(&record).unwrap());
            assert!(state.files.len() <= REMEMBERED);
        }
        assert_eq!(reasons(&mut state, &half(2, EXECUTABLE)).len(), 1, "in the older half still");
    }
}
