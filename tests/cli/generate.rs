//! What each program of `src/bin` tells of itself: pages, completions, a demonstration.

use std::fs;

use super::{run, text};

/// All programs, by their sources.
pub(super) fn programs() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut programs: Vec<_> =
        files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    programs.sort();
    assert!(programs.len() > 5, "{programs:?}");
    programs
}

fn generate(program: &str, words: &[&str]) -> String {
    let words: Vec<_> = ["--generate"].iter().chain(words).copied().collect();
    let output = run(program, &words);
    assert_eq!(text(&output.stderr), "", "{program} {words:?}");
    assert!(output.status.success(), "{program} {words:?}");
    text(&output.stdout)
}

#[test]
fn pages_have_all_sections_in_order() {
    for program in programs() {
        let pages = generate(&program, &["pages"]);
        assert_eq!(pages.lines().next(), Some(program.as_str()));
        for name in pages.lines() {
            let page = generate(&program, &["man", name]);
            let titles = page.lines().filter_map(|line| line.strip_prefix(".SH "));
            let mut titles: Vec<_> = titles.map(|title| title.trim_matches('"')).collect();
            titles.retain(|title| *title != "COLUMNS AND KEYS OF JSON");
            let sections = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"];
            assert_eq!(titles[..4], sections, "{name}");
            let sections = ["EXAMPLES", "PRIVILEGES", "OVERHEAD", "EXIT STATUS"];
            assert_eq!(titles[titles.len() - 4..], sections, "{name}");
            assert!(!page.contains("{tool}") && !page.contains(r"\\"), "{page}");
            assert_no_section_is_empty(name, &page);
        }
        assert_eq!(generate(&program, &["man"]), generate(&program, &["man", &program]));
    }
}

fn assert_no_section_is_empty(name: &str, page: &str) {
    for section in page.split(".SH ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap();
        assert!(body.lines().any(|line| !line.starts_with('.')), "{name}: {title} is empty");
    }
}

#[test]
fn examples_are_calls_of_the_program() {
    for program in programs() {
        let page = generate(&program, &["man"]);
        let (_, examples) = page.split_once(".SH EXAMPLES\n").unwrap();
        let (examples, _) = examples.split_once(".SH ").unwrap();
        let calls: Vec<_> = examples.lines().filter(|line| line.starts_with("\\fB")).collect();
        assert!(!calls.is_empty(), "{program}");
        assert!(calls.iter().all(|call| call.contains(&program)), "{program}: {calls:?}");
    }
}

#[test]
fn completions_know_the_flags() {
    for program in programs() {
        for shell in ["complete-bash", "complete-zsh", "complete-fish"] {
            let script = generate(&program, &[shell]);
            assert!(script.contains(&format!("_{program}")), "{program} {shell}");
            assert!(!script.contains("NAME"), "{program} {shell}");
        }
        let flags = generate(&program, &["complete", "run", "--"]);
        assert!(flags.lines().any(|line| line.starts_with("--json\t")), "{program}: {flags}");
        assert!(!flags.contains("--generate"), "{program}: the flag is hidden");
    }
}

#[test]
fn demonstrations_say_what_they_show() {
    for program in programs() {
        let demo = generate(&program, &["demo"]);
        let value = |key| {
            let values = demo.lines().filter_map(|line| line.split_once('='));
            values.clone().find(|(name, _)| *name == key).unwrap().1.to_owned()
        };
        assert!(value("event").contains('.'), "{program}: {demo}");
        assert!(!value("command").is_empty(), "{program}: {demo}");
        assert_eq!(demo.lines().count(), 4, "{demo}");
        let object = value("object");
        let lesson =
            format!("{}/examples/{}", env!("CARGO_MANIFEST_DIR"), object.replace(".o", ".c"));
        assert!(object.is_empty() || fs::exists(&lesson).unwrap(), "{program}: {lesson}");
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    for words in [&["--generate"][..], &["--generate", "x"], &["--generate", "man", "x"]] {
        let output = run("execsnoop", words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(text(&output.stderr).starts_with("execsnoop: "), "{words:?}");
    }
}
