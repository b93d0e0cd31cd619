//! The columns of the table and the keys of JSON Lines, with their descriptions for the manual.
//!
//! [`super::text`] and [`super::json`] write the values by hand: for rows that come by the million,
//! one call through a pointer for each cell is too slow.

use crate::output::row::Field;

/// All fields: the columns in their order, then the keys. `CALL` in a key stands for the object of
/// any call, from `mmap` to `shmat`.
pub const FIELDS: &[Field<()>] = &[
    Field::TIME,
    Field::SINCE,
    Field::UID,
    Field::LOGIN,
    Field::CONTAINER,
    Field::UNIT,
    Field::PID,
    Field::COMM,
    Field::left("CALL", 8, "", "the system call; only with --all or --wx", ()),
    Field::left(
        "ADDR",
        14,
        "",
        "address of the memory: for mmap, mremap, shmat and brk the result, or - if the call \
         failed; for the other calls the argument; only with --all, --wx, --vma or -o",
        (),
    ),
    Field::right(
        "LEN",
        6,
        "",
        "length of the memory, for mremap the new one, for shmat that of the segment; with --bytes \
         in bytes",
        (),
    ),
    Field::left("PROT", 4, "", "protections in the arguments of mmap, mprotect and shmat", ()),
    Field::left(
        "FLAGS",
        23,
        "",
        "flags of mmap, mremap and shmat, the advice of madvise, the key of pkey_mprotect()",
        (),
    ),
    Field::right(
        "FD",
        3,
        "",
        "file descriptor in the arguments of mmap, segment of shmat; only with -o",
        (),
    ),
    Field::right(
        "OFFSET",
        8,
        "",
        "offset in the file, in bytes, in the arguments of mmap; only with -o",
        (),
    ),
    Field::right(
        "LAT(us)",
        7,
        "mmap.duration_ns",
        "time from entry to exit, in microseconds, in JSON nanoseconds; only with --latency, and \
         absent if the call was under way when tracing began",
        (),
    ),
    Field::left(
        "VMA",
        34,
        "",
        "resulting mapping: its addresses, and its mode as in /proc/PID/maps; only with --vma",
        (),
    ),
    Field::left(
        "PATH/RESULT",
        0,
        "",
        "name of the error, if the call failed; path of the file, if there is one; notes behind #",
        (),
    ),
    Field::json("thread.id", "thread id", ()),
    Field::json(
        "mmap.hint",
        "address in the arguments, a string in hexadecimal as all addresses; absent if it is 0",
        (),
    ),
    Field::json("mmap.length_bytes", "length in the arguments", ()),
    Field::json("mmap.prot", "list of the protections in the arguments", ()),
    Field::json("mmap.flags", "list of the flags", ()),
    Field::json(
        "mmap.huge_page_bytes",
        "size of the huge pages, if the flags contain it; otherwise absent",
        (),
    ),
    Field::json(
        "mmap.fd",
        "file descriptor; absent if it is -1; with the flag ANONYMOUS it means nothing",
        (),
    ),
    Field::json("mmap.offset_bytes", "offset in the file", ()),
    Field::json("mmap.address", "resulting address; absent if the call failed", ()),
    Field::json("munmap.address", "address in the arguments", ()),
    Field::json(
        "munmap.length_bytes",
        "length in the arguments; the memory is gone only without error.type",
        (),
    ),
    Field::json("mprotect.address", "address in the arguments", ()),
    Field::json("mprotect.length_bytes", "length in the arguments", ()),
    Field::json("mprotect.prot", "list of the protections in the arguments", ()),
    Field::json("mprotect.key", "key of pkey_mprotect(); otherwise absent", ()),
    Field::json("mremap.old_address", "address before the call", ()),
    Field::json("mremap.old_length_bytes", "length before the call", ()),
    Field::json("mremap.length_bytes", "new length in the arguments", ()),
    Field::json("mremap.flags", "list of the flags", ()),
    Field::json(
        "mremap.hint",
        "new address in the arguments, with the flag FIXED; absent if it is also the result",
        (),
    ),
    Field::json("mremap.address", "resulting address; absent if the call failed", ()),
    Field::json(
        "brk.requested",
        "end of the heap in the arguments; absent if the call only asks for the current one",
        (),
    ),
    Field::json("brk.address", "end of the heap after the call", ()),
    Field::json(
        "brk.refused",
        "true if the result is not what was requested; otherwise absent",
        (),
    ),
    Field::json("madvise.address", "address in the arguments", ()),
    Field::json("madvise.length_bytes", "length in the arguments", ()),
    Field::json(
        "madvise.advice",
        "name of the advice, or its number in hexadecimal if it has none",
        (),
    ),
    Field::json("shmat.id", "segment of shared memory; shmat() is shown only with --wx", ()),
    Field::json("shmat.hint", "address in the arguments; absent if it is 0", ()),
    Field::json("shmat.prot", "list of the protections that the flags ask for", ()),
    Field::json("shmat.flags", "list of the flags", ()),
    Field::json("shmat.address", "resulting address; absent if the call failed", ()),
    Field::json(
        "CALL.vma.start",
        "first address of the resulting mapping, if mmapsnoop looked it up, as with --vma; with \
         --wx that of several in the range which the notes are about; CALL is mmap, munmap, \
         mprotect, mremap, brk, madvise or shmat",
        (),
    ),
    Field::json("CALL.vma.end", "first address behind the mapping", ()),
    Field::json("CALL.vma.mode", "mode of the mapping as in /proc/PID/maps", ()),
    Field::json("CALL.vma.flags", "the kernel's flags of the mapping, in hexadecimal", ()),
    Field::json(
        "CALL.vma.differences",
        "list of the differences from the request, such as merged; absent if there are none",
        (),
    ),
    Field::json("CALL.compat", "true for a call by a 32-bit program; otherwise absent", ()),
    Field::json("CALL.wx", "list of the reasons why --wx shows the call", ()),
    Field::json(
        "CALL.unseen_bytes",
        "with --wx the rest of the range of an mprotect() that was not looked at; otherwise absent",
        (),
    ),
    Field::json("file.path", "path of the file; a name such as memfd:x if it has no path", ()),
    Field::json(
        "file.path_cut",
        "true if the first components of the path are missing; otherwise absent",
        (),
    ),
    Field::json("file.deleted", "true if the file has been deleted; otherwise absent", ()),
    Field::json("file.device", "device of the file as stat() has it, MAJOR:MINOR", ()),
    Field::json("file.inode", "inode of the file, a string", ()),
    Field::json("error.type", "name of the error; absent if the call succeeded", ()),
    Field::json(
        "stack.kernel",
        "list of the functions in the kernel, innermost first; only with --stacks",
        (),
    ),
    Field::json("stack.kernel_cut", "true if outer functions may be missing; otherwise absent", ()),
    Field::json(
        "stack.user",
        "list of the functions in the program, innermost first; only with --stacks",
        (),
    ),
    Field::json("stack.user_cut", "true if outer functions may be missing; otherwise absent", ()),
    Field::json(
        "summary.calls",
        "number of calls in the interval: of the process in memory.summary.process, with the file in \
         memory.summary.file, of all in memory.summary.total, which comes last; only with --summary",
        (),
    ),
    Field::json("summary.failed", "number of those calls that failed", ()),
    Field::json("summary.mapped_bytes", "sum of the lengths of those that succeeded", ()),
    Field::json(
        "summary.other_processes",
        "the three numbers of the processes for which there was no room; this and the rest only in \
         memory.summary.total",
        (),
    ),
    Field::json(
        "summary.other_files",
        "the three numbers of the files for which there was no room",
        (),
    ),
    Field::json("summary.no_file", "the three numbers of the calls without a file", ()),
    Field::json(
        "summary.lengths",
        "list of ranges of lengths, from low up to but not including high, with the three numbers",
        (),
    ),
    Field::json(
        "wx_summary.calls",
        "number of calls in the interval: in memory.wx_summary.process those that belong together, by \
         process, call, file.path and notes; in memory.wx_summary.total, which comes last, all; only \
         with --wx and --summary",
        (),
    ),
    Field::json("wx_summary.failed", "number of those calls that failed", ()),
    Field::json("wx_summary.call", "the system call", ()),
    Field::json("wx_summary.notes", "list of what is remarkable about the calls", ()),
    Field::json("wx_summary.start", "lowest address of their memory; absent if all failed", ()),
    Field::json("wx_summary.end", "end of the highest memory", ()),
    Field::json(
        "wx_summary.other_calls",
        "number of the calls for which there was no room; only in memory.wx_summary.total",
        (),
    ),
    Field::ANCESTORS,
];

#[cfg(test)]
mod tests {
    use crate::host::context::{Ancestors, Context as Told, Login, Name, Names};
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::json::{Context, Lines};
    use super::super::summary::Summary;
    use super::super::testing::with_path;
    use super::super::text::{Options, Table};
    use super::super::wx_sums::Sums;
    use super::super::{Call, summary_rows};
    use super::*;
    use std::rc::Rc;

    use crate::engine::session::Place;
    use crate::engine::stack::Stack;
    use crate::host::container::Container;
    use crate::output::row::docs;
    use crate::skel::{mmap_event, mmap_extra, mmap_kind, mmap_note};

    type Keys = BTreeSet<String>;

    /// What the manual lists.
    fn listed() -> Keys {
        let keys = docs(FIELDS).into_iter().map(|doc| doc.key.to_owned());
        keys.filter(|key| !key.is_empty()).collect()
    }

    /// The entry of the manual for a key of a line.
    fn entry(key: &str) -> String {
        const CALLS: [&str; 7] =
            ["mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "shmat"];
        match key.split_once('.') {
            Some((call, rest))
                if CALLS.contains(&call)
                    && ["vma", "compat", "wx", "unseen_bytes"]
                        .contains(&rest.split('.').next().unwrap()) =>
            {
                format!("CALL.{rest}")
            }
            _ => key.to_owned(),
        }
    }

    /// Adds the keys of `value`. An object with an entry of its own is one key.
    fn walk(value: &Value, path: &str, listed: &Keys, keys: &mut Keys) {
        match value {
            Value::Object(members) if !listed.contains(path) => {
                for (name, value) in members {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(value, &format!("{path}{dot}{name}"), listed, keys);
                }
            }
            _ => {
                keys.insert(entry(path));
            }
        }
    }

    /// Where a record has this member.
    fn unseen_kib() -> usize {
        size_of::<mmap_event>() + std::mem::offset_of!(mmap_extra, unseen_kib)
    }

    /// A line of a call that has all members: `ret` decides whether it fails.
    fn line(kind: mmap_kind, ret: i64) -> Value {
        const HUGETLB_2MB: u64 = 0x5404_0000;
        const MREMAP_FIXED: u64 = 2;
        let mut notes = mmap_note::MMAP_VMA.0
            | mmap_note::MMAP_COMPAT.0
            | mmap_note::MMAP_PATH_CUT.0
            | mmap_note::MMAP_PATH_DELETED.0;
        if kind == mmap_kind::MMAP_MAP {
            notes |= mmap_note::MMAP_DURATION.0;
        }
        let mut event = mmap_event {
            kind,
            addr: 0x1000,
            len: 4096,
            prot: 7,
            flags: HUGETLB_2MB | MREMAP_FIXED,
            fd: 3,
            ret,
            notes: mmap_note(notes),
            ..mmap_event::default()
        };
        event.id.vpid = 1;
        (event.id.start_ns, event.id.parent_start_ns) = (1, 2);
        (event.id.comm[0], event.id.thread_comm[0]) = (b'x', b'x');
        let mut record = with_path(event, b"/x");
        record[unseen_kib()] = 1;
        let user = "/user.slice/user-1.slice/user@1.service/app.slice/x.service";
        let pod = "0".repeat(32);
        let cgroup = format!("{user}/kubepods/pod{pod}/docker/{}", "0".repeat(64));
        let container = Rc::new(Container::with_everything());
        let stacks = Stack { kernel_cut: true, user_cut: true, ..Stack::default() };
        let told = told();
        let context = Context {
            timestamp: "now",
            place: Place {
                cgroup: Some(cgroup.as_bytes()),
                container: Some(&container),
                told: Some(&told),
                ..Place::default()
            },
            wx: &["because".to_owned()],
            stacks: Some(&stacks),
        };
        let mut out = Vec::new();
        Lines::new(|_| true).push(&mut out, &Call::decode(&record).unwrap(), &context);
        serde_json::from_slice(&out).unwrap()
    }

    /// All that `--login` and `--ancestors` can tell.
    fn told() -> Told {
        let name = || Some(Name::from(&b"x"[..]));
        let names = Names {
            login_user: name(),
            user: name(),
            real_user: name(),
            group: name(),
            real_group: name(),
        };
        let login = Login {
            user: Some(1),
            audit_session: Some(2),
            session_leader: Some((3, 4)),
            group_leader: Some(5),
            tty: b"pts/0".to_vec(),
            names,
            ..Login::default()
        };
        let ancestors = Ancestors { chain: Vec::new(), more: true };
        Told { login: Some(login), ancestors: Some(ancestors), is_missing: true }
    }

    #[test]
    fn the_manual_has_the_columns() {
        let docs = docs(FIELDS).into_iter().map(|doc| doc.title);
        let titles: Vec<_> = docs.filter(|title| !title.is_empty()).collect();
        let names: Vec<_> = titles.iter().map(|title| (*title).to_owned()).collect();
        let shown =
            |table: &Table| -> Vec<_> { table.columns.iter().map(|column| column.title).collect() };
        assert_eq!(titles, shown(&Table::choose(Options::default(), &names).unwrap()));
        // What needs no name comes in the same order.
        let without = |title: &&str| !["UNIT", "FD", "OFFSET"].contains(title);
        let usual: Vec<_> = titles.iter().copied().filter(without).collect();
        assert_eq!(usual, shown(&Table::new(Options::ALL)));
    }

    #[test]
    fn the_manual_has_the_keys() {
        let listed = listed();
        let mut keys = Keys::new();
        for kind in mmap_kind::MMAP_MAP.0..=mmap_kind::MMAP_ATTACH.0 {
            for ret in [0x2000, -22] {
                walk(&line(mmap_kind(kind), ret), "", &listed, &mut keys);
            }
        }
        let summary = Summary::default();
        for row in summary_rows::json(&summary, "now") {
            walk(&serde_json::to_value(row).unwrap(), "", &listed, &mut keys);
        }
        let mut sums = Sums::default();
        let event = mmap_event { len: 4096, ret: 0x1000, ..mmap_event::default() };
        let record = with_path(event, b"/x");
        sums.add(&Call::decode(&record).unwrap(), vec!["because".to_owned()]);
        for row in sums.json("now") {
            walk(&serde_json::to_value(row).unwrap(), "", &listed, &mut keys);
        }
        assert_eq!(keys, listed);
    }
}
