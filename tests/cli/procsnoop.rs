//! procsnoop's own flags.

use super::*;

fn procsnoop(args: &[&str]) -> Output {
    run("procsnoop", args)
}

#[test]
fn help_and_version() {
    describes_itself(
        "procsnoop",
        &["-h", "--help"],
        &["--pid", "--tree", "--failed", "--usage", "--plot", "[-- <COMMAND>...]"],
    );
}

#[test]
fn wrong_values_are_refused_with_status_2() {
    let wrong: &[(&[&str], &str)] = &[
        (&["-d", "-1"], ""),
        (&["-d", "soon"], "invalid digit"),
        (&["--signal", "NOPE"], "no such signal"),
        (&["--signal", "65"], "no such signal"),
        (&["--exit-code", "256"], "256 is not in 0..=255"),
        (&["--tree-view", "--json"], "--json"),
        (&["--plot", "/no/such/folder/x.svg"], "cannot create /no/such/folder/x.svg"),
        (&["--perfetto", "/"], "cannot create /"),
        (&["--pid", "0"], "a process id is a number from 1 to 4194304"),
        (&["--backend", "fexit"], "tp_btf, raw_tp"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["stray"], "stray"),
    ];
    refuses("procsnoop", wrong);
}

#[test]
fn short_flags_mean_what_they_mean_in_bootstrap() {
    let help = text(&procsnoop(&["--help"]).stdout);
    for pair in ["-d, --min-duration", "-x, --failed", "-t, --timestamp", "-q, --quiet"] {
        assert!(help.contains(pair), "{pair}: {help}");
    }
}
