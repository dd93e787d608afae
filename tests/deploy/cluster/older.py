"""A Helm post-renderer: what Kubernetes 1.20 does not know, in its words. Everything else stays.

| in the chart | since | becomes |
|---|---|---|
| gRPC probes | 1.24 | `taskgate health` in the container, with 10 s: a Python has to start |
| `matchLabelKeys` | 1.25 | left out |
| PodDisruptionBudget of policy/v1 | 1.21 | policy/v1beta1 |
| its `unhealthyPodEvictionPolicy` | 1.26 | left out |
| `protocol` of a port, left out in a server-side apply | 1.21 | TCP, the default |
| HorizontalPodAutoscaler of autoscaling/v2 | 1.23 | autoscaling/v2beta2 |
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
EXEC_SECONDS = 10
VERSIONS = {"policy/v1": "policy/v1beta1", "autoscaling/v2": "autoscaling/v2beta2"}


def translate(manifest: dict[str, Any]) -> None:
    """Translates one, in place."""
    manifest["apiVersion"] = VERSIONS.get(manifest["apiVersion"], manifest["apiVersion"])
    spec = manifest.get("spec", {})
    if manifest["kind"] == "PodDisruptionBudget":
        del spec["unhealthyPodEvictionPolicy"]
    if manifest["kind"] == "Service":
        _say_protocol(spec)
    if manifest["kind"] == "Deployment":
        _translate_pod(spec["template"]["spec"])


def _translate_pod(pod: dict[str, Any]) -> None:
    for constraint in pod.get("topologySpreadConstraints", ()):
        del constraint["matchLabelKeys"]
    for container in pod["containers"]:
        _say_protocol(container)
        for probe in (container[name] for name in PROBES if name in container):
            if "grpc" in probe:
                grpc_probe = probe.pop("grpc")
                probe["exec"] = {"command": _command(grpc_probe["port"], grpc_probe.get("service"))}
                probe["timeoutSeconds"] = EXEC_SECONDS


def _say_protocol(owner: dict[str, Any]) -> None:
    for port in owner.get("ports", ()):
        port.setdefault("protocol", "TCP")


def _command(port: int, service: str | None) -> list[str]:
    command = ["taskgate", "health", "--address", f"127.0.0.1:{port}"]
    return [*command, "--service", service] if service else command


def main() -> None:
    """Translates what Helm gives."""
    manifests = [each for each in yaml.safe_load_all(sys.stdin) if each]
    for each in manifests:
        translate(each)
    yaml.safe_dump_all(manifests, sys.stdout)


if __name__ == "__main__":
    main()
