"""Generate the derived files of deploy/ and clients/: `python -m deploy.generate [--check]`.

deploy/iam follows from AWS's models and the chart's access modes, the chart's schema from the
server's settings, and deploy/kubernetes from the chart, which needs Helm.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.generate import clients, iam, manifests, settings_schema

ROOT = Path(__file__).parents[2]


def generate_all(root: Path) -> dict[Path, str]:
    """Return the content of all files by path."""
    own = iam.generate(root) | settings_schema.generate(root) | manifests.generate(root)
    return own | clients.generate(root)


def main() -> int:
    """Write the files, or with --check report which of them would change."""
    parser = argparse.ArgumentParser(prog="generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check: bool = parser.parse_args().check
    # Helm validates values with the schema on disk.
    if not check:
        _write(settings_schema.generate(ROOT))
    generated = generate_all(ROOT)
    stale = {
        path: text
        for path, text in generated.items()
        if not path.exists() or path.read_text() != text
    }
    for path in stale:
        _report(f"{'stale' if check else 'wrote'}: {path.relative_to(ROOT)}")
    if not (ROOT / manifests.HELM).exists():
        _report("left out: deploy/kubernetes, since Helm is not installed")
    if check:
        return 1 if stale else 0
    _write(stale)
    return 0


def _write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _report(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201  # a command's output


if __name__ == "__main__":
    sys.exit(main())
