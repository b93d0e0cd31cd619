//! `--wx`: what makes memory writable and executable, and nothing else.

use super::*;

#[test]
fn what_deserves_a_look() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let traced = trace(setup, &["--wx"], &["wx", &dir.path(".")]);
        let rows = traced.rows();
        let reasons: Vec<_> = rows
            .iter()
            .map(|row| {
                let key = if row["event"]["name"] == "memory.map" { "mmap" } else { "mprotect" };
                row[key]["wx"][0].as_str().unwrap_or_else(|| panic!("{row}"))
            })
            .collect();
        let pid = pid(rows[0]);
        let both = format!("file mapped both ways: writable by {pid} mapper");
        let written = if finds_vmas() {
            "written memory made executable"
        } else {
            "made executable, contents unknown"
        };
        let expected = [
            "writable and executable",
            written,
            "writable and executable",
            "executable memfd",
            both.as_str(),
        ];
        assert_eq!(reasons, expected, "{traced:?}");
        // They are the calls that the program says.
        let addresses: Vec<_> = [0, 2, 4, 6, 8]
            .map(|at| &traced.truth[at])
            .map(|t| if t.name == "mmap" { t.result as u64 } else { t.args[0] })
            .to_vec();
        let shown: Vec<_> = rows
            .iter()
            .map(|row| {
                let key = if row["event"]["name"] == "memory.map" { "mmap" } else { "mprotect" };
                hex(&row[key]["address"])
            })
            .collect();
        assert_eq!(shown, addresses, "{traced:?}");
    });
}

#[test]
fn an_ordinary_program_has_none() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let command = if in_vm() { "exit" } else { "ls / >/dev/null; exit" };
    let trace = MMAPSNOOP.trace(setup, &["--wx"], &["/bin/sh", "-c", command]);
    assert_eq!(trace.events.len(), 0, "{trace:?}");
}
