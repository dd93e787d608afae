"""What a Deployment's pod is, as processes of this machine: its files, settings, arguments, ports.

Files are where they would be, under a folder; ports and addresses are those that are given; all
else is as the chart has it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.deploy.chart.rendered import Manifests, Object

KEPT = ("PATH", "HOME")
"""What of this process's environment a container has, too."""


class LocalPod:
    """A pod's files and commands.

    Args:
        manifests: they have the Deployment and its ConfigMaps.
        deployment: which one.
        folder: where its files go.
        replaced: what to write in place of addresses and ports.
        secrets: folders with the files of its Secrets, by name.
    """

    def __init__(
        self,
        manifests: Manifests,
        deployment: str,
        folder: Path,
        replaced: Mapping[str, str],
        secrets: Mapping[str, Path] | None = None,
    ) -> None:
        self._manifests = manifests
        self._pod = manifests.pod(deployment)
        self._folder = folder
        mounts = {
            mount["mountPath"]: mount["name"]
            for container in self._pod["containers"]
            for mount in container["volumeMounts"]
        }
        self._replaced = {**replaced, **{path: f"{folder}{path}" for path in mounts}}
        self._volumes = {volume["name"]: volume for volume in self._pod["volumes"]}
        for path, name in mounts.items():
            self._fill(Path(f"{folder}{path}"), self._volumes[name], secrets or {})

    def start(
        self, name: str, *command: str, stack: ExitStack, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Starts a container, in place of whose entry point there is the command.

        Its output goes to a file, and it ends with the stack at the latest.
        """
        (container,) = (each for each in self._pod["containers"] if each["name"] == name)
        given = {each["name"]: each["value"] for each in container.get("env", ())}
        log = stack.enter_context((self._folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [*command, *map(self._here, container["args"])],
            env={key: os.environ[key] for key in KEPT if key in os.environ} | given | environment,
            stdout=log,
            stderr=log,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def text(self, path: str) -> str:
        """A file as the container finds it."""
        return Path(self._here(path)).read_text()

    def log(self, name: str) -> str:
        """What a container has written."""
        return (self._folder / f"{name}.log").read_text()

    def _here(self, text: str) -> str:
        # In one go: what is written in place of one thing may have another in it. Longer ones
        # first: one may begin with another.
        there = sorted(self._replaced, key=len, reverse=True)
        pattern = "|".join(map(re.escape, there))
        return re.sub(pattern, lambda found: self._replaced[found[0]], text)

    def _fill(self, place: Path, volume: Object, secrets: Mapping[str, Path]) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if "secret" in volume:
            place.symlink_to(secrets[volume["secret"]["secretName"]])
            return
        place.mkdir(exist_ok=True)
        if "configMap" in volume:
            files = self._manifests.get("ConfigMap", volume["configMap"]["name"])["data"]
            for name, text in files.items():
                (place / name).write_text(self._here(text))


def write_secret(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts files into a folder as the kubelet does: all at once, by one rename of a link.

    https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod
    """
    folder.mkdir(exist_ok=True)
    version = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    for name, content in files.items():
        (version / name).write_bytes(content)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)


TASKGATE = (sys.executable, "-m", "taskgate_server.cli")
"""The image's entry point."""
