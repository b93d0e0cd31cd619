//! `--login` where people log in and become others: su, sudo, script, a real sshd.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::context::{Facts, row_of};
use crate::harness::*;
use crate::skip::{self, skip};

const EXECSNOOP: Tool = Tool("execsnoop");

/// The name of a process that has written the facts about itself: only its row is looked at, so
/// that none is lost in the storms of other tests.
const DONE: &str = "logged-in";
const FLAGS: [&str; 5] = ["--json", "--login", "--ancestors", "--comm", DONE];

/// A folder that anybody may write to, with the fixtures that are needed.
struct Place {
    dir: TempDir,
    origin: String,
    done: String,
    facts: String,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new();
        fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o777)).unwrap();
        let origin = dir.copy("origin", &fixture("origin"));
        let done = dir.copy(DONE, &fixture("argv"));
        let facts = dir.path("facts");
        Self { dir, origin, done, facts }
    }

    /// A shell command that writes the facts about a process, which then is called [`DONE`].
    fn command(&self) -> String {
        format!("exec {} facts {} {}", self.origin, self.facts, self.done)
    }

    /// Runs `command` while execsnoop looks; the row of the process with the facts.
    fn see(&self, command: &mut Command) -> (Value, Facts) {
        let running = EXECSNOOP.start(&FLAGS);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", lossy(&output.stderr));
        running.settle();
        let trace = running.stop();
        let facts = Facts::read(&self.facts);
        (row_of(&trace, &facts).clone(), facts)
    }
}

fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|output| output.status.success())
}

/// What the row says is what the process itself has found.
fn assert_same(row: &Value, facts: &Facts) {
    let process = &row["process"];
    for (seen, key) in [
        (&process["login_user"]["id"], "loginuid"),
        (&process["audit_session"]["id"], "sessionid"),
        (&process["group_leader"]["pid"], "pgrp"),
        (&process["real_group"]["id"], "gid"),
        (&process["group"]["id"], "egid"),
    ] {
        assert_eq!(seen.as_i64(), facts.number(key), "{key}: {row}");
    }
    assert_eq!(process["session_leader"]["pid"].as_i64(), facts.session(), "{row}");
    let tty = facts.number("tty").filter(|tty| *tty != 0);
    let tty = tty.map(|tty| format!("pts/{}", tty & 0xff | (tty >> 12) & 0xfff00));
    assert_eq!(process["tty"]["name"].as_str(), tty.as_deref(), "{row}");
    assert_eq!(process["interactive"], tty.is_some(), "{row}");
}

#[test]
fn su_and_sudo_do_not_hide_the_login() {
    if !std::path::Path::new("/proc/self/loginuid").exists() {
        skip!(skip::NO_AUDIT);
    }
    for program in ["su", "sudo"] {
        if !has(program) {
            skip!(skip::NO_SUDO);
        }
        let place = Place::new();
        let command = place.command();
        let words: &[&str] = match program {
            "su" => &["su", "-s", "/bin/sh", "nobody", "-c", &command],
            _ => &["sudo", "-n", "-u", "nobody", "/bin/sh", "-c", &command],
        };
        let script = format!("exec {} login 4321 /bin/sh -c 'exec \"$@\"' x \"$@\"", place.origin);
        let mut run = Command::new("/bin/sh");
        run.args(["-c", &script, "x"]).args(words);
        let (row, facts) = place.see(&mut run);
        assert_eq!(facts.number("loginuid"), Some(4321), "{program}");
        assert_same(&row, &facts);
        assert_eq!(row["process"]["user"]["name"], "nobody", "{program}: {row}");
        assert_eq!(row["process"]["real_user"]["name"], "nobody", "{program}: {row}");
        let chain = row["process"]["ancestors"].as_array().unwrap();
        assert!(chain.iter().any(|one| one["comm"] == program), "{row}");
    }
}

#[test]
fn script_has_a_terminal_of_its_own() {
    if !has("script") {
        skip!(skip::NO_SUDO);
    }
    let place = Place::new();
    let mut run = Command::new("script");
    run.args(["-qec", &place.command(), "/dev/null"]);
    let (row, facts) = place.see(&mut run);
    assert_ne!(facts.number("tty"), Some(0));
    assert_same(&row, &facts);
}

/// cron with one job, in each minute; its files are not the machine's.
const CRON: &str = "
    mount -t tmpfs none /etc/cron.d && mount -t tmpfs none /var/spool/cron &&
    mount -t tmpfs none /run && mount --bind /dev/null /etc/crontab &&
    mkdir -m 700 /var/spool/cron/crontabs && printf '%s\\n' \"$1\" >/etc/cron.d/job &&
    chmod 644 /etc/cron.d/job && exec cron -f";

/// The most seconds until a job begins, and a few for slow machines.
const CRON_SECONDS: u64 = 60 + 30;

/// Whoever has a job is logged in by cron, without a terminal.
#[test]
fn a_job_of_cron() {
    if !has("cron") {
        skip!(skip::NO_CRON);
    }
    let place = Place::new();
    let running = EXECSNOOP.start(&FLAGS);
    let job = format!("* * * * * nobody {}", place.command());
    let mut cron = Command::new("unshare");
    cron.args(["--mount", "/bin/sh", "-ec", CRON, "x", &job]).stdin(Stdio::null());
    let mut cron = cron.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(CRON_SECONDS);
    // Its last fact stands in a line that ends.
    let is_done = || fs::read(&place.facts).is_ok_and(|facts| facts.ends_with(b"\n"));
    while !is_done() {
        assert!(Instant::now() < until && cron.try_wait().unwrap().is_none(), "no job");
        std::thread::sleep(Duration::from_millis(100));
    }
    running.settle();
    let trace = running.stop();
    let _ = cron.kill();
    let _ = cron.wait();
    let facts = Facts::read(&place.facts);
    let row = row_of(&trace, &facts);
    assert_same(row, &facts);
    assert_eq!(row["process"]["real_user"]["name"], "nobody", "{row}");
    assert_eq!(row["process"]["interactive"], false, "{row}");
    if facts.number("loginuid").is_some() {
        assert_eq!(row["process"]["login_user"]["name"], "nobody", "{row}");
    }
    let chain = row["process"]["ancestors"].as_array().unwrap();
    assert!(chain.iter().any(|one| one["comm"] == "cron"), "{row}");
}

/// A server that lets root in with one key.
struct Sshd {
    child: Child,
    port: u16,
    key: String,
}

impl Sshd {
    fn start(dir: &TempDir) -> Self {
        for key in ["host", "key"] {
            let words = ["-q", "-t", "ed25519", "-N", "", "-f", &dir.path(key)];
            assert!(Command::new("ssh-keygen").args(words).status().unwrap().success());
        }
        // Others may write to the folder, which a strict server would refuse.
        fs::copy(dir.path("key.pub"), dir.path("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::create_dir_all("/run/sshd").unwrap();
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
             PidFile none\nUsePAM yes\nPermitRootLogin yes\n",
            dir.path("host"),
            dir.path("authorized")
        );
        fs::write(dir.path("sshd_config"), settings).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        let sshd = sshd.args(["-D", "-e", "-f", &dir.path("sshd_config")]);
        let child = sshd.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("sshd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port, key: dir.path("key") }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_login_by_ssh() {
    if !std::path::Path::new("/usr/sbin/sshd").exists() || !has("ssh") {
        skip!(skip::NO_SSHD);
    }
    let place = Place::new();
    let sshd = Sshd::start(&place.dir);
    let port = sshd.port.to_string();
    let mut ssh = Command::new("ssh");
    ssh.args(["-tt", "-F", "none", "-i", &sshd.key, "-p", &port, "-o", "BatchMode=yes"]);
    ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    ssh.args(["root@127.0.0.1", &place.command()]);
    let (row, facts) = place.see(&mut ssh);
    assert_ne!(facts.number("tty"), Some(0));
    assert_same(&row, &facts);
    if facts.number("loginuid").is_some() {
        assert_eq!(row["process"]["login_user"]["name"], "root", "{row}");
    }
    let leader = &row["process"]["session_leader"];
    assert!(leader["creation"]["time"].is_string(), "{row}");
    let chain = row["process"]["ancestors"].as_array().unwrap();
    let comm = |one: &Value| one["comm"].as_str().unwrap_or_default().to_owned();
    assert!(chain.iter().any(|one| comm(one).starts_with("sshd")), "{row}");
}
