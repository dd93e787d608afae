"""Report words that this project avoids, in hand-written files: `avoided_words.py [--strict]`.

CONTRIBUTING.md says what to write instead. With --strict the exit status is 1 if an identifier
has one of the words, or prose has more than MAX_IN_PROSE of them.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_IN_PROSE: Final = 19

WORDS: Final = "told|tells?|asked|nobody|somebody"
WORD: Final = re.compile(
    rf"(?<![A-Za-z])(?i:{WORDS})(?![a-z])|(?<=[a-z])(?:{WORDS.title()})(?![a-z])"
)
"""Also as a part of an identifier, such as `was_told` or `wasTold`."""

GENERATED: Final = re.compile(
    r"protos/taskgate/(deadline|omics)/|third_party/|clients/go/gen/|deploy/(iam|kubernetes)/|"
    r"tests/codegen/golden/|requirements.*\.txt$|.*(\.lock\.json|-lock\.json|go\.sum|\.svg|\.gz)$"
)
ALLOWED: Final = {
    ".ci/avoided_words.py": "",  # has the words
    "CONTRIBUTING.md": "Not:",  # says which words to avoid
}
"""Lines that may have the words: of a file, those that contain the text."""


CODE: Final = {".c", ".cc", ".go", ".h", ".java", ".js", ".py", ".rs", ".ts"}
TEXT: Final = re.compile(r"""#.*|//.*|^\s*\*.*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`""")
"""Comments and strings, as far as one line shows."""


def find_words(root: Path) -> Iterator[tuple[str, int, str, bool]]:
    """Yield file, line number, line, and whether the word is a part of an identifier."""
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # git
    for name in listed.stdout.splitlines():
        path = root / name
        if GENERATED.match(name) or not path.is_file() or path.is_symlink():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        names = _python_names(text) if path.suffix == ".py" else None
        for number, line in enumerate(text.splitlines(), 1):
            if name in ALLOWED and ALLOWED[name] in line:
                continue
            code = TEXT.sub("", line) if path.suffix in CODE else ""
            for found in WORD.finditer(line):
                is_part = bool(
                    re.search(r"\w$", line[: found.start()]) or re.match(r"\w", line[found.end() :])
                )
                is_name = (
                    (number, found[0]) in names
                    if names is not None
                    else WORD.search(code) is not None
                )
                yield name, number, line.strip(), is_part or is_name


def _python_names(source: str) -> set[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {(token.start[0], token.string) for token in tokens if token.type == tokenize.NAME}


def main() -> int:
    """Print each line, and the numbers."""
    counts = {True: 0, False: 0}
    for name, number, line, is_identifier in find_words(Path(__file__).parents[1]):
        counts[is_identifier] += 1
        if "--strict" in sys.argv or "--list" in sys.argv:
            kind = "identifier" if is_identifier else "prose"
            sys.stdout.write(f"{name}:{number}: {kind}: {line}\n")
    sys.stdout.write(f"avoided words: {counts[True]} in identifiers, {counts[False]} in prose\n")
    too_many = counts[True] > 0 or counts[False] > MAX_IN_PROSE
    return int("--strict" in sys.argv and too_many)


if __name__ == "__main__":
    sys.exit(main())
