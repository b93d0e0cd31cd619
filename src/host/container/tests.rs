//! Trees as the runtimes leave them, and as those who do not mean well might.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::{Uid, User, chown, mkfifo};
use serde_json::{Value, json};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const SANDBOX: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

/// A file system of its own.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn new(name: &str) -> Self {
        let name = format!("snoop-container-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        Self { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, value: &Value) {
        fs::write(self.path(path), value.to_string()).unwrap();
    }

    fn places(&self) -> Places {
        Places { root: self.root.clone(), owner: None }
    }

    fn find(&self, cgroup: &str) -> Option<Container> {
        let labels = ["app".to_owned(), "none".to_owned()];
        self.places().find(&Asked { id: ID, cgroup: cgroup.as_bytes(), labels: &labels })
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn label(value: &str) -> Vec<(String, String)> {
    vec![("app".to_owned(), value.to_owned())]
}

#[test]
fn docker() {
    let tree = Tree::new("docker");
    let value = json!({
        "ID": ID, "Name": "/web", "Image": "sha256:aaaaaaaaaaaaaaaa", "State": {"Running": true},
        "Config": {"Image": "nginx:1.25", "Labels": {"app": "shop", "x": "y"}, "Env": ["A=b"]},
    });
    tree.write(&format!("var/lib/docker/containers/{ID}/config.v2.json"), &value);
    let found = tree.find(&format!("/docker/{ID}")).unwrap();
    let expected = Container {
        runtime: text("docker"),
        name: text("web"),
        image_name: text("nginx"),
        image_tag: text("1.25"),
        image_id: text("sha256:aaaaaaaaaaaaaaaa"),
        labels: label("shop"),
        ..Container::default()
    };
    assert_eq!(found, expected);
    assert_eq!(tree.find(&format!("/user.slice/user-1000.slice/docker-{ID}.scope")), None);
}

#[test]
fn containerd_and_its_pods() {
    let tree = Tree::new("containerd");
    let task = format!("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}");
    let value = json!({"ociVersion": "1.1.0", "process": {"args": ["x"]}, "annotations": {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": "nginx",
        "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.25",
        "io.kubernetes.cri.sandbox-name": "web-7d9",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.sandbox-uid": "not-the-one-of-the-path",
    }});
    tree.write(&format!("{task}/config.json"), &value);
    let uid = "1f0a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8";
    let found = tree.find(&format!("/kubepods/burstable/pod{uid}/{ID}")).unwrap();
    let expected = Container {
        runtime: text("containerd"),
        name: text("nginx"),
        image_name: text("docker.io/library/nginx"),
        image_tag: text("1.25"),
        pod_name: text("web-7d9"),
        pod_uid: text(uid),
        namespace: text("shop"),
        name_in_pod: text("nginx"),
        ..Container::default()
    };
    assert_eq!(found, expected);
}

#[test]
fn nerdctl() {
    let tree = Tree::new("nerdctl");
    let task = format!("run/containerd/io.containerd.runtime.v2.task/default/{ID}/config.json");
    tree.write(&task, &json!({"annotations": {"nerdctl/name": "db", "app": "shop"}}));
    let found = tree.find(&format!("/system.slice/nerdctl-{ID}.scope")).unwrap();
    assert_eq!((found.name, found.labels), (text("db"), label("shop")));
}

#[test]
fn crio_and_its_pods() {
    let tree = Tree::new("crio");
    let folder = "run/containers/storage/overlay-containers";
    let annotations = json!({
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.Name": "k8s_nginx_web_shop",
        "io.kubernetes.cri-o.ImageName": "quay.io/nginx:2",
        "io.kubernetes.cri-o.ImageRef": "aaaaaaaaaaaaaaaa",
        "io.kubernetes.cri-o.SandboxID": SANDBOX,
        "io.kubernetes.cri-o.Labels": "{\"app\":\"inner\"}",
        "io.kubernetes.pod.name": "web",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": "u",
        "io.kubernetes.container.name": "nginx",
    });
    let config = format!("{folder}/{ID}/userdata/config.json");
    tree.write(&config, &json!({"annotations": annotations}));
    let sandbox = json!({"annotations": {
        "io.kubernetes.cri-o.ContainerType": "sandbox",
        "io.kubernetes.cri-o.Labels": "{\"app\":\"of the pod\"}",
    }});
    tree.write(&format!("{folder}/{SANDBOX}/userdata/config.json"), &sandbox);
    let found = tree.find(&format!("/kubepods.slice/crio-{ID}.scope")).unwrap();
    let expected = Container {
        runtime: text("cri-o"),
        name: text("k8s_nginx_web_shop"),
        image_name: text("quay.io/nginx"),
        image_tag: text("2"),
        image_id: text("aaaaaaaaaaaaaaaa"),
        pod_name: text("web"),
        pod_uid: text("u"),
        namespace: text("shop"),
        name_in_pod: text("nginx"),
        labels: label("inner"),
        pod_labels: label("of the pod"),
    };
    assert_eq!(found, expected);
    // A sandbox whose id is a path is no sandbox.
    let mut annotations = annotations;
    annotations["io.kubernetes.cri-o.SandboxID"] = format!("../../{SANDBOX}").into();
    tree.write(&config, &json!({"annotations": annotations}));
    let found = tree.find(&format!("/kubepods.slice/crio-{ID}.scope")).unwrap();
    assert_eq!(found.pod_labels, []);
}

/// As podman writes it; `name` of the list's entry.
fn podman_list(name: &str) -> Value {
    let metadata = json!({"image-name": "localhost/demo:latest", "name": name}).to_string();
    let other = json!({"id": SANDBOX, "names": ["other"], "layer": "l"});
    json!([other, {"id": ID, "names": [name], "image": "bbbbbbbbbbbbbbbb", "metadata": metadata}])
}

#[test]
fn podman_of_root_and_of_a_user() {
    let tree = Tree::new("podman");
    let storage = "containers/storage/overlay-containers";
    tree.write(&format!("var/lib/{storage}/containers.json"), &podman_list("of-root"));
    let home = format!("home/someone/.local/share/{storage}");
    tree.write(&format!("{home}/volatile-containers.json"), &podman_list("of-user"));
    fs::write(
        tree.path("etc/passwd"),
        "root:x:0:0::/root:\nsomeone:x:1000:100::/home/someone:/x\n",
    )
    .unwrap();
    let found = tree.find(&format!("/machine.slice/libpod-{ID}.scope/container")).unwrap();
    let expected = Container {
        runtime: text("podman"),
        name: text("of-root"),
        image_name: text("localhost/demo"),
        image_tag: text("latest"),
        image_id: text("bbbbbbbbbbbbbbbb"),
        ..Container::default()
    };
    assert_eq!(found, expected);
    let of = |uid: u32| {
        let user = format!("/user.slice/user-{uid}.slice/user@{uid}.service/user.slice");
        tree.find(&format!("{user}/libpod-{ID}.scope/container")).and_then(|found| found.name)
    };
    assert_eq!((of(1000), of(1001)), (text("of-user"), None));
}

/// Puts something into the place of each file in turn: nothing must be found, and soon.
fn refuses(what: &str, put: impl Fn(&Path)) {
    let tree = Tree::new(what);
    let paths = [
        format!("var/lib/docker/containers/{ID}/config.v2.json"),
        format!("run/containerd/io.containerd.runtime.v2.task/default/{ID}/config.json"),
        format!("run/containers/storage/overlay-containers/{ID}/userdata/config.json"),
        "var/lib/containers/storage/overlay-containers/containers.json".to_owned(),
    ];
    paths.iter().for_each(|path| put(&tree.path(path)));
    let found = tree.find("/x");
    assert_eq!(found, None, "{what}");
}

#[test]
fn files_of_the_wrong_kind_are_no_files() {
    let target = std::env::temp_dir().join(format!("snoop-target-{}", std::process::id()));
    fs::write(&target, json!({"ID": ID, "Name": "x", "annotations": {"a": "b"}}).to_string())
        .unwrap();
    refuses("link", |path| symlink(&target, path).unwrap());
    refuses("shadow", |path| symlink("/etc/shadow", path).unwrap());
    fs::remove_file(target).unwrap();
    refuses("fifo", |path| mkfifo(path, Mode::S_IRWXU).unwrap());
    refuses("folder", |path| fs::create_dir(path).unwrap());
    refuses("large", |path| File::create(path).unwrap().set_len(1 << 30).unwrap());
}

#[test]
fn contents_of_the_wrong_form_are_none() {
    let deep = "[".repeat(1 << 20);
    for (number, contents) in [
        "",
        "null",
        "7",
        "{",
        &deep,
        "{\"annotations\":[]}",
        "{\"annotations\":{\"nerdctl/name\":7}}",
        "{\"ID\":7,\"annotations\":7}",
        "[{\"id\":7}]",
        "[{\"names\":7}]",
        "{\"annotations\":{\"a\":\"\u{0}\"}}",
    ]
    .iter()
    .enumerate()
    {
        refuses(&format!("form-{number}"), |path| fs::write(path, contents).unwrap());
    }
}

#[test]
fn absurd_values_are_left_out() {
    let tree = Tree::new("absurd");
    let value = json!({"ID": ID, "Name": "n".repeat(LONGEST + 1), "Config": {"Image": "x",
        "Labels": {"app": "v".repeat(LONGEST + 1)}}});
    tree.write(&format!("var/lib/docker/containers/{ID}/config.v2.json"), &value);
    let found = tree.find("/x").unwrap();
    assert_eq!((found.name, found.image_name, found.labels), (None, text("x"), vec![]));
}

#[test]
fn folders_of_a_user_lead_nowhere_else() {
    let tree = Tree::new("user");
    let list = "containers/storage/overlay-containers/containers.json";
    tree.write(&format!("elsewhere/{list}"), &podman_list("stolen"));
    fs::write(tree.path("etc/passwd"), "someone:x:1000:100::/home/someone:/x\n").unwrap();
    let share = tree.path("home/someone/.local/share");
    symlink(tree.path("elsewhere"), share).unwrap();
    let cgroup = format!("/user.slice/user-1000.slice/libpod-{ID}.scope");
    assert_eq!(tree.find(&cgroup), None);
    // By nobody's rights but root's can others' files be linked into a home: whose they are counts.
    let Ok(Some(nobody)) = User::from_name("nobody") else { return };
    if !Uid::effective().is_root() {
        return;
    }
    let tree = Tree::new("owner");
    let path = format!("home/someone/.local/share/{list}");
    tree.write(&path, &podman_list("of-user"));
    fs::write(tree.path("etc/passwd"), "someone:x:1000:100::/home/someone:/x\n").unwrap();
    let places = Places { owner: Some(0), ..tree.places() };
    let find = || places.find(&Asked { id: ID, cgroup: cgroup.as_bytes(), labels: &[] });
    assert_eq!(find(), None, "root's");
    chown(&tree.path(&path), Some(nobody.uid), None).unwrap();
    assert_eq!(find(), None, "another user's");
    chown(&tree.path(&path), Some(Uid::from_raw(1000)), None).unwrap();
    assert_eq!(find().and_then(|found| found.name), text("of-user"));
}
