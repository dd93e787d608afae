from __future__ import annotations

import pytest

from tests.codegen.buf import Module
from tests.codegen.toy import GOLDEN, SPEC, versions


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Module]:
    """The golden contract of each version, where buf wants it."""
    root = tmp_path_factory.mktemp("golden")
    return {
        version.name: Module(
            root / version.name, (GOLDEN / version.name / f"{SPEC.name}.proto").read_text()
        )
        for version in versions()
    }
