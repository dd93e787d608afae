"""`python -m tests.codegen.update`, from the root: writes the golden files anew."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.codegen import test_edits
from tests.codegen.toy import GOLDEN, generated


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    with tempfile.TemporaryDirectory() as root:
        for version, files in generated(Path(root)):
            folder = GOLDEN / version.name
            folder.mkdir(parents=True)
            for name, text in files.items():
                (folder / name).write_text(text)
    test_edits.GOLDEN.write_text(test_edits.reports())


if __name__ == "__main__":
    main()
