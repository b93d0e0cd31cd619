//! bpfrun's own flags.

use super::*;

#[test]
fn help_and_version() {
    describes_itself("bpfrun", &["--help", "-h"], &["inspect", "run", "bpfrun FILE [MAP]..."]);
    let help = text(&run("bpfrun", &["run", "--help"]).stdout);
    for flag in [
        "--events",
        "--attach",
        "--set",
        "--map <NAME[KEY]=VALUE>",
        "--prog-array <NAME[N]=PROG>",
        "--type-of <PROG=KIND>",
        "--btf <FILE>",
        "--object <N|NAME>",
        "--maps",
        "--duration",
        "[-- <COMMAND>...]",
    ] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    let help = text(&run("bpfrun", &["inspect", "--help"]).stdout);
    for flag in ["--object <N|NAME>", "--objects", "--against <FILE>", "--btf"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn wrong_values_are_refused_with_status_2() {
    let wrong: &[(&[&str], &str)] = &[
        (&["run"], "<FILE>"),
        (&["x.o", "--prog", ""], "an empty pattern"),
        (&["x.o", "--attach", "=x"], "PROG=TARGET"),
        (&["x.o", "--set", "x"], "NAME=VALUE"),
        (&["x.o", "--type", "x"], "NAME=VALUE"),
        (&["x.o", "--map", "x=1"], "NAME[KEY]=VALUE"),
        (&["x.o", "--prog-array", "x[1]"], "NAME[KEY]=VALUE"),
        (&["x.o", "--type-of", "p"], "PROG=KIND"),
        (&["x.o", "--type-of", "p=nope"], "no kind nope"),
        (&["inspect", "x.o", "--objects", "--against", "y"], "cannot be used with"),
        (&["x.o", "--maps=0"], "seconds are a number from"),
        (&["x.o", "--duration", "-1"], "seconds are a number from"),
        (&["x.o", "--max-events", "0"], "a whole number from 1 up"),
        (&["run", "--no-such-flag", "x.o"], "--no-such-flag"),
    ];
    refuses("bpfrun", wrong);
}

#[test]
fn a_task_with_a_wrong_letter_is_understood() {
    let said = |words: &[&str]| text(&run("bpfrun", words).stderr);
    assert!(said(&["inspekt", "x.o"]).contains("did you mean bpfrun inspect?"));
    assert!(said(&["rnu", "x.o"]).contains("did you mean bpfrun run?"));
    assert!(!said(&["missing.bpf.o"]).contains("did you mean"));
}

#[test]
fn help_begins_with_the_main_call() {
    let help = text(&run("bpfrun", &["--help"]).stdout);
    assert!(
        help.contains("Usage: bpfrun [OPTIONS] FILE [MAP]...\n       bpfrun <COMMAND>\n"),
        "{help}"
    );
}

#[test]
fn a_wrong_flag_is_not_told_to_be_a_command() {
    let output = run("bpfrun", &["x.o", "--no-such-flag"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("unexpected argument '--no-such-flag'"), "{stderr}");
    assert!(!stderr.contains("'-- "), "{stderr}");
    // What is nearly a flag is still told.
    let stderr = text(&run("bpfrun", &["x.o", "--duratoin", "1"]).stderr);
    assert!(stderr.contains("--duration"), "{stderr}");
}
