//! Recognises the object's own messages of `bpf_printk()`. The kernel does not name the sender, but
//! the object has the formats.

use regex::bytes::{Regex, RegexSet};

use crate::elf::budget::Budget;
use crate::elf::code::{Function, Reference};
use crate::elf::insn::Insn;
use crate::elf::object::Object;

/// `bpf_trace_printk` and `bpf_trace_vprintk`
const PRINTK: [i32; 2] = [6, 177];

/// The most instructions before a call to search for the format.
const NEAR: usize = 64;

/// The most bytes of all formats. Each is a part of one large pattern.
const MAX_BYTES: usize = 1 << 18;
/// What each costs besides.
const COST: usize = 64;

/// The kernel cuts messages, at 512 bytes in older kernels.
const CUT: usize = 500;

/// The formats of an object.
pub struct Formats(RegexSet);

impl Formats {
    /// `None` if a format cannot be found: then any message may be the object's.
    pub fn of(object: &Object) -> Option<Self> {
        let mut patterns = Vec::new();
        let bytes = Budget::new(MAX_BYTES);
        for function in &object.functions {
            let mut targets: Option<Vec<usize>> = None;
            for (at, insn) in function.insns.iter().enumerate() {
                let calls =
                    insn.opcode == Insn::CALL && insn.src == 0 && PRINTK.contains(&insn.imm);
                if calls {
                    let targets = targets.get_or_insert_with(|| targets_in(function));
                    let format = format_before(object, function, targets, at)?;
                    // Many calls may share one long string.
                    bytes.take(format.len() + COST).then_some(())?;
                    patterns.push(pattern(format));
                }
            }
        }
        RegexSet::new(patterns).ok().map(Self)
    }

    /// Whether a message fits one of the formats.
    pub fn fit(&self, message: &[u8]) -> bool {
        message.len() >= CUT || self.0.is_match(message)
    }
}

/// Where jumps lead, in order.
fn targets_in(function: &Function) -> Vec<usize> {
    let jumps = function.insns.iter().enumerate();
    let target = |(slot, insn): (usize, &Insn)| usize::try_from(slot as i64 + insn.jump()?).ok();
    let mut targets: Vec<_> = jumps.filter_map(target).collect();
    targets.sort_unstable();
    targets
}

/// The string whose address is put into the first argument before a call.
fn format_before<'a>(
    object: &'a Object,
    function: &Function,
    targets: &[usize],
    call: usize,
) -> Option<&'a [u8]> {
    const STORES: [u8; 2] = [2, 3]; // there `dst` is an address
    let sets_r1 =
        |insn: &Insn| insn.dst == 1 && insn.opcode != 0 && !STORES.contains(&insn.class());
    let mut slots = (call.saturating_sub(NEAR)..call).rev();
    let load = slots.find(|&slot| function.insns.get(slot).is_some_and(sets_r1))?;
    // A jump from elsewhere may bring another address.
    let next = targets.get(targets.partition_point(|&target| target <= load));
    if next.is_some_and(|&target| target <= call) {
        return None;
    }
    let insn = function.insns.get(load)?;
    match function.references.get(load)? {
        Reference::Data { section, offset } if insn.opcode == Insn::LDDW => {
            object.string_at(*section, *offset)
        }
        _ => None,
    }
}

/// A regular expression for all messages of a format.
fn pattern(format: &[u8]) -> String {
    // Flags, width, precision, length, conversion: %p may have more behind it.
    const SPEC: &str =
        r"(?-u)%(?:%|[-+ #0]*[0-9]*(?:\.[0-9]+)?[hlzL]*(?:p(?:ks|us|[iI][46]|[KxsSB])?|[a-zA-Z]))";
    let mut out = String::from("(?s-u)^");
    let format = format.strip_suffix(b"\n").unwrap_or(format);
    let mut end = 0;
    let push = |out: &mut String, bytes: &[u8]| {
        for &byte in bytes {
            out.push_str(&format!(r"\x{byte:02x}"));
        }
    };
    if let Ok(spec) = Regex::new(SPEC) {
        for found in spec.find_iter(format) {
            push(&mut out, format.get(end..found.start()).unwrap_or_default());
            out.push_str(if found.as_bytes() == b"%%" { "%" } else { ".*" });
            end = found.end();
        }
    }
    push(&mut out, format.get(end..).unwrap_or_default());
    out.push_str(r"\n?$");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_by_their_formats() {
        for (format, message, fits) in [
            ("Hello, World!", "Hello, World!", true),
            ("Hello, World!", "Hello, World", false),
            ("pid %d\n", "pid 12", true),
            ("pid %d", "pid -1", true),
            ("pid %-8lu|%#llx", "pid 12      |0xff", true),
            ("pid %d", "tid 12", false),
            ("%s", "anything", true),
            ("100%% of %s", "100% of it", true),
            ("100%% of %s", "10 of it", false),
            ("%pI4:%pks done", "1.2.3.4:x done", true),
            ("a.b", "axb", false),
            ("%d files", "1\n2 files", true),
        ] {
            let regex = Regex::new(&pattern(format.as_bytes())).unwrap();
            assert_eq!(regex.is_match(message.as_bytes()), fits, "{format} {message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_format_makes_a_pattern(format: Vec<u8>) {
            proptest::prop_assert!(Regex::new(&pattern(&format)).is_ok());
        }
    }
}
