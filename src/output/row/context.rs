//! The fields of `--login` and `--ancestors`.

use super::{Common, Field, Slot};
use crate::host::context::{Ancestor, Ancestors, Login, Name};
use crate::output::digits::push_number;
use crate::output::escape::{push_cell, until_nul};
use crate::output::json::{Bytes, BytesList, push_list, push_object, push_string};
use crate::output::table::{Column, Line, NOTE};
use crate::output::time::Epoch;

/// Headings of the two columns: that one is shown makes its members part of JSON.
pub const LOGIN: &str = "LOGIN";
pub const ANCESTORS: &str = "ANCESTORS";

impl<F> Field<F> {
    /// Who logged in, and where.
    pub const LOGIN: Self = Self::common(
        Column::left(LOGIN, 14),
        "",
        "the user who logged in, whatever sudo and su made of it since, and @ the controlling \
         terminal; only with --login",
        |common, slot| {
            if let Some(login) = login_of(common) {
                slot.cell(|line| line.text(&login_text(login)));
            }
        },
    );
    /// The chain of parents.
    pub const ANCESTORS: Self = Self::common(
        Column::left(ANCESTORS, 0),
        "",
        "behind #: the processes above, with their ids; ... stands for more of them; only with \
         --ancestors",
        |common, slot| {
            if let Some(ancestors) = ancestors_of(common) {
                slot.cell(|line| ancestors_cell(line, ancestors));
            }
        },
    );

    /// Members that `--login` adds.
    pub(super) const OF_LOGIN: [Self; 15] = [
        Self::json_common(
            "process.login_user.id",
            "with --login: user id of the login that the process descends from, whatever sudo and \
             su made of it since; absent if there was none, as in services",
            |common, slot| slot.optional_number(login_of(common).and_then(|login| login.user)),
        ),
        Self::json_common("process.login_user.name", "name of that user", |common, slot| {
            name(slot, login_of(common).and_then(|login| login.names.login_user.as_ref()));
        }),
        Self::json_common(
            "process.audit_session.id",
            "session of the audit system, which begins with a login",
            |common, slot| {
                slot.optional_number(login_of(common).and_then(|login| login.audit_session));
            },
        ),
        Self::json_common(
            "process.session_leader.pid",
            "process id of the leader of the session",
            |common, slot| slot.optional_number(session_leader(common).map(|(pid, _)| pid)),
        ),
        Self::json_common(
            "process.session_leader.creation.time",
            "its birth; absent if it has ended",
            |common, slot| slot.birth(session_leader(common).map_or(0, |(_, start_ns)| start_ns)),
        ),
        Self::json_common(
            "process.session_leader.start_boot_ns",
            "likewise, on the clock CLOCK_BOOTTIME",
            |common, slot| {
                let start_ns = session_leader(common).map(|(_, start_ns)| start_ns);
                slot.optional_number(start_ns.filter(|ns| *ns != 0));
            },
        ),
        Self::json_common(
            "process.group_leader.pid",
            "process id of the leader of the process group",
            |common, slot| {
                slot.optional_number(login_of(common).and_then(|login| login.group_leader));
            },
        ),
        Self::json_common(
            "process.interactive",
            "whether the process has a controlling terminal",
            |common, slot| {
                if let Some(login) = login_of(common) {
                    slot.boolean(!login.tty.is_empty());
                }
            },
        ),
        Self::json_common(
            "process.tty.name",
            "controlling terminal, below /dev; absent if there is none",
            |common, slot| {
                let tty = login_of(common).map(|login| login.tty.as_slice());
                slot.optional_name(tty.filter(|tty| !tty.is_empty()));
            },
        ),
        Self::json_common("process.user.name", "name of the effective user", |common, slot| {
            name(slot, login_of(common).and_then(|login| login.names.user.as_ref()));
        }),
        Self::json_common("process.real_user.name", "name of the real user", |common, slot| {
            name(slot, login_of(common).and_then(|login| login.names.real_user.as_ref()));
        }),
        Self::json_common("process.group.id", "effective group", |common, slot| {
            slot.optional_number(login_of(common).map(|login| login.effective_group));
        }),
        Self::json_common("process.group.name", "its name", |common, slot| {
            name(slot, login_of(common).and_then(|login| login.names.group.as_ref()));
        }),
        Self::json_common("process.real_group.id", "real group", |common, slot| {
            slot.optional_number(login_of(common).map(|login| login.group));
        }),
        Self::json_common("process.real_group.name", "its name", |common, slot| {
            name(slot, login_of(common).and_then(|login| login.names.real_group.as_ref()));
        }),
    ];

    /// Members that `--ancestors` adds.
    pub(super) const OF_ANCESTORS: [Self; 2] = [
        Self::json_common(
            "process.ancestors",
            "with --ancestors: list of the processes above, the parent first, as they were at the \
             event; each with pid, creation.time, start_boot_ns, comm and, if it is known, \
             command_args",
            |common, slot| {
                if let Some(Ancestors { chain, .. }) = ancestors_of(common) {
                    let epoch = common.epoch;
                    slot.json_value(|out| {
                        push_list(out, chain.iter(), |out, one| push_ancestor(out, one, epoch));
                    });
                }
            },
        ),
        Self::json_common(
            "process.ancestors_cut",
            "true if there are more of them above; otherwise absent",
            |common, slot| slot.flag(ancestors_of(common).is_some_and(|ancestors| ancestors.more)),
        ),
    ];

    /// And the one that either adds.
    pub(super) const OF_BOTH: Self = Self::json_common(
        "process.context_missing",
        "true if what --login or --ancestors asks for is not known for this event; otherwise absent",
        |common, slot| slot.flag(common.context.is_some_and(|context| context.is_missing)),
    );
}

fn login_of<'a>(common: &Common<'a>) -> Option<&'a Login> {
    common.context.and_then(|context| context.login.as_ref())
}

fn ancestors_of<'a>(common: &Common<'a>) -> Option<&'a Ancestors> {
    common.context.and_then(|context| context.ancestors.as_ref())
}

fn session_leader(common: &Common<'_>) -> Option<(u32, u64)> {
    login_of(common).and_then(|login| login.session_leader)
}

fn name(slot: &mut Slot<'_, '_>, name: Option<&Name>) {
    slot.optional_name(name.map(|name| &**name));
}

fn push_ancestor(out: &mut Vec<u8>, one: &Ancestor, epoch: Epoch) {
    push_object(out, |out| {
        out.extend_from_slice(b",\"pid\":");
        push_number(out, one.pid);
        if one.start_ns != 0 {
            out.extend_from_slice(b",\"creation\":{\"time\":");
            push_string(out, &epoch.rfc3339(one.start_ns));
            out.extend_from_slice(b"},\"start_boot_ns\":");
            push_number(out, one.start_ns);
        }
        let comm = Some(until_nul(&one.comm));
        Bytes { keys: ("comm", "comm_base64"), value: comm }.push(out);
        if let Some(args) = &one.args {
            let values = args.strip_suffix(b"\0").unwrap_or(args).split(|&byte| byte == 0);
            let keys = ("command_args", "command_args_base64");
            BytesList { keys, values: values.collect() }.push(out);
        }
    });
}

/// LOGIN: `alice@pts/1`, `1000`, `-`.
pub fn login_text(login: &Login) -> String {
    let mut text = String::new();
    match (&login.names.login_user, login.user) {
        (Some(name), _) => push_cell(&mut text, name),
        (None, Some(uid)) => text.push_str(&uid.to_string()),
        (None, None) => text.push('-'),
    }
    if !login.tty.is_empty() {
        text.push('@');
        push_cell(&mut text, &login.tty);
    }
    text
}

/// ANCESTORS: the oldest first, as one reads a path.
pub fn ancestors_text(ancestors: &Ancestors) -> String {
    let mut text = String::from("#");
    let mut space = " ";
    if ancestors.more {
        text.push_str(" ...");
        space = " > ";
    }
    for Ancestor { pid, comm, .. } in ancestors.chain.iter().rev() {
        text.push_str(space);
        push_cell(&mut text, until_nul(comm));
        text.push_str(&format!("({pid})"));
        space = " > ";
    }
    text
}

fn ancestors_cell<'l, 'o>(line: &'l mut Line<'o>, ancestors: &Ancestors) -> &'l mut Line<'o> {
    line.styled(&ancestors_text(ancestors), NOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ancestor(pid: u32, comm: &[u8]) -> Ancestor {
        let mut one = Ancestor { pid, start_ns: u64::from(pid) * 10, ..Ancestor::default() };
        one.comm[..comm.len()].copy_from_slice(comm);
        one
    }

    #[test]
    fn a_chain_reads_from_the_top() {
        let chain = vec![ancestor(900, b"ba sh\x1b>"), ancestor(812, b"sshd")];
        let all = Ancestors { chain: chain.clone(), more: false };
        assert_eq!(ancestors_text(&all), r"# sshd(812) > ba\040sh\033>(900)");
        let some = Ancestors { chain, more: true };
        assert_eq!(ancestors_text(&some), r"# ... > sshd(812) > ba\040sh\033>(900)");
        assert_eq!(ancestors_text(&Ancestors::default()), "#");
    }

    #[test]
    fn a_login_is_one_cell() {
        let login = |user, name: Option<&[u8]>, tty: &str| {
            let mut login = Login { user, tty: tty.as_bytes().to_vec(), ..Login::default() };
            login.names.login_user = name.map(Into::into);
            login_text(&login)
        };
        assert_eq!(login(Some(1000), Some(b"alice"), "pts/1"), "alice@pts/1");
        assert_eq!(login(Some(1000), Some(b"a b"), ""), r"a\040b");
        assert_eq!(login(Some(1000), None, ""), "1000");
        assert_eq!(login(None, None, "ttyS0"), "-@ttyS0");
        assert_eq!(login(None, None, ""), "-");
    }

    #[test]
    fn an_ancestor_in_json() {
        let mut one = ancestor(7, b"s\xff");
        one.args = Some(b"sh\0-c\0\0".as_slice().into());
        let mut out = Vec::new();
        push_ancestor(&mut out, &one, Epoch::default());
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "pid": 7, "creation": { "time": "1970-01-01T00:00:00.000000070Z" },
            "start_boot_ns": 70, "comm": "s\u{fffd}", "comm_base64": "c/8=",
            "command_args": ["sh", "-c", ""]
        });
        assert_eq!(value, expected);
    }
}
