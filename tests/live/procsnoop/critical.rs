//! The critical path of a real build with several jobs at once.

use std::process::Command;

use super::*;

/// `slow` goes on until `make` has waited for `fast`, whatever the machine does; `all` needs both.
const MAKEFILE: &str = "\
all: slow fast
\t@/bin/true last
slow:
\t@until [ -e fast.pid ] && ! kill -0 $$(cat fast.pid) 2>fast.gone; do sleep 0.01; done; /bin/true slow
fast:
\t@echo $$$$ >fast.new; mv fast.new fast.pid; /bin/true fast; :
";

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// Makes the tool follow `make -j2`, with these flags.
fn build(setup: Setup, flags: &[&str]) -> std::process::Output {
    let dir = TempDir::new();
    fs::write(dir.path("Makefile"), MAKEFILE).unwrap();
    let mut tool = PROCSNOOP.command(&setup.flags());
    tool.args(flags).args(["--", "make", "-s", "-j2", "-C", &dir.path(".")]);
    let output = tool.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", lossy(&output.stderr));
    output
}

fn has_make() -> bool {
    Command::new("make").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn of_a_build() {
    if !has_make() {
        skip!(skip::NO_MAKE);
    }
    each_backend(|setup| {
        let trace = parse(&build(setup, &["--json", "--critical-path"]));
        let name = |event: &&Value, name: &str| event["event"]["name"] == name;
        let path: Vec<_> =
            trace.events.iter().filter(|event| name(event, "process.critical_path")).collect();
        let command = |event: &Value| {
            event["process"]["command_line"].as_str().unwrap_or_default().to_owned()
        };
        let on_path =
            |part: &str| path.iter().filter(|event| command(event).contains(part)).count();
        assert!(command(path[0]).starts_with("make -s -j2 "), "{path:?}");
        assert_eq!(path[0]["critical_path"]["depth"], 0);
        assert_eq!(on_path("/bin/true last"), 1, "{path:?}");
        assert!(on_path("until [ -e fast.pid ]") + on_path("/bin/true slow") >= 1, "{path:?}");
        assert_eq!(on_path("/bin/true fast"), 0, "{path:?}");
        assert_eq!(path[0]["critical_path"]["unsure"], Value::Null, "nothing is lost");

        // Its sum is the time that the root took, and each moment is in one step.
        let exits = trace.events.iter().filter(|event| name(event, "process.exit"));
        let pid = &path[0]["process"]["pid"];
        let root = exits.clone().find(|event| event["process"]["pid"] == *pid).unwrap();
        let total = number(&root["process"]["duration_ns"]);
        let sum = |key: &str| {
            path.iter().filter_map(|event| event["critical_path"][key].as_u64()).sum::<u64>()
        };
        assert_eq!(sum("cpu_ns") + sum("other_ns"), total);
        let steps =
            path.iter().flat_map(|event| event["critical_path"]["steps"].as_array().unwrap());
        let mut steps: Vec<_> =
            steps.map(|step| (number(&step["start_ns"]), number(&step["duration_ns"]))).collect();
        steps.sort_unstable();
        let mut at = 0;
        for (start, duration) in steps {
            assert_eq!(start, at, "{path:?}");
            at += duration;
        }
        assert_eq!(at, total);
    });
}

#[test]
fn as_text() {
    if !has_make() {
        skip!(skip::NO_MAKE);
    }
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let output = build(setup, &["-q", "--critical-path"]);
    let text = lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("critical path: ") && lines[0].contains(" processes, "), "{text}");
    let heading: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(heading, ["PID", "START", "DURATION", "CPU", "CHILD", "OTHER", "PROCESS"]);
    assert!(lines[2].contains(" make -s -j2 ") && !text.contains("/bin/true fast"), "{text}");
    assert!(
        lines.last().unwrap().contains(" true last") || text.contains("/bin/true last"),
        "{text}"
    );
    assert!(!lossy(&output.stderr).contains("unsure"), "{}", lossy(&output.stderr));
}

#[test]
fn a_loss_makes_it_unsure() {
    // The buffer is too small for what comes while nobody reads.
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let mut tool = PROCSNOOP.command(&setup.flags());
    tool.args(["-q", "--critical-path", "--buffer-size", "16K", "--"]);
    let script = "kill -STOP $PPID; i=0; while [ $i -lt 500 ]; do /bin/true $i; i=$((i+1)); done; kill -CONT $PPID";
    let output = tool.args(["sh", "-c", script]).output().unwrap();
    let stderr = lossy(&output.stderr);
    assert!(stderr.contains("the critical path is unsure: "), "{stderr}");
}
