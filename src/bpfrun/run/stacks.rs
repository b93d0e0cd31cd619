//! Names for the stacks in events and in maps, and how often each was seen (`--folded`).
//!
//! Programs send return addresses, or the number of a stack that a helper has put into a map. The
//! kernel's are looked up here; those of a process in a helper process, since the traced process
//! chooses what is read for that: see [`crate::engine::stack`].

use anyhow::Result;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use serde_json::{Map, Value, json};

use crate::elf::code::Reference;
use crate::elf::insn::Insn;
use crate::elf::object::Object;
use crate::elf::value::{Decoder, Frames, Traced};
use crate::engine::errand::Errands;
use crate::engine::stack::{Addresses, Folded, Owner, Stack, Symbols, text};
use crate::host::proc::{Stat, first_ns};

/// `bpf_get_stackid`, `bpf_get_stack`, `bpf_get_task_stack`
const STACKS: [i32; 3] = [27, 67, 141];

/// Frames of a stack: the kernel's `PERF_MAX_STACK_DEPTH`.
const FRAMES: usize = 127;

/// A process may be this much younger than an event of its own: `/proc` counts in hundredths of a
/// second.
const TICK_NS: u64 = 10_000_000;

/// Whether any function of an object asks for a stack.
pub fn asks_for_stacks(object: &Object) -> bool {
    let mut insns = object.functions.iter().flat_map(|function| &function.insns);
    let asks =
        insns.any(|insn| insn.opcode == Insn::CALL && insn.src == 0 && STACKS.contains(&insn.imm));
    // A map may be filled by somebody else.
    let mut references = object.functions.iter().flat_map(|function| function.references.values());
    let is_of_stacks = |map: usize| {
        let kind = object.maps.get(map).map(|map| map.kind);
        kind == Some(libbpf_sys::BPF_MAP_TYPE_STACK_TRACE)
    };
    asks || references.any(|reference| matches!(reference, Reference::Map(m) if is_of_stacks(*m)))
}

/// Where addresses and names come from.
pub struct Stacks {
    symbols: Symbols,
    /// Maps of stacks: index in `Object::maps`
    maps: Vec<(u32, MapHandle)>,
    /// With `--folded`
    pub folded: Option<Folded>,
}

/// The stacks of one event or one element: one, or several by the names of their fields.
pub struct Named(Vec<(String, Stack)>);

impl Stacks {
    /// Over the maps of a loaded object.
    pub fn new(loaded: &libbpf_rs::Object, object: &Object, folded: bool) -> Result<Self> {
        let mut maps = Vec::new();
        for map in loaded.maps().filter(|map| map.map_type() == MapType::StackTrace) {
            let name = map.name().to_string_lossy();
            let Some(index) = object.maps.iter().position(|defined| *defined.name == *name) else {
                continue;
            };
            // Places in files are not addresses.
            let flags = object.maps.get(index).map_or(0, |defined| defined.flags);
            if flags & libbpf_sys::BPF_F_STACK_BUILD_ID == 0 {
                maps.push((u32::try_from(index)?, MapHandle::try_from(&map)?));
            }
        }
        let folded = folded.then(Folded::default);
        Ok(Self { symbols: Symbols::new(FRAMES), maps, folded })
    }

    /// The names of the stacks in `data`, which are of the process that `owner` names, or that
    /// `data` itself names. `time_ns`: when they were made. `None`: there are none.
    pub fn of(
        &self,
        traced: &[Traced],
        process: Option<u32>,
        time_ns: u64,
        mut errands: Option<&mut Errands>,
    ) -> Option<Named> {
        let mut parts = Vec::new();
        for one in traced {
            let addresses = self.addresses(&one.frames);
            let (kernel, user): (Vec<_>, Vec<_>) =
                addresses.iter().partition(|&&address| is_kernel(address, one.user));
            if !addresses.is_empty() {
                parts.push((one.name.clone(), kernel, user));
            }
        }
        let single = parts.iter().filter(|(_, kernel, _)| !kernel.is_empty()).count() <= 1
            && parts.iter().filter(|(_, _, user)| !user.is_empty()).count() <= 1;
        if single && parts.len() > 1 {
            let all = std::mem::take(&mut parts).into_iter();
            let one = all.reduce(|(name, kernel, user), (_, more, others)| {
                (name, [kernel, more].concat(), [user, others].concat())
            });
            parts.extend(one);
        }
        let asks = parts.iter().any(|(_, _, user)| !user.is_empty());
        let owner = process.filter(|_| asks).and_then(|pid| owner(pid, time_ns));
        let mut name = |(name, kernel, user): (String, Vec<u64>, Vec<u64>)| {
            let addresses = Addresses { kernel: &kernel, user: &user };
            (name, self.symbols.names(owner, addresses, errands.as_deref_mut()))
        };
        let named: Vec<_> = parts.into_iter().map(&mut name).collect();
        (!named.is_empty()).then_some(Named(named))
    }

    /// The names of the stacks of an event.
    pub fn of_event(
        &self,
        decoder: &Decoder,
        data: &[u8],
        time_ns: u64,
        errands: Option<&mut Errands>,
    ) -> Option<Named> {
        self.of(&decoder.stacks(data), decoder.process(data), time_ns, errands)
    }

    fn addresses(&self, frames: &Frames) -> Vec<u64> {
        let (map, id) = match frames {
            Frames::Here(addresses) => return addresses.clone(),
            &Frames::InMap { map, id } => (map, id),
        };
        let known = match (map, &self.maps[..]) {
            (Some(index), maps) => maps.iter().find(|(own, _)| *own == index),
            (None, [only]) => Some(only),
            // It could be of any of them.
            (None, _) => None,
        };
        let (Some((_, map)), Ok(id)) = (known, u32::try_from(id)) else { return Vec::new() };
        let found = map.lookup(&id.to_ne_bytes(), MapFlags::ANY).ok().flatten();
        let chunks = found.as_deref().unwrap_or_default().chunks_exact(8);
        let numbers = chunks.map(|bytes| bytes.try_into().map_or(0, u64::from_ne_bytes));
        numbers.take_while(|&address| address != 0).collect()
    }

    /// Counts stacks for `--folded`: `times` for all together.
    pub fn fold(&mut self, comm: &[u8], named: &Named, times: u64) {
        if let Some(folded) = &mut self.folded {
            named.0.iter().for_each(|(_, stack)| folded.add(comm, stack, times));
        }
    }
}

/// The process of this number, unless it is younger than the event: then it is another one.
fn owner(pid: u32, time_ns: u64) -> Option<Owner> {
    let start_ns = first_ns(Stat::read(pid)?.start_ticks()?);
    (start_ns <= time_ns.saturating_add(TICK_NS)).then_some(Owner { pid, start_ns })
}

/// Whether an address is the kernel's: by its helper's flags or its name, or by its upper half.
fn is_kernel(address: u64, user: Option<bool>) -> bool {
    // On s390x both begin at 0.
    let upper = cfg!(not(target_arch = "s390x")) && address >> 63 == 1;
    user.map_or(upper, |user| !user)
}

impl Named {
    /// Lines below a row.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        for (name, stack) in &self.0 {
            if self.0.len() > 1 {
                out.extend_from_slice(format!("      {name}:\n").as_bytes());
            }
            out.extend(text(stack));
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Adds `stack`, or `stacks` by the names of their fields, to a record.
    pub fn insert(&self, record: &mut Map<String, Value>) {
        match &self.0[..] {
            [(_, only)] => _ = record.insert("stack".to_owned(), json!(only)),
            several => {
                let each = several.iter().map(|(name, stack)| (name.clone(), json!(stack)));
                record.insert("stacks".to_owned(), Value::Object(each.collect()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_kernel_are_told() {
        let kernel = 0xffff_ffff_8100_0000;
        assert!(cfg!(target_arch = "s390x") || is_kernel(kernel, None));
        assert!(!is_kernel(0x7f00_0000_0000, None));
        assert!(is_kernel(0x1000, Some(false)), "the helper was asked for the kernel's");
        assert!(!is_kernel(kernel, Some(true)));
    }

    #[test]
    fn a_process_that_is_younger_than_its_event_is_another_one() {
        let me = std::process::id();
        assert!(owner(me, u64::MAX).is_some());
        assert_eq!(owner(me, 0), None);
        assert_eq!(owner(u32::MAX, u64::MAX), None);
    }

    #[test]
    fn several_stacks_have_the_names_of_their_fields() {
        let stack = |name: &str| Stack { user: vec![name.to_owned()], ..Stack::default() };
        let mut one = Map::new();
        Named(vec![("a".to_owned(), stack("f"))]).insert(&mut one);
        assert_eq!(Value::Object(one), json!({ "stack": { "kernel": [], "user": ["f"] } }));
        let both = Named(vec![("a".to_owned(), stack("f")), ("b".to_owned(), stack("g"))]);
        let mut record = Map::new();
        both.insert(&mut record);
        assert_eq!(record["stacks"]["b"]["user"], json!(["g"]));
        assert!(both.text().contains("      b:\n        g\n"), "{}", both.text());
    }
}
