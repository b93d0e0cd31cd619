//! Names of containers, remembered: a helper looks up each one once.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::engine::errand::{Errands, Serve};
use crate::engine::recorded::{Line, Reading};
use crate::host::cgroup::container_id;
use crate::host::container::{Asked, Container, Places};
use crate::output::json;

/// The most containers to remember; if more come, the memory starts again from nothing.
const REMEMBERED: usize = 1024;

/// If a lookup fails, retry on later events: its runtime may not have written the file yet. At most
/// `TRIES` times, and not sooner than `RETRY_NS` after the last one.
const RETRY_NS: u64 = 20_000_000;
const TRIES: u32 = 8;

/// What is known of the containers of events.
#[derive(Debug, Default)]
pub struct Containers {
    /// By id
    known: HashMap<String, Known>,
    /// Names are asked for
    is_on: bool,
    /// The answer to all questions: see [`Containers::give`]
    given: Option<Option<Rc<Container>>>,
}

/// An answer, or failed tries.
#[derive(Debug, Default)]
struct Known {
    container: Option<Rc<Container>>,
    tried_ns: u64,
    tries: u32,
}

impl Containers {
    /// Looks up names, if `is_on`.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    /// From now on, the container of any event is this one: it was recorded, and is not looked up.
    pub(crate) fn give(&mut self, container: Option<Container>) {
        self.given = Some(container.map(Rc::new));
    }

    /// The container of an event at `now_ns` in the cgroup with this path.
    pub fn of(
        &mut self,
        cgroup: Option<&[u8]>,
        now_ns: u64,
        errands: Option<&mut Errands>,
    ) -> Option<&Rc<Container>> {
        if self.given.is_some() {
            return self.given.as_ref()?.as_ref();
        }
        let (cgroup, errands) = (cgroup.filter(|_| self.is_on)?, errands?);
        let id = container_id(cgroup)?;
        if self.is_due(id, now_ns) {
            let answer = errands.ask_containers(&[id.as_bytes(), cgroup].concat());
            let container = answer.and_then(|json| serde_json::from_slice(&json).ok()).flatten();
            self.remember(id, container, now_ns);
        }
        self.known.get(id)?.container.as_ref()
    }

    fn is_due(&self, id: &str, now_ns: u64) -> bool {
        self.known.get(id).is_none_or(|known| {
            known.container.is_none()
                && known.tries < TRIES
                && now_ns >= known.tried_ns.saturating_add(RETRY_NS)
        })
    }

    fn remember(&mut self, id: &str, container: Option<Container>, now_ns: u64) {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(id) {
            self.known.clear();
        }
        let known = self.known.entry(id.to_owned()).or_default();
        known.container = container.map(Rc::new);
        (known.tried_ns, known.tries) = (now_ns, known.tries + 1);
    }
}

/// The helper's side: from an id and the path of its cgroup to JSON of an `Option<Container>`.
/// `labels`: those that are asked for.
pub(crate) fn errand(labels: Vec<String>) -> impl Fn() -> Serve {
    // Each once: an object has no member twice.
    let labels: Vec<String> = labels.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    move || {
        let labels = labels.clone();
        Box::new(move |request| {
            let asked = request.split_at_checked(64).and_then(|(id, cgroup)| {
                Some(Asked { id: std::str::from_utf8(id).ok()?, cgroup, labels: &labels })
            });
            let found = asked.and_then(|asked| Places::default().find(&asked));
            let mut bytes = Vec::new();
            let _ = json::write(&mut bytes, &found); // a Vec takes everything
            bytes
        })
    }
}

/// The container of a recorded event, if any of its members is there.
pub(crate) fn recorded(line: &Line) -> Reading<Option<Container>> {
    let text = |key| line.text(key).map(|text| text.map(str::to_owned));
    let container = Container {
        runtime: text("container.runtime.name")?,
        name: text("container.name")?,
        image_name: text("container.image.name")?,
        image_tag: line
            .texts("container.image.tags")?
            .and_then(|tags| Some((*tags.first()?).to_owned())),
        image_id: text("container.image.id")?,
        pod_name: text("k8s.pod.name")?,
        pod_uid: text("k8s.pod.uid")?,
        namespace: text("k8s.namespace.name")?,
        name_in_pod: text("k8s.container.name")?,
        labels: line.pairs("container.label")?,
        pod_labels: line.pairs("k8s.pod.label")?,
    };
    Ok(Some(container).filter(|container| *container != Container::default()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::errand::Staff;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn each_is_asked_for_once_and_failures_a_few_times() {
        thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });
        let serve = |found: bool| {
            move || -> Serve {
                Box::new(move |request| {
                    assert!(request.starts_with(ID.as_bytes()));
                    ASKED.set(ASKED.get() + 1);
                    let name = Some(format!("{}", ASKED.get()));
                    let container = found.then(|| Container { name, ..Container::default() });
                    serde_json::json!(container).to_string().into_bytes()
                })
            }
        };
        let path = format!("/docker/{ID}");
        let mut errands = Errands::start_with(&Staff {
            of_containers: Some(Box::new(serve(true))),
            ..Staff::default()
        })
        .unwrap();
        let mut containers = Containers::new(true);
        for _ in 0..3 {
            let found = containers.of(Some(path.as_bytes()), 0, Some(&mut errands));
            assert_eq!(found.and_then(|found| found.name.as_deref()), Some("1"));
        }
        assert!(containers.of(Some(b"/x"), 0, Some(&mut errands)).is_none());
        assert!(containers.of(None, 0, Some(&mut errands)).is_none());
        let mut off = Containers::new(false);
        assert!(off.of(Some(path.as_bytes()), 0, Some(&mut errands)).is_none());

        let mut containers = Containers::new(true);
        let mut tries = 0;
        for now_ns in (0..10_000_000_000).step_by(5_000_000) {
            tries += u32::from(containers.is_due(ID, now_ns));
            if containers.is_due(ID, now_ns) {
                containers.remember(ID, None, now_ns);
            }
        }
        assert_eq!(tries, TRIES);
    }

    #[test]
    fn memory_is_bounded() {
        let mut containers = Containers::new(true);
        for number in 0..3 * REMEMBERED {
            containers.remember(&number.to_string(), None, 0);
            assert!(containers.known.len() <= REMEMBERED);
        }
    }

    #[test]
    fn a_recorded_one_is_not_looked_up() {
        let line = Line::parse(
            br#"{"container":{"id":"x","name":"web","image":{"name":"a","tags":["b"]},"label":{"c.d":"e"}}}"#,
            0,
        );
        let found = recorded(&line.unwrap()).unwrap();
        let mut containers = Containers::new(false);
        containers.give(found);
        let found = containers.of(None, 0, None).unwrap();
        assert_eq!(found.name.as_deref(), Some("web"));
        assert_eq!(found.image_tag.as_deref(), Some("b"));
        assert_eq!(found.labels, [("c.d".to_owned(), "e".to_owned())]);
        assert_eq!(recorded(&Line::parse(b"{}", 0).unwrap()), Ok(None));
        assert!(recorded(&Line::parse(br#"{"container":{"name":7}}"#, 0).unwrap()).is_err());
    }
}
