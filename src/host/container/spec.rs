//! `config.json`, from which the OCI runtime makes a container: what CRI-O, containerd and podman
//! have written into its annotations.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Asked, Container, Folder, MOST_BYTES, image, some};

/// The annotations of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    annotations: HashMap<String, String>,
}

impl Spec {
    /// Reads such a file.
    pub(super) fn read(folder: &Folder, path: &str) -> Option<Self> {
        folder.json(path, MOST_BYTES)
    }

    /// Whether CRI-O made it.
    pub(super) fn is_of_crio(&self) -> bool {
        self.get("io.kubernetes.cri-o.ContainerType").is_some()
    }

    /// The id of the container that holds the pod together.
    pub(super) fn sandbox(&self) -> Option<String> {
        self.get("io.kubernetes.cri-o.SandboxID")
    }

    /// A container of CRI-O.
    pub(super) fn crio(&self, asked: &Asked<'_>) -> Container {
        let mut container = Container {
            runtime: Some("cri-o".to_owned()),
            name: self.get("io.kubernetes.cri-o.Name"),
            pod_name: self.get("io.kubernetes.pod.name"),
            pod_uid: self.get("io.kubernetes.pod.uid"),
            namespace: self.get("io.kubernetes.pod.namespace"),
            name_in_pod: self.get("io.kubernetes.container.name"),
            labels: self.crio_labels(asked),
            ..Container::default()
        };
        for key in ["ImageRef", "Image", "ImageName", "UserRequestedImage"] {
            if let Some(reference) = self.get(&format!("io.kubernetes.cri-o.{key}")) {
                image::set(&mut container, &reference);
            }
        }
        container
    }

    /// Labels are a text of JSON.
    pub(super) fn crio_labels(&self, asked: &Asked<'_>) -> Vec<(String, String)> {
        let text = self.annotations.get("io.kubernetes.cri-o.Labels").map_or("", String::as_str);
        let labels: HashMap<String, String> = serde_json::from_str(text).unwrap_or_default();
        asked.labels_of(|name| labels.get(name))
    }

    /// A container of containerd, whether Kubernetes or nerdctl asked for it.
    fn containerd(&self, asked: &Asked<'_>) -> Container {
        let kubernetes = |key: &str| self.get(&format!("io.kubernetes.cri.{key}"));
        let mut container = Container {
            runtime: Some("containerd".to_owned()),
            name: self.get("nerdctl/name").or_else(|| kubernetes("container-name")),
            pod_name: kubernetes("sandbox-name"),
            pod_uid: kubernetes("sandbox-uid"),
            namespace: kubernetes("sandbox-namespace"),
            name_in_pod: kubernetes("container-name"),
            labels: asked.labels_of(|name| self.annotations.get(name)),
            ..Container::default()
        };
        if let Some(reference) = kubernetes("image-name") {
            image::set(&mut container, &reference);
        }
        container
    }

    fn get(&self, key: &str) -> Option<String> {
        some(self.annotations.get(key))
    }
}

/// The folder of running tasks: a folder for each of containerd's namespaces, and in it one for each
/// container.
const TASKS: &str = "io.containerd.runtime.v2.task";

/// The container, if containerd runs it.
pub(super) fn find_of_containerd(folders: &[Folder], asked: &Asked<'_>) -> Option<Container> {
    folders.iter().find_map(|folder| {
        // Docker's own containerd is a folder deeper.
        ["", "daemon/"].iter().find_map(|above| {
            let tasks = format!("{above}{TASKS}");
            folder.folders(&tasks).iter().find_map(|namespace| {
                let path = format!("{tasks}/{namespace}/{}/config.json", asked.id);
                Some(Spec::read(folder, &path)?.containerd(asked))
            })
        })
    })
}
