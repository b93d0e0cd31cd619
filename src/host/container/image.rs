//! Names of images.

use super::Container;

/// Sets name, tag and id from a reference such as `docker.io/library/nginx:1.25@sha256:…`, or from
/// an id alone.
pub(super) fn set(container: &mut Container, reference: &str) {
    let is_hex = |text: &str| text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex(reference.strip_prefix("sha256:").unwrap_or(reference)) {
        container.image_id.get_or_insert_with(|| reference.to_owned());
        return;
    }
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    // A colon before the last slash is that of a port.
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
        _ => (name, None),
    };
    if !name.is_empty() {
        container.image_name = Some(name.to_owned());
        container.image_tag = tag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_parts() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (reference, name, tag) in [
            ("nginx", Some("nginx"), None),
            ("nginx:1.25", Some("nginx"), Some("1.25")),
            ("localhost:5000/a/b", Some("localhost:5000/a/b"), None),
            ("localhost:5000/a/b:c", Some("localhost:5000/a/b"), Some("c")),
            (&format!("quay.io/x:y@{digest}"), Some("quay.io/x"), Some("y")),
            (&digest, None, None),
            ("", None, None),
            ("@", None, None),
        ] {
            let mut container = Container::default();
            set(&mut container, reference);
            assert_eq!(container.image_name.as_deref(), name, "{reference}");
            assert_eq!(container.image_tag.as_deref(), tag, "{reference}");
            assert_eq!(container.image_id.is_some(), reference == digest);
        }
    }
}
