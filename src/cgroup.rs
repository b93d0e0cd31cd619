//! Cgroups of the v2 hierarchy: from a path to a filter, from an id to a path.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

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

/// Where the cgroup v2 hierarchy is mounted.
fn mount_point() -> Option<PathBuf> {
    let mounts = fs::read("/proc/self/mounts").ok()?;
    mounts.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == b"cgroup2").then(|| PathBuf::from(std::ffi::OsStr::from_bytes(point)))
    })
}

/// Ids remembered at the most; on a machine with more cgroups than that in a short time
/// the memory starts again from nothing.
const REMEMBERED: usize = 1024;

/// Paths of cgroups by the ids that events carry.
///
/// An id is a file handle of the cgroup file system, so opening it needs no search.
/// That takes `CAP_DAC_READ_SEARCH`; without it, or for a cgroup that is gone, the path
/// is unknown.
#[derive(Default)]
pub struct CgroupPaths {
    mount: Option<(PathBuf, File)>,
    known: HashMap<u64, Option<Vec<u8>>>,
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
        Self { mount, known: HashMap::new() }
    }

    /// The path of cgroup `id` below the root of the hierarchy, `/` for the root itself.
    pub fn path(&mut self, id: u64) -> Option<&[u8]> {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(&id) {
            self.known.clear();
        }
        let mount = &self.mount;
        let path = self.known.entry(id).or_insert_with(|| {
            let (point, file) = mount.as_ref()?;
            look_up(point, file, id).ok()
        });
        path.as_deref()
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
    // SAFETY: a descriptor that was just opened and that nobody else has.
    let file = unsafe { File::from_raw_fd(fd) };
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let below = path.strip_prefix(point).map_err(io::Error::other)?;
    Ok(PathBuf::from("/").join(below).into_os_string().into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_cgroup_is_refused() {
        for wrong in ["/tmp", "/no/such/cgroup", "", "/proc"] {
            let found = Cgroup::find(Path::new(wrong));
            // "" and "/" name the root of the hierarchy where one is mounted.
            if !wrong.is_empty() {
                assert!(found.is_err(), "{wrong}: {found:?}");
            }
        }
    }

    #[test]
    fn an_id_that_never_was_has_no_path() {
        assert_eq!(CgroupPaths::new().path(u64::MAX), None);
    }
}
