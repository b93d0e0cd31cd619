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
        let expected = [
            "writable and executable",
            "written memory made executable",
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

/// The calls of `jit` with their reasons, as it says itself.
fn truth(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let (missing, rows): (Vec<_>, Vec<_>) =
        text.lines().map(str::to_owned).partition(|line| line.starts_with("missing "));
    // Kernels of virtual machines have all that this takes, but no /dev/shm with files.
    assert!(missing.iter().all(|way| way == "missing nameless_file"), "{missing:?}");
    rows
}

/// A row in the words of `jit`.
fn words(row: &Value) -> String {
    let call = match row["event"]["name"].as_str().unwrap() {
        "memory.map" => "mmap",
        "memory.protect" => "mprotect",
        "memory.attach" => "shmat",
        "memory.break" => "brk",
        other => panic!("{other}"),
    };
    let reasons: Vec<_> =
        row[call]["wx"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect();
    format!("{call} {:x} {}", hex(&row[call]["address"]), reasons.join(";"))
}

/// Code that really runs, written in each way that changes what memory may do.
#[test]
fn every_way_to_write_code_and_run_it() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let said = dir.path("truth");
        let mut tool = MMAPSNOOP.command(&setup.flags());
        tool.args(["--json", "--wx", "--"]).arg(fixture("jit")).arg(dir.path("."));
        let trace = parse(&tool.env("JIT_OUT", &said).output().unwrap());
        assert_eq!(trace.status, 0, "{trace:?}");
        trace.is_complete();
        let rows: Vec<_> = trace.of("jit").into_iter().map(words).collect();
        assert_eq!(rows, truth(&said));
        let all = trace.of("jit");
        let find = |words_of: &str| all.iter().find(|row| words(row).contains(words_of)).unwrap();
        let unseen = 8 * page_bytes();
        let many = find(&format!("contents unknown of {}K", unseen >> 10));
        assert_eq!(many["mprotect"]["unseen_bytes"], unseen, "{many}");
        // The file and the mapping of a row are those that its notes are about.
        let memfd = find(";executable memfd;");
        assert_eq!(memfd["file"]["path"], "memfd:second", "{memfd}");
        let address = hex(&memfd["mprotect"]["address"]);
        assert_eq!(hex(&memfd["mprotect"]["vma"]["start"]), address + page_bytes(), "{memfd}");
        let plain = find("written memory made executable");
        assert_eq!(plain["file"], Value::Null, "{plain}");
    });
}

#[test]
fn flips_are_summed_up() {
    each_backend(|setup| {
        let flags = ["--wx", "--summary", "3600"];
        let trace = MMAPSNOOP.trace(setup, &flags, &[&fixture("jit"), "flip", "50"]);
        assert_eq!(trace.status, 0, "{trace:?}");
        assert_eq!((&trace.end["events"], &trace.end["lost"]), (&1.into(), &0.into()));
        let [row, total] = &trace.events[..] else { panic!("{trace:?}") };
        let names = [row, total].map(|row| row["event"]["name"].as_str().unwrap());
        assert_eq!(names, ["memory.wx_summary.process", "memory.wx_summary.total"]);
        assert_eq!(row["process"]["comm"], "jit");
        let (row, sums) = (&row["wx_summary"], &total["wx_summary"]);
        let has = |key: &str| row[key].clone();
        assert_eq!(has("call"), "mprotect");
        assert_eq!((has("calls"), has("failed")), (50.into(), 0.into()), "{row}");
        assert_eq!(row["notes"], serde_json::json!(["written memory made executable"]));
        assert_eq!(hex(&row["end"]) - hex(&row["start"]), page_bytes(), "{row}");
        assert_eq!((&sums["calls"], &sums["other_calls"]), (&50.into(), &0.into()));
    });
}

/// Beyond those of the table, which unit tests try.
#[test]
fn sums_as_text() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let mut tool = MMAPSNOOP.command(&setup.flags());
    tool.args(["--wx", "--summary", "3600", "--"]).arg(fixture("jit")).args(["flip", "7"]);
    let output = tool.output().unwrap();
    let text = lossy(&output.stdout);
    let row = text.lines().find(|line| line.contains(" jit ")).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(row.split_whitespace().next(), Some("7"), "{text}");
    assert!(row.ends_with("-  # written memory made executable"), "{text}");
}

#[test]
fn an_ordinary_program_has_none() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let command = if in_vm() { "exit" } else { "ls / >/dev/null; exit" };
    let trace = MMAPSNOOP.trace(setup, &["--wx"], &["/bin/sh", "-c", command]);
    assert_eq!(trace.events.len(), 0, "{trace:?}");
}
