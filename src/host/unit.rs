//! systemd's units, pods and runtimes of containers, as far as the path of a cgroup names them: no
//! file is read.

/// The units of a cgroup. Names are as systemctl shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units<'a> {
    /// Of the system's manager: `nginx.service`, `session-2.scope`
    pub unit: Option<&'a [u8]>,
    /// The innermost slice around it
    pub slice: Option<&'a [u8]>,
    /// Of a user's own manager, below `user@1000.service`
    pub user_unit: Option<&'a [u8]>,
    /// The innermost slice around that
    pub user_slice: Option<&'a [u8]>,
}

/// Endings of units that have processes of their own.
const UNITS: [&[u8]; 5] = [b".service", b".scope", b".socket", b".mount", b".swap"];

impl<'a> Units<'a> {
    /// Those in a path such as `/system.slice/nginx.service`. What is below a unit is its own.
    pub fn of(path: &'a [u8]) -> Self {
        let mut parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty());
        let (slice, unit) = slice_and_unit(&mut parts);
        let mut units = Self { unit, slice, ..Self::default() };
        if unit.is_some_and(|unit| unit.starts_with(b"user@") && unit.ends_with(b".service")) {
            (units.user_slice, units.user_unit) = slice_and_unit(&mut parts);
        }
        units
    }
}

/// The last of the slices that come next, and the unit behind them.
fn slice_and_unit<'a>(
    parts: &mut impl Iterator<Item = &'a [u8]>,
) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let mut slice = None;
    for part in parts {
        let name = unescaped(part);
        if name.ends_with(b".slice") && name.len() > b".slice".len() {
            slice = Some(name);
            continue;
        }
        let is_unit = UNITS.iter().any(|end| name.ends_with(end) && name.len() > end.len());
        return (slice, is_unit.then_some(name));
    }
    (slice, None)
}

/// systemd puts a `_` before names that the kernel has a use for.
fn unescaped(part: &[u8]) -> &[u8] {
    part.strip_prefix(b"_").unwrap_or(part)
}

/// The user whose manager runs what is in a cgroup, or in whose slice it is.
pub fn user_of(path: &[u8]) -> Option<u32> {
    path.split(|&b| b == b'/').find_map(|part| {
        let digits = match part.strip_prefix(b"user@") {
            Some(rest) => rest.strip_suffix(b".service")?,
            None => part.strip_prefix(b"user-")?.strip_suffix(b".slice")?,
        };
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

/// What made a container, from how its cgroup is called.
pub fn runtime(path: &[u8]) -> Option<&'static str> {
    const NAMES: [(&[u8], &str); 6] = [
        (b"libpod-", "podman"),
        (b"docker-", "docker"),
        (b"cri-containerd-", "containerd"),
        (b"nerdctl-", "containerd"),
        (b"crio-", "cri-o"),
        (b"containerd-", "containerd"),
    ];
    let mut parts = path.rsplit(|&b| b == b'/').peekable();
    while let Some(part) = parts.next() {
        // /docker/ID
        let is_below_docker = parts.peek() == Some(&&b"docker"[..]) && part.len() == 64;
        let named = NAMES.iter().find(|(start, _)| part.starts_with(start) && part.len() >= 64);
        if let Some(name) = named.map(|(_, name)| *name).or(is_below_docker.then_some("docker")) {
            return Some(name);
        }
    }
    None
}

/// Letters and digits of a pod's uid: a UUID, or for a static pod a hash.
const POD_UIDS: [usize; 2] = [36, 32];

/// The uid of the Kubernetes pod of a cgroup: `…/pod1f-2…/…` or `kubepods-besteffort-pod1f_2….slice`.
pub fn pod_uid(path: &[u8]) -> Option<String> {
    let mut parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty());
    let is_of_pods = |part: &[u8]| part.starts_with(b"kubepods");
    parts.clone().find(|part| is_of_pods(part))?;
    parts.find_map(|part| {
        let name = part.strip_suffix(b".slice").unwrap_or(part);
        let at = match name.starts_with(b"pod") {
            true => Some(0),
            false => name.windows(4).rposition(|four| four == b"-pod").map(|at| at + 1),
        };
        let uid = name.get(at? + 3..)?;
        let is_uid = POD_UIDS.contains(&uid.len())
            && uid.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b'-' | b'_'));
        is_uid.then(|| String::from_utf8_lossy(uid).replace('_', "-"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(path: &str) -> [Option<&str>; 4] {
        let Units { unit, slice, user_unit, user_slice } = Units::of(path.as_bytes());
        [unit, slice, user_unit, user_slice]
            .map(|name| name.map(|n| std::str::from_utf8(n).unwrap()))
    }

    #[test]
    fn units_are_those_of_systemd() {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        for (path, expected) in [
            ("/", [None; 4]),
            ("", [None; 4]),
            ("/init.scope", [Some("init.scope"), None, None, None]),
            ("/system.slice", [None, Some("system.slice"), None, None]),
            ("/system.slice/a.service", [Some("a.service"), Some("system.slice"), None, None]),
            (
                "/system.slice/system-getty.slice/getty@tty1.service/below",
                [Some("getty@tty1.service"), Some("system-getty.slice"), None, None],
            ),
            (
                "/system.slice/_cgroup.x.service",
                [Some("cgroup.x.service"), Some("system.slice"), None, None],
            ),
            (
                "/user.slice/user-0.slice/session-2.scope",
                [Some("session-2.scope"), Some("user-0.slice"), None, None],
            ),
            (
                &format!("{user}/app.slice/app-x.slice/x.service"),
                [
                    Some("user@1000.service"),
                    Some("user-1000.slice"),
                    Some("x.service"),
                    Some("app-x.slice"),
                ],
            ),
            (
                &format!("{user}/init.scope"),
                [Some("user@1000.service"), Some("user-1000.slice"), Some("init.scope"), None],
            ),
            ("/docker/0123", [None; 4]),
            ("/.slice/.service", [None; 4]),
            ("/machine.slice/x/y.service", [None, Some("machine.slice"), None, None]),
        ] {
            assert_eq!(units(path), expected, "{path}");
        }
        assert_eq!(user_of(user.as_bytes()), Some(1000));
        assert_eq!(user_of(b"/user.slice/user-7.slice/session-1.scope"), Some(7));
        assert_eq!(user_of(b"/system.slice/user@x.service"), None);
    }

    #[test]
    fn pods_and_runtimes() {
        let id = "0123456789abcdef".repeat(4);
        let pod = "1f0a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8";
        let slice = pod.replace('-', "_");
        let hash = "0123456789abcdef".repeat(2);
        for (path, runtime_name, uid) in [
            (format!("/kubepods/burstable/pod{pod}/{id}"), None, Some(pod)),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{slice}.slice/\
                     cri-containerd-{id}.scope"
                ),
                Some("containerd"),
                Some(pod),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{hash}.slice/crio-{id}.scope"),
                Some("cri-o"),
                Some(&*hash),
            ),
            (format!("/system.slice/docker-{id}.scope/init"), Some("docker"), None),
            (format!("/docker/{id}"), Some("docker"), None),
            (format!("/libpod_parent/libpod-{id}"), Some("podman"), None),
            (format!("/machine.slice/libpod-{id}.scope/container"), Some("podman"), None),
            ("/kubepods/podx".to_owned(), None, None),
            (format!("/x/pod{pod}/{id}"), None, None),
            ("/docker/short".to_owned(), None, None),
        ] {
            assert_eq!(runtime(path.as_bytes()), runtime_name, "{path}");
            assert_eq!(pod_uid(path.as_bytes()).as_deref(), uid, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_breaks_it(path: Vec<u8>) {
            let _ = (Units::of(&path), user_of(&path), runtime(&path), pod_uid(&path));
        }
    }
}
