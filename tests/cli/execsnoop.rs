//! execsnoop's own flags.

use super::*;

fn execsnoop(args: &[&str]) -> Output {
    run("execsnoop", args)
}

#[test]
fn help_and_version() {
    describes_itself(
        "execsnoop",
        &["--help"],
        &["--pid", "--tree", "--cgroup", "--json", "--failed", "[-- <COMMAND>...]"],
    );
}

#[test]
fn wrong_values_are_refused_with_status_2() {
    let wrong: &[(&[&str], &str)] = &[
        (&["--pid", "0"], "a process id is a number from 1 to 4194304"),
        (&["-p", "x"], "a process id is a number"),
        (&["--ppid", "-1"], "a process id is a number"),
        (&["--tree", "4194304"], "there is no such process"),
        (&["--uid", "no-such-user-here"], "no such user"),
        (&["-u", "4294967295"], "not a user id"),
        (&["--comm", "sixteen-bytes-xx"], "1 to 15 bytes"),
        (&["--comm", ""], "1 to 15 bytes"),
        (&["--cgroup", "/no/such/cgroup"], "cgroup"),
        (&["--cgroup", ""], "a cgroup has a name"),
        (&["--not-pid", "0"], "a process id is a number from 1 to 4194304"),
        (&["--not-uid", "no-such-user-here"], "no such user"),
        (&["--not-comm", ""], "1 to 15 bytes"),
        (&["--not-cgroup", "/no/such/cgroup"], "cgroup"),
        (&["--filter", ""], "at the end: a key, ! or ( is expected"),
        (&["--filter", "process.pid ="], "at character 13, '=': an operator or the end"),
        (&["--filter", "proces.pid"], "no key 'proces.pid': is 'process.pid' meant?"),
        (&["--filter", "file.path ~ '('"], "no regular expression: unclosed group"),
        (&["--container-labels", "app"], "--containers"),
        (&["--duration", "0"], "seconds are a number from"),
        (&["--duration", "-1"], "seconds are a number from"),
        (&["--duration", "soon"], "seconds are a number from"),
        (&["--max-events", "0"], "a whole number from 1 up"),
        (&["--buffer", "socket"], "possible values: auto, ring, perf"),
        (&["--buffer-size", "2G"], "a number of bytes"),
        (&["--rings", "65"], "from 1 to 64"),
        (&["--rings", "2", "--buffer", "perf"], "--rings is for ring buffers"),
        (&["--name", "("], "unclosed group"),
        (&["--line", "[z-a]"], "invalid character class range"),
        (&["--max-args", "-1"], "a whole number is needed"),
        (&["--max-args", "1.5"], "a whole number is needed"),
        (&["--max-args", "99999999999999999999999"], "a whole number is needed"),
        (&["--all"], "--failed"),
        (&["--backend", "kprobe"], "tp_btf, raw_tp"),
        (&["-x", "--backend", "kprobe"], "fexit, tracepoint, raw_tp"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["stray"], "stray"),
    ];
    refuses("execsnoop", wrong);
}

#[test]
fn help_explains_the_rows() {
    let help = text(&execsnoop(&["--help"]).stdout);
    let help: Vec<_> = help.split_whitespace().collect();
    let help = help.join(" "); // whatever its lines are
    for word in ["PCOMM is", "file=PATH", "-- lost N events --", ".command_args", "nowhere on PATH"]
    {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn short_flags_mean_what_they_mean_in_bcc() {
    let help = text(&execsnoop(&["--help"]).stdout);
    for pair in [
        "-T, --time",
        "-t, --timestamp",
        "-x, --failed",
        "-q, --quote",
        "-U, --print-uid",
        "-u, --uid",
        "-n, --name",
        "-l, --line",
        "-c, --cgroup",
        "-P, --ppid",
        "--max-args",
    ] {
        assert!(help.contains(pair), "{pair}: {help}");
    }
}
