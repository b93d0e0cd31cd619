//! procsnoop's own flags.

use super::*;

fn procsnoop(args: &[&str]) -> Output {
    run("procsnoop", args)
}

#[test]
fn help_and_version() {
    describes_itself(
        "procsnoop",
        &["--help"],
        &["--pid", "--tree", "--failed", "--usage", "--plot", "[-- <COMMAND>...]"],
    );
}

#[test]
fn wrong_values_are_refused_with_status_2() {
    let wrong: &[(&[&str], &str)] = &[
        (&["-d", "-1"], "milliseconds are a number from 0"),
        (&["-d", "soon"], "milliseconds are a number"),
        (&["-d", "nan"], "milliseconds are a number"),
        (&["--max-args", "1.5"], "a whole number is needed"),
        (&["-q", "--tree-view", "--max-events", "3"], "--max-events"),
        (&["--tree-view", "--plot", "same.svg", "--perfetto", "same.svg"], "want the same file"),
        (&["--signal", "NOPE"], "no such signal"),
        (&["--signal", "65"], "no such signal"),
        (&["--exit-code", "256"], "a number from 0 to 255"),
        (&["--tree-view", "--json"], "--json"),
        (&["--pid", "0"], "a process id is a number from 1 to 4194304"),
        (&["--backend", "fexit"], "tp_btf, raw_tp"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["stray"], "stray"),
    ];
    refuses("procsnoop", wrong);
    assert!(!Path::new("same.svg").exists());
    // Where there are cgroups to be named.
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        let cgroups = ["--cgroup", "/"].repeat(65);
        refuses("procsnoop", &[(&cgroups, "more than 64 cgroups")]);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_no_wrong_usage() {
    for (flag, file, reason) in [
        ("--plot", "/no/such/folder/x.svg", "No such file or directory"),
        ("--perfetto", "/", "Is a directory"),
    ] {
        let output = procsnoop(&[flag, file]);
        assert_eq!(output.status.code(), Some(1), "{flag}");
        let expected = format!("procsnoop: cannot create {file}: {reason}\n");
        assert_eq!(text(&output.stderr), expected);
    }
}

#[test]
fn help_explains_the_rows() {
    let help = text(&procsnoop(&["--help"]).stdout);
    let help: Vec<_> = help.split_whitespace().collect();
    let help = help.join(" "); // whatever its lines are
    for word in ["SINCE-EXEC", "VCSW", "+core", "no exec", "-- lost N events --", ".duration_ns"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn short_flags_mean_what_they_mean_in_bootstrap() {
    let help = text(&procsnoop(&["--help"]).stdout);
    for pair in ["-d, --min-duration", "-x, --failed", "-t, --timestamp", "-q, --quiet"] {
        assert!(help.contains(pair), "{pair}: {help}");
    }
}
