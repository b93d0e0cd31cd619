//! Names of attributes: OpenTelemetry's, and our own.

/// In front of names that OpenTelemetry's registry does not have.
pub(super) const OWN: &str = "snoop.";

/// The names that the registry of the semantic conventions has, of those that the tools use.
const REGISTRY: [&str; 48] = [
    "code.file.path",
    "code.line.number",
    "container.id",
    "container.image.id",
    "container.image.name",
    "container.image.tags",
    "container.name",
    "container.runtime.name",
    "cpu.logical_number",
    "error.type",
    "file.inode",
    "file.path",
    "host.arch",
    "host.id",
    "host.name",
    "k8s.container.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "network.interface.name",
    "network.local.address",
    "network.local.port",
    "network.peer.address",
    "network.peer.port",
    "network.transport",
    "network.type",
    "process.args_count",
    "process.command_args",
    "process.command_line",
    "process.creation.time",
    "process.executable.path",
    "process.exit.code",
    "process.group_leader.pid",
    "process.interactive",
    "process.linux.cgroup",
    "process.parent_pid",
    "process.pid",
    "process.real_user.id",
    "process.real_user.name",
    "process.session_leader.pid",
    "process.user.id",
    "process.user.name",
    "process.vpid",
    "process.working_directory",
    "server.address",
    "server.port",
    "thread.id",
    "thread.name",
];

/// Objects whose members others name, each of which is an attribute: templates of the registry.
const TEMPLATES: [&str; 3] = ["container.label", "k8s.pod.label", "process.environment_variable"];

/// Members of bpfrun's records whose inner names come from objects: each is one attribute, so that
/// no name can take the place of another one.
const WHOLE: [&str; 7] = ["data", "key", "maps", "object", "stacks", "value", "values"];

/// Whether the registry has this name. `is_within`: below one of [`TEMPLATES`].
pub(super) fn is_registered(name: &str, is_within: bool) -> bool {
    is_within || REGISTRY.binary_search(&name).is_ok()
}

/// Whether others name the members of this object.
pub(super) fn is_template(name: &str) -> bool {
    TEMPLATES.contains(&name)
}

/// Whether this object is one attribute.
pub(super) fn is_whole(name: &str) -> bool {
    WHOLE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_found() {
        assert!(REGISTRY.is_sorted());
        assert!(is_registered("process.pid", false) && is_registered("thread.id", false));
        assert!(!is_registered("process.comm", false) && is_registered("x", true));
    }
}
