//! Every instruction that clang writes reads as LLVM's own disassembler has it.

use std::process::Command;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use snoop_tools::elf::disasm::{self, Names};
use snoop_tools::elf::object::Object;

use crate::compile::{compile, run, scratch};
use crate::own::OWN;

/// Slot and text of each instruction of `llvm-objdump -d`, section by section.
fn llvm(data: &[u8]) -> Vec<(usize, String)> {
    let file = scratch("llvm.bpf.o");
    std::fs::write(&file, data).unwrap();
    // With alu32 it knows all that 32-bit registers are used for.
    let text = run(Command::new("llvm-objdump")
        .args(["-d", "--no-show-raw-insn", "--mattr=+alu32"])
        .arg(&file));
    std::fs::remove_file(&file).unwrap();
    let line = |line: &str| {
        let (slot, text) = line.split_once(':')?;
        let slot = slot.trim().parse().ok()?;
        // Behind a jump stands its label.
        let label = text.rsplit_once(" <").filter(|_| text.ends_with('>'));
        Some((slot, plain(label.map_or(text, |(text, _)| text).trim())))
    };
    text.lines().filter_map(line).collect()
}

/// Numbers in decimal, as newer versions do not write them, and memory accesses by 64-bit
/// registers, as only some versions write them.
fn plain(text: &str) -> String {
    static HEXADECIMAL: LazyLock<Regex> = LazyLock::new(|| Regex::new("0x[0-9a-f]+").unwrap());
    let text = HEXADECIMAL.replace_all(text, |found: &Captures<'_>| {
        u64::from_str_radix(&found[0][2..], 16).unwrap().to_string()
    });
    if text.contains("*)(") { text.replace('w', "r") } else { text.into_owned() }
}

/// The same of ours.
fn ours(data: &[u8]) -> Vec<(usize, String)> {
    let object = Object::parse(data).unwrap();
    let mut lines = Vec::new();
    for function in &object.functions {
        let first = usize::try_from(function.offset / 8).unwrap();
        let mut slot = 0;
        while let Some(&insn) = function.insns.get(slot) {
            let second = function.insns.get(slot + 1).copied();
            let mut text = String::new();
            assert!(disasm::push(&mut text, insn, second, Names::default()), "{insn:?}");
            lines.push((first + slot, plain(&text)));
            slot += if insn.is_wide() { 2 } else { 1 };
        }
    }
    lines
}

fn compare(name: &str, data: &[u8]) {
    let (ours, llvm) = (ours(data), llvm(data));
    for (ours, llvm) in ours.iter().zip(&llvm) {
        assert_eq!(ours, llvm, "{name}");
    }
    assert_eq!(ours.len(), llvm.len(), "{name}");
}

#[test]
fn own_objects() {
    for (name, data) in OWN {
        compare(name, data);
    }
}

#[test]
fn all_operators() {
    for cpu in ["-mcpu=v1", "-mcpu=v2", "-mcpu=v3"] {
        for target in ["bpfel", "bpfeb"] {
            compare(cpu, &compile("operators", target, &[cpu]));
        }
    }
}
