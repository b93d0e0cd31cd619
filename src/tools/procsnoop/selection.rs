//! Which recorded processes are shown: the same that the programs choose in a live run (told.bpf.h).
//! A filter selects processes, and what has a row is shown to its end, whatever becomes of it.

use std::collections::{HashMap, HashSet};

use super::Identity;
use super::elders::AskedFor;
use crate::engine::cli::CommonArgs;
use crate::engine::recorded::Chosen;
use crate::engine::replay::{NOT_ALL_ANCESTORS, Recorded};
use crate::output::table::count;
use crate::skel::{process_event, task_id};

/// The most processes to remember; as many ids can live at once on the largest machines.
const MOST: usize = 4 << 20;

/// The filters, and the living processes that have passed them.
#[derive(Debug)]
pub struct Selection {
    chosen: Chosen,
    /// A process may pass at one time, and not at another
    can_change: bool,
    /// `--tree`: living processes of the trees
    tree: Option<HashSet<u32>>,
    /// Whether the event at hand has an ancestor that is asked for
    is_below: bool,
    /// Events of which nobody knows it
    without_ancestors: u64,
    /// Living processes that passed: when they were born, and whether they have a row
    told: HashMap<u32, (u64, bool)>,
}

impl Selection {
    /// By these flags.
    pub fn new(common: &CommonArgs) -> Self {
        let tree = common.tree.iter().copied().collect::<HashSet<_>>();
        Self {
            chosen: Chosen::new(common),
            can_change: common.filters_that_change(),
            tree: Some(tree).filter(|tree| !tree.is_empty()),
            is_below: true,
            without_ancestors: 0,
            told: HashMap::new(),
        }
    }

    /// The next event is this one.
    pub fn look_at(&mut self, event: &Recorded<'_>) {
        let is_below = event.is_below(&self.chosen);
        self.without_ancestors += u64::from(is_below.is_none());
        self.is_below = is_below.unwrap_or(false);
    }

    /// What could not be decided.
    pub fn note(&self) -> Option<String> {
        let events = count(self.without_ancestors, "event");
        let note = || format!("{events} not shown: {NOT_ALL_ANCESTORS}");
        (self.without_ancestors > 0).then(note)
    }

    fn parent(&self, id: &task_id) -> bool {
        self.is_below && self.chosen.parent(id)
    }

    /// Whether it needs to know of all births.
    pub fn needs_births(&self) -> bool {
        self.can_change || self.tree.is_some()
    }

    /// Adds the processes that were older than the recording. `have_row`: they are drawn.
    pub fn older(&mut self, asked_for: &AskedFor<'_>, have_row: bool) {
        if let Some(tree) = &mut self.tree {
            let roots: Vec<u32> = tree.iter().copied().collect();
            tree.extend(asked_for.descendants(&roots));
        }
        if self.can_change {
            for chosen in asked_for.chosen() {
                // Their births are known to the tick only.
                self.told.insert(chosen.pid, (0, have_row));
            }
        }
    }

    /// A birth. `has_row`: it is shown or drawn.
    pub fn birth(&mut self, event: &process_event, cgroup: Option<&[u8]>, has_row: bool) -> bool {
        let id = task_id::from(event.id);
        if let Some(tree) = &mut self.tree {
            if tree.len() < MOST && tree.contains(&id.ppid) {
                tree.insert(id.pid);
            }
        }
        if !self.itself(&id) || !self.parent(&id) || !self.chosen.cgroup(cgroup) {
            return false;
        }
        self.remember(event.identity(), has_row);
        true
    }

    /// An execution: a process without a row so far is judged anew, but for its parent.
    pub fn exec(&mut self, id: &task_id, cgroup: Option<&[u8]>, has_row: bool) -> bool {
        let told = self.told(id);
        if told == Some(true) {
            return true;
        }
        let by_parent = told.is_some() || self.parent(id);
        if self.itself(id) && self.chosen.cgroup(cgroup) && by_parent {
            self.remember(Identity { pid: id.pid, start_ns: id.start_ns }, has_row);
            return true;
        }
        self.told.remove(&id.pid);
        false
    }

    /// The end of a thread, which has a name of its own.
    pub fn thread_exit(&mut self, id: &task_id, cgroup: Option<&[u8]>) -> bool {
        let passes = self.told(id).is_some()
            || self.itself(id) && self.parent(id) && self.chosen.cgroup(cgroup);
        let passes = passes && !self.chosen.leaves_out_thread(id);
        if passes {
            self.remember(Identity { pid: id.pid, start_ns: id.start_ns }, true);
        }
        passes
    }

    /// The end of a process.
    pub fn exit(&mut self, id: &task_id, cgroup: Option<&[u8]>) -> bool {
        // The name of the thread that ends last is not asked for.
        let leader = task_id { thread_comm: id.comm, ..*id };
        let passes = self.told(id).is_some()
            || self.itself(&leader) && self.parent(id) && self.chosen.cgroup(cgroup);
        self.told.remove(&id.pid);
        if let Some(tree) = &mut self.tree {
            tree.remove(&id.pid);
        }
        passes
    }

    fn itself(&self, id: &task_id) -> bool {
        let in_tree = self.tree.as_ref().is_none_or(|tree| tree.contains(&id.pid));
        in_tree && self.chosen.itself(id)
    }

    /// Whether it passed before; if so, whether it has a row.
    fn told(&self, id: &task_id) -> Option<bool> {
        let (start_ns, has_row) = self.told.get(&id.pid)?;
        (*start_ns == 0 || *start_ns == id.start_ns).then_some(*has_row)
    }

    fn remember(&mut self, process: Identity, has_row: bool) {
        if self.can_change && (self.told.len() < MOST || self.told.contains_key(&process.pid)) {
            self.told.insert(process.pid, (process.start_ns, has_row));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::Args;
    use super::*;

    fn selection(flags: &[&str]) -> Selection {
        let mut args = Args::try_parse_from(["procsnoop"].iter().chain(flags)).unwrap();
        // Of a recording: such a process need not live now.
        args.common.tree.iter_mut().for_each(|root| *root = 3);
        Selection::new(&args.common)
    }

    fn process(pid: u32, ppid: u32, comm: &str) -> task_id {
        let mut id = task_id { pid, ppid, start_ns: u64::from(pid), ..task_id::default() };
        id.comm.iter_mut().zip(comm.bytes()).for_each(|(to, from)| *to = from);
        id
    }

    fn birth(selection: &mut Selection, id: task_id) -> bool {
        let event = process_event { id: id.into(), ..process_event::default() };
        selection.birth(&event, None, true)
    }

    #[test]
    fn a_process_with_a_row_is_shown_to_its_end() {
        let mut all = selection(&["--comm", "sh"]);
        assert!(birth(&mut all, process(7, 3, "sh")), "a child of a shell has its name");
        assert!(all.exec(&process(7, 3, "ls"), None, true));
        assert!(all.exit(&process(7, 1, "ls"), None));
        assert!(!all.exit(&process(7, 1, "ls"), None), "the id is free again");
        assert!(!birth(&mut all, process(8, 3, "x")));
        assert!(!all.exit(&process(8, 3, "x"), None));
    }

    #[test]
    fn another_process_of_the_same_id_is_judged_anew() {
        let mut all = selection(&["--comm", "sh"]);
        birth(&mut all, process(7, 3, "sh"));
        let other = task_id { start_ns: 99, ..process(7, 3, "ls") };
        assert!(!all.exec(&other, None, true));
    }

    #[test]
    fn a_tree_grows_by_births() {
        let me = std::process::id().to_string();
        let mut all = selection(&["--tree", &me]);
        assert!(all.needs_births());
        assert!(birth(&mut all, process(7, 3, "a")));
        assert!(birth(&mut all, process(8, 7, "b")));
        assert!(!birth(&mut all, process(9, 1, "c")));
        assert!(all.exit(&process(7, 3, "a"), None) && all.exit(&process(8, 1, "b"), None));
        assert!(!all.exec(&process(9, 1, "c"), None, true));
    }
}
