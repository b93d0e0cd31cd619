//! `--filter`: which events are left out, by the JSON that they have.

use std::rc::Rc;

use super::Session;
use crate::host::container::Container;
use crate::host::context::Context;
use crate::output::escape::until_nul;
use crate::output::filter::Expr;
use crate::output::row::{Common, Slot, View};
use crate::output::time::Epoch;
use crate::skel::task_id;

/// Where an event happened, and what is told of its process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// Path of the cgroup, if known
    pub cgroup: Option<&'a [u8]>,
    /// What is known of its container
    pub container: Option<&'a Rc<Container>>,
    /// For times of birth
    pub epoch: Epoch,
    /// What `--login` and `--ancestors` tell
    pub told: Option<&'a Context>,
}

/// `--filter`, and what it has left out.
pub(super) struct Sieve {
    expr: Expr,
    /// The JSON of the event
    pub(super) line: Vec<u8>,
    left_out: u64,
}

impl Sieve {
    pub(super) fn new(expr: Expr) -> Self {
        Self { expr, line: Vec::new(), left_out: 0 }
    }

    /// Whether an event passes, whose JSON `write` appends.
    fn passes(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.line.clear();
        write(&mut self.line);
        let passes = self.expr.is_true_of(&self.line);
        self.left_out += u64::from(!passes);
        passes
    }
}

impl Session {
    /// Whether `--filter` lets an event pass, which has the row that [`Session::row`] would append.
    pub fn passes<F, E>(
        &mut self,
        view: &View<F>,
        id: &task_id,
        event: &'static str,
        row: &E,
    ) -> bool
    where
        F: Copy + Fn(&E, &mut Slot<'_, '_>),
    {
        let since_ns = self.since_ns(id.time_ns);
        self.passes_as(id, |line, time, place| {
            let Place { cgroup, container, epoch, told } = place;
            let container = container.map(|container| &**container);
            let common =
                Common { id, event, time, since_ns, cgroup, container, epoch, context: told };
            view.object(line, &common, row);
        })
    }

    /// The same for a tool that writes its JSON itself: `write` gets the time and the place.
    pub fn passes_as(
        &mut self,
        id: &task_id,
        write: impl FnOnce(&mut Vec<u8>, &str, Place<'_>),
    ) -> bool {
        self.told = self.contexts.of(id, self.errands.as_mut());
        let Some(mut sieve) = self.sieve.take() else { return true };
        let time = self.clock.stamp(id.time_ns).to_owned();
        let place = self.place(id);
        let passes = sieve.passes(|line| write(line, &time, place));
        self.sieve = Some(sieve);
        passes
    }

    /// Appends a line of JSON, for a tool that writes it itself: `write` gets the time and the place.
    pub fn json_line(&mut self, id: &task_id, write: impl FnOnce(&mut Vec<u8>, &str, Place<'_>)) {
        if let Some(sieve) = &self.sieve {
            self.out.json_lines(|out| out.extend_from_slice(&sieve.line)); // just judged
        } else {
            let epoch = self.clock.epoch();
            let (time, cgroup) = (self.clock.stamp(id.time_ns), self.cgroups.path(id));
            let container = self.containers.of(cgroup, id.time_ns, self.errands.as_mut());
            let place = Place { cgroup, container, epoch, told: self.told.as_ref() };
            self.out.json_lines(|out| write(out, time, place));
        }
        self.out.json_lines(|out| out.push(b'\n'));
    }

    /// Where an event happened that was just judged.
    pub fn place(&mut self, id: &task_id) -> Place<'_> {
        let cgroup = self.cgroups.path(id);
        let container = self.containers.of(cgroup, id.time_ns, self.errands.as_mut());
        Place { cgroup, container, epoch: self.clock.epoch(), told: self.told.as_ref() }
    }

    /// What `--login` and `--ancestors` tell of the event that was just judged.
    pub fn take_told(&mut self) -> Option<Context> {
        self.told.take()
    }

    /// Looks up the containers that there are, which may end before anything is shown of them.
    pub(crate) fn find_containers(&mut self) {
        for path in self.cgroups.containers() {
            self.containers.of(Some(&path), self.started_ns, self.errands.as_mut());
        }
    }

    /// A new cgroup, with its path up to a NUL: what may be gone soon is looked up now.
    pub(crate) fn cgroup_is_born(&mut self, id: &task_id, path: &[u8]) {
        let path = until_nul(path);
        self.cgroups.born(id.cgroup, path);
        self.containers.of(Some(path), id.time_ns, self.errands.as_mut());
    }

    /// Whether the next row is left out, by the JSON of this one.
    pub fn judge<F, E>(&mut self, view: &View<F>, id: &task_id, event: &'static str, row: &E)
    where
        F: Copy + Fn(&E, &mut Slot<'_, '_>),
    {
        self.is_left_out = !self.passes(view, id, event, row);
    }

    /// Events that `--filter` has left out.
    pub(super) fn filtered(&self) -> u64 {
        self.sieve.as_ref().map_or(0, |sieve| sieve.left_out) + self.filtered_before
    }

    /// `, 3 left out by --filter`, or nothing where there is no filter.
    pub(super) fn filtered_in_words(&self) -> String {
        match (&self.sieve, self.filtered()) {
            (None, 0) => String::new(),
            (_, filtered) => format!(", {filtered} left out by --filter"),
        }
    }
}
