//! mmapsnoop's own flags.

use super::*;

#[test]
fn help_and_version() {
    describes_itself(
        "mmapsnoop",
        &["--help"],
        &["--all", "--wx", "--vma", "--summary", "--path", "--pid", "[-- <COMMAND>...]"],
    );
}

#[test]
fn wrong_values_are_refused_with_status_2() {
    let long = "/".repeat(256);
    let wrong: &[(&[&str], &str)] = &[
        (&["--min-size", "x"], "a number of bytes"),
        (&["--min-size", "2M", "--max-size", "1M"], "nothing could match"),
        (&["--prot", "rwq"], "letters of rwx"),
        (&["--prot", ""], "letters of rwx"),
        (&["--flags", "NO_SUCH"], "names such as SHARED,FIXED"),
        (&["--path", ""], "1 to 255 bytes"),
        (&["--path", &long], "1 to 255 bytes"),
        (&["--anon", "--file"], "cannot be used with"),
        (&["--summary", "0"], "seconds are a number from"),
        (&["--summary", "1", "--all"], "cannot be used with"),
        (&["--summary", "1", "--path", "/"], "cannot be used with"),
        (&["--folded", "--json"], "cannot be used with"),
        (&["--backend", "kprobe"], "fexit, tracepoint, tp_btf"),
        (&["--wx", "--backend", "kprobe"], "there are fexit, tracepoint, tp_btf"),
        (&["--pid", "0"], "a process id is a number"),
        (&["stray"], "stray"),
    ];
    refuses("mmapsnoop", wrong);
}
