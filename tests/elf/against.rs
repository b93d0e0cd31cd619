//! `inspect --against`: what becomes of an object's relocations, by the types of a kernel that does
//! not exist.

use std::process::Command;

use serde_json::Value;
use snoop_tools::elf::btf::Btf;
use snoop_tools::elf::object::Object;
use snoop_tools::elf::relocate::{self, Outcome};

use crate::command::{File, inspect};
use crate::compile::{compile, run, scratch, strip};

fn kernel() -> File {
    File::new(&compile("kernel", "bpfel", &[]))
}

/// The content of `.BTF` alone.
fn raw(file: &File) -> File {
    let path = scratch("raw.btf");
    let flag = format!("--dump-section=.BTF={}", path.display());
    run(Command::new("llvm-objcopy").arg(flag).arg(&file.0).arg("/dev/null"));
    File(path)
}

/// Outcome, what is needed, and why, of each relocation of a function that does not work.
fn rows(all: &Value, function: &str) -> Vec<[String; 3]> {
    let rows = all["against"]["relocations"].as_array().unwrap();
    let of = rows.iter().filter(|row| row["function"] == function);
    of.map(|row| ["outcome", "needs", "why"].map(|key| row[key].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn outcomes_and_their_reasons() {
    let kernel = kernel();
    let object = File::new(&strip(&compile("against", "bpfel", &["-Wno-unused-parameter"])));
    for types in [raw(&kernel), kernel] {
        let flags = ["--json", "--against", types.0.to_str().unwrap()];
        let output = inspect(&object.0, &flags);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(1));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(rows(&all, "offsets"), [[""; 3]; 0]);
        assert_eq!(rows(&all, "numbers"), [[""; 3]; 0]);
        let expected = [
            ["absent", "enum state___own.LOW", "enum state has no value LOW"],
            ["absent", "struct moved___own.gone", "struct moved has no member gone"],
            [
                "absent",
                "struct moved___own.was_number",
                "its member was_number is struct {…}, not int",
            ],
            ["absent", "struct alone", "there is no struct alone"],
            ["absent", "struct shape", "there is no struct shape"],
        ];
        let mut questions = rows(&all, "questions");
        questions.sort();
        let mut expected = expected.map(|row| row.map(str::to_owned));
        expected.sort();
        assert_eq!(questions, expected);
        assert_eq!(
            rows(&all, "fails"),
            [
                ["absent", "struct moved___own.gone", "struct moved has no member gone"],
                ["unreached", "struct moved___own.gone", "struct moved has no member gone"],
                ["fails", "struct alone.x", "there is no struct alone"],
                [
                    "fails",
                    "struct moved___own.was_number",
                    "its member was_number is struct {…}, not int"
                ],
            ]
        );
        let [[outcome, needs, why]] = &rows(&all, "ambiguous")[..] else { panic!("{all}") };
        assert_eq!((outcome.as_str(), needs.as_str()), ("refused", "struct twice.first"));
        assert_eq!(why, "2 types of that name differ in it, so it is ambiguous");
        let source = &all["against"]["relocations"][0]["source"];
        assert_eq!(source["file"], "against.bpf.c");
    }
}

/// The numbers that the instructions get.
#[test]
fn numbers_are_those_of_the_other_kernel() {
    let object = compile("against", "bpfel", &["-Wno-unused-parameter"]);
    let kernel = std::fs::read(&raw(&kernel()).0).unwrap();
    let object = Object::parse(&object).unwrap();
    let judgement = relocate::judge(&object, &Btf::parse(&kernel).unwrap());
    let numbers = |name: &str| {
        let of =
            judgement.all.iter().filter(|judged| object.functions[judged.function].name == name);
        let mut numbers: Vec<_> = of
            .map(|judged| {
                assert_eq!(judged.outcome, Outcome::Works);
                judged.number.unwrap()
            })
            .collect();
        numbers.sort_unstable();
        numbers
    };
    // struct moved: a long, a union of 8 bytes, 16 bytes, bitfields of 3 and 6 bits at 32, a counter
    // at 36, pointers at 40 and 56, a number at 48, a struct at 64, and floats from 68 on.
    assert_eq!(numbers("offsets"), [0, 12, 16 + 3 * 4, 36, 48, 68 + 5 * 4]);
    assert_eq!(numbers("numbers"), [0, 16, 32, 64 - 9, 64 - 6, 72, 0x1234_5678]);
}

#[test]
fn nothing_is_missing_in_its_own_kernel() {
    let kernel = kernel();
    let output = inspect(&kernel.0, &["--against", kernel.0.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("0 relocations against "), "{text}");
    for (flags, reason) in [
        (["--against", "/dev/null"], "no types in /dev/null: it is not a regular file"),
        (["--btf", "Cargo.toml"], "no types in Cargo.toml: it is neither BTF nor an ELF file"),
    ] {
        let output = inspect(&kernel.0, &flags);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(reason), "{told}");
    }
}
