"""buildah and podman with a store of their own: this machine's images are not seen or changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.image.debian import unpack_debian

ROOT = Path(__file__).parents[3]
AUTHORITIES = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
"""Those of this machine. Its package index may have one that no image knows."""
TOOLS = ("buildah", "debootstrap", "nsenter", "podman", "runc", "unshare")
AS_KUBERNETES_DOES = (
    # What the chart's security context says; Docker would add a writable /tmp.
    *("--read-only", "--read-only-tmpfs=false"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--pids-limit", "100"),
    # podman's own limits are above those of a machine that is a container itself.
    *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
)


def missing() -> str:
    """What this machine lacks to build and run images; empty if nothing."""
    tools = ", ".join(tool for tool in TOOLS if shutil.which(tool) is None)
    return tools or ("" if _may_mount() else "root that may mount")


def _may_mount() -> bool:
    """Root of a container may not, most often."""
    tried = subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False)
    return os.geteuid() == 0 and tried.returncode == 0


class Engine:
    """Builds and runs images.

    Args:
        folder: for all that it keeps.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        store = (
            "--root",
            f"{folder}/store",
            "--runroot",
            f"{folder}/run",
            "--storage-driver",
            "overlay",
        )
        self._buildah = ("buildah", *store)
        self._podman = (
            *("podman", *store, "--tmpdir", f"{folder}/libpod", "--log-level", "fatal"),
            # There need be neither systemd nor a journal.
            *("--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc"),
        )

    def run(self, *arguments: str, fails: bool | None = False, timeout: float = 60) -> str:
        """Runs podman; gives what it printed, or its stderr where it is to fail."""
        return run(*self._podman, *arguments, fails=fails, timeout=timeout)

    def logs(self, name: str) -> str:
        """What a container has written."""
        return run(*self._podman, "logs", name, merged=True)

    def make_base(self, tag: str) -> None:
        """The least Debian that has Python, as an image like Docker's Python ones.

        Which have pip in them, and no bytecode.
        """
        rootfs = self._folder / "rootfs"
        unpack_debian(rootfs, packages=("ca-certificates", "python3", "python3-venv"))
        for cache in list(rootfs.rglob("__pycache__")):
            shutil.rmtree(cache)
        # A file: podman would keep a copy of what comes through a pipe.
        archive = self._folder / "rootfs.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(rootfs, arcname=".")
        shutil.rmtree(rootfs)
        self.run("import", str(archive), tag, timeout=300)
        archive.unlink()

    def build(self, tag: str, base: str, *arguments: str) -> None:
        """Builds our Dockerfile without any cache, with the times that make builds alike."""
        run(
            *(*self._buildah, "build", "--isolation", "chroot", "--network", "host"),
            *("--pull-never", "--no-cache", "--timestamp", "0", "--tag", tag),
            *("--build-arg", f"BASE_IMAGE={base}", "--secret", f"id=ca,src={AUTHORITIES}"),
            *(*arguments, str(ROOT)),
            timeout=600,
        )

    def inspect(self, name: str) -> dict[str, Any]:
        """Return podman's description of an image or a container."""
        descriptions: list[dict[str, Any]] = json.loads(self.run("inspect", name))
        return descriptions[0]

    @contextmanager
    def mounted(self, tag: str) -> Iterator[Path]:
        """The files of an image, to be looked at."""
        try:
            yield Path(self.run("image", "mount", tag).strip())
        finally:
            self.run("image", "unmount", tag)

    def close(self) -> None:
        """Removes everything."""
        self.run("rm", "--all", "--force", "--time", "0", timeout=120)
        self.run("rmi", "--all", "--force", timeout=120)
        shutil.rmtree(self._folder)


def run(
    *command: str, fails: bool | None = False, merged: bool = False, timeout: float = 60
) -> str:
    """Run a command, and return its stdout, or its stderr if it must fail.

    Args:
        command: the program and its arguments.
        fails: whether it must fail; None if it may.
        merged: return stdout and stderr together.
        timeout: seconds.
    """
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=False,
    )
    output = f"{command}\n{done.stdout[-4000:]}\n{(done.stderr or '')[-4000:]}"
    assert fails in (None, done.returncode != 0), output
    return done.stderr if fails else done.stdout
