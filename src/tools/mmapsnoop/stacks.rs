//! `--stacks`: names for the return addresses of a caller's stacks, and `--folded`: how often each
//! stack was seen, in the input format of flame graphs.

use std::collections::HashMap;
use std::fs;
use std::mem::offset_of;

use blazesym::symbolize::source::{Kernel, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::json::StacksJson;
use super::user_names::{Frame, Question};
use super::{Call, Frames};
use crate::engine::errand::Errands;
use crate::output::escape::push_cell;
use crate::skel::mmap_scratch;

/// The most stacks that `--folded` counts separately.
const STACKS: usize = 100_000;

/// The most frames in a record: `MMAP_FRAMES` in mmap.h.
pub const FRAMES: usize =
    (offset_of!(mmap_scratch, user_stack) - offset_of!(mmap_scratch, kernel_stack)) / 8;

/// Stands for missing outer frames.
const CUT: &str = "...";

/// Stands for a frame without a name or a file, in folded stacks.
const UNKNOWN: &str = "[unknown]";

/// Stands for the names of a process that kept them from being looked up in time.
const UNSEEN: &str = "(names not looked up in time)";

/// Looks up names: the kernel's here, those of a process in a helper.
pub struct Symbols {
    symbolizer: Symbolizer,
    /// A stack of this many frames may have had more
    limit: usize,
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            symbolizer: Symbolizer::builder().enable_code_info(false).build(),
            limit: limit(fs::read_to_string("/proc/sys/kernel/perf_event_max_stack").ok()),
        }
    }
}

/// The most frames of a stack; `sysctl`: the kernel's own limit, if known.
fn limit(sysctl: Option<String>) -> usize {
    let most = sysctl.and_then(|text| text.trim().parse().ok());
    most.map_or(FRAMES, |most: usize| most.clamp(1, FRAMES))
}

/// Each frame, innermost first. A frame at address 0 is not a frame.
fn each(frames: Frames<'_>) -> Vec<Frame> {
    let frame = |(at, address): (usize, u64)| Frame {
        address,
        inside: address.saturating_sub(u64::from(at > 0)),
    };
    frames.iter().enumerate().map(frame).filter(|frame| frame.address != 0).collect()
}

impl Symbols {
    /// The stacks of `call`, innermost function first. A frame without a name is a place in a file,
    /// as in `libc.so.6+0x2724a`, or an address, above all if the process has ended.
    pub fn stacks(&self, call: &Call<'_>, errands: Option<&mut Errands>) -> StacksJson {
        // User space first: it goes with the process.
        let user = each(call.user_stack);
        let question = Question { pid: call.id.pid, start_ns: call.id.start_ns, frames: &user };
        let names = errands.map(|errands| question.ask(errands));
        let user_unseen = matches!(names, Some(None));
        let user = with_addresses(names.flatten().unwrap_or_default(), &user);
        let kernel = each(call.kernel_stack);
        let names = self.kernel_names(&kernel);
        let ours = tracer_frames(&names);
        StacksJson {
            kernel: with_addresses(names, &kernel).split_off(ours),
            kernel_cut: call.kernel_stack.len() >= self.limit,
            user,
            user_cut: call.user_stack.len() >= self.limit,
            user_unseen,
        }
    }

    /// Names of functions, if they have one: an entry for each frame.
    fn kernel_names(&self, frames: &[Frame]) -> Vec<Option<String>> {
        let inside: Vec<u64> = frames.iter().map(|frame| frame.inside).collect();
        let source = Source::Kernel(Kernel::default());
        let name = |symbol: &Symbolized<'_>| match symbol {
            Symbolized::Sym(symbol) => Some(symbol.name.clone().into_owned()),
            Symbolized::Unknown(_) => None,
        };
        match self.symbolizer.symbolize(&source, Input::AbsAddr(&inside)) {
            Ok(symbols) => symbols.iter().map(name).collect(),
            Err(_) => vec![None; frames.len()],
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
pub fn text(stacks: &StacksJson) -> Vec<u8> {
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
    /// Counts one call.
    pub fn add(&mut self, comm: &[u8], stacks: &StacksJson) {
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
            *self.counts.entry(key).or_default() += 1;
        } else {
            self.others += 1;
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

    fn stacks(user: &[&str], kernel: &[&str]) -> StacksJson {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        StacksJson { kernel: own(kernel), user: own(user), ..StacksJson::default() }
    }

    #[test]
    fn folded_lines() {
        let mut folded = Folded::default();
        folded.add(b"a b", &stacks(&["inner", "main"], &["sys;call"]));
        folded.add(b"a b", &stacks(&["inner", "main"], &["sys;call"]));
        folded.add(b"x\n", &stacks(&["operator new(unsigned long)"], &[]));
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
                (0..3).for_each(|_| folded.add(comm.as_bytes(), &stacks(user, &[])));
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

    fn frames(addresses: &[u64]) -> Vec<u8> {
        addresses.iter().flat_map(|address| address.to_ne_bytes()).collect()
    }

    #[test]
    fn a_caller_is_before_its_return_address() {
        let bytes = frames(&[0x100, 0x200, 0, 0x300]);
        let frames = each(Frames { bytes: &bytes });
        let inside: Vec<_> = frames.iter().map(|frame| frame.inside).collect();
        assert_eq!(inside, [0x100, 0x1ff, 0x2ff]);
        assert_eq!(with_addresses(vec![None], &frames), ["0x100", "0x200", "0x300"]);
    }

    #[test]
    fn what_has_no_name_is_the_same_in_each_process() {
        let mut folded = Folded::default();
        folded.add(b"a", &stacks(&["0x7f01", "x+0x1"], &["0xffff01"]));
        folded.add(b"a", &stacks(&["0x7f02", "x+0x1"], &["0xffff01"]));
        let lines = String::from_utf8(folded.lines()).unwrap();
        assert_eq!(lines, "a;x+0x1;[unknown];0xffff01_[k] 2\n");
    }

    #[test]
    fn a_stack_that_is_cut_says_so() {
        assert_eq!(limit(None), FRAMES);
        assert_eq!(limit(Some("127\n".to_owned())), 127);
        assert_eq!(limit(Some("640\n".to_owned())), FRAMES, "there is no room for them");
        assert_eq!(limit(Some("16\n".to_owned())), 16);
        assert_eq!(limit(Some("0\n".to_owned())), 1, "none is not cut");
        let cut = StacksJson { user_cut: true, ..stacks(&["b", "a"], &["k"]) };
        assert_eq!(text(&cut), b"        k [k]\n        b\n        a\n        ...\n");
        let mut folded = Folded::default();
        folded.add(b"c", &cut);
        assert_eq!(folded.lines(), b"c;...;a;b;k_[k] 1\n");
        let json = serde_json::to_string(&cut).unwrap();
        assert_eq!(json, r#"{"kernel":["k"],"user":["b","a"],"user_cut":true}"#);
    }

    #[test]
    fn names_that_are_missing_say_so() {
        let unseen = StacksJson { user_unseen: true, ..stacks(&["0x7f01"], &["k"]) };
        let expected = "        k [k]\n        0x7f01\n        (names not looked up in time)\n";
        assert_eq!(text(&unseen), expected.as_bytes());
        let mut folded = Folded::default();
        folded.add(b"c", &unseen);
        let expected = b"c;(names not looked up in time);[unknown];k_[k] 1\n";
        assert_eq!(folded.lines(), expected);
        let json = serde_json::to_string(&unseen).unwrap();
        assert_eq!(json, r#"{"kernel":["k"],"user":["0x7f01"],"user_unseen":true}"#);
    }
}
