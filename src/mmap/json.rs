//! Calls as JSON Lines: `memory.map`, and with `--all` `memory.unmap`, `memory.protect`,
//! `memory.remap`, `memory.break` and `memory.advise`.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::flags::Part;
use super::{Call, FileId, Vma, flags};
use crate::json::{Bytes, Container, ErrorType, EventName, Id, Process, is_false};
use crate::skel::{mmap_kind, mmap_note};

/// What a row shows besides the record itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Event time, RFC 3339
    pub timestamp: &'a str,
    /// Path of the cgroup if known
    pub cgroup: Option<&'a [u8]>,
    /// Why `--wx` shows it
    pub wx: &'a [String],
    /// Symbols of the caller's stacks
    pub stacks: Option<&'a StacksJson>,
}

/// The caller's stacks, innermost function first.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct StacksJson {
    /// In the kernel
    pub kernel: Vec<String>,
    /// In the program
    pub user: Vec<String>,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct CallJson<'a> {
    /// What is shown
    pub call: &'a Call<'a>,
    /// And what belongs to it
    pub context: &'a Context<'a>,
}

impl Serialize for CallJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { call, context } = *self;
        let (name, key) = names(call.event.kind);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", context.timestamp)?;
        map.serialize_entry("event", &EventName { name })?;
        map.serialize_entry("process", &Process::new(&call.id, context.cgroup))?;
        if let Some(container) = Container::of(context.cgroup) {
            map.serialize_entry("container", &container)?;
        }
        map.serialize_entry("thread", &Id { id: call.id.tid })?;
        map.serialize_entry(key, &Details { call, wx: context.wx })?;
        if let Some(id) = call.file_id() {
            map.serialize_entry("file", &FileJson::new(call, id))?;
        }
        if let Some(name) = call.errno_name() {
            map.serialize_entry("error", &ErrorType { r#type: name })?;
        }
        if let Some(stacks) = context.stacks {
            map.serialize_entry("stack", stacks)?;
        }
        map.end()
    }
}

/// The name of the event, and the key under which its own members are.
fn names(kind: mmap_kind) -> (&'static str, &'static str) {
    match kind {
        mmap_kind::MMAP_UNMAP => ("memory.unmap", "munmap"),
        mmap_kind::MMAP_PROTECT => ("memory.protect", "mprotect"),
        mmap_kind::MMAP_REMAP => ("memory.remap", "mremap"),
        mmap_kind::MMAP_BREAK => ("memory.break", "brk"),
        mmap_kind::MMAP_ADVISE => ("memory.advise", "madvise"),
        _ => ("memory.map", "mmap"),
    }
}

/// A number as `"0x…"`, since it may pass 2^53.
struct Hex(u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text(serializer, |out| flags::push_hex(out, self.0))
    }
}

/// A string of at most 24 ASCII characters, without an allocation.
fn text<S: Serializer>(serializer: S, push: impl Fn(&mut Vec<u8>)) -> Result<S::Ok, S::Error> {
    thread_local! {
        static TEXT: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    TEXT.with_borrow_mut(|out| {
        out.clear();
        push(out);
        serializer.serialize_str(std::str::from_utf8(out).unwrap_or_default())
    })
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Rest(bits) => Hex(*bits).serialize(serializer),
        }
    }
}

/// A list, without a `Vec`.
struct List<I>(I);

impl<I: Iterator<Item = T> + Clone, T: Serialize> Serialize for List<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for item in self.0.clone() {
            seq.serialize_element(&item)?;
        }
        seq.end()
    }
}

/// What only this call has.
struct Details<'a> {
    call: &'a Call<'a>,
    wx: &'a [String],
}

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let call = self.call;
        let event = &call.event;
        let mut map = serializer.serialize_map(None)?;
        match event.kind {
            mmap_kind::MMAP_UNMAP => {
                map.serialize_entry("address", &Hex(event.addr))?;
                map.serialize_entry("length_bytes", &event.len)?;
            }
            mmap_kind::MMAP_PROTECT => {
                map.serialize_entry("address", &Hex(event.addr))?;
                map.serialize_entry("length_bytes", &event.len)?;
                map.serialize_entry("prot", &List(flags::prot(event.prot)))?;
                if event.fd != -1 {
                    map.serialize_entry("key", &event.fd)?;
                }
            }
            mmap_kind::MMAP_REMAP => {
                map.serialize_entry("old_address", &Hex(event.addr))?;
                map.serialize_entry("old_length_bytes", &event.len)?;
                map.serialize_entry("length_bytes", &event.offset)?;
                map.serialize_entry("flags", &List(flags::remap(event.flags)))?;
                if let Some(hint) = call.hint() {
                    map.serialize_entry("hint", &Hex(hint))?;
                }
                if let Some(address) = call.address() {
                    map.serialize_entry("address", &Hex(address))?;
                }
            }
            mmap_kind::MMAP_BREAK => {
                if event.addr != 0 {
                    map.serialize_entry("requested", &Hex(event.addr))?;
                }
                map.serialize_entry("address", &Hex(event.ret as u64))?;
                if call.is_refused() {
                    map.serialize_entry("refused", &true)?;
                }
            }
            mmap_kind::MMAP_ADVISE => {
                map.serialize_entry("address", &Hex(event.addr))?;
                map.serialize_entry("length_bytes", &event.len)?;
                map.serialize_entry("advice", &flags::advice(event.prot))?;
            }
            _ => {
                if event.addr != 0 {
                    map.serialize_entry("hint", &Hex(event.addr))?;
                }
                map.serialize_entry("length_bytes", &event.len)?;
                map.serialize_entry("prot", &List(flags::prot(event.prot)))?;
                map.serialize_entry("flags", &List(flags::map(event.flags)))?;
                if let Some(bytes) = flags::huge_page_bytes(event.flags) {
                    map.serialize_entry("huge_page_bytes", &bytes)?;
                }
                map.serialize_entry("fd", &event.fd)?;
                map.serialize_entry("offset_bytes", &event.offset)?;
                if let Some(address) = call.address() {
                    map.serialize_entry("address", &Hex(address))?;
                }
            }
        }
        if let Some(vma) = call.vma() {
            map.serialize_entry("vma", &VmaJson { call, vma })?;
        }
        if let Some(duration) = call.duration_ns() {
            map.serialize_entry("duration_ns", &duration)?;
        }
        if call.is(mmap_note::MMAP_COMPAT) {
            map.serialize_entry("compat", &true)?;
        }
        if !self.wx.is_empty() {
            map.serialize_entry("wx", self.wx)?;
        }
        map.end()
    }
}

struct VmaJson<'a> {
    call: &'a Call<'a>,
    vma: Vma,
}

impl Serialize for VmaJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mode = self.vma.mode();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("start", &Hex(self.vma.start))?;
        map.serialize_entry("end", &Hex(self.vma.end))?;
        map.serialize_entry("mode", std::str::from_utf8(&mode).unwrap_or_default())?;
        map.serialize_entry("flags", &Hex(self.vma.flags))?;
        let differences: Vec<_> = self.call.differences().collect();
        if !differences.is_empty() {
            map.serialize_entry("differences", &differences)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct FileJson<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    /// The leading components of the path are missing
    #[serde(skip_serializing_if = "is_false")]
    path_cut: bool,
    #[serde(skip_serializing_if = "is_false")]
    deleted: bool,
    device: DeviceText,
    inode: Decimal,
}

/// A number in a string, since it may pass 2^53.
struct Decimal(u64);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text(serializer, |out| out.extend_from_slice(itoa::Buffer::new().format(self.0).as_bytes()))
    }
}

/// `MAJOR:MINOR`
struct DeviceText(super::Device);

impl Serialize for DeviceText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'a> FileJson<'a> {
    fn new(call: &Call<'a>, id: FileId) -> Self {
        let value = (!call.path.is_empty()).then_some(call.path);
        Self {
            path: Bytes { keys: ("path", "path_base64"), value },
            path_cut: call.is(mmap_note::MMAP_PATH_CUT),
            deleted: call.is(mmap_note::MMAP_PATH_DELETED),
            device: DeviceText(id.device),
            inode: Decimal(id.inode),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{any_record, with_path};
    use super::*;
    use crate::skel::mmap_event;

    fn line(record: &[u8], wx: &[String]) -> serde_json::Value {
        let call = Call::decode(record).unwrap();
        let context = Context { timestamp: "now", wx, ..Context::default() };
        let text = serde_json::to_string(&CallJson { call: &call, context: &context }).unwrap();
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
