//! Processes that are older than the tool, from /proc.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;

use super::args::Args;
use crate::engine::errand::{Errands, Serve, keeper_pid};
use crate::host::pidns;
use crate::host::proc::{Stat, pids};
use crate::output::redact;
use crate::skel::exec_flag;

/// A process that is older than the tool.
#[derive(Clone, Debug)]
pub struct Elder {
    /// Its id, and its parent's, as events have them
    pub pid: u32,
    pub ppid: u32,
    /// The same as /proc has them: in our own PID namespace
    pub here: Here,
    /// Its birth: see [`crate::host::proc::ticks`]
    pub born_ticks: u64,
    pub comm: Vec<u8>,
    /// The command line, which the program may have changed; empty for a kernel thread or a zombie
    pub cmdline: Vec<u8>,
    /// The path of the program; empty if unknown
    pub path: Vec<u8>,
    /// [`exec_flag::EXEC_PATH_DELETED`], [`exec_flag::EXEC_PATH_NO_MOUNT`]
    pub path_flags: exec_flag,
    /// How many secrets are replaced
    pub redacted: u16,
    /// A kernel thread
    pub is_kernel: bool,
}

/// Ids in our own PID namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here {
    pub pid: u32,
    pub ppid: u32,
}

impl Default for Elder {
    /// A process of which nothing is known.
    fn default() -> Self {
        Self {
            pid: 0,
            ppid: 0,
            here: Here::default(),
            born_ticks: 0,
            comm: Vec::new(),
            cmdline: Vec::new(),
            path: Vec::new(),
            path_flags: exec_flag(0), // the generated default is a flag
            redacted: 0,
            is_kernel: false,
        }
    }
}

const PF_KTHREAD: u32 = 0x0020_0000;

/// Ids of processes: by the id in our own PID namespace, the id that events have.
pub type Ids = HashMap<u32, u32>;

/// The helper's side of [`Elder::add_program`]: from the id of a process to what it chose.
pub fn errand() -> Serve {
    Box::new(|request| {
        let pid = request.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        Program::read(pid).encode()
    })
}

/// All older processes but ourselves. `ids`: in a PID namespace, where /proc has other ids than
/// events; without them none can be told.
pub fn all(ids: Option<&Ids>, mut errands: Option<&mut Errands>) -> impl Iterator<Item = Elder> {
    let is_initial = pidns::is_initial();
    let is_known = is_initial || (ids.is_some() && pidns::proc_is_ours());
    let pids = is_known.then(pids).into_iter().flatten();
    let elders = pids.filter(|&pid| pid != std::process::id());
    let elders = elders.filter_map(move |pid| Elder::read(pid, errands.as_deref_mut()));
    elders.filter_map(move |elder| match ids {
        Some(ids) if !is_initial => elder.in_events(ids),
        _ => Some(elder),
    })
}

impl Elder {
    /// `None`: the process is gone, is a zombie, or helps us. Without `errands`, or if there is no
    /// answer in time, its command line and its path are unknown.
    fn read(pid: u32, errands: Option<&mut Errands>) -> Option<Self> {
        let mut elder = Self::from_stat(pid)?;
        if keeper_pid().is_some_and(|keeper| [pid, elder.here.ppid].contains(&keeper)) {
            return None;
        }
        if let Some(errands) = errands {
            elder.add_program(errands);
        }
        // Still the same process: an id may be reused between two looks.
        (start_ticks(pid) == Some(elder.born_ticks)).then_some(elder)
    }

    /// With the ids that events have. `None`: it began after `ids` were read.
    fn in_events(mut self, ids: &Ids) -> Option<Self> {
        self.pid = *ids.get(&self.here.pid)?;
        self.ppid = ids.get(&self.here.ppid).copied().unwrap_or_default(); // 0: outside
        Some(self)
    }

    fn from_stat(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        // The first thread may have ended while others go on.
        if matches!(stat.field(3)?, "Z" | "X") && stat.number::<u32>(20)? <= 1 {
            return None;
        }
        let ppid = stat.ppid()?;
        Some(Self {
            pid,
            ppid,
            here: Here { pid, ppid },
            is_kernel: stat.number::<u32>(9)? & PF_KTHREAD != 0,
            born_ticks: stat.start_ticks()?,
            comm: stat.name().to_vec(),
            ..Self::default()
        })
    }

    fn add_program(&mut self, errands: &mut Errands) {
        let answer = errands.ask(&self.here.pid.to_ne_bytes());
        let program = answer.and_then(|answer| Program::decode(&answer)).unwrap_or_default();
        self.path_flags = exec_flag(program.path_flags);
        self.set_program(&program.cmdline, &program.path);
    }

    /// Its command line and its path, without secrets.
    pub(super) fn set_program(&mut self, cmdline: &[u8], path: &[u8]) {
        let (cmdline, path) = (redact::policy().args(cmdline), redact::policy().text(path));
        let count = cmdline.count.saturating_add(path.count);
        self.redacted = u16::try_from(count).unwrap_or(u16::MAX);
        (self.cmdline, self.path) = (cmdline.bytes.into_owned(), path.bytes.into_owned());
    }
}

/// The longest command line that is read.
const MOST_CMDLINE: u64 = 2 << 20;

/// What a process chose: reading it may take for ever.
#[derive(Debug, Default, PartialEq, Eq)]
struct Program {
    cmdline: Vec<u8>,
    path: Vec<u8>,
    path_flags: u32,
}

impl Program {
    fn read(pid: u32) -> Self {
        let mut program = Self::default();
        if let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) {
            // What was read before an error is the beginning of it.
            let _ = file.take(MOST_CMDLINE).read_to_end(&mut program.cmdline);
        }
        program.read_path(pid);
        program
    }

    /// The flags of the path, the length of the path (4 bytes each), the path, the command line.
    fn encode(&self) -> Vec<u8> {
        let len = self.path.len() as u32;
        let head = [self.path_flags.to_ne_bytes(), len.to_ne_bytes()].concat();
        [&head[..], &self.path, &self.cmdline].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (path, cmdline) = rest.split_at_checked(u32::from_ne_bytes(*len) as usize)?;
        let path_flags = u32::from_ne_bytes(*flags);
        Some(Self { cmdline: cmdline.to_vec(), path: path.to_vec(), path_flags })
    }

    /// The kernel's path of the program, with the same flags as in execution events.
    fn read_path(&mut self, pid: u32) {
        let link = format!("/proc/{pid}/exe");
        let Ok(path) = fs::read_link(&link) else { return };
        let mut path = path.into_os_string().into_vec();
        // A file may really have such a name: then it is not gone.
        let is_gone = || fs::metadata(&link).is_ok_and(|file| file.nlink() == 0);
        if let Some(name) = path.strip_suffix(b" (deleted)").filter(|_| is_gone()) {
            let flag;
            (path, flag) = match name.strip_prefix(b"/") {
                Some(name) if name.starts_with(b"memfd:") => {
                    (name.to_vec(), exec_flag::EXEC_PATH_NO_MOUNT)
                }
                _ => (name.to_vec(), exec_flag::EXEC_PATH_DELETED),
            };
            self.path_flags = flag.0;
        }
        self.path = path;
    }
}

/// The older processes that are drawn.
#[derive(Debug, PartialEq, Eq)]
pub enum Older {
    /// Processes with an event, and their ancestors
    Ancestors,
    /// These, with or without an event
    These(Vec<u32>),
}

/// Chooses older processes by the filters of the flags, as far as /proc can answer them.
#[derive(Debug)]
pub struct AskedFor<'a> {
    args: &'a Args,
    /// By id in our own PID namespace
    seen: HashMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    /// Its parent's, in our own PID namespace
    ppid: u32,
    /// All filters but `--tree` pass it
    matches: bool,
    chosen: Chosen,
}

/// An older process that passes the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chosen {
    /// Its id as events have it
    pub pid: u32,
    /// Its birth: see [`crate::host::proc::ticks`]
    pub born_ticks: u64,
}

impl<'a> AskedFor<'a> {
    /// A choice by these flags.
    pub fn new(args: &'a Args) -> Self {
        Self { args, seen: HashMap::new() }
    }

    /// Looks at one older process.
    pub fn see(&mut self, elder: &Elder) {
        let common = &self.args.common;
        let has = |pids: &[u32], pid| pids.is_empty() || pids.contains(&pid);
        let is_named = |comm: &[u8; 16]| {
            comm.starts_with(&elder.comm) && comm.get(elder.comm.len()) == Some(&0)
        };
        // Only the kernel knows these two as the programs see them.
        let is_known = common.uid.is_empty() && common.cgroup.is_empty();
        let matches = is_known
            && has(&common.pid, elder.here.pid)
            && has(&common.ppid, elder.here.ppid)
            && (common.comm.is_empty() || common.comm.iter().any(is_named))
            && (self.args.kernel_threads || !elder.is_kernel);
        let chosen = Chosen { pid: elder.pid, born_ticks: elder.born_ticks };
        self.seen.insert(elder.here.pid, Seen { ppid: elder.here.ppid, matches, chosen });
    }

    /// Those that pass the filters, once all have been seen; none without filters.
    pub fn chosen(&self) -> Vec<Chosen> {
        let common = &self.args.common;
        if !common.filters() {
            return Vec::new();
        }
        let in_tree = |&pid: &u32| common.tree.is_empty() || self.descends(pid, &common.tree);
        let matching = self.seen.iter().filter(|(pid, seen)| seen.matches && in_tree(pid));
        matching.map(|(_, seen)| seen.chosen).collect()
    }

    /// Those that descend from one of `roots`, by their ids in events.
    pub fn descendants(&self, roots: &[u32]) -> Vec<u32> {
        let below = self.seen.iter().filter(|(pid, _)| self.descends(**pid, roots));
        below.map(|(_, seen)| seen.chosen.pid).collect()
    }

    /// Those that are drawn.
    pub fn drawn(&self) -> Older {
        if !self.args.common.filters() {
            return Older::Ancestors;
        }
        Older::These(self.chosen().into_iter().map(|chosen| chosen.pid).collect())
    }

    fn descends(&self, pid: u32, roots: &[u32]) -> bool {
        let mut pid = pid;
        // At most as many steps as processes: parents read at different moments may form a ring.
        for _ in 0..=self.seen.len() {
            if roots.contains(&pid) {
                return true;
            }
            match self.seen.get(&pid) {
                Some(seen) => pid = seen.ppid,
                None => return false,
            }
        }
        false
    }
}

/// The time of birth of the process that has this id now: see [`crate::host::proc::ticks`].
pub fn start_ticks(pid: u32) -> Option<u64> {
    Elder::from_stat(pid).map(|elder| elder.born_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pid: u32) -> Option<Elder> {
        Elder::read(pid, Some(&mut Errands::start(errand).unwrap()))
    }

    #[test]
    fn answers_arrive_as_they_were() {
        let program = Program { cmdline: b"a\0".to_vec(), path: b"/a".to_vec(), path_flags: 3 };
        assert_eq!(Program::decode(&program.encode()), Some(program));
        assert_eq!(Program::decode(b""), None);
    }

    #[test]
    fn who_helps_is_nobody() {
        let errands = &mut Errands::start(errand).unwrap();
        assert!(errands.ask(&[]).is_some());
        let mut stats = pids().filter_map(Elder::from_stat);
        let keeper = stats.find(|elder| Some(elder.pid) == keeper_pid());
        assert_eq!(keeper.map(|elder| elder.ppid), Some(std::process::id()));
        let keeper = keeper_pid().unwrap();
        assert!(all(None, None).all(|elder| ![elder.pid, elder.ppid].contains(&keeper)));
    }

    #[test]
    fn we_are_what_we_are() {
        let me = read(std::process::id()).unwrap();
        assert_eq!(me.ppid, std::os::unix::process::parent_id());
        let exe = std::env::current_exe().unwrap();
        assert_eq!(me.path, exe.into_os_string().into_vec());
        let own = std::env::args().next().unwrap();
        assert!(me.cmdline.starts_with(own.as_bytes()));
        assert_eq!(me.comm, fs::read("/proc/self/comm").unwrap().trim_ascii_end());
        assert!(all(None, None).all(|elder| elder.pid != me.pid));
    }

    #[test]
    fn what_is_asked_for_is_drawn() {
        use clap::Parser as _;
        let me = std::process::id().to_string();
        let tree = ["--tree", &me];
        // 1 has 2 and 3, 3 has 4, a kernel thread
        let drawn = |flags: &[&str]| {
            let mut args = Args::try_parse_from(["procsnoop"].iter().chain(flags)).unwrap();
            args.common.tree.iter_mut().for_each(|root| *root = 3);
            let mut asked_for = AskedFor::new(&args);
            for (pid, ppid, comm) in [(1, 0, "init"), (2, 1, "sh"), (3, 1, "bash"), (4, 3, "sh")] {
                let (comm, here) = (comm.as_bytes().to_vec(), Here { pid, ppid });
                // As in a PID namespace: events have higher ids.
                let elder = Elder { here, comm, is_kernel: pid == 4, ..Elder::default() };
                let ids = [(1, 101), (2, 102), (3, 103), (4, 104)].into();
                asked_for.see(&elder.in_events(&ids).unwrap());
            }
            match asked_for.drawn() {
                Older::Ancestors => None,
                Older::These(mut pids) => {
                    pids.sort_unstable();
                    Some(pids)
                }
            }
        };
        assert_eq!(drawn(&[]), None);
        assert_eq!(drawn(&tree), Some(vec![103]));
        assert_eq!(drawn(&["--kernel-threads", tree[0], tree[1]]), Some(vec![103, 104]));
        assert_eq!(drawn(&["--pid", "2", "--pid", "3"]), Some(vec![102, 103]));
        assert_eq!(drawn(&["--ppid", "1", "--comm", "sh"]), Some(vec![102]));
        assert_eq!(drawn(&["--comm", "bas"]), Some(vec![]));
        assert_eq!(drawn(&["--uid", "0"]), Some(vec![]), "told when they end");
    }

    #[test]
    fn programs_that_are_gone() {
        let folder = std::env::temp_dir().join(format!("snoop-elders-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        // The second file only has such a name.
        for (name, is_gone) in [("gone", true), ("there (deleted)", false)] {
            let program = folder.join(name);
            assert!(
                std::process::Command::new("cp")
                    .arg("/bin/sleep")
                    .arg(&program)
                    .status()
                    .unwrap()
                    .success()
            );
            let mut child = std::process::Command::new(&program).arg("300").spawn().unwrap();
            if is_gone {
                fs::remove_file(&program).unwrap();
            }
            let elder = read(child.id()).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(elder.path, program.into_os_string().into_vec());
            let flag = if is_gone { exec_flag::EXEC_PATH_DELETED } else { exec_flag(0) };
            assert_eq!(elder.path_flags, flag, "{name}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_dead_are_none() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let has_ended = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.contains(") Z ")
        };
        while !has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(read(child.id()).is_none());
        child.wait().unwrap();
    }
}
