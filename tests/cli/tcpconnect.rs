//! tcpconnect's own flags.

use super::*;

fn tcpconnect(args: &[&str]) -> Output {
    run("tcpconnect", args)
}

#[test]
fn help_and_version() {
    describes_itself(
        "tcpconnect",
        &["--help"],
        &["--port", "--cidr", "--summary", "--failed", "--json", "[-- <COMMAND>...]"],
    );
}

#[test]
fn wrong_values_are_refused_with_status_2() {
    let wrong: &[(&[&str], &str)] = &[
        (&["--port", "0"], "a number from 1 to 65535"),
        (&["-P", "65536"], "a number from 1 to 65535"),
        (&["-P", "80,no-such-service"], "a name in /etc/services"),
        (&["-P", "90-80"], "begins with the smaller one"),
        (&["--cidr", "10.0.0.0/33"], "a network is written as"),
        (&["--cidr", "example.org"], "a network is written as"),
        (&["--netns", "no-such-namespace"], "no such network namespace"),
        (&["--netns", "0"], "no such network namespace"),
        (&["--netns", "."], "no such network namespace"),
        (&["--netns", "/proc/self/ns/mnt"], "no such network namespace"),
        (&["--min-latency", "-1"], "milliseconds are a number from"),
        (&["--min-latency", "1e300"], "milliseconds are a number from"),
        (&["--min-latency", "18446744073709.553"], "milliseconds are a number from"),
        (&["--summary", "-1"], "seconds are a number from"),
        (&["--summary", "1e-10"], "seconds are a number from"),
        (&["--duration", "1e19"], "seconds are a number from"),
        (&["-P", "-80"], "a number from 1 to 65535"),
        (&["--summary", "0"], "seconds are a number from"),
        (&["-4", "-6"], "cannot be used with"),
        (&["--failed", "--pending"], "cannot be used with"),
        (&["--count", "--summary", "1"], "cannot be used with"),
        (&["--backend", "kprobe"], "fexit, tp_btf, raw_tp"),
        (&["--sync-errors", "--backend", "kprobe"], "fexit, tracepoint, raw_tp"),
        (&["-u", "no-such-user-here"], "no such user"),
    ];
    refuses("tcpconnect", wrong);
}

#[test]
fn short_flags_mean_what_they_mean_in_bcc() {
    let help = text(&tcpconnect(&["--help"]).stdout);
    for pair in [
        "-t, --timestamp",
        "-p, --pid",
        "-P, --port",
        "-4, --ipv4",
        "-6, --ipv6",
        "-U, --print-uid",
        "-u, --uid",
        "-c, --count",
    ] {
        assert!(help.contains(pair), "{pair}: {help}");
    }
    assert!(!help.contains("-P, --ppid") && !help.contains("-c, --cgroup"), "{help}");
    // Accepted, as it is in bcc's: a wrong flag behind it is what is complained about.
    let stderr = text(&tcpconnect(&["-L", "--port", "0"]).stderr);
    assert!(stderr.contains("--port"), "{stderr}");
}
