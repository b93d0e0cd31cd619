//! Names for the return addresses of stacks (`--stacks`), and how often each stack was seen, in the
//! input format of flame graphs (`--folded`).

mod frame;
mod hidden;
mod perf_map;
#[cfg_attr(not(feature = "stacks"), path = "stack/no_symbols.rs")]
mod symbols;
mod user_names;

use std::collections::HashMap;
use std::fs;

use serde::Serialize;

use crate::engine::errand::Errands;
use crate::output::escape::push_cell;
use crate::output::json::is_false;

use frame::Frame;
pub use hidden::hidden_names;
use symbols::KernelNames;
use user_names::Question;
pub use user_names::errand;

/// Whether this build looks up names. Without them frames are addresses.
const HAS_NAMES: bool = cfg!(feature = "stacks");

/// What a build without names says where stacks are asked for.
const NO_NAMES: &str = "not shown: names of functions: this program was built without them";

/// The most stacks that `--folded` counts separately.
const STACKS: usize = 100_000;

/// The kernel's own limit, if it does not say another one.
const FRAMES: usize = 127;

/// Stands for missing outer frames.
const CUT: &str = "...";

/// Stands for a frame without a name or a file, in folded stacks.
const UNKNOWN: &str = "[unknown]";

/// Stands for the names of a process that kept them from being looked up in time.
const UNSEEN: &str = "(names not looked up in time)";

/// Return addresses, innermost first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses<'a> {
    /// In the kernel
    pub kernel: &'a [u64],
    /// In the program
    pub user: &'a [u64],
}

/// The process whose stack it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its id, as this tool's `/proc` has it
    pub pid: u32,
    /// When it was made: see [`crate::host::proc::is_process`]
    pub start_ns: u64,
}

/// The names of a stack, innermost function first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stack {
    /// In the kernel
    pub kernel: Vec<String>,
    /// Outer ones of these may be missing
    #[serde(skip_serializing_if = "is_false")]
    pub kernel_cut: bool,
    /// In the program
    pub user: Vec<String>,
    /// Outer ones of these may be missing
    #[serde(skip_serializing_if = "is_false")]
    pub user_cut: bool,
    /// The process kept these names from being looked up in time: they are addresses
    #[serde(skip_serializing_if = "is_false")]
    pub user_unseen: bool,
}

/// Looks up names: the kernel's here, those of a process in a helper.
pub struct Symbols {
    kernel: KernelNames,
    /// A stack of this many frames may have had more
    limit: usize,
}

impl Symbols {
    /// `room`: the most frames for which there is room in a record.
    pub fn new(room: usize) -> Self {
        Self {
            kernel: KernelNames::default(),
            limit: limit(fs::read_to_string("/proc/sys/kernel/perf_event_max_stack").ok(), room),
        }
    }
}

/// The most frames of a stack; `sysctl`: the kernel's own limit, if known.
fn limit(sysctl: Option<String>, room: usize) -> usize {
    let most = sysctl.and_then(|text| text.trim().parse().ok());
    most.map_or(FRAMES.min(room), |most: usize| most.clamp(1, room))
}

/// Each frame, innermost first. A frame at address 0 is not a frame.
fn each(addresses: &[u64]) -> Vec<Frame> {
    let frame = |(at, &address): (usize, &u64)| Frame {
        address,
        inside: address.saturating_sub(u64::from(at > 0)),
    };
    addresses.iter().enumerate().map(frame).filter(|frame| frame.address != 0).collect()
}

impl Symbols {
    /// The names of a stack. A frame without a name is a place in a file, as in
    /// `libc.so.6+0x2724a`, or an address, above all if the process has ended. Without an owner the
    /// program's frames are addresses.
    pub fn names(
        &self,
        owner: Option<Owner>,
        addresses: Addresses<'_>,
        errands: Option<&mut Errands>,
    ) -> Stack {
        // User space first: it goes with the process.
        let user = each(addresses.user);
        let ask = |(owner, errands)| Question { owner, frames: &user }.ask(errands);
        let names = owner.zip(errands).map(ask);
        let user_unseen = matches!(names, Some(None));
        let user = with_addresses(names.flatten().unwrap_or_default(), &user);
        let kernel = each(addresses.kernel);
        let names = self.kernel.of(&kernel);
        let ours = tracer_frames(&names);
        Stack {
            kernel: with_addresses(names, &kernel).split_off(ours),
            kernel_cut: addresses.kernel.len() >= self.limit,
            user,
            user_cut: addresses.user.len() >= self.limit,
            user_unseen,
        }
    }
}

/// Functions in which a program of ours runs and what calls them, by the beginning of their names:
/// the traced call does not reach them.
const TRACER: [&str; 14] = [
    "bpf_prog_",
    "__bpf_prog_",
    "bpf_trampoline_",
    "bpf_get_stack",
    "__bpf_get_stack",
    "bpf_trace_run",
    "__bpf_trace_",
    "__traceiter_",
    "trace_call_bpf",
    "perf_call_bpf_",
    "perf_syscall_exit",
    "syscall_trace_exit",
    "syscall_exit_work",
    "syscall_slow_exit_work",
];

/// How many of the innermost frames of a kernel stack are the tracer's.
fn tracer_frames(names: &[Option<String>]) -> usize {
    let is_ours = |name: &Option<String>| {
        name.as_ref().is_some_and(|name| TRACER.iter().any(|prefix| name.starts_with(prefix)))
    };
    names.iter().rposition(is_ours).map_or(0, |last| last + 1)
}

/// Names, or addresses where there is no name.
fn with_addresses(names: Vec<Option<String>>, frames: &[Frame]) -> Vec<String> {
    let names = names.into_iter().chain(std::iter::repeat(None));
    let shown = |(frame, name): (&Frame, Option<String>)| {
        name.unwrap_or_else(|| format!("{:#x}", frame.address))
    };
    frames.iter().zip(names).map(shown).collect()
}

/// Frames below a row of text.
pub fn text(stacks: &Stack) -> Vec<u8> {
    let mut out = String::new();
    for (names, is_cut, mark) in
        [(&stacks.kernel, stacks.kernel_cut, " [k]"), (&stacks.user, stacks.user_cut, "")]
    {
        let cut = is_cut.then_some(CUT);
        for name in names.iter().map(String::as_str).chain(cut) {
            out.push_str("        ");
            push_words(&mut out, name);
            out.push_str(mark);
            out.push('\n');
        }
    }
    if stacks.user_unseen {
        out.push_str(&format!("        {UNSEEN}\n"));
    }
    out.into_bytes()
}

/// Appends a name that may have blanks, escaped.
fn push_words(out: &mut String, name: &str) {
    for (at, word) in name.split(' ').enumerate() {
        if at > 0 {
            out.push(' ');
        }
        if !word.is_empty() {
            push_cell(out, word.as_bytes());
        }
    }
}

/// Appends the name of a frame of a folded stack. Readers take `;` as the end of a frame, and a
/// number behind a blank as a count.
fn push_frame(out: &mut String, name: &str) {
    let mut name = name.replace(';', ":");
    let words = name.trim_end();
    if let Some((before, last)) = words.rsplit_once(' ') {
        if last.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            name = format!("{}_{last}", before.trim_end());
        }
    }
    push_words(out, &name);
}

/// How often each stack was seen.
#[derive(Debug, Default)]
pub struct Folded {
    counts: HashMap<String, u64>,
    others: u64,
}

impl Folded {
    /// Counts a stack that was seen so many times.
    pub fn add(&mut self, comm: &[u8], stacks: &Stack, times: u64) {
        let mut key = String::new();
        // Without blanks, as the usual tools have it.
        push_frame(&mut key, &String::from_utf8_lossy(comm).replace(' ', "_"));
        if stacks.user_unseen {
            key.push(';');
            push_frame(&mut key, UNSEEN);
        }
        for (names, is_cut, mark) in
            [(&stacks.user, stacks.user_cut, ""), (&stacks.kernel, stacks.kernel_cut, "_[k]")]
        {
            let cut = is_cut.then_some(CUT);
            for name in cut.into_iter().chain(names.iter().rev().map(String::as_str)) {
                key.push(';');
                // The address differs in each process. No function's name begins with 0x.
                let known = !name.starts_with("0x") || !mark.is_empty();
                push_frame(&mut key, if known { name } else { UNKNOWN });
                key.push_str(mark);
            }
        }
        if self.counts.len() < STACKS || self.counts.contains_key(&key) {
            let count = self.counts.entry(key).or_default();
            *count = count.saturating_add(times);
        } else {
            self.others = self.others.saturating_add(times);
        }
    }

    /// A line for each stack, `COMM;OUTERMOST;...;INNERMOST COUNT`, in their order.
    pub fn lines(&self) -> Vec<u8> {
        let mut lines: Vec<_> = self.counts.iter().collect();
        lines.sort();
        let mut out = String::new();
        for (stack, count) in lines {
            out.push_str(&format!("{stack} {count}\n"));
        }
        if self.others > 0 {
            out.push_str(&format!("(others) {}\n", self.others));
        }
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks(user: &[&str], kernel: &[&str]) -> Stack {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Stack { kernel: own(kernel), user: own(user), ..Stack::default() }
    }

    #[test]
    fn folded_lines() {
        let mut folded = Folded::default();
        folded.add(b"a b", &stacks(&["inner", "main"], &["sys;call"]), 1);
        folded.add(b"a b", &stacks(&["inner", "main"], &["sys;call"]), 1);
        folded.add(b"x\n", &stacks(&["operator new(unsigned long)"], &[]), 1);
        let expected = "a_b;main;inner;sys:call_[k] 2\nx\\n;operator new(unsigned long) 1\n";
        assert_eq!(String::from_utf8(folded.lines()).unwrap(), expected);
    }

    /// As inferno reads a line: the number behind the last blank is the count, and another one
    /// before it would be the count of a second profile.
    fn read(line: &str) -> (Vec<&str>, u64) {
        let (stack, count) = line.rsplit_once(' ').unwrap();
        let second = stack.rsplit_once(' ').and_then(|(_, word)| word.parse::<f64>().ok());
        assert_eq!(second, None, "{line}");
        (stack.split(';').collect(), count.parse().unwrap())
    }

    #[test]
    fn names_do_not_forge_frames_or_counts() {
        for (comm, frame) in [
            ("a;b", "f;g"),
            ("worker 7", "f"),
            ("x", "jit 12"),
            ("x", "jit 1.5"),
            ("x", "jit 12 "),
            ("7", " 7"),
            ("a\nb 1", "f\n9"),
        ] {
            for user in [&[][..], &[frame]] {
                let mut folded = Folded::default();
                (0..3).for_each(|_| folded.add(comm.as_bytes(), &stacks(user, &[]), 1));
                let text = String::from_utf8(folded.lines()).unwrap();
                let lines: Vec<_> = text.lines().collect();
                assert_eq!(lines.len(), 1, "{text}");
                let (frames, count) = read(lines[0]);
                assert_eq!((frames.len(), count), (user.len() + 1, 3), "{text}");
            }
        }
    }

    #[test]
    fn the_tracers_own_frames_are_left_out() {
        let names = |names: &[&str]| -> Vec<_> {
            names.iter().map(|name| Some((*name).to_owned()).filter(|_| *name != "-")).collect()
        };
        for (own, rest) in [
            (
                &["bpf_prog_1_tp_mmap", "trace_call_bpf", "perf_syscall_exit"][..],
                &["do_syscall_64"],
            ),
            (&["bpf_prog_1_btf", "-", "bpf_trace_run2"], &["do_syscall_64"]),
            (&["bpf_trampoline_64"], &["__x64_sys_mmap"]),
            (&[], &["__x64_sys_mmap"]),
        ] {
            assert_eq!(tracer_frames(&names(&[own, &rest[..]].concat())), own.len());
        }
        assert_eq!(tracer_frames(&[None, None]), 0, "unknown ones may be anything");
    }

    #[test]
    fn frames_are_safe_for_a_terminal() {
        let shown = text(&stacks(&["a\x1b[2Jb"], &["k"]));
        assert_eq!(String::from_utf8(shown).unwrap(), "        k [k]\n        a\\033[2Jb\n");
    }

    #[test]
    fn a_caller_is_before_its_return_address() {
        let frames = each(&[0x100, 0x200, 0, 0x300]);
        let inside: Vec<_> = frames.iter().map(|frame| frame.inside).collect();
        assert_eq!(inside, [0x100, 0x1ff, 0x2ff]);
        assert_eq!(with_addresses(vec![None], &frames), ["0x100", "0x200", "0x300"]);
    }

    #[test]
    fn what_has_no_name_is_the_same_in_each_process() {
        let mut folded = Folded::default();
        folded.add(b"a", &stacks(&["0x7f01", "x+0x1"], &["0xffff01"]), 1);
        folded.add(b"a", &stacks(&["0x7f02", "x+0x1"], &["0xffff01"]), 1);
        let lines = String::from_utf8(folded.lines()).unwrap();
        assert_eq!(lines, "a;x+0x1;[unknown];0xffff01_[k] 2\n");
    }

    #[test]
    fn a_stack_that_is_cut_says_so() {
        assert_eq!(limit(None, FRAMES), FRAMES);
        assert_eq!(limit(Some("127\n".to_owned()), FRAMES), 127);
        assert_eq!(limit(Some("640\n".to_owned()), FRAMES), FRAMES, "there is no room for them");
        assert_eq!(limit(Some("16\n".to_owned()), FRAMES), 16);
        assert_eq!(limit(Some("0\n".to_owned()), FRAMES), 1, "none is not cut");
        let cut = Stack { user_cut: true, ..stacks(&["b", "a"], &["k"]) };
        assert_eq!(text(&cut), b"        k [k]\n        b\n        a\n        ...\n");
        let mut folded = Folded::default();
        folded.add(b"c", &cut, 1);
        assert_eq!(folded.lines(), b"c;...;a;b;k_[k] 1\n");
        let json = serde_json::to_string(&cut).unwrap();
        assert_eq!(json, r#"{"kernel":["k"],"user":["b","a"],"user_cut":true}"#);
    }

    #[test]
    fn names_that_are_missing_say_so() {
        let unseen = Stack { user_unseen: true, ..stacks(&["0x7f01"], &["k"]) };
        let expected = "        k [k]\n        0x7f01\n        (names not looked up in time)\n";
        assert_eq!(text(&unseen), expected.as_bytes());
        let mut folded = Folded::default();
        folded.add(b"c", &unseen, 1);
        let expected = b"c;(names not looked up in time);[unknown];k_[k] 1\n";
        assert_eq!(folded.lines(), expected);
        let json = serde_json::to_string(&unseen).unwrap();
        assert_eq!(json, r#"{"kernel":["k"],"user":["0x7f01"],"user_unseen":true}"#);
    }
}
