//! `--cwd`, `--env` and what is made of them: compared with what programs find in their own memory.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;

use super::*;

/// What a program of the fixture found, by its process id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    args: Vec<u8>,
    env: Vec<u8>,
    cwd: Vec<u8>,
}

fn found(dir: &TempDir) -> BTreeMap<u64, Found> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&dir.0).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap_or_default();
        let Some(pid) = name.strip_suffix(".cwd") else { continue };
        let read = |ending: &str| fs::read(dir.path(&format!("{pid}.{ending}"))).unwrap();
        let found = Found { args: read("args"), env: read("env"), cwd: read("cwd") };
        all.insert(pid.parse().unwrap(), found);
    }
    all
}

/// The fixture in a folder of its own.
fn place() -> (TempDir, String) {
    let dir = TempDir::new();
    let program = dir.copy("place", &fixture("place"));
    (dir, program)
}

fn bytes(object: &Value, key: &str) -> Option<Vec<u8>> {
    match object[format!("{key}_base64")].as_str() {
        Some(encoded) => Some(decode(encoded)),
        None => object[key].as_str().map(|text| text.as_bytes().to_vec()),
    }
}

/// The entries of the environment of a row: in their order, but those that no object can hold last.
fn entries(row: &Value) -> Vec<Vec<u8>> {
    let process = &row["process"];
    let regular = process["environment_variable"].as_object().unwrap_or_else(|| panic!("{row}"));
    let regular = regular.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap()));
    let mut entries: Vec<Vec<u8>> = regular.map(String::into_bytes).collect();
    match process["environment_irregular_base64"].as_array() {
        Some(all) => entries.extend(all.iter().map(|entry| decode(entry.as_str().unwrap()))),
        None => {
            let all = process["environment_irregular"].as_array().into_iter().flatten();
            entries.extend(all.map(|entry| entry.as_str().unwrap().as_bytes().to_vec()));
        }
    }
    entries
}

fn sorted_entries(block: &[u8]) -> Vec<Vec<u8>> {
    let mut entries: Vec<_> =
        block.split_inclusive(|&byte| byte == 0).map(|e| e[..e.len() - 1].to_vec()).collect();
    entries.sort();
    entries
}

/// Compares a row with what the program found. With a small buffer the environment may be cut.
fn check(row: &Value, found: &Found, is_small: bool) {
    let mut shown = entries(row);
    let cut = row["process"]["environment_cut"]["bytes"].as_u64().unwrap_or(0);
    let total: usize = shown.iter().map(|entry| entry.len() + 1).sum();
    if cut == 0 {
        shown.sort();
        assert_eq!(shown, sorted_entries(&found.env), "{row}");
    } else {
        assert!(is_small && found.env.len() > 1000, "{row}");
        // A NUL that the last one may lack.
        let missing = found.env.len() as u64 - cut;
        assert!((missing..=missing + 1).contains(&(total as u64)), "{row}");
        let whole = sorted_entries(&found.env);
        let (last, others) = shown.split_last().unwrap();
        assert!(others.iter().all(|entry| whole.contains(entry)));
        assert!(whole.iter().any(|entry| entry.starts_with(last)));
    }
    let cwd = bytes(&row["process"], "working_directory").unwrap();
    if found.cwd.is_empty() {
        assert_eq!(row["process"]["working_directory_cut"], true, "{row}");
        return;
    }
    let is_deleted = row["process"]["working_directory_deleted"] == true;
    let expected = found.cwd.strip_suffix(b" (deleted)").unwrap_or(&found.cwd);
    assert_eq!((lossy(&cwd), is_deleted), (lossy(expected), expected != found.cwd), "{row}");
}

/// Rows of the programs of the fixture, each compared.
fn check_all(trace: &Trace, dir: &TempDir, is_small: bool) {
    trace.is_complete();
    let found = found(dir);
    let by_pid: BTreeMap<_, _> = trace.events.iter().map(|row| (pid(row), row)).collect();
    assert!(found.len() >= 10, "{found:?}");
    for (pid, found) in &found {
        check(by_pid[pid], found, is_small);
    }
}

#[test]
fn environments_and_directories_are_those_of_the_program() {
    each_setup(|setup| {
        let (dir, program) = place();
        let trace = EXECSNOOP.trace(setup, &["--cwd", "--env"], &[&program, "run"]);
        check_all(&trace, &dir, setup.buffer == "perf");
    });
}

#[test]
fn over_several_rings_too() {
    over_rings(backends(), 4096, |setup, flags| {
        let (dir, program) = place();
        let flags = [&["--cwd", "--env"][..], flags].concat();
        let trace = EXECSNOOP.trace(setup, &flags, &[&program, "run"]);
        check_all(&trace, &dir, false);
    });
}

#[test]
fn a_large_environment_costs_no_event() {
    over_ring(backends(), |setup| {
        let (dir, program) = place();
        let trace =
            EXECSNOOP.trace(setup, &["--cwd", "--env", "--buffer-size", "64K"], &[&program, "run"]);
        check_all(&trace, &dir, true);
    });
}

#[test]
fn what_is_not_asked_for_is_not_read() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let (_dir, program) = place();
    for (flags, cwd, env) in [
        (&[][..], false, false),
        (&["--cwd"], true, false),
        (&["--env"], false, true),
        (&["--env=A,B"], false, true),
    ] {
        let trace = EXECSNOOP.trace(setup, flags, &[&program, "run"]);
        for row in &trace.events {
            assert_eq!(row["process"]["working_directory"].is_string(), cwd, "{flags:?} {row}");
            assert_eq!(row["process"]["environment_variable"].is_object(), env, "{flags:?} {row}");
        }
    }
}

#[test]
fn variables_by_name_and_those_that_differ() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let script = format!("A=1 B=2 HOME=/x {}", fixture("argv"));
    let of_program = |flags: &[&str]| {
        let trace = EXECSNOOP.trace(setup, flags, &["/bin/sh", "-c", &script]);
        entries(trace.of("argv")[0]).into_iter().map(|entry| lossy(&entry)).collect::<Vec<_>>()
    };
    assert_eq!(of_program(&["--env=B,HOME,NONE"]).len(), 2);
    let changed = of_program(&["--env"]);
    for entry in ["A=1", "B=2", "HOME=/x"] {
        assert!(changed.iter().any(|shown| shown == entry), "{changed:?}");
    }
    assert!(!changed.iter().any(|entry| entry.starts_with("PATH=")), "{changed:?}");
}

#[test]
fn failed_calls_have_the_directory_of_the_caller() {
    each_failure_setup(|setup| {
        let flags = ["-x", "--all", "--cwd", "--env"];
        let trace = EXECSNOOP.trace(setup, &flags, &["/bin/sh", "-c", "cd /proc; ./no-such; true"]);
        let failed: Vec<_> = trace
            .events
            .iter()
            .filter(|row| row["event"]["name"] == "process.exec_failed")
            .collect();
        assert!(!failed.is_empty(), "{trace:?}");
        for row in failed {
            assert_eq!(row["process"]["working_directory"], "/proc", "{row}");
            assert_eq!(row["process"]["environment_variable"], Value::Null, "{row}");
        }
    });
}

#[test]
fn text_shows_variables_in_front() {
    let argv = fixture("argv");
    let script = &format!("cd /proc; exec env A=1 'B=x y' {argv}");
    let run = |flags: &[&str]| {
        let mut tool = EXECSNOOP.command(flags);
        let output = tool.args(["--", "/bin/sh", "-c", script]).output().unwrap();
        lossy(&output.stdout)
    };
    let expected = format!("/proc                    A=1 B='x y' {argv}");
    let text = run(&["--cwd", "--env=A,B"]);
    assert!(text.lines().any(|line| line.ends_with(&expected)), "{text}");
    let text = run(&["-o", "cwd,env,pid"]);
    assert!(text.contains("A=1 B='x y'"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("/proc ")), "{text}");
}

#[test]
fn a_recording_has_them_too() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let (dir, program) = place();
    let mut tool = EXECSNOOP.command(&setup.flags());
    tool.args(["--json", "--cwd", "--env", "--", &program, "run"]);
    let file = dir.path("recording");
    fs::write(&file, tool.output().unwrap().stdout).unwrap();
    let again = EXECSNOOP.command(&["--from", &file, "--json", "--cwd", "--env"]).output().unwrap();
    assert_eq!(lossy(&again.stdout), lossy(&fs::read(&file).unwrap()));
    let plain = EXECSNOOP.trace(setup, &[], &["/bin/true"]);
    assert_eq!(plain.status, 0);
}

/// Runs each line by this shell; what the programs find is what they found.
fn run_again(shell: &str, lines: &[String], dir: &TempDir) {
    let before: Vec<_> = found(dir).into_values().collect();
    let mut missing = 0;
    let mut again = Vec::new();
    for (pid, _) in found(dir) {
        for ending in ["args", "env", "cwd"] {
            fs::remove_file(dir.path(&format!("{pid}.{ending}"))).unwrap();
        }
    }
    for line in lines {
        if line.starts_with('#') {
            missing += 1;
            continue;
        }
        if line.contains("place run") {
            continue;
        }
        let script = dir.path("script");
        fs::write(&script, line).unwrap(); // too long for an argument
        let status = Command::new(shell).arg(&script).status().unwrap();
        assert!(status.success(), "{shell}: {line}");
        again.extend(found(dir).into_values());
        for (pid, _) in found(dir) {
            for ending in ["args", "env", "cwd"] {
                fs::remove_file(dir.path(&format!("{pid}.{ending}"))).unwrap();
            }
        }
    }
    assert_eq!(missing, 3, "a name twice, a deleted directory, one that is too long: {lines:?}");
    assert_eq!(again.len() + missing, before.len(), "{lines:?}");
    for found in again {
        assert!(
            before.contains(&found),
            "{shell}: {} {} {}",
            lossy(&found.args),
            lossy(&found.env),
            lossy(&found.cwd)
        );
    }
}

#[test]
fn shells_run_the_lines_again() {
    let has = |program: &str| {
        Command::new(program).arg("-c").arg(":").status().is_ok_and(|s| s.success())
    };
    if !Command::new("perl").args(["-e", "1"]).status().is_ok_and(|status| status.success()) {
        skip!(skip::NO_PERL);
    }
    for shell in ["sh", "bash", "dash"].into_iter().filter(|shell| has(shell)) {
        let (dir, program) = place();
        let mut tool = EXECSNOOP.command(&["--shell", "--", &program, "run"]);
        let output = tool.env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
        let lines: Vec<_> = lossy(&output.stdout).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 11, "{lines:?}");
        run_again(shell, &lines, &dir);
    }
}

#[test]
fn nothing_of_the_secrets_gets_out() {
    let setup = Setup { backend: "tp_btf", buffer: "ring" };
    let dir = TempDir::new();
    let script =
        "sh -c 'true --password hunter2'; API_TOKEN=hunter2 env true https://me:hunter2@h/";
    let clean = |text: &str| {
        assert!(text.contains("REDACTED") && !text.contains("hunter2"), "{text}");
    };
    let run = |tool: Tool, flags: &[&str]| {
        let mut command = tool.command(&setup.flags()[..2]);
        command.args(flags).args(["--redact", "--", "/bin/sh", "-c", script, "--token=hunter2"]);
        let output = command.current_dir(&dir.0).output().unwrap();
        lossy(&output.stdout) + &lossy(&output.stderr)
    };
    let procsnoop = Tool("procsnoop");
    for (tool, flags) in [
        (EXECSNOOP, &["--json", "--env", "--cwd"][..]),
        (EXECSNOOP, &["--env"]),
        (EXECSNOOP, &["--shell"]),
        (procsnoop, &["--json", "--env", "--fork"]),
        (procsnoop, &["--env"]),
        (procsnoop, &["-q", "--tree-view", "--critical-path"]),
    ] {
        clean(&run(tool, flags));
    }
    run(procsnoop, &["-q", "--plot", "x.svg", "--chrome-trace", "x.json", "--perfetto", "x.pf"]);
    for name in ["x.svg", "x.json", "x.pf"] {
        clean(&lossy(&fs::read(dir.path(name)).unwrap()));
    }
    // A recording with secrets, shown without.
    let mut tool = procsnoop.command(&["--json", "--fork", "--", "/bin/sh", "-c", script]);
    let recorded = tool.arg("--token=hunter2").output().unwrap().stdout;
    assert!(lossy(&recorded).contains("hunter2"));
    let file = dir.path("recording");
    fs::write(&file, recorded).unwrap();
    for flags in [&["--json"][..], &[], &["-q", "--tree-view"], &["--no-redact", "--redact"]] {
        let mut tool = procsnoop.command(&["--from", &file, "--redact"]);
        clean(&lossy(&tool.args(flags).output().unwrap().stdout));
    }
    let diff = procsnoop.command(&["--redact", "--diff", &file, &file]).output().unwrap();
    assert!(!lossy(&diff.stdout).contains("hunter2"));
    let shown = run(EXECSNOOP, &["--no-redact", "--json"]);
    assert!(shown.contains("REDACTED"), "the last one counts: {shown}");
    let count = EXECSNOOP.trace(setup, &["--redact"], &["/bin/true", "--token", "a", "--secret=b"]);
    assert_eq!(count.events[0]["process"]["redacted"], 2);
}

/// A field of /proc/PID/status.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim()
}

#[test]
fn a_command_of_another_user() {
    let user = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let script = "cat /proc/self/status; env; ls -l /proc/self/fd";
    let mut tool =
        EXECSNOOP.command(&["--json", "--run-as", "nobody", "--", "/bin/sh", "-c", script]);
    let output = tool.env("KEPT", "yes").output().unwrap();
    let text = lossy(&output.stdout);
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    for (name, id) in [("Uid", &uid), ("Gid", &gid)] {
        let ids: Vec<_> = field(&text, name).split_whitespace().collect();
        assert_eq!(ids, [id; 4], "{text}");
    }
    let name = std::ffi::CString::new("nobody").unwrap();
    let mut expected: Vec<_> = nix::unistd::getgrouplist(&name, user.gid)
        .unwrap()
        .into_iter()
        .map(nix::unistd::Gid::as_raw)
        .collect();
    let mut groups: Vec<u32> =
        field(&text, "Groups").split_whitespace().map(|gid| gid.parse().unwrap()).collect();
    expected.sort_unstable();
    groups.sort_unstable();
    assert_eq!(groups, expected);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&text, set), "0000000000000000", "{set}");
    }
    let home = String::from_utf8(user.dir.into_os_string().into_vec()).unwrap();
    for line in ["USER=nobody", "LOGNAME=nobody", "KEPT=yes", &format!("HOME={home}")] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
    let open: Vec<_> = text.lines().filter_map(|line| line.split_once(" -> ")).collect();
    let is_usual = |(link, file): &(&str, &str)| {
        // The folder is ls's own.
        ["0", "1", "2"].contains(&link.rsplit(' ').next().unwrap()) || file.starts_with("/proc/")
    };
    assert!(open.len() >= 3 && open.iter().all(is_usual), "{open:?}");
    // The tool keeps its rights: it has shown the rows, of that user.
    let rows: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let execs: Vec<_> = rows.iter().filter(|row| row["event"]["name"] == "process.exec").collect();
    assert!(!execs.is_empty(), "{text}"); // some shells are all these programs themselves
    assert!(execs.iter().all(|row| row["process"]["user"]["id"] == user.uid.as_raw()), "{text}");
}

#[test]
fn a_user_that_there_is_not() {
    let said = |flags: &[&str]| {
        let output = EXECSNOOP.command(flags).output().unwrap();
        (output.status.code(), lossy(&output.stderr))
    };
    let (status, stderr) = said(&["--run-as", "no-such-user", "--", "/bin/true"]);
    assert_eq!(status, Some(2), "{stderr}");
    assert!(stderr.contains("no such user"), "{stderr}");
    let (status, _) = said(&["--run-as", "root"]);
    assert_eq!(status, Some(2), "without COMMAND");
}
