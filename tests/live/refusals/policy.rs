//! A kernel that refuses one thing to one tool: `tests/fixtures/bpf/refuse.bpf.c` at work.

use libbpf_rs::{Link, MapCore as _, MapFlags, Object, ObjectBuilder};
use snoop_tools::elf::hook::map_type_name;
use snoop_tools::elf::names;

use crate::harness::object;

/// What is refused: `enum what` of the fixture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Loading programs of this type
    Program(Named),
    /// Loading programs of this type for this attach type
    AttachType(u32, Named),
    /// Likewise, on one function, tracepoint or iterator
    Target { program: u32, attach: u32, id: u32, section: String },
    /// Creating maps of this type
    Map(u32),
    /// Loading programs that call this helper
    Helper(u32),
    /// A command of `bpf()`
    Command(Named),
    /// Links for this attach type
    Link(Named),
    /// `perf_event_open()`
    PerfEvent,
}

/// A number of the kernel's, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named(pub u32, pub &'static str);

impl What {
    /// As it stands in the table.
    pub fn name(&self) -> String {
        match self {
            Self::Program(Named(_, name)) => format!("programs of type {name}"),
            Self::AttachType(_, Named(_, name)) => format!("programs for {name}"),
            Self::Target { section, .. } => format!("a program on {section}"),
            Self::Map(kind) => format!("maps of type {}", map_type_name(*kind).unwrap_or("?")),
            Self::Helper(number) => format!("helper {}", names::helper(*number).unwrap_or("?")),
            Self::Command(Named(_, name)) => (*name).to_owned(),
            Self::Link(Named(_, name)) => format!("links for {name}"),
            Self::PerfEvent => "perf_event_open".to_owned(),
        }
    }

    /// `what`, `number`, `attach_type` and `target` of `struct policy`.
    fn numbers(&self) -> [u32; 4] {
        match self {
            Self::Program(Named(number, _)) => [1, *number, 0, 0],
            Self::AttachType(program, Named(attach, _)) => [2, *program, *attach, 0],
            Self::Target { program, attach, id, .. } => [3, *program, *attach, *id],
            Self::Map(number) => [4, *number, 0, 0],
            Self::Helper(number) => [5, *number, 0, 0],
            Self::Command(Named(number, _)) => [6, *number, 0, 0],
            Self::Link(Named(attach, _)) => [7, 0, *attach, 0],
            Self::PerfEvent => [8, 0, 0, 0],
        }
    }
}

/// What a tool asked the kernel for: `struct asked` of the fixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of the program or map, 15 bytes at most
    pub name: String,
    /// Of `bpf()`; `u32::MAX` for `perf_event_open()`
    pub command: u32,
    /// The type of the program or map
    pub number: u32,
    /// Of a program or a link
    pub attach_type: u32,
    /// BTF id
    pub target: u32,
}

impl Asked {
    fn decode(bytes: &[u8]) -> Self {
        let name = bytes[..16].split(|&byte| byte == 0).next().unwrap();
        let number = |index: usize| {
            let at = 16 + 4 * index;
            u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
        };
        Self {
            name: String::from_utf8_lossy(name).into_owned(),
            command: number(0),
            number: number(1),
            attach_type: number(2),
            target: number(3),
        }
    }
}

/// The fixture, attached. Dropping it allows everything again.
pub struct Policy {
    object: Object,
    _links: Vec<Link>,
}

impl Policy {
    /// Fails where programs cannot be security modules.
    pub fn load() -> Self {
        let open = ObjectBuilder::default().open_file(object("refuse")).unwrap();
        let object = open.load().unwrap();
        let links = object.progs_mut().map(|program| program.attach().unwrap()).collect();
        Self { object, _links: links }
    }

    fn map(&self, name: &str) -> impl libbpf_rs::MapCore {
        self.object.maps().find(|map| map.name() == name).unwrap()
    }

    /// From now on `what` is refused to processes of this name; `None`: nothing is.
    pub fn set(&self, comm: &str, what: Option<&What>) {
        let mut value = vec![0; 16];
        value[..comm.len()].copy_from_slice(comm.as_bytes());
        for number in what.map_or([0; 4], What::numbers) {
            value.extend(number.to_ne_bytes());
        }
        value.extend(0u64.to_ne_bytes());
        self.map("policy").update(&0u32.to_ne_bytes(), &value, MapFlags::ANY).unwrap();
    }

    /// How often something was refused since then.
    pub fn refused(&self) -> u64 {
        let value = self.map("policy").lookup(&0u32.to_ne_bytes(), MapFlags::ANY).unwrap().unwrap();
        u64::from_ne_bytes(value[32..40].try_into().unwrap())
    }

    /// What was asked for since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        let map = self.map("requests");
        let keys: Vec<_> = map.keys().collect();
        for key in &keys {
            map.delete(key).unwrap();
        }
        keys.iter().map(|key| Asked::decode(key)).collect()
    }
}
