//! The flags of runs without an end: what is refused, before anything is loaded.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::{refuses, run, text};

/// A folder that is removed again.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("snoop-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn wrong_values_are_usage() {
    for tool in ["execsnoop", "tcpconnect", "mmapsnoop", "procsnoop", "killsnoop"] {
        refuses(
            tool,
            &[
                (&["--rotate", "1M"], "--output"),
                (&["--output", "f", "--rotate", "1"], "at least 4096 bytes"),
                (&["--output", "f", "--rotate", "1M,3,gzip"], "SIZE,KEEP,zstd"),
                (&["--output", "f", "--rotate", "1M/x,3"], "--rotate"),
                (&["--rate-limit", "0/s"], "100/s"),
                (&["--rate-limit", "5/s:name"], "comm, pid or uid"),
                (&["--sample", "0"], "1.."),
                (&["--max-cpu", "0"], "percentage"),
                (&["--metrics", "m.txt"], ".prom"),
                (&["--host-name", ""], "1 to 255"),
                (&["--from", "f", "--max-cpu", "5"], "cannot be used with"),
                (&["--from", "f", "--metrics", "m.prom"], "cannot be used with"),
                (&["--from", "f", "--status", "1"], "cannot be used with"),
                (&["--from", "f", "--output", "g", "--rotate", "1M"], "cannot be used with"),
            ],
        );
    }
    for tool in ["execsnoop", "procsnoop"] {
        refuses(tool, &[(&["--live", "--output", "f"], "cannot be used with")]);
    }
}

#[test]
fn health_is_the_age_of_a_file() {
    let folder = Folder::new("healthy");
    let file = folder.path("m.prom");
    let status = |flags: &[&str]| {
        let output = run("execsnoop", flags);
        (output.status.code(), text(&output.stderr))
    };
    let missing = status(&["--healthy", &file]);
    assert_eq!(missing, (Some(1), format!("execsnoop: {file}: No such file or directory\n")));
    fs::write(&file, "").unwrap();
    assert_eq!(status(&["--healthy", &file]), (Some(0), String::new()));
    let old = SystemTime::now() - Duration::from_secs(120);
    fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    let (code, why) = status(&["--healthy", &file]);
    assert!(code == Some(1) && why.contains("was written 120 s ago"), "{why}");
    refuses(
        "execsnoop",
        &[
            (&["--healthy", "m.txt"], ".prom"),
            (&["--healthy", "m.prom", "--json"], "cannot be used with"),
        ],
    );
}

#[test]
fn wrong_files_are_refused_first() {
    let folder = Folder::new("output");
    let [table, link] = ["table", "link"].map(|name| folder.path(name));
    fs::write(&table, "PCOMM PID\n").unwrap();
    symlink(&table, &link).unwrap();
    for (file, why) in [
        ("/dev/null", "not a regular file"),
        (&folder.path(""), "not a regular file"),
        (&folder.path("no/such"), "No such file or directory"),
        (&link, "a symbolic link"),
        (&table, "something else than JSON Lines"),
    ] {
        // Without privileges it could not trace: that is said only if this was not.
        let output = run("execsnoop", &["--json", "--output", file, "--", "echo", "ran"]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(text(&output.stdout), "", "the command did not run");
        assert!(stderr.contains(why) && stderr.starts_with("execsnoop: --output "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert_eq!(fs::read_to_string(&table).unwrap(), "PCOMM PID\n");
    let metrics = folder.path("no/such.prom");
    let output = run("execsnoop", &["--metrics", &metrics, "--", "echo", "ran"]);
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    assert!(
        stderr.starts_with("execsnoop: --metrics ") && stderr.contains("No such file"),
        "{stderr}"
    );
}
