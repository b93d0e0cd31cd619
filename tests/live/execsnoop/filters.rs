//! Filters: what they let through, alone and together.

use std::process::{Child, Command, Stdio};

use super::*;

/// A process that executes `argv` with `args` when it is told to, and stays the same
/// process: `sh` that waits for a line.
struct Waiting(Child);

impl Waiting {
    fn new(args: &str) -> Self {
        let script = format!("read line; exec {} {args}", fixture("argv"));
        let child =
            Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn go(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// The first arguments of the executions of `argv` that a tool shows with `flags`, while
/// `work` is done.
fn shown(setup: Setup, flags: &[&str], work: impl FnOnce()) -> Vec<String> {
    let common = ["--json", "--backend", setup.backend, "--buffer", setup.buffer];
    let running = start(&[&common[..], flags].concat());
    work();
    let trace = running.stop();
    assert_eq!(trace.end["lost"], 0);
    let first = |row| lossy(&args(row)[1]);
    trace.of("argv").into_iter().map(first).collect()
}

#[test]
fn by_process_and_parent() {
    each_setup(|setup| {
        let (one, two, three) = (Waiting::new("one"), Waiting::new("two"), Waiting::new("three"));
        let (pid_one, pid_two) = (one.pid(), two.pid());
        let rows = shown(setup, &["--pid", &pid_one, "-p", &pid_two], || {
            one.go();
            two.go();
            three.go();
        });
        assert_eq!(rows, ["one", "two"]);
        let (one, two) = (Waiting::new("one"), Waiting::new("two"));
        let rows = shown(setup, &["--pid", &two.pid()], || {
            one.go();
            two.go();
        });
        assert_eq!(rows, ["two"]);

        let me = std::process::id().to_string();
        let (one, two, three) = (Waiting::new("one"), Waiting::new("two"), Waiting::new("three"));
        let (pid_one, pid_three) = (one.pid(), three.pid());
        let both = ["--ppid", &me, "--not-pid", &pid_one, "--not-pid", &pid_three];
        let rows = shown(setup, &both[..4], || {
            one.go();
            two.go();
        });
        assert!(!rows.contains(&"one".to_owned()) && rows.contains(&"two".to_owned()), "{rows:?}");
        let two = Waiting::new("two");
        let flags = [&both[..], &["--pid", &pid_three, "--pid"]].concat();
        let pid_two = two.pid();
        let rows = shown(setup, &[&flags[..], &[&pid_two]].concat(), || {
            two.go();
            three.go();
        });
        assert_eq!(rows, ["two"], "named by both flags is left out");
        let mark = format!("child-{}-{}", setup.backend, setup.buffer);
        let rows = shown(setup, &["--ppid", &me, "-l", &mark], || {
            run("argv", &[&mark]);
            // A grandchild:
            run("execer", &["spawn", "1", &fixture("argv"), &mark, "grandchild"]);
        });
        assert_eq!(rows, [mark]);
    });
}

#[test]
fn by_user() {
    each_setup(|setup| {
        let argv = fixture("argv");
        for user in ["65534", "nobody"] {
            let trace = trace(
                setup,
                &["-u", user],
                &[
                    "/bin/sh",
                    "-c",
                    &format!("{argv} root; {} user 65534 {argv} other; true", fixture("execer")),
                ],
            );
            let rows: Vec<_> =
                trace.of("argv").into_iter().map(|row| lossy(&args(row)[1])).collect();
            assert_eq!(rows, ["other"], "{user}");
        }
        let script = format!("{argv} root; {} user 65534 {argv} other; true", fixture("execer"));
        for (flags, expected) in [
            (&["--not-uid", "nobody"][..], &["root"][..]),
            (&["--not-uid", "0"], &["other"]),
            (&["--not-uid", "0", "--not-uid", "65534"], &[]),
            (&["--uid", "0", "--not-uid", "65534"], &["root"]),
        ] {
            let trace = trace(setup, flags, &["/bin/sh", "-c", &script]);
            let rows: Vec<_> =
                trace.of("argv").into_iter().map(|row| lossy(&args(row)[1])).collect();
            assert_eq!(rows, expected, "{flags:?}");
        }
    });
}

#[test]
fn by_name() {
    each_setup(|setup| {
        let command = format!("{} one; {} wait 0; true", fixture("argv"), fixture("execer"));
        let names = |flags: &[&str]| {
            let trace = trace(setup, flags, &["/bin/sh", "-c", &command]);
            let comm = |row: &Value| row["process"]["comm"].as_str().unwrap().to_owned();
            trace.events.iter().map(comm).collect::<Vec<_>>()
        };
        assert_eq!(names(&["--comm", "argv"]), ["argv"]);
        assert_eq!(names(&["--comm", "argv", "--comm", "execer"]), ["argv", "execer"]);
        assert_eq!(names(&["--comm", "arg"]).len(), 0);
        assert_eq!(names(&["--not-comm", "argv"]), ["sh", "execer"]);
        assert_eq!(names(&["--not-comm", "argv", "--not-comm", "sh"]), ["execer"]);
        assert_eq!(names(&["--not-comm", "arg", "--comm", "argv"]), ["argv"]);
        assert_eq!(names(&["--not-comm", "argv", "--comm", "argv"]).len(), 0);
        assert_eq!(names(&["-n", "^ex"]), ["execer"]);
        assert_eq!(names(&["-n", "arg|exec"]), ["argv", "execer"]);
    });
}

#[test]
fn by_command_line() {
    each_setup(|setup| {
        let argv = fixture("argv");
        let script = format!("{argv} alpha beta; {argv} 'alpha  beta'; {argv} gamma; true");
        let lines = |regex: &str| {
            let trace = trace(setup, &["--comm", "argv", "-l", regex], &["/bin/sh", "-c", &script]);
            trace.events.len()
        };
        assert_eq!(lines("alpha"), 2);
        assert_eq!(lines("argv alpha beta$"), 1);
        assert_eq!(lines("gamma|beta"), 3);
        assert_eq!(lines("^alpha"), 0);
    });
}

#[test]
fn by_tree() {
    each_setup(|setup| {
        // The tree has a child and a grandchild already when tracing begins.
        let argv = fixture("argv");
        let script = format!("sh -c 'read line; {argv} deep; {argv} deeper' ; {argv} top");
        let mut tree =
            Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", tree.id());
        eventually("a child", || fs::read_to_string(&children).map_or(true, |c| !c.is_empty()));
        let rows = shown(setup, &["--tree", &tree.id().to_string()], || {
            run("argv", &["not-ours"]);
            drop(tree.stdin.take());
            assert!(tree.wait().unwrap().success());
            run("argv", &["not-ours-either"]);
        });
        assert_eq!(rows, ["deep", "deeper", "top"]);
    });
}

#[test]
fn by_cgroup() {
    let point = cgroup_mount();
    let name = format!("snoop-test-{}", std::process::id());
    let folder = format!("{point}/{name}");
    fs::create_dir_all(format!("{folder}/below")).unwrap();
    each_setup(|setup| {
        let argv = fixture("argv");
        let work = || {
            for (group, arg) in [(name.as_str(), "in"), (&format!("{name}/below"), "below")] {
                let script = format!("echo $$ > {point}/{group}/cgroup.procs; {argv} {arg}; true");
                let mut shell = Command::new("/bin/sh").args(["-c", &script]).spawn().unwrap();
                assert!(shell.wait().unwrap().success());
            }
            run("argv", &["outside"]);
        };
        assert_eq!(shown(setup, &["--cgroup", &folder], work), ["in", "below"]);
        assert_eq!(shown(setup, &["-c", &format!("/{name}/below")], work), ["below"]);
        let me = std::process::id().to_string();
        let below = format!("/{name}/below");
        let not = shown(setup, &["--cgroup", &folder, "--not-cgroup", &below], work);
        assert_eq!(not, ["in"]);
        let not = shown(setup, &["--ppid", &me, "--not-cgroup", &folder], work);
        assert!(not.contains(&"outside".to_owned()) && !not.contains(&"in".to_owned()), "{not:?}");

        let running = start(&["--json", "--cgroup", &folder, "--comm", "argv"]);
        work();
        let trace = running.stop();
        let groups: Vec<_> = trace
            .events
            .iter()
            .map(|e| e["process"]["linux"]["cgroup"].as_str().unwrap())
            .collect();
        assert_eq!(groups, [format!("/{name}"), format!("/{name}/below")]);
    });
    remove_cgroup(&format!("{folder}/below"));
    remove_cgroup(&folder);
}

#[test]
fn kinds_are_joined_by_and() {
    each_setup(|setup| {
        let (one, two) = (Waiting::new("one"), Waiting::new("two"));
        let pid = one.pid();
        let rows = shown(setup, &["--pid", &pid, "--comm", "no-such"], || one.go());
        assert_eq!(rows.len(), 0);
        let pid = two.pid();
        let rows = shown(setup, &["--pid", &pid, "--comm", "argv", "--uid", "0"], || two.go());
        assert_eq!(rows, ["two"]);
    });
}

#[test]
fn failures_are_filtered_too() {
    each_failure_setup(|setup| {
        let execer = fixture("execer");
        let script = format!("{execer} exec /no/such a; {execer} user 65534 /no/such b; true");
        let trace = trace(setup, &["-x", "-u", "65534"], &["/bin/sh", "-c", &script]);
        assert_eq!(trace.events.len(), 1, "{trace:?}");
        assert_eq!(trace.events[0]["event"]["name"], "process.exec_failed");
        assert_eq!(trace.events[0]["process"]["real_user"]["id"], 65534);
    });
}
