//! The command of each living process, so that the row of its end can show the command line.
//!
//! Ids alone identify nothing: the births must agree too. If a lost record would leave an older
//! command in the place of a newer one, the row shows no command.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::elders::{Elder, start_ticks};
use super::{Birth, Identity};
use crate::host::proc::ticks;
use crate::output::time::boot_now_ns;
use crate::skel::{exec_flag, process_birth_event, process_event, process_flag};
use crate::tools::execsnoop::{Args, Cut, Exec};

/// The most bytes of arguments to keep of one command.
const MOST_ARGS: usize = 32 * 1024;

/// The most bytes of arguments and paths of all commands; beyond that, new commands are kept
/// without them.
const MOST_BYTES: usize = 64 << 20;

/// The most processes to remember: the default number of ids on large machines.
const MOST_LIVES: usize = 128 * 1024;

/// Flags of an execution that are about the path of the program.
const OF_PATH: u32 =
    exec_flag::EXEC_PATH_CUT.0 | exec_flag::EXEC_PATH_DELETED.0 | exec_flag::EXEC_PATH_NO_MOUNT.0;

/// Bytes that all commands hold together.
type Bytes = Rc<Cell<usize>>;

/// A command as it was executed.
#[derive(Debug)]
pub struct Command {
    /// Arguments with their NULs, perhaps cut
    args: Vec<u8>,
    /// How many there were
    count: u32,
    /// Bytes of all, with their NULs
    total: u32,
    /// Resolved path of the program; empty if unknown
    pub path: Vec<u8>,
    /// [`exec_flag::EXEC_PATH_CUT`], [`exec_flag::EXEC_PATH_DELETED`], [`exec_flag::EXEC_PATH_NO_MOUNT`]
    pub path_flags: exec_flag,
    /// The command line has another name than the file: see [`Exec::is_disguised`]
    pub is_disguised: bool,
    /// How many secrets are replaced
    pub redacted: u16,
    held: Bytes,
}

impl Drop for Command {
    fn drop(&mut self) {
        self.held.set(self.held.get().saturating_sub(self.bytes()));
    }
}

impl Command {
    fn new(exec: &Exec<'_>, held: &Bytes) -> Self {
        let room = MOST_BYTES.saturating_sub(held.get());
        let keep = |bytes: &[u8], most: usize| bytes.get(..most).unwrap_or(bytes).to_vec();
        let args = keep(exec.args, MOST_ARGS.min(room));
        let room = room - args.len();
        let path = if exec.path.len() <= room { exec.path.to_vec() } else { Vec::new() };
        let mut command = Self::holding(args, exec.event.argc, exec.event.args_total, path, held);
        command.path_flags = exec_flag(exec.event.flags.0 & OF_PATH);
        command.is_disguised = exec.is_disguised();
        command.redacted = exec.event.redacted;
        command
    }

    fn holding(args: Vec<u8>, count: u32, total: u32, path: Vec<u8>, held: &Bytes) -> Self {
        let (path_flags, is_disguised, redacted) = (exec_flag(0), false, 0);
        let held = Rc::clone(held);
        let command = Self { args, count, total, path, path_flags, is_disguised, redacted, held };
        command.held.set(command.held.get() + command.bytes());
        command
    }

    /// A command as it was recorded: its arguments with their NULs, the last one possibly cut.
    pub fn recorded(args: Vec<u8>, count: u32, total: u32, path: Vec<u8>) -> Self {
        Self::holding(args, count, total, path, &Bytes::default())
    }

    /// A command from /proc, which the program may have changed. `None` if /proc has none.
    fn from_proc(elder: Elder, held: &Bytes) -> Option<Self> {
        let Elder { cmdline: mut args, mut path, path_flags, redacted, .. } = elder;
        let total = u32::try_from(args.len()).ok().filter(|&total| total > 0)?;
        let count = Args::new(&args).count() as u32;
        let room = MOST_BYTES.saturating_sub(held.get());
        args.truncate(MOST_ARGS.min(room));
        if path.len() > room - args.len() {
            path.clear();
        }
        args.shrink_to_fit();
        let mut command = Self::holding(args, count, total, path, held);
        (command.path_flags, command.redacted) = (path_flags, redacted);
        Some(command)
    }

    /// The arguments that were kept.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.args)
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The missing part when the first `shown` arguments are shown.
    pub fn cut(&self, shown: usize) -> Option<Cut> {
        let whole = self.args.iter().filter(|&&b| b == 0).count().min(shown) as u64;
        // /proc may lack the last NUL.
        let last = u64::from(self.args.len() == self.total as usize && !self.args.ends_with(b"\0"));
        let whole = if shown > whole as usize { whole + last } else { whole };
        let args = u64::from(self.count).saturating_sub(whole);
        let bytes: u64 = self.args().take(shown).map(|arg| arg.len() as u64 + 1).sum();
        let bytes = u64::from(self.total).saturating_sub(bytes);
        (args > 0).then_some(Cut { args, bytes: Some(bytes) })
    }

    fn bytes(&self) -> usize {
        self.args.len() + self.path.len()
    }
}

/// The facts known about a process.
#[derive(Clone, Debug)]
pub struct Life {
    birth: Birth,
    /// Its command; `None`: unknown
    pub command: Option<Rc<Command>>,
    /// Time of the execution, `CLOCK_BOOTTIME` in nanoseconds; `None`: before the start, or never
    pub exec_ns: Option<u64>,
    /// The time from which the command is known to be right
    known_ns: u64,
    /// `self_exec_id` by our count
    exec_id: Option<u64>,
}

impl Life {
    /// What was recorded with the end of a process.
    pub fn recorded(command: Option<Command>, exec_ns: Option<u64>) -> Self {
        let (birth, known_ns, exec_id) = (Birth::Exact(0), 0, None);
        Self { birth, command: command.map(Rc::new), exec_ns, known_ns, exec_id }
    }
}

/// All living processes that are known.
#[derive(Debug, Default)]
pub struct Lives {
    by_pid: HashMap<u32, Life>,
    held: Bytes,
}

impl Lives {
    /// Adds a process that was already running.
    pub fn older(&mut self, elder: Elder) {
        if self.by_pid.len() >= MOST_LIVES {
            return;
        }
        let pid = elder.pid;
        let life = Life {
            birth: Birth::Ticks(elder.born_ticks),
            exec_ns: None,
            known_ns: boot_now_ns(),
            exec_id: None,
            command: Command::from_proc(elder, &self.held).map(Rc::new),
        };
        self.put(pid, life);
    }

    /// A birth: the child runs its maker's command, until it executes another one.
    pub fn fork(&mut self, birth: &process_birth_event) {
        let event = &birth.process;
        let identity = event.identity();
        // Known from /proc already, whose facts may be newer.
        if self.get(identity).is_some() {
            return;
        }
        let maker = self.get(birth.maker());
        let maker = maker.filter(|maker| maker.known_ns <= event.id.time_ns);
        let life = Life {
            birth: Birth::Exact(identity.start_ns),
            command: maker.and_then(|maker| maker.command.clone()),
            exec_ns: None,
            known_ns: event.id.time_ns,
            exec_id: Some(event.exec_id),
        };
        self.put(identity.pid, life);
    }

    /// An execution.
    pub fn exec(&mut self, exec: &Exec<'_>) {
        let identity = Identity { pid: exec.event.id.pid, start_ns: exec.event.id.start_ns };
        let exec_id = self.get(identity).and_then(|life| life.exec_id);
        let life = Life {
            birth: Birth::Exact(identity.start_ns),
            command: Some(Rc::new(Command::new(exec, &self.held))),
            exec_ns: Some(exec.event.id.time_ns),
            known_ns: exec.event.id.time_ns,
            exec_id: exec_id.map(|id| id.wrapping_add(1)),
        };
        self.put(identity.pid, life);
    }

    /// An end; returns the facts known about the process.
    pub fn exit(&mut self, event: &process_event) -> Option<Life> {
        let life = self.by_pid.get(&event.id.pid)?;
        if !life.birth.is(event.id.start_ns) {
            return None;
        }
        let mut life = self.by_pid.remove(&event.id.pid)?;
        let counted = life.exec_id.is_none_or(|id| id == event.exec_id);
        let executed = !event.is(process_flag::PROCESS_NO_EXEC);
        if !counted || (life.exec_ns.is_some() && !executed) {
            (life.command, life.exec_ns) = (None, None);
        }
        Some(life)
    }

    /// The facts known about a living process.
    pub fn get(&self, identity: Identity) -> Option<&Life> {
        self.by_pid.get(&identity.pid).filter(|life| life.birth.is(identity.start_ns))
    }

    fn put(&mut self, pid: u32, life: Life) {
        self.by_pid.remove(&pid);
        if self.by_pid.len() >= MOST_LIVES {
            self.forget_the_dead();
        }
        if self.by_pid.len() >= MOST_LIVES {
            return; // it will be told without a command
        }
        self.by_pid.insert(pid, life);
    }

    /// Forgets the processes whose end was lost.
    fn forget_the_dead(&mut self) {
        if !crate::host::pidns::is_initial() {
            return;
        }
        let pids: Vec<u32> = self.by_pid.keys().copied().collect();
        for pid in pids {
            let now = start_ticks(pid);
            let same = |life: &Life| match life.birth {
                Birth::Exact(ns) => now == Some(ticks(ns)),
                Birth::Ticks(born) => now == Some(born),
            };
            if !self.by_pid.get(&pid).is_some_and(same) {
                self.by_pid.remove(&pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skel::task_id;
    use crate::tools::execsnoop::testing::{edit, record};

    fn exec(lives: &mut Lives, pid: u32, start_ns: u64, time_ns: u64, args: &[&[u8]]) {
        let mut record = record("/bin/x", args);
        edit(&mut record, |event| {
            event.id = task_id { pid, start_ns, time_ns, ..event.id };
        });
        lives.exec(&Exec::decode(&record).unwrap());
    }

    fn event(pid: u32, start_ns: u64, parent: (u32, u64), exec_id: u64) -> process_event {
        let mut event = process_event { exec_id, ..Default::default() };
        event.id.parent_start_ns = parent.1;
        event.id.pid = pid;
        event.id.ppid = parent.0;
        event.id.start_ns = start_ns;
        event.id.time_ns = start_ns;
        event
    }

    /// A birth, with a maker that is not the parent.
    fn birth(process: process_event, maker: (u32, u64)) -> process_birth_event {
        process_birth_event {
            process,
            maker_pid: maker.0,
            maker_start_ns: maker.1,
            ..Default::default()
        }
    }

    /// A birth as most are: the parent is the maker.
    fn fork(lives: &mut Lives, process: process_event) {
        lives.fork(&birth(process, (process.id.ppid, process.id.parent_start_ns)));
    }

    fn command(life: Option<Life>) -> Option<Vec<Vec<u8>>> {
        Some(life?.command?.args().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn a_child_runs_its_parents_command_until_it_executes_one() {
        let mut lives = Lives::default();
        fork(&mut lives, event(1, 100, (0, 0), 5));
        exec(&mut lives, 1, 100, 110, &[b"make", b"-j"]);
        fork(&mut lives, event(2, 200, (1, 100), 6));
        fork(&mut lives, event(3, 300, (1, 100), 6));
        exec(&mut lives, 3, 300, 310, &[b"cc"]);
        let forked = event(2, 200, (1, 100), 6);
        let make = Some(vec![b"make".to_vec(), b"-j".to_vec()]);
        assert_eq!(command(lives.exit(&forked)), make);
        let executed = event(3, 300, (1, 100), 7);
        let life = lives.exit(&executed).unwrap();
        assert_eq!(life.exec_ns, Some(310));
        assert_eq!(command(Some(life)), Some(vec![b"cc".to_vec()]));
        assert!(lives.exit(&executed).is_none(), "forgotten");
        assert_eq!(command(lives.exit(&event(1, 100, (0, 0), 6))), make);
        assert_eq!((lives.by_pid.len(), lives.held.get()), (0, 0));
    }

    #[test]
    fn a_child_of_its_makers_parent_runs_the_makers_command() {
        let mut lives = Lives::default();
        exec(&mut lives, 1, 100, 110, &[b"shell"]);
        exec(&mut lives, 2, 200, 210, &[b"maker"]);
        let child = event(3, 300, (1, 100), 6);
        lives.fork(&birth(child, (2, 200)));
        assert_eq!(command(lives.exit(&child)), Some(vec![b"maker".to_vec()]));
    }

    #[test]
    fn an_id_that_is_used_again_joins_nothing() {
        let mut lives = Lives::default();
        exec(&mut lives, 1, 100, 110, &[b"old"]);
        assert!(lives.exit(&event(1, 500, (0, 0), 1)).is_none());
        fork(&mut lives, event(2, 600, (1, 500), 1));
        assert_eq!(command(lives.exit(&event(2, 600, (1, 500), 1))), None);
    }

    #[test]
    fn after_a_lost_execution_no_command_is_told() {
        let mut lives = Lives::default();
        fork(&mut lives, event(1, 100, (0, 0), 5));
        exec(&mut lives, 1, 100, 110, &[b"sh"]);
        assert_eq!(command(lives.exit(&event(1, 100, (0, 0), 7))), None);
    }

    #[test]
    fn what_the_parent_ran_later_is_not_its_childs_command() {
        let mut lives = Lives::default();
        exec(&mut lives, 1, 100, 500, &[b"later"]);
        fork(&mut lives, event(2, 200, (1, 100), 6));
        assert_eq!(command(lives.exit(&event(2, 200, (1, 100), 6))), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut lives = Lives::default();
        let long = vec![b'x'; 100_000];
        for pid in 1..=3000 {
            exec(&mut lives, pid, 100, 110, &[&long, b"y"]);
        }
        assert!(lives.held.get() <= MOST_BYTES, "{}", lives.held.get());
        let last = lives.exit(&event(3000, 100, (0, 0), 1)).unwrap().command.unwrap();
        assert_eq!(last.cut(9), Some(Cut { args: 2, bytes: Some(100_003) }));
        let first = lives.exit(&event(1, 100, (0, 0), 1)).unwrap().command.unwrap();
        assert_eq!(first.args().next().map(<[u8]>::len), Some(MOST_ARGS));
        assert_eq!(first.cut(9).map(|cut| cut.args), Some(2));
    }

    #[test]
    fn command_lines_of_proc() {
        let of = |bytes: &[u8]| {
            let elder = Elder { cmdline: bytes.to_vec(), ..Elder::default() };
            Command::from_proc(elder, &Bytes::default())
        };
        assert!(of(b"").is_none(), "a kernel thread or a zombie");
        for (cmdline, count) in [(&b"a\0b\0"[..], 2), (b"title: no NUL", 1), (b"a\0\0", 2)] {
            let command = of(cmdline).unwrap();
            assert_eq!((command.count, command.cut(9)), (count, None), "{cmdline:?}");
        }
    }

    #[test]
    fn memory_of_older_ones_is_bounded_too() {
        let mut lives = Lives::default();
        for pid in 1..=3000 {
            let cmdline = vec![b'x'; 100_000];
            let path = b"/bin/x".to_vec();
            lives.older(Elder { pid, born_ticks: 7, cmdline, path, ..Elder::default() });
        }
        assert!(lives.held.get() <= MOST_BYTES, "{}", lives.held.get());
        let of = |pid| Identity { pid, start_ns: 7 * crate::host::proc::NS_PER_TICK + 1 };
        let command = |pid| lives.get(of(pid)).unwrap().command.clone().unwrap();
        assert_eq!(command(1).path, b"/bin/x");
        assert_eq!(command(3000).cut(9), Some(Cut { args: 1, bytes: Some(100_000) }));
    }
}
