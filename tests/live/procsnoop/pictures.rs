//! What is drawn at the end has all processes in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

/// The column of the tree, and the characters before the tree itself.
const STATUS: usize = 5;
const BEFORE_TREE: usize = 8 + 4 * 10 + 13;

#[test]
fn tree_plot_and_trace() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let (svg, json) = (dir.path("plot.svg"), dir.path("trace.json"));
        let binary = dir.path("trace.pftrace");
        let script = format!("{} nested 5; sh -c 'kill -KILL $$'; exit 3", fixture("lives"));
        let mut tool = PROCSNOOP.command(&setup.flags());
        tool.args(["-q", "--tree-view", "--plot", &svg]);
        tool.args(["--chrome-trace", &json, "--perfetto", &binary]);
        let output = tool.args(["--", "sh", "-c", &script]).output().unwrap();
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.ends_with("procsnoop: 8 processes, 0 lost\n"), "{stderr}");

        // sh, lives and its 5, sh
        let text = lossy(&output.stdout);
        assert_eq!(text.lines().count(), 1 + 8, "{text}");
        let statuses: Vec<_> =
            text.lines().skip(1).map(|line| line.split_whitespace().nth(STATUS).unwrap()).collect();
        assert_eq!(statuses, ["3", "0", "1", "2", "3", "4", "5", "SIGKILL"], "{text}");
        assert!(text.lines().nth(7).unwrap().contains(" │         └ "), "nested: {text}");

        let svg = fs::read_to_string(svg).unwrap();
        assert_eq!(svg.matches("<title>").count(), 8);
        assert!(svg.contains("SIGKILL") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(">critical path: ") && !svg.contains(">unsure: "), "{svg}");

        let trace: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        let slices: Vec<_> =
            trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X").collect();
        assert_eq!(slices.len(), 8);
        let status = |slice: &Value| slice["args"]["status"].as_str().unwrap().to_owned();
        assert_eq!(slices.iter().filter(|slice| status(slice) == "SIGKILL").count(), 1);
        let root = slices[0];
        for slice in &slices[1..] {
            let end =
                |slice: &Value| slice["ts"].as_f64().unwrap() + slice["dur"].as_f64().unwrap();
            assert!(end(slice) <= end(root) + 1.0, "{slice}");
        }
        // The binary one begins with a packet; what is in it is for unit tests.
        let binary = fs::read(binary).unwrap();
        assert!(binary.len() > 1000 && binary[0] == 0x0a, "{} bytes", binary.len());
    });
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let mut tool = PROCSNOOP.command(&setup.flags());
    let output = tool.args(["-q", "--plot", "/dev/full", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(lossy(&output.stderr).contains("cannot write /dev/full"), "{output:?}");
}

#[test]
fn no_file_is_touched_where_nothing_can_be_traced() {
    let dir = TempDir::new();
    let (old, new) = (dir.path("old"), dir.path("new"));
    fs::write(&old, "keep").unwrap();
    let pictures = ["--plot", &old, "--perfetto", &new];
    // An unknown backend; a user without privileges.
    let mut refused = PROCSNOOP.command(&["--backend", "foo"]);
    assert_eq!(refused.args(pictures).output().unwrap().status.code(), Some(2));
    let mut other = Command::new(fixture("execer"));
    other.args(["user", "65534"]).arg(PROCSNOOP.path()).args(["--plot", &new]);
    assert_ne!(other.output().unwrap().status.code(), Some(0));
    assert_eq!(fs::read_to_string(&old).unwrap(), "keep");
    assert!(!std::path::Path::new(&new).exists());
}

/// A shell that says so when it has come to a `read`, and goes on when it is told to.
struct Shell {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn new(script: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the end of its input is the end of it
        let _ = self.child.wait();
    }
}

/// The tool with `flags`, in the background, while `shell` does what it does next.
fn tree_while(setup: Setup, flags: &[&str], shell: &mut Shell, word: &str) -> String {
    let mut tool = PROCSNOOP.command(&setup.flags());
    tool.args(["-q", "-v", "--tree-view"]).args(flags);
    let running = Running::spawn_silent(tool);
    // What it has from /proc comes behind what it says there.
    running.settle();
    shell.go_on();
    shell.wait_for(word);
    running.signal(libc::SIGINT);
    running.finish().0.concat()
}

const OLDER: &str =
    "sh -c 'echo inner; read x; /bin/true one; exit 3'; /bin/true two; echo outer; read x";

#[test]
fn older_ones_are_in_the_tree() {
    each_backend(|setup| {
        let mut shell = Shell::new(OLDER);
        shell.wait_for("inner");
        let root = shell.child.id().to_string();
        let text = tree_while(setup, &["--tree", &root], &mut shell, "outer");
        let rows: Vec<_> = text.lines().skip(1).collect();
        let column = |row: &str| row.chars().skip(BEFORE_TREE).collect::<String>();
        let status = |row: &&str| row.split_whitespace().nth(STATUS).unwrap().to_owned();
        let statuses: Vec<_> = rows.iter().map(status).collect();
        assert_eq!(statuses, ["running", "3", "0", "0"], "{text}");
        let begins = ["/bin/sh -c ", "├ sh -c ", "│ └ /bin/true one", "└ /bin/true two"];
        for (row, begin) in rows.iter().zip(begins) {
            assert!(column(row).starts_with(begin), "{begin}: {text}");
        }
    });
}

#[test]
fn so_are_ancestors_of_what_is_seen() {
    each_backend(|setup| {
        let mut shell = Shell::new("echo there; read x; /bin/true seen; echo done; read x");
        shell.wait_for("there");
        let text = tree_while(setup, &[], &mut shell, "done");
        let rows: Vec<&str> = text.lines().collect();
        let at = rows.iter().position(|row| row.ends_with(" /bin/true seen")).unwrap();
        let level = |row: &str| row.find("/bin/").unwrap();
        let parent = rows[..at]
            .iter()
            .rev()
            .find(|row| row.contains("/bin/sh -c ") && row.contains("echo there"));
        let parent = parent.unwrap_or_else(|| panic!("{text}"));
        assert!(parent.contains("running") && level(parent) < level(rows[at]), "{text}");
        assert!(
            rows[1].contains(" running ") && !rows[1].contains('└'),
            "the first of all: {text}"
        );
    });
}

#[test]
fn what_does_nothing_is_drawn_too() {
    let setup = Setup { backend: backends()[0], buffer: "ring" };
    let dir = TempDir::new();
    let svg = dir.path("plot.svg");
    let mut idle = Shell::new("echo there; read x");
    idle.wait_for("there");
    for filter in ["--tree", "--pid"] {
        let mut tool = PROCSNOOP.command(&setup.flags());
        tool.args([filter, &idle.child.id().to_string(), "-q", "--plot", &svg]);
        assert!(tool.args(["--duration", "0.1"]).output().unwrap().status.success());
        let svg = fs::read_to_string(&svg).unwrap();
        assert_eq!(svg.matches("<title>").count(), 1, "{svg}");
        assert!(svg.contains(">1 process, ") && svg.contains("still there: 1"), "{svg}");
    }
}

#[test]
fn older_ones_in_a_pid_namespace() {
    each_backend(|setup| {
        let dir = TempDir::new();
        let (fifo, tool) = (dir.path("fifo"), PROCSNOOP.path());
        let flags = setup.flags().join(" ");
        let script = format!(
            "mount -t proc proc /proc; mkfifo {fifo}
             sh -c 'read x <{fifo}; /bin/true one; exit 3' &
             {} {flags} -q --tree-view --tree $! -- \
                 sh -c \"echo >{fifo}; until grep -qs ') Z' /proc/$!/stat || ! [ -e /proc/$! ]; do sleep 0.02; done\"",
            tool.display()
        );
        let unshare = ["--pid", "--fork", "--mount", "sh", "-c", &script];
        let output = Command::new("unshare").args(unshare).output().unwrap();
        let text = lossy(&output.stdout);
        let rows: Vec<_> = text.lines().collect();
        let at = rows.iter().position(|row| row.ends_with("└ /bin/true one"));
        let at = at.unwrap_or_else(|| panic!("{text}\n{}", lossy(&output.stderr)));
        let parent = rows[at - 1];
        assert!(parent.contains(" sh -c 'read x <"), "{text}");
        assert_eq!(parent.split_whitespace().nth(STATUS), Some("3"), "{text}");
    });
}
