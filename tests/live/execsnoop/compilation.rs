//! `--compile-commands`, compared with Bear's database of the same build.

use std::collections::BTreeSet;
use std::process::Command;

use super::*;

const MAKEFILE: &str = "\
CC = gcc
all: prog
prog: main.o
\t$(CC) -M main.c >main.d
\t$(CC) -E main.c >/dev/null
\t$(MAKE) -C lib
\t$(CC) main.o lib/a.o lib/b.o -o prog
\t$(CC) -g lib/a.c main.c -o both
main.o: main.c
\t$(CC) -O1 -DX='\"a b\"' -c -o main.o main.c
";

const MAKEFILE_OF_LIB: &str = "\
all: a.o b.o x.o
%.o: %.c
\tcd . && $(CC) -Wall -MD -MF $*.d -c $< -o $@
x.o: x.cpp
\tg++ -c x.cpp
";

fn sources() -> TempDir {
    let dir = TempDir::new();
    fs::create_dir(dir.path("lib")).unwrap();
    for (name, text) in [
        ("Makefile", MAKEFILE),
        ("lib/Makefile", MAKEFILE_OF_LIB),
        ("main.c", "int main(void) { return 0; }\n"),
        ("lib/a.c", "int a;\n"),
        ("lib/b.c", "int b;\n"),
        ("lib/x.cpp", "int x;\n"),
    ] {
        fs::write(dir.path(name), text).unwrap();
    }
    dir
}

/// Source, output and compiler of each entry, with whole paths.
fn entries(file: &str) -> BTreeSet<(PathBuf, PathBuf, String)> {
    let text = fs::read_to_string(file).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let entry = |entry: &Value| {
        let directory = PathBuf::from(entry["directory"].as_str().unwrap());
        let whole = |key: &str| directory.join(entry[key].as_str().unwrap_or("none"));
        let compiler = entry["arguments"][0].as_str().unwrap().to_owned();
        (whole("file"), whole("output"), compiler)
    };
    let set: BTreeSet<_> = all.iter().map(entry).collect();
    assert_eq!(set.len(), all.len(), "each once: {text}");
    set
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn has_compilers() -> bool {
    ["make", "gcc", "g++"].into_iter().all(has)
}

/// The entries that the tool has of a build.
fn traced(dir: &TempDir, make: &[&str]) -> BTreeSet<(PathBuf, PathBuf, String)> {
    let file = dir.path("ours.json");
    let mut tool = EXECSNOOP.command(&["--quiet", "--compile-commands", &file, "--"]);
    let output = tool.args(make).current_dir(&dir.0).output().unwrap();
    assert!(output.status.success(), "{}", lossy(&output.stderr));
    let left: Vec<_> =
        fs::read_dir(&dir.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".tmp")), "{left:?}");
    entries(&file)
}

#[test]
fn the_same_entries_as_bear() {
    if !has_compilers() {
        skip!(skip::NO_MAKE);
    }
    if !has("bear") {
        skip!(skip::NO_BEAR);
    }
    let dir = sources();
    let ours = traced(&dir, &["make", "-s", "-B"]);
    assert_eq!(ours.len(), 6, "{ours:?}");
    let file = dir.path("bear.json");
    let mut bear = Command::new("bear");
    let status =
        bear.args(["--output", &file, "--", "make", "-s", "-B"]).current_dir(&dir.0).status();
    assert!(status.unwrap().success());
    assert_eq!(ours, entries(&file));
}

#[test]
fn below_a_static_shell_too() {
    let busybox = "/usr/bin/busybox";
    if !(has_compilers() && std::path::Path::new(busybox).exists()) {
        skip!(skip::NO_MAKE);
    }
    let dir = sources();
    let shell = dir.path("sh");
    std::os::unix::fs::symlink(busybox, &shell).unwrap();
    let ours = traced(&dir, &["make", "-s", "-B", &format!("SHELL={shell}")]);
    assert_eq!(ours.len(), 6, "{ours:?}");
}

#[test]
fn an_interrupted_build_has_a_database_too() {
    if !has_compilers() {
        skip!(skip::NO_MAKE);
    }
    let dir = sources();
    let file = dir.path("ours.json");
    fs::write(&file, "[]").unwrap();
    let running = start(&["--json", "--comm", "gcc", "--compile-commands", &file]);
    let status = Command::new("gcc").args(["-c", "main.c"]).current_dir(&dir.0).status().unwrap();
    assert!(status.success());
    running.stop();
    let ours = entries(&file);
    assert!(ours.iter().any(|(source, _, _)| *source == dir.0.join("main.c")), "{ours:?}");
}

#[test]
fn a_recording_gives_the_same() {
    if !has_compilers() {
        skip!(skip::NO_MAKE);
    }
    let dir = sources();
    let mut tool =
        EXECSNOOP.command(&["--json", "--cwd", "--compile-commands", &dir.path("1.json")]);
    tool.args(["--", "make", "-s", "-B"]).current_dir(&dir.0);
    let recorded = tool.output().unwrap().stdout;
    // What make prints is between the lines.
    let lines: Vec<_> = lossy(&recorded)
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(dir.path("recording"), lines.concat()).unwrap();
    let mut again = EXECSNOOP.command(&["--from", &dir.path("recording"), "--quiet"]);
    let output = again.args(["--compile-commands", &dir.path("2.json")]).output().unwrap();
    assert!(output.status.success(), "{}", lossy(&output.stderr));
    assert_eq!(fs::read(dir.path("1.json")).unwrap(), fs::read(dir.path("2.json")).unwrap());
}
