//! The filters of the command line, brought into the kernel: `filter.bpf.h` applies them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{MapCore, MapFlags, Object, OpenObject};

use crate::engine::backend::Job;
use crate::engine::channel::BufferChoice;
use crate::engine::cli::{Ancestor, CommonArgs};
use crate::engine::context::Wanted;
use crate::engine::errand;
use crate::host::cgroup::Cgroup;
use crate::host::pidns;
use crate::host::proc::{Stat, pids};
use crate::output::time::boot_now_ns;
use crate::skel::{snoop_config, snoop_filter};

/// `MAX_CGROUP_FILTERS` of common.h.
const MAX_CGROUPS: usize = 64;

/// `FILTER_ONLY` and `FILTER_NOT` of filter.bpf.h.
const ONLY: u8 = 1;
const NOT: u8 = 2;

/// Processes of all trees, or with a row, that can live at once; 5 MiB of kernel memory.
const MOST_PROCESSES: usize = 64 * 1024;

/// The common filters: each tool may have more.
#[derive(Debug, Default)]
pub struct Filters {
    pids: Named<u32>,
    ppids: Named<u32>,
    uids: Named<u32>,
    comms: Named<[u8; 16]>,
    cgroups: Named<PathBuf>,
    tree: Vec<u32>,
    ancestor_pids: Vec<u32>,
    ancestor_comms: Vec<[u8; 16]>,
    /// What is told of each event besides
    context: Wanted,
    /// See [`CommonArgs::filters_that_change`]
    can_change: bool,
    /// See [`CommonArgs::names_containers`]
    names_containers: bool,
}

/// The values of a flag such as `--pid`, and of its opposite, `--not-pid`.
#[derive(Debug, Default)]
struct Named<T> {
    only: Vec<T>,
    not: Vec<T>,
}

impl<T: Clone> Named<T> {
    fn new(only: &[T], not: &[T]) -> Self {
        Self { only: only.to_vec(), not: not.to_vec() }
    }

    /// Neither flag is given.
    fn is_empty(&self) -> bool {
        self.only.is_empty() && self.not.is_empty()
    }

    /// The most keys that its map can have.
    fn len(&self) -> usize {
        self.only.len() + self.not.len()
    }

    /// The bits of the flags that are given.
    fn bits(&self, by: snoop_filter, not: snoop_filter) -> u32 {
        let on = |values: &[T], filter: snoop_filter| if values.is_empty() { 0 } else { filter.0 };
        on(&self.only, by) | on(&self.not, not)
    }

    /// The contents of its map: each value, as bytes, with the flags that name it.
    fn entries<K: AsRef<[u8]> + Ord>(
        &self,
        key: impl Fn(&T) -> Result<K>,
    ) -> Result<BTreeMap<K, u8>> {
        let mut entries = BTreeMap::new();
        for (values, flag) in [(&self.only, ONLY), (&self.not, NOT)] {
            for value in values {
                *entries.entry(key(value)?).or_insert(0) |= flag;
            }
        }
        Ok(entries)
    }
}

impl Filters {
    /// Checks the number of values; the error is one line, for a refusal before anything begins.
    pub fn check(args: &CommonArgs) -> Result<(), String> {
        if args.cgroup.len() + args.not_cgroup.len() > MAX_CGROUPS {
            return Err(format!("more than {MAX_CGROUPS} cgroups: give one that holds them"));
        }
        if args.rings.is_some() && args.buffer == BufferChoice::Perf {
            return Err(
                "a perf buffer has one buffer for each CPU: --rings is for ring buffers".into()
            );
        }
        Ok(())
    }

    /// Reads the command line. `command`: the process that will run `-- COMMAND`.
    pub fn new(args: &CommonArgs, command: Option<u32>) -> Result<Self> {
        Self::check(args).map_err(|message| anyhow!(message))?;
        let folders = |cgroups: &[Cgroup]| {
            cgroups.iter().map(|cgroup| cgroup.folder.clone()).collect::<Vec<_>>()
        };
        Ok(Self {
            pids: Named::new(&args.pid, &args.not_pid),
            ppids: Named::new(&args.ppid, &[]),
            uids: Named::new(&args.uid, &args.not_uid),
            comms: Named::new(&args.comm, &args.not_comm),
            cgroups: Named::new(&folders(&args.cgroup), &folders(&args.not_cgroup)),
            tree: args.tree.iter().copied().chain(command).collect(),
            ancestor_pids: pids_of(&args.ancestor),
            ancestor_comms: comms_of(&args.ancestor),
            context: Wanted::new(args),
            can_change: args.filters_that_change(),
            names_containers: args.names_containers(),
        })
    }

    /// Asks for no contexts from now on. False: nobody had asked.
    pub fn leave_out_context(&mut self) -> bool {
        std::mem::take(&mut self.context).is_any()
    }

    /// Programs that follow forks and exits for `--tree` and `-- COMMAND`, and new cgroups for names
    /// of containers. A tool that shows ends has no such program on exits: its own program forgets the
    /// process.
    pub fn jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        if !self.tree.is_empty() {
            jobs.push(Job::adds("tree_fork", "what descendants do").or("tree_fork_btf"));
            let what = "whether a process has taken over a descendant's id";
            jobs.push(Job::adds("tree_exit", what).or("tree_exit_btf"));
        }
        if self.names_containers {
            let what = "names of containers that live for moments only";
            jobs.push(Job::adds("cgroup_born_raw", what).or("cgroup_born_btf"));
        }
        jobs
    }

    /// Whether this is a map for a filter that is off.
    pub fn is_unused(&self, map: &str) -> bool {
        match map {
            "filter_pids" => self.pids.is_empty(),
            "filter_ppids" => self.ppids.is_empty(),
            "filter_uids" => self.uids.is_empty(),
            "filter_comms" => self.comms.is_empty(),
            "filter_cgroups" | "filter_cgroup_ids" => self.cgroups.is_empty(),
            "filter_tree" => self.tree.is_empty(),
            "filter_ancestor_pids" => self.ancestor_pids.is_empty(),
            "filter_ancestor_comms" => self.ancestor_comms.is_empty(),
            "filter_told" => !self.can_change,
            "cgroup_scratch" => !self.names_containers,
            _ => false,
        }
    }

    /// Writes which filters are on into the programs' configuration.
    ///
    /// # Errors
    ///
    /// There are filters by process id, and the PID namespace of the ids is unknown.
    pub fn configure(&self, config: &mut snoop_config) -> Result<()> {
        use snoop_filter as by;
        let bit = |is_on: bool, bit: snoop_filter| if is_on { bit.0 } else { 0 };
        let by_tree = bit(!self.tree.is_empty(), by::FILTER_BY_TREE);
        let by_ancestor = bit(!self.ancestor_pids.is_empty(), by::FILTER_BY_ANCESTOR_PID)
            | bit(!self.ancestor_comms.is_empty(), by::FILTER_BY_ANCESTOR_COMM);
        config.filters = snoop_filter(
            self.pids.bits(by::FILTER_BY_PID, by::FILTER_NOT_PID)
                | self.ppids.bits(by::FILTER_BY_PPID, snoop_filter(0))
                | self.uids.bits(by::FILTER_BY_UID, by::FILTER_NOT_UID)
                | self.comms.bits(by::FILTER_BY_COMM, by::FILTER_NOT_COMM)
                | self.cgroups.bits(by::FILTER_BY_CGROUP, by::FILTER_NOT_CGROUP)
                | by_ancestor
                | by_tree,
        );
        config.context = self.context.bits();
        config.ancestors = self.context.ancestors.unwrap_or(0);
        config.cgroups = self.cgroups.only.len() as u32;
        config.not_cgroups = self.cgroups.not.len() as u32;
        config.self_pid = std::process::id();
        config.keeper_pid = errand::keeper_pid().unwrap_or(0);
        let single = |pids: &[u32]| if let [pid] = *pids { pid } else { 0 };
        config.only_pid = single(&self.pids.only);
        config.not_pid = single(&self.pids.not);
        config.began_ns = boot_now_ns();
        let is_by_id = !(self.pids.is_empty()
            && self.ppids.is_empty()
            && self.tree.is_empty()
            && self.ancestor_pids.is_empty());
        config.pidns_inum = match pidns::inode() {
            Ok(inode) => inode.unwrap_or(0) as u32,
            Err(_) if !is_by_id => 0,
            Err(errno) => return Err(errno).context(
                "cannot tell whose process ids these are: /proc shows none, and cannot be mounted",
            ),
        };
        Ok(())
    }

    /// Makes room in the filter maps before they are created.
    pub fn size_maps(&self, object: &mut OpenObject) -> Result<()> {
        for mut map in object.maps_mut() {
            let values = match map.name().to_str() {
                Some("filter_pids") => self.pids.len(),
                Some("filter_ppids") => self.ppids.len(),
                Some("filter_uids") => self.uids.len(),
                Some("filter_ancestor_pids") => self.ancestor_pids.len(),
                Some("filter_ancestor_comms") => self.ancestor_comms.len(),
                Some("filter_comms") => self.comms.len(),
                Some("filter_cgroups") => self.cgroups.len(),
                Some("filter_tree") if !self.tree.is_empty() => MOST_PROCESSES,
                Some("filter_told") if self.can_change => MOST_PROCESSES,
                Some("filter_cgroup_ids") => self.cgroups.len(),
                _ => continue,
            };
            map.set_max_entries(values.max(1) as u32)?;
        }
        Ok(())
    }

    /// Fills the filter maps, all but the tree, before anything is attached.
    pub fn fill_maps(&self, object: &Object) -> Result<()> {
        for map in object.maps() {
            let insert = |key: &[u8], value: &[u8]| {
                map.update(key, value, MapFlags::ANY)
                    .with_context(|| format!("set {}", map.name().to_string_lossy()))
            };
            let number = |value: &u32| Ok(value.to_ne_bytes());
            match map.name().to_str() {
                Some("filter_pids") => insert_all(self.pids.entries(number)?, insert)?,
                Some("filter_ppids") => insert_all(self.ppids.entries(number)?, insert)?,
                Some("filter_uids") => insert_all(self.uids.entries(number)?, insert)?,
                Some("filter_comms") => insert_all(self.comms.entries(|comm| Ok(*comm))?, insert)?,
                Some("filter_ancestor_pids") => {
                    self.ancestor_pids
                        .iter()
                        .try_for_each(|pid| insert(&pid.to_ne_bytes(), &[1]))?;
                }
                Some("filter_ancestor_comms") => {
                    self.ancestor_comms.iter().try_for_each(|comm| insert(comm, &[1]))?;
                }
                Some("filter_cgroups") => {
                    let folders = self.cgroups.only.iter().chain(&self.cgroups.not);
                    for (index, folder) in (0u32..).zip(folders) {
                        let folder = fs::File::open(folder)
                            .with_context(|| format!("open cgroup {}", folder.display()))?;
                        insert(&index.to_ne_bytes(), &folder.as_raw_fd().to_ne_bytes())?;
                    }
                }
                Some("filter_cgroup_ids") => {
                    insert_all(self.cgroups.entries(cgroup_id)?, insert)?;
                }
                Some("filter_tree") => {
                    self.tree.iter().try_for_each(|pid| insert(&pid.to_ne_bytes(), &[ONLY]))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds the existing descendants of the trees, after forks are being followed.
    pub fn add_descendants(&self, object: &Object) -> Result<()> {
        let Some(map) = object.maps().find(|map| map.name() == "filter_tree") else {
            return Ok(());
        };
        let mut known: HashSet<u32> = self.tree.iter().copied().collect();
        // A process found in one round may have forked before it was added: look again
        // until a round finds nothing new.
        loop {
            let new: Vec<u32> = processes()
                .filter(|(pid, ppid)| known.contains(ppid) && !known.contains(pid))
                .map(|(pid, _)| pid)
                .collect();
            if new.is_empty() {
                return Ok(());
            }
            for pid in new {
                map.update(&pid.to_ne_bytes(), &[1], MapFlags::ANY).context("set filter_tree")?;
                known.insert(pid);
            }
        }
    }
}

/// The process ids among them.
fn pids_of(ancestors: &[Ancestor]) -> Vec<u32> {
    let pid = |one: &Ancestor| if let Ancestor::Pid(pid) = one { Some(*pid) } else { None };
    ancestors.iter().filter_map(pid).collect()
}

/// The names.
fn comms_of(ancestors: &[Ancestor]) -> Vec<[u8; 16]> {
    let comm = |one: &Ancestor| if let Ancestor::Comm(comm) = one { Some(*comm) } else { None };
    ancestors.iter().filter_map(comm).collect()
}

fn insert_all<K: AsRef<[u8]>>(
    entries: BTreeMap<K, u8>,
    insert: impl Fn(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    entries.into_iter().try_for_each(|(key, flags)| insert(key.as_ref(), &[flags]))
}

/// The id of the cgroup with this folder, as `filter_cgroup_ids` has it.
fn cgroup_id(folder: &PathBuf) -> Result<[u8; 8]> {
    let metadata = fs::metadata(folder);
    Ok(metadata.with_context(|| format!("open cgroup {}", folder.display()))?.ino().to_ne_bytes())
}

/// All processes and their parents, from /proc.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    pids().filter_map(|pid| Some((pid, Stat::read(pid)?.ppid()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_parent_is_found_in_proc() {
        let me = std::process::id();
        let parent = processes().find(|&(pid, _)| pid == me).map(|(_, ppid)| ppid);
        assert_eq!(parent, Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn only_given_filters_are_on() {
        let mut config = snoop_config::default();
        let filters = Filters {
            uids: Named::new(&[0], &[]),
            comms: Named::new(&[], &[[b'x'; 16]]),
            tree: vec![1],
            ..Filters::default()
        };
        filters.configure(&mut config).unwrap();
        let expected = snoop_filter::FILTER_BY_UID.0
            | snoop_filter::FILTER_NOT_COMM.0
            | snoop_filter::FILTER_BY_TREE.0;
        assert_eq!(config.filters.0, expected);
        assert_eq!(config.self_pid, std::process::id());
    }

    #[test]
    fn one_process_is_a_constant() {
        let only = |only: &[u32], not: &[u32]| {
            let mut config = snoop_config::default();
            let pids = Named::new(only, not);
            Filters { pids, ..Filters::default() }.configure(&mut config).unwrap();
            (config.only_pid, config.not_pid)
        };
        assert_eq!([only(&[], &[]), only(&[7], &[])], [(0, 0), (7, 0)]);
        assert_eq!([only(&[7, 8], &[9]), only(&[], &[9, 7])], [(0, 9), (0, 0)]);
    }

    #[test]
    fn a_value_of_both_flags_is_one_entry() {
        let entries = Named::new(&[1u32, 2, 1], &[2, 3]).entries(|n| Ok(n.to_ne_bytes())).unwrap();
        let expected = [(1u32, ONLY), (2, ONLY | NOT), (3, NOT)];
        assert_eq!(entries, expected.map(|(key, flags)| (key.to_ne_bytes(), flags)).into());
    }
}
