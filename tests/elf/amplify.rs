//! Files that make more of themselves than they are: nesting, sharing, circles and fan-out, in every
//! table that is read. Whatever they are, memory has a limit, which the kernel sets here, and so has
//! the output; what is cut is reported. The processor's time is limited only against hanging.

mod build;
mod dwarf;
mod shapes;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::resource::{Resource, setrlimit};
use proptest::prelude::*;
use snoop_tools::elf::budget::OUTPUT_BYTES;

use crate::command::File;

use build::{Btf, Section, Symbol};

pub(crate) use shapes::{SHAPES, Size};

/// What docs/reliability.md promises for files up to 16 MiB.
const MEMORY: u64 = 256 << 20;
/// Seconds, for a program that is not optimised, on a machine that does other things.
const HANGS: u64 = 300;

/// All ways to look at a file.
const WAYS: [&[&str]; 4] = [
    &[],
    &["--disasm", "--types", "--schema"],
    &["--json"],
    &["--json", "--disasm", "--types", "--schema"],
];

fn inspect(path: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bpfrun"));
    command.arg("inspect").arg(path).args(flags).stdin(Stdio::null());
    let limit = || {
        setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)?;
        setrlimit(Resource::RLIMIT_CPU, HANGS, HANGS)?;
        Ok(())
    };
    // SAFETY: two system calls, nothing else, between fork and exec.
    unsafe { command.pre_exec(limit) };
    command.output().unwrap()
}

/// Looks at a file in all ways; returns whether anything was missing in one.
pub(crate) fn check(data: &[u8], what: &str) -> bool {
    let file = File::new(data);
    let mut missing = false;
    for flags in WAYS {
        let output = inspect(&file.0, flags);
        let told = String::from_utf8(output.stderr).unwrap();
        let status = output.status.code();
        assert!(matches!(status, Some(0 | 1)), "{what} {flags:?}: {:?} {told}", output.status);
        assert!(told.lines().all(|line| line.starts_with("bpfrun: ")), "{what}: {told}");
        only_shown(what, &told);
        only_shown(what, std::str::from_utf8(&output.stdout).unwrap());
        // Without BTF there are no types: nothing is missing. Nor if there are several objects.
        let is_damage = |line: &&str| !line.ends_with("no types") && !line.contains("--object N");
        let told: Vec<_> = told.lines().filter(is_damage).collect();
        assert_eq!(status == Some(0), told.is_empty(), "{what}: no cut is silent: {told:?}");
        let most = OUTPUT_BYTES + (32 << 20);
        assert!(output.stdout.len() <= most, "{what} {flags:?}: {} bytes", output.stdout.len());
        if flags.contains(&"--json") && !output.stdout.is_empty() {
            let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let damage = all["damage"].as_array().unwrap();
            assert_eq!(damage.len(), told.len(), "{what}: the same in JSON: {told:?}");
        }
        missing |= status == Some(1);
    }
    missing
}

/// A terminal shows the text, and obeys nothing in it.
fn only_shown(what: &str, text: &str) {
    let obeyed = |c: char| {
        let direction = matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        direction || (c.is_control() && !matches!(c, '\n' | '\t'))
    };
    if let Some(at) = text.find(obeyed) {
        let line = text[..at].rsplit('\n').next().unwrap();
        panic!("{what}: {:?} behind {line:?}", text[at..].chars().next());
    }
}

fn sizes() -> impl Strategy<Value = Size> {
    // A few bytes or many of everything alike.
    let bytes = (10..20_u32).prop_map(|log| 1_usize << log);
    let name = prop_oneof![1..16_usize, 300..5000_usize];
    (bytes, 1..70_usize, name, prop_oneof![Just(b'x'), Just(0xff), Just(0x1b)])
        .prop_map(|(bytes, fan, name, byte)| Size { bytes, fan, name, byte })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_has_bounds(shape in 0..SHAPES.len(), size in sizes()) {
        let (name, make) = SHAPES[shape];
        check(&make(size), &format!("{name} {size:?}"));
    }
}

#[test]
fn every_shape_has_bounds() {
    for (name, make) in SHAPES {
        let size = Size { bytes: 1 << 16, fan: 64, name: 4095, byte: 0xff };
        check(&make(size), name);
    }
}

/// Structs that are made of stores take room and steps as others do.
#[test]
fn structs_that_are_made_have_bounds() {
    let made = |bytes| {
        let file = File::new(&shapes::named_events(Size { bytes, fan: 64, name: 1, byte: b'x' }));
        let output = inspect(&file.0, &["--schema"]);
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (some, told) = made(1 << 14);
    assert_eq!(some.matches("\nstruct inferred {").count(), 5, "{some}");
    assert_eq!(told, "");
    let (many, told) = made(8 << 20);
    let count = many.matches("\nstruct inferred {").count();
    assert!((100..4096).contains(&count), "{count}");
    assert!(told.contains("some stay unknown"), "{told}");
}

/// For the figures in docs/reliability.md: writes each shape at full size into a folder.
#[test]
#[ignore = "for bench/hostile.sh, which measures an optimised program"]
fn files_of_16_mib() {
    let Ok(folder) = std::env::var("SNOOP_HOSTILE") else { return };
    for (name, make) in SHAPES {
        for (index, length) in [7, 4095].into_iter().enumerate() {
            let size = Size { bytes: 16 << 20, fan: 64, name: length, byte: 0xff };
            let path = Path::new(&folder).join(format!("{}-{index}.bpf.o", name.replace(' ', "-")));
            std::fs::write(path, make(size)).unwrap();
        }
    }
}

/// Names of everything that has one, each of which would move the cursor, ring, forge a line of ours,
/// or turn the direction of text.
#[test]
fn no_name_reaches_a_terminal() {
    let name = |what: &str| {
        format!("{what}\x1b[2J\x1b]0;t\x07\nbpfrun: well\u{202e}\u{9b}*/ x").into_bytes()
    };
    let mut btf = Btf::default();
    let int = btf.add(&name("int"), 1, 4, &[]);
    btf.types.extend((1_u32 << 24 | 32).to_le_bytes());
    let member = btf.strings.add(&name("member"));
    let record = btf.add(&name("struct"), 4, 4, &[member, int, 0]);
    let pointer = btf.add(b"", 2, record, &[]);
    let value = btf.strings.add(&name("value"));
    btf.add(&name("enum"), 6, 4, &[value, 1]);
    let variable = btf.add(&name("global"), 14, record, &[]);
    btf.types.extend(1_u32.to_le_bytes());
    btf.add(b".data", 15, 4, &[variable, 0, 4]);
    // A ring buffer whose values are of that type: this is what --schema shows.
    let array = btf.add(b"", 3, 0, &[]);
    btf.types.extend([int, int, 27].iter().flat_map(|word: &u32| word.to_le_bytes()));
    let kind = btf.add(b"", 2, array, &[]);
    let parts = [("type", kind, 0), ("value", pointer, 64)];
    let parts = parts.map(|(part, ty, at)| [btf.strings.add(part.as_bytes()), ty, at]);
    let map = btf.add(b"", 4, 16, parts.as_flattened());
    let map = btf.add(&name("map"), 14, map, &[]);
    btf.types.extend(1_u32.to_le_bytes());
    btf.add(b".maps", 15, 16, &[map, 0, 16]);
    let new =
        |what, section, size, info| Symbol { name: name(what), section, value: 0, size, info };
    let symbols = [
        new("program", 1, 16, build::FUNCTION),
        new("map", 2, 16, build::VARIABLE),
        new("global", 3, 4, build::VARIABLE),
        new("extern", 0, 0, 0x10),
        new("function", 4, 16, build::FUNCTION),
    ];
    let sections = || {
        vec![
            Section { name: name("section"), ..Section::code("", &build::RETURN) },
            Section::new(".maps", 3, vec![0; 16]),
            Section::new(".data", 3, vec![1; 4]),
            Section { name: name("kprobe/"), ..Section::code("", &build::RETURN) },
            Section::new("license", 3, name("licence")),
            btf.section(),
        ]
    };
    check(&build::elf(sections(), &symbols), "names");
    // A relocation that an error names.
    let mut damaged = sections();
    let relocation = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 99, 0, 0, 0].to_vec();
    damaged.push(Section { kind: 9, info: 1, ..Section::new(".rel", 0, relocation) });
    check(&build::elf(damaged, &symbols), "errors");
}

#[test]
fn small_files_are_cut_and_report_it() {
    let size = Size { bytes: 1400, fan: 64, name: 1, byte: b'x' };
    let (name, make) = SHAPES[0];
    let data = make(size);
    assert!(data.len() < 4096, "{name}");
    let file = File::new(&data);
    let text = String::from_utf8(inspect(&file.0, &["--types"]).stdout).unwrap();
    assert!(text.contains('…') && text.len() < 16 << 20, "{} bytes", text.len());
}
