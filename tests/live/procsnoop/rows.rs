//! Which rows there are: filters, births, order, text.

use super::*;

fn codes(trace: &Trace) -> Vec<i64> {
    let code = |row: &&Value| row["process"]["exit"]["code"].as_i64().unwrap();
    named(trace.is_complete(), "exit").iter().map(code).collect()
}

#[test]
fn by_status() {
    each_backend(|setup| {
        let shown = |flags: &[&str]| codes(&lives(setup, flags, &["forks", "4"]));
        assert_eq!(shown(&["--failed"]), [1, 2, 3]);
        assert_eq!(shown(&["--exit-code", "0", "--exit-code", "2"]), [0, 2, 0]);
        assert!(shown(&["--signal", "any"]).is_empty());
    });
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let killed = lives(setup, &["--signal", "SEGV", "--signal", "9"], &["killed"]);
    let signals: Vec<_> =
        killed.events.iter().map(|row| &row["process"]["exit"]["signal"]).collect();
    assert_eq!(signals, ["SIGKILL", "SIGSEGV"]);
    let quiet = lives(setup, &["-q"], &["codes"]);
    assert_eq!((quiet.events.len(), &quiet.end["lost"]), (0, &0.into()));
    // (Those that begin it are counted too.)
    assert!(quiet.end["events"].as_u64().unwrap() > 256, "{quiet:?}");
}

#[test]
fn by_duration() {
    each_backend(|setup| {
        let script = format!("sleep 0.4; {} forks 20; exit 3", fixture("lives"));
        let trace = PROCSNOOP.trace(setup, &["-d", "300"], &["sh", "-c", &script]);
        let slept = trace.is_complete().only("sleep");
        assert_eq!(slept["process"]["command_args"], serde_json::json!(["sleep", "0.4"]));
        assert_eq!(trace.only("sh")["process"]["exit"]["code"], 3);
        let duration = |row: &Value| row["process"]["duration_ns"].as_u64().unwrap();
        assert!(trace.events.iter().all(|row| duration(row) >= 300_000_000), "{trace:?}");
        // Of those that do nothing, some are quick on any machine.
        assert!(trace.of("lives").len() < 20, "{trace:?}");
    });
}

#[test]
fn a_command_begins_when_it_is_let_go() {
    each_backend(|setup| {
        let trace = lives(setup, &[], &["forks", "3"]);
        let own = trace.check_ends();
        let time = |row: &Value| -> jiff::Timestamp {
            row["timestamp"].as_str().unwrap().parse().unwrap()
        };
        let lived = |row: &Value| {
            let ns = row["process"]["duration_ns"].as_i64().unwrap();
            jiff::SignedDuration::from_nanos(ns)
        };
        // The clocks are compared anew for each batch of events, as well as a busy machine lets us.
        let began = time(own) - lived(own) + jiff::SignedDuration::from_millis(20);
        assert!(began >= time(&trace.start), "before all was ready: {own} {}", trace.start);
        // What it starts begins at its birth.
        let children: Vec<_> = trace.truth.iter().map(|truth| trace.end_of(truth)).collect();
        assert!(children.iter().all(|child| lived(child) < lived(own)), "{trace:?}");
    });
}

#[test]
fn ends_have_the_command_line() {
    each_backend(|setup| {
        let lives_path = fixture("lives");
        let script = format!("{lives_path} forks 2; exec {lives_path} forks 0");
        let trace = PROCSNOOP.trace(setup, &["--fork"], &["sh", "-c", &script]);
        let ends = named(trace.is_complete(), "exit");
        let last = |row: &Value| row["process"]["command_args"].as_array().unwrap().last().cloned();
        let told: Vec<_> =
            ends.iter().map(|row| (last(row), &row["process"]["without_exec"])).collect();
        let two = Some(Value::from("2"));
        let expected =
            [(two.clone(), true), (two.clone(), true), (two, false), (Some("0".into()), false)];
        for ((last, without_exec), (expected, forked)) in told.into_iter().zip(expected) {
            assert_eq!(last, expected);
            assert_eq!(without_exec.as_bool().unwrap_or(false), forked);
        }
        assert_eq!(ends.len(), 4);
        // What forked without exec has a duration, since its birth; others also since exec.
        for row in &ends {
            let forked = row["process"]["without_exec"] == true;
            assert_eq!(row["process"]["duration_since_exec_ns"].is_null(), forked, "{row}");
            assert!(row["process"]["duration_ns"].as_u64().unwrap() > 0);
        }
        assert_eq!(named(&trace, "fork").len(), 3);
    });
}

#[test]
fn a_child_of_the_makers_parent_has_the_makers_command() {
    each_backend(|setup| {
        let script = format!("{} clone-parent 7; true", fixture("lives"));
        let trace = PROCSNOOP.trace(setup, &[], &["sh", "-c", &script]);
        let ends = named(trace.is_complete(), "exit");
        let child = ends.iter().find(|row| row["process"]["exit"]["code"] == 7).unwrap();
        let [maker, shell] = ["lives", "sh"].map(|comm| {
            *ends
                .iter()
                .find(|row| row["process"]["comm"] == comm && row["process"]["exit"]["code"] == 0)
                .unwrap()
        });
        assert_eq!(child["process"]["parent_pid"], shell["process"]["pid"]);
        for key in ["command_args", "executable"] {
            assert_eq!(child["process"][key], maker["process"][key], "{child}");
            assert_ne!(child["process"][key], Value::Null);
        }
        assert_eq!(child["process"]["without_exec"], true);
    });
}

#[test]
fn ends_name_the_file_as_its_execution_did() {
    let dir = TempDir::new();
    let (execer, argv, copy) = (fixture("execer"), fixture("argv"), dir.path("copy"));
    let above = dir.0.to_str().unwrap();
    let deleted = [&execer, "deleted", &copy, &argv];
    let deep: &[&str] = &[&execer, "deep", above, "18", "prog", &argv];
    each_backend(|setup| {
        for (command, flag) in [(&deleted[..], "deleted"), (deep, "path_cut")] {
            let trace = PROCSNOOP.trace(setup, &[], command);
            let executable = |name| {
                let rows = named(trace.is_complete(), name);
                let marked = |row: &&&Value| row["process"]["executable"][flag] == true;
                let mut executable =
                    rows.iter().find(marked).map(|row| row["process"]["executable"].clone())?;
                // An execution has the name that was asked for instead.
                executable.as_object_mut()?.remove("other_name");
                Some(executable)
            };
            assert!(executable("exec").is_some(), "{trace:?}");
            assert_eq!(executable("exit"), executable("exec"));
        }
    });
}

#[test]
fn parents_come_before_their_children() {
    each_setup(|setup| {
        let trace = lives(setup, &["--fork"], &["nested", "40"]);
        trace.is_complete();
        let mut born = std::collections::HashSet::new();
        for (index, row) in trace.events.iter().enumerate() {
            let process = &row["process"];
            match row["event"]["name"].as_str().unwrap() {
                "process.fork" => {
                    let parent = process["parent_pid"].as_u64().unwrap();
                    assert!(index < 2 || born.contains(&parent), "{row}");
                    assert!(born.insert(pid(row)), "{row}");
                }
                "process.exit" => assert!(born.contains(&pid(row)), "{row}"),
                _ => assert!(born.insert(pid(row)), "{row}"),
            }
        }
        assert_eq!(named(&trace, "fork").len(), 40);
        assert_eq!(named(&trace, "exit").len(), 41);
    });
}

#[test]
fn as_text() {
    each_backend(|setup| {
        let script = "sh -c 'kill -KILL $$'; exit 5";
        let mut tool = PROCSNOOP.command(&setup.flags());
        let output = tool.args(["-U", "--fork", "--", "sh", "-c", script]).output().unwrap();
        let text = lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(5));
        let rows: Vec<Vec<_>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        let heading = ["EVENT", "UID", "COMM", "PID", "PPID", "DURATION", "STATUS", "ARGS"];
        assert_eq!(rows[0], heading);
        assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
        let events: Vec<_> = rows[1..].iter().map(|row| (row[0], row[6])).collect();
        let dash = |event| (event, "-");
        let [exec, fork] = [dash("EXEC"), dash("FORK")];
        let expected = [exec, fork, exec, ("EXIT", "SIGKILL"), ("EXIT", "5")];
        assert_eq!(events, expected, "{text}");
        assert!(text.contains("sh -c 'kill -KILL $$'  # SIGKILL from itself\n"), "{text}");
    });
}

#[test]
fn text_says_what_is_with_the_file() {
    let dir = TempDir::new();
    let command = [&fixture("execer"), "deleted", &dir.path("copy"), &fixture("argv")];
    let mut tool = PROCSNOOP.command(&["--fork", "--usage", "--"]);
    let text = lossy(&tool.args(command).output().unwrap().stdout);
    for event in ["EXEC", "EXIT"] {
        let is_told = |line: &str| {
            line.contains(event) && line.contains("exe=") && line.ends_with(", deleted")
        };
        assert!(text.lines().any(is_told), "{event}: {text}");
    }
    assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
}

#[test]
fn text_says_that_there_is_no_file() {
    let command = [&fixture("execer"), "memfd", "evil", &fixture("argv")];
    let mut tool = PROCSNOOP.command(&["--"]);
    let text = lossy(&tool.args(command).output().unwrap().stdout);
    let told = text.lines().filter(|line| line.ends_with("# exe=memfd:evil"));
    let events: Vec<_> = told.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(events, ["EXEC", "EXIT"], "{text}");
}

#[test]
fn the_tree_and_nothing_else() {
    each_backend(|setup| {
        let mut tree = std::process::Command::new("/bin/sh")
            .args(["-c", "read line; sh -c 'exit 3'; sh -c 'exit 4'; exit 5"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let root = tree.id().to_string();
        let running = PROCSNOOP.start(&[&setup.flags()[..], &["--json", "--tree", &root]].concat());
        run("lives", &["forks", "20"]);
        drop(tree.stdin.take());
        tree.wait().unwrap();
        run("lives", &["forks", "20"]);
        let trace = running.stop();
        assert_eq!(codes(&trace), [3, 4, 5], "{trace:?}");
        let old = named(&trace, "exit")[2];
        assert_eq!(old["process"]["command_args"][0], "/bin/sh", "from /proc");
    });
}
