//! Names of users and groups, looked up once each.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::unistd::{Gid, Group, Uid, User};

/// Ids come from events: invented ids must not fill the memory.
const MAX_NAMES: usize = 4096;

type Cache = LazyLock<Mutex<HashMap<u32, Option<String>>>>;

fn cached(cache: &Cache, id: u32, look_up: impl FnOnce() -> Option<String>) -> Option<String> {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = cache.get(&id) {
        return known.clone();
    }
    if cache.len() >= MAX_NAMES {
        cache.clear();
    }
    let name = look_up();
    cache.insert(id, name.clone());
    name
}

/// The name of a user.
pub(super) fn user(id: u32) -> Option<String> {
    static USERS: Cache = LazyLock::new(Mutex::default);
    cached(&USERS, id, || Some(User::from_uid(Uid::from_raw(id)).ok()??.name))
}

/// The name of a group.
pub(super) fn group(id: u32) -> Option<String> {
    static GROUPS: Cache = LazyLock::new(Mutex::default);
    cached(&GROUPS, id, || Some(Group::from_gid(Gid::from_raw(id)).ok()??.name))
}
