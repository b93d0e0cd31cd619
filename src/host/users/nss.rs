//! By the C library, which asks what nsswitch.conf(5) names.

use std::io;

/// The name of this user.
pub fn user_name(uid: u32) -> Option<Vec<u8>> {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten()?;
    Some(user.name.into_bytes())
}

/// The name of this group.
pub fn group_name(gid: u32) -> Option<Vec<u8>> {
    let group = nix::unistd::Group::from_gid(gid.into()).ok().flatten()?;
    Some(group.name.into_bytes())
}

/// The user of this name.
///
/// # Errors
///
/// Users cannot be looked up.
pub fn uid_of(name: &str) -> io::Result<Option<u32>> {
    Ok(nix::unistd::User::from_name(name)?.map(|user| user.uid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name() {
        assert_eq!(user_name(0).as_deref(), Some(&b"root"[..]));
        assert_eq!(group_name(0).as_deref(), Some(&b"root"[..]));
        assert_eq!(user_name(4_000_000_000), None);
        assert_eq!(uid_of("root").unwrap(), Some(0));
        assert_eq!(uid_of("no such user").unwrap(), None);
    }
}
