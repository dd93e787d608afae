"""`python -m tests.codegen.update`, from the root: writes the golden files anew."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.codegen import edit_reports
from tests.codegen.toy import GOLDEN, generated


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    with tempfile.TemporaryDirectory() as root:
        for version, files in generated(Path(root)):
            folder = GOLDEN / version.name
            folder.mkdir(parents=True)
            for name, text in files.items():
                (folder / name).write_text(text)
    edit_reports.GOLDEN.write_text(edit_reports.reports())


if __name__ == "__main__":
    main()
