//! Histograms and sums, with the counts that are known.

use super::*;

/// The first argument of prctl() that the fixture looks for.
const MAGIC: i32 = 0x7069_6374;

/// Each number, and how often it is handed to the kernel.
const NUMBERS: [(u64, u64); 5] = [(0, 1), (1, 2), (5, 3), (33, 4), (1 << 30, 5)];

/// How often in all.
const CALLS: u64 = 15;

fn feed() {
    for (number, times) in NUMBERS {
        for _ in 0..times {
            // SAFETY: the kernel knows no such option, and refuses.
            unsafe { libc::prctl(MAGIC, number) };
        }
    }
}

fn records() -> Trace {
    let tool = BPFRUN.start(&["--json", "--maps", &object("pictures")]);
    feed();
    tool.stop()
}

/// Low bound and count of each bucket.
fn buckets(histogram: &Value) -> Vec<(Option<u64>, u64)> {
    let buckets = histogram["buckets"].as_array().unwrap();
    buckets.iter().map(|b| (b["low"].as_u64(), b["count"].as_u64().unwrap())).collect()
}

#[test]
fn counts_are_in_the_buckets_of_the_program() {
    let _alone = alone();
    let trace = records();
    let all = named(&trace, "bpf.histogram");
    let of = |map: &str, name: &str| {
        let fits = |record: &&&Value| {
            let own = record["name"].as_str().unwrap_or_default();
            record["bpf"]["map"].as_str().unwrap().ends_with(map) && own == name
        };
        let mut found = all.iter().filter(fits);
        let first = found.next().unwrap_or_else(|| panic!("{map} {name}: {all:?}"));
        assert!(found.next().is_none(), "{map} {name}: {all:?}");
        *first
    };
    let log2 = |low: u64, zero: u64| {
        // 0 and 1 share the first one, where the program counts them so.
        let mut expected = vec![(Some(0), zero)];
        if zero == 1 {
            expected.push((Some(1), 2));
        }
        expected.extend([(Some(4), 3), (Some(32), 4), (Some(low), 5)]);
        expected
    };
    // 26 slots, of which the last one has all that is larger.
    let hist = of("latencies", "slots");
    assert_eq!(hist["scale"], "log2", "{hist}");
    assert_eq!(hist["known"], "computed", "{hist}");
    assert_eq!(hist["key"], std::process::id(), "{hist}");
    assert_eq!(buckets(hist), log2(1 << 25, 3));
    assert!(hist["buckets"][3].get("high").is_none(), "{hist}");
    assert_eq!(hist["buckets"][0]["high"], 2, "{hist}");
    let sizes = of("sizes", "");
    assert_eq!(buckets(sizes), log2(1 << 30, 1));
    let disk = of("disks", "");
    assert_eq!(buckets(disk), log2(1 << 30, 3));
    assert_eq!(disk["key"], serde_json::json!({ "dev": std::process::id(), "op": 1 }));
    // The program leaves out what does not fit.
    let everywhere = of("everywhere", "slots");
    assert_eq!(buckets(everywhere), &log2(0, 3)[..3]);
    let tens = of(".bss", "tens");
    assert_eq!(tens["scale"], "linear", "{tens}");
    assert_eq!(buckets(tens), [(Some(0), 6), (Some(30), 4), (Some(190), 5)]);
    assert_eq!(buckets(of(".bss", "by_parity[0].slots")), [(Some(0), 1)]);
    assert_eq!(
        buckets(of(".bss", "by_parity[1].slots")),
        [(Some(0), 2), (Some(4), 3), (Some(32), 4)]
    );
    // By a hash: what the slots stand for is not known.
    let hashed = of("hashed_slots", "");
    assert_eq!(hashed["scale"], "slot", "{hashed}");
    assert!(buckets(hashed).iter().all(|(low, _)| low.is_none()), "{hashed}");
    assert_eq!(buckets(hashed).iter().map(|(_, count)| count).sum::<u64>(), CALLS);
}

#[test]
fn values_of_all_cpus_are_added_up() {
    let _alone = alone();
    let trace = records();
    let maps = named(&trace, "bpf.map");
    let of = |map: &str| *maps.iter().find(|record| record["bpf"]["map"] == map).unwrap();
    let calls = of("calls");
    assert_eq!((&calls["key"], &calls["sum"]), (&3.into(), &CALLS.into()), "{calls}");
    let each: Vec<_> =
        calls["values"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
    assert_eq!(each.iter().sum::<u64>(), CALLS);
    assert_eq!(calls["most"], *each.iter().max().unwrap(), "{calls}");
    assert_eq!(calls["least"], *each.iter().min().unwrap(), "{calls}");
    let sums = of("sums");
    let total: u64 = NUMBERS.iter().map(|(number, times)| number * times).sum();
    assert_eq!(sums["sum"], serde_json::json!({ "calls": CALLS, "total": total }), "{sums}");
}

#[test]
fn pictures_are_drawn() {
    let _alone = alone();
    let me = format!("[{}]", std::process::id());
    let mut tool =
        BPFRUN.command(&["--maps", "--duration", "3", &object("pictures"), "--", "sh", "-c"]);
    // Something must run that calls prctl(): this process, before the command ends.
    let child =
        tool.arg("read _").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_for_links(child.id(), 2);
    feed();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let stdout = lossy(&output.stdout);
    let lines: Vec<_> = stdout.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with(&format!("{me}: comm="))).unwrap();
    assert_eq!(lines[begin + 1], "  slots:", "{stdout}");
    let words: Vec<Vec<&str>> =
        lines[begin + 2..].iter().take(3).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0][..4], ["0", "..", "2", "3"], "{stdout}");
    assert_eq!(words[1][..4], ["2", "..", "4", "0"], "{stdout}");
    assert_eq!(words[2][..4], ["4", "..", "8", "3"], "{stdout}");
    assert!(words[2][4].contains('█'), "{stdout}");
    let sums = lines.iter().find(|line| line.starts_with("[3]: sum of ")).unwrap();
    assert!(
        sums.contains(&format!(": {CALLS} (")) || sums.ends_with(&format!(": {CALLS}")),
        "{sums}"
    );
}

#[test]
fn maps_are_offered_where_nothing_else_can_come() {
    let _alone = alone();
    let said = |flags: &[&str], name: &str| {
        let object = object(name);
        let tool = [flags, &["--duration", "0.2", &object]].concat();
        lossy(&BPFRUN.command(&tool).output().unwrap().stderr)
    };
    let hint = "bpfrun: no program sends events or messages: --maps shows the contents of the maps";
    assert!(said(&[], "pictures").contains(hint), "{}", said(&[], "pictures"));
    assert!(!said(&["--maps"], "pictures").contains(hint));
    assert!(!said(&[], "fixups").contains(hint), "it has events");
}
