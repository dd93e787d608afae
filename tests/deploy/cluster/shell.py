"""Run helm, kubectl and taskgate with the commands of the docs.

`helm` is Helm with the post-renderer of older.py, and `deploy/helm/taskgate` a copy of the chart
whose kubeVersion lets 1.20 in: nothing else of them is another.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.chart.helm import HELM
from tests.deploy.chart.rendered import CHART, ROOT

SHIM = """\
#!/bin/sh
case $1 in
    install | upgrade) exec {helm} "$@" --post-renderer older ;;
    *) exec {helm} "$@" ;;
esac
"""
PLUGIN = {
    "apiVersion": "v1",
    "type": "postrenderer/v1",
    "name": "older",
    "version": "0.1.0",
    "runtime": "subprocess",
    "runtimeConfig": {
        "platformCommand": [
            {"command": sys.executable, "args": ["-m", "tests.deploy.cluster.older"]}
        ]
    },
}
DOCS = ROOT / "docs/kubernetes.md"
LEFT_OUT = ("docker build ", "kind load ")
"""Of the docs' commands: the image is built by buildah and given to containerd."""


def documented(heading: str) -> list[list[str]]:
    """The commands of each block of shell in a section of docs/kubernetes.md."""
    section = re.split(r"^## ", DOCS.read_text(), flags=re.MULTILINE)
    (text,) = (each for each in section if each.startswith(f"{heading}\n"))
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block.replace("\\\n", " ").splitlines() for block in blocks]


class Shell:
    """Runs commands in a folder of its own.

    Args:
        folder: the folder; files for the commands may be put there.
        kubeconfig: of the cluster.
    """

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self.folder = folder
        chart = folder / "deploy/helm/taskgate"
        shutil.copytree(CHART, chart)
        about = (chart / "Chart.yaml").read_text()
        older = re.sub(r"^kubeVersion: .*$", 'kubeVersion: ">=1.20.0-0"', about, flags=re.MULTILINE)
        assert older != about
        (chart / "Chart.yaml").write_text(older)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "helm").write_text(SHIM.format(helm=HELM))
        (programs / "helm").chmod(0o755)
        plugin = folder / "plugins/older"
        plugin.mkdir(parents=True)
        (plugin / "plugin.yaml").write_text(yaml.safe_dump(PLUGIN))
        path = (str(programs), str(HELM.parent), str(Path(sys.executable).parent))
        self.environment = {
            **os.environ,
            "PATH": ":".join((*path, os.environ["PATH"])),
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(folder),
            "HELM_PLUGINS": str(plugin.parent),
            "PYTHONPATH": str(ROOT),
            # 1.20 knows no lists by watching, and does not say so.
            "KUBE_FEATURE_WatchListClient": "false",
        }

    def run(self, command: str, timeout: float = 120, *, fails: bool = False) -> str:
        """Runs it; gives what it printed, and its stderr where it is to fail."""
        done = subprocess.run(
            ["sh", "-euc", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout

    def json(self, command: str) -> Any:
        """What it printed as JSON."""
        return json.loads(self.run(command))

    @contextmanager
    def running(
        self, command: str, log: Path, environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """It runs for as long as this; what it prints goes into a file."""
        with (
            log.open("wb") as output,
            subprocess.Popen(
                ["sh", "-euc", f"exec {command}"],
                cwd=self.folder,
                env={**self.environment, **(environment or {})},
                stdout=output,
                stderr=output,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
