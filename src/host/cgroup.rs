//! Cgroups of the v2 hierarchy: from a path to a filter, and from an id to a path and a container.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::host::proc;
use crate::skel::task_id;

/// A cgroup named on the command line.
#[derive(Clone, Debug)]
pub struct Cgroup {
    /// Its folder
    pub folder: PathBuf,
}

impl Cgroup {
    /// Finds `path`: a folder of a cgroup2 file system, or a path below its root as
    /// `/proc/PID/cgroup` shows it. The error is one line for people.
    pub fn find(path: &Path) -> Result<Self, String> {
        // An empty path would be the root: everything.
        if path.as_os_str().is_empty() {
            return Err("a cgroup has a name; that of all is /".to_owned());
        }
        let is_cgroup2 = |folder: &Path| {
            folder.is_dir()
                && statfs(folder).is_ok_and(|s| s.filesystem_type() == CGROUP2_SUPER_MAGIC)
        };
        if is_cgroup2(path) {
            return Ok(Self { folder: path.to_owned() });
        }
        let Some(root) = mount_point() else {
            return Err("no cgroup v2 hierarchy is mounted".to_owned());
        };
        let folder = root.join(path.strip_prefix("/").unwrap_or(path));
        if is_cgroup2(&folder) {
            return Ok(Self { folder });
        }
        Err(format!("no such cgroup (v2), neither as a folder nor below {}", root.display()))
    }
}

/// The path of a folder below the root of the hierarchy, or what is that path already.
pub fn below_mount(folder: &Path) -> PathBuf {
    let below = mount_point().and_then(|root| folder.strip_prefix(root).ok().map(Path::to_owned));
    Path::new("/").join(below.as_deref().unwrap_or(folder))
}

/// Where the cgroup v2 hierarchy is mounted.
fn mount_point() -> Option<PathBuf> {
    let mounts = fs::read("/proc/self/mounts").ok()?;
    mounts.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == b"cgroup2").then(|| PathBuf::from(std::ffi::OsStr::from_bytes(point)))
    })
}

/// Names of the cgroups right below this one: a folder, or a path from the root of the hierarchy.
pub fn below(path: &str) -> Vec<String> {
    let folder = mount_point().map(|root| match Path::new(path).starts_with(&root) {
        true => path.into(),
        false => root.join(path.trim_start_matches('/')),
    });
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    let folders =
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<_> =
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The id of the cgroup of the process that was born at `start_ns`.
pub fn id_of(pid: u32, start_ns: u64) -> Option<u64> {
    let path = proc::cgroup(pid, start_ns)?;
    let folder = mount_point()?.join(std::ffi::OsStr::from_bytes(path.strip_prefix(b"/")?));
    Some(fs::metadata(folder).ok()?.ino())
}

/// The most ids to remember; if more come, the memory starts again from nothing.
const REMEMBERED: usize = 1024;

/// If a lookup fails, retry on later events, whose process may still be alive to ask: at most
/// `TRIES` times within `RETRY_NS`.
const RETRY_NS: u64 = 50_000_000;
const TRIES: u32 = 8;

/// The shortest time between two searches of the hierarchy.
const SEARCH_NS: u64 = 1_000_000_000;

/// The most folders that one search looks into.
const SEARCHED: usize = 10_000;

/// Paths of cgroups by the ids that events carry.
///
/// An id is a file handle of the cgroup file system: with `CAP_DAC_READ_SEARCH`, opening it finds
/// the folder directly. The id is also the inode number of the folder: without that capability, a
/// search of the hierarchy finds it. If only a part of the hierarchy is mounted, as in a container,
/// `/proc` names the cgroup of the process, if that is still alive. Nothing finds a cgroup that is
/// gone, unless its birth was reported.
#[derive(Default)]
pub struct CgroupPaths {
    mount: Option<(PathBuf, File)>,
    known: HashMap<u64, Known>,
    /// The last answer: the next event often asks for the same cgroup
    last: Option<(u64, Vec<u8>)>,
    searched_ns: Option<u64>,
    /// Paths that were told when the cgroups were made: see [`CgroupPaths::born`]
    born: HashMap<u64, Vec<u8>>,
    /// The answer to all questions: see [`CgroupPaths::give`]
    given: Option<Option<Vec<u8>>>,
}

/// The answer for an id, or the failed tries.
struct Known {
    path: Option<Vec<u8>>,
    /// Time of the event with the first of these `tries`
    tried_ns: u64,
    tries: u32,
}

/// `struct file_handle` for `open_by_handle_at()` with an id of kernfs in it.
#[repr(C)]
struct KernfsHandle {
    bytes: u32,
    kind: i32,
    id: u64,
}

/// `FILEID_KERNFS` of `linux/exportfs.h`.
const FILEID_KERNFS: i32 = 0xfe;

impl CgroupPaths {
    /// Ready to look up ids.
    pub fn new() -> Self {
        let mount = mount_point().and_then(|path| File::open(&path).ok().map(|file| (path, file)));
        Self { mount, ..Self::default() }
    }

    /// From now on, the path of any event is this one: it was recorded, and is not looked up.
    pub fn give(&mut self, path: Option<Vec<u8>>) {
        self.given = Some(path);
    }

    /// Remembers the path of a new cgroup, which may be gone when its events come.
    pub fn born(&mut self, id: u64, path: &[u8]) {
        if self.born.len() >= REMEMBERED {
            self.born.clear();
        }
        self.born.insert(id, path.to_vec());
    }

    /// The path of the event's cgroup below the root of the hierarchy, `/` for the root itself.
    pub fn path(&mut self, event: &task_id) -> Option<&[u8]> {
        if self.given.is_some() {
            return self.given.as_ref().and_then(Option::as_deref);
        }
        let id = event.cgroup;
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            let path = self.known_path(event)?.to_vec();
            self.last = Some((id, path));
        }
        self.last.as_ref().map(|(_, path)| path.as_slice())
    }

    /// The path from memory, or from a lookup.
    fn known_path(&mut self, event: &task_id) -> Option<&[u8]> {
        let id = event.cgroup;
        let recent = |known: &&Known| event.time_ns < known.tried_ns.saturating_add(RETRY_NS);
        match self.known.get(&id) {
            Some(Known { path: Some(_), .. }) => {}
            Some(known) if known.tries >= TRIES && recent(&known) => {}
            known => {
                let (tried_ns, tries) = match known.filter(recent) {
                    Some(known) => (known.tried_ns, known.tries),
                    None => (event.time_ns, 0),
                };
                let path = self.find(event);
                self.remember(id, Known { path, tried_ns, tries: tries + 1 });
            }
        }
        self.known.get(&id)?.path.as_deref()
    }

    fn find(&mut self, event: &task_id) -> Option<Vec<u8>> {
        if let Some((point, file)) = &self.mount {
            match look_up(point, file, event.cgroup) {
                Ok(path) => return Some(path),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.search(event.time_ns);
                    if let Some(Known { path: Some(path), .. }) = self.known.get(&event.cgroup) {
                        return Some(path.clone());
                    }
                }
                Err(_) => {}
            }
        }
        let of_process = proc::cgroup(event.pid, event.start_ns);
        of_process.or_else(|| self.born.get(&event.cgroup).cloned())
    }

    /// Remembers all cgroups that exist now.
    fn search(&mut self, now_ns: u64) {
        let recent = |then: u64| now_ns < then.saturating_add(SEARCH_NS);
        let Some((point, _)) = &self.mount else { return };
        if self.searched_ns.is_some_and(recent) {
            return;
        }
        let point = point.clone();
        self.searched_ns = Some(now_ns);
        walk(&point, |id, path| {
            self.remember(id, Known { path: Some(path), tried_ns: now_ns, tries: 1 });
        });
    }

    /// Paths of the cgroups of containers that there are now.
    pub fn containers(&mut self) -> Vec<Vec<u8>> {
        let Some((point, _)) = &self.mount else { return Vec::new() };
        let mut found = Vec::new();
        walk(point, |id, path| {
            if found.len() < REMEMBERED && container_id(&path).is_some() {
                found.push((id, path));
            }
        });
        // They may be gone when their last events come.
        found.iter().for_each(|(id, path)| self.born(*id, path));
        found.into_iter().map(|(_, path)| path).collect()
    }

    fn remember(&mut self, id: u64, known: Known) {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(&id) {
            self.known.clear();
        }
        self.known.insert(id, known);
    }
}

/// Calls `each` with the ids and paths of the cgroups below a mount point, or of so many.
fn walk(point: &Path, mut each: impl FnMut(u64, Vec<u8>)) {
    let mut next = vec![point.to_owned()];
    for _ in 0..SEARCHED {
        let Some(folder) = next.pop() else { return };
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let folder = entry.path();
            if let Ok(below) = folder.strip_prefix(point) {
                each(entry.ino(), PathBuf::from("/").join(below).into_os_string().into_vec());
            }
            next.push(folder);
        }
    }
}

fn look_up(point: &Path, mount: &File, id: u64) -> io::Result<Vec<u8>> {
    let mut handle = KernfsHandle { bytes: 8, kind: FILEID_KERNFS, id };
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: `handle` has the layout of struct file_handle with 8 bytes behind it.
    let fd = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw mut handle, flags)
    };
    let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: just opened, and nobody else has this descriptor.
    let file = unsafe { File::from_raw_fd(fd) };
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let below = path.strip_prefix(point).map_err(io::Error::other)?;
    Ok(PathBuf::from("/").join(below).into_os_string().into_vec())
}

/// Digits of a container's id, in all of Docker, containerd, CRI-O and Podman.
const CONTAINER_ID: usize = 64;

/// The id of the container of a cgroup, from the innermost folder with such a name: as `ID`,
/// `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope` or `libpod-ID.scope`.
pub fn container_id(path: &[u8]) -> Option<&str> {
    path.rsplit(|&b| b == b'/').find_map(|name| {
        let name = name.strip_suffix(b".scope").unwrap_or(name);
        let (runtime, id) = name.split_at_checked(name.len().checked_sub(CONTAINER_ID)?)?;
        let is_id = id.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        // The monitor of a container is not in it: libpod-conmon-ID.scope
        let is_name =
            runtime.is_empty() || (runtime.ends_with(b"-") && !runtime.ends_with(b"-conmon-"));
        if is_id && is_name { std::str::from_utf8(id).ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(cgroup: u64) -> task_id {
        task_id { cgroup, ..task_id::default() }
    }

    #[test]
    fn a_folder_that_is_no_cgroup_is_refused() {
        for wrong in ["/tmp", "/no/such/cgroup", "", "/proc"] {
            let found = Cgroup::find(Path::new(wrong));
            assert!(found.is_err(), "{wrong}: {found:?}");
        }
    }

    #[test]
    fn an_id_that_never_was_has_no_path() {
        assert_eq!(CgroupPaths::new().path(&event(u64::MAX)), None);
    }

    #[test]
    fn what_a_search_finds_is_what_a_handle_opens() {
        let mut paths = CgroupPaths::new();
        let Some((point, file)) = paths.mount.take() else { return };
        let file_of_mine = file.try_clone().unwrap();
        paths.mount = Some((point.clone(), file));
        paths.search(0);
        for (id, known) in &paths.known {
            match look_up(&point, &file_of_mine, *id) {
                Ok(path) => assert_eq!(known.path.as_ref(), Some(&path)),
                // The cgroup is gone, or we may not open it.
                Err(error) => assert!(matches!(
                    error.raw_os_error(),
                    Some(libc::ESTALE | libc::EPERM | libc::ENOENT)
                )),
            }
        }
    }

    #[test]
    fn a_cgroup_that_is_gone_has_the_path_of_its_birth() {
        let mut paths = CgroupPaths::new();
        paths.born(u64::MAX, b"/docker/x");
        assert_eq!(paths.path(&event(u64::MAX)), Some(&b"/docker/x"[..]));
        for id in 0..3 * REMEMBERED as u64 {
            paths.born(id, b"/");
            assert!(paths.born.len() <= REMEMBERED);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut paths = CgroupPaths::default();
        for id in 0..3 * REMEMBERED as u64 {
            assert_eq!(paths.path(&event(id)), None);
            assert!(paths.known.len() <= REMEMBERED);
        }
    }

    #[test]
    fn containers_are_found_in_paths() {
        let id = "0123456789abcdef".repeat(4);
        let other = "f".repeat(64);
        let slice = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f_2.slice";
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/{slice}/cri-containerd-{id}.scope"),
            format!("/../../{slice}/crio-{id}.scope"),
            format!("/kubepods/burstable/pod1f-2/{id}"),
            format!("/machine.slice/libpod-{id}.scope/container"),
            format!("/docker/{other}/docker/{id}/init.scope"),
        ] {
            assert_eq!(container_id(path.as_bytes()), Some(id.as_str()), "{path}");
        }
        for path in [
            "/".to_owned(),
            String::new(),
            "/user.slice/user-0.slice/session-1.scope".to_owned(),
            format!("/docker/{}", &id[1..]),
            format!("/docker/0{id}"),
            format!("/docker/{}", id.to_uppercase()),
            format!("/machine.slice/libpod-conmon-{id}.scope"),
            format!("/{id}.service"),
        ] {
            assert_eq!(container_id(path.as_bytes()), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_breaks_it(path: Vec<u8>) {
            let _ = container_id(&path);
        }
    }
}
