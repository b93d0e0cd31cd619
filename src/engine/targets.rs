//! The processes that `--pid`, `--tree` and `-- COMMAND` name. When all of them have ended, nothing
//! can come any more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, Object};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::engine::channel::IDLE_TICK;
use crate::engine::cli::CommonArgs;
use crate::host::descriptor::{is_readable, of_process};

/// How often a tree is looked at.
const TREE_TICK: Duration = Duration::from_millis(200);

/// The processes whose end ends the run.
pub(crate) struct Targets {
    /// Those of `--pid` that live; `None`: the flag is not given, or they cannot be watched
    processes: Option<Vec<OwnedFd>>,
    tree: Tree,
}

/// When the end of a tree is an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tree {
    /// There is none, or it ends with COMMAND
    Ignored,
    /// `--tree`
    FromStart,
    /// `--follow`: once COMMAND has ended
    AfterCommand,
}

impl Targets {
    /// Those of the command line.
    pub(crate) fn new(args: &CommonArgs) -> Self {
        let tree = match (args.command.is_empty(), args.follow) {
            (false, true) => Tree::AfterCommand,
            (true, _) if !args.tree.is_empty() => Tree::FromStart,
            _ => Tree::Ignored,
        };
        let processes = (!args.pid.is_empty()).then(|| watch(&args.pid)).flatten();
        Self { processes, tree }
    }

    /// Whether the run is over. `command_ended`: `None` if there is no COMMAND.
    pub(crate) fn are_gone(
        &mut self,
        command_ended: Option<bool>,
        object: &Object,
    ) -> Result<bool> {
        if command_ended == Some(true) && self.tree != Tree::AfterCommand {
            return Ok(true);
        }
        if let Some(processes) = &mut self.processes {
            processes.retain(|process| !is_readable(process.as_fd()));
            if processes.is_empty() {
                return Ok(true);
            }
        }
        match self.tree {
            Tree::AfterCommand if command_ended == Some(false) => Ok(false),
            Tree::Ignored => Ok(false),
            Tree::FromStart | Tree::AfterCommand => tree_is_empty(object),
        }
    }

    /// The longest time between two calls of [`Targets::are_gone`].
    pub(crate) fn tick(&self) -> Duration {
        if self.tree == Tree::Ignored { IDLE_TICK } else { TREE_TICK }
    }

    /// Readable when a process has ended.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.processes.iter().flatten().map(AsFd::as_fd)
    }
}

/// Descriptors of these processes, without those that have ended.
fn watch(pids: &[u32]) -> Option<Vec<OwnedFd>> {
    let mut watched = Vec::new();
    for pid in pids {
        match of_process(*pid) {
            Ok(process) => watched.push(process),
            Err(Errno::ESRCH) => {}
            Err(_) => return None,
        }
    }
    Some(watched)
}

/// Whether no process of the tree lives. The kernel's side forgets those that end, unless the
/// program for that was refused.
fn tree_is_empty(object: &Object) -> Result<bool> {
    let map = object.maps().find(|map| map.name() == "filter_tree").context("no filter_tree")?;
    let pids = map.keys().filter_map(|key| Some(u32::from_ne_bytes(key.try_into().ok()?)));
    let lives = |pid: u32| kill(Pid::from_raw(pid as i32), None) != Err(Errno::ESRCH);
    Ok(!pids.into_iter().any(lives))
}
