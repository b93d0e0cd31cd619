//! What `inspect --against` says of relocations is what libbpf does, and what the kernel then
//! accepts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use libbpf_rs::{ObjectBuilder, PrintLevel, set_print};
use snoop_tools::elf::btf_file;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::relocate;

use super::*;

const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// libbpf's words, while an object is loaded.
static SAID: Mutex<String> = Mutex::new(String::new());

/// What becomes of each relocated instruction, by function and slot: its new number, or none.
type Outcomes = BTreeMap<(String, usize), Option<u64>>;

fn by_libbpf(path: &str) -> Outcomes {
    SAID.lock().unwrap().clear();
    set_print(Some((PrintLevel::Debug, |_, text| SAID.lock().unwrap().push_str(&text))));
    let mut builder = ObjectBuilder::default();
    builder.btf_custom_path(KERNEL).unwrap();
    // Whether it loads does not matter here.
    let _ = builder.open_file(path).unwrap().load();
    set_print(None);
    let said = std::mem::take(&mut *SAID.lock().unwrap());
    said.lines().filter_map(outcome).collect()
}

/// `libbpf: prog 'x': relo #0: patched insn #7 (LDX/ST/STX) off 24 -> 2336`
fn outcome(line: &str) -> Option<((String, usize), Option<u64>)> {
    let (name, rest) = line.strip_prefix("libbpf: prog '")?.split_once("': relo #")?;
    let (_, rest) = rest.split_once("insn #")?;
    let slot = rest.split(' ').next()?.parse().ok()?;
    let place = (name.to_owned(), slot);
    if rest.contains("w/ invalid insn") {
        return Some((place, None));
    }
    let is_number = rest.contains(" imm") || rest.contains(" off ");
    let number = is_number.then(|| rest.rsplit("-> ").next()).flatten()?;
    let number = number.trim();
    let bits = number.parse::<u64>().ok().or_else(|| number.parse::<i64>().ok().map(|n| n as u64));
    Some((place, Some(bits?)))
}

fn by_bpfrun(path: &str) -> Outcomes {
    let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
    let judgement = relocate::judge(&object, &btf_file::read(Path::new(KERNEL)).unwrap());
    assert!(!judgement.is_cut);
    let all = judgement.all.iter().map(|judged| {
        let function = &object.functions[judged.function];
        ((function.name.clone(), judged.slot), judged.number)
    });
    all.collect()
}

#[test]
fn relocations_become_what_libbpf_makes_of_them() {
    for name in ["relocations", "values", "places", "07-ring-buffer"] {
        let (theirs, ours) = (by_libbpf(&object(name)), by_bpfrun(&object(name)));
        assert!(theirs.len() > 1 || name == "places", "{name}: {theirs:?}");
        for (place, theirs) in &theirs {
            // An instruction has 32 bits for a number.
            let short = |number: &Option<u64>| number.map(|number| number as u32);
            // Of a wide load both halves are made invalid.
            let half = (place.0.clone(), place.1.wrapping_sub(1));
            if theirs.is_none() && ours.get(&half) == Some(&None) {
                continue;
            }
            let ours = ours.get(place).unwrap_or_else(|| panic!("{name}: {place:?}"));
            assert_eq!(short(ours), short(theirs), "{name}: {place:?}");
        }
    }
    let ours = by_bpfrun(&object("relocations"));
    let theirs = by_libbpf(&object("relocations"));
    assert!(ours.keys().all(|place| theirs.contains_key(place)), "{ours:?} {theirs:?}");
    assert!(ours.values().any(Option::is_none) && ours.values().any(|n| *n == Some(0)));
}

#[test]
fn a_program_fails_where_it_was_said_to() {
    let trace = trace("relocations", &[], &[&fixture("argv")]);
    let path = object("relocations");
    let output = BPFRUN.command(&["inspect", "--json", "--against", KERNEL, &path]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = all["against"]["relocations"].as_array().unwrap();
    let fails =
        |name: &str| rows.iter().any(|row| row["function"] == name && row["outcome"] == "fails");
    for (name, refused) in [
        ("fits", false),
        ("asks", false),
        ("guarded", false),
        ("lacks_member", true),
        ("lacks_struct", true),
        ("lacks_value", true),
        ("shorter", true),
        ("unsigned_shorter", false),
    ] {
        let state = program(&trace, name)["state"].as_str().unwrap();
        assert_eq!(state == "refused", refused, "{name}: {state}");
        assert_eq!(fails(name), refused, "{name}");
    }
    assert!(fails("deeper") && program(&trace, "calls")["state"] == "refused");
    // The answers are those that the programs get.
    let said = messages(&trace);
    for message in ["asks 1 0 0", "types 1 0 0", "values 1 0", "value 1 sizes 1 16", "guarded"] {
        assert!(said.contains(&message), "{message}: {said:?}");
    }
}

#[test]
fn types_come_from_a_file() {
    let trace = trace("relocations", &["--btf", KERNEL, "--prog", "fits"], &[&fixture("argv")]);
    assert!(messages(&trace).contains(&"bit 1"), "{trace:?}");
    // A file with other types than the kernel's: the program's own object.
    let path = object("relocations");
    let other = object("fill");
    let flags = ["run", &path, "--btf", &other, "--prog", "lacks_struct"];
    let output = BPFRUN.command(&flags).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", lossy(&output.stderr));
    for (file, reason) in [
        ("/no/such/file", "error: --btf /no/such/file: No such file or directory\n"),
        ("/dev/null", "error: --btf /dev/null: it is not a regular file\n"),
    ] {
        let output = BPFRUN.command(&["run", &path, "--btf", file]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(lossy(&output.stderr), reason);
    }
}
