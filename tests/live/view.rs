//! `--live`: the full-screen view, in a real terminal: tmux. Each test waits for what appears on the
//! screen, however long that takes.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::*;
use crate::skip::{self, skip};

/// A terminal with a tool in it.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs this shell command on a screen of this size, in the folder for temporary files.
    fn start(name: &str, size: (u16, u16), command: &str) -> Self {
        let socket = format!("snoop-{}-{name}", std::process::id());
        let terminal = Self { socket };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        // The shell stays, so that the screen after the tool can be seen.
        let script = format!(
            "cd {}; PS1='PROMPT '; {command}; echo status $?",
            std::env::temp_dir().display()
        );
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            "sh",
            "-i",
        ]);
        terminal.tmux(&["send-keys", "-l", &script]);
        terminal.keys(&["Enter"]);
        terminal
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.socket]).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", lossy(&output.stderr));
        lossy(&output.stdout)
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is so.
    fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < until, "no {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    fn wait_without(&self, text: &str) -> String {
        self.wait(&format!("screen without {text}"), |screen| !screen.contains(text))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

/// Whether the screen is that of the shell again.
fn is_given_back(screen: &str) -> bool {
    screen.contains("status ") && !screen.contains("sort: ")
}

fn has_tmux() -> bool {
    Command::new("tmux").arg("-V").output().is_ok()
}

/// A recording of a small tree of processes, and its file.
fn recording(name: &str) -> std::path::PathBuf {
    recording_with(&[], name)
}

/// The same with more flags.
fn recording_with(flags: &[&str], name: &str) -> std::path::PathBuf {
    let script = "/bin/true x1; sh -c 'kill -9 $$; : x2'; sh -c 'exit 3; : x3'; /bin/sleep 0.01";
    let tool = Tool("procsnoop");
    let words = [flags, &["--fork", "--json", "--", "sh", "-c", script]].concat();
    let output = tool.command(&words).output().unwrap();
    let path = std::env::temp_dir().join(format!("snoop-{}-{name}.json", std::process::id()));
    fs::write(&path, &output.stdout).unwrap();
    path
}

#[test]
fn each_key_of_the_view() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    let file = recording("keys");
    let tool = Tool("procsnoop").path();
    let command = format!("{} --live --from {}", tool.display(), file.display());
    let terminal = Terminal::start("keys", (120, 24), &command);
    let first = terminal.wait_for("/bin/true x1");
    assert!(first.contains("procsnoop") && first.contains("recorded"), "{first}");
    assert!(first.contains("SIGKILL") && first.contains("# SIGKILL from itself"), "{first}");
    assert!(first.contains("├ ") && first.contains("sort: tree"), "{first}");

    terminal.keys(&["?"]);
    terminal.wait_for("all that is known of the selected one");
    terminal.keys(&["Escape"]);
    terminal.wait_without("all that is known of the selected one");

    for order in ["age", "CPU", "failures", "command", "tree"] {
        terminal.keys(&["s"]);
        terminal.wait_for(&format!("sort: {order}"));
    }

    terminal.keys(&["/"]);
    terminal.keys(&["-l", "x1"]);
    terminal.wait_for("/x1_");
    terminal.wait_without("SIGKILL");
    terminal.keys(&["Enter"]);
    terminal.wait_for("/x1  sort");
    terminal.keys(&["Escape"]);
    terminal.wait_for("SIGKILL");

    // The first row, with the whole tree below it.
    terminal.keys(&["Home"]);
    terminal.keys(&["Space"]);
    terminal.wait_for("+ sh -c");
    terminal.wait_without("SIGKILL ");
    terminal.keys(&["Space"]);
    terminal.wait_for("SIGKILL ");

    terminal.keys(&["Down"]);
    terminal.keys(&["f"]);
    terminal.wait_for("FOLLOWING");
    terminal.wait_without("SIGKILL ");
    terminal.keys(&["Escape"]);
    terminal.wait_without("FOLLOWING");

    terminal.keys(&["p"]);
    terminal.wait_for("PAUSED");
    terminal.keys(&["p"]);
    terminal.wait_without("PAUSED");

    terminal.keys(&["Enter"]);
    let details = terminal.wait_for("environment");
    assert!(details.contains("argument 0") && details.contains("below"), "{details}");
    terminal.keys(&["Escape"]);
    terminal.wait_without("environment");

    terminal.keys(&["a"]);
    terminal.keys(&["w"]);
    let screen = terminal.wait_for("rows written to procsnoop-");
    let name = screen.split("rows written to ").nth(1).unwrap().split_whitespace().next().unwrap();
    let written = std::env::temp_dir().join(name);
    let text = fs::read_to_string(&written).unwrap();
    assert!(text.contains("SIGKILL") && text.contains("COMMAND"), "{text}");
    fs::remove_file(written).unwrap();

    terminal.keys(&["q"]);
    terminal.wait("the shell", is_given_back);
    terminal.wait_for("events, 0 lost");
    fs::remove_file(file).unwrap();
}

#[test]
fn the_terminal_is_given_back() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    let file = recording("ends");
    let tool = Tool("procsnoop").path();
    let command = format!("{} --live --from {}", tool.display(), file.display());
    let pids = || {
        let output = Command::new("pgrep").args(["-f", &format!("^{command}")]).output().unwrap();
        lossy(&output.stdout)
            .split_whitespace()
            .map(|pid| pid.parse::<i32>().unwrap())
            .collect::<Vec<_>>()
    };
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let terminal = Terminal::start(&format!("ends-{signal}"), (80, 24), &command);
        terminal.wait_for("sort: tree");
        for pid in pids() {
            // SAFETY: has no memory arguments.
            unsafe { libc::kill(pid, signal) };
        }
        terminal.wait("the shell", is_given_back);
        terminal.keys(&["-l", "echo typed"]);
        terminal.keys(&["Enter"]);
        terminal.wait("an echo", |screen| screen.matches("typed").count() >= 2);
    }
    // Ctrl-Z and fg; Ctrl-C.
    let terminal = Terminal::start("stop", (80, 24), &command);
    terminal.wait_for("sort: tree");
    terminal.keys(&["C-z"]);
    terminal.wait("the shell", |screen| !screen.contains("sort: tree"));
    terminal.keys(&["-l", "fg"]);
    terminal.keys(&["Enter"]);
    terminal.wait_for("sort: tree");
    // Another size.
    terminal.tmux(&["resize-window", "-x", "60", "-y", "10"]);
    let small = terminal.wait("ten lines", |screen| {
        screen.contains("sort: tree") && screen.trim_end().lines().count() == 10
    });
    assert!(
        small.contains("COMMAND") && small.lines().all(|line| line.chars().count() <= 60),
        "{small}"
    );
    terminal.keys(&["C-c"]);
    terminal.wait("the shell", |screen| screen.contains("lost") && !screen.contains("sort: "));
    fs::remove_file(file).unwrap();
}

#[test]
fn what_happens_is_seen() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    for (tool, failure) in [("procsnoop", "3"), ("execsnoop", "ENOENT")] {
        let flags = if tool == "execsnoop" { "-x" } else { "" };
        let command = format!("{} --live {flags}", Tool(tool).path().display());
        let terminal = Terminal::start(tool, (100, 30), &command);
        terminal.wait_for("sort: tree");
        let script = "exec env -i /bin/sh -c ': x4; /bin/nosuch x4; exit 3'";
        let status =
            Command::new("sh").args(["-c", script]).stderr(std::process::Stdio::null()).status();
        assert!(!status.unwrap().success());
        terminal.keys(&["/"]);
        terminal.keys(&["-l", "x4"]);
        terminal.keys(&["Enter"]);
        terminal.wait_for(": x4;");
        terminal.wait(failure, |screen| {
            screen.lines().any(|line| line.contains(failure) && line.contains("x4"))
        });
        if tool == "execsnoop" {
            // Why it failed has room beside any command.
            let script = std::env::temp_dir().join(format!("snoop-{}-x4.sh", std::process::id()));
            fs::write(&script, "#!/no/interpreter\n").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&script, mode).unwrap();
            assert!(Command::new(&script).arg("long ".repeat(50)).status().is_err());
            terminal.wait_for("…  # missing interpreter=/no/interpreter");
            fs::remove_file(&script).unwrap();
        }
        // A name that would clear the screen.
        let wild = std::env::temp_dir().join(format!("snoop-{}-\u{1b}[2J", std::process::id()));
        fs::copy("/bin/true", &wild).unwrap();
        assert!(Command::new(&wild).arg("x4").status().unwrap().success());
        fs::remove_file(&wild).unwrap();
        terminal.wait_for(r"\033[2J");
        terminal.keys(&["q"]);
        terminal.wait("the shell", is_given_back);
    }
}

/// A process that waits until it is dropped, in a folder and with a variable of its own. Its command has
/// `word` in it.
struct Waiting(std::process::Child);

impl Waiting {
    fn start(word: &str) -> Self {
        let script = format!("read x; : {word}");
        let mut command = Command::new("env");
        let command =
            command.args(["-i", "PLACE=known", "TOKEN=hunter2", "/bin/sh", "-c", &script]);
        Self(command.current_dir("/proc").stdin(std::process::Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn the_page_looks_where_a_process_runs() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    // One that is older than the tool, and one that begins now.
    for tool in ["procsnoop", "execsnoop"] {
        let older = (tool == "procsnoop").then(|| Waiting::start("place5"));
        let command = format!("{} --live --redact", Tool(tool).path().display());
        let terminal = Terminal::start(&format!("place-{tool}"), (100, 40), &command);
        terminal.wait_for("sort: tree");
        let waiting = older.unwrap_or_else(|| Waiting::start("place5"));
        terminal.keys(&["/"]);
        // In parts, so that no command that types has all of it.
        terminal.keys(&["-l", "read x; : pla"]);
        terminal.keys(&["-l", "ce5"]);
        terminal.keys(&["Enter"]);
        terminal.wait("its row", |screen| {
            screen.lines().any(|line| line.contains("running") && line.contains("read x"))
        });
        terminal.keys(&["Home"]);
        terminal.keys(&["End"]);
        terminal.keys(&["Enter"]);
        let page = terminal.wait_for("PLACE=known");
        let pid = waiting.0.id();
        assert!(
            page.contains(&format!(" process  {pid}, parent {}", std::process::id())),
            "{page}"
        );
        assert!(page.contains("directory  /proc\n") && page.contains(" user  "), "{page}");
        assert!(page.contains("TOKEN=REDACTED") && !page.contains("hunter2"), "{page}");
        assert!(page.contains(&format!(" below  {} ", std::process::id())), "{page}");
        terminal.keys(&["q"]);
        terminal.wait("the shell", is_given_back);
    }
}

#[test]
fn processes_above_are_as_they_were() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    let file = recording_with(&["--ancestors", "--login"], "above");
    let tool = Tool("procsnoop").path();
    let command =
        format!("{} --live --ancestors --login --from {}", tool.display(), file.display());
    let terminal = Terminal::start("above", (100, 30), &command);
    terminal.wait_for("/bin/true x1");
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "/bin/true x1"]);
    terminal.keys(&["Enter"]);
    terminal.keys(&["Home"]);
    terminal.keys(&["End"]);
    terminal.keys(&["Enter"]);
    let page = terminal.wait_for("argument 1  x1");
    assert!(
        page.contains("below") && page.contains(&format!("{} [live", std::process::id())),
        "{page}"
    );
    assert!(page.lines().any(|line| line.trim_start().starts_with("1 [")), "{page}");
    assert!(page.contains("       login  "), "{page}");
    terminal.keys(&["q"]);
    terminal.wait("the shell", is_given_back);
    fs::remove_file(file).unwrap();
}

#[test]
fn a_recording_is_filtered_in_the_view() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    let file = recording("filtered");
    let tool = Tool("procsnoop").path();
    let command = format!("{} --live --comm true --from {}", tool.display(), file.display());
    let terminal = Terminal::start("filtered", (100, 24), &command);
    let screen = terminal.wait_for("/bin/true x1");
    assert!(!screen.contains("SIGKILL") && !screen.contains("sleep"), "{screen}");
    terminal.keys(&["q"]);
    terminal.wait("the shell", is_given_back);
    fs::remove_file(file).unwrap();
}

#[test]
fn what_runs_is_sorted_by_cpu_too() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    let command = format!("{} --live", Tool("procsnoop").path().display());
    let terminal = Terminal::start("cpu", (100, 30), &command);
    terminal.wait_for("sort: tree");
    let script = "while :; do :; done; : burn6";
    let mut burning = Command::new("sh").args(["-c", script]).spawn().unwrap();
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "burn6"]);
    terminal.keys(&["Enter"]);
    terminal.keys(&["s"]);
    terminal.keys(&["s"]);
    // It runs, and is above what has ended: the command that types this.
    terminal.wait("it on top", |screen| {
        let mut rows =
            screen.lines().filter(|line| line.contains("burn6") && !line.starts_with('/'));
        rows.next().is_some_and(|line| line.contains("running") && line.contains("while :"))
            && rows.next().is_some_and(|line| line.contains("send-keys"))
    });
    burning.kill().unwrap();
    burning.wait().unwrap();
    terminal.keys(&["q"]);
    terminal.wait("the shell", is_given_back);
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    if !has_tmux() {
        skip!(skip::NO_TMUX);
    }
    let file = recording("gone");
    let folder = std::env::temp_dir();
    let number = folder.join(format!("snoop-{}-gone.pid", std::process::id()));
    let tool = Tool("procsnoop").path();
    // SIGHUP is ignored, so that nothing but the terminal's end tells of it.
    let command = format!(
        "trap '' HUP; sh -c 'echo $$ >{}; exec {} --live --from {}'",
        number.display(),
        tool.display(),
        file.display()
    );
    let terminal = Terminal::start("gone", (100, 20), &command);
    terminal.wait_for("sort: ");
    let pid: u32 = fs::read_to_string(&number).unwrap().trim().parse().unwrap();
    let lives = || {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "procsnoop"
    };
    assert!(lives());
    drop(terminal);
    let until = Instant::now() + Duration::from_secs(60);
    while lives() {
        assert!(Instant::now() < until, "it is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    [file, number].iter().for_each(|path| fs::remove_file(path).unwrap());
}
