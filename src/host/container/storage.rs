//! The storage that podman and CRI-O share: `DRIVER-containers/containers.json` below its root, and
//! `DRIVER-containers/ID/userdata/config.json` below the folder of what runs.

use serde::Deserialize;

use super::spec::Spec;
use super::{Asked, Container, Folder, image, some};

/// The most bytes of the list of all containers.
const MOST_BYTES: u64 = 32 << 20;

/// Drivers of layers.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// The two folders.
pub(super) struct Places {
    pub(super) run: Folder,
    pub(super) graph: Folder,
}

/// An entry of the list.
#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// The id of the image
    image: Option<String>,
    /// A text of JSON
    metadata: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
    #[serde(rename = "image-name")]
    image_name: Option<String>,
}

/// The container, if it is there.
pub(super) fn find(places: &Places, asked: &Asked<'_>) -> Option<Container> {
    DRIVERS.iter().find_map(|driver| {
        let spec_of = |id: &str| {
            let path = format!("{driver}-containers/{id}/userdata/config.json");
            Spec::read(&places.run, &path).or_else(|| Spec::read(&places.graph, &path))
        };
        let spec = spec_of(asked.id);
        if let Some(spec) = spec.as_ref().filter(|spec| spec.is_of_crio()) {
            let mut container = spec.crio(asked);
            let sandbox = spec.sandbox().filter(|id| is_id(id)).and_then(|id| spec_of(&id));
            container.pod_labels = sandbox.map_or_else(Vec::new, |spec| spec.crio_labels(asked));
            return Some(container);
        }
        listed(places, driver, asked)
    })
}

/// What the list has of it.
fn listed(places: &Places, driver: &str, asked: &Asked<'_>) -> Option<Container> {
    // Those of podman run --rm have a list of their own, which may be in either folder.
    let lists = [
        (&places.graph, "containers.json"),
        (&places.graph, "volatile-containers.json"),
        (&places.run, "volatile-containers.json"),
    ];
    let entry = lists.iter().find_map(|(folder, list)| {
        let path = format!("{driver}-containers/{list}");
        let entries: Vec<Entry> = folder.json(&path, MOST_BYTES)?;
        entries.into_iter().find(|entry| entry.id == asked.id)
    })?;
    let metadata = entry.metadata.as_deref().unwrap_or_default();
    let metadata: Metadata = serde_json::from_str(metadata).unwrap_or_default();
    let mut container = Container {
        runtime: Some("podman".to_owned()),
        name: some(entry.names.first()).or_else(|| some(metadata.name.as_ref())),
        image_id: some(entry.image.as_ref()),
        ..Container::default()
    };
    if let Some(reference) = some(metadata.image_name.as_ref()) {
        image::set(&mut container, &reference);
    }
    Some(container)
}

/// Whether it may be part of a path.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
