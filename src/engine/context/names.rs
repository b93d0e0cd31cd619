//! Names of users and groups, remembered.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::errand::Question;
use crate::engine::errand::Errands;
use crate::host::context::Name;

/// The most names to remember; if more come, the memory starts again from nothing.
const MOST: usize = 4096;

/// So long a name is believed, and so long it is believed that there is none.
const FRESH: Duration = Duration::from_secs(600);
const FRESH_NONE: Duration = Duration::from_secs(30);

/// After a question without an answer in time, none is asked for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// What was answered.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<(bool, u32), (Instant, Option<Name>)>,
    pause_until: Option<Instant>,
}

impl Names {
    /// The name of a user, if it is known.
    pub(super) fn user(&mut self, uid: u32, errands: &mut Errands) -> Option<Name> {
        self.name((true, uid), Question::User(uid), errands)
    }

    /// The name of a group, if it is known.
    pub(super) fn group(&mut self, gid: u32, errands: &mut Errands) -> Option<Name> {
        self.name((false, gid), Question::Group(gid), errands)
    }

    fn name(
        &mut self,
        key: (bool, u32),
        question: Question<'_>,
        errands: &mut Errands,
    ) -> Option<Name> {
        let now = Instant::now();
        let old = self.known.get(&key);
        if let Some((since, name)) = old {
            let fresh = if name.is_some() { FRESH } else { FRESH_NONE };
            if now.duration_since(*since) < fresh {
                return name.clone();
            }
        }
        let old = old.and_then(|(_, name)| name.clone());
        if self.pause_until.is_some_and(|until| now < until) {
            return old;
        }
        let Some(answer) = errands.ask_context(&question.encode()) else {
            self.pause_until = Some(now + PAUSE);
            return old;
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let name = (!answer.is_empty()).then(|| Name::from(answer));
        self.known.insert(key, (now, name.clone()));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::errand::Staff;

    #[test]
    fn names_are_asked_for_once() {
        let mut errands = Errands::start_with(&Staff {
            of_context: Some(super::super::errand::errand),
            ..Staff::default()
        })
        .unwrap();
        let mut names = Names::default();
        let root = |names: &mut Names, errands: &mut Errands| names.user(0, errands);
        // (A busy machine may take longer than patience lasts.)
        for _ in 0..100 {
            if root(&mut names, &mut errands).is_some() {
                break;
            }
            names.pause_until = None;
        }
        let known = names.known.len();
        assert_eq!(root(&mut names, &mut errands).as_deref(), Some(&b"root"[..]));
        assert_eq!(names.known.len(), known);
        for uid in 0..MOST as u32 + 5 {
            names.known.insert((true, uid), (Instant::now(), None));
        }
        assert_eq!(names.user(3, &mut errands), None, "as it was answered");
    }
}
