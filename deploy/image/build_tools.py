"""What installs packages, taken out of the base's own Python: an image that serves needs none.

Run by that Python. A base without such tools is left as it is.
"""

from __future__ import annotations

import shutil
import site
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack")


def tools() -> list[Path]:
    """Where they are."""
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
    wheels = sysconfig.get_config_var(
        "WHEEL_PKG_DIR"
    )  # where distributions keep those of ensurepip
    if wheels:
        found.append(Path(wheels))
    return [path for path in found if path.exists()]


def remove() -> None:
    """Takes them out."""
    for tool in tools():
        if tool.is_dir():
            shutil.rmtree(tool)
        else:
            tool.unlink()
