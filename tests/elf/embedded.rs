//! Objects inside programs: found, named, chosen, read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::amplify::{SHAPES, Size, check};
use crate::command::{File, inspect};
use crate::compile::{compile, kinds, run, scratch, strip};
use crate::own::OWN;

/// A program that is gone at the end.
fn host(source: &str, flags: &[&str]) -> File {
    let program = scratch("host");
    let code = scratch("host.c");
    std::fs::write(&code, source).unwrap();
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    run(Command::new(clang)
        .args(["-O1", "-nostdlib", "-nostdinc", "-Wl,--build-id=none"])
        .args(flags)
        .arg(&code)
        .arg("-o")
        .arg(&program));
    std::fs::remove_file(code).unwrap();
    File(program)
}

/// The object as a variable of assembler.
fn incbin(symbol: &str, object: &Path) -> String {
    let name = if symbol.is_empty() { "unnamed" } else { symbol };
    let kind = match symbol {
        "" => String::new(),
        _ => format!(".type {name}, @object\\n.size {name}, . - {name}\\n"),
    };
    let path = object.display();
    format!(
        "__asm__(\".section .rodata\\n.balign 8\\n.global {name}\\n{name}:\\n.incbin \\\"{path}\\\"\\n\
         {kind}.text\\n\");\n"
    )
}

/// As libbpf's skeletons have it.
fn string(symbol: &str, object: &[u8]) -> String {
    let bytes: String = object.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("const char {symbol}[] = \"{bytes}\";\n")
}

const START: &str = "void _start(void) { for (;;) ; }\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(path: &Path, flags: &[&str]) -> Value {
    let (all, told) = json_and_damage(path, flags);
    assert_eq!(told, "");
    all
}

fn json_and_damage(path: &Path, flags: &[&str]) -> (Value, String) {
    let output = inspect(path, &[&["--json"], flags].concat());
    (serde_json::from_slice(&output.stdout).unwrap(), text(&output.stderr))
}

#[test]
fn tools_contain_their_own_object() {
    let tools = [("execsnoop", "execve"), ("tcpconnect", "tcpconnect"), ("mmapsnoop", "mmap")];
    for (tool, name) in tools {
        let path = PathBuf::from(env!("CARGO_BIN_EXE_bpfrun")).with_file_name(tool);
        let (_, data) = OWN.iter().find(|(own, _)| *own == name).unwrap();
        let file = File::new(data);
        let (inside, told) = json_and_damage(&path, &[]);
        let outside = json_and_damage(&file.0, &[]);
        assert_eq!(told, outside.1);
        let outside = outside.0;
        for key in ["programs", "maps", "variables", "events", "byte_order"] {
            assert_eq!(inside[key], outside[key], "{tool}: {key}");
        }
        assert_eq!(inside["file"]["object"]["name"], name);
        assert_eq!(inside["file"]["size_bytes"], data.len());
        // What is cut out of the program is the object.
        let at = inside["file"]["object"]["offset_bytes"].as_u64().unwrap() as usize;
        let program = std::fs::read(&path).unwrap();
        assert_eq!(&program[at..at + data.len()], *data);
    }
    let own = inspect(Path::new(env!("CARGO_BIN_EXE_bpfrun")), &[]);
    let told = text(&own.stderr);
    assert!(told.ends_with("not for BPF, and no BPF object is in it\n"), "{told}");
    assert_eq!(own.status.code(), Some(1));
}

#[test]
fn of_several_one_is_chosen() {
    let [first, second] = [strip(kinds()), compile("legacy", "bpfeb", &["-g0"])];
    let files = [File::new(&first), File::new(&second)];
    let code = [START, &incbin("first_bytes", &files[0].0), &incbin("", &files[1].0)].concat();
    let code = [&*code, &string("third", &second)].concat();
    for flags in [&["-static"][..], &["-shared", "-fPIC"]] {
        let program = host(&code, flags);
        let output = inspect(&program.0, &[]);
        let table = text(&output.stdout);
        let lines: Vec<Vec<_>> =
            table.lines().map(|line| line.split(' ').filter(|w| !w.is_empty()).collect()).collect();
        assert_eq!(
            lines[0],
            ["OBJECT", "NAME", "OFFSET", "BYTES", "PROGRAMS", "SYMBOL"],
            "{table}"
        );
        assert_eq!(lines.len(), 4, "{table}");
        // The order is that of their places.
        let of = |symbol: &str| lines.iter().position(|words| words[5] == symbol).unwrap();
        let [named, unnamed, third] = [of("first_bytes"), of("-"), of("third")];
        assert_eq!(
            lines[named][1..],
            ["kinds", lines[named][2], &first.len().to_string(), "7", "first_bytes"]
        );
        assert_eq!(lines[unnamed][1], "-");
        assert_eq!(lines[third][3], second.len().to_string());
        assert_eq!(
            text(&output.stderr),
            "bpfrun: shows one of them with --object N or --object NAME\n"
        );
        assert_eq!(output.status.code(), Some(0));
        let all = json(&program.0, &["--objects"]);
        assert_eq!(all["objects"].as_array().unwrap().len(), 3);
        assert_eq!(all["objects"][named - 1]["symbol"], "first_bytes");
        for wanted in ["kinds", "kinds.bpf.c", "first_bytes", &named.to_string()] {
            let one = json(&program.0, &["--object", wanted]);
            assert_eq!(one["file"]["object"]["number"], named, "{wanted}");
            assert_eq!(one["programs"].as_array().unwrap().len(), 7);
        }
        assert_eq!(json(&program.0, &["--object", "third"])["byte_order"], "big");
        let wrong = inspect(&program.0, &["--object", "fourth"]);
        let told = text(&wrong.stderr);
        assert_eq!(wrong.status.code(), Some(2), "{told}");
        assert!(told.starts_with("error: no object fourth: there are 1"), "{told}");
        assert_eq!(told.lines().count(), 1);
        // Without its symbols a program has no names for them, but the sources are still known.
        let program = File::new(&stripped(&program.0));
        let all = json(&program.0, &["--objects"]);
        let names: Vec<_> =
            all["objects"].as_array().unwrap().iter().filter_map(|o| o["name"].as_str()).collect();
        assert_eq!(names, ["kinds"], "{all}");
        // To run, one must be named.
        let output = run_object(&program.0);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains("has several objects: choose with --object N or --object NAME of 1"),
            "{told}"
        );
    }
}

fn run_object(path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bpfrun")).arg("run").arg(path).output().unwrap()
}

fn stripped(program: &Path) -> Vec<u8> {
    let copy = scratch("stripped");
    std::fs::copy(program, &copy).unwrap();
    run(Command::new("llvm-strip").arg(&copy));
    let data = std::fs::read(&copy).unwrap();
    std::fs::remove_file(&copy).unwrap();
    data
}

/// Go's compiler gives the bytes no name, but the variable that points to them.
#[test]
fn a_variable_that_points_to_an_object_names_it() {
    let object = compile("legacy", "bpfel", &["-g0"]);
    let file = File::new(&object);
    let size = object.len();
    let code = format!(
        "{START}{}extern const char unnamed[];\n\
         const struct {{ const char *at; unsigned long n; }} main_LegacyBytes = {{ unnamed, {size} }};\n\
         const struct {{ const char *at; unsigned long n; }} shorter = {{ unnamed, {} }};\n",
        incbin("", &file.0),
        size - 1
    );
    let program = host(&code, &["-static", "-fno-pic"]);
    assert_eq!(json(&program.0, &[])["file"]["object"]["symbol"], "main_LegacyBytes");
}

#[test]
fn stdin_is_a_file_too() {
    let from = |path: &Path, flags: &[&str]| {
        let file = std::fs::File::open(path).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bpfrun"));
        command.args(["inspect", "-"]).args(flags).stdin(file).output().unwrap()
    };
    let file = File::new(kinds());
    let (piped, named) = (from(&file.0, &["-d"]), inspect(&file.0, &["-d"]));
    assert_eq!((piped.status.code(), text(&piped.stderr)), (Some(0), String::new()));
    assert_eq!(text(&piped.stdout), text(&named.stdout));
    let tool = Path::new(env!("CARGO_BIN_EXE_bpfrun")).with_file_name("killsnoop");
    // With information for debuggers it is longer than what is read from stdin.
    let stripped = File::new(b"");
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(&stripped.0).arg(&tool);
    assert!(strip.status().unwrap().success());
    let output = from(&stripped.0, &["--json"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(all["file"]["object"]["name"], "killsnoop", "{}", text(&output.stderr));
    let mut command = Command::new(env!("CARGO_BIN_EXE_bpfrun"));
    let empty = command.args(["run", "-"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(text(&empty.stderr), "bpfrun: cannot run -: the file is empty\n");
}

#[test]
fn hostile_programs_have_bounds() {
    // Headers that claim all that follows, with nothing wrong until their last section.
    let mut data = b"a program".to_vec();
    let header = |object: &[u8]| object[..64].to_vec();
    while data.len() < 4 << 20 {
        let mut header = header(kinds());
        header[60..62].copy_from_slice(&0x4000_u16.to_le_bytes());
        header[40..48].copy_from_slice(&128_u64.to_le_bytes());
        header.extend([0; 64]);
        data.extend(header);
    }
    assert!(check(&data, "headers"));
    // Names of objects that would move a cursor.
    let mut data = strip(kinds());
    let name = b"kinds.bpf.c";
    let places: Vec<_> = (0..data.len()).filter(|&at| data[at..].starts_with(name)).collect();
    assert!(!places.is_empty());
    for at in places {
        data[at..at + 6].copy_from_slice(b"\x1b[2J\n\x07");
    }
    check(&[b"a program".to_vec(), data.clone(), data].concat(), "names");
    for (name, make) in SHAPES {
        let object = make(Size { bytes: 1 << 14, fan: 64, name: 300, byte: 0x1b });
        check(&[b"a program".to_vec(), object.clone(), object].concat(), name);
    }
}

#[test]
fn flags_that_need_one_object() {
    let file = File::new(kinds());
    let one = json(&file.0, &["--objects"]);
    assert_eq!(one["objects"][0]["size_bytes"], kinds().len());
    let wrong = inspect(&file.0, &["--object", "2"]);
    assert_eq!(text(&wrong.stderr), "error: no object 2: the file is one itself\n");
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(inspect(&file.0, &["--object", "1"]).status.code(), Some(0));
    assert_eq!(inspect(&file.0, &["--objects", "-d"]).status.code(), Some(2));
}
