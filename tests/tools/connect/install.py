"""Puts the packages in package-lock.json into a folder. Needs npm, and any Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = ("package.json", "package-lock.json", ".npmrc", "client.mjs")


def main() -> int:
    """Returns 1 only where the packages must be: with CI=true."""
    folder = Path(sys.argv[1]).resolve()
    npm = shutil.which("npm")
    if npm is None:
        sys.stderr.write("left out: Connect for JavaScript, since npm is not here\n")
        return int(os.environ.get("CI") == "true")
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / name, folder)
    subprocess.run([npm, "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
