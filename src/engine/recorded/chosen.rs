//! The filters that the kernel applies to a live run, applied to recorded values.

use std::os::unix::ffi::OsStrExt as _;

use crate::engine::cli::{Ancestor, CommonArgs};
use crate::host::cgroup;
use crate::host::context::{self, Ancestors};
use crate::output::escape::until_nul;
use crate::skel::task_id;

/// The filters of the command line, but for `--tree`.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    pids: Vec<u32>,
    ppids: Vec<u32>,
    uids: Vec<u32>,
    comms: Vec<[u8; 16]>,
    cgroups: Vec<Vec<u8>>,
    not_pids: Vec<u32>,
    not_uids: Vec<u32>,
    not_comms: Vec<[u8; 16]>,
    not_cgroups: Vec<Vec<u8>>,
    ancestors: Vec<Ancestor>,
}

impl Chosen {
    /// Those of these flags.
    pub fn new(args: &CommonArgs) -> Self {
        let path =
            |folder: &std::path::Path| cgroup::below_mount(folder).as_os_str().as_bytes().to_vec();
        let paths = |cgroups: &[cgroup::Cgroup]| {
            cgroups.iter().map(|cgroup| path(&cgroup.folder)).collect()
        };
        Self {
            pids: args.pid.clone(),
            ppids: args.ppid.clone(),
            uids: args.uid.clone(),
            comms: args.comm.clone(),
            cgroups: paths(&args.cgroup),
            not_pids: args.not_pid.clone(),
            not_uids: args.not_uid.clone(),
            not_comms: args.not_comm.clone(),
            not_cgroups: paths(&args.not_cgroup),
            ancestors: args.ancestor.clone(),
        }
    }

    /// All of them.
    pub fn all(&self, id: &task_id, cgroup: Option<&[u8]>) -> bool {
        self.itself(id) && self.parent(id) && self.cgroup(cgroup)
    }

    /// By id, user and name.
    pub fn itself(&self, id: &task_id) -> bool {
        let is_named = |name: &[u8; 16]| {
            let name = until_nul(name);
            name == id.comm() || name == id.thread_comm()
        };
        let is_left_out = self.not_pids.contains(&id.pid)
            || self.not_uids.contains(&id.uid)
            || self.not_comms.iter().any(is_named);
        !is_left_out
            && (self.pids.is_empty() || self.pids.contains(&id.pid))
            && (self.uids.is_empty() || self.uids.contains(&id.uid))
            && (self.comms.is_empty() || self.comms.iter().any(is_named))
    }

    /// Whether `--not-comm` has the thread's own name.
    pub fn leaves_out_thread(&self, id: &task_id) -> bool {
        self.not_comms.iter().any(|name| until_nul(name) == id.thread_comm())
    }

    /// By parent.
    pub fn parent(&self, id: &task_id) -> bool {
        self.ppids.is_empty() || self.ppids.contains(&id.ppid)
    }

    /// By cgroup: in it or below.
    pub fn cgroup(&self, path: Option<&[u8]>) -> bool {
        let holds = |cgroup: &Vec<u8>| {
            let below = path.and_then(|path| path.strip_prefix(cgroup.as_slice()));
            cgroup == b"/" && path.is_some()
                || below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let is_left_out =
            !self.not_cgroups.is_empty() && (path.is_none() || self.not_cgroups.iter().any(holds));
        !is_left_out && (self.cgroups.is_empty() || self.cgroups.iter().any(holds))
    }

    /// By the processes above. `None`: that is not known.
    pub fn below(&self, ancestors: Option<&Ancestors>) -> Option<bool> {
        if self.ancestors.is_empty() {
            return Some(true);
        }
        let is_one = |above: &context::Ancestor| {
            self.ancestors.iter().any(|asked| match asked {
                Ancestor::Pid(pid) => above.pid == *pid,
                Ancestor::Comm(comm) => until_nul(&above.comm) == until_nul(comm),
            })
        };
        let ancestors = ancestors?;
        let has_one = ancestors.chain.iter().any(is_one);
        (has_one || !ancestors.more).then_some(has_one)
    }

    /// Whether the processes above must be known.
    pub fn needs_ancestors(&self) -> bool {
        !self.ancestors.is_empty()
    }

    /// Whether a cgroup must be known.
    pub fn needs_cgroup(&self) -> bool {
        !(self.cgroups.is_empty() && self.not_cgroups.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_what_was_recorded() {
        let mut id = task_id { pid: 7, ppid: 3, uid: 5, ..task_id::default() };
        id.comm[..2].copy_from_slice(b"sh");
        id.thread_comm[..4].copy_from_slice(b"work");
        let name = |text: &[u8]| {
            let mut comm = [0; 16];
            comm[..text.len()].copy_from_slice(text);
            vec![comm]
        };
        let none = Chosen::default;
        assert!(none().all(&id, None));
        assert!(Chosen { pids: vec![7], ppids: vec![3], uids: vec![5], ..none() }.all(&id, None));
        assert!(!Chosen { pids: vec![8], ..none() }.all(&id, None));
        assert!(!Chosen { ppids: vec![7], ..none() }.all(&id, None));
        assert!(!Chosen { uids: vec![0], ..none() }.all(&id, None));
        for (text, is) in [(&b"sh"[..], true), (b"work", true), (b"s", false), (b"shx", false)] {
            assert_eq!(Chosen { comms: name(text), ..none() }.all(&id, None), is);
        }
        let in_cgroup = |cgroup: &[u8], path: Option<&[u8]>| {
            Chosen { cgroups: vec![cgroup.to_vec()], ..none() }.all(&id, path)
        };
        assert!(in_cgroup(b"/a", Some(b"/a")) && in_cgroup(b"/a", Some(b"/a/b")));
        assert!(in_cgroup(b"/", Some(b"/a")) && in_cgroup(b"/", Some(b"/")));
        assert!(!in_cgroup(b"/a", Some(b"/ab")) && !in_cgroup(b"/a", None));
        let not_in_cgroup = |path: Option<&[u8]>| {
            let cgroups = vec![b"/".to_vec()];
            Chosen { cgroups, not_cgroups: vec![b"/a".to_vec()], ..none() }.all(&id, path)
        };
        assert!(not_in_cgroup(Some(b"/ab")) && !not_in_cgroup(Some(b"/a/b")));
        assert!(!not_in_cgroup(None), "nobody knows");
        assert!(!Chosen { not_pids: vec![7], pids: vec![7], ..none() }.all(&id, None));
        assert!(Chosen { not_pids: vec![8], not_uids: vec![0], ..none() }.all(&id, None));
        assert!(!Chosen { not_uids: vec![5], ..none() }.all(&id, None));
        for (text, is) in [(&b"sh"[..], false), (b"work", false), (b"s", true)] {
            assert_eq!(Chosen { not_comms: name(text), ..none() }.all(&id, None), is);
        }
    }

    #[test]
    fn below_one_that_is_asked_for() {
        let one = |pid, comm: &[u8]| {
            let mut above = context::Ancestor { pid, ..context::Ancestor::default() };
            above.comm[..comm.len()].copy_from_slice(comm);
            above
        };
        let chain = |more| Ancestors { chain: vec![one(900, b"bash"), one(1, b"init")], more };
        let by = |asked: Ancestor| Chosen { ancestors: vec![asked], ..Chosen::default() };
        let mut bash = [0; 16];
        bash[..4].copy_from_slice(b"bash");
        assert_eq!(Chosen::default().below(None), Some(true));
        assert_eq!(by(Ancestor::Pid(1)).below(Some(&chain(false))), Some(true));
        assert_eq!(by(Ancestor::Comm(bash)).below(Some(&chain(true))), Some(true));
        assert_eq!(by(Ancestor::Pid(7)).below(Some(&chain(false))), Some(false));
        assert_eq!(by(Ancestor::Pid(7)).below(Some(&chain(true))), None, "it may be above these");
        assert_eq!(by(Ancestor::Pid(7)).below(None), None);
    }
}
