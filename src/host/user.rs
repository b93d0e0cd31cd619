//! Users of this machine, and becoming one.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt as _;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// A user, with all that a program of this user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name
    pub name: String,
    uid: u32,
    gid: u32,
    /// All groups, the first one too
    groups: Vec<u32>,
    home: Vec<u8>,
    shell: Vec<u8>,
}

/// What becoming somebody else needs: `CAP_SETGID` and `CAP_SETUID` of capabilities(7).
pub(crate) const NEEDED: u64 = 1 << 6 | 1 << 7;

/// The shell of a user who has none: passwd(5).
const USUAL_SHELL: &[u8] = b"/bin/sh";

impl User {
    /// The user of this name or number.
    ///
    /// # Errors
    ///
    /// One line: there is none, or users cannot be looked up.
    pub fn find(text: &str) -> Result<Self, String> {
        match find(text) {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err("no such user".to_owned()),
            Err(error) => Err(format!("cannot look up users: {error}")),
        }
    }

    /// This process's environment with the variables that say whose it is.
    pub fn environment(&self) -> Vec<CString> {
        let shell = if self.shell.is_empty() { USUAL_SHELL } else { &self.shell };
        let name = self.name.as_bytes();
        let own: [(&str, &[u8]); 4] =
            [("HOME", &self.home), ("USER", name), ("LOGNAME", name), ("SHELL", shell)];
        let is_own = |variable: &OsString| own.iter().any(|(name, _)| variable == *name);
        let others = std::env::vars_os().filter(|(variable, _)| !is_own(variable));
        let others = others.map(|(name, value)| (name.into_vec(), value.into_vec()));
        let own = own.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
        let entries = others.chain(own).map(|(name, value)| [name, value].join(&b'='));
        entries.filter_map(|entry| CString::new(entry).ok()).collect()
    }

    /// Makes this process one of this user, without capabilities (but for root) and without any open
    /// file but the first three. For a child between fork() and exec().
    ///
    /// # Errors
    ///
    /// The kernel's. The process is then neither the one nor the other: it must end.
    pub fn become_it(&self, groups: &[Gid]) -> Result<(), Errno> {
        // SAFETY: files that are closed here belong to the parent's objects, which the child does
        // not use.
        Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) })?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        setgroups(groups)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        if self.uid == 0 { Ok(()) } else { drop_capabilities() }
    }

    /// For [`User::become_it`], which must not take memory.
    pub fn group_ids(&self) -> Vec<Gid> {
        self.groups.iter().map(|&group| Gid::from_raw(group)).collect()
    }
}

/// A change of the user mostly takes them all, but securebits may keep them, and inheritable ones stay.
fn drop_capabilities() -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    // SAFETY: no memory is passed.
    let cleared =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    Errno::result(cleared)?;
    let (header, none) = ([VERSION_3, 0], [0u32; 6]);
    // SAFETY: the kernel reads a header of 8 bytes and sets of 24.
    let dropped = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    Errno::result(dropped).map(drop)
}

/// The user, from wherever the machine has its users.
#[cfg(not(target_feature = "crt-static"))]
fn find(text: &str) -> io::Result<Option<User>> {
    use nix::unistd::{User as Known, getgrouplist};
    let known = match text.parse::<u32>() {
        Ok(uid) => Known::from_uid(Uid::from_raw(uid))?,
        Err(_) => Known::from_name(text)?,
    };
    let Some(known) = known else { return Ok(None) };
    let name = CString::new(known.name.as_str()).map_err(io::Error::other)?;
    let groups = getgrouplist(&name, known.gid)?;
    Ok(Some(User {
        uid: known.uid.as_raw(),
        gid: known.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
        home: known.dir.into_os_string().into_vec(),
        shell: known.shell.into_os_string().into_vec(),
        name: known.name,
    }))
}

/// The user, from `/etc/passwd` and `/etc/group` only: other sources are shared libraries, which a
/// static program should not load.
#[cfg(target_feature = "crt-static")]
fn find(text: &str) -> io::Result<Option<User>> {
    let read = |path: &str| match crate::host::chosen::read(path.as_ref(), 64 << 20) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    };
    Ok(find_in(&read("/etc/passwd")?, &read("/etc/group")?, text))
}

/// passwd(5): `name:password:uid:gid:comment:home:shell`; group(5): `name:password:gid:user,…`
#[cfg(any(target_feature = "crt-static", test))]
fn find_in(passwd: &[u8], group: &[u8], text: &str) -> Option<User> {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let passwd = lines(&String::from_utf8_lossy(passwd));
    let by_number = text.parse::<u32>().ok();
    let entry = passwd.iter().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let uid = fields.get(2)?.parse::<u32>().ok()?;
        let is_it = by_number.map_or_else(|| fields.first() == Some(&text), |number| number == uid);
        is_it.then_some((fields, uid))
    });
    let (fields, uid) = entry?;
    let field = |at: usize| fields.get(at).map_or_else(Vec::new, |field| field.as_bytes().to_vec());
    let name = (*fields.first()?).to_owned();
    let gid = fields.get(3)?.parse().ok()?;
    let mut groups = vec![gid];
    for line in lines(&String::from_utf8_lossy(group)) {
        let fields: Vec<_> = line.split(':').collect();
        let is_member =
            fields.get(3).is_some_and(|users| users.split(',').any(|user| user == name));
        let id = fields.get(2).and_then(|id| id.parse::<u32>().ok());
        groups.extend(id.filter(|id| is_member && *id != gid));
    }
    Some(User { name, uid, gid, groups, home: field(5), shell: field(6) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_with_all_their_groups() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/bash\nalice:x:1000:100::/home/a:\nbad:x:y:1::/:\n";
        let group = b"users:x:100:\nwheel:x:10:bob,alice\naudio:x:20:alicex\nvideo:x:44:alice\n";
        let alice = find_in(passwd, group, "alice").unwrap();
        assert_eq!((alice.uid, alice.gid, alice.groups.clone()), (1000, 100, vec![100, 10, 44]));
        assert_eq!(find_in(passwd, group, "1000"), Some(alice.clone()));
        for none in ["ali", "", "1", "bad"] {
            assert_eq!(find_in(passwd, group, none), None, "{none}");
        }
        let entry = |start: &str| {
            let all = alice.environment();
            let found: Vec<_> =
                all.iter().filter(|entry| entry.to_bytes().starts_with(start.as_bytes())).collect();
            assert_eq!(found.len(), 1, "{start}");
            found[0].to_str().unwrap().to_owned()
        };
        assert_eq!(entry("HOME="), "HOME=/home/a");
        assert_eq!(entry("SHELL="), "SHELL=/bin/sh", "passwd(5)");
        assert_eq!(
            (entry("USER=").as_str(), entry("LOGNAME=").as_str()),
            ("USER=alice", "LOGNAME=alice")
        );
    }

    #[test]
    fn users_of_this_machine() {
        let root = User::find("root").unwrap();
        assert_eq!((root.uid, User::find("0").unwrap()), (0, root));
        for wrong in ["", "no-such-user-here", "-1", "4294967294"] {
            assert_eq!(User::find(wrong), Err("no such user".to_owned()), "{wrong}");
        }
    }
}
