//! The filters of the command line, brought into the kernel: `filter.bpf.h` applies them.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{MapCore, MapFlags, Object, OpenObject};

use crate::engine::backend::Job;
use crate::engine::channel::BufferChoice;
use crate::engine::cli::{Ancestor, CommonArgs};
use crate::engine::context::Wanted;
use crate::engine::errand;
use crate::host::pidns;
use crate::host::proc::{Stat, pids};
use crate::skel::{snoop_config, snoop_filter};

/// `MAX_CGROUP_FILTERS` of common.h.
const MAX_CGROUPS: usize = 64;

/// Processes of all trees, or with a row, that can live at once; 5 MiB of kernel memory.
const MOST_PROCESSES: usize = 64 * 1024;

/// The common filters: each tool may have more.
#[derive(Debug, Default)]
pub struct Filters {
    pids: Vec<u32>,
    ppids: Vec<u32>,
    uids: Vec<u32>,
    comms: Vec<[u8; 16]>,
    cgroups: Vec<std::path::PathBuf>,
    tree: Vec<u32>,
    ancestor_pids: Vec<u32>,
    ancestor_comms: Vec<[u8; 16]>,
    /// What is told of each event besides
    context: Wanted,
    /// See [`CommonArgs::filters_that_change`]
    can_change: bool,
}

impl Filters {
    /// Checks the number of values; the error is one line, for a refusal before anything begins.
    pub fn check(args: &CommonArgs) -> Result<(), String> {
        if args.cgroup.len() > MAX_CGROUPS {
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
        Ok(Self {
            pids: args.pid.clone(),
            ppids: args.ppid.clone(),
            uids: args.uid.clone(),
            comms: args.comm.clone(),
            cgroups: args.cgroup.iter().map(|cgroup| cgroup.folder.clone()).collect(),
            tree: args.tree.iter().copied().chain(command).collect(),
            ancestor_pids: pids_of(&args.ancestor),
            ancestor_comms: comms_of(&args.ancestor),
            context: Wanted::new(args),
            can_change: args.filters_that_change(),
        })
    }

    /// Programs that follow forks and exits for `--tree` and `-- COMMAND`. A tool that shows ends
    /// has no such program on exits: its own program forgets the process.
    pub fn jobs(&self) -> Vec<Job> {
        if self.tree.is_empty() {
            return Vec::new();
        }
        vec![
            Job::adds("tree_fork", "what descendants do").or("tree_fork_btf"),
            Job::adds("tree_exit", "whether a process has taken over a descendant's id")
                .or("tree_exit_btf"),
        ]
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
            _ => false,
        }
    }

    /// Writes which filters are on into the programs' configuration.
    ///
    /// # Errors
    ///
    /// There are filters by process id, and the PID namespace of the ids is unknown.
    pub fn configure(&self, config: &mut snoop_config) -> Result<()> {
        let on = |values: usize, filter: snoop_filter| if values > 0 { filter.0 } else { 0 };
        config.filters = snoop_filter(
            on(self.pids.len(), snoop_filter::FILTER_BY_PID)
                | on(self.ppids.len(), snoop_filter::FILTER_BY_PPID)
                | on(self.uids.len(), snoop_filter::FILTER_BY_UID)
                | on(self.comms.len(), snoop_filter::FILTER_BY_COMM)
                | on(self.cgroups.len(), snoop_filter::FILTER_BY_CGROUP)
                | on(self.tree.len(), snoop_filter::FILTER_BY_TREE)
                | on(self.ancestor_pids.len(), snoop_filter::FILTER_BY_ANCESTOR_PID)
                | on(self.ancestor_comms.len(), snoop_filter::FILTER_BY_ANCESTOR_COMM),
        );
        config.context = self.context.bits();
        config.ancestors = self.context.ancestors.unwrap_or(0);
        config.cgroups = self.cgroups.len() as u32;
        config.self_pid = std::process::id();
        config.keeper_pid = errand::keeper_pid().unwrap_or(0);
        config.only_pid = if let [pid] = self.pids[..] { pid } else { 0 };
        let by_id = [&self.pids, &self.ppids, &self.tree, &self.ancestor_pids];
        let is_by_id = by_id.iter().any(|ids| !ids.is_empty());
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
            match map.name().to_str() {
                Some("filter_pids") => insert_all(&self.pids, insert)?,
                Some("filter_ppids") => insert_all(&self.ppids, insert)?,
                Some("filter_uids") => insert_all(&self.uids, insert)?,
                Some("filter_ancestor_pids") => insert_all(&self.ancestor_pids, insert)?,
                Some("filter_ancestor_comms") => {
                    self.ancestor_comms.iter().try_for_each(|c| insert(c, &[1]))?;
                }
                Some("filter_comms") => self.comms.iter().try_for_each(|c| insert(c, &[1]))?,
                Some("filter_cgroups") => {
                    for (index, folder) in (0u32..).zip(&self.cgroups) {
                        let folder = fs::File::open(folder)
                            .with_context(|| format!("open cgroup {}", folder.display()))?;
                        insert(&index.to_ne_bytes(), &folder.as_raw_fd().to_ne_bytes())?;
                    }
                }
                Some("filter_cgroup_ids") => {
                    for folder in &self.cgroups {
                        let id = fs::metadata(folder)
                            .with_context(|| format!("open cgroup {}", folder.display()))?
                            .ino();
                        insert(&id.to_ne_bytes(), &[1])?;
                    }
                }
                Some("filter_tree") => insert_all(&self.tree, insert)?,
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

fn insert_all(keys: &[u32], insert: impl Fn(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    keys.iter().try_for_each(|key| insert(&key.to_ne_bytes(), &[1]))
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
        let filters = Filters { uids: vec![0], tree: vec![1], ..Filters::default() };
        filters.configure(&mut config).unwrap();
        let expected = snoop_filter::FILTER_BY_UID.0 | snoop_filter::FILTER_BY_TREE.0;
        assert_eq!(config.filters.0, expected);
        assert_eq!(config.self_pid, std::process::id());
    }

    #[test]
    fn one_process_is_a_constant() {
        let only = |pids: &[u32]| {
            let mut config = snoop_config::default();
            Filters { pids: pids.to_vec(), ..Filters::default() }.configure(&mut config).unwrap();
            config.only_pid
        };
        assert_eq!([only(&[]), only(&[7]), only(&[7, 8])], [0, 7, 0]);
    }
}
