//! Which executions compile what.

use crate::tools::execsnoop::basename;

/// Compilers of C and its relatives, without the triplet before and the version behind.
const COMPILERS: [&str; 6] = ["gcc", "cc", "g++", "c++", "clang", "clang++"];

/// Programs that run the compiler that they name.
const WRAPPERS: [&str; 4] = ["ccache", "sccache", "distcc", "icecc"];

/// Endings of sources. Those of headers are sources of precompiled ones.
const SOURCES: [&str; 27] = [
    "c", "C", "cc", "cp", "cxx", "cpp", "CPP", "c++", "i", "ii", "m", "mi", "mm", "mii", "M", "s",
    "S", "sx", "h", "hh", "H", "hp", "hxx", "hpp", "HPP", "h++", "tcc",
];

/// Flags whose value is the next argument.
const WITH_VALUE: [&str; 46] = [
    "-o",
    "-x",
    "-I",
    "-D",
    "-U",
    "-L",
    "-l",
    "-B",
    "-F",
    "-T",
    "-u",
    "-z",
    "-e",
    "-A",
    "-G",
    "-V",
    "-MF",
    "-MT",
    "-MQ",
    "-MJ",
    "-include",
    "-imacros",
    "-isystem",
    "-idirafter",
    "-iprefix",
    "-iwithprefix",
    "-iwithprefixbefore",
    "-iquote",
    "-isysroot",
    "-imultilib",
    "-iframework",
    "-Xlinker",
    "-Xassembler",
    "-Xpreprocessor",
    "-Xclang",
    "-Xarch_host",
    "-aux-info",
    "-dumpbase",
    "-dumpbase-ext",
    "-dumpdir",
    "-wrapper",
    "-target",
    "-arch",
    "-framework",
    "-mllvm",
    "--param",
];

/// Flags with which nothing is compiled.
const NOT_COMPILING: [&str; 8] =
    ["-E", "-M", "-MM", "-###", "--version", "-dumpversion", "-cc1", "-cc1as"];

/// A call of a compiler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call<'a> {
    /// The compiler's own arguments: without a program that runs it
    pub(super) args: Vec<&'a [u8]>,
    /// Places of the sources among them
    pub(super) sources: Vec<usize>,
    /// The value of `-o`
    pub(super) output: Option<&'a [u8]>,
}

/// What a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Compiler,
    Wrapper,
    Other,
}

fn kind(program: &[u8]) -> Kind {
    let Ok(name) = std::str::from_utf8(basename(program)) else { return Kind::Other };
    if WRAPPERS.contains(&name) {
        return Kind::Wrapper;
    }
    let name = without_version(name);
    let is_it = |compiler: &&str| {
        let before = name.strip_suffix(*compiler);
        before.is_some_and(|triplet| triplet.is_empty() || triplet.ends_with('-'))
    };
    if COMPILERS.iter().any(is_it) { Kind::Compiler } else { Kind::Other }
}

/// `gcc` of `gcc-12` and of `gcc-12.2`.
fn without_version(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, version))
            if version.starts_with(|c: char| c.is_ascii_digit())
                && version.chars().all(|c| c.is_ascii_digit() || c == '.') =>
        {
            name
        }
        _ => name,
    }
}

impl<'a> Call<'a> {
    /// The call, if the program is a compiler: with sources if it compiles any.
    pub(super) fn of(args: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut args: Vec<_> = args.collect();
        if kind(args.first()?) == Kind::Wrapper {
            // Without a compiler it shows what it has stored.
            args.remove(0);
        }
        if kind(args.first()?) != Kind::Compiler {
            return None;
        }
        let mut call = Self { args, ..Self::default() };
        call.read();
        Some(call)
    }

    fn read(&mut self) {
        let mut is_language_given = false;
        let mut flags_end = false;
        let mut next = 1;
        while let Some(&arg) = self.args.get(next) {
            let at = next;
            next += 1;
            let text = std::str::from_utf8(arg).unwrap_or_default();
            if flags_end || !arg.starts_with(b"-") {
                if is_language_given || is_source(arg) {
                    self.sources.push(at);
                }
                continue;
            }
            match text {
                "--" => flags_end = true,
                "-" => {} // stdin: there is no file
                _ if NOT_COMPILING.contains(&text) => {
                    self.sources.clear();
                    return;
                }
                _ if WITH_VALUE.contains(&text) => {
                    let value = self.args.get(next).copied();
                    next += 1;
                    match text {
                        "-o" => self.output = value,
                        "-x" => is_language_given = value.is_some_and(|value| value != b"none"),
                        _ => {}
                    }
                }
                _ => {
                    if let Some(language) = text.strip_prefix("-x") {
                        is_language_given = language != "none";
                    } else if let Some(file) = arg.strip_prefix(b"-o").filter(|_| !is_objc(text)) {
                        self.output = Some(file);
                    }
                }
            }
        }
    }

    /// The arguments for one of the sources, without the others.
    pub(super) fn args_for(&self, source: usize) -> impl Iterator<Item = &'a [u8]> {
        let is_other = move |at: &usize| *at != source && self.sources.contains(at);
        (0..self.args.len())
            .filter(move |at| !is_other(at))
            .filter_map(|at| self.args.get(at).copied())
    }
}

/// A flag of clang that begins as `-o` does.
fn is_objc(flag: &str) -> bool {
    flag.starts_with("-objc") || flag.starts_with("-object")
}

fn is_source(arg: &[u8]) -> bool {
    let name = basename(arg);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    let ending = name.get(dot + 1..).unwrap_or_default();
    SOURCES.iter().any(|source| source.as_bytes() == ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Option<(Vec<&str>, Option<&str>)> {
        let call = Call::of(line.split(' ').map(str::as_bytes))?;
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let sources = call.sources.iter().map(|&at| text(call.args[at])).collect();
        Some((sources, call.output.map(text)))
    }

    #[test]
    fn names_of_compilers() {
        for compiler in [
            "gcc",
            "cc",
            "g++",
            "c++",
            "clang",
            "clang++",
            "/usr/bin/gcc-12",
            "clang++-15",
            "gcc-12.2",
            "x86_64-linux-gnu-gcc-12",
            "arm-none-eabi-g++",
            "/usr/lib/ccache/cc",
            "ccache gcc",
            "distcc cc",
        ] {
            assert_eq!(
                call(&format!("{compiler} -c x.c")),
                Some((vec!["x.c"], None)),
                "{compiler}"
            );
        }
        for other in [
            "cc1",
            "cc1plus",
            "ld",
            "as",
            "rustc",
            "collect2",
            "gcc-ar",
            "c++filt",
            "ccache",
            "clang-format",
            "clang-tidy",
            "xcc",
            "gcc-nm-12",
            "ccache -s",
        ] {
            assert_eq!(call(&format!("{other} -c x.c")), None, "{other}");
        }
    }

    #[test]
    fn sources_and_outputs() {
        for (line, sources, output) in [
            ("cc -c a.c -o a.o", &["a.c"][..], Some("a.o")),
            ("cc -oa.o -c a.c", &["a.c"], Some("a.o")),
            ("cc a.c b.cpp -o prog -lm", &["a.c", "b.cpp"], Some("prog")),
            ("cc -include x.h -I y.c -MF z.c -c d/a.S", &["d/a.S"], None),
            ("cc -MD -MMD -MP -c a.c", &["a.c"], None),
            ("cc -x c odd -x none a.o", &["odd"], None),
            ("cc -xc++ -c a -- -b.c", &["a", "-b.c"], None),
            ("cc -S a.c", &["a.c"], None),
            ("cc a.o b.a -o prog", &[], Some("prog")),
            ("cc -x c -", &[], None),
            ("cc -v", &[], None),
            ("clang -objcmt-migrate-all a.m", &["a.m"], None),
        ] {
            assert_eq!(call(line), Some((sources.to_vec(), output)), "{line}");
        }
        for line in ["cc -E a.c", "cc a.c -M", "cc -MM a.c", "clang -cc1 a.c", "cc -### a.c"] {
            assert_eq!(call(line).unwrap().0, Vec::<&str>::new(), "{line}");
        }
    }

    #[test]
    fn each_source_has_its_own_arguments() {
        let words = "cc -g a.c b.c -o p".split(' ').map(str::as_bytes);
        let call = Call::of(words).unwrap();
        let args: Vec<_> = call.args_for(3).collect();
        assert_eq!(args, [&b"cc"[..], b"-g", b"b.c", b"-o", b"p"]);
    }
}
