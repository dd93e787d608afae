"""What the chart makes, read back: the manifests in deploy/kubernetes, or those of a rendering."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy/helm/taskgate"
FOLDER = ROOT / "deploy/kubernetes"
NAMES = ("minimal", "production", "sandbox")

Object = dict[str, Any]


@dataclass(frozen=True)
class Manifests:
    """Objects of Kubernetes."""

    objects: list[Object]

    @classmethod
    def read(cls, text: str) -> Manifests:
        return cls([each for each in yaml.safe_load_all(text) if each])

    def get(self, kind: str, name: str) -> Object:
        """The one of that kind and name."""
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def pod(self, deployment: str = "taskgate") -> Object:
        """What a Deployment's pods are."""
        pod: Object = self.get("Deployment", deployment)["spec"]["template"]["spec"]
        return pod

    def container(self, name: str = "taskgate", deployment: str = "taskgate") -> Object:
        (found,) = (each for each in self.pod(deployment)["containers"] if each["name"] == name)
        container: Object = found
        return container

    def settings(self) -> Object:
        """The server's, as in its file."""
        config = self.get("ConfigMap", "taskgate-settings")
        return tomllib.loads(config["data"]["settings.toml"])


def committed(name: str) -> Manifests:
    """Those for people without Helm, which need none to be read."""
    return Manifests.read((FOLDER / f"{name}.yaml").read_text())
