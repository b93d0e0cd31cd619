//! Stacks by numbers in maps and in events, with the names of their functions.

use nix::sys::stat::Mode;

use super::*;

/// The functions of the fixture, innermost first.
const FUNCTIONS: [&str; 3] = ["inner_function", "outer_function", "mode_stack"];

/// Runs the fixture until bpfrun has ended, since names are looked up while it lives.
fn with_mapper<R>(flags: &[&str], run: impl FnOnce(Running, &dyn Fn()) -> R) -> R {
    let dir = TempDir::new();
    let fifo = dir.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    let tool = BPFRUN.start(flags);
    let mut mapper = std::process::Command::new(fixture("mapper")).args(["stack", &fifo]).spawn();
    let result = run(tool, &|| {
        // It has made its call when it opens the file.
        drop(std::fs::File::options().write(true).open(&fifo).unwrap());
    });
    mapper.as_mut().unwrap().wait().unwrap();
    result
}

fn names(record: &Value, key: &str) -> Vec<String> {
    let names = record["stack"][key].as_array().unwrap_or_else(|| panic!("{record}"));
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn check(object: &str) {
    let _alone = alone();
    with_mapper(&["--json", "--maps", object], |mut tool, release| {
        let is_event = |record: &Value| record["event"]["name"] == "bpf.event";
        let event = tool.wait_for("event", is_event);
        let trace = tool.stop();
        release();
        assert_eq!(names(&event, "user")[..3], FUNCTIONS, "{event}");
        assert!(names(&event, "kernel").is_empty(), "{event}");
        let maps = named(&trace, "bpf.map");
        let count = maps.iter().find(|record| record["bpf"]["map"] == "counts").unwrap();
        assert_eq!(count["value"], 1, "{count}");
        assert_eq!(names(count, "user")[..3], FUNCTIONS, "{count}");
        assert_eq!(count["key"]["name"], "mapper", "{count}");
    });
}

#[test]
fn stacks_have_names() {
    check(&object("stacks"));
}

#[test]
fn frames_are_below_the_row() {
    let _alone = alone();
    let dir = TempDir::new();
    let fifo = dir.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    let command = [&fixture("mapper"), "stack", &fifo];
    let mut tool = BPFRUN.start(&[&[&object("stacks"), "--"][..], &command].concat());
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("mode_stack")) {
        let line = tool.line();
        assert!(!line.is_empty(), "{lines:?}");
        lines.push(line);
    }
    std::fs::write(&fifo, "").unwrap();
    assert_eq!(tool.finish().2, 0);
    let row = lines.iter().position(|line| line.contains("comm=mapper")).unwrap();
    assert!(!lines[row].contains("ustack="), "names are shown instead: {lines:?}");
    let below: Vec<_> = lines[row + 1..].iter().map(|line| line.trim()).collect();
    assert_eq!(below[..3], FUNCTIONS, "{lines:?}");
}

#[test]
fn folded_stacks_are_one_line_each() {
    let _alone = alone();
    let dir = TempDir::new();
    let fifo = dir.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRWXU).unwrap();
    let mut tool = BPFRUN.command(&["--folded", &object("stacks")]);
    tool.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = tool.spawn().unwrap();
    wait_for_links(child.id(), 1);
    let mapper = std::process::Command::new(fixture("mapper")).args(["stack", &fifo]).spawn();
    // It opens the file after its call.
    let release = std::fs::File::options().write(true).open(&fifo).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(release);
    mapper.unwrap().wait().unwrap();
    let stdout = lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", lossy(&output.stderr));
    // One by the map, and one of the event, which has no stack of the kernel.
    let ours: Vec<_> = stdout.lines().filter(|line| line.starts_with("mapper;")).collect();
    let outer_first = ";mode_stack;outer_function;inner_function";
    // The first names may take longer than the tool has patience, on a slow machine.
    let is_late = |line: &&str| line.contains(";(names not looked up in time);");
    let (late, named): (Vec<&str>, Vec<&str>) = ours.iter().partition(|line| is_late(line));
    assert!(!named.is_empty() && named.iter().all(|line| line.contains(outer_first)), "{stdout}");
    assert!(late.len() < 2, "{stdout}");
    let count = |line: &str| line.rsplit_once(' ').and_then(|(_, count)| count.parse::<u64>().ok());
    let total: Option<u64> = ours.iter().map(|line| count(line)).sum();
    assert_eq!(total, Some(2), "{stdout}");
    assert!(stdout.lines().all(|line| count(line).is_some()), "nothing else: {stdout}");
}

#[test]
fn nothing_to_fold_is_an_error() {
    let output = BPFRUN.command(&["--folded", &object("burst")]).output().unwrap();
    let stderr = lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("neither events nor keys of maps have stacks"), "{stderr}");
}
