//! Arguments and results of each call.

use std::process::Command;

use super::*;

#[test]
fn every_flag_and_every_error() {
    each_backend(|setup| {
        let traced = trace(setup, &[], &["flags"]);
        let rows = traced.rows();
        assert_eq!(rows.len(), traced.truth.len(), "{traced:?}");
        for (row, truth) in rows.iter().zip(&traced.truth) {
            check_map(row, truth);
            // 99 is a descriptor that is none, others are ignored.
            assert_eq!(row["file"], Value::Null, "{row}");
        }
    });
}

#[test]
fn the_perf_buffer_has_the_same_rows() {
    for backend in backends() {
        let traced = trace(Setup { backend, buffer: "perf" }, &[], &["flags"]);
        let rows = traced.rows();
        assert_eq!(rows.len(), traced.truth.len(), "{traced:?}");
        rows.iter().zip(&traced.truth).for_each(|(row, truth)| check_map(row, truth));
    }
}

#[test]
fn other_calls() {
    each_backend(|setup| {
        let traced = trace(setup, &["--all"], &["others"]);
        let mut rows = traced.rows().into_iter();
        // The C library does things of its own before and after.
        // arm64 before 6.4 has no tracepoint for pkey_mprotect().
        let not_shown = traced.trace.start["not_shown"].to_string();
        let is_shown = |truth: &&Truth| !not_shown.contains(&format!("\"{}()\"", truth.name));
        for truth in traced.truth.iter().filter(is_shown) {
            let found = rows.find(|row| is_row_of(row, truth));
            assert!(found.is_some(), "no row, or out of order: {truth:x?} {traced:?}");
        }
    });
}

/// Whether `row` is the one of this call, with all its values.
pub(super) fn is_row_of(row: &Value, truth: &Truth) -> bool {
    let [a, b, c, d, e, _] = truth.args;
    let is = |value: &Value, number: u64| value.as_str().is_some() && hex(value) == number;
    let failed = match truth.errno() {
        Some(errno) => row["error"]["type"] == *errno,
        None => row["error"].is_null(),
    };
    let result = |value: &Value| truth.errno().is_some() || is(value, truth.result as u64);
    let call = |key: &str| &row[key];
    let event = row["event"]["name"].as_str().unwrap();
    failed
        && match truth.name.as_str() {
            "mmap" => event == "memory.map" && result(&row["mmap"]["address"]),
            "munmap" => {
                event == "memory.unmap"
                    && is(&call("munmap")["address"], a)
                    && call("munmap")["length_bytes"] == b
            }
            "mprotect" | "pkey_mprotect" => {
                let key = truth.name == "pkey_mprotect" && d as i32 != -1;
                event == "memory.protect"
                    && is(&call("mprotect")["address"], a)
                    && call("mprotect")["length_bytes"] == b
                    && bits(&call("mprotect")["prot"], PROT) == c
                    && call("mprotect")["key"].as_u64() == key.then_some(d)
            }
            "mremap" => {
                let mremap = call("mremap");
                let flags = [("MAYMOVE", 1), ("FIXED", 2), ("DONTUNMAP", 4)];
                event == "memory.remap"
                    && is(&mremap["old_address"], a)
                    && mremap["old_length_bytes"] == b
                    && mremap["length_bytes"] == c
                    && bits(&mremap["flags"], &flags) == d
                    // Shown if it counts and was not followed.
                    && (mremap["hint"].is_null() || is(&mremap["hint"], e))
                    && result(&mremap["address"])
            }
            "brk" => {
                let brk = call("brk");
                let refused = a != 0 && a != truth.result as u64;
                event == "memory.break"
                    && (if a == 0 { brk["requested"].is_null() } else { is(&brk["requested"], a) })
                    && result(&brk["address"])
                    && brk["refused"].as_bool().unwrap_or(false) == refused
            }
            "madvise" => {
                let advice = if c == 4 { "DONTNEED".to_owned() } else { format!("{c:#x}") };
                event == "memory.advise"
                    && is(&call("madvise")["address"], a)
                    && call("madvise")["length_bytes"] == b
                    && call("madvise")["advice"] == *advice
            }
            other => panic!("{other}"),
        }
}

/// A personality that makes executable what can be read.
#[test]
fn more_than_was_asked_for() {
    each_backend(|setup| {
        let traced = trace(setup, &["--vma"], &["implied"]);
        let [readable, nothing] = traced.rows()[..] else { panic!("{traced:?}") };
        let mode = |row: &Value| row["mmap"]["vma"]["mode"].as_str().unwrap().to_owned();
        assert_eq!([mode(readable), mode(nothing)], ["r-xp", "---p"]);
        let differences = readable["mmap"]["vma"]["differences"].to_string();
        assert!(differences.contains("executable unasked"), "{readable}");
        assert_eq!(nothing["mmap"]["vma"]["differences"], Value::Null, "{nothing}");
    });
}

#[test]
fn the_resulting_mapping() {
    each_backend(|setup| {
        let traced = trace(setup, &["--vma", "--latency"], &["flags"]);
        let rows = traced.rows();
        assert_eq!(rows.len(), traced.truth.len(), "{traced:?}");
        for (row, truth) in rows.iter().zip(&traced.truth) {
            check_map(row, truth);
            let mmap = &row["mmap"];
            assert!(mmap["duration_ns"].as_u64().unwrap() > 0, "{row}");
            if truth.errno().is_some() {
                assert_eq!(mmap["vma"], Value::Null, "{row}");
                continue;
            }
            let [_, len, prot, flags, ..] = truth.args;
            let at = truth.result as u64;
            let (start, end) = (hex(&mmap["vma"]["start"]), hex(&mmap["vma"]["end"]));
            assert!(start <= at && at + len <= end, "{row}");
            let mode = mmap["vma"]["mode"].as_str().unwrap();
            assert_eq!(mode.contains('w'), prot & 2 != 0, "{row}");
            assert_eq!(mode.ends_with('s'), flags & 3 == 1, "{row}");
            let merged = start < at || end > at + len.next_multiple_of(page_bytes());
            let differences = mmap["vma"]["differences"].to_string();
            assert_eq!(differences.contains("merged"), merged, "{row}");
        }
        let merged = |row: &&&Value| row["mmap"]["vma"]["differences"].is_array();
        assert!(rows.iter().any(|row| merged(&row)), "neighbours are merged");
    });
}

#[test]
fn callers_of_the_32_bit_interface() {
    if !runs_32_bit() {
        skip!(skip::NO_32_BIT);
    }
    each_backend(|setup| {
        let trace = MMAPSNOOP.trace(setup, &["--all"], &[&fixture("map32")]);
        trace.is_complete();
        assert_eq!(trace.status, 0);
        let rows = trace.of("map32");
        if setup.backend == "tracepoint" {
            // Classic tracepoints ignore them. Above all, link() is no mmap().
            let own = |row: &&&Value| row["mmap"]["compat"] == true;
            assert_eq!(rows.iter().filter(own).count(), 0, "{trace:?}");
            return;
        }
        let maps: Vec<_> = rows.iter().filter(|row| row["event"]["name"] == "memory.map").collect();
        assert_eq!(maps.len(), 2, "{trace:?}");
        let mmap = &maps[0]["mmap"];
        assert_eq!(mmap["compat"], true, "{trace:?}");
        assert_eq!(mmap["length_bytes"], 8192);
        assert_eq!(mmap["offset_bytes"], 80 * 4096);
        assert_eq!(mmap["fd"], Value::Null);
        assert_eq!(mmap["flags"], serde_json::json!(["PRIVATE", "ANONYMOUS"]));
        let address = hex(&mmap["address"]);
        assert!(address < 1 << 32, "{mmap}");
        assert_eq!(maps[1]["error"]["type"], "EINVAL");
        assert_eq!(maps[1]["mmap"]["length_bytes"], 4096);
        let unmap = rows.iter().find(|row| row["event"]["name"] == "memory.unmap").unwrap();
        assert_eq!(hex(&unmap["munmap"]["address"]), address);
        assert_eq!(unmap["munmap"]["compat"], true);
    });
}

#[test]
fn a_call_that_began_before_tracing_did() {
    const GIB: u64 = 512; // takes so long that it need not come to its end
    let mut work =
        Command::new(fixture("mapper")).args(["slow", &GIB.to_string()]).spawn().unwrap();
    let status = format!("/proc/{}/status", work.id());
    eventually("it is at work", || {
        let status = fs::read_to_string(&status).unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >= GIB << 20
    });
    let running = MMAPSNOOP.start(&["--json", "--pid", &work.id().to_string()]);
    // Killed, it returns from the call first.
    work.kill().unwrap();
    work.wait().unwrap();
    let trace = running.stop();
    let row = trace.is_complete().only("mapper");
    assert_eq!(row["mmap"]["length_bytes"], GIB << 30, "{row}");
    assert_eq!(row["mmap"]["flags"], serde_json::json!(["PRIVATE", "ANONYMOUS", "POPULATE"]));
}
