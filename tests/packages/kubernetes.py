#!/usr/bin/env python3
"""Builds packaging/container/kubernetes with a real kubectl, and holds the result against the API's own
schemas (PyPI: kubernetes-validate), in which unknown fields are errors: kubernetes.py KUBECTL."""

import copy
import pathlib
import subprocess
import sys

import kubernetes_validate
import yaml

BASE = pathlib.Path(__file__).resolve().parents[2] / "packaging/container/kubernetes"
VERSIONS = ["1.29", "1.37"]  # the oldest that clusters still have, the newest that there is a schema of


def build(kubectl):
    """The resources, as `kubectl apply --kustomize` would send them."""
    built = subprocess.run([kubectl, "kustomize", BASE], capture_output=True, text=True, check=True)
    base = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    assert {"kustomization.yaml", *base["resources"]} == {file.name for file in BASE.iterdir()}
    (image,) = base["images"]
    resources = {resource["kind"]: resource for resource in yaml.safe_load_all(built.stdout)}
    assert resources.keys() == {"Namespace", "DaemonSet"}
    for resource in resources.values():
        assert resource["metadata"]["labels"]["app.kubernetes.io/part-of"] == "snoop-tools"
    daemonset = resources["DaemonSet"]
    assert daemonset["metadata"]["namespace"] == resources["Namespace"]["metadata"]["name"]
    for container in daemonset["spec"]["template"]["spec"]["containers"]:
        assert container["image"] == f"{image['newName']}:{image['newTag']}", container
    return resources


def is_valid(resource, version):
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return error.message
    return True


def check_strictness(resource):
    """What is wrong is an error: else the schemas would say nothing."""
    for path, value in (("spec.template.spec.hostPid", True), ("spec.template.spec.hostPID", "yes"),
                        ("spec.template.spec.containers.0.livenessProbe.exec.argv", []),
                        ("spec.template.spec.containers.0.env.0.valueFrom.fieldRef.path", "x"),
                        ("spec.selector", "snoop"), ("metadata.lables", {})):
        wrong = copy.deepcopy(resource)
        *folders, last = path.split(".")
        inner = wrong
        for folder in folders:
            inner = inner[int(folder) if folder.isdigit() else folder]
        inner[last] = value
        assert is_valid(wrong, VERSIONS[-1]) is not True, path


def check_pod(daemonset):
    """What the comments promise."""
    spec = daemonset["spec"]
    pod = spec["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert pod["hostPID"] and not pod["automountServiceAccountToken"]
    assert [volume["emptyDir"]["medium"] for volume in pod["volumes"]] == ["Memory"], "nothing of the host"
    assert len(pod["containers"]) > 1
    for container in pod["containers"]:
        tool = f"/usr/bin/{container['name']}"
        metrics = f"/run/snoop/{container['name']}.prom"
        assert container["command"] == [tool, "--json", "--redact", "--metrics", metrics]
        for probe in "startupProbe", "livenessProbe":
            assert container[probe]["exec"]["command"] == [tool, "--healthy", metrics]
        (variable,) = container["env"]
        assert variable["name"] == "SNOOP_HOST_NAME"
        assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}
        assert security["readOnlyRootFilesystem"] and not security["privileged"]
        assert not security["allowPrivilegeEscalation"]
        (mount,) = container["volumeMounts"]
        assert metrics.startswith(mount["mountPath"] + "/") and mount["name"] == pod["volumes"][0]["name"]


def main():
    resources = build(sys.argv[1])
    for version in VERSIONS:
        for resource in resources.values():
            result = is_valid(resource, version)
            assert result is True, f"Kubernetes {version}: {resource['kind']}: {result}"
    check_strictness(resources["DaemonSet"])
    check_pod(resources["DaemonSet"])
    print(f"kubernetes: {', '.join(resources)} are valid in {' and '.join(VERSIONS)}; what is not is refused")


main()
