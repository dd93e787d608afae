"""The definition of a workflow: the zip that its creator sent, opened.

A workflow is in a language, which the ending of its main file tells: `.wdl`, `.nf` or `.cwl`. What
the languages have in common is here: the files, and the calls that a run of them makes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import PurePosixPath

__all__ = ["Definition", "DefinitionError", "PlannedCall", "open_definition"]

_ENDINGS = {".wdl": "WDL", ".nf": "NEXTFLOW", ".cwl": "CWL"}
_MAX_BYTES = 64 * 2**20
"""A zip that unpacks to more is refused: it comes from outside, and is read into memory."""


class DefinitionError(Exception):
    """The definition is none that can run; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """The files of a workflow."""

    engine: str
    """`WDL`, `WDL_LENIENT`, `NEXTFLOW` or `CWL`."""
    main: str
    """The path of the file that the run starts with."""
    files: Mapping[str, str]
    """Path to text; files that are no text are left out."""

    @property
    def text(self) -> str:
        """The main file."""
        return self.files[self.main]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """A call of a task that a run will make."""

    name: str
    cpus: int = 1
    memory: int = 1
    """GiB."""
    gpus: int = 0
    image: str | None = None
    after: Sequence[int] = ()
    """The positions, in the run's plan, of the calls that must be COMPLETED before."""
    content: str = ""
    """What decides the result: the task's source and its inputs. A run cache goes by it."""

    def digest(self) -> str:
        """Names the result of the call in a run cache."""
        told = (self.name, self.cpus, self.memory, self.gpus, self.image, self.content)
        return sha256(repr(told).encode()).hexdigest()[:32]


def open_definition(content: bytes, engine: str | None, main: str | None) -> Definition:
    """Open a zip.

    Args:
        content: the zip.
        engine: the language, if its creator says it.
        main: the path of the main file, if its creator says it.

    Raises:
        DefinitionError: it is no zip, or which file is the main one cannot be told.
    """
    files = _files(content)
    path = main or _find_main(files, engine)
    if path not in files:
        raise DefinitionError(f"The definition has no file {path}")
    found = engine or _ENDINGS.get(PurePosixPath(path).suffix)
    if found is None:
        raise DefinitionError(f"The language of {path} is not known; say which engine it is for")
    return Definition(engine=found, main=path, files=files)


def _files(content: bytes) -> dict[str, str]:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > _MAX_BYTES:
                raise DefinitionError("The definition unpacks to too many bytes")
            read = {entry.filename.removeprefix("./"): archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DefinitionError("The definition is not a zip that can be read") from error
    texts = {}
    for path, data in read.items():
        try:
            texts[path] = data.decode()
        except UnicodeDecodeError:
            continue  # a picture in the README, say
    return texts


def _find_main(files: Mapping[str, str], engine: str | None) -> str:
    """The file that is called main, or the only one of a language."""
    wanted = {ending for ending, word in _ENDINGS.items() if engine is None or word in engine}
    fitting = [path for path in files if PurePosixPath(path).suffix in wanted]
    named = [path for path in fitting if PurePosixPath(path).stem == "main"]
    for candidates in (named, fitting):
        if len(candidates) == 1:
            return candidates[0]
    raise DefinitionError("The definition does not tell its main file; give its path as main")
