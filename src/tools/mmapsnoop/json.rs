//! Calls as JSON Lines: `memory.map`, and with `--all` `memory.unmap`, `memory.protect`,
//! `memory.remap`, `memory.break` and `memory.advise`, with `--wx` `memory.attach`.

use std::rc::Rc;

use serde::Serialize;

use super::flags::{self, Part};
use super::{Call, FileId, Vma};
use crate::engine::session::Place;
use crate::engine::stack::Stack;
use crate::host::container::Container;
use crate::host::context::Context as Told;
use crate::output::digits::{self, push_number};
use crate::output::json::{self, Bytes, push_list, push_object, push_string};
use crate::output::row::{Common, ProcessMembers};
use crate::output::time::Epoch;
use crate::skel::{mmap_kind, mmap_note, task_id};

/// What a row shows besides the record itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Event time, RFC 3339
    pub timestamp: &'a str,
    /// Where the call was made, and by whom
    pub place: Place<'a>,
    /// Why `--wx` shows it
    pub wx: &'a [String],
    /// Symbols of the caller's stacks
    pub stacks: Option<&'a Stack>,
}

/// Appends `,"KEY":`. The comma before the first member becomes the bracket of its object:
/// see [`push_object`].
macro_rules! key {
    ($out:expr, $key:literal) => {
        $out.extend_from_slice(concat!(",\"", $key, "\":").as_bytes())
    };
}

/// Writes lines by hand, not through serde, since there may be millions a second.
#[derive(Debug, Default)]
pub struct Lines {
    /// The caller of the last line,
    caller: task_id,
    cgroup: Option<Vec<u8>>,
    container: Option<Rc<Container>>,
    told: Option<Told>,
    epoch: Epoch,
    /// and its text: the part about the process is mostly the same as in the line before
    process: Vec<u8>,
    process_members: ProcessMembers,
}

impl Lines {
    /// With the members of the flags that show such columns.
    pub fn new(shows: impl Fn(&str) -> bool) -> Self {
        Self { process_members: ProcessMembers::new(shows), ..Self::default() }
    }

    /// Appends the line of `call`, without a newline.
    pub fn push(&mut self, out: &mut Vec<u8>, call: &Call<'_>, context: &Context<'_>) {
        push_object(out, |out| self.members(out, call, context));
    }

    fn members(&mut self, out: &mut Vec<u8>, call: &Call<'_>, context: &Context<'_>) {
        key!(out, "timestamp");
        push_string(out, context.timestamp);
        let (name, key) = names(call.event.kind);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(self.process(&call.id, context.place));
        key!(out, "thread");
        push_object(out, |out| {
            key!(out, "id");
            push_number(out, call.id.tid);
            let name = Some(call.id.thread_comm()).filter(|name| !name.is_empty());
            Bytes { keys: ("name", "name_base64"), value: name }.push(out);
        });
        out.extend_from_slice(key.as_bytes());
        push_object(out, |out| details(out, call, context.wx));
        if let Some(id) = call.file_id() {
            key!(out, "file");
            push_object(out, |out| file(out, call, id));
        }
        if let Some(name) = call.errno_name() {
            key!(out, "error");
            push_object(out, |out| {
                key!(out, "type");
                push_string(out, &name);
            });
        }
        if let Some(stacks) = context.stacks {
            key!(out, "stack");
            push_json(out, stacks);
        }
    }

    /// `process`, `container` and the like.
    fn process(&mut self, id: &task_id, place: Place<'_>) -> &[u8] {
        let Place { cgroup, container, epoch, told } = place;
        // These are not part of the text.
        let caller = task_id { time_ns: 0, lost: 0, tid: 0, thread_comm: [0; 16], ..*id };
        let is_same = bytes_of(&caller) == bytes_of(&self.caller)
            && self.told.as_ref() == told
            && self.epoch == epoch
            && self.container.as_ref().map(Rc::as_ptr) == container.map(Rc::as_ptr);
        if self.process.is_empty() || !is_same || self.cgroup.as_deref() != cgroup {
            self.caller = caller;
            self.cgroup = cgroup.map(<[u8]>::to_vec);
            self.container = container.cloned();
            (self.told, self.epoch) = (told.cloned(), epoch);
            self.process.clear();
            let container = container.map(|container| &**container);
            let common = Common { cgroup, container, epoch, context: told, ..Common::of(id) };
            self.process_members.push(&mut self.process, &common);
        }
        &self.process
    }
}

fn bytes_of(id: &task_id) -> &[u8] {
    // SAFETY: plain integers without padding: see skel.rs.
    unsafe { plain::as_bytes(id) }
}

/// Appends a value that need not be fast.
fn push_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let _ = json::write(out, value); // a Vec takes everything
}

/// `event.name`
pub(super) fn event_name(call: &Call<'_>) -> &'static str {
    let (member, _) = names(call.event.kind);
    member.split('"').nth(5).unwrap_or_default()
}

/// The name of the event, and the key of its own members.
fn names(kind: mmap_kind) -> (&'static str, &'static str) {
    macro_rules! names {
        ($name:literal, $key:literal) => {
            (concat!(",\"event\":{\"name\":\"memory.", $name, "\"}"), concat!(",\"", $key, "\":"))
        };
    }
    match kind {
        mmap_kind::MMAP_UNMAP => names!("unmap", "munmap"),
        mmap_kind::MMAP_PROTECT => names!("protect", "mprotect"),
        mmap_kind::MMAP_REMAP => names!("remap", "mremap"),
        mmap_kind::MMAP_BREAK => names!("break", "brk"),
        mmap_kind::MMAP_ADVISE => names!("advise", "madvise"),
        mmap_kind::MMAP_ATTACH => names!("attach", "shmat"),
        _ => names!("map", "mmap"),
    }
}

/// A number as `"0x…"`, since it may pass 2^53.
fn push_hex(out: &mut Vec<u8>, value: u64) {
    out.push(b'"');
    digits::push_hex(out, value);
    out.push(b'"');
}

fn push_part(out: &mut Vec<u8>, part: Part) {
    out.push(b'"');
    part.push(out);
    out.push(b'"');
}

fn push_parts(out: &mut Vec<u8>, parts: impl Iterator<Item = Part>) {
    push_list(out, parts, push_part);
}

fn push_prot(out: &mut Vec<u8>, prot: u64) {
    match prot {
        1 => out.extend_from_slice(br#"["READ"]"#),
        3 => out.extend_from_slice(br#"["READ","WRITE"]"#),
        5 => out.extend_from_slice(br#"["READ","EXEC"]"#),
        _ => push_parts(out, flags::prot(prot)),
    }
}

fn push_map(out: &mut Vec<u8>, flags: u64) {
    match flags {
        flags::PRIVATE => out.extend_from_slice(br#"["PRIVATE"]"#),
        flags::PRIVATE_ANONYMOUS => out.extend_from_slice(br#"["PRIVATE","ANONYMOUS"]"#),
        _ => push_parts(out, flags::map(flags)),
    }
}

/// Members of this kind of call, then those of any call.
fn details(out: &mut Vec<u8>, call: &Call<'_>, wx: &[String]) {
    let event = &call.event;
    match event.kind {
        mmap_kind::MMAP_UNMAP => range(out, call),
        mmap_kind::MMAP_PROTECT => {
            range(out, call);
            key!(out, "prot");
            push_prot(out, event.prot);
            if event.fd != -1 {
                key!(out, "key");
                push_number(out, event.fd);
            }
        }
        mmap_kind::MMAP_REMAP => remap(out, call),
        mmap_kind::MMAP_BREAK => {
            if event.addr != 0 {
                key!(out, "requested");
                push_hex(out, event.addr);
            }
            key!(out, "address");
            push_hex(out, event.ret as u64);
            if call.is_refused() {
                out.extend_from_slice(b",\"refused\":true");
            }
        }
        mmap_kind::MMAP_ADVISE => {
            range(out, call);
            key!(out, "advice");
            push_part(out, flags::advice(event.prot));
        }
        mmap_kind::MMAP_ATTACH => attach(out, call),
        _ => map(out, call),
    }
    if let Some(vma) = call.vma() {
        key!(out, "vma");
        push_object(out, |out| vma_members(out, call, vma));
    }
    if let Some(duration) = call.duration_ns() {
        key!(out, "duration_ns");
        push_number(out, duration);
    }
    if call.is(mmap_note::MMAP_COMPAT) {
        out.extend_from_slice(b",\"compat\":true");
    }
    if !wx.is_empty() {
        key!(out, "wx");
        push_json(out, &wx);
    }
    if call.unseen_bytes() > 0 {
        key!(out, "unseen_bytes");
        push_number(out, call.unseen_bytes());
    }
}

fn range(out: &mut Vec<u8>, call: &Call<'_>) {
    key!(out, "address");
    push_hex(out, call.event.addr);
    key!(out, "length_bytes");
    push_number(out, call.event.len);
}

fn map(out: &mut Vec<u8>, call: &Call<'_>) {
    let event = &call.event;
    if event.addr != 0 {
        key!(out, "hint");
        push_hex(out, event.addr);
    }
    key!(out, "length_bytes");
    push_number(out, event.len);
    key!(out, "prot");
    push_prot(out, event.prot);
    key!(out, "flags");
    push_map(out, event.flags);
    if let Some(bytes) = flags::huge_page_bytes(event.flags) {
        key!(out, "huge_page_bytes");
        push_number(out, bytes);
    }
    if event.fd != -1 {
        key!(out, "fd");
        push_number(out, event.fd);
    }
    key!(out, "offset_bytes");
    push_number(out, event.offset);
    if let Some(address) = call.address() {
        key!(out, "address");
        push_hex(out, address);
    }
}

fn remap(out: &mut Vec<u8>, call: &Call<'_>) {
    let event = &call.event;
    key!(out, "old_address");
    push_hex(out, event.addr);
    key!(out, "old_length_bytes");
    push_number(out, event.len);
    key!(out, "length_bytes");
    push_number(out, event.offset);
    key!(out, "flags");
    push_parts(out, flags::remap(event.flags));
    if let Some(hint) = call.hint() {
        key!(out, "hint");
        push_hex(out, hint);
    }
    if let Some(address) = call.address() {
        key!(out, "address");
        push_hex(out, address);
    }
}

fn attach(out: &mut Vec<u8>, call: &Call<'_>) {
    let event = &call.event;
    key!(out, "id");
    push_number(out, event.fd);
    if event.addr != 0 {
        key!(out, "hint");
        push_hex(out, event.addr);
    }
    key!(out, "prot");
    push_prot(out, event.prot);
    key!(out, "flags");
    push_parts(out, flags::shm(event.flags));
    if let Some(address) = call.address() {
        key!(out, "address");
        push_hex(out, address);
    }
}

fn vma_members(out: &mut Vec<u8>, call: &Call<'_>, vma: Vma) {
    key!(out, "start");
    push_hex(out, vma.start);
    key!(out, "end");
    push_hex(out, vma.end);
    key!(out, "mode");
    push_string(out, std::str::from_utf8(&vma.mode()).unwrap_or_default());
    key!(out, "flags");
    push_hex(out, vma.flags);
    if call.differences().next().is_some() {
        key!(out, "differences");
        push_list(out, call.differences(), push_string);
    }
}

fn file(out: &mut Vec<u8>, call: &Call<'_>, id: FileId) {
    if !call.path.is_empty() {
        Bytes { keys: ("path", "path_base64"), value: Some(call.path) }.push(out);
    }
    if call.is(mmap_note::MMAP_PATH_CUT) {
        out.extend_from_slice(b",\"path_cut\":true");
    }
    if call.is(mmap_note::MMAP_PATH_DELETED) {
        out.extend_from_slice(b",\"deleted\":true");
    }
    key!(out, "device");
    out.push(b'"');
    push_number(out, id.device.major());
    out.push(b':');
    push_number(out, id.device.minor());
    out.push(b'"');
    // In a string, since it may pass 2^53.
    key!(out, "inode");
    out.push(b'"');
    push_number(out, id.inode);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{any_record, record, with_path};
    use super::*;
    use crate::skel::mmap_event;

    fn line(record: &[u8], wx: &[String]) -> serde_json::Value {
        let call = Call::decode(record).unwrap();
        let context = Context { timestamp: "now", wx, ..Context::default() };
        let mut out = Vec::new();
        Lines::default().push(&mut out, &call, &context);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\n'));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_file_mapping() {
        let event = mmap_event {
            kind: mmap_kind::MMAP_MAP,
            len: 4096,
            prot: 5,
            flags: 2,
            fd: 3,
            offset: 8192,
            ret: 0x7f00_0000_1000,
            ..mmap_event::default()
        };
        let row = line(&with_path(event, b"/lib/\xff.so"), &["because".to_owned()]);
        assert_eq!(row["event"]["name"], "memory.map");
        assert_eq!(
            row["mmap"],
            serde_json::json!({
                "length_bytes": 4096, "prot": ["READ", "EXEC"], "flags": ["PRIVATE"], "fd": 3,
                "offset_bytes": 8192, "address": "0x7f0000001000", "wx": ["because"]
            })
        );
        assert_eq!(
            row["file"],
            serde_json::json!({
                "path": "/lib/\u{fffd}.so", "path_base64": "L2xpYi//LnNv", "device": "8:1",
                "inode": "12345"
            })
        );
    }

    #[test]
    fn an_anonymous_mapping_has_no_descriptor() {
        let kind = mmap_kind::MMAP_MAP;
        let row = |fd| line(&record(mmap_event { kind, fd, ..mmap_event::default() }), &[]);
        assert_eq!(row(-1)["mmap"].get("fd"), None);
        assert_eq!((&row(0)["mmap"]["fd"], &row(-7)["mmap"]["fd"]), (&0.into(), &(-7).into()));
    }

    #[test]
    fn a_line_does_not_depend_on_the_one_before() {
        let alone = |record: &[u8], context: &Context<'_>| {
            let mut out = Vec::new();
            Lines::default().push(&mut out, &Call::decode(record).unwrap(), context);
            String::from_utf8(out).unwrap()
        };
        let first = mmap_event { kind: mmap_kind::MMAP_MAP, ..mmap_event::default() };
        let mut events = vec![first];
        let edits: [fn(&mut mmap_event); 11] = [
            |event| event.id.start_ns = 1,
            |event| event.id.parent_start_ns = 1,
            |event| event.id.pid = 1,
            |event| event.id.tid = 2,
            |event| event.id.ppid = 3,
            |event| event.id.uid = 4,
            |event| event.id.euid = 5,
            |event| event.id.vpid = 6,
            |event| event.id.comm[15] = 7,
            |event| event.id.comm[0] = b'x',
            |event| event.id.thread_comm[0] = b'x',
        ];
        for edit in edits {
            let mut event = first;
            edit(&mut event);
            events.push(event);
        }
        let container = format!("/docker/{}", "0".repeat(64));
        let cgroups = [None, Some(&b"/"[..]), Some(container.as_bytes())];
        let mut lines = Lines::default();
        for event in events.iter().chain(events.iter().rev()) {
            for cgroup in cgroups {
                let place = Place { cgroup, ..Place::default() };
                let context = Context { timestamp: "now", place, ..Context::default() };
                let record = record(*event);
                let mut out = Vec::new();
                lines.push(&mut out, &Call::decode(&record).unwrap(), &context);
                assert_eq!(String::from_utf8(out).unwrap(), alone(&record, &context));
            }
        }
    }

    proptest! {
        #[test]
        fn no_record_breaks_a_json_line(
            fixed in proptest::collection::vec(any::<u8>(), size_of::<mmap_event>()),
            rest: Vec<u8>,
            path_len in 0u8..64,
        ) {
            let record = any_record(&fixed, &rest, path_len);
            if let Some(call) = Call::decode(&record) {
                let row = line(&record, &[]);
                prop_assert_eq!(&row["process"]["pid"], call.id.pid);
            }
        }
    }
}
