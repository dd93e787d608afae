"""Finish the image: remove build tools, then compile. Run by the base image's Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import build_tools

if __name__ == "__main__":
    build_tools.remove()
    compiles = Path(__file__).with_name("bytecode.py")
    subprocess.run([Path(sys.argv[1]) / "bin/python3", "-B", compiles], check=True)  # noqa: S603  # our own script
