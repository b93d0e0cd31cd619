//! Filters: what they let through.

use super::calls::is_row_of;
use super::*;

/// The calls of which there are rows must be those that `wanted` says.
fn check(setup: Setup, flags: &[&str], args: &[&str], wanted: impl Fn(&Truth) -> bool) {
    let traced = trace(setup, flags, args);
    let wanted: Vec<_> = traced.truth.iter().filter(|truth| wanted(truth)).collect();
    let rows = traced.rows();
    assert!(!wanted.is_empty() && wanted.len() < traced.truth.len(), "{flags:?}");
    assert_eq!(rows.len(), wanted.len(), "{flags:?} {traced:?}");
    rows.iter().zip(wanted).for_each(|(row, truth)| check_map(row, truth));
}

/// Flags, and which calls they let through.
type Case = (&'static [&'static str], fn(&Truth) -> bool);

#[test]
fn by_arguments_and_result() {
    // What a filter compares is the same for each backend.
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let cases: &[Case] = &[
        (&["--failed"], |t| t.errno().is_some()),
        (&["--min-size", "4097"], |t| t.args[1] > 4096),
        (&["--max-size", "4095"], |t| t.args[1] < 4096),
        (&["--min-size", "4K", "--max-size", "2M"], |t| (4096..=2 << 20).contains(&t.args[1])),
        (&["--prot", "rw"], |t| t.args[2] & 3 == 3),
        (&["--prot", "EXEC", "--anon"], |t| t.args[2] & 4 != 0),
        (&["--flags", "HUGETLB"], |t| t.args[3] & 0x40000 != 0),
        (&["--flags", "MAP_FIXED,ANON"], |t| t.args[3] & 0x30 == 0x30),
        (&["--file"], |t| t.args[3] & 0x20 == 0),
        (&["--anon"], |t| t.args[3] & 0x20 != 0),
        (&["--flags", "SHARED"], |t| t.args[3] & 0xf == 1),
        (&["--flags", "PRIVATE", "--max-size", "0"], |t| t.args[3] & 0xf == 2 && t.args[1] == 0),
        (&["--flags", "HUGE_2MB"], |t| t.args[3] & 0xfc04_0000 == 0x5404_0000),
        (&["--prot", "R--|SEM"], |t| t.args[2] & 9 == 9),
    ];
    for (flags, wanted) in cases {
        if in_vm() && flags.len() < 3 && flags[0] != "--failed" {
            continue;
        }
        check(setup, flags, &["flags"], wanted);
    }
}

/// Flags that go with `--all`, and which calls of `mapper others` they let through.
fn check_all(setup: Setup, flags: &[&str], wanted: impl Fn(&Truth) -> bool) {
    let traced = trace(setup, &[&["--all"], flags].concat(), &["others"]);
    assert!(!traced.truth.iter().all(&wanted), "{flags:?}");
    // The C library does things of its own before and after.
    for truth in &traced.truth {
        let found = traced.rows().into_iter().any(|row| is_row_of(row, truth));
        assert_eq!(found, wanted(truth), "{flags:?} {truth:x?} {traced:?}");
    }
}

#[test]
fn other_calls_by_what_they_have() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let protects = |t: &Truth| t.name == "mmap" || t.name.ends_with("mprotect");
    // Advice and the flags of mremap() are the same numbers as some of these.
    check_all(setup, &["--prot", "w"], |t| protects(t) && t.args[2] & 2 != 0);
    check_all(setup, &["--flags", "PRIVATE"], |t| t.name == "mmap");
    check_all(setup, &["--prot", "x"], |t| protects(t) && t.args[2] & 4 != 0);
    check_all(setup, &["--flags", "SHARED"], |_| false);
    check_all(setup, &["--anon"], |t| t.name == "mmap");
}

#[test]
fn other_calls_by_length() {
    // The length that is shown: of mremap() the new one. brk() has none.
    let length = |t: &Truth| match t.name.as_str() {
        "brk" => None,
        "mremap" => Some(t.args[2]),
        _ => Some(t.args[1]),
    };
    each_backend(|setup| {
        let flags = ["--min-size", "8K", "--max-size", "32K"];
        check_all(setup, &flags, |t| length(t).is_some_and(|len| (8192..=32768).contains(&len)));
    });
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    check_all(setup, &["--max-size", "4K"], |t| length(t).is_some_and(|len| len <= 4096));
    check_all(setup, &["--min-size", "1T"], |_| false);
}

#[test]
fn by_path() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let dir = TempDir::new();
    let prefix = dir.path("");
    check(setup, &["--path", &prefix], &["files", &prefix], |t| t.path.starts_with(&prefix));
    check(setup, &["--path", "memfd:"], &["files", &prefix], |t| t.path == "memfd:jit");
    check(setup, &["--flags", "PRIVATE"], &["files", &prefix], |t| t.args[3] & 0xf == 2);
    check(setup, &["--flags", "SHARED"], &["files", &prefix], |t| t.args[3] & 0xd == 1);
    check(setup, &["--flags", "3"], &["files", &prefix], |t| t.args[3] & 0xf == 3);
    let traced = trace(setup, &["--path", &format!("{prefix}x")], &["files", &prefix]);
    assert_eq!(traced.rows().len(), 0, "{traced:?}");
}

#[test]
fn what_is_left_of_a_path_is_not_its_beginning() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let traced = trace(setup, &["--path", "/dddd"], &["deep", &dir.path(".")]);
        assert_eq!(traced.truth.len(), 1, "{traced:?}");
        assert!(traced.rows().is_empty(), "{traced:?}");
        // The loader's files are found by that, too.
        let traced = trace(setup, &["--path", "/"], &["deep", &dir.path(".")]);
        let cut = |row: &&Value| row["file"]["path_cut"] == true;
        assert_eq!(traced.rows().into_iter().filter(cut).count(), 1, "{traced:?}");
    });
}

/// Which columns there are makes no difference to what is shown.
#[test]
fn other_calls_by_path() {
    let dir = TempDir::new();
    let prefix = dir.path("");
    each_backend(|setup| {
        for columns in [&[][..], &["--vma"]] {
            let flags = [&["--all", "--path", &prefix], columns].concat();
            let traced = trace(setup, &flags, &["protect", &prefix]);
            let rows = traced.rows();
            let names: Vec<_> = rows.iter().map(|row| row["event"]["name"].as_str()).collect();
            assert_eq!(names, [Some("memory.map"), Some("memory.protect")], "{flags:?} {traced:?}");
            for (row, key) in rows.iter().zip(["mmap", "mprotect"]) {
                assert_eq!(lossy(&path(row)), dir.path("protected"), "{row}");
                assert_eq!(row[key]["vma"].is_object(), !columns.is_empty(), "{row}");
            }
        }
    });
}

/// The kernel's paths have no symbolic links.
#[test]
fn by_a_path_with_a_symbolic_link() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let dir = TempDir::new();
    fs::create_dir(dir.path("real")).unwrap();
    std::os::unix::fs::symlink("real", dir.path("link")).unwrap();
    std::os::unix::fs::symlink("protected", dir.path("real/alias")).unwrap();
    let real = dir.path("real");
    for (prefix, found) in
        [("link", true), ("link/", true), ("link/prot", true), ("link/alias", true), ("lin", false)]
    {
        let traced = trace(setup, &["--path", &dir.path(prefix)], &["protect", &real]);
        let paths: Vec<_> = traced.rows().into_iter().map(|row| lossy(&path(row))).collect();
        let expected = if found { vec![dir.path("real/protected")] } else { Vec::new() };
        assert_eq!(paths, expected, "{prefix}");
    }
}

#[test]
fn common_filters_come_first() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    for flags in [["--comm", "mapper"], ["--uid", "0"], ["--not-comm", "other"], ["--not-pid", "1"]]
    {
        let traced = trace(setup, &flags, &["flags"]);
        assert_eq!(traced.rows().len(), traced.truth.len(), "{flags:?} {traced:?}");
    }
    for flags in [
        ["--comm", "other"],
        ["--uid", "65534"],
        ["--pid", "1"],
        ["--not-comm", "mapper"],
        ["--not-uid", "0"],
        ["--not-cgroup", "/"],
    ] {
        assert_eq!(trace(setup, &flags, &["flags"]).rows().len(), 0, "{flags:?}");
    }
}
