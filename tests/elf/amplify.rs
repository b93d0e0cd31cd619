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
fn check(data: &[u8], what: &str) -> bool {
    let file = File::new(data);
    let mut missing = false;
    for flags in WAYS {
        let output = inspect(&file.0, flags);
        let told = String::from_utf8(output.stderr).unwrap();
        let status = output.status.code();
        assert!(matches!(status, Some(0 | 1)), "{what} {flags:?}: {:?} {told}", output.status);
        assert!(told.lines().all(|line| line.starts_with("bpfrun: ")), "{what}: {told}");
        assert_eq!(status == Some(0), told.is_empty(), "{what}: no cut is silent: {told}");
        let most = OUTPUT_BYTES + (32 << 20);
        assert!(output.stdout.len() <= most, "{what} {flags:?}: {} bytes", output.stdout.len());
        if flags.contains(&"--json") && !output.stdout.is_empty() {
            let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let damage = all["damage"].as_array().unwrap();
            assert_eq!(damage.len(), told.lines().count(), "{what}: the same in JSON: {told}");
        }
        missing |= status == Some(1);
    }
    missing
}

fn sizes() -> impl Strategy<Value = Size> {
    // A few bytes or many of everything alike.
    let bytes = (10..20_u32).prop_map(|log| 1_usize << log);
    let name = prop_oneof![1..16_usize, 300..5000_usize];
    (bytes, 1..70_usize, name, prop_oneof![Just(b'x'), Just(0xff), Just(0x1b)])
        .prop_map(|(bytes, fan, name, byte)| Size { bytes, fan, name, byte })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_has_bounds(shape in 0..SHAPES.len(), size in sizes()) {
        let (name, make) = SHAPES[shape];
        check(&make(size), &format!("{name} {size:?}"));
    }
}

#[test]
fn every_shape_has_bounds() {
    for (name, make) in SHAPES {
        let size = Size { bytes: 1 << 18, fan: 64, name: 4095, byte: 0xff };
        check(&make(size), name);
    }
}

/// The worst that there is, for the figures in docs/reliability.md: each shape at full size.
#[test]
#[ignore = "minutes; bench/hostile.sh runs it, with an optimised program"]
fn files_of_16_mib() {
    let Ok(folder) = std::env::var("SNOOP_HOSTILE") else { return };
    for (name, make) in SHAPES {
        for (index, length) in [7, 4095].into_iter().enumerate() {
            let size = Size { bytes: 16 << 20, fan: 64, name: length, byte: 0xff };
            let mut data = make(size);
            data.truncate(data.len().min(16 << 20));
            let path = Path::new(&folder).join(format!("{}-{index}.bpf.o", name.replace(' ', "-")));
            std::fs::write(path, make(size)).unwrap();
        }
    }
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
