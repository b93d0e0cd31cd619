//! Docker's own file of a container: `containers/ID/config.v2.json`.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Asked, Container, Folder, MOST_BYTES, image, some};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    #[serde(rename = "ID")]
    id: String,
    name: Option<String>,
    /// The id of the image
    image: Option<String>,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
}

/// The container, if Docker has it.
pub(super) fn find(folder: &Folder, asked: &Asked<'_>) -> Option<Container> {
    let path = format!("containers/{}/config.v2.json", asked.id);
    let file: File = folder.json(&path, MOST_BYTES)?;
    if file.id != asked.id {
        return None;
    }
    let mut container = Container { runtime: Some("docker".to_owned()), ..Container::default() };
    container.name = some(file.name.map(|name| name.trim_start_matches('/').to_owned()).as_ref());
    container.image_id = some(file.image.as_ref());
    let Some(config) = file.config else { return Some(container) };
    if let Some(name) = some(config.image.as_ref()) {
        image::set(&mut container, &name);
    }
    let labels = config.labels.unwrap_or_default();
    let label = |name: &str| some(labels.get(name));
    // cri-dockerd
    container.pod_name = label("io.kubernetes.pod.name");
    container.pod_uid = label("io.kubernetes.pod.uid");
    container.namespace = label("io.kubernetes.pod.namespace");
    container.name_in_pod = label("io.kubernetes.container.name");
    container.labels = asked.labels_of(|name| labels.get(name));
    Some(container)
}
