"""Write the Go module in the layout of a module proxy: https://go.dev/ref/mod#goproxy-protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

FOLDER = Path(__file__).parents[1] / "go"


def main(module: str, version: str, proxy: str) -> None:
    """Write it into the folder `proxy`, from the files that git tracks or would track."""
    target = Path(proxy) / module / "@v"
    target.mkdir(parents=True, exist_ok=True)
    info = {"Version": version, "Time": "2026-01-01T00:00:00Z"}
    (target / "list").write_text(version + "\n")
    (target / f"{version}.info").write_text(json.dumps(info))
    (target / f"{version}.mod").write_bytes((FOLDER / "go.mod").read_bytes())
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    with ZipFile(target / f"{version}.zip", "w", ZIP_DEFLATED) as archive:
        for name in listed.stdout.splitlines():
            # A folder with its own go.mod is another module.
            if not name.startswith("tools/") and (FOLDER / name).is_file():
                archive.write(FOLDER / name, f"{module}@{version}/{name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
