//! The order of the sources. A room uses rooms below it, never one above it. No two parts depend on
//! each other: neither modules beside each other, each with all that is in it, nor headers of the
//! BPF programs.
//!
//! What the file of a module has in common for its submodules is not looked at, nor are tests.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What depends on what, and the files that make it so.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The rooms of `src`, from the ground up. Rooms of one floor do not use each other.
const FLOORS: [&[&str]; 5] =
    [&["skel"], &["host"], &["output"], &["engine", "elf"], &["tools", "bpfrun"]];

#[test]
fn no_room_uses_one_above_it() {
    let floor = |room: &str| {
        let floor = FLOORS.iter().position(|rooms| rooms.contains(&room));
        floor.unwrap_or_else(|| panic!("src/{room}.rs has no floor in tests/rooms.rs"))
    };
    let mut wrong = Vec::new();
    for file in sources() {
        let from = module(&file);
        let Some(room) = from.first() else { continue };
        for path in paths(&code(&file)) {
            let to = resolve(&from, &path);
            if to[0] != *room && floor(&to[0]) >= floor(room) {
                wrong.push(format!("{} uses {}", file.display(), source_of(&to).display()));
            }
        }
    }
    assert!(wrong.is_empty(), "upward:\n{}", wrong.join("\n"));
}

#[test]
fn the_library_of_headers_uses_no_tool() {
    for (header, used) in includes() {
        let in_library = |file: &Path| file.starts_with("src/bpf/lib");
        let wrong = in_library(&header) && !in_library(&used);
        assert!(!wrong, "{} includes {}", header.display(), used.display());
    }
}

#[test]
fn modules_have_no_circles() {
    let files = sources();
    let modules: BTreeSet<_> = files.iter().map(|file| module(file)).collect();
    // By the module that both are in.
    let mut graphs: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
    for file in &files {
        let from = module(file);
        for path in paths(&code(file)) {
            let to = resolve(&from, &path);
            let same = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
            let (Some(part), Some(used)) = (from.get(same), to.get(..=same)) else { continue };
            if modules.contains(used) {
                let graph = graphs.entry(from[..same].to_vec()).or_default();
                let why = format!("{} uses {}", file.display(), path.join("::"));
                graph.entry(part.clone()).or_default().entry(to[same].clone()).or_insert(why);
            }
        }
    }
    assert!(graphs.len() > 5, "src is read");
    graphs.values().for_each(check);
}

#[test]
fn headers_have_no_circles() {
    let mut graph = Graph::new();
    for (file, used) in includes() {
        let [from, to] = [&file, &used].map(|file| file.to_str().unwrap().to_owned());
        let why = format!("{from} includes {to}");
        graph.entry(from).or_default().insert(to, why);
    }
    assert!(graph.len() > 5, "src/bpf is read");
    check(&graph);
}

/// Which file of `src/bpf` includes which other one.
fn includes() -> Vec<(PathBuf, PathBuf)> {
    let files = files("src/bpf", "");
    let named = |name: &str| files.iter().find(|file| file.file_name().unwrap() == name);
    let mut includes = Vec::new();
    for file in &files {
        for line in fs::read_to_string(file).unwrap().lines() {
            let Some(header) = line.strip_prefix("#include \"") else { continue };
            // vmlinux.h is not ours.
            let used = named(header.trim_end_matches('"'));
            includes.extend(used.map(|used| (file.clone(), used.clone())));
        }
    }
    assert!(includes.len() > 20, "src/bpf is read");
    includes
}

/// The modules of the library.
fn sources() -> Vec<PathBuf> {
    let mut files = files("src", ".rs");
    files.retain(|file| !file.starts_with("src/bin") && !is_for_tests(file));
    files
}

/// The file of a module, from the path to it or to what is in it.
fn source_of(path: &[String]) -> PathBuf {
    let file = |parts: &[String]| Path::new("src").join(parts.join("/")).with_extension("rs");
    let candidates = (1..=path.len()).rev().map(|len| file(&path[..len]));
    candidates.into_iter().find(|file| file.exists()).unwrap()
}

/// Fails with the files of a circle, if there is one.
fn check(graph: &Graph) {
    if let Some(circle) = graph.keys().find_map(|start| back_to(start, graph)) {
        let steps = circle.iter().zip(circle.iter().cycle().skip(1));
        let why: Vec<_> = steps.map(|(from, to)| graph[from][to].as_str()).collect();
        panic!("a circle:\n{}", why.join("\n"));
    }
}

/// The shortest way from a part to itself.
fn back_to(start: &str, graph: &Graph) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in graph.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next) {
                    longer.push(way.iter().chain([next]).cloned().collect());
                }
            }
        }
        ways = longer;
    }
    None
}

/// `src/a/b.rs` is the module a, b.
fn module(file: &Path) -> Vec<String> {
    let path = file.strip_prefix("src").unwrap().with_extension("");
    let parts = path.iter().map(|part| part.to_str().unwrap().to_owned());
    parts.filter(|part| part != "lib").collect()
}

/// From `super::x`, as seen from a module, to the module or what is in it.
fn resolve(from: &[String], path: &[String]) -> Vec<String> {
    let up = path.iter().take_while(|part| *part == "super").count();
    let base = if up > 0 { &from[..from.len() - up] } else { &[] };
    let rest = path.iter().filter(|part| !matches!(part.as_str(), "super" | "crate" | "self"));
    base.iter().chain(rest).cloned().collect()
}

/// All paths from `crate` or `super`, in `use` and elsewhere.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let is_part = |c: char| c.is_alphanumeric() || "_:$".contains(c);
    for (at, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        if !code[..at].ends_with(is_part) {
            expand(&code[at..], &[], &mut found);
        }
    }
    found
}

/// Adds the paths that begin here, `a::b` and `a::c` for `a::{b, c}`; returns what follows.
fn expand<'a>(mut code: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    loop {
        let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
        let (part, rest) = code.split_at(end);
        path.extend((!part.is_empty()).then(|| part.to_owned()));
        code = rest;
        match code.strip_prefix("::") {
            Some(rest) if rest.starts_with('{') => {
                code = rest;
                break;
            }
            Some(rest) => code = rest,
            None => {
                found.push(path);
                return code;
            }
        }
    }
    while let Some(rest) = code.strip_prefix(['{', ',']) {
        code = expand(rest.trim_start(), &path, found);
        code = &code[code.find([',', '}']).unwrap_or(code.len())..];
    }
    code.strip_prefix('}').unwrap_or(code)
}

/// A file's lines without comments and without its tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let mut parts = text.split("\n#[cfg(test)]\n");
    let is_code = |part: &&str| !part.lines().next().unwrap_or_default().ends_with('{');
    let code: String = parts.next().into_iter().chain(parts.take_while(is_code)).collect();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| line.to_owned() + "\n")
        .collect()
}

fn is_for_tests(file: &Path) -> bool {
    file.ends_with("testing.rs") || file.ends_with("tests.rs")
}

/// Files in a folder and below.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What goes to a terminal or a file as JSON is escaped in one place. `code` leaves the tests out.
#[test]
fn json_has_one_writer() {
    let others = ["serde_json::to_writer", "serde_json::to_string", "serde_json::to_vec"];
    let writer = Path::new("src/output/json.rs");
    for file in sources().into_iter().filter(|file| file != writer) {
        let text = code(&file);
        for other in others.into_iter().chain(["Serializer::new", "Serializer::pretty"]) {
            assert!(!text.contains(other), "{} uses {other}", file.display());
        }
    }
    assert!(code(writer).contains("serde_json::Serializer"), "src is read");
}
