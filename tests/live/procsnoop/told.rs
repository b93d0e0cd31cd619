//! A filter selects processes: what has a row is shown to its end, whatever it becomes.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// The rows of a trace: event, name of the process, exit code.
fn rows(trace: &Trace) -> Vec<(String, String, Option<i64>)> {
    let row = |event: &Value| {
        let name = event["event"]["name"].as_str().unwrap().strip_prefix("process.").unwrap();
        let comm = event["process"]["comm"].as_str().unwrap().to_owned();
        (name.to_owned(), comm, event["process"]["exit"]["code"].as_i64())
    };
    trace.is_complete().events.iter().map(row).collect()
}

fn row(name: &str, comm: &str, code: Option<i64>) -> (String, String, Option<i64>) {
    (name.to_owned(), comm.to_owned(), code)
}

fn sh(script: &str) -> [&str; 3] {
    ["/bin/sh", "-c", script]
}

#[test]
fn another_name() {
    each_backend(|setup| {
        let script = format!("{} rename other 5; true", fixture("lives"));
        let trace = PROCSNOOP.trace(setup, &["--comm", "lives"], &sh(&script));
        assert_eq!(rows(&trace), [row("exec", "lives", None), row("exit", "other", Some(5))]);
        // Only ends are asked for, so the end is the first row: of what matched when it began.
        let flags = ["--comm", "lives", "--failed"];
        let trace = PROCSNOOP.trace(setup, &flags, &sh(&script));
        assert_eq!(rows(&trace), [row("exit", "other", Some(5))]);
        // It has matched at no event but its end.
        let trace = PROCSNOOP.trace(setup, &["--comm", "other"], &sh(&script));
        assert_eq!(rows(&trace), [row("exit", "other", Some(5))]);
        // Likewise of what is left out: the name at its first row counts.
        let not = |flags: &[&str]| {
            rows(&PROCSNOOP.trace(setup, &[&["--not-comm", "sh"], flags].concat(), &sh(&script)))
        };
        let both = [row("exec", "lives", None), row("exit", "other", Some(5))];
        assert_eq!(not(&[]), both);
        assert_eq!(not(&["--not-comm", "other"]), both);
        assert_eq!(not(&["--not-comm", "lives"]), [row("exit", "other", Some(5))]);
        assert_eq!(not(&["--not-comm", "lives", "--not-comm", "other"]), []);
    });
}

#[test]
fn another_user() {
    each_backend(|setup| {
        let (lives, execer) = (fixture("lives"), fixture("execer"));
        let script = format!("{lives} become 65534 5; {execer} user 65534 {lives} forks 0; true");
        let trace = PROCSNOOP.trace(setup, &["--uid", "0", "--exit-code", "5"], &sh(&script));
        assert_eq!(rows(&trace), [row("exit", "lives", Some(5))]);
        assert_eq!(trace.events[0]["process"]["real_user"]["id"], 65534);
        let trace = PROCSNOOP.trace(setup, &["--uid", "65534"], &sh(&script));
        let expected = [
            row("exit", "lives", Some(5)),
            row("exec", "lives", None),
            row("exit", "lives", Some(0)),
        ];
        assert_eq!(rows(&trace), expected);
    });
}

#[test]
fn another_program() {
    each_backend(|setup| {
        let (lives, argv, execer) = (fixture("lives"), fixture("argv"), fixture("execer"));
        // It begins as sh, which is not asked for, and then is what is.
        let script = format!("sh -c 'exec {execer} exec {argv} {argv} x'; {lives} forks 1; true");
        let trace = PROCSNOOP.trace(setup, &["--comm", "execer"], &sh(&script));
        let expected =
            [row("exec", "execer", None), row("exec", "argv", None), row("exit", "argv", Some(0))];
        assert_eq!(rows(&trace), expected);
        // A birth with a row counts, one without does not.
        let script = format!("{lives} spawn 1 {argv} x; true");
        let trace = PROCSNOOP.trace(setup, &["--comm", "lives", "--fork"], &sh(&script));
        let expected = [
            row("exec", "lives", None),
            row("fork", "lives", None),
            row("exec", "argv", None),
            row("exit", "argv", Some(0)),
            row("exit", "lives", Some(0)),
        ];
        assert_eq!(rows(&trace), expected);
        let trace = PROCSNOOP.trace(setup, &["--comm", "lives"], &sh(&script));
        assert_eq!(rows(&trace), [row("exec", "lives", None), row("exit", "lives", Some(0))]);
    });
}

/// A shell that does its work when it gets a line.
struct Waiting(Child);

impl Waiting {
    fn new(script: &str) -> Self {
        let script = format!("read line; {script}");
        let mut shell = Command::new("/bin/sh");
        Self(shell.args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn go(mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn another_parent() {
    each_backend(|setup| {
        let lives = fixture("lives");
        let parent = Waiting::new(&format!("{lives} outlive $$ 6 & exit 0"));
        let pid = parent.pid();
        let flags = [&setup.flags()[..], &["--json", "--ppid", &pid]].concat();
        let mut running = PROCSNOOP.start(&flags);
        parent.go();
        let exit = running.wait_for("end", |row| row["event"]["name"] == "process.exit");
        assert_eq!(exit["process"]["exit"]["code"], 6, "{exit}");
        assert_ne!(exit["process"]["parent_pid"].to_string(), pid, "{exit}");
        let trace = running.stop();
        // Its parent may have ended before it has executed anything.
        assert_eq!(rows(&trace), [row("exec", "lives", None), row("exit", "lives", Some(6))]);
    });
}

/// A cgroup of a test's own.
struct Cgroup(String);

impl Cgroup {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (point, id) = (cgroup_mount(), std::process::id());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{point}/snoop-told-{id}-{number}");
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove_cgroup(&self.0);
    }
}

#[test]
fn another_cgroup() {
    each_backend(|setup| {
        let cgroup = Cgroup::new();
        let (inside, outside) = (&cgroup.0, cgroup_mount());
        let leave = format!("echo $$ >{outside}/cgroup.procs; exit 7");
        let script = format!("echo $$ >{inside}/cgroup.procs; exec sh -c '{leave}'");
        let mut tool = PROCSNOOP.command(&setup.flags());
        tool.args(["--json", "--cgroup", inside, "--"]).args(sh("sh -c \"$SCRIPT\"; true"));
        tool.env("SCRIPT", script);
        let trace = parse(&tool.output().unwrap());
        // A shell may call itself otherwise after an execution.
        let rows: Vec<_> = rows(&trace).into_iter().map(|(name, _, code)| (name, code)).collect();
        assert_eq!(rows, [("exec".to_owned(), None), ("exit".to_owned(), Some(7))]);
    });
}

#[test]
fn a_birth_belongs_to_the_cgroup_of_the_child() {
    each_backend(|setup| {
        let cgroup = Cgroup::new();
        let (inside, outside) = (&cgroup.0, cgroup_mount());
        let lives = fixture("lives");
        let mut tool = PROCSNOOP.command(&setup.flags());
        tool.args(["--json", "--fork", "--cgroup", inside, "--"]);
        // From outside into it, and from there out of it.
        let work = format!(
            "{lives} into {inside} 8; sh -c 'echo $$ >{inside}/cgroup.procs; \
             exec {lives} into {outside} 9'; true"
        );
        let trace = parse(&tool.args(sh(&work)).output().unwrap());
        let expected = [
            row("fork", "lives", None),
            row("exit", "lives", Some(8)),
            row("exec", "lives", None),
            row("exit", "lives", Some(0)),
        ];
        assert_eq!(rows(&trace), expected, "{trace:?}");
        let path = inside.strip_prefix(&outside).unwrap();
        assert!(trace.events.iter().all(|row| row["process"]["linux"]["cgroup"] == path));
    });
}

#[test]
fn pictures_show_the_end() {
    each_backend(|setup| {
        let script = format!("{} rename other 5; true", fixture("lives"));
        let mut tool = PROCSNOOP.command(&setup.flags());
        tool.args(["-q", "--tree-view", "--comm", "lives", "--"]);
        let text = lossy(&tool.args(sh(&script)).output().unwrap().stdout);
        let rows: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(rows.len(), 1, "{text}");
        assert_eq!(rows[0].split_whitespace().nth(5), Some("5"), "{text}");
    });
}

#[test]
fn older_ones_count_as_they_were_when_tracing_began() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let name = format!("old-{}-{}", setup.backend, setup.buffer);
        let mut old = Command::new(dir.alias(&name, "lives"))
            .args(["rename-later", "other", "7"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let named = || fs::read_to_string(format!("/proc/{}/comm", old.id())).unwrap();
        eventually("it has its name", || named().trim() == name);
        let flags = [&setup.flags()[..], &["--json", "--comm", &name]].concat();
        let mut running = PROCSNOOP.start(&flags);
        run("lives", &["forks", "1"]); // not asked for
        drop(old.stdin.take());
        assert_eq!(old.wait().unwrap().code(), Some(7));
        running.wait_for("end", |row| row["event"]["name"] == "process.exit");
        let trace = running.stop();
        assert_eq!(rows(&trace), [row("exit", "other", Some(7))]);
    });
}
