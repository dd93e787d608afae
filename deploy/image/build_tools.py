"""Remove the tools that install packages from the base image's Python, which runs this script.

A server does not need them.
"""

from __future__ import annotations

import shutil
import site
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack")


def find_tools() -> list[Path]:
    """Return the files and folders of the tools."""
    found: list[Path] = []
    for folder in map(Path, site.getsitepackages()):
        for name in PACKAGES:
            found += [folder / name, *folder.glob(f"{name}-*.*-info")]
        found.append(folder / "distutils-precedence.pth")  # imports _distutils_hack at each start
    for folder in {Path(sysconfig.get_path("scripts")), Path(sys.executable).parent}:
        found += [*folder.glob("pip*"), folder / "wheel"]
    ensurepip = find_spec("ensurepip")
    if ensurepip is not None and ensurepip.origin is not None:
        found.append(Path(ensurepip.origin).parent)
    wheels = sysconfig.get_config_var("WHEEL_PKG_DIR")  # of ensurepip, in some distributions
    if wheels:
        found.append(Path(wheels))
    return [path for path in found if path.exists()]


def remove() -> None:
    """Delete the tools."""
    for tool in find_tools():
        if tool.is_dir():
            shutil.rmtree(tool)
        else:
            tool.unlink()
