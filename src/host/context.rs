//! Who is behind a process, and which processes are above it: what `--login` and `--ancestors` tell
//! of an event.

use std::rc::Rc;

use crate::skel::{context_link, context_login};

/// `CONTEXT_NO_ID` of context.h
const CONTEXT_NO_ID: u32 = u32::MAX;

/// What is told of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// `--login`
    pub login: Option<Login>,
    /// `--ancestors`
    pub ancestors: Option<Ancestors>,
    /// Something that was asked for is not known: its records found no room, or the kernel had
    /// none to send
    pub is_missing: bool,
}

/// Who is behind a process. Ids are those of the initial namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user who logged in; `None`: the process descends from no login
    pub user: Option<u32>,
    /// The session of the audit system
    pub audit_session: Option<u32>,
    /// The process that leads the session, and its birth (`CLOCK_BOOTTIME`, ns; 0: it has ended)
    pub session_leader: Option<(u32, u64)>,
    /// The process that leads the process group
    pub group_leader: Option<u32>,
    /// Real and effective group
    pub group: u32,
    pub effective_group: u32,
    /// The controlling terminal, as below `/dev`; empty: none
    pub tty: Vec<u8>,
    /// Names of the ids, as far as they are known
    pub names: Names,
}

/// Names of users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub login_user: Option<Name>,
    pub user: Option<Name>,
    pub real_user: Option<Name>,
    pub group: Option<Name>,
    pub real_group: Option<Name>,
}

/// One of them, which may be shared with other events.
pub type Name = Rc<[u8]>;

/// The processes above one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestors {
    /// The parent first
    pub chain: Vec<Ancestor>,
    /// There are more above
    pub more: bool,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestor {
    /// Its id in the initial PID namespace
    pub pid: u32,
    /// Its birth, `CLOCK_BOOTTIME` in nanoseconds; 0 if it is not known
    pub start_ns: u64,
    /// How many executions led to its program; 0 if it is not known
    pub exec_id: u32,
    /// Its name, NUL-terminated
    pub comm: [u8; 16],
    /// Its command line, each argument with its NUL, if it is known
    pub args: Option<Name>,
}

impl Ancestors {
    /// At most so many, the nearest ones.
    pub fn cut(&mut self, most: u32) {
        self.more |= self.chain.len() > most as usize;
        self.chain.truncate(most as usize);
    }
}

impl Login {
    /// From the kernel's record.
    pub fn new(record: &context_login) -> Self {
        let known = |id: u32| (id != CONTEXT_NO_ID).then_some(id);
        let some = |pid: u32| (pid != 0).then_some(pid);
        let leader = some(record.session_leader);
        Self {
            user: known(record.login_uid),
            audit_session: known(record.audit_session),
            session_leader: leader.map(|pid| (pid, record.session_leader_start_ns)),
            group_leader: some(record.group_leader),
            group: record.gid,
            effective_group: record.egid,
            tty: terminal(&record.tty),
            names: Names::default(),
        }
    }
}

/// The name of a terminal below `/dev`: the kernel's name is `pts7` for `pts/7`.
fn terminal(name: &[u8]) -> Vec<u8> {
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let number = name.strip_prefix(b"pts").filter(|number| !number.is_empty());
    match number.filter(|number| number.iter().all(u8::is_ascii_digit)) {
        Some(number) => [b"pts/", number].concat(),
        None => name.to_vec(),
    }
}

impl From<&context_link> for Ancestor {
    fn from(record: &context_link) -> Self {
        Self {
            pid: record.pid,
            start_ns: record.start_ns,
            exec_id: record.exec_id,
            comm: record.comm,
            args: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_named_as_below_dev() {
        let named = |name: &[u8]| {
            let mut tty = [0; 32];
            tty[..name.len()].copy_from_slice(name);
            String::from_utf8(terminal(&tty)).unwrap()
        };
        let cases = [("pts0", "pts/0"), ("pts123", "pts/123"), ("ttyS0", "ttyS0"), ("", "")];
        for (kernel, shown) in cases.into_iter().chain([("pts", "pts"), ("ptsx", "ptsx")]) {
            assert_eq!(named(kernel.as_bytes()), shown);
        }
    }

    #[test]
    fn what_is_not_set_is_not_known() {
        let none = CONTEXT_NO_ID;
        let record = context_login { login_uid: none, audit_session: none, ..Default::default() };
        assert_eq!(Login::new(&record), Login::default());
        let record = context_login { login_uid: 0, session_leader: 7, group_leader: 8, ..record };
        let login = Login::new(&record);
        assert_eq!((login.user, login.audit_session), (Some(0), None));
        assert_eq!((login.session_leader, login.group_leader), (Some((7, 0)), Some(8)));
    }
}
