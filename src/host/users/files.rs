//! From `/etc/passwd` and `/etc/group` only.

use std::io;

use crate::host::chosen;

/// The name of this user.
pub fn user_name(uid: u32) -> Option<Vec<u8>> {
    name_in(&read("/etc/passwd").ok()?, uid).map(<[u8]>::to_vec)
}

/// The name of this group.
pub fn group_name(gid: u32) -> Option<Vec<u8>> {
    name_in(&read("/etc/group").ok()?, gid).map(<[u8]>::to_vec)
}

/// The user of this name.
///
/// # Errors
///
/// The file cannot be read.
pub fn uid_of(name: &str) -> io::Result<Option<u32>> {
    match read("/etc/passwd") {
        Ok(text) => Ok(uid_in_passwd(&text, name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    chosen::read(path.as_ref(), 64 << 20)
}

/// passwd(5), `name:password:uid:…`, and likewise group(5).
fn entries(text: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    text.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.split(|&b| b == b':');
        let name = fields.next()?;
        Some((name, std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?))
    })
}

fn uid_in_passwd(text: &[u8], name: &str) -> Option<u32> {
    entries(text).find(|(entry, _)| *entry == name.as_bytes()).map(|(_, uid)| uid)
}

fn name_in(text: &[u8], id: u32) -> Option<&[u8]> {
    entries(text).find(|(_, entry)| *entry == id).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_users_and_groups() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/:\n\nshort:x\nbad:x:\xff:";
        assert_eq!(uid_in_passwd(passwd, "alice"), Some(1000));
        for none in ["", "ali", "short", "bad", "x"] {
            assert_eq!(uid_in_passwd(passwd, none), None, "{none}");
        }
        assert_eq!(name_in(passwd, 1000), Some(&b"alice"[..]));
        assert_eq!(name_in(b"wheel:x:10:alice,bob\n", 10), Some(&b"wheel"[..]));
        assert_eq!(name_in(passwd, 7), None);
    }

    #[test]
    fn root_has_a_name() {
        assert_eq!(user_name(0).as_deref(), Some(&b"root"[..]));
        assert_eq!(group_name(0).as_deref(), Some(&b"root"[..]));
        assert_eq!(user_name(4_000_000_000), None);
        assert_eq!(uid_of("root").unwrap(), Some(0));
        assert_eq!(uid_of("no such user").unwrap(), None);
    }
}
