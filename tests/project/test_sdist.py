"""The source distribution has what its build needs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def link() -> Iterator[None]:
    """Make a link to a folder of sources, as `make skew` does; hatchling sorts build/ first."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as folder:
        (Path(folder) / "third_party").symlink_to(ROOT / "third_party")
        yield


@pytest.mark.usefixtures("link")
def test_sdist_has_the_imports_of_the_protos() -> None:
    files = {file.relative_path for file in SdistBuilder(str(ROOT)).recurse_project_files()}
    assert "third_party/googleapis/google/api/resource.proto" in files
    assert "protos/taskgate/v1/task.proto" in files
    assert not any(file.startswith(("build/", "third_party/botocore")) for file in files)
