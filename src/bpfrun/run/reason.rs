//! From the words of libbpf, the verifier and the kernel to the true reason, in one line, and a
//! remedy.

mod binary;
mod permit;

use std::fmt;
use std::path::Path;

use nix::errno::Errno;

use crate::bpfrun::run::hook::Kind;
use crate::bpfrun::run::symbols;
use crate::engine::attach::verifier;
use crate::host::errno;
use crate::host::tracepoint::{Step, TracepointError};
use crate::output::escape::push_text;

/// The reason for a refusal, with a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The reason
    pub what: String,
    /// The remedy
    pub advice: Option<String>,
}

impl Reason {
    /// A reason for which there is no advice.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: one_line(&what.into()), advice: None }
    }

    /// With advice.
    pub fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(one_line(&advice.into())), ..self }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// Foreign text, escaped for a terminal, not too long, and without the number that Rust puts behind
/// an error's words.
fn one_line(text: &str) -> String {
    const ENOUGH: usize = 400;
    let text = text.trim();
    let text = match text.rsplit_once(" (os error ") {
        Some((words, rest)) if rest.trim_start_matches(|c: char| c.is_ascii_digit()) == ")" => {
            words
        }
        _ => text,
    };
    let mut out = String::new();
    push_text(&mut out, text.as_bytes());
    if let Some((at, _)) = out.char_indices().nth(ENOUGH) {
        out.truncate(at);
        out.push('…');
    }
    out
}

/// The program that libbpf was loading when it failed, by its last words about one.
pub fn refused_program<'a>(words: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| words.rfind(&format!("prog '{name}': "));
    names.filter_map(|name| Some((last(name)?, name))).max().map(|(_, name)| name)
}

/// The map that libbpf was creating when it failed.
pub fn refused_map<'a>(words: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| words.rfind(&format!("map '{name}': "));
    names.filter_map(|name| Some((last(name)?, name))).max().map(|(_, name)| name)
}

/// The declaration that libbpf could not resolve: its name, and what libbpf said.
pub fn refused_extern(words: &str) -> Option<(&str, &str)> {
    let mut lines = words.lines().filter_map(|line| line.strip_prefix("libbpf: "));
    let line = lines.rfind(|line| line.starts_with("extern "))?;
    // `extern (func ksym) 'NAME': …`; older ones write `extern NAME (strong): …` too.
    let name = line.split('\'').nth(1).or(line.split(' ').nth(1))?;
    Some((name, line))
}

/// Why libbpf could not open or load an object, apart from a single program or map.
pub fn of_object(words: &str) -> Option<String> {
    let line = words
        .lines()
        .filter_map(|line| line.strip_prefix("libbpf: "))
        .find(|line| !line.contains("failed to load object") && !line.contains("ulimit -l"))?;
    Some(one_line(line.trim_start_matches("elf: ")))
}

/// Why a map could not be created.
pub fn of_map(words: &str, name: &str) -> Reason {
    let prefix = format!("libbpf: map '{name}': ");
    let line = words.lines().find_map(|line| line.strip_prefix(&prefix));
    Reason::new(line.unwrap_or("could not be created"))
}

/// The reason for a program that the verifier did not look at.
const FORBIDDEN: &str = "EPERM, and the verifier was not even asked";

/// Whether something other than the verifier refused a program: that may hold for all of its kind.
pub fn is_forbidden(reason: &Reason) -> bool {
    reason.what == FORBIDDEN
}

/// Why no program of a kind can be loaded.
pub fn of_kind(kind: &str) -> Reason {
    Reason::new(format!("the kernel loads no {kind} programs (EPERM)")).advice(
        "lockdown or a security policy forbids them here: use a tracepoint, or another kernel",
    )
}

/// Why a program could not be loaded.
pub fn of_load(words: &str, name: &str, kind: Kind, target: Option<&str>) -> Reason {
    if let Some(log) = verifier_log(words, name) {
        if let Some(reason) = of_verifier(log) {
            return reason;
        }
    }
    let lines = lines_about(words, name);
    if let Some(target) = lines.iter().find_map(|line| {
        line.strip_prefix("failed to find kernel BTF type ID of '")?.split('\'').next()
    }) {
        let what = match kind {
            Kind::TpBtf => "tracepoint",
            Kind::Lsm => "LSM hook",
            Kind::Iter => "iterator",
            _ => "function",
        };
        let advice = match kind {
            Kind::TpBtf => format!("--attach {name}=NAME for another one"),
            _ => format!("it may be inlined or renamed; --attach {name}=NAME for another one"),
        };
        return Reason::new(format!("this kernel has no {what} {target}")).advice(advice);
    }
    if lines.iter().any(|line| line.contains("no BTF-based attach target")) {
        return Reason::new("its section names no target")
            .advice(format!("--attach {name}={}", kind.wants()));
    }
    if lines.iter().any(|line| line.contains("missing BPF prog type")) {
        return Reason::new("libbpf knows no programs of such a section").advice(format!(
            "--type-of {name}=KIND says what it is, such as tc or kprobe/FUNCTION"
        ));
    }
    let failed = lines.iter().find(|line| line.contains("BPF program load failed"));
    let errno = failed.and_then(|line| errno_of(line));
    if matches!(errno, Some(Errno::EPERM | Errno::EACCES)) {
        if let Some(missing) = permit::to_load(kind) {
            return missing;
        }
    }
    match errno {
        Some(Errno::EPERM) => {
            return Reason::new(FORBIDDEN)
                .advice("a security policy may forbid something that the program uses");
        }
        Some(Errno::EINVAL) if target.is_some() && kind == Kind::Lsm => {
            return Reason::new("EINVAL").advice("needs CONFIG_BPF_LSM");
        }
        _ => {}
    }
    match failed.or(lines.first()) {
        Some(line) => Reason::new(line.replace("BPF program load failed: ", "")),
        None => Reason::new("the kernel gave no reason").advice("-v shows all that was said"),
    }
}

/// The lines of libbpf about one program, without its name.
fn lines_about<'a>(words: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!("libbpf: prog '{name}': ");
    words.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

fn verifier_log<'a>(words: &'a str, name: &str) -> Option<&'a str> {
    let log = words.get(..words.rfind("-- END PROG LOAD LOG --")?)?;
    // Of a long log only the end is kept.
    let begin = format!("libbpf: prog '{name}': -- BEGIN PROG LOAD LOG --\n");
    Some(log.rfind(&begin).and_then(|at| log.get(at + begin.len()..)).unwrap_or(log))
}

/// The verifier's objection, and the source line.
fn of_verifier(log: &str) -> Option<Reason> {
    let lines: Vec<_> = log.lines().collect();
    let at = lines.iter().rposition(|line| !verifier::is_statistics(line.trim()))?;
    let said = lines.get(at)?.trim();
    let source = lines.get(..at)?.iter().rev().find_map(|line| line.strip_prefix("; "));
    let what = match source {
        // Newer kernels put "@ file:line" behind the source.
        Some(source) => format!("verifier: {said} (at: {})", source.trim()),
        None => format!("verifier: {said}"),
    };
    let reason = Reason::new(what);
    Some(match said {
        _ if said.contains("GPL compatible") || said.contains("GPL-restricted") => {
            reason.advice("the object's licence has to be GPL")
        }
        _ if said.contains("unknown func") || said.contains("invalid func") => {
            reason.advice("this kernel has no such helper: use a newer one")
        }
        _ if said.contains("<invalid CO-RE relocation>") => {
            reason.advice("this kernel's types lack a member that the program reads")
        }
        _ if said.contains("Kernel function is not attachable") => {
            reason.advice("use another function")
        }
        _ => reason,
    })
}

/// `…: -ENOENT` or `…: -2` at the end of a line of libbpf's; older ones put it into words.
fn errno_of(line: &str) -> Option<Errno> {
    let line = line.trim_end();
    let word = line.rsplit(['-', ' ']).next()?.trim_end_matches(')');
    if let Ok(number) = word.parse::<i32>() {
        return Some(Errno::from_raw(number));
    }
    let words = line.rsplit(": ").next()?;
    (1..134)
        .map(Errno::from_raw)
        .find(|errno| format!("{errno:?}") == word || errno.desc() == words)
}

/// Why a loaded program could not be attached. `error`: from the failed call.
pub fn of_attach(
    words: &str,
    name: &str,
    kind: Kind,
    target: &str,
    error: &anyhow::Error,
) -> Reason {
    if let Some(error) = error.downcast_ref::<TracepointError>() {
        return of_tracepoint(kind, error);
    }
    let said = match lines_about(words, name).first() {
        Some(line) => (*line).to_owned(),
        None => format!("{error:#}"),
    };
    let errno = errno::of(error).or_else(|| errno_of(&said));
    match kind {
        Kind::Kprobe { .. } | Kind::KprobeMulti | Kind::Ksyscall { .. } => {
            let what = "this kernel has no kprobes";
            if !Path::new("/sys/bus/event_source/devices/kprobe").exists() {
                return Reason::new(format!("{what} (CONFIG_KPROBES)"))
                    .advice("use a tracepoint, or another kernel");
            }
            let function = target.split('+').next().unwrap_or(target);
            let gone = matches!(errno, Some(Errno::ENOENT | Errno::EINVAL | Errno::ESRCH));
            if gone && matches!(kind, Kind::Kprobe { .. }) && !symbols::has(function) {
                return Reason::new(format!("this kernel has no function {function}")).advice(
                    format!(
                        "it may be inlined or renamed; --attach {name}=FUNCTION for another one"
                    ),
                );
            }
            if errno == Some(Errno::EADDRNOTAVAIL) {
                return Reason::new(format!("{function} is ambiguous or may not be probed"));
            }
        }
        Kind::RawTracepoint if errno == Some(Errno::ENOENT) => {
            return Reason::new(format!("this kernel has no tracepoint {target}"));
        }
        Kind::Uprobe { .. } | Kind::UprobeMulti { .. } | Kind::Usdt => {
            if let Some(reason) = binary::of_file(words, name, kind, target, errno) {
                return reason;
            }
            // The messages of libbpf's ELF reader name the file, not the program.
            let line = words.lines().filter_map(|line| line.strip_prefix("libbpf: "));
            if let Some(line) = line.into_iter().find(|line| line.starts_with("elf: ")) {
                return Reason::new(line.trim_start_matches("elf: "));
            }
        }
        _ => {}
    }
    let reason = Reason::new(said);
    match errno {
        // With all needed capabilities, something else refused the program.
        Some(Errno::EPERM | Errno::EACCES) => permit::to_attach(kind)
            .unwrap_or_else(|| reason.advice("a security policy or a container may forbid it")),
        Some(Errno::EBUSY) => reason.advice("something else is attached there already"),
        _ => reason,
    }
}

fn of_tracepoint(kind: Kind, error: &TracepointError) -> Reason {
    if let (Step::OpenEvent, Errno::EPERM | Errno::EACCES) = (error.step, error.errno) {
        if let Some(missing) = permit::to_attach(kind) {
            return missing;
        }
    }
    let reason = Reason::new(error.to_string());
    match error.advice() {
        Some(advice) => reason.advice(advice),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "\
libbpf: prog 'second': BPF program load failed: -EACCES
libbpf: prog 'second': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; return *(int *)bad; @ bad.bpf.c:12
0: (61) r0 = *(u32 *)(r3 +0)
R3 !read_ok
processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'second': failed to load: -EACCES
libbpf: failed to load object 'bad'
";

    fn entry() -> Kind {
        Kind::Kprobe { ret: false }
    }

    #[test]
    fn the_verifier_is_quoted_with_the_source_line() {
        let names = ["first", "second"];
        assert_eq!(refused_program(REFUSED, names.into_iter()), Some("second"));
        let reason = of_load(REFUSED, "second", entry(), None);
        let what = "verifier: R3 !read_ok (at: return *(int *)bad; @ bad.bpf.c:12)";
        assert_eq!(reason, Reason::new(what));
    }

    #[test]
    fn reasons_without_a_verifier() {
        let words = "libbpf: prog 'p': failed to find kernel BTF type ID of 'nope': -ESRCH\n\
                     libbpf: prog 'p': failed to prepare load attributes: -ESRCH\n\
                     libbpf: prog 'p': failed to load: -ESRCH\n";
        let reason = of_load(words, "p", Kind::Fentry, Some("nope"));
        assert_eq!(reason.what, "this kernel has no function nope");
        let words = "libbpf: prog 'p': BPF program load failed: -EPERM\n";
        let reason = of_load(words, "p", Kind::Lsm, Some("file_open"));
        if nix::unistd::geteuid().is_root() {
            assert!(is_forbidden(&reason), "{reason}");
            assert_eq!(reason.to_string().matches("policy").count(), 1, "{reason}");
        } else {
            assert!(reason.to_string().contains("CAP_BPF"), "{reason}");
        }
        assert_eq!(of_load("", "p", entry(), None).what, "the kernel gave no reason");
    }

    #[test]
    fn declarations_are_found_in_words_of_all_libbpfs() {
        for line in [
            "extern (func ksym) 'f': not found in kernel or module BTFs",
            "extern 'f' (strong): not resolved",
            "extern f (strong): not resolved",
        ] {
            let words = format!("libbpf: {line}\nlibbpf: failed to load object 'x'\n");
            assert_eq!(refused_extern(&words), Some(("f", line)));
        }
        assert_eq!(refused_extern(REFUSED), None);
    }

    #[test]
    fn error_numbers_are_found_by_name_and_by_number() {
        assert_eq!(errno_of("failed: -ENOENT"), Some(Errno::ENOENT));
        assert_eq!(errno_of("failed: -2"), Some(Errno::ENOENT));
        assert_eq!(errno_of("failed to create: Invalid argument(-22)"), Some(Errno::EINVAL));
        assert_eq!(errno_of("failed: No such file or directory"), Some(Errno::ENOENT));
        assert_eq!(errno_of("load failed: Operation not permitted\n"), Some(Errno::EPERM));
        assert_eq!(errno_of("no error here"), None);
    }

    #[test]
    fn error_numbers_are_found_behind_words() {
        let nix = anyhow::Error::from(Errno::EPERM).context("open a packet socket");
        assert_eq!(errno::of(&nix), Some(Errno::EPERM));
        let io = anyhow::Error::from(std::io::Error::from_raw_os_error(2)).context("open /nope");
        assert_eq!(errno::of(&io), Some(Errno::ENOENT));
        assert_eq!(errno::of(&anyhow::anyhow!("no number")), None);
        // People need no number beside the words.
        let reason = Reason::new(format!("{io:#}"));
        assert_eq!(reason.what, "open /nope: No such file or directory");
        assert_eq!(Reason::new("twice (os error 2) said").what, "twice (os error 2) said");
    }

    #[test]
    fn foreign_words_are_one_safe_line() {
        let reason = Reason::new("a\x1b[31m\nb").advice("x".repeat(1000));
        assert_eq!(reason.what, "a\\033[31m\\nb");
        assert_eq!(reason.to_string().lines().count(), 1);
        assert!(reason.to_string().len() < 500);
    }
}
