//! Runs a tool as a user would, with a watch on the time.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use super::modes::Mode;

/// A tool that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(200);

/// How a tool ended.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    /// `None`: it was killed
    pub status: Option<i32>,
    /// What happened meanwhile; null if it did not even start
    pub truth: Value,
}

/// Its records.
#[derive(Debug)]
pub struct Trace {
    pub start: Value,
    pub events: Vec<Value>,
    pub end: Value,
}

/// Kills a process if it is not told in time that it has ended.
fn watch(child: &Child) -> Sender<()> {
    let pid = child.id() as i32;
    let (ended, waits) = channel();
    std::thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // SAFETY: a child of ours that was not waited for yet.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    });
    ended
}

/// Runs `command` to its end, which `work` leads to when there has been a first line.
fn run(command: &mut Command, work: impl FnOnce(&Child) -> Value) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let ended = watch(&child);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut stdout = String::new();
    let started = reader.read_line(&mut stdout).unwrap() > 0;
    // Read at the same time: a pipe that is full would stop it.
    let stdout = std::thread::spawn(move || reader.read_to_string(&mut stdout).map(|_| stdout));
    let truth = if started { work(&child) } else { Value::Null };
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let stdout = stdout.join().unwrap().unwrap();
    let status = child.wait().unwrap().code();
    drop(ended);
    Ran { stdout, stderr, status, truth }
}

impl Ran {
    /// Runs a tool in one of its modes.
    pub fn of(mode: &Mode) -> Self {
        let work = (mode.prepare)();
        let mut command = mode.tool.command(&["--json"]);
        command.args(mode.flags);
        if !mode.command.is_empty() {
            return run(command.arg("--").args(&mode.command), |_| Value::Null);
        }
        let mut stays = None;
        run(&mut command, |child| {
            let (truth, until_its_end) = work();
            stays = Some(until_its_end);
            // SAFETY: a child of ours that was not waited for yet.
            unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
            truth
        })
    }

    /// Runs a command to its end.
    pub fn of_command(command: &mut Command) -> Self {
        run(command, |_| Value::Null)
    }

    /// Its records, if it has all.
    pub fn trace(&self) -> Result<Trace, String> {
        let records: Result<Vec<Value>, _> =
            self.stdout.lines().map(serde_json::from_str).collect();
        let mut events = records.map_err(|error| format!("stdout is no JSON: {error}"))?;
        let is = |record: Option<&Value>, name: &str| {
            record.is_some_and(|record| record["event"]["name"] == name)
        };
        if events.len() < 2 || !is(events.first(), "trace.start") || !is(events.last(), "trace.end")
        {
            return Err("no start and end".to_owned());
        }
        let start = events.remove(0);
        let end = events.pop().unwrap();
        Ok(Trace { start, events, end })
    }
}

impl Trace {
    /// The events that are of interest.
    pub fn rows(&self, is_it: impl Fn(&&Value) -> bool) -> Vec<&Value> {
        self.events.iter().filter(is_it).collect()
    }
}
