"""A Debian in a folder, from the mirror that this machine has its own packages from."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCES = (Path("/etc/apt/sources.list.d"), Path("/etc/apt"))
ENTRY = re.compile(r"^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s+)?)(\S+)", re.MULTILINE)
"""The first address in a file of either form, see sources.list(5)."""
PACKAGES_LEFT = ("var/cache/apt", "var/lib/apt/lists", "var/log")


def mirror() -> str:
    """Where apt has its packages from."""
    files = [
        path for folder in SOURCES for path in sorted(folder.glob("*sources*")) if path.is_file()
    ]
    for path in files:
        entry = ENTRY.search(path.read_text())
        if entry is not None:
            return entry[1]
    raise AssertionError("apt has no sources here")


def unpack_debian(folder: Path, packages: Sequence[str]) -> None:
    """The least Debian with some packages, and nothing of this machine."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}"]
    done = subprocess.run(
        [*command, suite, folder, mirror()],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    # debootstrap copies the package sources of this machine, which others may not reach.
    for name in ("etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/apt/sources.list"):
        (folder / name).unlink(missing_ok=True)
    for name in PACKAGES_LEFT:
        for path in (folder / name).rglob("*"):
            if path.is_file():
                path.unlink()
