//! Executions that succeed: what is shown is what ran.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::*;

#[test]
fn an_ordinary_execution() {
    each_setup(|setup| {
        let before = jiff::Timestamp::now();
        let trace = trace(setup, &[], &[&fixture("argv"), "one", "two words"]);
        let after = jiff::Timestamp::now();
        trace.is_complete().check_argv();
        let row = trace.only("argv");
        assert_eq!(row["event"]["name"], "process.exec");
        assert_eq!(row["process"]["command_args"], json!([fixture("argv"), "one", "two words"]));
        assert_eq!(row["process"]["executable"], json!({ "path": real_path("argv") }));
        assert_eq!(row["exec"], json!({ "filename": fixture("argv") }));
        assert_eq!(row["process"]["user"]["id"], 0);
        assert_eq!(row["process"]["vpid"], Value::Null);
        assert_eq!(row["thread"]["id"], row["process"]["pid"]);
        let time: jiff::Timestamp = row["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(before < time && time < after, "{before} {time} {after}");

        assert_eq!(trace.start["schema"], 2);
        assert_eq!(trace.start["tool"], "execsnoop");
        assert_eq!(trace.start["backend"], setup.backend);
        assert_eq!(trace.start["buffer"], setup.buffer);
        assert_eq!(trace.status, 0);
    });
}

fn real_path(name: &str) -> String {
    let path = fs::canonicalize(fixture(name)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn hostile_arguments() {
    let argv = fixture("argv");
    let hostile: [&[u8]; 12] = [
        b"",
        b"new\nline",
        b"tab\t",
        b"\x1b[31mred",
        b"\xff\xfe",
        b"'single' \"double\"",
        b"-dash",
        b"\\back$slash`",
        "\u{202e}bidi\u{200b}".as_bytes(),
        b" ",
        b"\x01\x02\x7f",
        b"",
    ];
    each_setup(|setup| {
        let mut command = vec![OsStr::new(&argv)];
        command.extend(hostile.iter().map(|arg| OsStr::from_bytes(arg)));
        let trace = trace_os(setup, &[], &command);
        trace.is_complete().check_argv();
        assert_eq!(trace.truth[0].args[1..], hostile);
    });
}

#[test]
fn no_arguments_at_all() {
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&fixture("execer"), "argc0", &fixture("argv")]);
        // Since 5.18 the kernel adds an empty argument, in earlier ones there is none;
        // either way the program knows.
        trace.is_complete().check_argv();
        assert_eq!(trace.truth.len(), 1);
    });
}

#[test]
fn a_hundred_thousand_arguments() {
    check_large(&["many", &fixture("argv"), "100000"]);
}

#[test]
fn one_argument_of_the_largest_size() {
    check_large(&["long", &fixture("argv"), "131071", "1"]);
}

#[test]
fn arguments_of_almost_two_mebibytes() {
    check_large(&["long", &fixture("argv"), "131000", "15"]);
}

/// Complete over the ring buffer; over the perf buffer with an exact cut.
fn check_large(mode: &[&str]) {
    each_setup(|setup| {
        let execer = fixture("execer");
        let command: Vec<_> =
            std::iter::once(execer.as_str()).chain(mode.iter().copied()).collect();
        let trace = trace(setup, &[], &command);
        trace.is_complete();
        assert_eq!(trace.truth.len(), 1);
        let truth = &trace.truth[0].args;
        let row = trace.only("argv");
        assert_eq!(row["process"]["args_count"], truth.len());
        if setup.buffer == "ring" {
            trace.check_argv();
            return;
        }
        let shown = args(row);
        let cut = &row["process"]["command_args_cut"];
        let total: u64 = truth.iter().map(|arg| arg.len() as u64 + 1).sum();
        let (last, whole) = shown.split_last().unwrap();
        assert_eq!(whole, &truth[..whole.len()]);
        assert!(truth[whole.len()].starts_with(last));
        let whole_bytes: u64 = whole.iter().map(|arg| arg.len() as u64 + 1).sum();
        // The cut may be right behind an argument.
        let is_whole = &truth[whole.len()] == last && cut["args"] == truth.len() - shown.len();
        let is_whole = usize::from(is_whole);
        assert_eq!(cut["args"], truth.len() - whole.len() - is_whole);
        let last_bytes = last.len() as u64 + is_whole as u64;
        assert_eq!(cut["bytes"], total - whole_bytes - last_bytes);
        assert!(whole_bytes + last.len() as u64 > 20_000, "less than promised");
    });
}

#[test]
fn a_limit_on_what_is_shown_says_what_it_cuts() {
    each_setup(|setup| {
        let command = [&fixture("argv"), "22", "333", "4444"];
        let trace = trace(setup, &["--max-args", "2"], &command.map(|s| s as &str));
        let row = trace.only("argv");
        assert_eq!(row["process"]["command_args"], json!([fixture("argv"), "22"]));
        assert_eq!(row["process"]["args_count"], 4);
        assert_eq!(row["process"]["command_args_cut"], json!({ "args": 2, "bytes": 9 }));
    });
}

#[test]
fn arguments_in_pages_never_touched() {
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&fixture("execer"), "cold"]);
        trace.is_complete().check_argv();
        assert_eq!(trace.only("argv")["process"]["command_args"], json!(["COLD_ONE", "COLD_TWO"]));
    });
}

#[test]
fn arguments_that_another_thread_changes() {
    let count = scaled(400);
    each_setup(|setup| {
        let command = ["flip", &fixture("argv"), &count.to_string()].map(str::to_owned);
        let mut words = vec![fixture("execer")];
        words.extend(command);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let trace = trace(setup, &[], &words);
        trace.is_complete().check_argv();
        assert_eq!(trace.truth.len(), count as usize);
        let a = trace.truth.iter().filter(|truth| truth.args[1] == b"A-flag").count();
        assert!(0 < a && a < count as usize, "the argument did not change: {a} of {count}");
    });
}

#[test]
fn executions_by_threads_that_are_not_the_first() {
    each_setup(|setup| {
        let trace =
            trace(setup, &[], &[&fixture("execer"), "thread", "20", &fixture("argv"), "from"]);
        trace.is_complete().check_argv();
        assert_eq!(trace.of("argv").len(), 20);
        for row in trace.of("argv") {
            assert_ne!(row["thread"]["id"], row["process"]["pid"], "{row}");
        }
    });
}

#[test]
fn by_descriptor() {
    each_setup(|setup| {
        let execer = fixture("execer");
        let argv = fixture("argv");
        let path = real_path("argv");

        let empty = trace(setup, &[], &[&execer, "empty-path", &argv, "x"]);
        empty.is_complete();
        let row = empty.events.last().unwrap();
        assert_eq!(row["process"]["executable"]["path"], path.as_str());
        assert_eq!(args(row), empty.truth[0].args);
        assert!(row["exec"]["filename"].as_str().unwrap().starts_with("/dev/fd/"), "{row}");

        let folder = fixtures().to_str().unwrap();
        let at = trace(setup, &[], &[&execer, "at", folder, "argv", "x"]);
        at.is_complete().check_argv();
        assert_eq!(at.only("argv")["process"]["executable"]["path"], path.as_str());
    });
}

#[test]
fn files_without_a_name() {
    each_setup(|setup| {
        let execer = fixture("execer");
        let memfd = trace(setup, &[], &[&execer, "memfd", "evil", &fixture("argv"), "x"]);
        memfd.is_complete();
        let row = memfd.events.last().unwrap();
        assert_eq!(row["process"]["executable"]["path"], "memfd:evil", "{row}");
        assert_eq!(args(row), memfd.truth[0].args);

        let dir = TempDir::new();
        let copy = dir.path("copy");
        let deleted = trace(setup, &[], &[&execer, "deleted", &copy, &fixture("argv"), "x"]);
        deleted.is_complete();
        let row = deleted.events.last().unwrap();
        let expected = json!({ "path": copy, "deleted": true });
        assert_eq!(row["process"]["executable"], expected, "{row}");
        assert_eq!(args(row), deleted.truth[0].args);
    });
}

#[test]
fn between_64_and_32_bits() {
    if !runs_32_bit() {
        skip!(skip::NO_32_BIT);
    }
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&fixture("tiny32"), &fixture("argv"), "from 32"]);
        trace.is_complete().check_argv();
        let tiny = trace.only("tiny32");
        assert_eq!(args(tiny)[1..], [fixture("argv").into_bytes(), b"from 32".to_vec()]);
        assert_eq!(trace.only("argv")["process"]["command_args"][1], "from 32");
    });
}

#[test]
fn chains_of_scripts() {
    let dir = TempDir::new();
    let inner = dir.program("inner", format!("#!{} inner-flag\n", fixture("argv")).as_bytes());
    let outer = dir.program("outer", format!("#!{inner} outer-flag\n").as_bytes());
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&outer, "last"]);
        trace.is_complete();
        let row = trace.only("outer");
        assert_eq!(args(row), trace.truth[0].args);
        let argv = fixture("argv");
        let expected = json!([argv, "inner-flag", inner, "outer-flag", outer, "last"]);
        assert_eq!(row["process"]["command_args"], expected);
        assert_eq!(row["exec"], json!({ "filename": outer, "interpreter": argv }));
        assert_eq!(row["process"]["executable"]["path"], real_path("argv"));
    });
}

#[test]
fn programs_with_many_names() {
    // As busybox does: a program executes itself under another name.
    let command = [&fixture("execer"), "exec", "/proc/self/exe", "applet", "wait", "0"];
    each_setup(|setup| {
        let trace = trace(setup, &[], &command.map(|s| s as &str));
        trace.is_complete();
        let row = trace.events.last().unwrap();
        assert_eq!(row["process"]["command_args"], json!(["applet", "wait", "0"]));
        assert_eq!(row["exec"]["filename"], "/proc/self/exe");
        assert_eq!(row["process"]["executable"]["path"], real_path("execer"));
    });
}

#[test]
fn a_long_path() {
    let dir = TempDir::new();
    let deep = vec!["d".repeat(250); 12].join("/");
    fs::create_dir_all(dir.path(&deep)).unwrap();
    let program = dir.copy(&format!("{deep}/argv"), &fixture("argv"));
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&program, "x"]);
        trace.is_complete().check_argv();
        assert_eq!(trace.only("argv")["process"]["executable"], json!({ "path": program }));
        assert_eq!(trace.only("argv")["exec"]["filename"], program);
    });
}

#[test]
fn a_path_that_is_too_long_is_cut_and_says_so() {
    let dir = TempDir::new();
    let above = dir.0.to_str().unwrap();
    each_setup(|setup| {
        let command = [&fixture("execer"), "deep", above, "18", "prog", &fixture("argv")];
        let trace = trace(setup, &[], &command.map(|s| s as &str));
        let row = trace.is_complete().only("prog");
        let executable = &row["process"]["executable"];
        let path = executable["path"].as_str().unwrap();
        assert_eq!(executable["path_cut"], true);
        let end = format!("/{}/prog", "d".repeat(250));
        assert!(path.len() > 3800 && path.ends_with(&end), "{path}");
        assert_eq!(row["exec"]["filename"], "./prog");
    });
}

#[test]
fn across_mounts_and_in_a_chroot() {
    let dir = TempDir::new();
    let [mount, bind] = ["mount", "bind"].map(|name| dir.path(name));
    fs::create_dir(&mount).unwrap();
    fs::create_dir(&bind).unwrap();
    // In a mount namespace of its own: a file system on a folder, part of it on another.
    let script = format!(
        "mount -t tmpfs none {mount} && mkdir {mount}/sub && cp {} {mount}/sub/prog &&
         mount --bind {mount}/sub {bind} && {mount}/sub/prog && {bind}/prog && unset ARGV_OUT && chroot {mount} /sub/prog",
        fixture("argv")
    );
    each_setup(|setup| {
        let trace = trace(setup, &[], &["unshare", "-m", "/bin/sh", "-c", &script]);
        assert_eq!(trace.status, 0, "{trace:?}");
        let path = |row: &Value| row["process"]["executable"]["path"].as_str().unwrap().to_owned();
        let paths: Vec<_> = trace.is_complete().of("prog").into_iter().map(path).collect();
        // As seen from the namespace's root, also by what runs in a chroot.
        let inside = format!("{mount}/sub/prog");
        assert_eq!(paths, [inside.clone(), format!("{bind}/prog"), inside]);
    });
}

#[test]
fn programs_that_gain_privileges() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o755)).unwrap();
    let setuid = dir.copy("setuid", &fixture("argv"));
    fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).unwrap();
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&fixture("execer"), "user", "65534", &setuid]);
        let row = trace.is_complete().only("setuid");
        assert_eq!(row["exec"]["secure"], true, "{row}");
        assert_eq!(row["process"]["real_user"]["id"], 65534);
        assert_eq!(row["process"]["user"]["id"], 0);
    });
}

#[test]
fn in_a_new_pid_namespace() {
    each_setup(|setup| {
        let trace = trace(setup, &[], &[&fixture("execer"), "pidns", &fixture("argv")]);
        let row = trace.is_complete().only("argv");
        assert_eq!(trace.truth[0].pid, 1, "the program's own view");
        assert_eq!(row["process"]["vpid"], 1);
        assert_ne!(row["process"]["pid"], 1);
        assert_eq!(row["process"]["parent_pid"], trace.only("execer")["process"]["pid"]);
    });
}

#[test]
fn helpers_that_the_kernel_starts() {
    if !in_vm() {
        skip!(skip::OWN_MACHINE); // /proc/sys/kernel/core_pattern
    }
    fs::write("/proc/sys/kernel/core_pattern", format!("|{} %p", fixture("argv"))).unwrap();
    each_setup(|setup| {
        let mut running = start(&["--json", "--backend", setup.backend, "--comm", "argv"]);
        let crash = std::process::Command::new(fixture("execer")).arg("crash").status().unwrap();
        assert!(!crash.success());
        running.wait_for("helper", |row| row["process"]["comm"] == "argv");
        let trace = running.stop();
        let row = trace.only("argv");
        assert_eq!(row["exec"]["origin"], "kernel", "{row}");
    });
    fs::write("/proc/sys/kernel/core_pattern", "core").unwrap();
}

#[test]
fn the_clock_is_set_while_tracing() {
    if !in_vm() {
        skip!(skip::OWN_MACHINE); // the clock
    }
    let now = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME).unwrap();
    let step = |seconds| {
        let time = nix::sys::time::TimeSpec::new(now().tv_sec() + seconds, now().tv_nsec());
        nix::time::clock_settime(nix::time::ClockId::CLOCK_REALTIME, time).unwrap();
    };
    let mut running = start(&["--json", "--comm", "argv"]);
    let begun = std::time::Instant::now();
    for seconds in [86400, -86400] {
        run("argv", &[]);
        // Only then it has its time.
        running.wait_for("execution", |row| row["process"]["comm"] == "argv");
        step(seconds);
    }
    let most = 86400 + begun.elapsed().as_secs() as i64 + 1;
    let trace = running.stop();
    let times: Vec<jiff::Timestamp> =
        trace.events.iter().map(|e| e["timestamp"].as_str().unwrap().parse().unwrap()).collect();
    let apart = times[1].as_second() - times[0].as_second();
    assert!((86400..=most).contains(&apart), "{apart} s");
}
