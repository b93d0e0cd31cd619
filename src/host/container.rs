//! What a container is called, of what image it is and to which pod it belongs, from the files that
//! its runtime keeps of it. No daemon is asked.
//!
//! Users write such files too, those of their own containers. So they are read by the rules of
//! [`chosen`](crate::host::chosen): only regular ones of a bounded size that belong to the right user,
//! without following links. Which files a container may be found in follows from where its cgroup
//! is: below a user's own manager, only that user's files count.

mod docker;
mod image;
mod spec;
mod storage;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::host::{chosen, unit};

/// The most bytes of a file about one container.
const MOST_BYTES: u64 = 4 << 20;

/// The most bytes of a value, such as a label.
const LONGEST: usize = 4096;

/// What is known of a container. Names are any text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// What made it: docker, containerd, cri-o, podman
    pub runtime: Option<String>,
    /// Its name
    pub name: Option<String>,
    /// The image without tag and digest
    pub image_name: Option<String>,
    /// The tag of the image
    pub image_tag: Option<String>,
    /// The image's own id
    pub image_id: Option<String>,
    /// Of the Kubernetes pod
    pub pod_name: Option<String>,
    /// See [`Container::pod_name`]
    pub pod_uid: Option<String>,
    /// See [`Container::pod_name`]
    pub namespace: Option<String>,
    /// Its name within the pod
    pub name_in_pod: Option<String>,
    /// The labels that were asked for
    pub labels: Vec<(String, String)>,
    /// The same of the pod
    pub pod_labels: Vec<(String, String)>,
}

#[cfg(test)]
impl Container {
    /// For tests of what shows it.
    pub(crate) fn with_everything() -> Self {
        let text = |text: &str| Some(text.to_owned());
        let label = vec![("l".to_owned(), "v".to_owned())];
        Self {
            runtime: text("r"),
            name: text("n"),
            image_name: text("i"),
            image_tag: text("t"),
            image_id: text("d"),
            pod_name: text("p"),
            pod_uid: text("u"),
            namespace: text("s"),
            name_in_pod: text("c"),
            labels: label.clone(),
            pod_labels: label,
        }
    }
}

/// Where runtimes keep their files.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
    /// The user whose files they are, by whose rights they were written
    owner: Option<u32>,
}

impl Default for Places {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), owner: Some(0) }
    }
}

/// One container, as its cgroup names it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its id
    pub id: &'a str,
    /// The path of its cgroup
    pub cgroup: &'a [u8],
    /// Labels by their names
    pub labels: &'a [String],
}

impl Asked<'_> {
    /// The asked labels among these.
    fn labels_of<'l>(&self, get: impl Fn(&str) -> Option<&'l String>) -> Vec<(String, String)> {
        let known = self.labels.iter().filter_map(|name| Some((name.clone(), get(name)?)));
        let short = known.filter(|(_, value)| value.len() <= LONGEST);
        short.map(|(name, value)| (name, value.clone())).collect()
    }
}

impl Places {
    /// What the files tell of a container. May take for ever: a file system may be a user's own.
    pub fn find(&self, asked: &Asked<'_>) -> Option<Container> {
        let found = match unit::user_of(asked.cgroup) {
            Some(uid) => self.find_of_user(uid, asked),
            None => docker::find(&self.folder("var/lib/docker"), asked)
                .or_else(|| storage::find(&self.storage(), asked))
                .or_else(|| spec::find_of_containerd(&self.containerd(), asked)),
        };
        let mut found = found?;
        found.pod_uid = unit::pod_uid(asked.cgroup).or(found.pod_uid);
        Some(found)
    }

    /// A container without root's rights: its files are in the user's home.
    fn find_of_user(&self, uid: u32, asked: &Asked<'_>) -> Option<Container> {
        let home = self.home(uid)?;
        let of_user = |base: &Path, below: &str| Folder {
            base: base.to_owned(),
            below: PathBuf::from(below),
            owner: self.owner.map(|_| uid),
        };
        let run = self.root.join(format!("run/user/{uid}"));
        let storage = storage::Places {
            run: of_user(&run, "containers"),
            graph: of_user(&home, ".local/share/containers/storage"),
        };
        docker::find(&of_user(&home, ".local/share/docker"), asked)
            .or_else(|| storage::find(&storage, asked))
    }

    /// The home of a user, as far as /etc/passwd has it.
    fn home(&self, uid: u32) -> Option<PathBuf> {
        let passwd = chosen::read(&self.root.join("etc/passwd"), 16 << 20).ok()?;
        let home = String::from_utf8_lossy(&passwd).lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_its = fields.nth(2)?.parse() == Ok(uid);
            is_its.then(|| fields.nth(2).map(str::to_owned))?
        })?;
        Some(self.root.join(home.trim_start_matches('/')))
    }

    /// A folder of root's, to which links may lead.
    fn folder(&self, path: &str) -> Folder {
        Folder { base: self.root.join(path), below: PathBuf::new(), owner: self.owner }
    }

    fn storage(&self) -> storage::Places {
        storage::Places {
            run: self.folder("run/containers/storage"),
            graph: self.folder("var/lib/containers/storage"),
        }
    }

    /// Folders of containerd: its own, and those of what brings its own one along.
    fn containerd(&self) -> Vec<Folder> {
        let folders = ["run/containerd", "run/k3s/containerd", "run/docker/containerd"];
        folders.iter().map(|folder| self.folder(folder)).collect()
    }
}

/// A folder, to which links may lead: to `base`, and no further.
#[derive(Clone, Debug)]
struct Folder {
    base: PathBuf,
    below: PathBuf,
    /// Whose its files must be; `None`: anybody's
    owner: Option<u32>,
}

impl Folder {
    /// A file below it.
    fn open(&self, path: &str) -> io::Result<File> {
        let base = chosen::find(&self.base)?;
        let found = chosen::find_beneath(&base, &self.below.join(path))?;
        if self.owner.is_some_and(|owner| found.metadata().is_ok_and(|it| it.uid() != owner)) {
            return Err(Errno::EPERM.into());
        }
        Ok(chosen::open(&found)?.0)
    }

    /// A file of JSON. `None`: it is not there, too large, or of another form.
    fn json<T: for<'de> Deserialize<'de>>(&self, path: &str, most: u64) -> Option<T> {
        let mut bytes = Vec::new();
        self.open(path).ok()?.take(most + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > most {
            return None;
        }
        serde_json::from_slice(&bytes).ok()
    }

    /// Names of the folders right below it, some of them at least.
    fn folders(&self, path: &str) -> Vec<String> {
        const MOST: usize = 64;
        let base = self.base.join(&self.below).join(path);
        let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.filter_map(|entry| entry.file_name().into_string().ok()).take(MOST).collect()
    }
}

/// A value that is there and not absurdly long.
fn some(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text.len() <= LONGEST).cloned()
}

#[cfg(test)]
mod tests;
